//! `mnemic thread`: one thread as a log, and the list of threads.

use mnemic::{Error, PageRequest, ThreadId, ThreadSummary, Value, ids::quoted, wire};

use crate::{context::Context, exit::Result, output::Answer, show};

/// What to do with threads.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show a thread's events, one line each
    Show {
        /// The thread
        #[arg(value_name = "THREAD")]
        id: String,
    },
    /// List threads
    List,
}

impl Command {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Show { .. } => "thread show",
            Self::List => "thread list",
        }
    }
}

/// Runs `thread`.
pub(crate) async fn run(ctx: &Context, command: &Command) -> Result<Answer> {
    match command {
        Command::Show { id } => snapshot(ctx, &ThreadId::new(id)?).await,
        Command::List => list(ctx).await,
    }
}

async fn snapshot(ctx: &Context, id: &ThreadId) -> Result<Answer> {
    let memory = ctx.open_existing()?;
    let snapshot = memory.snapshot_thread(id).await?;
    if snapshot.is_empty() {
        return Err(Error::not_found(format!("thread {}", quoted(id.as_str()))).into());
    }
    let text = ctx.output.safe(&snapshot).into_owned();
    let count = snapshot.lines().count();
    let data = show::object([("thread_id", Value::from(id.as_str())), ("snapshot", Value::from(snapshot.as_str()))]);
    Ok(Answer::new(data, text).count(count).brief(snapshot))
}

async fn list(ctx: &Context) -> Result<Answer> {
    let memory = ctx.open_existing()?;
    let mut page = PageRequest::largest();
    let mut threads: Vec<ThreadSummary> = Vec::new();
    loop {
        let found = memory.threads(&page).await?;
        threads.extend(found.items);
        if found.next.is_none() {
            break;
        }
        page = page.after(found.next);
    }
    let rows = threads
        .iter()
        .map(|thread| vec![thread.thread_id.to_string(), thread.events.to_string(), thread.last_at.to_string()])
        .collect();
    let text =
        if threads.is_empty() { String::new() } else { show::table(&ctx.output, &["thread", "events", "last"], rows) };
    let ids: Vec<&str> = threads.iter().map(|thread| thread.thread_id.as_str()).collect();
    let data = show::object([("threads", show::objects(threads.iter().map(wire::thread_summary_object)))]);
    Ok(Answer::new(data, text).count(threads.len()).brief(ids.join("\n")))
}
