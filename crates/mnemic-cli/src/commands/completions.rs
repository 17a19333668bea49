//! `mnemic completions`: a completion script for a shell.

use clap::CommandFactory;
use clap_complete::Shell;
use mnemic::Value;

use crate::{args::Cli, output::Answer, show};

/// Options of `completions`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

/// Runs `completions`.
pub(crate) fn run(args: &Args) -> Answer {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "mnemic", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    let data = show::object([("shell", Value::from(args.shell.to_string())), ("script", Value::from(script.as_str()))]);
    Answer::new(data, script.as_str()).brief(script.as_str())
}
