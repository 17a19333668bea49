//! What a group of commits writes: one round trip of statements over arrays, with the commit at its end.
//! Not here: what is written (`commit`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use mnemic_core::{EmbeddingModel, Result, ThreadId};
use mnemic_postgres::{Query, Transaction, Type};

use super::{
    arrays::{self, Arrays},
    error::whole,
    known::Position,
    rows::{EventRow, RecordRow, RevisionRow, Vector},
};

/// About how many bytes of rows one statement carries, so that the server works on one while the next is on its way.
pub(super) const CHUNK: usize = 1 << 20;

/// A row of `outbox`.
#[derive(Debug)]
pub(super) struct OutboxRow {
    pub(super) task: String,
    pub(super) ordinal: i64,
    pub(super) version: i64,
    pub(super) since: i64,
}

/// A row of `commits`: last position, instant, packed changes.
pub(super) type CommitRow = (i64, i64, Vec<u8>);
/// A row of `receipts`: key, fingerprint, instant, packed receipt.
pub(super) type ReceiptRow = (String, [u8; 32], i64, Vec<u8>);

/// What a group writes.
#[derive(Debug, Default)]
pub(super) struct Writes {
    pub(super) models: Vec<(i32, EmbeddingModel)>,
    /// Ordinals of stored rows that become history as they are.
    pub(super) superseded: Vec<i64>,
    /// What was made and superseded within the group.
    pub(super) revisions: Vec<RevisionRow>,
    /// What records are after the group, by ordinal.
    pub(super) records: BTreeMap<i64, RecordRow>,
    /// Vectors of records that are otherwise as they were, by ordinal.
    pub(super) vectors: BTreeMap<i64, Vector>,
    /// Ordinals whose stored work is void.
    pub(super) voided: BTreeSet<i64>,
    pub(super) settled: BTreeSet<i64>,
    pub(super) outbox: BTreeMap<i64, OutboxRow>,
    pub(super) events: Vec<EventRow>,
    /// Ordinal → thread and number of slots.
    pub(super) slot_threads: BTreeMap<i64, (ThreadId, i32)>,
    /// Ordinal, position, version, packed slots.
    pub(super) slot_revisions: Vec<(i64, i64, i64, Vec<u8>)>,
    pub(super) commits: Vec<CommitRow>,
    pub(super) receipts: Vec<ReceiptRow>,
    /// Receipts that were kept before this instant are let go.
    pub(super) receipts_before: Option<i64>,
}

impl Writes {
    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.commits.is_empty() && self.settled.is_empty() && self.receipts.is_empty()
    }
}

/// One statement and the arrays that it is about.
pub(super) struct Save<'a> {
    sql: &'static str,
    arrays: Arrays<'a>,
}

impl Save<'_> {
    pub(super) fn query(&self) -> Query<'_> {
        self.arrays.bound(Query::new(self.sql))
    }
}

/// The columns of `records` after the ordinal, and their types in an array.
const COLUMNS: [(&str, &str); 20] = [
    ("id", "text"),
    ("version", "bigint"),
    ("seq", "bigint"),
    ("created_at", "bigint"),
    ("user_id", "text"),
    ("thread_id", "text"),
    ("kind", "text"),
    ("source", "text"),
    ("superseded_by", "text"),
    ("salience", "double precision"),
    ("confidence", "double precision"),
    ("updated_at", "bigint"),
    ("valid_from", "bigint"),
    ("valid_to", "bigint"),
    ("expires_at", "bigint"),
    ("facets", "text"),
    ("model", "integer"),
    ("crc", "bigint"),
    ("body", "bytea"),
    ("vector", "bytea"),
];

/// What a column gets of the row `u`.
fn given(column: &str) -> String {
    if column == "facets" { "u.facets::jsonb".to_owned() } else { format!("u.{column}") }
}

