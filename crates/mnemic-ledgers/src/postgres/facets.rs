//! The JSON column that filters look into: tags, path and metadata of a record, and constants to compare with.
//! Not here: the conditions (`filter`). What is true of a record is in its packed body; this column only narrows.

use std::fmt::Write as _;

use mnemic_core::{MemoryRecord, Number, Object, Operand, Value};

/// From here on every double is an integer, and its shortest text is not its value.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// What is stored of a record beside its body.
pub(super) fn of(record: &MemoryRecord) -> String {
    let mut out = String::with_capacity(64);
    out.push_str("{\"t\":[");
    list(record.tags.iter(), &mut out);
    out.push_str("],\"p\":[");
    list(record.path.iter(), &mut out);
    out.push_str("],\"m\":");
    object(&record.metadata, &mut out);
    out.push('}');
    out
}

/// A constant as JSON; `None` for an instant, which JSON has not.
pub(super) fn constant(operand: &Operand) -> Option<String> {
    let mut out = String::new();
    match operand {
        Operand::Bool(value) => Value::Bool(*value).write_canonical(&mut out),
        Operand::Number(value) => number(value, &mut out),
        Operand::String(value) => string(value, &mut out),
        Operand::Timestamp(_) => return None,
    }
    Some(out)
}

fn list<'a>(items: impl Iterator<Item = &'a String>, out: &mut String) {
    for (i, item) in items.enumerate() {
        if i > 0 {
            out.push(',');
        }
        string(item, out);
    }
}

fn string(text: &str, out: &mut String) {
    Value::String(text.to_owned()).write_canonical(out);
}

fn object(held: &Object, out: &mut String) {
    out.push('{');
    for (i, (key, held)) in held.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        string(key, out);
        out.push(':');
        value(held, out);
    }
    out.push('}');
}

fn value(held: &Value, out: &mut String) {
    match held {
        Value::Number(held) => number(held, out),
        Value::Object(held) => object(held, out),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                value(item, out);
            }
            out.push(']');
        }
        Value::Null | Value::Bool(_) | Value::String(_) => held.write_canonical(out),
    }
}

/// Writes a number so that the server, which compares decimals, orders numbers as we do: integers digit by digit, and doubles by
/// their shortest text, which lies on the same side of every integer and of every other double as the double itself.
fn number(held: &Number, out: &mut String) {
    let double = held.as_f64();
    let whole = held.as_i64().is_some() || held.as_u64().is_some();
    let _infallible = match whole {
        true => write!(out, "{held}"),
        false if double.abs() >= EXACT => write!(out, "{double:.0}"),
        false => write!(out, "{double:?}"),
    };
}

#[cfg(test)]
mod tests {
    use mnemic_core::{RecordId, Timestamp};

    use super::*;

    #[test]
    fn numbers_are_written_with_their_value() {
        let shown = |literal: &str| constant(&Operand::Number(Number::parse(literal).unwrap())).unwrap();
        assert_eq!(shown("9007199254740993"), "9007199254740993");
        assert_eq!(shown("1152921504606846976.0"), "1152921504606846976");
        assert_eq!(shown("18446744073709551615"), "18446744073709551615");
        assert_eq!(shown("0.1"), "0.1");
        assert_eq!(shown("1e300").len(), 301);
    }

    #[test]
    fn everything_that_a_record_holds_is_escaped() {
        let mut record = MemoryRecord::new(RecordId::new("r").unwrap(), "x", Timestamp::from_micros(0).unwrap());
        record.tags = ["a\"b".to_owned()].into();
        record.path = vec!["p\\q".to_owned()];
        record.metadata = Object::from([("k\n".to_owned(), Value::Array(vec![Value::Null, true.into()]))]);
        assert_eq!(of(&record), "{\"t\":[\"a\\\"b\"],\"p\":[\"p\\\\q\"],\"m\":{\"k\\n\":[null,true]}}");
    }
}
