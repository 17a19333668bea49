//! Payloads: which part of them is shown, and how parts are set and removed. Not here: which points are meant (`points`).

use serde_json::{Map, Number, Value};

use super::{
    path::{Path, Step},
    refusal::{Outcome, Refusal},
};

/// Reads the payload of a body: an object or nothing. Numbers are kept as the server keeps them, as 64-bit integers or doubles.
pub(super) fn read(value: Option<&Value>) -> Outcome<Map<String, Value>> {
    match value {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(object)) => Ok(object.iter().map(|(key, value)| (key.clone(), plain(value))).collect()),
        Some(_) => Err(Refusal::format("invalid type: expected a map")),
    }
}

fn plain(value: &Value) -> Value {
    match value {
        Value::Number(number) => {
            let integer = number.as_i64().map(Number::from).or_else(|| number.as_u64().map(Number::from));
            let float = || number.as_f64().and_then(Number::from_f64);
            Value::Number(integer.or_else(float).unwrap_or_else(|| number.clone()))
        }
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(object) => object.iter().map(|(key, value)| (key.clone(), plain(value))).collect(),
        other => other.clone(),
    }
}

/// Which part of a payload is shown.
#[derive(Clone, Debug)]
pub(super) enum Selector {
    Nothing,
    Everything,
    Only(Vec<Path>),
    AllBut(Vec<Path>),
}

impl Selector {
    /// Reads `with_payload`.
    pub(super) fn parse(value: Option<&Value>, default: bool) -> Outcome<Self> {
        let none = || Refusal::format("data did not match any variant of untagged enum WithPayloadInterface");
        let all = |shown: bool| if shown { Self::Everything } else { Self::Nothing };
        match value {
            None | Some(Value::Null) => Ok(all(default)),
            Some(Value::Bool(shown)) => Ok(all(*shown)),
            Some(Value::Array(keys)) => Ok(Self::Only(paths(keys)?)),
            Some(Value::Object(object)) => {
                let keys = |name: &str| object.get(name).and_then(Value::as_array);
                match (keys("include"), keys("exclude")) {
                    (Some(keys), None) => Ok(Self::Only(paths(keys)?)),
                    (None, Some(keys)) => Ok(Self::AllBut(paths(keys)?)),
                    _ => Err(none()),
                }
            }
            Some(_) => Err(none()),
        }
    }

    /// The part that is shown; null if nothing is.
    pub(super) fn of(&self, payload: &Map<String, Value>) -> Value {
        match self {
            Self::Nothing => Value::Null,
            Self::Everything => Value::Object(payload.clone()),
            Self::Only(paths) => {
                let paths: Vec<&[Step]> = paths.iter().map(Path::steps).collect();
                Value::Object(included(payload, &paths))
            }
            Self::AllBut(paths) => {
                let paths: Vec<&[Step]> = paths.iter().map(Path::steps).collect();
                Value::Object(excluded(payload, &paths))
            }
        }
    }
}

/// Reads a list of paths.
pub(super) fn paths(keys: &[Value]) -> Outcome<Vec<Path>> {
    let read = |key: &Value| Path::parse(key.as_str().unwrap_or_default()).map_err(Refusal::format);
    keys.iter().map(read).collect()
}

/// What remains of the paths that begin with this step.
fn after<'a>(paths: &[&'a [Step]], begins: impl Fn(&Step) -> bool) -> Vec<&'a [Step]> {
    let rest = |path: &&'a [Step]| path.split_first().filter(|(first, _)| begins(first)).map(|(_, rest)| rest);
    paths.iter().filter_map(rest).collect()
}

fn included(object: &Map<String, Value>, paths: &[&[Step]]) -> Map<String, Value> {
    let part = |(key, value): (&String, &Value)| {
        let rest = after(paths, |step| matches!(step, Step::Key(wanted) if wanted == key));
        (!rest.is_empty()).then(|| (key.clone(), included_value(value, &rest)))
    };
    object.iter().filter_map(part).collect()
}

