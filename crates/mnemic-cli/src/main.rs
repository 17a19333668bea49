//! The program `mnemic`. Not here: anything that it does (the library beside it).

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(mnemic_cli::run(std::env::args_os().collect()))
}
