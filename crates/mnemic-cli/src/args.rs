//! The command line as it is typed: global options and verbs. Each verb's own options stand in its file in `commands`.

#![expect(clippy::doc_markdown, reason = "doc comments of options are help texts, which show backticks as they are")]

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand};

use crate::{
    commands::{
        add, audit, backup, bench, completions, config, consolidate, context, demo, dev, doctor, eval, export, forget,
        get, health, help, history, import, init, list, log, migrate, namespaces, reembed, restore, search, slots,
        stats, thread,
    },
    exit::EXIT_CODES,
    output::{Format, When},
};

/// Long-term memory for AI agents: write what an agent learns, find it again, know why, take it back.
#[derive(Debug, Parser)]
#[command(
    name = "mnemic",
    version,
    after_help = EXIT_CODES,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Global options")]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own on the command line")]
pub(crate) struct Globals {
    /// Where the memory lies [env: MNEMIC_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Which memory in it; nothing crosses from one to another [env: MNEMIC_NAMESPACE]
    #[arg(long, short, global = true, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// dev (nothing kept), embedded (a directory) or production (servers) [env: MNEMIC_PROFILE]
    #[arg(long, global = true, value_name = "PROFILE")]
    pub(crate) profile: Option<String>,
    /// static (built in), none (words only), voyage, gemini, openai or tei [env: MNEMIC_EMBEDDER]
    #[arg(long, global = true, value_name = "EMBEDDER")]
    pub(crate) embedder: Option<String>,
    /// Read this file of variables in place of .env
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) env_file: Option<PathBuf>,
    /// Answer with one JSON envelope
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Answer with bare ids or values, one a line
    #[arg(long, short, global = true, conflicts_with = "json")]
    pub(crate) quiet: bool,
    /// When to use color: auto, always or never [default: auto; NO_COLOR and CLICOLOR_FORCE count]
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true,
        hide_default_value = true
    )]
    pub(crate) color: When,
    /// Do not ask before destroying something
    #[arg(long, short = 'y', global = true)]
    pub(crate) yes: bool,
    /// Never ask; refuse what would need an answer
    #[arg(long, global = true, conflicts_with = "yes")]
    pub(crate) no_input: bool,
    /// Log more: -v, -vv, -vvv [env: MNEMIC_LOG]
    #[arg(long, short, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

impl Globals {
    /// What standard output gets.
    pub(crate) fn format(&self) -> Format {
        match (self.json, self.quiet) {
            (true, _) => Format::Json,
            (false, true) => Format::Quiet,
            (false, false) => Format::Text,
        }
    }
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a memory and say where it lies
    Init(init::Args),
    /// Play five months of a legal-case assistant and ask its memory questions
    Demo(demo::Args),
    /// Remember a statement
    Add(add::Args),
    /// Find records by meaning and by words, with the reasons
    Search(search::Args),
    /// Show records by id
    Get(get::Args),
    /// List records
    List(list::Args),
    /// Show every revision of a record
    History(history::Args),
    /// Show the events of the audit log, or append one
    Log(log::Args),
    /// Show a thread as a log, or list threads
    #[command(subcommand)]
    Thread(thread::Command),
    /// Show or set a thread's slots: its small current state
    #[command(subcommand)]
    Slots(slots::Command),
    /// Compose slots, records and events into one prompt block
    Context(context::Args),
    /// Merge duplicates, remove what has expired or faded; can be undone
    Consolidate(consolidate::Args),
    /// Remove everywhere, with a receipt; cannot be undone
    Forget(forget::Args),
    /// Read records, events, conversations or plain text
    Import(import::Args),
    /// Write the memory as canonical JSON Lines
    Export(export::Args),
    /// Count what the memory holds
    Stats(stats::Args),
    /// Ask every part whether it serves
    Health(health::Args),
    /// Check everything and say how to repair what is wrong
    Doctor(doctor::Args),
    /// Verify the audit chain, or note where it ends
    #[command(subcommand)]
    Audit(audit::Command),
    /// Measure how well questions are answered
    Eval(eval::Args),
    /// Measure how fast it is here
    Bench(bench::Args),
    /// Copy the memory while it is in use
    Backup(backup::Args),
    /// Move the memory to another backend, exactly and verified
    #[command(subcommand)]
    Migrate(migrate::Command),
    /// Change the embedding model: a copy with new embeddings, compared, switched to, taken back
    #[command(subcommand)]
    Reembed(reembed::Command),
    /// Bring a backup back into an empty directory
    Restore(restore::Args),
    /// List namespaces
    Namespaces(namespaces::Args),
    /// Show the settings and where each comes from
    #[command(subcommand)]
    Config(config::Command),
    /// Develop without keys: run stand-ins for hosted services
    #[command(subcommand)]
    Dev(dev::Command),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Explain a command; with --json, all of them
    Help(help::Args),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn no_two_options_share_a_name() {
        Cli::command().debug_assert();
    }
}
