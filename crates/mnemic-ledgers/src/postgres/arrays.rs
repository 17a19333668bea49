//! Rows as columns: what a statement writes goes to the server as one array a column. Not here: the statements (`save`, `guess`).

use std::collections::BTreeMap;

use mnemic_postgres::{Query, ToSql, Type};

use super::{
    rows::{EventRow, RecordRow},
    save::{CommitRow, OutboxRow, ReceiptRow},
};

/// Columns of one statement: each an array with one element a row.
#[derive(Default)]
pub(super) struct Arrays<'a>(Vec<(Box<dyn ToSql + Sync + Send + 'a>, Type)>);

impl<'a> Arrays<'a> {
    pub(super) fn with<T: ToSql + Sync + Send + 'a>(mut self, of: Type, values: impl Iterator<Item = T>) -> Self {
        self.0.push((Box::new(values.collect::<Vec<T>>()), of));
        self
    }

    /// A value for itself.
    pub(super) fn one<T: ToSql + Sync + Send + 'a>(mut self, of: Type, value: T) -> Self {
        self.0.push((Box::new(value), of));
        self
    }

    pub(super) fn int(self, values: impl Iterator<Item = i64>) -> Self {
        self.with(Type::INT8_ARRAY, values)
    }

    pub(super) fn ints(self, values: impl Iterator<Item = Option<i64>>) -> Self {
        self.with(Type::INT8_ARRAY, values)
    }

    pub(super) fn text(self, values: impl Iterator<Item = &'a str>) -> Self {
        self.with(Type::TEXT_ARRAY, values)
    }

    pub(super) fn texts(self, values: impl Iterator<Item = Option<&'a str>>) -> Self {
        self.with(Type::TEXT_ARRAY, values)
    }

    pub(super) fn bytes(self, values: impl Iterator<Item = Option<&'a [u8]>>) -> Self {
        self.with(Type::BYTEA_ARRAY, values)
    }

    /// The columns of another one after these.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Binds every column, in their order.
    pub(super) fn bound<'q>(&'q self, query: Query<'q>) -> Query<'q> {
        self.0.iter().fold(query, |query, (array, of)| query.bind(array.as_ref(), of.clone()))
    }
}

/// The arrays of records, in the order of `save::COLUMNS`.
pub(super) fn of_records<'a>(rows: &[&'a RecordRow]) -> Arrays<'a> {
    let columns = || rows.iter().map(|row| row.held.as_ref().map(|(_, columns)| columns));
    let vectors = || rows.iter().map(|row| row.vector.as_ref());
    Arrays::default()
        .int(rows.iter().map(|row| row.ordinal))
        .text(rows.iter().map(|row| row.id.as_str()))
        .int(rows.iter().map(|row| row.version))
        .int(rows.iter().map(|row| row.seq))
        .int(rows.iter().map(|row| row.created_at))
        .texts(rows.iter().map(|row| row.user.as_ref().map(AsRef::as_ref)))
        .texts(columns().map(|of| of.and_then(|of| of.thread.as_deref())))
        .texts(columns().map(|of| of.map(|of| of.kind)))
        .texts(columns().map(|of| of.map(|of| of.source.as_str())))
        .texts(columns().map(|of| of.and_then(|of| of.superseded_by.as_deref())))
        .with(Type::FLOAT8_ARRAY, columns().map(|of| of.and_then(|of| of.salience)))
        .with(Type::FLOAT8_ARRAY, columns().map(|of| of.and_then(|of| of.confidence)))
        .ints(columns().map(|of| of.map(|of| of.updated_at)))
        .ints(columns().map(|of| of.map(|of| of.valid_from)))
        .ints(columns().map(|of| of.and_then(|of| of.valid_to)))
        .ints(columns().map(|of| of.and_then(|of| of.expires_at)))
        .texts(columns().map(|of| of.map(|of| of.facets.as_str())))
        .with(Type::INT4_ARRAY, vectors().map(|vector| vector.map(|vector| vector.model)))
        .ints(vectors().map(|vector| vector.map(|vector| vector.crc)))
        .bytes(rows.iter().map(|row| row.held.as_ref().map(|(body, _)| body.as_slice())))
        .bytes(vectors().map(|vector| vector.map(|vector| vector.bytes.as_slice())))
}

pub(super) fn of_outbox(rows: &BTreeMap<i64, OutboxRow>) -> Arrays<'_> {
    Arrays::default()
        .int(rows.keys().copied())
        .text(rows.values().map(|row| row.task.as_str()))
        .int(rows.values().map(|row| row.ordinal))
        .int(rows.values().map(|row| row.version))
        .int(rows.values().map(|row| row.since))
}

pub(super) fn of_events(events: &[EventRow]) -> Arrays<'_> {
    let rows = || events.iter();
    Arrays::default()
        .int(rows().map(|row| row.sequence))
        .int(rows().map(|row| row.recorded_at))
        .text(rows().map(|row| row.event.event_id.as_str()))
        .text(rows().map(|row| row.event.thread_id.as_str()))
        .texts(rows().map(|row| row.event.user_id.as_ref().map(AsRef::as_ref)))
        .bytes(rows().map(|row| Some(row.body.as_slice())))
        .bytes(rows().map(|row| Some(&row.salt[..])))
        .bytes(rows().map(|row| Some(&row.commitment[..])))
        .bytes(rows().map(|row| Some(&row.previous[..])))
        .bytes(rows().map(|row| Some(&row.hash[..])))
}

pub(super) fn of_commits(commits: &[CommitRow]) -> Arrays<'_> {
    let rows = || commits.iter();
    Arrays::default()
        .int(rows().map(|(last, ..)| *last))
        .int(rows().map(|(_, at, _)| *at))
        .bytes(rows().map(|(.., changes)| Some(changes.as_slice())))
}

pub(super) fn of_receipts(receipts: &[ReceiptRow]) -> Arrays<'_> {
    let rows = || receipts.iter();
    Arrays::default()
        .text(rows().map(|(key, ..)| key.as_str()))
        .bytes(rows().map(|(_, fingerprint, ..)| Some(&fingerprint[..])))
        .int(rows().map(|(_, _, at, _)| *at))
        .bytes(rows().map(|(.., body)| Some(body.as_slice())))
}
