//! `cargo xtask test`: every check that a change must pass, cheapest first. Not here: what a check looks at.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use crate::{Outcome, run, tally::Tally, tidy};

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

/// How the suite runs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    pub(crate) on_failure: OnFailure,
    pub(crate) network: Network,
}

/// One step that was done.
#[derive(Debug)]
struct Done {
    name: &'static str,
    took: Duration,
    outcome: Outcome,
}

type Check = fn(&Path) -> (Tally, Outcome);

const STEPS: &[(&str, Check)] = &[
    ("format", |root| untallied(run::finish(&mut cargo(root, &["fmt", "--all", "--check"])))),
    ("tidy", |root| untallied(tidy::run(root))),
    ("lints", |root| {
        let arguments = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
        untallied(run::finish(&mut cargo(root, &arguments)))
    }),
    ("tests", |root| run::finish_tests(&mut tests(root))),
    ("documentation tests", |root| run::finish_tests(&mut cargo(root, &["test", "--workspace", "--doc", "--locked"]))),
    ("documentation", |root| {
        // Binaries are documented by their own help; `--lib` also keeps the command line's page from replacing the library's.
        let mut command = cargo(root, &["doc", "--workspace", "--lib", "--no-deps", "--locked"]);
        untallied(run::finish(command.env("RUSTDOCFLAGS", "-D warnings")))
    }),
];

/// Runs the suite.
pub(crate) fn run(root: &Path, options: Options) -> Outcome {
    let (tally, done) = if options.network == Network::Fetch {
        let fetch: (&str, Check) =
            ("fetch", |root| untallied(run::finish(&mut run::cargo(root, &["fetch", "--locked"]))));
        let steps: Vec<_> = std::iter::once(fetch).chain(STEPS.iter().copied()).collect();
        perform(root, &steps, options.on_failure)
    } else {
        perform(root, STEPS, options.on_failure)
    };
    summary(tally, &done)
}

fn perform(root: &Path, steps: &[(&'static str, Check)], on_failure: OnFailure) -> (Tally, Vec<Done>) {
    let mut total = Tally::default();
    let mut done = Vec::new();
    for &(name, check) in steps {
        run::say(&format!("\n── {name}"));
        let start = Instant::now();
        let (tally, outcome) = check(root);
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

    fn names(done: &[Done]) -> Vec<&str> {
        done.iter().map(|step| step.name).collect()
    }

    #[test]
    fn the_first_failure_ends_the_suite_and_fails_it() {
        let (tally, done) = perform(Path::new("."), &[GOOD, BAD, GOOD], OnFailure::Stop);
        assert_eq!(names(&done), ["good", "bad"]);
        assert_eq!(tally, Tally { passed: 3, failed: 1, skipped: 1 });
        assert_eq!(summary(tally, &done), Err("failed: bad".to_owned()));
    }

    #[test]
    fn keep_going_runs_every_step_and_still_fails() {
        let (tally, done) = perform(Path::new("."), &[BAD, GOOD], OnFailure::KeepGoing);
        assert_eq!(names(&done), ["bad", "good"]);
        assert!(summary(tally, &done).is_err());
    }

    #[test]
    fn a_suite_without_failure_succeeds() {
        let (tally, done) = perform(Path::new("."), &[GOOD, GOOD], OnFailure::Stop);
        assert_eq!(summary(tally, &done), Ok(()));
    }
}
