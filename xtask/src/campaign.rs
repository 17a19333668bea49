//! Tasks that take long and are asked for: crashes, benchmarks, retrieval quality. Not here: the programs that they start.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::{Outcome, run, tally::Tally};

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

/// A campaign that found nothing to run proves nothing.
fn campaigned(tally: Tally) -> Outcome {
    if tally.ran() == 0 { Err("no test has `kill` in its name, so nothing was tried".to_owned()) } else { Ok(()) }
}

/// Measures.
pub(crate) fn bench(root: &Path, arguments: &[&str]) -> Outcome {
    let arguments = [&["run", "--release", "--locked", "-p", "mnemic-bench", "--"][..], arguments].concat();
    run::finish(&mut run::cargo(root, &arguments))
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
    }
}
