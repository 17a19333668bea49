//! Rules on any text file: length, left-overs, paths of a machine, secrets, white space. Not here: rules on Rust (`rust`).

use super::{
    Finding,
    source::{Source, is_word},
};

/// The length that a file should not exceed, tests at its end left out.
const ADVISED_LINES: usize = 400;
/// The length that a file must not exceed.
const MOST_LINES: usize = 600;
/// A map that is longer than this is a territory.
const MOST_LINES_OF_ARCHITECTURE: usize = 250;

/// Files that may be longer, and why.
const LONG: &[(&str, &str)] = &[];

// Split, so that this file obeys its own rules.
const LEFT_OVERS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
const MACHINE_PATHS: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/tm", "p/"), concat!("/fa", "rm/"), concat!("/ro", "ot/")];
const PRIVATE_KEY: &str = concat!("PRIVATE", " KEY-----");

/// How a secret begins, and how many letters, digits, `-` or `_` follow at least.
const SECRETS: [(&str, usize); 10] = [
    ("sk-", 32),
    ("sk-ant-", 24),
    ("AKIA", 16),
    ("ghp_", 30),
    ("github_pat_", 30),
    ("glpat-", 20),
    ("xoxb-", 20),
    ("AIza", 35),
    ("pcsk_", 30),
    ("hf_", 30),
];

pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    if source.is_written() {
        findings.extend(length(source));
        findings.extend(white_space(source));
        findings.extend(left_overs(source));
    }
    findings.extend(machine_paths(source));
    findings.extend(secrets(source));
    findings
}

fn length(source: &Source) -> Option<Finding> {
    let total = source.text.lines().count();
    if source.path == "ARCHITECTURE.md" && total > MOST_LINES_OF_ARCHITECTURE {
        let what = format!("{total} lines; a map of the house has at most {MOST_LINES_OF_ARCHITECTURE}");
        return Some(Finding::fault(&source.path, 0, what));
    }
    if source.extension() == "md" || LONG.iter().any(|(path, _)| *path == source.path) {
        return None;
    }
    if total > MOST_LINES {
        return Some(Finding::fault(&source.path, 0, format!("{total} lines; a file has at most {MOST_LINES}")));
    }
    let production = source.text.lines().take_while(|line| line.trim() != "#[cfg(test)]").count();
    (production > ADVISED_LINES && !source.is_test()).then(|| {
        Finding::advice(&source.path, 0, format!("{production} lines before its tests; {ADVISED_LINES} read better"))
    })
}

fn white_space(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in source.lines() {
        if line.trim_end() != line {
            findings.push(Finding::fault(&source.path, number, "white space at the end of the line"));
        }
        if line.contains('\t') {
            findings.push(Finding::fault(&source.path, number, "a tab; indent with spaces"));
        }
    }
    if source.text.contains('\r') {
        findings.push(Finding::fault(&source.path, 0, "a carriage return; lines end with a line feed"));
    }
    if !source.text.is_empty() && !source.text.ends_with('\n') {
        findings.push(Finding::fault(&source.path, 0, "the last line does not end"));
    }
    findings
}

fn left_overs(source: &Source) -> Vec<Finding> {
    let found = |line: &str| LEFT_OVERS.into_iter().find(|word| has_word(line, word));
    let report = |(number, line)| {
        found(line).map(|word| Finding::fault(&source.path, number, format!("`{word}`: do it or drop it")))
    };
    source.lines().filter_map(report).collect()
}

fn machine_paths(source: &Source) -> Vec<Finding> {
    let found = |line: &str| {
        // A path begins where no path goes on: `https://example.org/work/` is none.
        let begins =
            |at: usize| !line[..at].ends_with(|c: char| is_word(c) || matches!(c, '.' | '-' | '~' | '}' | '/'));
        MACHINE_PATHS.into_iter().find(|path| line.match_indices(path).any(|(at, _)| begins(at)))
    };
    let report = |(number, line)| {
        found(line).map(|path| Finding::fault(&source.path, number, format!("`{path}` is a path of one machine")))
    };
    source.lines().filter_map(report).collect()
}

