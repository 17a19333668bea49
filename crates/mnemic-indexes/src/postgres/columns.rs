//! The columns that filters read, the same in every table of records. Not here: the conditions (`filter`).

use mnemic_core::{MemoryRecord, Ratio};
use mnemic_postgres::Type;

use super::{Statement, json};

/// Their names, in the order in which [`bind_columns`] binds them.
pub(crate) const COLUMNS: &str = "user_id, thread_id, kind, source, superseded_by, path, tags, salience, confidence, created_at, \
     updated_at, valid_from, valid_to, expires_at, metadata";

/// Binds a record's values, and returns their takeover.
pub(crate) fn bind_columns(record: &MemoryRecord, statement: &mut Statement) -> String {
    let text = |value: Option<&str>| value.map(str::to_owned);
    let ratio = |value: Option<Ratio>| value.map(Ratio::get);
    let strings = |values: &mut dyn Iterator<Item = &String>| values.cloned().collect::<Vec<_>>();
    let places = [
        statement.bind(text(record.user_id.as_ref().map(AsRef::as_ref)), Type::TEXT),
        statement.bind(text(record.thread_id.as_ref().map(AsRef::as_ref)), Type::TEXT),
        statement.bind(record.kind.as_str(), Type::TEXT),
        statement.bind(record.source.clone(), Type::TEXT),
        statement.bind(text(record.superseded_by.as_ref().map(AsRef::as_ref)), Type::TEXT),
        statement.bind(strings(&mut record.path.iter()), Type::TEXT_ARRAY),
        statement.bind(strings(&mut record.tags.iter()), Type::TEXT_ARRAY),
        statement.bind(ratio(record.salience), Type::FLOAT8),
        statement.bind(ratio(record.confidence), Type::FLOAT8),
        statement.bind(record.created_at.as_micros(), Type::INT8),
        statement.bind(record.updated_at.as_micros(), Type::INT8),
        statement.bind(record.valid_from.as_micros(), Type::INT8),
        statement.bind(record.valid_to.map(mnemic_core::Timestamp::as_micros), Type::INT8),
        statement.bind(record.expires_at.map(mnemic_core::Timestamp::as_micros), Type::INT8),
        format!("{}::jsonb", statement.bind(json::object(&record.metadata), Type::TEXT)),
    ];
    places.join(", ")
}

/// Assignments that take over the columns of the row that was to be inserted.
pub(crate) fn takeover() -> String {
    COLUMNS.split(", ").map(|name| format!("{name} = EXCLUDED.{name}")).collect::<Vec<_>>().join(", ")
}
