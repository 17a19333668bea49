//! `cargo xtask tidy`: the rules on files that no compiler checks. Not here: format (`cargo fmt`) and lints (`cargo clippy`).

mod contracts;
mod documents;
mod rust;
mod source;
mod text;
mod tree;

use std::{fmt, path::Path};

use crate::{Outcome, run};

use source::Source;

/// Whether a finding fails the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    /// It is shown.
    Advice,
    /// It fails the task.
    Fault,
}

/// One place that breaks one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    weight: Weight,
    path: String,
    /// From 1; 0 where the whole file is meant.
    line: usize,
    what: String,
}

impl Finding {
    fn fault(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { weight: Weight::Fault, path: path.to_owned(), line, what: what.into() }
    }

    fn advice(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { weight: Weight::Advice, ..Self::fault(path, line, what) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weight = if self.weight == Weight::Advice { " (advice)" } else { "" };
        match self.line {
            0 => write!(f, "{}: {}{weight}", self.path, self.what),
            line => write!(f, "{}:{line}: {}{weight}", self.path, self.what),
        }
    }
}

/// Applies every rule to every file.
pub(crate) fn run(root: &Path) -> Outcome {
    let sources = tree::read(root)?;
    let findings = findings(root, &sources);
    for finding in &findings {
        run::answer(&finding.to_string());
    }
    let faults = findings.iter().filter(|finding| finding.weight == Weight::Fault).count();
    if faults > 0 {
        return Err(format!("{faults} of {} findings must be mended", findings.len()));
    }
    run::say(&format!("tidy: {} files", sources.len()));
    Ok(())
}

fn findings(root: &Path, sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        findings.extend(text::check(source));
        if source.is_rust() {
            findings.extend(rust::check(source));
        }
    }
    findings.extend(contracts::check(sources));
    findings.extend(documents::check(sources, |path| root.join(path).exists()));
    findings.extend(tree::check(root, sources));
    findings
}
