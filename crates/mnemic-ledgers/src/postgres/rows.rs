//! Rows between the tables and the nouns: what a record's columns hold, and how an answer's row is read.
//! Not here: statements (`known`, `save`, `records`).

use mnemic_core::{Embedding, EmbeddingModel, MemoryRecord, Metric, RecordId, Result, Timestamp, UserId};
use mnemic_postgres::{Row, types::FromSql};

use super::{error::damage, facets};
use crate::stored::{self, RecordColumns};

/// Reads a column.
pub(super) fn get<'r, T: FromSql<'r>>(row: &'r Row, column: usize) -> Result<T> {
    row.try_get(column).map_err(|source| mnemic_postgres::classify(&source))
}

/// Reads a column of 32 bytes.
pub(super) fn fixed(row: &Row, column: usize) -> Result<[u8; 32]> {
    let bytes: &[u8] = get(row, column)?;
    bytes.try_into().ok().ok_or_else(|| mnemic_postgres::corrupted("a digest or salt has a wrong length"))
}

/// The columns of a record that filters and reads need; the rest is packed in its body.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) thread: Option<String>,
    pub(super) kind: &'static str,
    pub(super) source: String,
    pub(super) superseded_by: Option<String>,
    pub(super) salience: Option<f64>,
    pub(super) confidence: Option<f64>,
    pub(super) updated_at: i64,
    pub(super) valid_from: i64,
    pub(super) valid_to: Option<i64>,
    pub(super) expires_at: Option<i64>,
    pub(super) facets: String,
}

impl Columns {
    pub(super) fn of(record: &MemoryRecord) -> Self {
        Self {
            thread: record.thread_id.as_ref().map(ToString::to_string),
            kind: record.kind.as_str(),
            source: record.source.clone(),
            superseded_by: record.superseded_by.as_ref().map(ToString::to_string),
            salience: record.salience.map(mnemic_core::Ratio::get),
            confidence: record.confidence.map(mnemic_core::Ratio::get),
            updated_at: record.updated_at.as_micros(),
            valid_from: record.valid_from.as_micros(),
            valid_to: record.valid_to.map(Timestamp::as_micros),
            expires_at: record.expires_at.map(Timestamp::as_micros),
            facets: facets::of(record),
        }
    }
}

/// A vector in its columns.
#[derive(Debug)]
pub(super) struct Vector {
    pub(super) model: i32,
    pub(super) crc: i64,
    pub(super) bytes: Vec<u8>,
}

impl Vector {
    pub(super) fn of(model: i32, embedding: &Embedding) -> Self {
        let bytes: Vec<u8> = embedding.components().iter().flat_map(|component| component.to_le_bytes()).collect();
        Self { model, crc: i64::from(crc32fast::hash(&bytes)), bytes }
    }
}

/// What became of a record, as a row of `records`.
#[derive(Debug)]
pub(super) struct RecordRow {
    pub(super) ordinal: i64,
    pub(super) id: RecordId,
    pub(super) version: i64,
    pub(super) seq: i64,
    pub(super) created_at: i64,
    pub(super) user: Option<UserId>,
    /// What the record is; `None` after its deletion.
    pub(super) held: Option<(Vec<u8>, Columns)>,
    pub(super) vector: Option<Vector>,
    /// Whether no row of this ordinal is stored yet.
    pub(super) new: bool,
}

impl RecordRow {
    /// About how many bytes it takes on its way.
    pub(super) fn bytes(&self) -> usize {
        let body = self.held.as_ref().map_or(0, |(body, columns)| body.len() + columns.facets.len());
        256 + body + self.vector.as_ref().map_or(0, |vector| vector.bytes.len())
    }
}

/// Reads a record from `id, version, created_at, user_id, body`, which begin at `from`; `None` if it was deleted.
pub(super) fn record(row: &Row, from: usize) -> Result<Option<MemoryRecord>> {
    let Some(body) = get::<Option<&[u8]>>(row, from + 4)? else { return Ok(None) };
    let version = super::error::count(get(row, from + 1)?)?;
    let columns =
        RecordColumns { id: get(row, from)?, version, created_at: get(row, from + 2)?, user: get(row, from + 3)? };
    stored::unpack_record(&columns, body).map(Some).map_err(damage)
}

/// Reads a model from `provider, name, dimension, metric`, which begin at `from`.
pub(super) fn model(row: &Row, from: usize) -> Result<EmbeddingModel> {
    let metric: &str = get(row, from + 3)?;
    if metric != Metric::Cosine.as_str() {
        return Err(mnemic_postgres::corrupted("an embedding model has an unknown metric"));
    }
    let dimension = u32::try_from(get::<i32>(row, from + 2)?).unwrap_or(0);
    let model = EmbeddingModel::new(get::<&str>(row, from)?, get::<&str>(row, from + 1)?, dimension, Metric::Cosine);
    model.map_err(|source| mnemic_postgres::corrupted("an embedding model is impossible").with_source(source))
}

/// Reads an embedding from `vector, crc, provider, name, dimension, metric`, which begin at `from`; `None` if there is none.
pub(super) fn embedding(row: &Row, from: usize) -> Result<Option<Embedding>> {
    let Some(bytes) = get::<Option<&[u8]>>(row, from)? else { return Ok(None) };
    if get::<Option<i64>>(row, from + 1)? != Some(i64::from(crc32fast::hash(bytes))) {
        return Err(mnemic_postgres::corrupted("an embedding does not match its checksum"));
    }
    let model = model(row, from + 2)?;
    let (chunks, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(mnemic_postgres::corrupted("an embedding is cut short"));
    }
    let components: Vec<f32> = chunks.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let embedding = Embedding::new(&model, components);
    embedding.map(Some).map_err(|source| mnemic_postgres::corrupted("an embedding is impossible").with_source(source))
}

/// A row of `revisions`.
#[derive(Debug)]
pub(super) struct RevisionRow {
    pub(super) ordinal: i64,
    pub(super) seq: i64,
    pub(super) version: i64,
    pub(super) created_at: i64,
    pub(super) user: Option<UserId>,
    pub(super) body: Option<Vec<u8>>,
}

/// A row of `events`.
#[derive(Debug)]
pub(super) struct EventRow {
    pub(super) sequence: i64,
    pub(super) recorded_at: i64,
    pub(super) event: mnemic_core::AuditEvent,
    pub(super) body: Vec<u8>,
    pub(super) salt: [u8; 32],
    pub(super) commitment: [u8; 32],
    pub(super) previous: [u8; 32],
    pub(super) hash: [u8; 32],
}
