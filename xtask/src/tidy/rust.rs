//! Rules on Rust files: the opening sentence, names that the glossary forbids, macros and attributes. Not here: lints of clippy.

use super::{
    Finding,
    source::{Source, code_only, is_word},
};

/// Words that no name of ours holds, and what to say instead. `GLOSSARY.md` has the whole table.
const FORBIDDEN: [(&str, &str); 3] = [("rmt", "slots"), ("tenant", "namespace"), ("tenants", "namespaces")];

/// Where the names of another API stand on purpose, and why.
const QUOTED: [(&str, &str); 1] =
    [("crates/mnemic/tests/seed_verbs.rs", "its tests are named after the Python verbs that they mirror")];

/// Macros that only belong to a desk.
const MACROS: [&str; 2] = ["dbg", "todo"];

pub(super) fn check(source: &Source) -> Vec<Finding> {
    let code = code_only(&source.text);
    let mut findings = Vec::new();
    findings.extend(opening(source));
    let quotes = QUOTED.iter().any(|(path, _)| *path == source.path);
    for (at, line) in code.lines().enumerate() {
        let mut fault = |what: String| findings.push(Finding::fault(&source.path, at + 1, what));
        for name in names(line) {
            if let Some((word, better)) = forbidden(name).filter(|_| !quotes) {
                fault(format!("`{name}` says `{word}`; the glossary says `{better}`"));
            }
            if MACROS.contains(&name) && line.contains(&format!("{name}!")) {
                fault(format!("`{name}!` is left over"));
            }
        }
        if line.replace(' ', "").contains("#[ignore]") {
            fault("a test is ignored without a reason: `#[ignore = \"…\"]`".to_owned());
        }
    }
    findings
}

/// Every file says what it is before anything else.
fn opening(source: &Source) -> Option<Finding> {
    let first = source.text.lines().next().unwrap_or_default();
    let says = first.strip_prefix("//!").is_some_and(|rest| !rest.trim().is_empty());
    (!says).then(|| {
        Finding::fault(&source.path, 1, "the first line is not `//!` and a sentence that says what the file is")
    })
}

/// Words of letters, digits and `_`.
fn names(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !is_word(c)).filter(|word| word.starts_with(|c: char| c.is_alphabetic() || c == '_'))
}

fn forbidden(name: &str) -> Option<(&'static str, &'static str)> {
    parts(name).into_iter().find_map(|part| FORBIDDEN.into_iter().find(|(word, _)| part == *word))
}

/// The words of a name, in lower case: `TenantId` and `tenant_id` have the same.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut before = '_';
    for c in name.chars() {
        let begins = c.is_uppercase() && !before.is_uppercase();
        if c == '_' || begins {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut().filter(|_| c != '_') {
            part.extend(c.to_lowercase());
        }
        before = c;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::{super::source::source, *};

    #[track_caller]
    fn check_code(code: &str, what: Option<&str>) {
        let findings = check(&source("a.rs", &format!("//! A file.\n{code}\n")));
        match what {
            Some(what) => {
                assert!(findings.len() == 1 && findings[0].what.contains(what), "{code}: {findings:?}");
                assert_eq!(findings[0].line, 2);
            }
            None => assert!(findings.is_empty(), "{code}: {findings:?}"),
        }
    }

    #[test]
    fn a_file_that_does_not_say_what_it_is_fails() {
        for text in ["", "use std::fmt;\n", "//!\nfn f() {}\n", "\n//! Late.\n"] {
            assert_eq!(check(&source("a.rs", text)).len(), 1, "{text}");
        }
        check_code("fn f() {}", None);
    }

    #[test]
    fn forbidden_words_are_found_in_names_of_any_case() {
        check_code("fn set_rmt() {}", Some("slots"));
        check_code("struct TenantId;", Some("namespace"));
        check_code("const RMT_KEY: u8 = 0;", Some("slots"));
        check_code("fn confirmtion() {} // rmt", None);
        check_code("f(\"tenant\");", None);
    }

    #[test]
    fn names_of_another_api_may_be_quoted_in_named_places_only() {
        let text = "//! A file.\nfn aset_rmt_works() {}\n";
        assert_eq!(check(&source(QUOTED[0].0, text)), []);
        assert_eq!(check(&source("crates/mnemic/tests/other.rs", text)).len(), 1);
    }

    #[test]
    fn left_over_macros_are_found_in_code_only() {
        check_code("    dbg!(x);", Some("left over"));
        check_code("    todo!()", Some("left over"));
        check_code("    let todo = \"dbg!\"; // todo!", None);
    }

    #[test]
    fn an_ignored_test_needs_a_reason() {
        check_code("#[ignore]", Some("reason"));
        check_code("#[ignore = \"needs a server\"]", None);
    }
}