fn unnest() -> String {
    let arrays: Vec<String> = (3..).zip(COLUMNS).map(|(i, (_, of))| format!("${i}::{of}[]")).collect();
    let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
    format!("unnest($2::bigint[], {}) AS u(ordinal, {})", arrays.join(", "), names.join(", "))
}

static INSERT_RECORDS: LazyLock<String> = LazyLock::new(|| {
    let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
    let values: Vec<String> = names.iter().map(|name| given(name)).collect();
    let (names, values) = (names.join(", "), values.join(", "));
    format!("INSERT INTO mnemic.records (namespace, ordinal, {names}) SELECT $1, u.ordinal, {values} FROM {}", unnest())
});

static UPDATE_RECORDS: LazyLock<String> = LazyLock::new(|| {
    let sets: Vec<String> = COLUMNS.iter().map(|(name, _)| format!("{name} = {}", given(name))).collect();
    let sets = sets.join(", ");
    format!("UPDATE mnemic.records r SET {sets} FROM {} WHERE r.namespace = $1 AND r.ordinal = u.ordinal", unnest())
});

const SUPERSEDE: &str = "INSERT INTO mnemic.revisions (namespace, ordinal, seq, version, created_at, user_id, body)
     SELECT namespace, ordinal, seq, version, created_at, CASE WHEN body IS NULL THEN NULL ELSE user_id END, body
     FROM mnemic.records WHERE namespace = $1 AND ordinal = ANY ($2)";
const INSERT_REVISIONS: &str =
    "INSERT INTO mnemic.revisions (namespace, ordinal, seq, version, created_at, user_id, body)
     SELECT $1, u.* FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::bytea[]) AS u";
const INSERT_MODELS: &str = "INSERT INTO mnemic.models (namespace, no, provider, name, dimension, metric)
     SELECT $1, u.* FROM unnest($2::integer[], $3::text[], $4::text[], $5::integer[], $6::text[]) AS u";
const UPDATE_VECTORS: &str = "UPDATE mnemic.records r SET model = u.model, crc = u.crc, vector = u.vector
     FROM unnest($2::bigint[], $3::integer[], $4::bigint[], $5::bytea[]) AS u(ordinal, model, crc, vector)
     WHERE r.namespace = $1 AND r.ordinal = u.ordinal";
const VOID: &str = "DELETE FROM mnemic.outbox WHERE namespace = $1 AND ordinal = ANY ($2)";
const SETTLE: &str = "DELETE FROM mnemic.outbox WHERE namespace = $1 AND id = ANY ($2)";
const INSERT_OUTBOX: &str = "INSERT INTO mnemic.outbox (namespace, id, task, ordinal, version, since)
     SELECT $1, u.* FROM unnest($2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[]) AS u";
pub(super) const INSERT_EVENTS: &str = "INSERT INTO mnemic.events (namespace, sequence, recorded_at, event_id, thread_id, user_id,
         body, salt, commitment, previous, hash)
     SELECT $1, u.* FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::bytea[],
         $9::bytea[], $10::bytea[], $11::bytea[]) AS u";
const SLOT_THREADS: &str = "INSERT INTO mnemic.slot_threads (namespace, ordinal, thread_id, held)
     SELECT $1, u.* FROM unnest($2::bigint[], $3::text[], $4::integer[]) AS u
     ON CONFLICT (namespace, thread_id) DO UPDATE SET held = excluded.held";
const SLOT_REVISIONS: &str = "INSERT INTO mnemic.slot_revisions (namespace, ordinal, seq, version, body)
     SELECT $1, u.* FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[]) AS u";
const INSERT_COMMITS: &str = "INSERT INTO mnemic.commits (namespace, last, at, changes)
     SELECT $1, u.* FROM unnest($2::bigint[], $3::bigint[], $4::bytea[]) AS u";
