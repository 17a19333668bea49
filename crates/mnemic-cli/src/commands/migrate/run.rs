//! `mnemic migrate run`: copies, goes on copying, and keeps the copy up to date. Not here: how commits travel (the library).

use std::{fmt::Write as _, future, time::Duration};

use mnemic::{ErrorKind, MigrateOptions, Object, Retry, Value};
use tokio::time::Instant;

use super::{Pair, Target, meter::Meter, open, pairs, switch::phase_text, typed};
use crate::{
    context::Context,
    exit::{Failure, Result},
    input,
    output::Answer,
    show,
};

/// Between two looks at a source that is followed.
const GLANCE: Duration = Duration::from_millis(250);
/// How long following waits after a failure, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Options of `migrate run`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Copy at most so many changes a second
    #[arg(long, value_name = "CHANGES", value_parser = clap::value_parser!(u32).range(1..))]
    limit_rate: Option<u32>,
    /// Go on until Ctrl-C: what is written to the source is in the copy within a second
    #[arg(long)]
    follow: bool,
    /// End following after this time, such as 10m
    #[arg(long = "for", value_name = "TIME", requires = "follow")]
    duration: Option<String>,
}

/// What following ended by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Interrupted,
    Time,
    Switched,
}

impl Ended {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Interrupted => "interrupted",
            Self::Time => "time",
            Self::Switched => "switched",
        }
    }
}

/// A namespace and what was done for it.
struct Copied {
    pair: Pair,
    changes: u64,
    /// Whether the target is still a copy.
    copy: bool,
}

/// Runs `migrate run`.
pub(super) async fn run(ctx: &Context, args: &Args) -> Result<Answer> {
    let how = MigrateOptions { rate: args.limit_rate, ..MigrateOptions::default() };
    let duration = args.duration.as_deref().map(|text| input::duration("for", text)).transpose()?;
    let mut copied = Vec::new();
    for pair in pairs(ctx, &args.target, &open(ctx, &args.target)?).await? {
        let before = pair.source.move_status(&pair.target).await?;
        let mut meter = Meter::new(ctx, &pair.names(), before.target.1.0, before.source.1.0);
        let followed = pair.source.migrate_with(&pair.target, &how, |seq| meter.reached(seq)).await;
        meter.end();
        let changes = followed?.changes;
        ctx.close(&pair.target).await;
        copied.push(Copied { pair, changes, copy: true });
    }
    let to = typed(&args.target);
    if !args.follow {
        let next = format!("mnemic migrate verify {to} compares both; run again to bring over what was written since");
        return answer(&copied, None, &next).await;
    }
    let ended = follow(ctx, &mut copied, &how, duration).await?;
    for one in &copied {
        ctx.close(&one.pair.target).await;
    }
    let next = match ended {
        Ended::Interrupted | Ended::Time => format!("run again to go on; mnemic migrate cutover {to} switches"),
        Ended::Switched => "there is nothing to follow any more".to_owned(),
    };
    answer(&copied, Some(ended), &next).await
}

async fn follow(
    ctx: &Context,
    copied: &mut [Copied],
    how: &MigrateOptions,
    duration: Option<Duration>,
) -> Result<Ended> {
    let unwatched = |error: std::io::Error| Failure::other(format!("cannot wait for Ctrl-C: {error}"));
    let interrupted = ctx.interrupts.awaited().map_err(unwatched)?;
    let time_is_up = async {
        match duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => future::pending().await,
        }
    };
    ctx.note("following the source until Ctrl-C");
    tokio::select! {
        () = interrupted => Ok(Ended::Interrupted),
        () = time_is_up => Ok(Ended::Time),
        ended = rounds(ctx, copied, how) => ended.map(|()| Ended::Switched),
    }
}

/// Until no target is a copy any more.
async fn rounds(ctx: &Context, copied: &mut [Copied], how: &MigrateOptions) -> Result<()> {
    let mut pause = PAUSES.0;
    while copied.iter().any(|one| one.copy) {
        let begun = Instant::now();
        match round(copied, how).await {
            Ok(()) => {
                pause = PAUSES.0;
                tokio::time::sleep_until(begun + GLANCE).await;
            }
            Err(error) if error.retry() != Retry::Never || error.kind() == ErrorKind::Unavailable => {
                ctx.note(&format!("{}; following goes on in {} s", error.message(), pause.as_secs()));
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

async fn round(copied: &mut [Copied], how: &MigrateOptions) -> mnemic::Result<()> {
    for one in copied.iter_mut().filter(|one| one.copy) {
        match one.pair.source.keep_up(&one.pair.target, how, |_| {}).await? {
            Some(followed) => one.changes += followed.changes,
            None => one.copy = false,
        }
    }
    Ok(())
}

async fn answer(copied: &[Copied], ended: Option<Ended>, next: &str) -> Result<Answer> {
    let (mut text, mut objects) = (String::new(), Vec::new());
    for Copied { pair, changes, .. } in copied {
        let status = pair.source.move_status(&pair.target).await?;
        let head = status.target.1.0;
        let _infallible =
            writeln!(text, "{}: {changes} changes copied, the target stands at position {head}", pair.names());
        if ended.is_some() {
            let _infallible = writeln!(text, "  {}", phase_text(&status));
        }
        objects.push(show::object([
            ("namespace", Value::from(pair.source.namespace().as_str())),
            ("target", Value::from(pair.target.namespace().as_str())),
            ("changes", Value::from(*changes)),
            ("head", Value::from(head)),
            ("behind", Value::from(status.behind())),
            ("phase", Value::from(status.phase.as_str())),
        ]));
    }
    text.push_str(next);
    let mut data: Object = show::object([("namespaces", show::objects(objects))]);
    if let Some(ended) = ended {
        data.insert("ended".to_owned(), Value::from(ended.as_str()));
    }
    Ok(Answer::new(data, text).count(copied.len()))
}
