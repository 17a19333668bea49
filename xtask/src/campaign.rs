//! Tasks that take long and are asked for: crashes, outages, benchmarks, retrieval quality. Not here: the programs that they start.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::{
    Outcome, run,
    services::{self, Services},
    suite::Network,
    tally::Tally,
};

/// Runs every test whose name tells of a kill, `rounds` times each.
pub(crate) fn crash(root: &Path, rounds: u32) -> Outcome {
    let packages = ["-p", "mnemic-ledgers", "-p", "mnemic", "-p", "mnemic-cli"];
    let arguments =
        [&["test", "--release", "--locked", "--tests"][..], &packages, &["kill", "--", "--nocapture"]].concat();
    let mut command = run::cargo(root, &arguments);
    let (tally, outcome) = run::finish_tests(command.env("MNEMIC_CRASH_ROUNDS", rounds.to_string()));
    outcome?;
    campaigned(tally)?;
    run::answer(&format!("{tally}, {rounds} rounds each"));
    Ok(())
}

/// The full size of the outage campaign: what the environment does not say otherwise.
const OUTAGE: [(&str, &str); 5] = [
    ("MNEMIC_OUTAGE_WRITES", "10000"),
    ("MNEMIC_OUTAGE_READS", "2000"),
    ("MNEMIC_OUTAGE_SECONDS", "300"),
    ("MNEMIC_OUTAGE_ROUNDS", "5"),
    ("MNEMIC_OUTAGE_LOSSES", "5"),
];

/// Writes and retrieves while PostgreSQL, the index and the embedder break, and shows what became of it. Repeats the run of a seed.
pub(crate) fn outage(root: &Path, seed: Option<u64>) -> Outcome {
    // The campaign kills its own server; it takes only the programs from here.
    let services = Services::start(root, Network::Fetch)?;
    let arguments = ["test", "--release", "--locked", "-p", "mnemic", "--test", "outage", "--", "--nocapture"];
    let mut command = run::cargo(root, &arguments);
    command.envs(services.environment());
    command.envs(OUTAGE.into_iter().filter(|(name, _)| env::var_os(name).is_none()));
    command.envs(seed.map(|seed| ("MNEMIC_OUTAGE_SEED", seed.to_string())));
    let (tally, outcome) = run::finish_tests(&mut command);
    outcome?;
    tried(tally)
}

/// A campaign that found nothing to run proves nothing.
fn campaigned(tally: Tally) -> Outcome {
    if tally.ran() == 0 { Err("no test has `kill` in its name, so nothing was tried".to_owned()) } else { Ok(()) }
}

/// The same of one that has a test of its own.
fn tried(tally: Tally) -> Outcome {
    if tally.ran() == 0 { Err("the campaign did not run".to_owned()) } else { Ok(()) }
}

/// Measures, on a server of its own unless the environment names one. Where none can be had, what needs one is left out, and the
/// report says so.
pub(crate) fn bench(root: &Path, arguments: &[&str]) -> Outcome {
    let arguments = [&["run", "--release", "--locked", "-p", "mnemic-bench", "--"][..], arguments].concat();
    let mut command = run::cargo(root, &arguments);
    let named = env::var_os(services::POSTGRES_18).is_some();
    let services = if named { None } else { Some(Services::start(root, Network::Fetch)) };
    match &services {
        Some(Ok(services)) => drop(command.envs(services.environment())),
        Some(Err(why)) => run::say(&format!("no server to measure with: {why}")),
        None => {}
    }
    run::finish(&mut command)
}

/// Scores retrieval on the conversations that are here, or says that none are.
pub(crate) fn eval(root: &Path, arguments: &[&str]) -> Outcome {
    let data = shared(root).join("data");
    if !data.is_dir() {
        return Err(format!("no conversations in {}: set MNEMIC_SHARED to the directory above `data`", data.display()));
    }
    let program = ["run", "--release", "--locked", "-p", "mnemic-cli", "--", "eval"];
    run::finish(run::cargo(root, &program).arg(data).args(arguments))
}

/// Where evaluation data lies: never part of the repository.
fn shared(root: &Path) -> PathBuf {
    env::var_os("MNEMIC_SHARED").map_or_else(|| root.join("..").join("shared"), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_campaign_that_ran_nothing_fails() {
        assert!(campaigned(Tally { passed: 0, failed: 0, skipped: 3 }).is_err());
        assert!(campaigned(Tally { passed: 1, failed: 0, skipped: 0 }).is_ok());
        assert!(tried(Tally { passed: 0, failed: 0, skipped: 1 }).is_err());
    }
}
