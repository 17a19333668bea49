//! `mnemic migrate plan`: what a move would meet. Not here: how that is found out (the library).

use std::{fmt::Write as _, path::Path, time::Duration};

use indicatif::HumanDuration;
use mnemic::{Builder, EmbeddingCost, MigrationPlan, Object, PlaceReport, Price, Value};
use tempfile::TempDir;

use super::{Pair, Target, open, pairs, switch::place_object};
use crate::{
    context::{Context, absolute},
    exit::{Exit, Failure, Result},
    output::{Answer, escaped},
    show,
};

/// Options of `migrate plan`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
}

/// Runs `migrate plan`.
pub(super) async fn run(ctx: &Context, args: &Args) -> Result<Answer> {
    let scratch = scratch(&args.target)?;
    let opened = match &scratch {
        Some(scratch) => Builder::embedded(scratch.path())?.build(ctx.namespace().clone())?,
        None => open(ctx, &args.target)?,
    };
    let (mut text, mut plans, mut blocked) = (String::new(), Vec::new(), 0);
    let pairs = pairs(ctx, &args.target, &opened).await?;
    for pair in &pairs {
        let plan = pair.source.plan_migration(&pair.target).await?;
        blocked += plan.obstacles.len();
        describe(&mut text, pair, &plan);
        plans.push(object(pair, &plan));
    }
    let failure = (blocked > 0).then(|| Failure {
        exit: Exit::Config,
        code: "unsupported",
        message: format!("{} in the way", show::plural(blocked, "obstacle")),
        field: None,
        hint: None,
    });
    Ok(Answer::new(show::object([("namespaces", show::objects(plans))]), text).count(pairs.len()).failed(failure))
}

/// A plan writes nothing: a directory that is not there yet is stood in for by one beside it, on the same disk, that goes again.
fn scratch(target: &Target) -> Result<Option<TempDir>> {
    let Some(directory) = target.to.as_deref().filter(|directory| !directory.exists()) else { return Ok(None) };
    let directory = absolute(directory)?;
    let there = directory.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"));
    let made = tempfile::Builder::new().prefix(".mnemic-plan-").tempdir_in(there);
    made.map(Some).map_err(|error| Failure::io("make a directory in", there, &error))
}

fn describe(text: &mut String, pair: &Pair, plan: &MigrationPlan) {
    let _infallible = writeln!(
        text,
        "{}: {} of {} changes to copy: {} records in {} revisions with {} embeddings, {} events, slots of {} threads",
        pair.names(),
        plan.changes.saturating_sub(plan.done),
        plan.changes,
        plan.records,
        plan.revisions,
        plan.embeddings,
        plan.events,
        plan.threads,
    );
    let mut line = |name: &str, what: &str| {
        let _infallible = writeln!(text, "  {name:<9} {}", escaped(what));
    };
    let models = plan.models.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    line("from", &place(&plan.source));
    line("to", &place(&plan.target));
    line("size", &show::bytes(plan.bytes));
    if let (Some(takes), Some((changes, took))) = (plan.takes, plan.measured) {
        let measured = format!("reading {changes} changes took {:.0} ms", took.as_secs_f64() * 1000.0);
        let about = match takes.as_secs() {
            0 => "less than a second".to_owned(),
            _ => format!("about {}", HumanDuration(takes)),
        };
        line("time", &format!("{about}, by a rough estimate: {measured}"));
    }
    if let Some(room) = &plan.room {
        line("disk", &format!("{} free, at most {} needed", show::bytes(room.free), show::bytes(room.needed)));
    }
    match &plan.embedding {
        None if plan.models.is_empty() => line("embedding", "nothing is embedded, and nothing to be paid"),
        None => line(
            "embedding",
            &format!("embeddings move as they are ({models}): nothing is embedded, and nothing to be paid"),
        ),
        Some(cost) => line("embedding", &cost_text(cost)),
    }
    plan.limits.iter().for_each(|limit| line("limit", limit));
    plan.differences.iter().for_each(|difference| line("different", difference));
    for obstacle in &plan.obstacles {
        let _infallible = writeln!(text, "  cannot be done: {}", escaped(obstacle));
    }
}

fn place(place: &PlaceReport) -> String {
    let model = place.model.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
    format!("{}, indexes {}, embedder {model}", place.ledger, place.indexes.join(" and "))
}

fn cost_text(cost: &EmbeddingCost) -> String {
    let price = match (cost.dollars(), cost.price) {
        (Some(dollars), _) => format!("{dollars:.2} US dollars by the vendor's list"),
        (None, Price::OwnServer) => "paid for by whoever runs the server".to_owned(),
        (None, _) => "of a price that is not known here".to_owned(),
    };
    format!(
        "{} anew by {}, about {} tokens, {price}",
        show::plural(usize::try_from(cost.texts).unwrap_or(usize::MAX), "text"),
        cost.model,
        cost.tokens
    )
}

fn object(pair: &Pair, plan: &MigrationPlan) -> Object {
    let mut object = show::object([
        ("namespace", Value::from(pair.source.namespace().as_str())),
        ("target", Value::from(pair.target.namespace().as_str())),
        ("changes", Value::from(plan.changes)),
        ("done", Value::from(plan.done)),
        ("records", Value::from(plan.records)),
        ("revisions", Value::from(plan.revisions)),
        ("embeddings", Value::from(plan.embeddings)),
        ("events", Value::from(plan.events)),
        ("threads", Value::from(plan.threads)),
        ("bytes", Value::from(plan.bytes)),
        ("models", show::strings(plan.models.iter().map(ToString::to_string))),
        ("source_place", Value::Object(place_object(&plan.source))),
        ("target_place", Value::Object(place_object(&plan.target))),
        ("limits", show::strings(&plan.limits)),
        ("differences", show::strings(&plan.differences)),
        ("obstacles", show::strings(&plan.obstacles)),
    ]);
    let seconds = |took: Duration| show::double(took.as_secs_f64());
    let optional = [
        ("seconds", plan.takes.map(seconds)),
        (
            "measured",
            plan.measured.map(|(changes, took)| {
                Value::Object(show::object([("changes", Value::from(changes)), ("seconds", seconds(took))]))
            }),
        ),
        (
            "room",
            plan.room.as_ref().map(|room| {
                Value::Object(show::object([("needed", Value::from(room.needed)), ("free", Value::from(room.free))]))
            }),
        ),
        (
            "embedding",
            plan.embedding.as_ref().map(|cost| {
                Value::Object(show::object([
                    ("model", Value::from(cost.model.to_string())),
                    ("texts", Value::from(cost.texts)),
                    ("tokens", Value::from(cost.tokens)),
                    ("dollars", cost.dollars().map_or(Value::Null, show::double)),
                ]))
            }),
        ),
    ];
    for (name, value) in optional {
        object.insert(name.to_owned(), value.unwrap_or(Value::Null));
    }
    object
}
