//! `mnemic migrate plan`: what a move would meet. Not here: how that is found out (the library).

use std::fmt::Write as _;

use mnemic::{MigrationPlan, Object, Value};

use super::{Pair, Target, open, pairs};
use crate::{
    context::Context,
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
    let pairs = pairs(ctx, &args.target, &open(ctx, &args.target)?).await?;
    let (mut text, mut plans, mut blocked) = (String::new(), Vec::new(), 0);
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
    for obstacle in &plan.obstacles {
        let _infallible = writeln!(text, "  cannot be done: {}", escaped(obstacle));
    }
}

fn object(pair: &Pair, plan: &MigrationPlan) -> Object {
    show::object([
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
        ("obstacles", show::strings(&plan.obstacles)),
    ])
}