const OLD_RECEIPTS: &str = "DELETE FROM mnemic.receipts WHERE namespace = $1 AND at < $2";
const INSERT_RECEIPTS: &str = "INSERT INTO mnemic.receipts (namespace, key, fingerprint, at, body)
     SELECT $1, u.* FROM unnest($2::text[], $3::bytea[], $4::bigint[], $5::bytea[]) AS u";
/// Moves a namespace on.
pub(super) const MOVE: &str = "UPDATE mnemic.namespaces SET head = $2, sequence = $3, tail = $4 WHERE namespace = $1";

/// Writes everything and commits.
pub(super) async fn save(transaction: Transaction, writes: &Writes, position: Position) -> Result<()> {
    let mut saves = Vec::new();
    of_records(writes, &mut saves);
    of_work(writes, &mut saves);
    of_events(&writes.events, &mut saves);
    of_slots(writes, &mut saves);
    of_feed(writes, &mut saves);
    let mut queries: Vec<Query<'_>> = saves.iter().map(Save::query).collect();
    if let Some(before) = &writes.receipts_before {
        // Before the new ones: none of them is old.
        queries.insert(0, Query::new(OLD_RECEIPTS).bind(before, Type::INT8));
    }
    let (head, sequence, tail) = (whole(position.head)?, whole(position.sequence)?, position.tail.0.to_vec());
    let moved = Query::new(MOVE).bind(&head, Type::INT8).bind(&sequence, Type::INT8).bind(&tail, Type::BYTEA);
    if !writes.commits.is_empty() {
        queries.push(moved);
    }
    transaction.commit(&queries).await.map(drop)
}

/// Cuts rows so that each part has about `most` bytes.
pub(super) fn chunks<T>(rows: &[T], most: usize, bytes: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let (mut parts, mut start, mut weight) = (Vec::new(), 0, 0);
    for (i, row) in rows.iter().enumerate() {
        weight += bytes(row);
        if weight >= most {
            parts.extend(rows.get(start..=i));
            (start, weight) = (i + 1, 0);
        }
    }
    parts.extend(rows.get(start..).filter(|rest| !rest.is_empty()));
    parts
}

/// Adds models, if there are any.
pub(super) fn of_models(models: &[(i32, EmbeddingModel)]) -> Option<Save<'_>> {
    let rows = || models.iter();
    let arrays = Arrays::default()
        .with(Type::INT4_ARRAY, rows().map(|(no, _)| *no))
        .text(rows().map(|(_, model)| model.provider()))
        .text(rows().map(|(_, model)| model.name()))
        .with(Type::INT4_ARRAY, rows().map(|(_, model)| i32::try_from(model.dimension()).unwrap_or(i32::MAX)))
        .text(rows().map(|(_, model)| model.metric().as_str()));
    (!models.is_empty()).then_some(Save { sql: INSERT_MODELS, arrays })
}

/// Adds records that no row is stored of.
pub(super) fn of_new<'a>(rows: &[&'a RecordRow]) -> Save<'a> {
    Save { sql: &INSERT_RECORDS, arrays: arrays::of_records(rows) }
}

