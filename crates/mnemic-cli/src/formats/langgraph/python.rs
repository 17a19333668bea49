//! Values in the very form that Python writes them in (`json.dumps`, `str`, `isoformat`), where ids and texts are made of it.
//! Not here: Mnemic's own canonical form (`mnemic::wire`).

use std::fmt::Write as _;

use mnemic::{Number, Object, Timestamp, Value};

/// A list of texts that are JSON already.
pub(super) fn list(items: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", items.into_iter().collect::<Vec<_>>().join(", "))
}

/// A string as JSON in ASCII.
pub(super) fn ascii(text: &str) -> String {
    let mut written = String::from("\"");
    for unit in text.encode_utf16() {
        match u8::try_from(unit).ok().filter(|byte| (b' '..=b'~').contains(byte)) {
            Some(byte @ (b'"' | b'\\')) => written.extend(['\\', char::from(byte)]),
            Some(byte) => written.push(char::from(byte)),
            None => match short(unit) {
                Some(letter) => written.extend(['\\', letter]),
                None => {
                    let _infallible = write!(written, "\\u{unit:04x}");
                }
            },
        }
    }
    written.push('"');
    written
}

/// The letter of a short escape.
fn short(unit: u16) -> Option<char> {
    match unit {
        0x08 => Some('b'),
        0x09 => Some('t'),
        0x0a => Some('n'),
        0x0c => Some('f'),
        0x0d => Some('r'),
        _ => None,
    }
}

/// A value as `json.dumps(value, sort_keys=True, ensure_ascii=False)`.
pub(super) fn json(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => self::number(number),
        Value::String(text) => string(text),
        Value::Array(items) => list(items.iter().map(json)),
        Value::Object(object) => self::object(object),
    }
}

/// An object in the same form.
pub(super) fn object(object: &Object) -> String {
    let entries = object.iter().map(|(key, value)| format!("{}: {}", string(key), json(value)));
    format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
}

fn string(text: &str) -> String {
    let mut written = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => written.extend(['\\', character]),
            '\0'..='\x1f' => match short(character as u16) {
                Some(letter) => written.extend(['\\', letter]),
                None => {
                    let _infallible = write!(written, "\\u{:04x}", u32::from(character));
                }
            },
            _ => written.push(character),
        }
    }
    written.push('"');
    written
}

/// A number as Python shows it: the shortest digits, an exponent of at least two digits below 1e-4 and from 1e16 on.
pub(super) fn number(number: &Number) -> String {
    if number.as_i64().is_some() || number.as_u64().is_some() {
        return number.to_string();
    }
    let value = number.as_f64();
    if value == 0.0 || (1e-4..1e16).contains(&value.abs()) {
        return format!("{value:?}");
    }
    let short = format!("{value:e}");
    let (digits, exponent) = short.split_once('e').unwrap_or((&short, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
    format!("{digits}e{sign}{exponent:0>2}")
}

/// A time as `datetime.isoformat` shows it in UTC.
pub(super) fn time(at: Timestamp) -> String {
    let shown = at.to_string();
    match shown.strip_suffix('Z') {
        Some(rest) => format!("{rest}+00:00"),
        None => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_look_as_python_writes_them() {
        let value = mnemic::wire::json::parse(
            r#"{"b":[1,2.5,1e16,1e-5,-0.0,true,null],"a":"é\"\n\u0001","c":{"x":123456789012345}}"#,
        );
        let expected =
            r#"{"a": "é\"\n\u0001", "b": [1, 2.5, 1e+16, 1e-05, -0.0, true, null], "c": {"x": 123456789012345}}"#;
        assert_eq!(json(&value.unwrap()), expected);
    }

    #[test]
    fn a_string_in_ascii_is_escaped_as_python_does() {
        assert_eq!(ascii("a\"\\\n\u{7f}é😀"), r#""a\"\\\n\u007f\u00e9\ud83d\ude00""#);
    }
}
