//! `mnemic add`: remembers one statement.

#![expect(clippy::doc_markdown, reason = "doc comments of options are help texts, which show backticks as they are")]

use mnemic::{
    Dedupe, NewRecord, Precondition, RecordId, RecordOutcome, ThreadId, UserId, Version, WriteOptions, WriteReport,
    wire,
};

use crate::{context::Context, exit::Result, input, output::Answer};

/// Options of `add`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The statement; - or nothing reads it from standard input
    #[arg(value_name = "TEXT")]
    text: Option<String>,
    /// Its identity; an id that exists is replaced and its history kept
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Whom it is about
    #[arg(long, short, value_name = "ID")]
    user: Option<String>,
    /// The conversation or run that it belongs to
    #[arg(long, short, value_name = "ID")]
    thread: Option<String>,
    /// semantic, episodic, persona or open_loop
    #[arg(long, short, value_name = "KIND")]
    kind: Option<String>,
    /// A label; repeat it for several
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// Label segments, outermost first, such as case/o1a
    #[arg(long, value_name = "A/B")]
    path: Option<String>,
    /// Anything else, such as '{"form":"I-485"}'
    #[arg(long, value_name = "JSON")]
    metadata: Option<String>,
    /// Who or what says it
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// How much it matters, 0 to 1
    #[arg(long, value_name = "RATIO", allow_negative_numbers = true)]
    salience: Option<f64>,
    /// How sure it is, 0 to 1
    #[arg(long, value_name = "RATIO", allow_negative_numbers = true)]
    confidence: Option<f64>,
    /// From when on it holds, such as 2026-01-31T09:30:00Z
    #[arg(long, value_name = "TIME")]
    valid_from: Option<String>,
    /// Until when it holds
    #[arg(long, value_name = "TIME")]
    valid_to: Option<String>,
    /// When it stops being memory
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    /// Only if this version is stored; 0 means: must not exist
    #[arg(long, value_name = "VERSION")]
    expect_version: Option<u64>,
    /// Derive the id from user, kind and words, so that the same statement is kept once
    #[arg(long, conflicts_with = "id")]
    dedupe: bool,
    /// Makes a repetition of this call change nothing
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

/// Runs `add`.
pub(crate) async fn run(ctx: &Context, args: &Args) -> Result<Answer> {
    let draft = draft(args)?;
    let options = WriteOptions {
        idempotency_key: args.idempotency_key.clone(),
        dedupe: if args.dedupe { Dedupe::ByContent } else { Dedupe::Never },
    };
    let memory = ctx.open()?;
    let report = memory.write(vec![draft], &options).await?;
    ctx.close(&memory).await;
    for warning in &report.warnings {
        tracing::warn!("{warning}");
    }
    Ok(answer(&report))
}

fn draft(args: &Args) -> mnemic::Result<NewRecord> {
    Ok(NewRecord {
        id: args.id.as_ref().map(RecordId::new).transpose()?,
        user_id: args.user.as_ref().map(UserId::new).transpose()?,
        thread_id: args.thread.as_ref().map(ThreadId::new).transpose()?,
        kind: args.kind.as_deref().map(str::parse).transpose()?,
        path: args.path.iter().flat_map(|path| path.split('/')).map(str::to_owned).collect(),
        tags: args.tag.iter().cloned().collect(),
        metadata: args.metadata.as_ref().map(|json| input::object("metadata", json)).transpose()?.unwrap_or_default(),
        source: args.source.clone(),
        salience: input::ratio("salience", args.salience)?,
        confidence: input::ratio("confidence", args.confidence)?,
        valid_from: input::instant("valid_from", args.valid_from.as_ref())?,
        valid_to: input::instant("valid_to", args.valid_to.as_ref())?,
        expires_at: input::instant("expires_at", args.expires_at.as_ref())?,
        expect: args.expect_version.map_or(Precondition::Any, |version| Precondition::Version(Version(version))),
        // Read last, so that a wrong option is told before standard input is waited for.
        text: input::text(args.text.as_deref())?,
        ..NewRecord::default()
    })
}

fn answer(report: &WriteReport) -> Answer {
    let data = wire::write_report_object(report);
    let lines: Vec<String> = report
        .records
        .iter()
        .map(|written| {
            let done = if report.replayed { "remembered before" } else { "remembered" };
            let id = crate::output::one_line(written.id.as_str());
            match written.outcome {
                RecordOutcome::Indexed => format!("{done}: {id} (version {})", written.version),
                RecordOutcome::Pending => format!("{done}: {id} (version {}, indexing is pending)", written.version),
                RecordOutcome::Spooled => format!("kept on this machine until the ledger is back: {id}"),
            }
        })
        .collect();
    let ids: Vec<&str> = report.records.iter().map(|written| written.id.as_str()).collect();
    Answer::new(data, lines.join("\n")).count(report.records.len()).brief(ids.join("\n"))
}
