//! `mnemic stats`: what the memory holds, in numbers.

use mnemic::{Object, Stats, Value};

use crate::{context::Context, exit::Result, output::Answer, show};

/// Options of `stats`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs `stats`.
pub(crate) async fn run(ctx: &Context, _args: &Args) -> Result<Answer> {
    let stats = ctx.open_existing()?.stats().await?;
    let ledger = &stats.ledger;
    let mut rows = vec![
        row("records", ledger.records),
        row("revisions", ledger.revisions),
        row("embeddings", ledger.embeddings),
        row("events", ledger.events),
        row("threads with slots", ledger.threads_with_slots),
        row("pending work", ledger.outbox),
        row("last change", ledger.head.0),
        vec!["on disk".to_owned(), show::bytes(ledger.bytes)],
        vec!["embedder".to_owned(), stats.model.clone().unwrap_or_else(|| "none".to_owned())],
    ];
    for (name, index) in &stats.indexes {
        let held = format!("{} records, {} embeddings, {}", index.records, index.embeddings, show::bytes(index.bytes));
        rows.push(vec![format!("index {name}"), held]);
    }
    rows.insert(0, vec!["namespace".to_owned(), ctx.namespace().to_string()]);
    Ok(Answer::new(stats_object(&stats), show::table(&ctx.output, &[], rows)).brief(ledger.records.to_string()))
}

fn row(name: &str, count: u64) -> Vec<String> {
    vec![name.to_owned(), count.to_string()]
}

fn stats_object(stats: &Stats) -> Object {
    let ledger = &stats.ledger;
    let indexes = stats.indexes.iter().map(|(name, index)| {
        show::object([
            ("name", Value::from(*name)),
            ("records", Value::from(index.records)),
            ("embeddings", Value::from(index.embeddings)),
            ("bytes", Value::from(index.bytes)),
        ])
    });
    let mut data = show::object([
        ("records", Value::from(ledger.records)),
        ("revisions", Value::from(ledger.revisions)),
        ("embeddings", Value::from(ledger.embeddings)),
        ("events", Value::from(ledger.events)),
        ("threads_with_slots", Value::from(ledger.threads_with_slots)),
        ("outbox", Value::from(ledger.outbox)),
        ("head", Value::from(ledger.head.0)),
        ("bytes", Value::from(ledger.bytes)),
        ("models", show::strings(ledger.models.iter().map(ToString::to_string))),
        ("indexes", show::objects(indexes)),
    ]);
    if let Some(model) = &stats.model {
        data.insert("embedder".to_owned(), Value::from(model.as_str()));
    }
    data
}
