//! One text file as the rules see it. Not here: any rule.

/// One text file.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// From the root, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

impl Source {
    /// The name's last part after a dot.
    pub(super) fn extension(&self) -> &str {
        self.path.rsplit_once('.').map_or("", |(_, extension)| extension)
    }

    pub(super) fn is_rust(&self) -> bool {
        self.extension() == "rs"
    }

    /// Whether people write it line by line, unlike data and lists that tools write.
    pub(super) fn is_written(&self) -> bool {
        matches!(self.extension(), "rs" | "py" | "toml" | "md" | "sh" | "yml" | "yaml" | "sql" | "ts" | "svelte")
            || self.path == ".ci/run"
    }

    /// Whether the whole file is tests, an example or a benchmark.
    pub(super) fn is_test(&self) -> bool {
        let folders = ["tests", "examples", "benches", "mnemic-conformance"];
        self.path.ends_with("/tests.rs") || self.path.split('/').any(|part| folders.contains(&part))
    }

    /// Its lines, numbered from 1.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(at, line)| (at + 1, line))
    }
}

/// Rust code with every comment, string and character blanked, line by line as long as it was counted in lines.
pub(super) fn code_only(rust: &str) -> String {
    let characters: Vec<char> = rust.chars().collect();
    let mut code = String::with_capacity(rust.len());
    let mut rest = characters.as_slice();
    while let [first, ..] = rest {
        let taken = skipped(rest, code.chars().next_back());
        if taken == 0 {
            code.push(*first);
            rest = rest.get(1..).unwrap_or_default();
        } else {
            let (blanked, after) = rest.split_at(taken.min(rest.len()));
            code.push(' ');
            code.extend(blanked.iter().filter(|c| **c == '\n'));
            rest = after;
        }
    }
    code
}

/// How many characters of `rest` belong to a comment, string or character that begins here; 0 if none does.
fn skipped(rest: &[char], before: Option<char>) -> usize {
    let in_word = before.is_some_and(is_word);
    match rest {
        ['/', '/', ..] => rest.iter().position(|&c| c == '\n').unwrap_or(rest.len()),
        ['/', '*', ..] => block_comment(rest),
        ['"', ..] => 1 + quoted(rest.get(1..).unwrap_or_default(), '"'),
        ['b' | 'c', '"', ..] if !in_word => 2 + quoted(rest.get(2..).unwrap_or_default(), '"'),
        ['r', '"' | '#', ..] if !in_word => raw(rest, 1),
        ['b' | 'c', 'r', '"' | '#', ..] if !in_word => raw(rest, 2),
        ['b', '\'', ..] if !in_word => 2 + quoted(rest.get(2..).unwrap_or_default(), '\''),
        ['\'', '\\', ..] => 1 + quoted(rest.get(1..).unwrap_or_default(), '\''),
        ['\'', _, '\'', ..] => 3,
        _ => 0,
    }
}

/// Characters up to and with the closing `quote`.
fn quoted(rest: &[char], quote: char) -> usize {
    let mut escaped = false;
    for (at, &c) in rest.iter().enumerate() {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    rest.len()
}

/// Characters of a raw string whose hashes begin after `prefix`; 0 if it is a raw identifier.
fn raw(rest: &[char], prefix: usize) -> usize {
    let hashes = rest.iter().skip(prefix).take_while(|&&c| c == '#').count();
    let body = prefix + hashes + 1;
    if rest.get(body - 1) != Some(&'"') {
        return 0;
    }
    let end = |at: &usize| {
        rest.get(*at) == Some(&'"') && rest.iter().skip(at + 1).take_while(|&&c| c == '#').count() >= hashes
    };
    (body..rest.len()).find(end).map_or(rest.len(), |at| at + 1 + hashes)
}

/// Characters of a block comment, nested ones with it.
fn block_comment(rest: &[char]) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while at < rest.len() {
        match rest.get(at..at + 2) {
            Some(['/', '*']) => (depth, at) = (depth + 1, at + 2),
            Some(['*', '/']) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// Whether a name may hold `c`.
pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
pub(super) fn source(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rust: &str, code: &str) {
        let kept = code_only(rust);
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeezed(&kept), squeezed(code), "{rust}");
        assert_eq!(kept.matches('\n').count(), rust.matches('\n').count(), "lines of {rust}");
    }

    #[test]
    fn comments_are_blanked_and_lines_stay() {
        check("a // b\nc", "a\nc");
        check("a /* b /* c */ d\n */ e", "a e");
        check("/// doc\nfn f() {}", "fn f() {}");
        check("a /* never closed", "a");
    }

    #[test]
    fn strings_of_every_kind_are_blanked() {
        check(r#"f("a\"b", c)"#, "f( , c)");
        check(r##"f(r#"a"b"#, c)"##, "f( , c)");
        check("f(b\"a\", br\"a\", c\"a\", d)", "f( , , , d)");
        check("f(\"over\ntwo lines\", c)", "f(\n, c)");
        check("f(\"// no comment\", c)", "f( , c)");
    }

    #[test]
    fn characters_are_blanked_and_lifetimes_are_not() {
        check(r"f('a', '\'', b'x', '\u{41}', c)", "f( , , , , c)");
        check("fn f<'a>(x: &'a str, y: &'static str)", "fn f<'a>(x: &'a str, y: &'static str)");
    }

    #[test]
    fn names_that_end_like_a_prefix_of_a_string_stay() {
        check(r#"attr"x""#, "attr");
        check("r#type", "r#type");
    }
}
