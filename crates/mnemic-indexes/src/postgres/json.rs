//! JSON as `jsonb` takes it, with numbers exactly as they are. Not here: the canonical form that is hashed (`mnemic_core`).
//!
//! `jsonb` compares numbers as decimals. The shortest text of a double is another decimal than the double where doubles are further
//! apart than integers, so there every digit is written.

use mnemic_core::{Number, Object, Value};

/// Doubles from here on are integers, and not every integer is one.
const WHOLE: f64 = 9_007_199_254_740_992.0;
/// Beyond this no integer of 64 bits is near, and the shortest text keeps the order of doubles.
const FAR: f64 = 1e37;

/// The number, digit by digit.
pub(crate) fn number(number: &Number) -> String {
    let float = number.as_f64();
    let is_integer = number.as_i64().is_some() || number.as_u64().is_some();
    if !is_integer && (WHOLE..FAR).contains(&float.abs()) {
        return format!("{}", float as i128);
    }
    number.to_string()
}

/// A string.
pub(crate) fn string(text: &str) -> String {
    Value::String(text.to_owned()).to_canonical()
}

/// An object.
pub(crate) fn object(object: &Object) -> String {
    let mut out = String::new();
    write_object(object, &mut out);
    out
}

fn write_object(object: &Object, out: &mut String) {
    out.push('{');
    for (at, (key, value)) in object.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push_str(&string(key));
        out.push(':');
        write(value, out);
    }
    out.push('}');
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Number(held) => out.push_str(&number(held)),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(inner) => write_object(inner, out),
        Value::Null | Value::Bool(_) | Value::String(_) => value.write_canonical(out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_double_that_is_an_integer_shows_every_digit() {
        let float = |value| number(&Number::from_f64(value).unwrap());
        assert_eq!(float(1_152_921_504_606_846_976.0), "1152921504606846976");
        assert_eq!(float(-9_223_372_036_854_775_808.0), "-9223372036854775808");
        assert_eq!(float(0.1), "0.1");
        assert_eq!(float(1e300), "1e300");
        assert_eq!(number(&Number::from(u64::MAX)), "18446744073709551615");
    }

    #[test]
    fn an_object_is_written_whole() {
        let inner = Object::from([("a\"".to_owned(), Value::Array(vec![Value::Null, true.into(), 1i64.into()]))]);
        let outer = Object::from([("x".to_owned(), Value::Object(inner)), ("y".to_owned(), "й\n".into())]);
        assert_eq!(object(&outer), r#"{"x":{"a\"":[null,true,1]},"y":"й\n"}"#);
    }
}
