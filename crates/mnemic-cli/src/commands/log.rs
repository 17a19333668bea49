//! `mnemic log`: the events of the audit log.

use mnemic::{ChainedEvent, Order, PageRequest, Sequence, ThreadId, UserId, ports::EventRange, wire};

use crate::{context::Context, exit::Result, input, output::Answer, show};

/// Options of `log`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Only events of this thread
    #[arg(long, short, value_name = "ID")]
    thread: Option<String>,
    /// Only events about this user
    #[arg(long, short, value_name = "ID")]
    user: Option<String>,
    /// Most events, 1 to 1000: the last ones, or with --after the next ones
    #[arg(long, short, value_name = "COUNT", default_value = "50", value_parser = input::count, allow_hyphen_values = true)]
    limit: usize,
    /// Events after this position of the chain
    #[arg(long, value_name = "SEQUENCE")]
    after: Option<u64>,
    /// Also what memory tells of its own changes
    #[arg(long)]
    all: bool,
}

/// Runs `log`.
pub(crate) async fn run(ctx: &Context, args: &Args) -> Result<Answer> {
    let range = EventRange {
        thread_id: args.thread.as_ref().map(ThreadId::new).transpose()?,
        user_id: args.user.as_ref().map(UserId::new).transpose()?,
        after: Sequence(args.after.unwrap_or(0)),
        ..EventRange::default()
    };
    let order = if args.after.is_some() { Order::Oldest } else { Order::Newest };
    // A wrong limit is told even if the first page would do.
    PageRequest::first(args.limit)?;
    let mut page = PageRequest::largest().ordered(order);
    let memory = ctx.open_existing()?;
    // An erased entry no longer says whose it was, so it is shown only where everything is.
    let asked_for = args.all || range.thread_id.is_some();
    let wanted =
        |entry: &ChainedEvent| asked_for || entry.event.as_ref().is_some_and(|event| !event.thread_id.is_reserved());
    let mut entries: Vec<ChainedEvent> = Vec::new();
    loop {
        let found = memory.events(&range, &page).await?;
        entries.extend(found.items.into_iter().filter(wanted));
        if entries.len() >= args.limit || found.next.is_none() {
            break;
        }
        page = page.after(found.next);
    }
    entries.truncate(args.limit);
    if order == Order::Newest {
        entries.reverse();
    }
    if entries.is_empty() {
        ctx.note("no events");
    }
    let lines: Vec<String> = entries.iter().map(|entry| show::event_line(&ctx.output, entry)).collect();
    let data = show::object([("events", show::objects(entries.iter().map(wire::chained_event_object)))]);
    Ok(Answer::new(data, lines.join("\n")).count(entries.len()))
}
