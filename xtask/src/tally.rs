//! Counts of tests, summed over the summary lines that test runners print. Not here: running them.

use std::{fmt, ops::Add};

/// How many tests did what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Tests that passed.
    pub(crate) passed: u64,
    /// Tests that failed, or did not end in time.
    pub(crate) failed: u64,
    /// Tests that did not run, each with a reason in its source or its output.
    pub(crate) skipped: u64,
}

impl Tally {
    /// Takes in what `line` sums up, if it is a summary: `test result: …` of the standard and the `libtest-mimic` harness, or
    /// `Summary [ … ] …` of nextest (that is the last word on its run, and the first kind before it is output of failed tests), or the last
    /// line of pytest.
    pub(crate) fn read(&mut self, line: &str) {
        let line = plain(line);
        let counts = if let Some(rest) = line.strip_prefix("test result:") {
            rest
        } else if let Some((_, rest)) =
            line.trim_start().strip_prefix("Summary [").and_then(|rest| rest.split_once(" run:"))
        {
            *self = Self::default();
            rest
        } else if let Some(rest) = pytest(&line) {
            rest
        } else {
            return;
        };
        // `5 passed (1 slow), 2 failed` or `ok. 5 passed; 2 failed`: a number counts what the word after it says.
        let mut words = counts.split([' ', ',', ';', '(', ')']).filter(|word| !word.is_empty()).peekable();
        while let Some(word) = words.next() {
            let (Ok(count), Some(what)) = (word.parse::<u64>(), words.peek()) else { continue };
            match what.trim() {
                "passed" => self.passed += count,
                "failed" | "timed" | "error" | "errors" => self.failed += count,
                "skipped" | "ignored" => self.skipped += count,
                _ => {}
            }
        }
    }

    /// Tests that ran.
    pub(crate) fn ran(self) -> u64 {
        self.passed + self.failed
    }
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// The counts of pytest's last line: `==== 5 passed, 1 skipped in 0.12s ====`.
fn pytest(line: &str) -> Option<&str> {
    let line = line.trim();
    let counts = line.strip_prefix("==")?.strip_suffix("==")?.trim_matches('=').trim();
    let (counts, took) = counts.rsplit_once(" in ")?;
    let counted = counts.starts_with(|c: char| c.is_ascii_digit());
    (counted && took.contains('s')).then_some(counts)
}

/// The line without terminal colors.
fn plain(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut parts = line.split("\u{1b}[");
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        // A color ends at its first letter.
        out.push_str(part.split_once(|c: char| c.is_ascii_alphabetic()).map_or("", |(_, rest)| rest));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, passed: u64, failed: u64, skipped: u64) {
        let mut tally = Tally::default();
        tally.read(line);
        assert_eq!(tally, Tally { passed, failed, skipped }, "{line}");
    }

    #[test]
    fn the_standard_harness_is_understood() {
        check(
            "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s\n",
            5,
            0,
            1,
        );
        check("test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out\n", 4, 2, 0);
    }

    #[test]
    fn nextest_is_understood_with_and_without_color() {
        check("     Summary [   1.234s] 12 tests run: 10 passed (1 slow), 2 failed, 3 skipped\n", 10, 2, 3);
        check("     Summary [   9.1s] 3/9 tests run: 1 passed, 1 failed, 1 timed out, 0 skipped\n", 1, 2, 0);
        check("     Summary [   0.2s] 1 test run: 1 passed, 7 skipped\n", 1, 0, 7);
        check(
            "\u{1b}[32;1m     Summary\u{1b}[0m [   0.1s] \u{1b}[1m2\u{1b}[0m tests run: \u{1b}[1m2\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, \u{1b}[1m0\u{1b}[0m \u{1b}[33;1mskipped\u{1b}[0m",
            2,
            0,
            0,
        );
    }

    #[test]
    fn pytest_is_understood() {
        check("=========== 12 passed, 3 skipped in 4.56s ===========\n", 12, 0, 3);
        check("== 1 failed, 10 passed, 2 errors, 4 warnings in 62.01s (0:01:02) ==", 10, 3, 0);
        check("======== FAILURES ========", 0, 0, 0);
        check("==== short test summary info ====", 0, 0, 0);
    }

    #[test]
    fn what_failed_tests_print_under_nextest_counts_once() {
        let mut tally = Tally::default();
        for line in [
            "test result: FAILED. 0 passed; 1 failed;",
            "     Summary [ 1.0s] 3 tests run: 2 passed, 1 failed, 4 skipped",
        ] {
            tally.read(line);
        }
        assert_eq!(tally, Tally { passed: 2, failed: 1, skipped: 4 });
    }

    #[test]
    fn other_lines_count_nothing() {
        check("test l01_two_passed ... ok", 0, 0, 0);
        check("    test result: ok. 5 passed; 0 failed", 0, 0, 0);
        check("I wrote: 5 passed, 3 failed", 0, 0, 0);
    }
}
