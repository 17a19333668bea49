//! `cargo xtask migrations`: the long forms of what the suite tries shortly about moves between backends. Not here: the tests.

use std::{env, path::Path};

use crate::{Outcome, run, services::Services, suite::Network, tally::Tally};

/// The tests, by their package, and what each is for.
const PARTS: [(&str, &str, &str); 4] = [
    ("mnemic-migration", "lies", "lies that a comparison must name"),
    ("mnemic", "migration_lies", "the same in a database, in its indexes too"),
    ("mnemic", "migration_matrix", "real conversations over every backend and back"),
    ("mnemic", "migration_kills", "moves that are cut off anywhere, while somebody writes"),
];

/// The full size: what the environment does not say otherwise.
const FULL: [(&str, &str); 2] = [("MNEMIC_MATRIX_TURNS", "10866"), ("MNEMIC_KILLS_POINTS", "480")];

/// Runs every part and shows its table, the others too if one fails. A seed repeats a run's cuts.
pub(crate) fn migrations(root: &Path, seed: Option<u64>) -> Outcome {
    let services = Services::start(root, Network::Fetch)?;
    let (mut total, mut failed) = (Tally::default(), Vec::new());
    for (package, test, what) in PARTS {
        run::say(&format!("\n── {what}"));
        let arguments = ["test", "--release", "--locked", "-p", package, "--test", test, "--", "--nocapture"];
        let mut command = run::cargo(root, &arguments);
        command.envs(services.environment());
        command.envs(FULL.into_iter().filter(|(name, _)| env::var_os(name).is_none()));
        command.envs(seed.map(|seed| ("MNEMIC_KILLS_SEED", seed.to_string())));
        // One after the other, so that their tables do not mix.
        let (tally, outcome) = run::finish_tests(command.arg("--test-threads=1"));
        if let Err(why) = outcome.and_then(|()| tried(test, tally)) {
            failed.push(format!("{test}: {why}"));
        }
        total = total + tally;
    }
    run::answer(&total.to_string());
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
}

/// A campaign that left something out proves less than it says.
fn tried(test: &str, tally: Tally) -> Outcome {
    match (tally.ran(), tally.skipped) {
        (0, _) => Err(format!("{test} did not run")),
        (_, 0) => Ok(()),
        (_, skipped) => Err(format!("{skipped} of its tests did not run; the lines above tell why")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_ran_nothing_or_left_something_out_fails() {
        assert!(tried("x", Tally { passed: 0, failed: 0, skipped: 0 }).is_err());
        assert!(tried("x", Tally { passed: 2, failed: 0, skipped: 1 }).is_err());
        assert!(tried("x", Tally { passed: 2, failed: 0, skipped: 0 }).is_ok());
    }

    #[test]
    fn every_part_is_a_test_that_is_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for (package, test, _) in PARTS {
            let file = root.join("crates").join(package).join("tests").join(format!("{test}.rs"));
            assert!(file.is_file(), "{}", file.display());
        }
    }
}
