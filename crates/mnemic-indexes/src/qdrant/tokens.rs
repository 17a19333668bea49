//! Metadata as words that an exact match can find: one keyword field serves every path. Not here: the filter over them (`filter`).
//!
//! Of `{"form": "I-129", "fee": 1055}` the words are `["fee"]:n`, `["fee"]=1055`, `["fee"]?` and the same for `form`. A path is
//! canonical JSON, so no key can forge another's words; numbers are written by value, so `1` and `1.0` are one word.

use std::collections::BTreeSet;

use mnemic_core::{Number, Object, Operand, Value};
use uuid::Uuid;

/// Bytes of a word that is kept as it is; of a longer one its hash is kept.
const WORD_BYTES: usize = 96;
/// What the hashes of long words are made with. Changing it changes every stored point.
const LONG_WORDS: Uuid = Uuid::from_u128(0x6d6e_656d_6963_5f74_8f6b_656e_735f_7631);

/// The sort of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    String,
    Number,
    Bool,
    List,
    Object,
}

/// A path into metadata, as words begin.
#[derive(Debug)]
pub(super) struct MetadataPath(String);

impl MetadataPath {
    /// The path of these keys, outermost first.
    pub(super) fn new(keys: &[String]) -> Self {
        Self(Value::Array(keys.iter().map(|key| Value::from(key.as_str())).collect()).to_canonical())
    }

    /// The word of whatever holds something other than null here.
    pub(super) fn exists(&self) -> String {
        short(format!("{}?", self.0))
    }

    /// The word of whatever holds a value of this sort here.
    pub(super) fn holds(&self, sort: Sort) -> String {
        let letter = match sort {
            Sort::String => 's',
            Sort::Number => 'n',
            Sort::Bool => 'b',
            Sort::List => 'l',
            Sort::Object => 'o',
        };
        short(format!("{}:{letter}", self.0))
    }

    /// The word of whatever holds this value here, itself or in a list; nothing for an instant, which metadata never holds.
    pub(super) fn equals(&self, operand: &Operand) -> Option<String> {
        let value = match operand {
            Operand::Bool(flag) => Value::Bool(*flag).to_canonical(),
            Operand::Number(number) => by_value(number),
            Operand::String(text) => Value::from(text.as_str()).to_canonical(),
            Operand::Timestamp(_) => return None,
        };
        Some(short(format!("{}={value}", self.0)))
    }
}

/// Every word of a record's metadata.
pub(super) fn words(metadata: &Object) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    collect(metadata, &mut Vec::new(), &mut words);
    words
}

fn collect(object: &Object, keys: &mut Vec<String>, words: &mut BTreeSet<String>) {
    for (key, value) in object.iter().filter(|(_, value)| **value != Value::Null) {
        keys.push(key.clone());
        let path = MetadataPath::new(keys);
        words.insert(path.exists());
        let sort = match value {
            Value::Null | Value::String(_) => Sort::String,
            Value::Bool(_) => Sort::Bool,
            Value::Number(_) => Sort::Number,
            Value::Array(_) => Sort::List,
            Value::Object(_) => Sort::Object,
        };
        words.insert(path.holds(sort));
        match value {
            Value::Object(inner) => collect(inner, keys, words),
            Value::Array(items) => words.extend(items.iter().filter_map(|item| path.equals(&scalar(item)?))),
            one => words.extend(scalar(one).and_then(|operand| path.equals(&operand))),
        }
        keys.pop();
    }
}

fn scalar(value: &Value) -> Option<Operand> {
    match value {
        Value::Bool(flag) => Some(Operand::Bool(*flag)),
        Value::Number(number) => Some(Operand::Number(*number)),
        Value::String(text) => Some(Operand::String(text.clone())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A number so that numbers of one value have one text.
fn by_value(number: &Number) -> String {
    let float = number.as_f64();
    let integer = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    // Beyond 65 bits no integer is held as one, so a whole double needs no other text than its own.
    let whole = (float.fract() == 0.0 && float.abs() < 3.7e19).then_some(float as i128);
    integer.or(whole).map_or_else(|| format!("{float:e}"), |whole| whole.to_string())
}

fn short(word: String) -> String {
    // A word begins with `[`, so that a hash is never one.
    if word.len() <= WORD_BYTES { word } else { format!("#{}", Uuid::new_v5(&LONG_WORDS, word.as_bytes()).simple()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn equal(literal: &str) -> String {
        let number = Operand::Number(Number::parse(literal).unwrap());
        MetadataPath::new(&["k".to_owned()]).equals(&number).unwrap()
    }

    #[test]
    fn numbers_of_one_value_are_one_word_and_others_are_not() {
        for (one, other) in
            [("1", "1.0"), ("-0", "0"), ("1e3", "1000"), ("18446744073709551615", "18446744073709551615")]
        {
            assert_eq!(equal(one), equal(other), "{one} and {other}");
        }
        for (one, other) in [
            ("9007199254740993", "9007199254740992"),
            ("9007199254740993", "9007199254740992.0"),
            ("18446744073709551615", "18446744073709551616.0"),
            ("0.1", "0.30000000000000004"),
            ("1e300", "1e301"),
            ("5e-324", "0"),
        ] {
            assert_ne!(equal(one), equal(other), "{one} and {other}");
        }
    }

    #[test]
    fn no_key_forges_the_words_of_another() {
        let deep = Object::from([("a".to_owned(), Value::Object(Object::from([("b".to_owned(), "x".into())])))]);
        let flat = Object::from([("a\",\"b".to_owned(), "x".into())]);
        let dotted = Object::from([("a.b".to_owned(), "x".into())]);
        let text = Object::from([("a".to_owned(), "b\"]=\"x".into())]);
        let all: Vec<BTreeSet<String>> = [&deep, &flat, &dotted, &text].into_iter().map(words).collect();
        let wanted =
            MetadataPath::new(&["a".to_owned(), "b".to_owned()]).equals(&Operand::String("x".to_owned())).unwrap();
        let holding: Vec<bool> = all.iter().map(|words| words.contains(&wanted)).collect();
        assert_eq!(holding, [true, false, false, false]);
    }

    #[test]
    fn a_long_word_is_kept_short_and_apart() {
        let path = MetadataPath::new(&["k".to_owned()]);
        let long = |end: &str| path.equals(&Operand::String("x".repeat(60_000) + end)).unwrap();
        assert!(long("a").len() < 40 && long("a") != long("b"));
    }
}
