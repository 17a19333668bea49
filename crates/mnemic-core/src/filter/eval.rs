//! The one evaluator of filters, the reference that every backend's translation is compared with.

use std::cmp::Ordering;

use super::{Comparison, Field, Filter, Operand};
use crate::{MemoryRecord, Number, Timestamp, Value};

/// What a record holds in one field.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldValue<'a> {
    /// Nothing, or null.
    Missing,
    /// A string.
    String(&'a str),
    /// A number.
    Number(Number),
    /// An instant.
    Timestamp(Timestamp),
    /// A list of strings.
    Strings(Vec<&'a str>),
    /// A JSON value.
    Json(&'a Value),
}

/// Something whose fields a filter can read: a record, or an index's compact copy of one.
pub trait FieldSource {
    /// What it holds in `field`.
    fn field(&self, field: &Field) -> FieldValue<'_>;
}

impl FieldSource for MemoryRecord {
    fn field(&self, field: &Field) -> FieldValue<'_> {
        fn string<T: AsRef<str>>(value: Option<&T>) -> FieldValue<'_> {
            value.map_or(FieldValue::Missing, |value| FieldValue::String(value.as_ref()))
        }
        let time = |value: Option<Timestamp>| value.map_or(FieldValue::Missing, FieldValue::Timestamp);
        let ratio = |value: Option<crate::Ratio>| {
            value.and_then(|ratio| Number::from_f64(ratio.get())).map_or(FieldValue::Missing, FieldValue::Number)
        };
        match field {
            Field::Id => FieldValue::String(self.id.as_str()),
            Field::UserId => string(self.user_id.as_ref()),
            Field::ThreadId => string(self.thread_id.as_ref()),
            Field::Kind => FieldValue::String(self.kind.as_str()),
            Field::Text => FieldValue::String(&self.text),
            Field::Path => FieldValue::Strings(self.path.iter().map(String::as_str).collect()),
            Field::Tags => FieldValue::Strings(self.tags.iter().map(String::as_str).collect()),
            Field::Source => FieldValue::String(&self.source),
            Field::Salience => ratio(self.salience),
            Field::Confidence => ratio(self.confidence),
            Field::CreatedAt => time(Some(self.created_at)),
            Field::UpdatedAt => time(Some(self.updated_at)),
            Field::ValidFrom => time(Some(self.valid_from)),
            Field::ValidTo => time(self.valid_to),
            Field::ExpiresAt => time(self.expires_at),
            Field::SupersededBy => string(self.superseded_by.as_ref()),
            Field::Version => FieldValue::Number(Number::from(self.version.0)),
            Field::Metadata(path) => metadata_at(&self.metadata, path),
        }
    }
}

/// What an object holds at a path. Paths step through objects only; a list on the way ends the walk.
pub(crate) fn metadata_at<'a>(object: &'a crate::Object, path: &[String]) -> FieldValue<'a> {
    let Some((first, rest)) = path.split_first() else { return FieldValue::Missing };
    let mut found = object.get(first);
    for key in rest {
        found = found.and_then(Value::as_object).and_then(|inner| inner.get(key));
    }
    match found {
        None | Some(Value::Null) => FieldValue::Missing,
        Some(value) => FieldValue::Json(value),
    }
}

impl Filter {
    /// Whether the record passes.
    pub fn matches(&self, source: &impl FieldSource) -> bool {
        match self {
            Self::And(filters) => filters.iter().all(|filter| filter.matches(source)),
            Self::Or(filters) => filters.iter().any(|filter| filter.matches(source)),
            Self::Not(filter) => !filter.matches(source),
            Self::Compare(field, op, operand) => compare(&source.field(field), *op, operand),
            Self::In(field, values) => {
                let held = source.field(field);
                values.iter().any(|value| compare(&held, Comparison::Eq, value))
            }
            Self::Nin(field, values) => {
                let held = source.field(field);
                held != FieldValue::Missing && !values.iter().any(|value| compare(&held, Comparison::Eq, value))
            }
            Self::Exists(field) => source.field(field) != FieldValue::Missing,
        }
    }
}

