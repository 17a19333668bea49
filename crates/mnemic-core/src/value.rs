//! JSON values as Mnemic holds them, and their one canonical text. Not here: parsing (doors and adapters do that with a library).

use std::{
    cmp::Ordering,
    collections::BTreeMap,
    fmt::{self, Write},
};

use crate::{Error, Result, ids::check_text, limits};

/// A JSON object with sorted keys.
pub type Object = BTreeMap<String, Value>;

/// A JSON value. Numbers keep their exact value; NaN and infinities cannot be held.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    String(String),
    /// A list.
    Array(Vec<Value>),
    /// An object.
    Object(Object),
}

/// A finite number. Integers of 64 bits stay integers; everything else is a double.
#[derive(Clone, Copy, Debug)]
pub struct Number(Repr);

#[derive(Clone, Copy, Debug)]
enum Repr {
    Int(i64),
    /// Only above `i64::MAX`, so that every integer has one form.
    Big(u64),
    /// Always finite.
    Float(f64),
}

impl Number {
    /// A double, or `None` for NaN and infinities.
    pub fn from_f64(value: f64) -> Option<Self> {
        value.is_finite().then_some(Self(Repr::Float(value)))
    }

    /// Reads a JSON number literal without losing an integer's digits.
    ///
    /// # Errors
    /// `InvalidInput` for an integer beyond 64 bits, a double beyond its range, or text that is not a number.
    pub fn parse(literal: &str) -> Result<Self> {
        let refused = |expected: &str| Error::invalid("number", expected, crate::ids::quoted(literal));
        if literal.bytes().all(|b| b.is_ascii_digit() || b == b'-') && literal != "-0" {
            return literal
                .parse::<i64>()
                .map(Self::from)
                .or_else(|_| literal.parse::<u64>().map(Self::from))
                .map_err(|e| refused("an integer of at most 64 bits (write larger ones as a string)").with_source(e));
        }
        let float: f64 = literal.parse().map_err(|e: std::num::ParseFloatError| refused("a number").with_source(e))?;
        Self::from_f64(float).ok_or_else(|| refused("a number within the range of a double"))
    }

    /// The value as a double, rounded for integers beyond 2^53.
    pub fn as_f64(&self) -> f64 {
        match self.0 {
            Repr::Int(i) => i as f64,
            Repr::Big(u) => u as f64,
            Repr::Float(f) => f,
        }
    }

    /// The value as an integer, if it is held as one.
    pub fn as_i64(&self) -> Option<i64> {
        match self.0 {
            Repr::Int(i) => Some(i),
            Repr::Big(_) | Repr::Float(_) => None,
        }
    }

    /// The value as an unsigned integer, if it is held as an integer and not negative.
    pub fn as_u64(&self) -> Option<u64> {
        match self.0 {
            Repr::Int(i) => u64::try_from(i).ok(),
            Repr::Big(u) => Some(u),
            Repr::Float(_) => None,
        }
    }

    /// Compares by numeric value, exactly, across integers and doubles.
    pub fn compare(&self, other: &Self) -> Ordering {
        match (self.0, other.0) {
            (Repr::Float(a), Repr::Float(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
            (Repr::Float(a), _) => compare_float_int(a, other.as_i128()),
            (_, Repr::Float(b)) => compare_float_int(b, self.as_i128()).reverse(),
            (Repr::Int(_) | Repr::Big(_), Repr::Int(_) | Repr::Big(_)) => self.as_i128().cmp(&other.as_i128()),
        }
    }

    fn as_i128(self) -> i128 {
        match self.0 {
            Repr::Int(i) => i128::from(i),
            Repr::Big(u) => i128::from(u),
            Repr::Float(f) => f as i128,
        }
    }
}

/// Integers here lie within 65 bits, so a double outside of i128's range compares by its sign.
fn compare_float_int(float: f64, int: i128) -> Ordering {
    let whole = float.trunc();
    match (whole as i128).cmp(&int) {
        Ordering::Equal => (float - whole).partial_cmp(&0.0).unwrap_or(Ordering::Equal),
        unequal @ (Ordering::Less | Ordering::Greater) => unequal,
    }
}

impl PartialEq for Number {
    /// Equal by numeric value: `1` equals `1.0`, and `-0.0` equals `0`.
    fn eq(&self, other: &Self) -> bool {
        self.compare(other) == Ordering::Equal
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self(Repr::Int(value))
    }
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        i64::try_from(value).map_or(Self(Repr::Big(value)), |small| Self(Repr::Int(small)))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Repr::Int(i) => write!(f, "{i}"),
            Repr::Big(u) => write!(f, "{u}"),
            // `{:?}` is the shortest text that reads back as the same double, and always shows that it is one.
            Repr::Float(x) => write!(f, "{x:?}"),
        }
    }
}

impl Value {
    /// The string, if this is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The object, if this is one.
    pub fn as_object(&self) -> Option<&Object> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    /// Appends the canonical JSON text: sorted keys, no spaces, minimal escapes, shortest numbers.
    pub fn write_canonical(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Number(number) => {
                // Writing to a String cannot fail.
                let _infallible = write!(out, "{number}");
            }
            Self::String(text) => write_string(out, text),
            Self::Array(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    item.write_canonical(out);
                }
                out.push(']');
            }
            Self::Object(object) => write_canonical_object(object, out),
        }
    }

    /// The canonical JSON text.
    pub fn to_canonical(&self) -> String {
        let mut out = String::new();
        self.write_canonical(&mut out);
        out
    }
}