fn of_records<'a>(writes: &'a Writes, saves: &mut Vec<Save<'a>>) {
    saves.extend(of_models(&writes.models));
    if !writes.superseded.is_empty() {
        let arrays = Arrays::default().int(writes.superseded.iter().copied());
        saves.push(Save { sql: SUPERSEDE, arrays });
    }
    for rows in chunks(&writes.revisions, CHUNK, |row| 64 + row.body.as_ref().map_or(0, Vec::len)) {
        let rows = || rows.iter();
        let arrays = Arrays::default()
            .int(rows().map(|row| row.ordinal))
            .int(rows().map(|row| row.seq))
            .int(rows().map(|row| row.version))
            .int(rows().map(|row| row.created_at))
            .texts(rows().map(|row| row.user.as_ref().map(AsRef::as_ref)))
            .bytes(rows().map(|row| row.body.as_deref()));
        saves.push(Save { sql: INSERT_REVISIONS, arrays });
    }
    let (new, known): (Vec<&RecordRow>, Vec<&RecordRow>) = writes.records.values().partition(|row| row.new);
    for (rows, sql) in [(known, &UPDATE_RECORDS), (new, &INSERT_RECORDS)] {
        let parts = chunks(&rows, CHUNK, |row| row.bytes()).into_iter();
        saves.extend(parts.map(|rows| Save { sql, arrays: arrays::of_records(rows) }));
    }
    let vectors: Vec<(&i64, &Vector)> = writes.vectors.iter().collect();
    for rows in chunks(&vectors, CHUNK, |(_, vector)| 64 + vector.bytes.len()) {
        let arrays = Arrays::default()
            .int(rows.iter().map(|(ordinal, _)| **ordinal))
            .with(Type::INT4_ARRAY, rows.iter().map(|(_, vector)| vector.model))
            .int(rows.iter().map(|(_, vector)| vector.crc))
            .bytes(rows.iter().map(|(_, vector)| Some(vector.bytes.as_slice())));
        saves.push(Save { sql: UPDATE_VECTORS, arrays });
    }
}

fn of_work<'a>(writes: &'a Writes, saves: &mut Vec<Save<'a>>) {
    for (sql, numbers) in [(VOID, &writes.voided), (SETTLE, &writes.settled)] {
        if !numbers.is_empty() {
            saves.push(Save { sql, arrays: Arrays::default().int(numbers.iter().copied()) });
        }
    }
    if !writes.outbox.is_empty() {
        saves.push(Save { sql: INSERT_OUTBOX, arrays: arrays::of_outbox(&writes.outbox) });
    }
}

fn of_events<'a>(events: &'a [EventRow], saves: &mut Vec<Save<'a>>) {
    let parts = chunks(events, CHUNK, |row| 256 + row.body.len()).into_iter();
    saves.extend(parts.map(|rows| Save { sql: INSERT_EVENTS, arrays: arrays::of_events(rows) }));
}

fn of_slots<'a>(writes: &'a Writes, saves: &mut Vec<Save<'a>>) {
    if writes.slot_threads.is_empty() {
        return;
    }
    let threads = || writes.slot_threads.iter();
    let arrays = Arrays::default()
        .int(threads().map(|(ordinal, _)| *ordinal))
        .text(threads().map(|(_, (thread, _))| thread.as_str()))
        .with(Type::INT4_ARRAY, threads().map(|(_, (_, held))| *held));
    saves.push(Save { sql: SLOT_THREADS, arrays });
    for rows in chunks(&writes.slot_revisions, CHUNK, |(.., body)| 64 + body.len()) {
        let rows = || rows.iter();
        let arrays = Arrays::default()
            .int(rows().map(|(ordinal, ..)| *ordinal))
            .int(rows().map(|(_, seq, ..)| *seq))
            .int(rows().map(|(_, _, version, _)| *version))
            .bytes(rows().map(|(.., body)| Some(body.as_slice())));
        saves.push(Save { sql: SLOT_REVISIONS, arrays });
    }
}

fn of_feed<'a>(writes: &'a Writes, saves: &mut Vec<Save<'a>>) {
    if !writes.commits.is_empty() {
        saves.push(Save { sql: INSERT_COMMITS, arrays: arrays::of_commits(&writes.commits) });
    }
    if !writes.receipts.is_empty() {
        saves.push(Save { sql: INSERT_RECEIPTS, arrays: arrays::of_receipts(&writes.receipts) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_into_parts_that_lose_none() {
        let rows: Vec<usize> = vec![CHUNK / 2, CHUNK / 2, CHUNK * 3, 1, 1];
        let parts = chunks(&rows, CHUNK, |row| *row);
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [2, 1, 2]);
        assert!(chunks(&[] as &[usize], CHUNK, |row| *row).is_empty());
    }
}
