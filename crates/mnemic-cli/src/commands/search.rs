//! `mnemic search`: finds records by meaning and by words.

use mnemic::{Mode, Query, Shown, wire};

use crate::{
    context::Context,
    exit::Result,
    input::{self, FilterArgs},
    output::Answer,
    show,
};

/// Options of `search`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// What to look for; any text, - reads it from standard input
    #[arg(value_name = "QUERY")]
    query: Option<String>,
    /// Most hits, 1 to 1000
    #[arg(long, short, value_name = "COUNT", default_value = "10", value_parser = input::count, allow_hyphen_values = true)]
    limit: usize,
    #[command(flatten)]
    filter: FilterArgs,
    /// hybrid (both), dense (by meaning) or lexical (by words)
    #[arg(long, value_name = "MODE", value_enum, default_value = "hybrid", hide_possible_values = true)]
    mode: ModeName,
    /// As memory stood at this instant, such as 2026-01-31T09:30:00Z
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
    /// Also what has expired, was superseded or does not hold
    #[arg(long)]
    all: bool,
    /// Say why each hit is where it is
    #[arg(long)]
    explain: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ModeName {
    Hybrid,
    Dense,
    Lexical,
}

/// Runs `search`.
pub(crate) async fn run(ctx: &Context, args: &Args) -> Result<Answer> {
    let query = Query {
        limit: Some(args.limit),
        filter: args.filter.filter()?,
        mode: match args.mode {
            ModeName::Hybrid => Mode::Hybrid,
            ModeName::Dense => Mode::Dense,
            ModeName::Lexical => Mode::Lexical,
        },
        as_of: input::instant("as_of", args.as_of.as_ref())?,
        shown: if args.all { Shown::All } else { Shown::Live },
        text: input::text(args.query.as_deref()).map_err(|error| renamed(&error))?,
        ..Query::default()
    };
    let memory = ctx.open_existing()?;
    let found = memory.retrieve(&query).await?;
    for reason in &found.degraded {
        tracing::warn!("{reason}");
    }
    if found.hits.is_empty() {
        ctx.note("nothing found");
    }
    let explained = args.explain.into();
    let mut text = String::new();
    for (i, hit) in found.hits.iter().enumerate() {
        text.push_str(&show::hit_block(&ctx.output, i + 1, hit, explained));
    }
    if args.explain {
        text.push_str(&show::legs(ctx.output.paint, &found));
    }
    let ids: Vec<&str> = found.hits.iter().map(|hit| hit.record.id.as_str()).collect();
    Ok(Answer::new(wire::retrieval_object(&found), text).count(found.hits.len()).brief(ids.join("\n")))
}

/// The text to look for is a query, also where it comes from standard input.
fn renamed(error: &mnemic::Error) -> mnemic::Error {
    mnemic::Error::new(error.kind(), error.message().replacen("text:", "query:", 1)).with_field("query")
}