/// Appends the canonical JSON text of an object.
pub fn write_canonical_object(object: &Object, out: &mut String) {
    out.push('{');
    for (i, (key, value)) in object.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_string(out, key);
        out.push(':');
        value.write_canonical(out);
    }
    out.push('}');
}

fn write_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(position) = rest.find(|c: char| c == '"' || c == '\\' || c < ' ') {
        let (plain, tail) = rest.split_at(position);
        out.push_str(plain);
        let mut chars = tail.chars();
        match chars.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some(control) => {
                let _infallible = write!(out, "\\u{:04x}", u32::from(control));
            }
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

/// Checks an object against the limits of §4.8: bytes, keys, depth, NUL.
///
/// # Errors
/// `InvalidInput`, naming `field` and the limit.
pub fn check_object(field: &str, object: &Object) -> Result<()> {
    let mut keys = 0;
    for (key, value) in object {
        check_text(field, key, limits::METADATA_BYTES)?;
        keys += 1 + check_value(field, value, 1)?;
    }
    if keys > limits::METADATA_KEYS {
        return Err(Error::invalid(field, format!("at most {} keys", limits::METADATA_KEYS), format!("{keys} keys")));
    }
    let mut text = String::new();
    write_canonical_object(object, &mut text);
    if text.len() > limits::METADATA_BYTES {
        let expected = format!("at most {} bytes as JSON", limits::METADATA_BYTES);
        return Err(Error::invalid(field, expected, format!("{} bytes", text.len())));
    }
    Ok(())
}

/// Checks one value and returns how many keys it nests.
fn check_value(field: &str, value: &Value, depth: usize) -> Result<usize> {
    if depth > limits::METADATA_DEPTH {
        let expected = format!("nesting of at most {} levels", limits::METADATA_DEPTH);
        return Err(Error::invalid(field, expected, "deeper nesting"));
    }
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(0),
        Value::String(text) => check_text(field, text, limits::METADATA_BYTES).map(|()| 0),
        Value::Array(items) => items.iter().map(|item| check_value(field, item, depth + 1)).sum(),
        Value::Object(object) => object
            .iter()
            .map(|(key, item)| {
                check_text(field, key, limits::METADATA_BYTES)?;
                Ok(1 + check_value(field, item, depth + 1)?)
            })
            .sum(),
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}
impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}
impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}
impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Number(value.into())
    }
}
impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Number(value.into())
    }
}
impl From<Vec<Self>> for Value {
    fn from(items: Vec<Self>) -> Self {
        Self::Array(items)
    }
}
impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_value_or_are_refused() {
        for literal in
            ["0", "-1", "9223372036854775807", "9223372036854775808", "18446744073709551615", "0.30000000000000004"]
        {
            assert_eq!(Number::parse(literal).unwrap().to_string(), literal);
        }
        assert_eq!(Number::parse("-0").unwrap().to_string(), "-0.0");
        assert_eq!(Number::parse("1e3").unwrap().to_string(), "1000.0");
        for bad in ["1e400", "18446744073709551616", "abc", "", "NaN", "-"] {
            assert_eq!(Number::parse(bad).unwrap_err().field(), Some("number"), "{bad}");
        }
    }

    #[test]
    fn numbers_compare_exactly_across_integers_and_doubles() {
        let n = |literal: &str| Number::parse(literal).unwrap();
        assert_eq!(n("1"), n("1.0"));
        assert_eq!(n("9007199254740993").compare(&n("9007199254740992.0")), Ordering::Greater);
        assert_eq!(n("18446744073709551615").compare(&n("1e300")), Ordering::Less);
        assert_eq!(n("-3").compare(&n("-2.5")), Ordering::Less);
        assert_eq!(n("2").compare(&n("2.5")), Ordering::Less);
    }

    #[test]
    fn canonical_text_sorts_keys_and_escapes_only_what_it_must() {
        let object = Object::from([
            ("b".to_owned(), Value::from("a\"\\\n\u{1}/ё")),
            ("a".to_owned(), Value::Array(vec![Value::Null, true.into(), 1i64.into()])),
        ]);
        assert_eq!(Value::Object(object).to_canonical(), r#"{"a":[null,true,1],"b":"a\"\\\n\u0001/ё"}"#);
    }

    #[test]
    fn an_object_beyond_a_limit_is_refused_by_name() {
        let wide: Object = (0..=limits::METADATA_KEYS).map(|i| (i.to_string(), Value::Null)).collect();
        assert!(check_object("metadata", &wide).unwrap_err().to_string().contains("at most 128 keys"));
        let mut deep = Value::Null;
        for _ in 0..limits::METADATA_DEPTH {
            deep = Value::Object(Object::from([("k".to_owned(), deep)]));
        }
        assert!(check_object("metadata", &Object::from([("k".to_owned(), deep)])).is_err());
        let big = Object::from([("k".to_owned(), Value::String("x".repeat(limits::METADATA_BYTES)))]);
        assert!(check_object("metadata", &big).unwrap_err().to_string().contains("65536 bytes"));
    }
}