fn compare(held: &FieldValue<'_>, op: Comparison, operand: &Operand) -> bool {
    match op {
        Comparison::Eq => equals(held, operand),
        Comparison::Ne => *held != FieldValue::Missing && !equals(held, operand),
        Comparison::Contains => contains(held, operand),
        Comparison::Gt => order(held, operand) == Some(Ordering::Greater),
        Comparison::Gte => matches!(order(held, operand), Some(Ordering::Greater | Ordering::Equal)),
        Comparison::Lt => order(held, operand) == Some(Ordering::Less),
        Comparison::Lte => matches!(order(held, operand), Some(Ordering::Less | Ordering::Equal)),
    }
}

fn equals(held: &FieldValue<'_>, operand: &Operand) -> bool {
    match held {
        FieldValue::Strings(items) => items.iter().any(|item| equals(&FieldValue::String(item), operand)),
        FieldValue::Json(Value::Array(items)) => {
            items.iter().any(|item| scalar_order(item, operand) == Some(Ordering::Equal))
        }
        FieldValue::Missing
        | FieldValue::String(_)
        | FieldValue::Number(_)
        | FieldValue::Timestamp(_)
        | FieldValue::Json(_) => order(held, operand) == Some(Ordering::Equal),
    }
}

fn contains(held: &FieldValue<'_>, operand: &Operand) -> bool {
    match (held, operand) {
        (FieldValue::String(text), Operand::String(part)) => text.contains(part.as_str()),
        (FieldValue::Json(Value::String(text)), Operand::String(part)) => text.contains(part.as_str()),
        (FieldValue::Strings(_) | FieldValue::Json(Value::Array(_)), _) => equals(held, operand),
        _ => false,
    }
}

/// How a single held value lies to the operand, or nothing if they are of different sorts.
fn order(held: &FieldValue<'_>, operand: &Operand) -> Option<Ordering> {
    match (held, operand) {
        (FieldValue::String(held), Operand::String(operand)) => Some((*held).cmp(operand.as_str())),
        (FieldValue::Number(held), Operand::Number(operand)) => Some(held.compare(operand)),
        (FieldValue::Timestamp(held), Operand::Timestamp(operand)) => Some(held.cmp(operand)),
        (FieldValue::Json(held), operand) => scalar_order(held, operand),
        _ => None,
    }
}

