//! What a re-embedding plan, a comparison and a switch look like to people and to machines. Not here: making them.

use std::{fmt::Write as _, time::Duration};

use mnemic::{Alike, MemoryManager, Object, Price, QualityReport, ReembeddingPlan, ReembeddingReport, Switched, Value};

use crate::{output::escaped, show};

/// Both namespaces.
pub(super) fn names(memory: &MemoryManager, copy: &MemoryManager) -> Object {
    show::object([
        ("namespace", Value::from(memory.namespace().as_str())),
        ("target", Value::from(copy.namespace().as_str())),
    ])
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _infallible = writeln!(text, "{arguments}");
}

/// A plan for people.
pub(super) fn plan_text(plan: &ReembeddingPlan) -> String {
    let mut text = String::new();
    let was: Vec<String> = plan.models.iter().map(ToString::to_string).collect();
    let was = if was.is_empty() { "no embeddings".to_owned() } else { was.join(", ") };
    let model = plan.model.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
    line(&mut text, format_args!("model    {was} -> {model}"));
    if plan.obstacles.is_empty() {
        line(
            &mut text,
            format_args!("texts    {}, about {} tokens by an estimate on the high side", plan.texts, plan.tokens),
        );
        line(&mut text, format_args!("price    {}", price_text(plan)));
        line(&mut text, format_args!("time     {}", time_text(plan)));
        let left = plan.changes.saturating_sub(plan.done);
        line(&mut text, format_args!("changes  {left} of {} to carry", plan.changes));
    }
    for obstacle in &plan.obstacles {
        line(&mut text, format_args!("cannot be done: {}", escaped(obstacle)));
    }
    text
}

fn price_text(plan: &ReembeddingPlan) -> String {
    match (plan.price, plan.dollars()) {
        (Price::Nothing, _) => "nothing: the embeddings are made by this program".to_owned(),
        (Price::OwnServer, _) => "that of your own server".to_owned(),
        (Price::PerMillionTokens(each), Some(dollars)) => {
            format!("at most about ${dollars:.2} by the vendor's list (${each} for a million tokens)")
        }
        _ => "unknown: no list price of this model is known here".to_owned(),
    }
}

fn time_text(plan: &ReembeddingPlan) -> String {
    match (plan.measured, plan.takes()) {
        (Some((texts, took)), Some(takes)) => {
            format!("about {}, at the rate of the first {texts} texts in {}", seconds(takes), seconds(took))
        }
        _ => "nothing is left to embed".to_owned(),
    }
}

fn seconds(took: Duration) -> String {
    match took.as_secs() {
        0 => format!("{} ms", took.as_millis()),
        1..120 => format!("{:.1} s", took.as_secs_f64()),
        _ => format!("{:.0} min", took.as_secs_f64() / 60.0),
    }
}

/// A plan for machines.
pub(super) fn plan_object(plan: &ReembeddingPlan, memory: &MemoryManager, copy: &MemoryManager) -> Object {
    let price = match plan.price {
        Price::Nothing => "nothing",
        Price::OwnServer => "own_server",
        Price::PerMillionTokens(_) => "listed",
        Price::Unknown => "unknown",
    };
    let mut object = names(memory, copy);
    object.extend(show::object([
        ("model", plan.model.as_ref().map_or(Value::Null, |model| Value::from(model.to_string()))),
        ("models", show::strings(plan.models.iter().map(ToString::to_string))),
        ("changes", Value::from(plan.changes)),
        ("done", Value::from(plan.done)),
        ("texts", Value::from(plan.texts)),
        ("tokens", Value::from(plan.tokens)),
        ("price", Value::from(price)),
        ("dollars", plan.dollars().map_or(Value::Null, show::double)),
        ("seconds", plan.takes().map_or(Value::Null, |takes| show::double(takes.as_secs_f64()))),
        ("obstacles", show::strings(&plan.obstacles)),
    ]));
    object
}

/// What a quality gate saw, for people.
pub(super) fn quality_text(quality: &QualityReport) -> String {
    let mut text = String::new();
    let (asked, known) = (show::plural(quality.asked, "question"), quality.known);
    line(&mut text, format_args!("{asked}, {known} with a known answer; hits among the first ten, memory -> copy"));
    let mut way = |name: &str, alike: &Alike| {
        let (memory, copy) = (alike.memory, alike.copy);
        line(
            &mut text,
            format_args!(
                "  {name:<13} overlap {:.3}  recall {:.3} -> {:.3}  NDCG {:.3} -> {:.3}",
                alike.overlap, memory.recall, copy.recall, memory.ndcg, copy.ndcg
            ),
        );
    };
    way("as retrieved", &quality.hybrid);
    if let Some(dense) = &quality.dense {
        way("by embedding", dense);
    }
    if quality.passes() {
        line(&mut text, format_args!("  the quality gate passes"));
    }
    quality.faults.iter().for_each(|fault| line(&mut text, format_args!("  {}", escaped(fault))));
    text
}

fn alike_object(alike: &Alike) -> Value {
    Value::Object(show::object([
        ("overlap", show::double(alike.overlap)),
        ("recall_before", show::double(alike.memory.recall)),
        ("recall_after", show::double(alike.copy.recall)),
        ("ndcg_before", show::double(alike.memory.ndcg)),
        ("ndcg_after", show::double(alike.copy.ndcg)),
    ]))
}

/// The same for machines.
pub(super) fn quality_object(quality: &QualityReport) -> Object {
    show::object([
        ("asked", show::number(quality.asked)),
        ("known", show::number(quality.known)),
        ("hybrid", alike_object(&quality.hybrid)),
        ("dense", quality.dense.as_ref().map_or(Value::Null, alike_object)),
        ("degraded", show::number(quality.degraded)),
        ("passes", Value::from(quality.passes())),
        ("faults", show::strings(&quality.faults)),
    ])
}

/// A comparison for people.
pub(super) fn report_text(report: &ReembeddingReport) -> String {
    let seen = &report.comparison;
    let differing = seen.differing as usize + report.missing.len() + report.index_faults.len();
    let mut text = String::new();
    line(
        &mut text,
        format_args!(
            "{} changes, {} records in {} revisions, {} embeddings by the new model, {} events, {} versions of slots compared: {}",
            seen.changes,
            seen.records,
            seen.revisions,
            seen.embeddings,
            seen.events,
            seen.slots,
            if report.is_same() { "the same memory".to_owned() } else { show::plural(differing, "difference") }
        ),
    );
    for difference in seen.differences.iter().chain(&report.missing).chain(&report.index_faults) {
        line(&mut text, format_args!("  {}", escaped(difference)));
    }
    text + &quality_text(&report.quality)
}

/// The same for machines.
pub(super) fn report_object(report: &ReembeddingReport) -> Object {
    let seen = &report.comparison;
    show::object([
        ("same", Value::from(report.is_same())),
        ("changes", Value::from(seen.changes)),
        ("records", Value::from(seen.records)),
        ("embeddings", Value::from(seen.embeddings)),
        ("differing", Value::from(seen.differing)),
        ("differences", show::strings(&seen.differences)),
        ("missing", show::strings(&report.missing)),
        ("index_faults", show::strings(&report.index_faults)),
        ("quality", Value::Object(quality_object(&report.quality))),
    ])
}

/// A switch for machines.
pub(super) fn switched_object(switched: &Switched, done: bool) -> Object {
    show::object([
        ("switched", Value::from(done)),
        ("head", Value::from(switched.head.0)),
        ("paused_ms", Value::from(switched.paused.as_millis() as u64)),
    ])
}
