//! Lets nothing escape the suite: every clause has a case, and every adapter's folder runs the suite.
//! Not here: running it (the tables' `main`).

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// What marks the use of a suite in a test's source.
const ENTRY_POINTS: [&str; 4] = ["ledger::main", "index::main", "embedder::main", "reranker::main"];

/// The tags of the clauses in a port's source: `L4` for each doc line that begins a clause `[L4]`.
pub fn tags_in_source(port_source: &str) -> BTreeSet<String> {
    let clause = |line: &str| {
        let rest = line.trim_start().strip_prefix("/// - `[")?;
        let (tag, _) = rest.split_once("]`")?;
        Some(tag.to_owned())
    };
    port_source.lines().filter_map(clause).collect()
}

/// Fails unless each adapter folder of the crate at `crate_dir` runs the suite.
///
/// A folder of `src` with a `mod.rs` is an adapter. It needs a file `tests/conformance_<folder>.rs` that calls this suite, and in
/// `Cargo.toml` a `[[test]]` of that name with `harness = false`; with the standard harness the file would run no case and pass.
pub fn assert_every_folder_is_covered(crate_dir: impl AsRef<Path>) {
    let missing = uncovered(crate_dir.as_ref());
    assert!(missing.is_empty(), "not every adapter is held to its contract:\n{}", missing.join("\n"));
}

fn uncovered(crate_dir: &Path) -> Vec<String> {
    let read = |path: PathBuf| fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let manifest = read(crate_dir.join("Cargo.toml"));
    let mut missing = Vec::new();
    for folder in adapter_folders(&crate_dir.join("src")) {
        let name = format!("conformance_{folder}");
        let test = format!("tests/{name}.rs");
        match fs::read_to_string(crate_dir.join(&test)) {
            Err(_) => missing.push(format!("src/{folder}: {test} is missing")),
            Ok(source)
                if !source.contains("mnemic_conformance") || !ENTRY_POINTS.iter().any(|p| source.contains(p)) =>
            {
                missing.push(format!("src/{folder}: {test} calls none of {}", ENTRY_POINTS.join(", ")));
            }
            Ok(_) => {}
        }
        if !runs_without_harness(&manifest, &name) {
            missing.push(format!("src/{folder}: Cargo.toml needs [[test]] name = \"{name}\", harness = false"));
        }
    }
    missing
}

fn adapter_folders(src: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(src).unwrap_or_else(|e| panic!("{}: {e}", src.display()));
    let folders = entries.map(|entry| entry.expect("a folder can be listed").path());
    folders
        .filter(|path| path.join("mod.rs").is_file())
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .collect()
}

fn runs_without_harness(manifest: &str, name: &str) -> bool {
    let squeezed: String = manifest.chars().filter(|c| *c != ' ' && *c != '\r').collect();
    squeezed.split("[[test]]").skip(1).any(|rest| {
        let table = rest.split("\n[").next().unwrap_or_default();
        let has = |line: &str| table.lines().any(|l| l == line);
        has(&format!("name=\"{name}\"")) && has("harness=false")
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::{embedder::EMBEDDER_CASES, index::INDEX_CASES, ledger::LEDGER_CASES, reranker::RERANKER_CASES};

    fn port(name: &str) -> BTreeSet<String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mnemic-core/src/ports").join(name);
        let tags = tags_in_source(&fs::read_to_string(path).unwrap());
        assert!(!tags.is_empty(), "{name} has tagged clauses");
        tags
    }

    #[test]
    fn every_clause_has_a_case_and_every_case_has_a_clause() {
        let of = |tags: Vec<&str>| tags.into_iter().map(str::to_owned).collect::<BTreeSet<_>>();
        assert_eq!(port("ledger.rs"), of(LEDGER_CASES.iter().map(|case| case.tag).collect()));
        assert_eq!(port("index.rs"), of(INDEX_CASES.iter().map(|case| case.tag).collect()));
        assert_eq!(port("embedder.rs"), of(EMBEDDER_CASES.iter().map(|case| case.tag).collect()));
        assert_eq!(port("reranker.rs"), of(RERANKER_CASES.iter().map(|case| case.tag).collect()));
    }

    #[test]
    fn every_case_is_named_after_its_clause_and_no_two_share_a_name() {
        let ledgers = LEDGER_CASES.iter().map(|case| (case.tag, case.name));
        let indexes = INDEX_CASES.iter().map(|case| (case.tag, case.name));
        let embedders = EMBEDDER_CASES.iter().map(|case| (case.tag, case.name));
        let rerankers = RERANKER_CASES.iter().map(|case| (case.tag, case.name));
        let mut names = BTreeMap::new();
        for (tag, name) in ledgers.chain(indexes).chain(embedders).chain(rerankers) {
            let (port, number) = tag.split_at(1);
            let prefix = format!("{}{number:0>2}_", port.to_lowercase());
            assert!(name.starts_with(&prefix), "{name} begins with {prefix}");
            assert_eq!(names.insert(name, tag), None, "{name} occurs twice");
        }
    }

    #[test]
    fn a_folder_without_the_suite_is_named() {
        let crate_dir = std::env::temp_dir().join(format!("mnemic-registry-{}", std::process::id()));
        let write = |path: &str, text: &str| {
            let path = crate_dir.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("src/lib.rs", "");
        write("src/good/mod.rs", "");
        write("src/no_test/mod.rs", "");
        write("src/with_harness/mod.rs", "");
        write("src/idle/mod.rs", "");
        write("src/data/words.txt", "");
        write("tests/conformance_good.rs", "use mnemic_conformance::ledger; fn main() { ledger::main(X) }");
        write("tests/conformance_with_harness.rs", "use mnemic_conformance::ledger; fn main() { ledger::main(X) }");
        write("tests/conformance_idle.rs", "fn main() {}");
        let quiet = |name: &str| format!("[[test]]\nname = \"conformance_{name}\"\nharness = false\n\n");
        let manifest =
            ["good", "no_test", "idle"].map(quiet).concat() + "[[test]]\nname = \"conformance_with_harness\"\n";
        write("Cargo.toml", &manifest);
        let missing = uncovered(&crate_dir);
        fs::remove_dir_all(&crate_dir).unwrap();
        let named: Vec<&str> = missing.iter().filter_map(|line| line.split(':').next()).collect();
        assert_eq!(named, ["src/idle", "src/no_test", "src/with_harness"], "{missing:?}");
    }
}
