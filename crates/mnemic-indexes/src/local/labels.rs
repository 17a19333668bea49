//! The string fields whose values repeat: per value, the rows that hold it. Not here: times (`columns`) and the filter (`filter`).

use std::collections::BTreeMap;

use mnemic_core::Field;
use roaring::RoaringBitmap;

use super::rows::{Ordinal, Row};

/// The rows of each value of one field.
#[derive(Debug, Default)]
pub(crate) struct LabelField {
    rows: BTreeMap<Box<str>, RoaringBitmap>,
    /// Rows that hold any value.
    present: RoaringBitmap,
}

impl LabelField {
    fn insert(&mut self, value: &str, row: Ordinal) {
        self.present.insert(row);
        if let Some(rows) = self.rows.get_mut(value) {
            rows.insert(row);
        } else {
            self.rows.insert(value.into(), RoaringBitmap::from([row]));
        }
    }

    fn remove(&mut self, value: &str, row: Ordinal) {
        self.present.remove(row);
        if let Some(rows) = self.rows.get_mut(value) {
            rows.remove(row);
            if rows.is_empty() {
                self.rows.remove(value);
            }
        }
    }

    /// Rows that hold exactly this value.
    pub(crate) fn rows(&self, value: &str) -> Option<&RoaringBitmap> {
        self.rows.get(value)
    }

    /// Every value with its rows, in order.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&str, &RoaringBitmap)> {
        self.rows.iter().map(|(value, rows)| (value.as_ref(), rows))
    }

    /// Rows that hold any value.
    pub(crate) fn present(&self) -> &RoaringBitmap {
        &self.present
    }

    fn bytes(&self) -> u64 {
        self.rows.iter().map(|(value, rows)| (value.len() + 64 + rows.serialized_size()) as u64).sum()
    }
}

/// All repeating string fields of one namespace.
#[derive(Debug, Default)]
pub(crate) struct Labels {
    user_id: LabelField,
    thread_id: LabelField,
    kind: LabelField,
    path: LabelField,
    tags: LabelField,
    source: LabelField,
    superseded_by: LabelField,
}

impl Labels {
    /// The field's rows by value, if it is one of these.
    pub(crate) fn field(&self, field: &Field) -> Option<&LabelField> {
        match field {
            Field::UserId => Some(&self.user_id),
            Field::ThreadId => Some(&self.thread_id),
            Field::Kind => Some(&self.kind),
            Field::Path => Some(&self.path),
            Field::Tags => Some(&self.tags),
            Field::Source => Some(&self.source),
            Field::SupersededBy => Some(&self.superseded_by),
            Field::Id
            | Field::Text
            | Field::Salience
            | Field::Confidence
            | Field::CreatedAt
            | Field::UpdatedAt
            | Field::ValidFrom
            | Field::ValidTo
            | Field::ExpiresAt
            | Field::Version
            | Field::Metadata(_) => None,
        }
    }

    pub(crate) fn insert(&mut self, ordinal: Ordinal, row: &Row) {
        self.each(row, |field, value| field.insert(value, ordinal));
    }

    pub(crate) fn remove(&mut self, ordinal: Ordinal, row: &Row) {
        self.each(row, |field, value| field.remove(value, ordinal));
    }

    fn each(&mut self, row: &Row, mut apply: impl FnMut(&mut LabelField, &str)) {
        if let Some(user) = &row.user_id {
            apply(&mut self.user_id, user.as_str());
        }
        if let Some(thread) = &row.thread_id {
            apply(&mut self.thread_id, thread.as_str());
        }
        if let Some(newer) = &row.superseded_by {
            apply(&mut self.superseded_by, newer.as_str());
        }
        apply(&mut self.kind, row.kind.as_str());
        apply(&mut self.source, &row.source);
        row.path.iter().for_each(|label| apply(&mut self.path, label));
        row.tags.iter().for_each(|label| apply(&mut self.tags, label));
    }

    /// Bytes of memory, estimated.
    pub(crate) fn bytes(&self) -> u64 {
        [&self.user_id, &self.thread_id, &self.kind, &self.path, &self.tags, &self.source, &self.superseded_by]
            .into_iter()
            .map(LabelField::bytes)
            .sum()
    }
}
