//! The verbs, one file each: its options, its call, its answer. Not here: options of every verb (`args`).

pub(crate) mod add;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod bench;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod consolidate;
pub(crate) mod context;
pub(crate) mod demo;
pub(crate) mod dev;
pub(crate) mod doctor;
pub(crate) mod eval;
pub(crate) mod export;
pub(crate) mod forget;
pub(crate) mod get;
pub(crate) mod health;
pub(crate) mod help;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod list;
pub(crate) mod log;
pub(crate) mod migrate;
pub(crate) mod namespaces;
pub(crate) mod reembed;
pub(crate) mod restore;
pub(crate) mod search;
pub(crate) mod slots;
pub(crate) mod stats;
pub(crate) mod thread;

use crate::{
    args::Command,
    context::Context,
    exit::Result,
    output::{Answer, Output},
};

/// Runs one verb.
pub(crate) async fn run(ctx: &Context, command: &Command) -> Result<Answer> {
    match command {
        Command::Init(args) => init::run(ctx, args).await,
        Command::Demo(args) => demo::run(ctx, args).await,
        Command::Add(args) => add::run(ctx, args).await,
        Command::Search(args) => search::run(ctx, args).await,
        Command::Get(args) => get::run(ctx, args).await,
        Command::List(args) => list::run(ctx, args).await,
        Command::History(args) => history::run(ctx, args).await,
        Command::Log(args) => log::run(ctx, args).await,
        Command::Thread(command) => thread::run(ctx, command).await,
        Command::Slots(command) => slots::run(ctx, command).await,
        Command::Context(args) => context::run(ctx, args).await,
        Command::Consolidate(args) => consolidate::run(ctx, args).await,
        Command::Forget(args) => forget::run(ctx, args).await,
        Command::Import(args) => import::run(ctx, args).await,
        Command::Export(args) => export::run(ctx, args).await,
        Command::Stats(args) => stats::run(ctx, args).await,
        Command::Health(args) => health::run(ctx, args).await,
        Command::Doctor(args) => doctor::run(ctx, args).await,
        Command::Audit(command) => audit::run(ctx, command).await,
        Command::Eval(args) => eval::run(ctx, args).await,
        Command::Bench(args) => bench::run(ctx, args).await,
        Command::Backup(args) => backup::run(ctx, args).await,
        Command::Migrate(command) => migrate::run(ctx, command).await,
        Command::Reembed(command) => reembed::run(ctx, command).await,
        Command::Restore(args) => restore::run(ctx, args).await,
        Command::Namespaces(args) => namespaces::run(ctx, args).await,
        Command::Config(command) => config::run(ctx, command).await,
        Command::Dev(command) => dev::run(&ctx.output, command),
        Command::Completions(args) => Ok(completions::run(args)),
        Command::Help(args) => help::run(args),
    }
}

/// Runs a verb that is about the program itself, which works with any settings and without a memory.
pub(crate) fn run_without_settings(output: &Output, command: &Command) -> Option<Result<Answer>> {
    match command {
        Command::Dev(command) => Some(dev::run(output, command)),
        Command::Completions(args) => Some(Ok(completions::run(args))),
        Command::Help(args) => Some(help::run(args)),
        _ => None,
    }
}

impl Command {
    /// The verb as it is typed, with its second word where it has one.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Init(_) => "init",
            Self::Demo(_) => "demo",
            Self::Add(_) => "add",
            Self::Search(_) => "search",
            Self::Get(_) => "get",
            Self::List(_) => "list",
            Self::History(_) => "history",
            Self::Log(args) => args.name(),
            Self::Thread(command) => command.name(),
            Self::Slots(command) => command.name(),
            Self::Context(_) => "context",
            Self::Consolidate(args) => args.name(),
            Self::Forget(_) => "forget",
            Self::Import(_) => "import",
            Self::Export(_) => "export",
            Self::Stats(_) => "stats",
            Self::Health(_) => "health",
            Self::Doctor(_) => "doctor",
            Self::Audit(command) => command.name(),
            Self::Eval(_) => "eval",
            Self::Bench(_) => "bench",
            Self::Backup(_) => "backup",
            Self::Migrate(command) => command.name(),
            Self::Reembed(command) => command.name(),
            Self::Restore(_) => "restore",
            Self::Namespaces(_) => "namespaces",
            Self::Config(command) => command.name(),
            Self::Dev(command) => command.name(),
            Self::Completions(_) => "completions",
            Self::Help(_) => "help",
        }
    }
}