fn scalar_order(held: &Value, operand: &Operand) -> Option<Ordering> {
    match (held, operand) {
        (Value::String(held), Operand::String(operand)) => Some(held.as_str().cmp(operand.as_str())),
        (Value::Number(held), Operand::Number(operand)) => Some(held.compare(operand)),
        (Value::Bool(held), Operand::Bool(operand)) => Some(held.cmp(operand)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::{Comparison, Field, MemoryRecord, Object, Operand, RecordId, Value, filter::Filter};

    fn record() -> MemoryRecord {
        let mut record = MemoryRecord::new(
            RecordId::new("r1").unwrap(),
            "Filing fee is 1055",
            "2026-01-05T00:00:00Z".parse().unwrap(),
        );
        record.tags = ["fee".to_owned(), "i-129".to_owned()].into();
        record.metadata = Object::from([
            ("form".to_owned(), Value::from("I-129")),
            ("fee".to_owned(), Value::from(1055i64)),
            ("lines".to_owned(), Value::Array(vec![1i64.into(), "two".into()])),
            ("nothing".to_owned(), Value::Null),
            ("inner".to_owned(), Value::Object(Object::from([("ok".to_owned(), true.into())]))),
        ]);
        record
    }

    #[track_caller]
    fn check(json: &[(&str, Value)], expected: bool) {
        let object: Object = json.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        let filter = Filter::from_object(&object).unwrap();
        assert_eq!(filter.matches(&record()), expected, "{filter:?}");
    }

    fn op(name: &str, value: impl Into<Value>) -> Value {
        Value::Object(Object::from([(name.to_owned(), value.into())]))
    }

    #[test]
    fn a_comparison_with_a_missing_field_is_false_whatever_the_operator() {
        for name in ["eq", "ne", "gt", "gte", "lt", "lte", "contains"] {
            check(&[("metadata.absent", op(name, 1i64))], false);
            check(&[("metadata.nothing", op(name, 1i64))], false);
            check(&[("user_id", op(name, "u"))], false);
        }
        check(&[("metadata.absent", op("nin", vec![1i64.into()]))], false);
        check(&[("metadata.absent", op("exists", false))], true);
        check(&[("metadata.nothing", op("exists", true))], false);
        check(&[("not", op("user_id", "u"))], true);
    }

    #[test]
    fn a_list_equals_what_one_of_its_elements_equals() {
        check(&[("metadata.lines", op("eq", "two"))], true);
        check(&[("metadata.lines", op("in", vec![9i64.into(), 1i64.into()]))], true);
        check(&[("metadata.lines", op("ne", "two"))], false);
        check(&[("metadata.lines", op("nin", vec![9i64.into()]))], true);
        check(&[("tags", op("ne", "other"))], true);
        check(&[("tags", op("contains", "fee"))], true);
    }

    #[test]
    fn the_seed_reads_a_list_of_tags_as_all_of_them() {
        check(&[("tags", vec!["fee".into(), "i-129".into()].into())], true);
        check(&[("tags", vec!["fee".into(), "other".into()].into())], false);
    }

    #[test]
    fn numbers_compare_as_numbers_and_times_as_instants() {
        check(&[("metadata.fee", op("gt", 1000i64))], true);
        check(&[("metadata.fee", op("eq", "1055"))], false);
        check(&[("metadata.fee", op("ne", "1055"))], true);
        check(&[("created_at", op("eq", "2026-01-05T03:00:00+03:00"))], true);
        check(&[("created_at", op("lt", "2026-01-05T00:00:00.000001Z"))], true);
        check(&[("metadata.inner.ok", true.into())], true);
    }

    #[test]
    fn hostile_values_are_matched_letter_by_letter() {
        for value in ["' OR '1'='1", "x\" OR user_id = \"admin", "%", "_", "\\", "\") or true or (\""] {
            check(&[("text", op("contains", value))], false);
            check(&[("source", value.into())], false);
        }
        check(&[("text", op("contains", "fee is"))], true);
    }

    #[test]
    fn whatever_passes_a_filter_passes_it_relaxed() {
        let decidable = |leaf: &Filter| !matches!(leaf, Filter::Compare(Field::Text, ..));
        let text = |word: &str| Filter::Compare(Field::Text, Comparison::Contains, Operand::String(word.to_owned()));
        let tag = |word: &str| Filter::equals(Field::Tags, word);
        for (words, tags) in [("fee is", "fee"), ("fee is", "other"), ("absent", "fee"), ("absent", "other")] {
            let (a, b) = (text(words), tag(tags));
            for filter in [
                a.clone(),
                Filter::Not(Box::new(a.clone())),
                Filter::And(vec![a.clone(), b.clone()]),
                Filter::Or(vec![a.clone(), b.clone()]),
                Filter::Not(Box::new(Filter::And(vec![a.clone(), Filter::Not(Box::new(b.clone()))]))),
                Filter::Not(Box::new(Filter::Or(vec![a.clone(), b.clone()]))),
            ] {
                let relaxed = filter.relaxed(&decidable);
                assert!(!filter.matches(&record()) || relaxed.matches(&record()), "{filter:?} became {relaxed:?}");
                assert!(!format!("{relaxed:?}").contains("Text"), "{relaxed:?}");
            }
        }
        assert_eq!(tag("fee").relaxed(&decidable), tag("fee"));
    }
}
