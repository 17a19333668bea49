//! The row-ordinal space: which record lies at which ordinal, and the compact copy of its fields. Not here: what finds rows.
//!
//! An ordinal is given out once and never to another record until [`Rows::compact`] numbers the living anew. That is what lets postings
//! and columns keep entries of dead rows: they can only name a dead row, never a wrong one.

use std::{
    collections::BTreeMap,
    ops::Bound::{self, Excluded, Unbounded},
};

use mnemic_core::{
    Field, MemoryRecord, Number, Object, Ratio, RecordId, RecordKind, ThreadId, Timestamp, UserId, Value, Version,
    filter::{FieldSource, FieldValue},
};
use roaring::RoaringBitmap;

/// The place of one record in every structure of one namespace's index.
pub(crate) type Ordinal = u32;

/// What the index keeps of one record: everything that a filter can ask for, and nothing else.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) id: RecordId,
    pub(crate) version: Version,
    pub(crate) user_id: Option<UserId>,
    pub(crate) thread_id: Option<ThreadId>,
    pub(crate) kind: RecordKind,
    pub(crate) text: Box<str>,
    pub(crate) path: Box<[Box<str>]>,
    pub(crate) tags: Box<[Box<str>]>,
    pub(crate) metadata: Object,
    pub(crate) source: Box<str>,
    pub(crate) salience: Option<Ratio>,
    pub(crate) confidence: Option<Ratio>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) valid_from: Timestamp,
    pub(crate) valid_to: Option<Timestamp>,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) superseded_by: Option<RecordId>,
}

impl Row {
    pub(crate) fn new(record: &MemoryRecord) -> Self {
        Self {
            id: record.id.clone(),
            version: record.version,
            user_id: record.user_id.clone(),
            thread_id: record.thread_id.clone(),
            kind: record.kind,
            text: record.text.as_str().into(),
            path: record.path.iter().map(|label| label.as_str().into()).collect(),
            tags: record.tags.iter().map(|label| label.as_str().into()).collect(),
            metadata: record.metadata.clone(),
            source: record.source.as_str().into(),
            salience: record.salience,
            confidence: record.confidence,
            created_at: record.created_at,
            updated_at: record.updated_at,
            valid_from: record.valid_from,
            valid_to: record.valid_to,
            expires_at: record.expires_at,
            superseded_by: record.superseded_by.clone(),
        }
    }

    /// Bytes of memory, estimated.
    fn bytes(&self) -> u64 {
        let labels = self.path.iter().chain(&self.tags).map(|label| label.len() + 16).sum::<usize>();
        let metadata: usize = self.metadata.iter().map(|(key, value)| key.len() + 64 + value_bytes(value)).sum();
        (size_of::<Self>() + self.id.as_str().len() * 2 + self.text.len() + labels + metadata) as u64
    }
}

fn value_bytes(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(|item| 32 + value_bytes(item)).sum(),
        Value::Object(object) => object.iter().map(|(key, item)| key.len() + 64 + value_bytes(item)).sum(),
    }
}

impl FieldSource for Row {
    fn field(&self, field: &Field) -> FieldValue<'_> {
        fn string<T: AsRef<str>>(value: Option<&T>) -> FieldValue<'_> {
            value.map_or(FieldValue::Missing, |value| FieldValue::String(value.as_ref()))
        }
        let time = |value: Option<Timestamp>| value.map_or(FieldValue::Missing, FieldValue::Timestamp);
        let ratio = |value: Option<Ratio>| {
            value.and_then(|ratio| Number::from_f64(ratio.get())).map_or(FieldValue::Missing, FieldValue::Number)
        };
        match field {
            Field::Id => FieldValue::String(self.id.as_str()),
            Field::UserId => string(self.user_id.as_ref()),
            Field::ThreadId => string(self.thread_id.as_ref()),
            Field::Kind => FieldValue::String(self.kind.as_str()),
            Field::Text => FieldValue::String(&self.text),
            Field::Path => FieldValue::Strings(self.path.iter().map(AsRef::as_ref).collect()),
            Field::Tags => FieldValue::Strings(self.tags.iter().map(AsRef::as_ref).collect()),
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

/// Steps through objects only, as the reference does for records.
fn metadata_at<'a>(object: &'a Object, path: &[String]) -> FieldValue<'a> {
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

