//! Reads the tree, and the rules on what it holds as a whole. Not here: rules on one file.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::run;

use super::{Finding, source::Source};

/// Folders that hold nothing of ours.
const FOREIGN: [&str; 10] = [
    ".git",
    "target",
    "node_modules",
    "__pycache__",
    ".venv",
    "dist",
    ".hypothesis",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
];
/// Files that a reader expects beside the README.
const EXPECTED: [&str; 6] =
    ["ARCHITECTURE.md", "GLOSSARY.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "Cargo.lock"];

/// Every text file below `root`, ordered by path.
pub(super) fn read(root: &Path) -> Result<Vec<Source>, String> {
    let mut paths = Vec::new();
    walk(root, &mut paths).map_err(|e| format!("the tree below {} cannot be read: {e}", root.display()))?;
    paths.sort();
    let sources = paths.into_iter().filter_map(|path| {
        let name = path.strip_prefix(root).ok()?.to_string_lossy().replace('\\', "/");
        // What is not UTF-8 is no text.
        let text = String::from_utf8(fs::read(&path).ok()?).ok()?;
        Some(Source { path: name, text })
    });
    Ok(sources.filter(|source| !matches!(source.path.as_str(), "Cargo.lock" | "LICENSE" | ".env")).collect())
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let is_foreign = FOREIGN.iter().any(|name| entry.file_name() == *name);
        if kind.is_dir() && !is_foreign {
            walk(&entry.path(), paths)?;
        } else if kind.is_file() {
            paths.push(entry.path());
        }
    }
    Ok(())
}

pub(super) fn check(root: &Path, sources: &[Source]) -> Vec<Finding> {
    let missing = EXPECTED.into_iter().filter(|path| !root.join(path).exists());
    let mut findings: Vec<Finding> = missing.map(|path| Finding::fault(path, 0, "is missing")).collect();
    findings.extend(licenses(sources));
    let git = |arguments: &[&str]| run::works(Command::new("git").current_dir(root).args(arguments));
    // A tree that was not cloned has no git to ask.
    if git(&["rev-parse"]) && !git(&["ls-files", "--error-unmatch", "Cargo.lock"]) {
        findings.push(Finding::fault("Cargo.lock", 0, "is not committed, so two builds may differ"));
    }
    findings
}

/// Every package names its license.
fn licenses(sources: &[Source]) -> Vec<Finding> {
    let manifests =
        sources.iter().filter(|source| source.path.ends_with("Cargo.toml") && source.text.contains("[package]"));
    let names = |source: &&Source| {
        let in_package = source.text.lines().skip_while(|line| line.trim() != "[package]").skip(1);
        in_package.take_while(|line| !line.starts_with('[')).any(|line| line.starts_with("license"))
    };
    manifests.filter(|source| !names(source)).map(|s| Finding::fault(&s.path, 0, "names no license")).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::source::source, *};

    #[test]
    fn a_package_without_a_license_fails() {
        let of = |body: &str| licenses(&[source("crates/a/Cargo.toml", &format!("[package]\nname = \"a\"\n{body}"))]);
        assert_eq!(of("license.workspace = true\n"), []);
        assert_eq!(of("license = \"Apache-2.0\"\n"), []);
        assert_eq!(of("\n[dependencies]\nlicense = \"1\"\n").len(), 1);
        assert_eq!(licenses(&[source("Cargo.toml", "[workspace]\n")]), []);
    }

    #[test]
    fn an_empty_tree_lacks_every_expected_file() {
        let nowhere = Path::new("no-such-folder-here");
        let findings = check(nowhere, &[]);
        for path in EXPECTED {
            assert!(findings.iter().any(|finding| finding.path == path), "{path}");
        }
        assert!(read(nowhere).is_err());
    }

    #[test]
    fn this_tree_is_read_without_what_is_foreign() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let sources = read(root).unwrap();
        assert!(sources.iter().any(|source| source.path == "src/tidy/tree.rs"));
        assert!(sources.windows(2).all(|pair| pair[0].path < pair[1].path));
    }
}
