//! The command line of Mnemic: reads arguments, runs one verb, shows its answer, exits with a documented code.
//! Not here: what the verbs do to memory (the `mnemic` crate).

mod args;
mod commands;
mod context;
mod evaluation;
mod exit;
mod formats;
mod input;
mod output;
mod run;
mod show;

use std::process::ExitCode;

fn main() -> ExitCode {
    run::run(std::env::args_os().collect())
}
