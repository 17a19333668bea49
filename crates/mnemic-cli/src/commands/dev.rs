//! `mnemic dev`: what people need who develop without keys. Not here: what a stand-in answers (`mnemic-stand-ins`).

use std::io;

use clap::builder::PossibleValuesParser;
use mnemic::Value;
use mnemic_stand_ins::{Knobs, Running, Vendor, vendors};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    exit::{Failure, Result},
    output::{Answer, Output},
    show,
};

/// What to do for a developer.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Run a stand-in for a hosted service on this machine, until Ctrl-C
    StandIn(StandIn),
}

/// Options of `dev stand-in`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct StandIn {
    /// Whose stand-in to run
    #[arg(value_parser = names(), required_unless_present = "list")]
    vendor: Option<String>,
    /// The port of 127.0.0.1 to listen on; 0 takes a free one [default: one for each vendor]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// List the vendors that can be stood in for
    #[arg(long, conflicts_with_all = ["vendor", "port"])]
    list: bool,
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(vendors().iter().map(|vendor| vendor.name))
}

impl Command {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::StandIn(_) => "dev stand-in",
        }
    }
}

/// Runs `dev`, which needs neither settings nor a memory.
pub(crate) fn run(output: &Output, command: &Command) -> Result<Answer> {
    let Command::StandIn(args) = command;
    let chosen = args.vendor.as_deref().and_then(|name| vendors().iter().find(|vendor| vendor.name == name));
    match chosen {
        Some(vendor) => stand_in(output, vendor, args.port.unwrap_or(vendor.default_port)),
        None => Ok(list(output)),
    }
}

fn list(output: &Output) -> Answer {
    let rows = vendors()
        .iter()
        .map(|vendor| vec![vendor.name.to_owned(), vendor.default_port.to_string(), vendor.about.to_owned()]);
    let text = show::table(output, &["vendor", "port", "what it is"], rows.collect());
    let data = vendors().iter().map(|vendor| {
        show::object([
            ("name", Value::from(vendor.name)),
            ("port", Value::from(u64::from(vendor.default_port))),
            ("about", Value::from(vendor.about)),
        ])
    });
    let brief = vendors().iter().map(|vendor| vendor.name).collect::<Vec<_>>().join("\n");
    Answer::new(show::object([("vendors", show::objects(data))]), text).brief(brief).count(vendors().len())
}

fn stand_in(output: &Output, vendor: &Vendor, port: u16) -> Result<Answer> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::other(format!("cannot start: {error}")))?;
    runtime.block_on(async {
        let unwatched = |error: io::Error| Failure::other(format!("cannot wait for Ctrl-C: {error}"));
        // Watched before anything is told, so that whoever reads the address may already stop it.
        let mut interrupt = signal(SignalKind::interrupt()).map_err(unwatched)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(unwatched)?;
        let running = (vendor.serve)(port, Knobs::default()).map_err(|error| refused(port, &error))?;
        output.announce("dev stand-in", &told(vendor, &running))?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        drop(running);
        Ok(Answer::streamed())
    })
}

fn refused(port: u16, error: &io::Error) -> Failure {
    let failure = Failure::other(format!("cannot listen on 127.0.0.1:{port}: {error}"));
    match error.kind() {
        io::ErrorKind::AddrInUse => failure.hint("--port 0 takes a free port"),
        io::ErrorKind::PermissionDenied => failure.hint("choose a --port from 1024 on"),
        _ => failure,
    }
}

/// Lines that a shell can read: what it is in comments, and the variables that lead to it.
fn told(vendor: &Vendor, running: &Running) -> Answer {
    let url = running.url();
    let environment = (vendor.environment)(&url);
    let about = format!("# {} at {url}, until Ctrl-C; nothing of it is kept", vendor.about);
    let exports = environment.iter().map(|(name, value)| format!("export {name}={}", quoted(value)));
    let lines: Vec<String> = std::iter::once(about).chain(exports).collect();
    let variables = environment.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
    let data = show::object([
        ("vendor", Value::from(vendor.name)),
        ("url", Value::from(url.as_str())),
        ("environment", Value::Object(variables)),
    ]);
    Answer::new(data, lines.join("\n")).brief(url)
}

/// A value as a POSIX shell reads it.
fn quoted(value: &str) -> String {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b':' | b'=' | b',');
    if !value.is_empty() && value.bytes().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_survives_a_shell() {
        assert_eq!(quoted("http://127.0.0.1:5080/v1"), "http://127.0.0.1:5080/v1");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn vendors_have_names_and_ports_of_their_own() {
        let mut names: Vec<_> = vendors().iter().map(|vendor| vendor.name).collect();
        let mut ports: Vec<_> = vendors().iter().map(|vendor| vendor.default_port).collect();
        names.sort_unstable();
        names.dedup();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!((names.len(), ports.len()), (vendors().len(), vendors().len()));
    }
}
