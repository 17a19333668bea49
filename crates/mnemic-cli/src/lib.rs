//! The command line of Mnemic: reads arguments, runs one verb, shows its answer, and says how to exit.
//! Not here: what the verbs do to memory (the `mnemic` crate), and ending the process (whoever calls [`run`]).

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

pub use run::run;
