//! Strict reading of JSON into values: no duplicate keys, no rounding of integers, bounded depth, nothing before or after.
//! Not here: what the values mean (the sibling modules).

use std::fmt;

use mnemic_core::{Error, Number, Object, Result, Value, ids::quoted};
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor},
};

/// Nesting of one JSON text.
pub const DEPTH: usize = 32;

/// Reads one JSON value from text or bytes.
///
/// # Errors
/// `InvalidInput` with field `json`, naming line and byte: text that is not JSON or not UTF-8, a byte order mark, something
/// after the value, a key that occurs twice, nesting beyond [`DEPTH`], a lone surrogate, a number that cannot be kept.
pub fn parse(input: impl AsRef<[u8]>) -> Result<Value> {
    let bytes = input.as_ref();
    let text = std::str::from_utf8(bytes).map_err(|source| {
        invalid(bytes, source.valid_up_to(), "expected UTF-8, found other bytes").with_source(source)
    })?;
    if text.starts_with('\u{feff}') {
        return Err(invalid(bytes, 0, "expected JSON, found a byte order mark"));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = ValueSeed { depth: 0 }.deserialize(&mut deserializer).map_err(|error| syntax(bytes, error))?;
    deserializer.end().map_err(|error| syntax(bytes, error))?;
    Ok(value)
}

/// Reads one JSON object from text or bytes.
///
/// # Errors
/// Those of [`parse`], and `InvalidInput` for another value than an object.
pub fn parse_object(input: impl AsRef<[u8]>) -> Result<Object> {
    match parse(input)? {
        Value::Object(object) => Ok(object),
        other => Err(Error::invalid("json", "an object", super::fields::shown(&other))),
    }
}

fn invalid(bytes: &[u8], offset: usize, message: impl fmt::Display) -> Error {
    let before = bytes.get(..offset).unwrap_or(bytes);
    let line = before.split(|byte| *byte == b'\n').count();
    let message = format!("json: {message} at line {line}, byte {offset}");
    Error::new(mnemic_core::ErrorKind::InvalidInput, message).with_field("json")
}

/// The library's error in our words, with the offset from the start of the text.
fn syntax(bytes: &[u8], error: serde_json::Error) -> Error {
    let offset = match error.line().checked_sub(2) {
        None => 0,
        Some(breaks) => {
            let mut ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(i, _)| i + 1);
            ends.nth(breaks).unwrap_or(bytes.len())
        }
    };
    // The library counts columns from 1 and may point one past the end.
    let offset = (offset + error.column().saturating_sub(1)).min(bytes.len());
    let place = format!(" at line {} column {}", error.line(), error.column());
    let text = error.to_string();
    let said = text.strip_suffix(&place).unwrap_or(&text);
    let message = match error.classify() {
        serde_json::error::Category::Data => said.to_owned(),
        serde_json::error::Category::Eof => format!("expected complete JSON, found its end too early ({said})"),
        serde_json::error::Category::Syntax if said.contains("hex escape") => {
            format!("expected escapes of whole characters, found a lone surrogate or a cut escape ({said})")
        }
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => {
            format!("expected valid JSON, found a fault ({said})")
        }
    };
    invalid(bytes, offset, message).with_source(error)
}

/// Reads a value inside `depth` containers.
#[derive(Clone, Copy)]
struct ValueSeed {
    depth: usize,
}

impl ValueSeed {
    fn inner<E: de::Error>(self) -> Result<Self, E> {
        if self.depth >= DEPTH {
            return Err(E::custom(format!("expected nesting of at most {DEPTH} levels, found more")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Object::new();
        let mut inner = self;
        while let Some(key) = entries.next_key_seed(KeySeed)? {
            let name = match key {
                Key::Name(name) => name,
                Key::NumberLiteral => return number(&entries.next_value::<String>()?),
            };
            if object.contains_key(&name) {
                return Err(de::Error::custom(format!("expected each key once, found {} twice", quoted(&name))));
            }
            if object.is_empty() {
                inner = self.inner()?;
            }
            object.insert(name, entries.next_value_seed(inner)?);
        }
        Ok(Value::Object(object))
    }
}

fn number<E: de::Error>(literal: &str) -> Result<Value, E> {
    Number::parse(literal).map(Value::Number).map_err(|error| {
        let message = error.message();
        E::custom(message.strip_prefix("number: ").unwrap_or(message))
    })
}

enum Key {
    Name(String),
    /// What follows is the text of a number: one that is no 64-bit integer comes as a map with one entry of the library's own.
    NumberLiteral,
}

/// Tells the library's number maps from objects. Keys of the text answer `deserialize_option` with `visit_some`, the marker of a
/// number with its name; comparing names instead would let an input forge the marker.
struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Key;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for KeySeed {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        String::deserialize(deserializer).map(Key::Name)
    }

    fn visit_str<E>(self, _: &str) -> Result<Key, E> {
        Ok(Key::NumberLiteral)
    }
}
