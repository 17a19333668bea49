//! The texts of a value that an item is found by: its paths, such as `a.b`, `chunks[*].text`, `{title,body}`, `$`.
//! Not here: which paths an item has (its database says it).

use mnemic::{Object, Value};

use super::python;

/// The texts at some paths, each once. A path may end in the number of one of several texts, as databases note it.
pub(super) fn of(value: &Object, paths: &[String]) -> Vec<String> {
    let whole = Value::Object(value.clone());
    let mut found: Vec<String> = Vec::new();
    for path in paths {
        for text in at_noted(&whole, path) {
            if !found.contains(&text) {
                found.push(text);
            }
        }
    }
    found
}

fn at_noted(value: &Value, path: &str) -> Vec<String> {
    if let Some((above, last)) = path.rsplit_once('.')
        && let Ok(number) = last.parse::<usize>()
    {
        let several = at(value, above);
        if several.len() > 1 && number < several.len() {
            return several;
        }
    }
    at(value, path)
}

fn at(value: &Value, path: &str) -> Vec<String> {
    if path.is_empty() || path == "$" {
        return vec![python::json(value)];
    }
    let mut found = Vec::new();
    collect(value, &tokens(path), &mut found);
    found
}

fn collect(value: &Value, tokens: &[String], found: &mut Vec<String>) {
    let Some((token, rest)) = tokens.split_first() else {
        found.extend(shown(value));
        return;
    };
    if let Some(index) = inside(token, '[', ']') {
        let Value::Array(items) = value else { return };
        if index == "*" {
            for item in items {
                collect(item, rest, found);
            }
        } else if let Some(item) = index.parse::<isize>().ok().and_then(|index| nth(items, index)) {
            collect(item, rest, found);
        }
    } else if let Some(fields) = inside(token, '{', '}') {
        if matches!(value, Value::Object(_)) {
            found.extend(fields.split(',').filter_map(|field| nested(value, field.trim())).filter_map(shown));
        }
    } else if token == "*" {
        match value {
            Value::Array(items) => items.iter().for_each(|item| collect(item, rest, found)),
            Value::Object(object) => object.values().for_each(|item| collect(item, rest, found)),
            _ => {}
        }
    } else if let Some(held) = value.as_object().and_then(|object| object.get(token)) {
        collect(held, rest, found);
    }
}

/// A negative index counts from the end.
fn nth(items: &[Value], index: isize) -> Option<&Value> {
    let index = if index < 0 { isize::try_from(items.len()).ok()?.checked_add(index)? } else { index };
    items.get(usize::try_from(index).ok()?)
}

fn nested<'a>(value: &'a Value, field: &str) -> Option<&'a Value> {
    let tokens = tokens(field);
    if tokens.is_empty() {
        return None;
    }
    tokens.iter().try_fold(value, |held, token| held.as_object()?.get(token))
}

/// A value as text, as Python's `str` shows what is not a list or an object.
fn shown(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Bool(true) => Some("True".to_owned()),
        Value::Bool(false) => Some("False".to_owned()),
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(python::number(number)),
        Value::Array(_) | Value::Object(_) => Some(python::json(value)),
    }
}

fn inside(token: &str, open: char, close: char) -> Option<&str> {
    token.strip_prefix(open)?.strip_suffix(close)
}

/// The steps of a path: names between dots, and what stands in brackets or braces.
fn tokens(path: &str) -> Vec<String> {
    let (mut tokens, mut current) = (Vec::new(), String::new());
    let mut characters = path.chars();
    while let Some(character) = characters.next() {
        match character {
            '[' | '{' => {
                end(&mut tokens, &mut current);
                let close = if character == '[' { ']' } else { '}' };
                tokens.push(bracketed(character, close, &mut characters));
            }
            '.' => end(&mut tokens, &mut current),
            other => current.push(other),
        }
    }
    end(&mut tokens, &mut current);
    tokens
}

fn end(tokens: &mut Vec<String>, current: &mut String) {
    if !current.is_empty() {
        tokens.push(std::mem::take(current));
    }
}

fn bracketed(open: char, close: char, characters: &mut std::str::Chars<'_>) -> String {
    let (mut token, mut depth) = (String::from(open), 1);
    for character in characters.by_ref() {
        token.push(character);
        if character == open {
            depth += 1;
        } else if character == close {
            depth -= 1;
        }
        if depth == 0 {
            break;
        }
    }
    token
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &str =
        r#"{"title":"T","n":1.0,"on":true,"none":null,"chunks":[{"text":"a"},{"text":"b"}],"deep":{"x":{"y":"z"}}}"#;

    fn texts(paths: &[&str]) -> Vec<String> {
        let value = mnemic::wire::json::parse_object(VALUE).unwrap();
        of(&value, &paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn every_sort_of_path_finds_its_texts() {
        for (path, expected) in [
            ("title", &["T"][..]),
            ("n", &["1.0"]),
            ("on", &["True"]),
            ("none", &[]),
            ("absent.x", &[]),
            ("chunks[*].text", &["a", "b"]),
            ("chunks[-1].text", &["b"]),
            ("chunks[7].text", &[]),
            ("chunks[0]", &[r#"{"text": "a"}"#]),
            ("{title, deep.x.y}", &["T", "z"]),
            ("deep.*.y", &["z"]),
        ] {
            assert_eq!(texts(&[path]), expected, "{path}");
        }
        assert!(texts(&["$"])[0].starts_with(r#"{"chunks": [{"text": "a"}, "#));
    }

    #[test]
    fn a_path_that_is_noted_for_each_of_its_texts_is_read_once() {
        assert_eq!(texts(&["chunks[*].text.0", "chunks[*].text.1", "title"]), ["a", "b", "T"]);
    }
}
