//! `mnemic stats`: what the memory holds, in numbers.

use mnemic::wire;

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
    Ok(Answer::new(wire::stats_object(&stats), show::table(&ctx.output, &[], rows)).brief(ledger.records.to_string()))
}

fn row(name: &str, count: u64) -> Vec<String> {
    vec![name.to_owned(), count.to_string()]
}
