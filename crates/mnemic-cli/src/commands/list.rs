//! `mnemic list`: lists records.

use mnemic::{Cursor, MemoryRecord, Order, PageRequest, Value, wire};

use crate::{
    context::Context,
    exit::Result,
    input::{self, FilterArgs},
    output::Answer,
    show,
};

/// Options of `list`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    filter: FilterArgs,
    /// Most records, 1 to 1000
    #[arg(long, short, value_name = "COUNT", default_value = "50", value_parser = input::count, allow_hyphen_values = true)]
    limit: usize,
    /// Go on where the page before ended
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    /// Last made first
    #[arg(long)]
    newest: bool,
    /// Every page
    #[arg(long, conflicts_with_all = ["limit", "after"])]
    all: bool,
    /// As memory stood at this instant
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
}

/// Runs `list`.
pub(crate) async fn run(ctx: &Context, args: &Args) -> Result<Answer> {
    let filter = args.filter.filter()?;
    let as_of = input::instant("as_of", args.as_of.as_ref())?;
    let order = if args.newest { Order::Newest } else { Order::Oldest };
    let first = if args.all { PageRequest::largest() } else { PageRequest::first(args.limit)? };
    let mut page = first.ordered(order).after(args.after.clone().map(Cursor));
    let memory = ctx.open_existing()?;
    let mut records: Vec<MemoryRecord> = Vec::new();
    let next = loop {
        let found = memory.list(&filter, as_of, &page).await?;
        records.extend(found.items);
        if !args.all || found.next.is_none() {
            break found.next;
        }
        page = page.after(found.next);
    };
    if let Some(cursor) = &next {
        ctx.note(&format!("there is more: --after {}", cursor.0));
    }
    let now = as_of.unwrap_or_else(|| memory.now());
    let lines: Vec<String> = records.iter().map(|record| show::record_line(&ctx.output, record, now)).collect();
    let ids: Vec<&str> = records.iter().map(|record| record.id.as_str()).collect();
    let mut data = show::object([("records", show::objects(records.iter().map(wire::record_object)))]);
    if let Some(cursor) = next {
        data.insert("next".to_owned(), Value::from(cursor.0));
    }
    Ok(Answer::new(data, lines.join("\n")).count(records.len()).brief(ids.join("\n")))
}
