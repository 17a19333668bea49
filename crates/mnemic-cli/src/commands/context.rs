//! `mnemic context`: slots, records and recent events of a thread as one prompt block.

use mnemic::{ContextRequest, ThreadId, wire};

use crate::{
    context::Context,
    exit::Result,
    input::{self, FilterArgs},
    output::Answer,
};

/// Options of `context`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The thread whose slots and events come first
    #[arg(value_name = "THREAD", id = "of_thread")]
    thread: String,
    /// What the records should be about; without it, the thread's last event
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    query: Option<String>,
    /// Most tokens, as estimated
    #[arg(long, short, value_name = "TOKENS", default_value = "1000", value_parser = input::count, allow_hyphen_values = true)]
    budget: usize,
    /// Most records to consider
    #[arg(long, short, value_name = "COUNT", value_parser = input::count, allow_hyphen_values = true)]
    limit: Option<usize>,
    #[command(flatten)]
    filter: FilterArgs,
}

/// Runs `context`.
pub(crate) async fn run(ctx: &Context, args: &Args) -> Result<Answer> {
    let thread = ThreadId::new(&args.thread)?;
    let request = ContextRequest {
        query: args.query.clone(),
        filter: args.filter.filter()?,
        limit: args.limit,
        budget: args.budget,
        ..ContextRequest::default()
    };
    let block = ctx.open_existing()?.context(&thread, &request).await?;
    for reason in &block.degraded {
        tracing::warn!("{reason}");
    }
    if block.text.is_empty() {
        ctx.note("nothing to say, or nothing fits the budget");
    }
    let text = ctx.output.safe(&block.text).into_owned();
    Ok(Answer::new(wire::context_object(&block), text).brief(block.text))
}
