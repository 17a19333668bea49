//! Keeps the documents true to the tree: the README's code compiles, its translation has the same code, and paths exist.
//! Not here: whether a sentence is right.

use super::{Finding, source::Source};

const README: &str = "README.md";
const TRANSLATIONS: [&str; 1] = ["README.ru.md"];
const QUICKSTART: &str = "crates/mnemic/examples/quickstart.rs";
/// The two commands of a newcomer.
const COMMANDS: [&str; 2] = ["cargo run --release -- demo", "cargo xtask test"];
/// Where a name in backticks is a path.
const FOLDERS: [&str; 6] = ["crates/", "docs/", "examples/", "scripts/", "xtask/", ".ci/"];

pub(super) fn check(sources: &[Source], exists: impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(readme(sources));
    for document in sources.iter().filter(|source| source.extension() == "md") {
        findings.extend(paths(document, &exists));
    }
    findings
}

fn find<'a>(sources: &'a [Source], path: &str) -> Option<&'a Source> {
    sources.iter().find(|source| source.path == path)
}

fn readme(sources: &[Source]) -> Vec<Finding> {
    let Some(readme) = find(sources, README) else {
        return vec![Finding::fault(README, 0, "is missing")];
    };
    let mut findings = Vec::new();
    let blocks = blocks(&readme.text);
    for command in COMMANDS {
        if !blocks.iter().any(|block| block.body.lines().any(|line| uncommented(line).trim() == command)) {
            findings.push(Finding::fault(README, 0, format!("does not show the command `{command}`")));
        }
    }
    let quickstart = find(sources, QUICKSTART).map_or("", |source| source.text.as_str());
    for block in blocks.iter().filter(|block| block.language == "rust") {
        if !squeezed(quickstart).contains(&squeezed(&block.body)) {
            findings.push(Finding::fault(
                README,
                block.line,
                format!("this Rust is not in {QUICKSTART}, which compiles"),
            ));
        }
    }
    for path in TRANSLATIONS {
        let Some(translation) = find(sources, path) else {
            findings.push(Finding::fault(path, 0, "is missing"));
            continue;
        };
        if code(&blocks) != code(&self::blocks(&translation.text)) {
            findings.push(Finding::fault(path, 0, format!("its code differs from that of {README}")));
        }
    }
    findings
}

/// A fenced block.
#[derive(Debug)]
struct Block {
    language: String,
    body: String,
    line: usize,
}

fn blocks(markdown: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for (at, line) in markdown.lines().enumerate() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            open = !open;
            if open {
                blocks.push(Block { language: language.trim().to_owned(), body: String::new(), line: at + 1 });
            }
        } else if let Some(block) = blocks.last_mut().filter(|_| open) {
            block.body.push_str(line);
            block.body.push('\n');
        }
    }
    blocks
}

/// What is executed: comments, which a translation translates, left out.
fn code(blocks: &[Block]) -> Vec<String> {
    let executed = |block: &Block| squeezed(&block.body.lines().map(uncommented).collect::<Vec<_>>().join("\n"));
    blocks.iter().filter(|block| !matches!(block.language.as_str(), "" | "text")).map(executed).collect()
}

/// A line of shell or Rust without its comment.
fn uncommented(line: &str) -> &str {
    let rust = line.split("//").next().unwrap_or_default();
    rust.split(" #").next().unwrap_or_default()
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Every name in backticks or link target that begins like a folder of ours must exist.
fn paths(document: &Source, exists: &impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in document.lines() {
        let ticked = line.split('`').skip(1).step_by(2);
        let linked = line.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
        let is_ours = |name: &str| {
            FOLDERS.iter().any(|folder| name.starts_with(folder)) && !name.contains(['*', '<', '…', ' ', '{'])
        };
        let is_file = |name: &str| !name.contains("://") && !name.starts_with('#');
        let here = |name: &str| exists(name) || exists(&beside(&document.path, name));
        let missing = |name: &&str| !here(name.split('#').next().unwrap_or_default());
        for name in ticked.filter(|name| is_ours(name)).chain(linked.filter(|name| is_file(name))).filter(missing) {
            findings.push(Finding::fault(&document.path, number, format!("`{name}` does not exist")));
        }
    }
    findings
}

fn beside(path: &str, name: &str) -> String {
    path.rsplit_once('/').map_or_else(|| name.to_owned(), |(folder, _)| format!("{folder}/{name}"))
}

#[cfg(test)]
mod tests {
    use super::{super::source::source, *};

    const GOOD: &str =
        "# A\n```sh\ncargo run --release -- demo   # a\ncargo xtask test\n```\n```rust\nlet x = 1;\n```\n";

    fn tree(readme: &str, translation: &str, quickstart: &str) -> Vec<Finding> {
        check(&[source(README, readme), source("README.ru.md", translation), source(QUICKSTART, quickstart)], |_| true)
    }

    #[track_caller]
    fn says(findings: &[Finding], what: &str) {
        assert!(findings.iter().any(|finding| finding.what.contains(what)), "{findings:?}");
    }

    #[test]
    fn a_readme_whose_code_compiles_and_is_translated_passes() {
        let translation = GOOD.replace("# a", "# б");
        assert_eq!(tree(GOOD, &translation, "fn main() {\n    let x = 1;\n}\n"), []);
    }

    #[test]
    fn rust_that_nobody_compiles_fails() {
        says(&tree(GOOD, GOOD, "fn main() {}\n"), "which compiles");
    }

    #[test]
    fn a_missing_command_or_readme_fails() {
        says(&tree(&GOOD.replace("cargo xtask test", "make"), GOOD, "let x = 1;"), "cargo xtask test");
        says(&check(&[], |_| true), "is missing");
    }

    #[test]
    fn a_translation_with_other_code_fails() {
        says(&tree(GOOD, &GOOD.replace("let x = 1", "let x = 2"), "let x = 1;"), "differs");
    }

    #[test]
    fn a_path_that_does_not_exist_fails() {
        let document =
            source("docs/a.md", "`crates/gone` `crates/<name>` `cargo` [a](b.md) [c](https://example.org) [d](#e)\n");
        let exists = |path: &str| path == "docs/b.md";
        let findings = paths(&document, &exists);
        assert_eq!(findings.len(), 1, "{findings:?}");
        says(&findings, "crates/gone");
        says(&paths(&document, &|_: &str| false), "b.md");
    }
}