fn included_value(value: &Value, paths: &[&[Step]]) -> Value {
    if paths.iter().any(|path| path.is_empty()) {
        return value.clone();
    }
    match value {
        Value::Object(object) => Value::Object(included(object, paths)),
        Value::Array(items) => {
            // Only `[]` applies to elements.
            let rest = after(paths, |step| *step == Step::Every);
            if rest.is_empty() {
                Value::Array(Vec::new())
            } else {
                items.iter().map(|i| included_value(i, &rest)).collect()
            }
        }
        other => other.clone(),
    }
}

fn excluded(object: &Map<String, Value>, paths: &[&[Step]]) -> Map<String, Value> {
    let part = |(key, value): (&String, &Value)| {
        let rest = after(paths, |step| matches!(step, Step::Key(unwanted) if unwanted == key));
        excluded_value(value, &rest).map(|value| (key.clone(), value))
    };
    object.iter().filter_map(part).collect()
}

fn excluded_value(value: &Value, paths: &[&[Step]]) -> Option<Value> {
    if paths.iter().any(|path| path.is_empty()) {
        return None;
    }
    Some(match value {
        Value::Object(object) => Value::Object(excluded(object, paths)),
        Value::Array(items) => {
            let rest = after(paths, |step| *step == Step::Every);
            if rest.is_empty() {
                value.clone()
            } else {
                items.iter().filter_map(|i| excluded_value(i, &rest)).collect()
            }
        }
        other => other.clone(),
    })
}

/// Sets members; a null removes.
pub(super) fn merge(held: &mut Map<String, Value>, new: &Map<String, Value>) {
    for (key, value) in new {
        if value.is_null() {
            held.remove(key);
        } else {
            held.insert(key.clone(), value.clone());
        }
    }
}

/// Sets members of the object at a path, making what is missing on the way.
pub(super) fn merge_at(held: &mut Map<String, Value>, path: &Path, new: &Map<String, Value>) {
    if let Some((Step::Key(first), rest)) = path.steps().split_first() {
        set(held.entry(first.clone()).or_insert_with(|| Value::Object(Map::new())), rest, new);
    }
}

fn set(value: &mut Value, steps: &[Step], new: &Map<String, Value>) {
    let Some((step, rest)) = steps.split_first() else {
        let mut object = value.as_object().cloned().unwrap_or_default();
        merge(&mut object, new);
        *value = Value::Object(object);
        return;
    };
    match step {
        Step::Key(key) => {
            if !value.is_object() {
                *value = Value::Object(Map::new());
            }
            if let Some(object) = value.as_object_mut() {
                set(object.entry(key.clone()).or_insert_with(|| Value::Object(Map::new())), rest, new);
            }
        }
        Step::Index(_) | Step::Every if !value.is_array() => *value = Value::Array(Vec::new()),
        Step::Index(at) => {
            if let Some(item) = value.as_array_mut().and_then(|items| items.get_mut(*at)) {
                set(item, rest, new);
            }
        }
        Step::Every => value.as_array_mut().into_iter().flatten().for_each(|item| set(item, rest, new)),
    }
}

/// Removes what is at a path. A single element of a list is never removed, `[]` empties the list.
pub(super) fn remove_at(held: &mut Map<String, Value>, path: &Path) {
    let Some((Step::Key(first), rest)) = path.steps().split_first() else { return };
    if rest.is_empty() {
        held.remove(first);
    } else if let Some(value) = held.get_mut(first) {
        unset(value, rest);
    }
}

fn unset(value: &mut Value, steps: &[Step]) {
    let Some((step, rest)) = steps.split_first() else { return };
    match (step, value) {
        (Step::Key(key), Value::Object(object)) if rest.is_empty() => drop(object.remove(key)),
        (Step::Key(key), Value::Object(object)) => object.get_mut(key).into_iter().for_each(|value| unset(value, rest)),
        (Step::Every, Value::Array(items)) if rest.is_empty() => items.clear(),
        (Step::Every, Value::Array(items)) => items.iter_mut().for_each(|item| unset(item, rest)),
        (Step::Index(at), Value::Array(items)) => items.get_mut(*at).into_iter().for_each(|item| unset(item, rest)),
        _ => {}
    }
}
