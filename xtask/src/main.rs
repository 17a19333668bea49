//! Automation of the workspace: what runs, in which order, and what is shown. Not here: any check that a test can make.
//! It depends on nothing but the standard library, so that the first `cargo xtask` on a fresh machine starts at once.

mod campaign;
mod migrations;
mod python;
mod run;
mod services;
mod suite;
mod tally;
mod tidy;

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};

const USAGE: &str = "\
usage: cargo xtask <task>

  test  [--keep-going] [--offline] [--without-services]
                                     everything that must hold before a change is kept, cheapest first
  services                           PostgreSQL 18 and 15 for tests, until Ctrl-C
  tidy                               the rules on files that no compiler checks
  crash [--rounds N]                 kill -9 campaigns in the release profile (default: 200 rounds)
  outage [--seed N]                  the outage campaign in the release profile: PostgreSQL, index and embedder break while
                                     16 tasks write and retrieve
  migrations [--seed N]              moves between backends in the release profile: planted lies, LongMemEval over every
                                     backend and back, 480 cuts while somebody writes
  integrations [NAME…]               the Python package with frameworks, each in an environment of its own (default: all)
  bench [--quick]                    the measured claims
  eval  [-- ARGUMENTS]               retrieval quality on the conversations in MNEMIC_SHARED or ../shared
";

/// What a task answers: nothing, or what went wrong in one sentence.
type Outcome = Result<(), String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(why)) => {
            run::say(&format!("xtask: {why}\n\n{USAGE}"));
            ExitCode::from(2)
        }
        Err(Failure::Task(why)) => {
            run::say(&format!("xtask: {why}"));
            ExitCode::FAILURE
        }
    }
}

#[derive(Debug, PartialEq)]
enum Failure {
    Usage(String),
    Task(String),
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self::Task(why)
    }
}

fn dispatch(arguments: &[String]) -> Result<(), Failure> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = root()?;
    match arguments.as_slice() {
        ["test", rest @ ..] => Ok(suite::run(&root, suite_options(rest)?)?),
        ["services"] => Ok(services::serve(&root)?),
        [services::KEEPER, postgres_18, postgres_15, pgbouncer] => {
            Ok(services::keep([postgres_18, postgres_15, pgbouncer])?)
        }
        ["tidy"] => Ok(tidy::run(&root)?),
        ["crash"] => Ok(campaign::crash(&root, 200)?),
        ["crash", "--rounds", rounds] => Ok(campaign::crash(&root, rounds_of(rounds)?)?),
        ["outage"] => Ok(campaign::outage(&root, None)?),
        ["outage", "--seed", seed] => Ok(campaign::outage(&root, Some(seed_of(seed)?))?),
        ["migrations"] => Ok(migrations::migrations(&root, None)?),
        ["migrations", "--seed", seed] => Ok(migrations::migrations(&root, Some(seed_of(seed)?))?),
        ["integrations", names @ ..] => Ok(python::integrations(&root, names)?),
        ["bench"] => Ok(campaign::bench(&root, &[])?),
        ["bench", "--quick"] => Ok(campaign::bench(&root, &["--quick"])?),
        ["eval"] => Ok(campaign::eval(&root, &[])?),
        ["eval", "--", rest @ ..] => Ok(campaign::eval(&root, rest)?),
        ["help" | "--help" | "-h"] => {
            run::say(USAGE);
            Ok(())
        }
        [] => Err(Failure::Usage("a task is missing".to_owned())),
        other => Err(Failure::Usage(format!("no task is called like this: {}", other.join(" ")))),
    }
}

fn suite_options(arguments: &[&str]) -> Result<suite::Options, Failure> {
    let mut options = suite::Options::default();
    for argument in arguments {
        match *argument {
            "--keep-going" => options.on_failure = suite::OnFailure::KeepGoing,
            "--offline" => options.network = suite::Network::Never,
            "--without-services" => options.servers = suite::Servers::None,
            other => return Err(Failure::Usage(format!("`test` knows no option `{other}`"))),
        }
    }
    Ok(options)
}

fn rounds_of(text: &str) -> Result<u32, Failure> {
    match text.parse() {
        Ok(rounds) if rounds > 0 => Ok(rounds),
        _ => Err(Failure::Usage(format!("--rounds expects a whole number above 0, found `{text}`"))),
    }
}

fn seed_of(text: &str) -> Result<u64, Failure> {
    text.parse().map_err(|_none| Failure::Usage(format!("--seed expects a whole number, found `{text}`")))
}

fn root() -> Result<PathBuf, String> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().map(Path::to_owned).ok_or_else(|| format!("{} has no parent directory", own.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(arguments: &[&str]) -> Failure {
        let owned: Vec<String> = arguments.iter().map(|&a| a.to_owned()).collect();
        dispatch(&owned).unwrap_err()
    }

    #[test]
    fn an_unknown_task_or_option_is_a_usage_error_that_names_it() {
        for arguments in [
            &["paint"][..],
            &["test", "paint"],
            &["crash", "--rounds", "paint"],
            &["outage", "--seed", "paint"],
            &["migrations", "--seed", "paint"],
            &["tidy", "paint"],
        ] {
            let Failure::Usage(why) = refused(arguments) else { panic!("{arguments:?} is no usage error") };
            assert!(why.contains("paint"), "{why}");
        }
        assert_eq!(refused(&[]), Failure::Usage("a task is missing".to_owned()));
    }

    #[test]
    fn zero_rounds_of_crashing_are_refused() {
        assert!(matches!(rounds_of("0"), Err(Failure::Usage(_))));
        assert_eq!(rounds_of("50"), Ok(50));
    }

    #[test]
    fn options_of_the_suite_combine() {
        let options = suite_options(&["--offline", "--keep-going", "--without-services"]).unwrap();
        assert_eq!(options.on_failure, suite::OnFailure::KeepGoing);
        assert_eq!(options.network, suite::Network::Never);
        assert_eq!(options.servers, suite::Servers::None);
    }
}
