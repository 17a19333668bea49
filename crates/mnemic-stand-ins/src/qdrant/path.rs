//! Paths into payloads, as Qdrant writes them: `a.b`, `"a.b"`, `a[].b`, `a[0]`. Not here: what is done with what they select.

use serde_json::{Map, Value};

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Into an object.
    Key(String),
    /// Into one element of a list.
    Index(usize),
    /// Into every element of a list.
    Every,
}

/// A path; it begins with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path(Vec<Step>);

impl Path {
    /// Reads a path.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let invalid = || format!("Invalid json path: \'{text}\'");
        let mut steps = Vec::new();
        let mut rest = text;
        loop {
            let (key, tail) = key(rest).ok_or_else(invalid)?;
            steps.push(Step::Key(key.to_owned()));
            rest = tail;
            while let Some(inner) = rest.strip_prefix('[') {
                let (index, tail) = inner.split_once(']').ok_or_else(invalid)?;
                let digits = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
                steps.push(match index {
                    "" => Step::Every,
                    _ if digits => Step::Index(index.parse().ok().ok_or_else(invalid)?),
                    _ => return Err(invalid()),
                });
                rest = tail;
            }
            if rest.is_empty() {
                return Ok(Self(steps));
            }
            rest = rest.strip_prefix('.').ok_or_else(invalid)?;
        }
    }

    /// The same path without a trailing `[]`.
    pub(super) fn without_last_every(mut self) -> Self {
        if self.0.len() > 1 && self.0.last() == Some(&Step::Every) {
            self.0.pop();
        }
        self
    }

    /// The steps.
    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The values that the path selects; lists stay lists.
    pub(super) fn values<'a>(&self, payload: &'a Map<String, Value>) -> Vec<&'a Value> {
        let Some((Step::Key(first), rest)) = self.0.split_first() else { return Vec::new() };
        let mut found: Vec<&Value> = payload.get(first).into_iter().collect();
        for step in rest {
            found = found.into_iter().flat_map(|value| stepped(value, step)).collect();
        }
        found
    }

    /// The same with the elements of a list instead of the list, one level deep.
    pub(super) fn elements<'a>(&self, payload: &'a Map<String, Value>) -> Vec<&'a Value> {
        let elements = |value: &'a Value| value.as_array().map_or_else(|| vec![value], |items| items.iter().collect());
        self.values(payload).into_iter().flat_map(elements).collect()
    }
}

fn stepped<'a>(value: &'a Value, step: &Step) -> Vec<&'a Value> {
    match step {
        Step::Key(key) => value.as_object().and_then(|object| object.get(key)).into_iter().collect(),
        Step::Index(at) => value.as_array().and_then(|items| items.get(*at)).into_iter().collect(),
        Step::Every => value.as_array().map(|items| items.iter().collect()).unwrap_or_default(),
    }
}

/// The key that a text begins with, and the rest.
fn key(text: &str) -> Option<(&str, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        return quoted.split_once('"');
    }
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-')).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_selects_what_it_names() {
        let payload = json!({"a": {"b": [1, [2]]}, "a.b": 3, "l": [{"c": 4}, {"c": [5, 6]}, 7]});
        let payload = payload.as_object().unwrap();
        let found = |path: &str| json!(Path::parse(path).unwrap().elements(payload));
        assert_eq!(found("a.b"), json!([1, [2]]));
        assert_eq!(found("\"a.b\""), json!([3]));
        assert_eq!(found("l[].c"), json!([4, 5, 6]));
        assert_eq!(found("l[1].c[0]"), json!([5]));
        assert_eq!(found("l.c"), json!([]), "a list on the way needs []");
    }

    #[test]
    fn a_malformed_path_is_refused() {
        for bad in ["", ".", "a.", "a..b", "a[", "a[x]", "a[-1]", "[0]", "a]b", "\"a", "a b", "a\"b\""] {
            assert!(Path::parse(bad).is_err(), "{bad:?}");
        }
    }
}
