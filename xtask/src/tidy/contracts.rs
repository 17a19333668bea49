//! Compares the clauses of the ports with the cases of the conformance suite, in both directions. Not here: running a case.

use std::collections::BTreeMap;

use super::{Finding, source::Source};

const PORTS: &str = "crates/mnemic-core/src/ports/";
const SUITE: &str = "crates/mnemic-conformance/src/";

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    path: String,
    line: usize,
}

pub(super) fn check(sources: &[Source]) -> Vec<Finding> {
    let (clauses, mut findings) = clauses(sources);
    if clauses.is_empty() {
        findings.push(Finding::fault(PORTS, 0, "no port has a clause such as `- `[L1]` …`"));
    }
    let cases = cases(sources);
    for (tag, place) in &clauses {
        if !cases.iter().any(|(case, ..)| case == tag) {
            findings.push(Finding::fault(&place.path, place.line, format!("clause [{tag}] has no case")));
        }
    }
    for (tag, function, place) in &cases {
        if !clauses.contains_key(tag) {
            findings.push(Finding::fault(&place.path, place.line, format!("no port has the clause \"{tag}\"")));
        }
        if !is_named_after(function, tag) {
            let what = format!("the case `{function}` does not begin with its clause \"{tag}\"");
            findings.push(Finding::fault(&place.path, place.line, what));
        }
    }
    findings
}

/// The clauses of all ports, and those that are there twice.
fn clauses(sources: &[Source]) -> (BTreeMap<String, Place>, Vec<Finding>) {
    let mut clauses = BTreeMap::new();
    let mut twice = Vec::new();
    for source in sources.iter().filter(|source| source.path.starts_with(PORTS)) {
        for (line, text) in source.lines() {
            let Some(rest) = text.trim_start().strip_prefix("/// - `[") else { continue };
            let Some((tag, _)) = rest.split_once("]`").filter(|(tag, _)| is_tag(tag)) else { continue };
            let place = Place { path: source.path.clone(), line };
            if clauses.insert(tag.to_owned(), place).is_some() {
                twice.push(Finding::fault(&source.path, line, format!("clause [{tag}] is there twice")));
            }
        }
    }
    (clauses, twice)
}

/// Every line `"L1" => module::l01_a_sentence,` of a case table.
fn cases(sources: &[Source]) -> Vec<(String, String, Place)> {
    let mut cases = Vec::new();
    for source in sources.iter().filter(|source| source.path.starts_with(SUITE)) {
        for (line, text) in source.lines() {
            let Some((tag, rest)) = text.trim_start().strip_prefix('"').and_then(|rest| rest.split_once("\" => "))
            else {
                continue;
            };
            if is_tag(tag) {
                let function = rest.trim_end_matches(',').rsplit("::").next().unwrap_or_default();
                cases.push((tag.to_owned(), function.to_owned(), Place { path: source.path.clone(), line }));
            }
        }
    }
    cases
}

/// One capital letter and a number.
fn is_tag(text: &str) -> bool {
    let number = text.strip_prefix(|c: char| c.is_ascii_uppercase()).unwrap_or_default();
    !number.is_empty() && number.chars().all(|c| c.is_ascii_digit())
}

/// `l04_…` for `L4`.
fn is_named_after(function: &str, tag: &str) -> bool {
    let (letter, number) = tag.split_at(1);
    let start = function.split('_').next().unwrap_or_default();
    let named = start.strip_prefix(&letter.to_lowercase()).and_then(|rest| rest.parse::<u32>().ok());
    named.is_some() && named == number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{super::source::source, *};

    #[track_caller]
    fn check_pair(port: &str, suite: &str, what: Option<&str>) {
        let sources = [
            source("crates/mnemic-core/src/ports/ledger.rs", port),
            source("crates/mnemic-conformance/src/ledger/mod.rs", suite),
        ];
        let findings = check(&sources);
        match what {
            Some(what) => assert!(findings.iter().any(|f| f.what.contains(what)), "{findings:?}"),
            None => assert!(findings.is_empty(), "{findings:?}"),
        }
    }

    const PORT: &str = "//! A port.\n/// - `[L1]` *One.*\n/// - `[L12]` *Twelve.*\n";
    const TABLE: &str =
        "cases![\n    \"L1\" => a::l01_one,\n    \"L1\" => a::l01_more,\n    \"L12\" => l12_twelve,\n];\n";

    #[test]
    fn clauses_and_cases_that_agree_pass() {
        check_pair(PORT, TABLE, None);
    }

    #[test]
    fn a_clause_without_a_case_fails() {
        check_pair(&format!("{PORT}/// - `[L2]` *Two.*\n"), TABLE, Some("[L2] has no case"));
    }

    #[test]
    fn a_case_without_a_clause_fails() {
        check_pair(PORT, &format!("{TABLE}    \"L3\" => l03_three,\n"), Some("no port has the clause \"L3\""));
    }

    #[test]
    fn a_clause_that_is_there_twice_fails() {
        check_pair(&format!("{PORT}/// - `[L1]` *One again.*\n"), TABLE, Some("twice"));
    }

    #[test]
    fn a_case_named_after_another_clause_fails() {
        check_pair(PORT, &TABLE.replace("l12_twelve", "l01_twelve"), Some("does not begin"));
    }

    #[test]
    fn ports_without_clauses_fail() {
        check_pair("//! A port.\n", "", Some("no port has a clause"));
    }
}
