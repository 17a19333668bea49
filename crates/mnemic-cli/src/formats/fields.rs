//! Reads keys of foreign JSON objects with messages that name them. Not here: Mnemic's own objects (`mnemic::wire`).

use mnemic::{Error, Object, Result, Value, ids::quoted, suggest::nearest};

/// The keys of one object.
pub(super) struct Keys<'a> {
    object: &'a Object,
}

impl<'a> Keys<'a> {
    /// Checks that every key is among `known`.
    pub(super) fn new(object: &'a Object, known: &[&str]) -> Result<Self> {
        match object.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(Self { object }),
            Some(key) => {
                let hint = nearest(key, known).map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
                let expected = format!("only the keys {}", known.join(", "));
                Err(Error::invalid("keys", expected, format!("{}{hint}", quoted(key))).with_field(key.as_str()))
            }
        }
    }

    /// Takes an object with any keys.
    pub(super) fn any(object: &'a Object) -> Self {
        Self { object }
    }

    /// A value; `null` counts as absent.
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key).filter(|value| !matches!(value, Value::Null))
    }

    pub(super) fn string(&self, key: &str) -> Result<Option<&'a str>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(Error::invalid(key, "a string", shown(other))),
        }
    }

    pub(super) fn needed(&self, key: &str) -> Result<&'a str> {
        self.string(key)?.ok_or_else(|| Error::invalid(key, "a string", "nothing"))
    }

    pub(super) fn count(&self, key: &str) -> Result<u64> {
        match self.get(key) {
            Some(Value::Number(number)) => {
                number.as_u64().ok_or_else(|| Error::invalid(key, "a whole number from 0", number))
            }
            Some(other) => Err(Error::invalid(key, "a whole number from 0", shown(other))),
            None => Err(Error::invalid(key, "a whole number from 0", "nothing")),
        }
    }
}

/// Shows a value in a message.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(object) => format!("an object of {} keys", object.len()),
    }
}
