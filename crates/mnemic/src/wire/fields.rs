//! Reading the fields of an object: types, names, and messages that say what was expected. Not here: which fields a noun has.

use std::{collections::BTreeSet, str::FromStr};

use mnemic_core::{
    Error, Number, Object, Result, Timestamp, Value,
    ids::{check_label, check_text, quoted},
    limits,
    suggest::nearest,
    value::check_object,
};

/// Older names that are understood on input, and what they are called now.
const ALIASES: [(&str, &str); 2] = [("type", "kind"), ("decay_at", "expires_at")];

/// Shows a value in a message: its kind, and itself where it is short.
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

fn wrong(field: &str, expected: &str, found: &Value) -> Error {
    Error::invalid(field, expected, shown(found))
}

/// The fields of one object, all of them known.
pub(super) struct Fields<'a> {
    object: &'a Object,
}

impl<'a> Fields<'a> {
    /// Checks that every key of `object` is among `known`, older names counted, and that no field is given under two names.
    pub(super) fn new(object: &'a Object, known: &[&str]) -> Result<Self> {
        let current = |key: &str| ALIASES.iter().find(|(old, _)| *old == key).map_or("", |(_, new)| *new);
        let mut unknown = Vec::new();
        for key in object.keys() {
            let renamed = current(key);
            if known.contains(&renamed) {
                if object.contains_key(renamed) {
                    let found = format!("{renamed} and {key}, its older name");
                    return Err(Error::invalid(renamed, "one value", found));
                }
            } else if !known.contains(&key.as_str()) {
                unknown.push(key);
            }
        }
        let Some(first) = unknown.first() else { return Ok(Self { object }) };
        let hint = |key: &str| nearest(key, known).map_or(String::new(), |near| format!(" (did you mean {near}?)"));
        let named: Vec<String> = unknown.iter().take(8).map(|key| format!("{}{}", quoted(key), hint(key))).collect();
        let more = if unknown.len() > named.len() { " and more" } else { "" };
        let expected = format!("only known keys ({})", known.join(", "));
        let error = Error::invalid("keys", expected, format!("{}{more}", named.join(", ")));
        let plain = first.len() <= 64 && !first.chars().any(char::is_control);
        Err(if plain { error.with_field(first.as_str()) } else { error })
    }

    /// The value of a field. `null` counts as absent.
    pub(super) fn get(&self, field: &str) -> Option<&'a Value> {
        let old = ALIASES.iter().find(|(_, new)| *new == field).and_then(|(old, _)| self.object.get(*old));
        self.object.get(field).or(old).filter(|value| !matches!(value, Value::Null))
    }

    pub(super) fn string(&self, field: &str) -> Result<Option<&'a str>> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(field, "a string", other)),
        }
    }

    /// Free text of at most a record's size.
    pub(super) fn text(&self, field: &str) -> Result<Option<String>> {
        let text = self.string(field)?;
        text.map(|text| check_text(field, text, limits::TEXT_BYTES).map(|()| text.to_owned())).transpose()
    }

    /// A short label.
    pub(super) fn label(&self, field: &str) -> Result<Option<String>> {
        let label = self.string(field)?;
        label.map(|label| check_label(field, label, limits::LABEL_BYTES).map(|()| label.to_owned())).transpose()
    }

    /// An id or a name, which names its field itself.
    pub(super) fn parsed<T: FromStr<Err = Error>>(&self, field: &str) -> Result<Option<T>> {
        self.string(field)?.map(str::parse).transpose()
    }

    /// Something made from a string. `make` names the field itself.
    pub(super) fn made<T>(&self, field: &str, make: impl Fn(&'a str) -> Result<T>) -> Result<Option<T>> {
        self.string(field)?.map(make).transpose()
    }

    pub(super) fn timestamp(&self, field: &str) -> Result<Option<Timestamp>> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::String(text)) => Timestamp::parse(field, text).map(Some),
            Some(other) => Err(wrong(field, "an RFC 3339 time as a string", other)),
        }
    }

    pub(super) fn number(&self, field: &str) -> Result<Option<Number>> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::Number(number)) => Ok(Some(*number)),
            Some(other) => Err(wrong(field, "a number", other)),
        }
    }

    /// A whole number from 0.
    pub(super) fn count(&self, field: &str) -> Result<Option<u64>> {
        let whole = |number: Number| {
            number.as_u64().ok_or_else(|| Error::invalid(field, "a whole number of 64 bits from 0", number))
        };
        self.number(field)?.map(whole).transpose()
    }

    pub(super) fn flag(&self, field: &str) -> Result<Option<bool>> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(other) => Err(wrong(field, "true or false", other)),
        }
    }

    pub(super) fn list(&self, field: &str) -> Result<&'a [Value]> {
        match self.get(field) {
            None => Ok(&[]),
            Some(Value::Array(items)) => Ok(items),
            Some(other) => Err(wrong(field, "a list", other)),
        }
    }

    /// What `make` makes of every string of a list, with the position in the message.
    pub(super) fn made_list<T, C: FromIterator<T>>(
        &self,
        field: &str,
        most: usize,
        make: impl Fn(&str, &str) -> Result<T>,
    ) -> Result<C> {
        let items = self.list(field)?;
        if items.len() > most {
            return Err(Error::invalid(field, format!("at most {most} entries"), format!("{} entries", items.len())));
        }
        let entry = |(i, item): (usize, &Value)| {
            let position = format!("{field}[{i}]");
            match item {
                Value::String(text) => make(&position, text),
                other => Err(wrong(&position, "a string", other)),
            }
        };
        items.iter().enumerate().map(entry).collect()
    }

    pub(super) fn labels<C: FromIterator<String>>(&self, field: &str, most: usize) -> Result<C> {
        self.made_list(field, most, |position, label| {
            check_label(position, label, limits::LABEL_BYTES).map(|()| label.to_owned())
        })
    }

    pub(super) fn tags(&self) -> Result<BTreeSet<String>> {
        self.labels("tags", limits::TAGS)
    }

    pub(super) fn object(&self, field: &str) -> Result<Option<&'a Object>> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            Some(other) => Err(wrong(field, "an object", other)),
        }
    }

    /// Metadata or a payload: any object within the limits, empty if absent.
    pub(super) fn free_object(&self, field: &str) -> Result<Object> {
        let Some(object) = self.object(field)? else { return Ok(Object::new()) };
        check_object(field, object)?;
        Ok(object.clone())
    }
}

/// The value of a field that must be there.
pub(super) fn required<T>(field: &str, expected: &str, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| Error::invalid(field, expected, "nothing"))
}
