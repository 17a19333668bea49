//! `mnemic log`: the events of the audit log, and appending one.

#![expect(clippy::doc_markdown, reason = "doc comments of options are help texts, which show backticks as they are")]

use mnemic::{
    AppendOutcome, Appended, ChainedEvent, EventId, NewEvent, Order, PageRequest, Sequence, ThreadId, UserId, Value,
    WrittenRecord, ports::EventRange, wire,
};

use crate::{
    context::Context,
    exit::Result,
    input,
    output::{Answer, one_line},
    show,
};

/// Options of `log`.
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
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

#[derive(Clone, Debug, clap::Subcommand)]
enum Action {
    /// Append an event
    Add(AddArgs),
}

/// Options of `log add`.
#[derive(Clone, Debug, clap::Args)]
struct AddArgs {
    /// The conversation or run
    #[arg(value_name = "THREAD")]
    thread: String,
    /// What happened, such as message or fact_corrected
    #[arg(value_name = "ACTION")]
    action: String,
    /// What was said; - reads it from standard input
    #[arg(value_name = "TEXT")]
    text: Option<String>,
    /// The particulars, such as '{"form":"I-485"}'
    #[arg(long, value_name = "JSON")]
    payload: Option<String>,
    /// Who or what reports it
    #[arg(long, value_name = "NAME", default_value = "user")]
    source: String,
    /// Whom it is about
    #[arg(long, short, value_name = "ID")]
    user: Option<String>,
    /// A label; repeat it for several
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// Its identity; the same event again changes nothing
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// When it happened; now if absent
    #[arg(long, value_name = "TIME")]
    timestamp: Option<String>,
    /// Also remember what it says as a record
    #[arg(long)]
    reflect: bool,
}

impl Args {
    pub(crate) fn name(&self) -> &'static str {
        match self.action {
            Some(Action::Add(_)) => "log add",
            None => "log",
        }
    }
}

/// Runs `log`.
pub(crate) async fn run(ctx: &Context, args: &Args) -> Result<Answer> {
    match &args.action {
        Some(Action::Add(args)) => add(ctx, args).await,
        None => show_events(ctx, args).await,
    }
}

async fn add(ctx: &Context, args: &AddArgs) -> Result<Answer> {
    let event = draft(args)?;
    let memory = ctx.open()?;
    let (event_id, appended, records) = if args.reflect {
        let written = memory.write_event(event).await?;
        ctx.close(&memory).await;
        for warning in &written.report.warnings {
            tracing::warn!("{warning}");
        }
        (written.event_id, written.appended, written.report.records)
    } else {
        let (event_id, appended) = memory.log_audit(event).await?;
        (event_id, appended, Vec::new())
    };
    Ok(added(&event_id, appended, &records))
}

fn draft(args: &AddArgs) -> mnemic::Result<NewEvent> {
    let mut event = NewEvent::new(ThreadId::new(&args.thread)?, args.source.as_str(), args.action.as_str());
    event.event_id = args.id.as_ref().map(EventId::new).transpose()?;
    event.timestamp = input::instant("timestamp", args.timestamp.as_ref())?;
    event.user_id = args.user.as_ref().map(UserId::new).transpose()?;
    event.tags = args.tag.iter().cloned().collect();
    event.payload = args.payload.as_ref().map(|json| input::object("payload", json)).transpose()?.unwrap_or_default();
    if let Some(text) = &args.text {
        event.payload.insert("text".to_owned(), Value::from(input::text(Some(text))?));
    }
    Ok(event)
}

fn added(event_id: &EventId, appended: Appended, records: &[WrittenRecord]) -> Answer {
    let data = show::object([
        ("event_id", Value::from(event_id.as_str())),
        ("sequence", Value::from(appended.sequence.0)),
        ("duplicate", Value::from(appended.outcome == AppendOutcome::Duplicate)),
        ("records", show::strings(records.iter().map(|written| &written.id))),
    ]);
    let done = match appended.outcome {
        AppendOutcome::New => "appended",
        AppendOutcome::Duplicate => "was there before",
        AppendOutcome::Spooled => "kept on this machine until the ledger is back",
    };
    let remembered =
        if records.is_empty() { String::new() } else { format!(", {}", show::plural(records.len(), "record")) };
    let text = format!("{done}: {} at sequence {}{remembered}", one_line(event_id.as_str()), appended.sequence);
    Answer::new(data, text).count(1).brief(event_id.as_str())
}

async fn show_events(ctx: &Context, args: &Args) -> Result<Answer> {
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