fn secrets(source: &Source) -> Vec<Finding> {
    let report = |(number, line)| {
        secret(line).map(|how| Finding::fault(&source.path, number, format!("looks like a secret ({how}…)")))
    };
    source.lines().filter_map(report).collect()
}

fn secret(line: &str) -> Option<&'static str> {
    if line.contains(PRIVATE_KEY) {
        return Some("a private key");
    }
    let follows =
        |at: usize| line[at..].chars().take_while(|&c| c.is_ascii_alphanumeric() || c == '-' || c == '_').count();
    let begins = |at: usize| !line[..at].ends_with(is_word);
    SECRETS.into_iter().find_map(|(start, least)| {
        let is = |at: usize| begins(at) && follows(at + start.len()) >= least;
        line.match_indices(start).any(|(at, _)| is(at)).then_some(start)
    })
}

/// Whether `line` holds `word` with no letter, digit or `_` beside it.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let after = line.get(at + word.len()..).unwrap_or_default();
        !line[..at].ends_with(is_word) && !after.starts_with(is_word)
    })
}

#[cfg(test)]
mod tests {
    use super::{super::Weight, super::source::source, *};

    #[track_caller]
    fn check_line(line: &str, what: Option<&str>) {
        let findings = check(&source("a.toml", &format!("{line}\n")));
        match what {
            Some(what) => assert!(findings.len() == 1 && findings[0].what.contains(what), "{line}: {findings:?}"),
            None => assert!(findings.is_empty(), "{line}: {findings:?}"),
        }
    }

    #[test]
    fn left_overs_are_found_as_words() {
        for word in LEFT_OVERS {
            check_line(&format!("# {word}: later"), Some(word));
            check_line(&format!("# {word}LIST"), None);
        }
    }

    #[test]
    fn paths_of_a_machine_are_found_where_a_path_begins() {
        for path in MACHINE_PATHS {
            check_line(&format!("x = \"{path}main\""), Some(path));
            check_line(&format!("x = \"https://example.org{path}main\""), None);
        }
    }

    #[test]
    fn secrets_are_found_and_words_are_not() {
        check_line(&format!("key = \"sk-{}\"", "a1B2".repeat(10)), Some("sk-"));
        check_line(&format!("key = \"{}{}\"", "AKIA", "Q".repeat(16)), Some("AKIA"));
        check_line(&format!("-----BEGIN {PRIVATE_KEY}"), Some("private key"));
        check_line("task-oriented and ask-me-anything-about-what-you-remember", None);
        check_line("key = \"sk-...\"", None);
    }

    #[test]
    fn white_space_is_held_to_its_rules() {
        check_line("a = 1 ", Some("end of the line"));
        check_line("a\t= 1", Some("tab"));
        check_line("  a = 1", None);
        assert!(check(&source("a.toml", "a = 1")).iter().any(|f| f.what.contains("does not end")));
        assert!(check(&source("a.toml", "a = 1\r\n")).iter().any(|f| f.what.contains("carriage return")));
        assert!(check(&source("a.jsonl", "{} \t")).is_empty(), "data is left as it is");
    }

    #[test]
    fn a_long_file_is_advice_and_a_very_long_one_a_fault() {
        let of = |lines: usize, tests: usize| {
            source("src/a.rs", &format!("{}#[cfg(test)]\n{}", "a\n".repeat(lines), "b\n".repeat(tests)))
        };
        assert_eq!(length(&of(400, 100)), None);
        assert_eq!(length(&of(401, 100)).unwrap().weight, Weight::Advice);
        assert_eq!(length(&of(300, 300)).unwrap().weight, Weight::Fault);
        assert_eq!(length(&source("a/tests/b.rs", &"a\n".repeat(500))), None);
        assert_eq!(length(&source("README.md", &"a\n".repeat(700))), None);
        assert_eq!(length(&source("ARCHITECTURE.md", &"a\n".repeat(251))).unwrap().weight, Weight::Fault);
    }
}
