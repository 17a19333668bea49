//! `mnemic migrate`: moves memories to another backend: the steps, and which namespace goes where. Not here: what a step does (a file
//! for each), and how it is done (the library).

mod lost;
mod merge;
mod meter;
mod notes;
mod plan;
mod report;
mod rules;
mod run;
mod switch;
mod verify;

use std::path::{Path, PathBuf};

use mnemic::{Builder, MemoryManager};

use crate::{
    commands::namespaces::every_namespace,
    context::Context,
    exit::{Failure, Result},
    output::Answer,
};

/// The steps of a migration.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Say what would be moved, how long it takes, what will be different, and what stands in the way; changes nothing
    Plan(plan::Args),
    /// Copy, or go on copying, until the target holds what the source holds
    Run(run::Args),
    /// Say how far a move is, who serves, and what the other place lacks
    Status(switch::StatusArgs),
    /// Compare every record, revision, embedding, event and slot; exit code 7 if anything differs
    Verify(verify::Args),
    /// Switch every process to the copy; until then, and after it, everything can be taken back
    Cutover(switch::CutoverArgs),
    /// Take a move back: before the switch the copy is removed, after it the memory returns with what was written since
    Rollback(switch::RollbackArgs),
    /// Remove the copy from the target; the memory stays where it serves
    Abort(switch::AbortArgs),
    /// After a move, remove what the old place still holds; a pointer stays
    Finish(switch::FinishArgs),
    /// Write down where a move stands: both places, the last verification, the switches so far
    Report(report::Args),
    /// Write what memories hold into one that goes on, by rule; may be repeated
    Merge(merge::Args),
}

/// Where to.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Target {
    /// A directory: the target is an embedded memory there
    #[arg(long, value_name = "DIR", required_unless_present = "to_env", conflicts_with = "to_env")]
    to: Option<PathBuf>,
    /// A file of variables, such as the .env of a deployment: the target is the memory that they name
    #[arg(long, value_name = "FILE")]
    to_env: Option<PathBuf>,
    #[command(flatten)]
    rules: rules::Rules,
}

impl Command {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Plan(_) => "migrate plan",
            Self::Run(_) => "migrate run",
            Self::Status(_) => "migrate status",
            Self::Verify(_) => "migrate verify",
            Self::Cutover(_) => "migrate cutover",
            Self::Rollback(_) => "migrate rollback",
            Self::Abort(_) => "migrate abort",
            Self::Finish(_) => "migrate finish",
            Self::Report(_) => "migrate report",
            Self::Merge(_) => "migrate merge",
        }
    }
}

/// A namespace and where it goes.
struct Pair {
    source: MemoryManager,
    target: MemoryManager,
}

impl Pair {
    /// Both names, or the one that they share.
    fn names(&self) -> String {
        let (source, target) = (self.source.namespace(), self.target.namespace());
        if source == target { source.to_string() } else { format!("{source} -> {target}") }
    }
}

/// Runs `migrate`.
pub(crate) async fn run(ctx: &Context, command: &Command) -> Result<Answer> {
    match command {
        Command::Plan(args) => plan::run(ctx, args).await,
        Command::Run(args) => run::run(ctx, args).await,
        Command::Status(args) => switch::status(ctx, args).await,
        Command::Verify(args) => verify::run(ctx, args).await,
        Command::Cutover(args) => switch::cutover(ctx, args).await,
        Command::Rollback(args) => switch::rollback(ctx, args).await,
        Command::Abort(args) => switch::abort(ctx, args).await,
        Command::Finish(args) => switch::finish(ctx, args).await,
        Command::Report(args) => report::run(ctx, args).await,
        Command::Merge(args) => merge::run(ctx, args).await,
    }
}

/// What goes where. A memory that moved before is taken from where it is now.
async fn pairs(ctx: &Context, target: &Target, opened: &MemoryManager) -> Result<Vec<Pair>> {
    let source = ctx.open_existing()?;
    let routes = target.rules.routes(ctx.namespace(), || every_namespace(&source)).await?;
    let mut pairs = Vec::with_capacity(routes.len());
    for (from, to) in routes {
        let target = opened.in_namespace(to);
        pairs.push(Pair { source: source.in_namespace(from).place_before(&target).await?, target });
    }
    Ok(pairs)
}

/// The same with a target that must be there already.
async fn existing_pairs(ctx: &Context, target: &Target) -> Result<Vec<Pair>> {
    if let Some(directory) = target.to.as_deref().filter(|directory| !directory.exists()) {
        let message = format!("to: expected a memory at {}, found nothing", directory.display());
        return Err(Failure::not_found(message).hint("mnemic migrate run makes the copy"));
    }
    pairs(ctx, target, &open(ctx, target)?).await
}

/// The target. Nothing of the source's environment reaches it: a variable that was meant for one must not lead to the other.
fn open(ctx: &Context, target: &Target) -> Result<MemoryManager> {
    let parts = match (&target.to, &target.to_env) {
        (Some(directory), _) => Builder::embedded(directory)?,
        (None, Some(file)) => Builder::from_env_file(file)?,
        (None, None) => return Err(Failure::usage("to: expected --to DIR or --to-env FILE, found neither")),
    };
    Ok(parts.build(ctx.namespace().clone())?)
}

/// The target as the user typed it.
fn typed(target: &Target) -> String {
    let shown = |option: &str, path: &Path| format!("--{option} {}", path.display());
    let place = match (&target.to, &target.to_env) {
        (Some(directory), _) => shown("to", directory),
        (None, file) => file.as_deref().map(|file| shown("to-env", file)).unwrap_or_default(),
    };
    place + &target.rules.typed()
}