/// All rows of one namespace.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    places: Vec<Option<Box<Row>>>,
    /// Ordered, so that listings can go on where they ended.
    by_id: BTreeMap<RecordId, Ordinal>,
    live: RoaringBitmap,
    bytes: u64,
}

impl Rows {
    /// These rows, at the ordinals from zero; `None` if two have one id.
    pub(crate) fn from_rows(rows: Vec<Row>) -> Option<Self> {
        let by_id: BTreeMap<RecordId, Ordinal> = rows.iter().map(|row| row.id.clone()).zip(0..).collect();
        let mut live = RoaringBitmap::new();
        live.insert_range(0..rows.len() as Ordinal);
        let bytes = rows.iter().map(Row::bytes).sum();
        let places: Vec<Option<Box<Row>>> = rows.into_iter().map(|row| Some(Box::new(row))).collect();
        (by_id.len() == places.len()).then_some(Self { places, by_id, live, bytes })
    }

    /// Rows that hold a record.
    pub(crate) fn live(&self) -> &RoaringBitmap {
        &self.live
    }

    /// How many records there are.
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Ordinals given out, dead ones counted.
    pub(crate) fn space(&self) -> usize {
        self.places.len()
    }

    /// Bytes of memory, estimated.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn get(&self, ordinal: Ordinal) -> Option<&Row> {
        self.places.get(ordinal as usize).and_then(Option::as_deref)
    }

    /// The id at an ordinal, for ordering.
    pub(crate) fn id(&self, ordinal: Ordinal) -> Option<&RecordId> {
        self.get(ordinal).map(|row| &row.id)
    }

    pub(crate) fn find(&self, id: &str) -> Option<Ordinal> {
        self.by_id.get(id).copied()
    }

    /// The living rows in ordinal order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Ordinal, &Row)> {
        self.places.iter().enumerate().filter_map(|(at, row)| row.as_deref().map(|row| (at as Ordinal, row)))
    }

    /// The living rows after an id, ordered by id; from the first if there is none.
    pub(crate) fn after(&self, id: Option<&str>) -> impl Iterator<Item = &Row> {
        let low: Bound<&str> = id.map_or(Unbounded, Excluded);
        self.by_id.range::<str, _>((low, Unbounded)).filter_map(|(_, at)| self.get(*at))
    }

    /// The living rows before an id, ordered by id from the last.
    pub(crate) fn before(&self, id: Option<&str>) -> impl Iterator<Item = &Row> {
        let high: Bound<&str> = id.map_or(Unbounded, Excluded);
        self.by_id.range::<str, _>((Unbounded, high)).rev().filter_map(|(_, at)| self.get(*at))
    }

    /// Adds a row at the next ordinal. The caller has removed the row of the same id.
    pub(crate) fn push(&mut self, row: Row) -> Ordinal {
        let ordinal = self.places.len() as Ordinal;
        self.bytes += row.bytes();
        self.by_id.insert(row.id.clone(), ordinal);
        self.live.insert(ordinal);
        self.places.push(Some(Box::new(row)));
        ordinal
    }

    /// Takes a row out; its ordinal stays dead.
    pub(crate) fn remove(&mut self, ordinal: Ordinal) -> Option<Box<Row>> {
        let row = self.places.get_mut(ordinal as usize)?.take()?;
        self.bytes -= row.bytes();
        self.by_id.remove(&row.id);
        self.live.remove(ordinal);
        Some(row)
    }

    /// Numbers the living rows anew from zero, in the same order, and tells for each old ordinal its new one.
    pub(crate) fn compact(&mut self) -> Vec<Option<Ordinal>> {
        let mut next = 0;
        let moved = self
            .places
            .iter()
            .map(|row| {
                row.as_ref().map(|_| {
                    next += 1;
                    next - 1
                })
            })
            .collect();
        self.places.retain(Option::is_some);
        self.places.shrink_to_fit();
        self.live = RoaringBitmap::new();
        self.live.insert_range(0..next);
        self.by_id = self.places.iter().flatten().zip(0..).map(|(row, ordinal)| (row.id.clone(), ordinal)).collect();
        moved
    }
}
