//! `cargo xtask test`: every check that a change must pass, cheapest first. Not here: what a check looks at.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use crate::{Outcome, python, run, services, services::Services, tally::Tally, tidy};

/// What happens after a step failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OnFailure {
    /// The suite ends.
    #[default]
    Stop,
    /// The other steps still run.
    KeepGoing,
}

/// Whether cargo may use the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Network {
    /// Once, at the start, to fetch what `Cargo.lock` names.
    #[default]
    Fetch,
    /// Not at all.
    Never,
}

/// Whether tests get servers to talk to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Servers {
    /// Every server is started, and its absence is a failure.
    #[default]
    All,
    /// None is started; tests that need one show as ignored.
    None,
}

/// How the suite runs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    pub(crate) on_failure: OnFailure,
    pub(crate) network: Network,
    pub(crate) servers: Servers,
}

/// What steps share.
#[derive(Debug)]
struct Stage<'a> {
    root: &'a Path,
    network: Network,
    /// What tests are told of their servers.
    environment: Vec<(String, String)>,
    /// Stopped when the suite ends.
    services: Option<Services>,
}

impl<'a> Stage<'a> {
    fn new(root: &'a Path, network: Network) -> Self {
        Self { root, network, environment: Vec::new(), services: None }
    }

    /// A command that runs tests.
    fn testing(&self, mut command: Command) -> Command {
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// One step that was done.
#[derive(Debug)]
struct Done {
    name: &'static str,
    took: Duration,
    outcome: Outcome,
}

type Check = fn(&mut Stage<'_>) -> (Tally, Outcome);

/// What comes before any test.
const FIRST: &[(&str, Check)] = &[
    ("format", |stage| untallied(run::finish(&mut cargo(stage.root, &["fmt", "--all", "--check"])))),
    ("tidy", |stage| untallied(tidy::run(stage.root))),
    ("lints", |stage| {
        let arguments = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
        untallied(run::finish(&mut cargo(stage.root, &arguments)))
    }),
];

/// What comes before everything where the network may be used.
const FETCH: (&str, Check) =
    ("fetch", |stage| untallied(run::finish(&mut run::cargo(stage.root, &["fetch", "--locked"]))));

/// What comes before the tests that talk to servers.
const SERVERS: (&str, Check) = ("servers", |stage| untallied(start_servers(stage)));

/// Tests, and what else takes a build of everything.
const LAST: &[(&str, Check)] = &[
    ("tests", |stage| run::finish_tests(&mut stage.testing(tests(stage.root)))),
    ("documentation tests", |stage| {
        run::finish_tests(&mut stage.testing(cargo(stage.root, &["test", "--workspace", "--doc", "--locked"])))
    }),
    ("python", |stage| python::test(stage.root, stage.network, &stage.environment)),
    ("documentation", |stage| {
        // Binaries are documented by their own help; `--lib` also keeps the command line's page from replacing the library's.
        let mut command = cargo(stage.root, &["doc", "--workspace", "--lib", "--no-deps", "--locked"]);
        untallied(run::finish(command.env("RUSTDOCFLAGS", "-D warnings")))
    }),
];

/// Runs the suite.
pub(crate) fn run(root: &Path, options: Options) -> Outcome {
    let mut stage = Stage::new(root, options.network);
    let (tally, done) = perform(&mut stage, &steps(options), options.on_failure);
    drop(stage);
    summary(tally, &done)
}

fn steps(options: Options) -> Vec<(&'static str, Check)> {
    let fetch = (options.network == Network::Fetch).then_some(FETCH);
    let servers = (options.servers == Servers::All).then_some(SERVERS);
    fetch.into_iter().chain(FIRST.iter().copied()).chain(servers).chain(LAST.iter().copied()).collect()
}

/// Starts every server. A test that needs one fails from here on if it cannot be had.
fn start_servers(stage: &mut Stage<'_>) -> Outcome {
    stage.environment = vec![services::required(std::env::var("MNEMIC_REQUIRE").ok().as_deref())];
    let services = Services::start(stage.root, stage.network)?;
    stage.environment = services.environment();
    stage.services = Some(services);
    Ok(())
}

fn perform(stage: &mut Stage<'_>, steps: &[(&'static str, Check)], on_failure: OnFailure) -> (Tally, Vec<Done>) {
    let mut total = Tally::default();
    let mut done = Vec::new();
    for &(name, check) in steps {
        run::say(&format!("\n── {name}"));
        let start = Instant::now();
        let (tally, outcome) = check(stage);
        total = total + tally;
        if let Err(why) = &outcome {
            run::say(&format!("── {name}: {why}"));
        }
        let stop = outcome.is_err() && on_failure == OnFailure::Stop;
        done.push(Done { name, took: start.elapsed(), outcome });
        if stop {
            break;
        }
    }
    (total, done)
}

fn summary(tally: Tally, done: &[Done]) -> Outcome {
    run::say("");
    for step in done {
        let verdict = if step.outcome.is_ok() { "ok" } else { "FAILED" };
        run::say(&format!("{:<20} {verdict:<7} {:>7.1} s", step.name, step.took.as_secs_f64()));
    }
    run::answer(&tally.to_string());
    let failed: Vec<&str> = done.iter().filter(|step| step.outcome.is_err()).map(|step| step.name).collect();
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

fn untallied(outcome: Outcome) -> (Tally, Outcome) {
    (Tally::default(), outcome)
}

/// A cargo command that finds everything on this machine or fails.
fn cargo(root: &Path, arguments: &[&str]) -> Command {
    let mut command = run::cargo(root, arguments);
    command.env("CARGO_NET_OFFLINE", "true");
    command
}

/// Every test but those in documentation, by nextest where it is installed.
fn tests(root: &Path) -> Command {
    if run::works(&mut run::cargo(root, &["nextest", "--version"])) {
        cargo(root, &["nextest", "run", "--workspace", "--locked", "--no-fail-fast"])
    } else {
        let targets = ["--lib", "--bins", "--tests", "--examples"];
        cargo(root, &[&["test", "--workspace", "--locked", "--no-fail-fast"][..], &targets].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: (&str, Check) = ("good", |_| (Tally { passed: 2, failed: 0, skipped: 1 }, Ok(())));
    const BAD: (&str, Check) = ("bad", |_| (Tally { passed: 1, failed: 1, skipped: 0 }, Err("one failed".to_owned())));

    fn nowhere() -> Stage<'static> {
        Stage::new(Path::new("."), Network::Never)
    }

    fn names(done: &[Done]) -> Vec<&str> {
        done.iter().map(|step| step.name).collect()
    }

    #[test]
    fn the_first_failure_ends_the_suite_and_fails_it() {
        let (tally, done) = perform(&mut nowhere(), &[GOOD, BAD, GOOD], OnFailure::Stop);
        assert_eq!(names(&done), ["good", "bad"]);
        assert_eq!(tally, Tally { passed: 3, failed: 1, skipped: 1 });
        assert_eq!(summary(tally, &done), Err("failed: bad".to_owned()));
    }

    #[test]
    fn keep_going_runs_every_step_and_still_fails() {
        let (tally, done) = perform(&mut nowhere(), &[BAD, GOOD], OnFailure::KeepGoing);
        assert_eq!(names(&done), ["bad", "good"]);
        assert!(summary(tally, &done).is_err());
    }

    #[test]
    fn servers_are_started_before_the_tests_unless_they_are_left_out() {
        let names = |options| steps(options).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        let all = names(Options::default());
        assert_eq!(all.first(), Some(&"fetch"));
        let place = |name| all.iter().position(|found| *found == name);
        assert!(place("lints") < place("servers") && place("servers") < place("tests"), "{all:?}");
        let few = names(Options { servers: Servers::None, network: Network::Never, ..Options::default() });
        assert_eq!(few.len() + 2, all.len());
        assert!(!few.contains(&"servers") && !few.contains(&"fetch"), "{few:?}");
    }

    #[test]
    fn tests_are_told_where_their_servers_are() {
        let mut stage = nowhere();
        stage.environment = vec![("A".to_owned(), "1".to_owned())];
        let command = stage.testing(Command::new("true"));
        assert!(command.get_envs().any(|(name, value)| name == "A" && value == Some("1".as_ref())));
    }

    #[test]
    fn a_suite_without_failure_succeeds() {
        let (tally, done) = perform(&mut nowhere(), &[GOOD, GOOD], OnFailure::Stop);
        assert_eq!(summary(tally, &done), Ok(()));
    }
}
