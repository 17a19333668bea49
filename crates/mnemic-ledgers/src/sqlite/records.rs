//! Reading records and their history. Not here: changing them (`changes`, `commit`, `erase`).

use mnemic_core::{
    Filter, Order, Page, PageRequest, RecordId, Result, Revision, RevisionKind, StoredRecord, Timestamp, Version,
    ports::{Embeddings, Read},
};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{error::Outcome, snapshot::Snapshot, vectors::Location};
use crate::{
    rules,
    stored::{self, RecordColumns},
};

const COLUMNS: &str = "ordinal, id, version, seq, created_at, user, body, model, slot, crc";

impl Snapshot<'_> {
    pub(super) fn fetch(&self, ids: &[RecordId], read: Read) -> Outcome<Vec<Option<StoredRecord>>> {
        let position = self.position(read.as_of)?;
        let sql = const_format("SELECT ", COLUMNS, " FROM records WHERE id = ?1");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            let mut rows = statement.query([id.as_str()])?;
            found.push(match rows.next()? {
                Some(row) => self.record(row, position, read.embeddings)?,
                None => None,
            });
        }
        Ok(found)
    }

    pub(super) fn scan(&self, filter: &Filter, read: Read, page: &PageRequest) -> Outcome<Page<StoredRecord>> {
        let position = self.position(read.as_of)?;
        let after: Option<i64> = rules::cursor(page)?;
        // A revision of another time may have had another user, so the column decides only about now.
        let user = if position.is_none() { rules::required_user(filter) } else { None };
        let (range, from) = match page.order {
            Order::Oldest => ("ordinal > ?1 AND (?2 IS NULL OR user = ?2) ORDER BY ordinal", after.unwrap_or(0)),
            Order::Newest => {
                ("ordinal < ?1 AND (?2 IS NULL OR user = ?2) ORDER BY ordinal DESC", after.unwrap_or(i64::MAX))
            }
        };
        let sql = const_format("SELECT ", COLUMNS, &format!(" FROM records WHERE {range}"));
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params![from, user])?;
        let items = std::iter::from_fn(|| self.next_passing(&mut rows, filter, position, read.embeddings).transpose());
        let mut fault = None;
        let items = items.map_while(|item| item.map_err(|found| fault = Some(found)).ok()).map(Ok);
        let page = rules::page(items, page)?;
        fault.map_or(Ok(page), Err)
    }

    fn next_passing(
        &self,
        rows: &mut rusqlite::Rows<'_>,
        filter: &Filter,
        position: Option<u64>,
        embeddings: Embeddings,
    ) -> Outcome<Option<(i64, StoredRecord)>> {
        while let Some(row) = rows.next()? {
            // The embedding is read last, and only of what passes.
            let Some(mut stored) = self.record(row, position, Embeddings::Omit)? else { continue };
            if filter.matches(&stored.record) {
                if embeddings == Embeddings::Include {
                    stored.embedding = self.embedding_of(row, stored.record.id.as_str())?;
                }
                return Ok(Some((row.get(0)?, stored)));
            }
        }
        Ok(None)
    }

    /// What a row of `records` is now, or was right after the change at `position`.
    fn record(&self, row: &Row<'_>, position: Option<u64>, embeddings: Embeddings) -> Outcome<Option<StoredRecord>> {
        let seq: u64 = row.get(3)?;
        if let Some(position) = position.filter(|position| *position < seq) {
            return self.superseded(row, position);
        }
        let Some(body) = row.get_ref(6)?.as_blob_or_null().map_err(rusqlite::Error::from)? else { return Ok(None) };
        let record = stored::unpack_record(&columns(row)?, body)?;
        let embedding = match embeddings {
            Embeddings::Include => self.embedding_of(row, record.id.as_str())?,
            Embeddings::Omit => None,
        };
        Ok(Some(StoredRecord { record, embedding }))
    }

    fn superseded(&self, row: &Row<'_>, position: u64) -> Outcome<Option<StoredRecord>> {
        let sql = "SELECT version, created_at, user, body FROM revisions WHERE ordinal = ?1 AND seq <= ?2 ORDER BY seq DESC LIMIT 1";
        let ordinal: i64 = row.get(0)?;
        let id = text(row, 1)?;
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut revisions = statement.query(params![ordinal, position])?;
        let Some(revision) = revisions.next()? else { return Ok(None) };
        let Some(body) = revision.get_ref(3)?.as_blob_or_null().map_err(rusqlite::Error::from)? else {
            return Ok(None);
        };
        let (version, created_at) = (revision.get(0)?, revision.get(1)?);
        let columns = RecordColumns { id, version, created_at, user: text_or_null(revision, 2)? };
        Ok(Some(StoredRecord { record: stored::unpack_record(&columns, body)?, embedding: None }))
    }

    fn embedding_of(&self, row: &Row<'_>, id: &str) -> Outcome<Option<mnemic_core::Embedding>> {
        let Some(model) = row.get(7)? else { return Ok(None) };
        let location = Location { model, slot: row.get(8)?, crc: row.get(9)? };
        self.embedding(location, id).map(Some)
    }

    pub(super) fn history(&self, id: &RecordId) -> Outcome<Vec<Revision>> {
        let line: Option<i64> = self
            .connection
            .prepare_cached("SELECT ordinal FROM records WHERE id = ?1")?
            .query_row([id.as_str()], |row| row.get(0))
            .optional()?;
        let Some(ordinal) = line else { return Ok(Vec::new()) };
        let sql = "SELECT seq, version, created_at, user, body FROM records WHERE ordinal = ?1
             UNION ALL SELECT seq, version, created_at, user, body FROM revisions WHERE ordinal = ?1
             ORDER BY seq DESC";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([ordinal])?;
        let mut history = Vec::new();
        while let Some(row) = rows.next()? {
            let version = row.get(1)?;
            let what = match row.get_ref(4)?.as_blob_or_null().map_err(rusqlite::Error::from)? {
                None => RevisionKind::Deleted(Version(version)),
                Some(body) => {
                    let user = text_or_null(row, 3)?;
                    let columns = RecordColumns { id: id.as_str(), version, created_at: row.get(2)?, user };
                    RevisionKind::Written(Box::new(stored::unpack_record(&columns, body)?))
                }
            };
            history.push(Revision { at: committed_at(self.connection, row.get(0)?)?, what });
        }
        Ok(history)
    }
}

fn const_format(before: &str, columns: &str, after: &str) -> String {
    [before, columns, after].concat()
}

fn columns<'a>(row: &'a Row<'_>) -> Outcome<RecordColumns<'a>> {
    Ok(RecordColumns { id: text(row, 1)?, version: row.get(2)?, created_at: row.get(4)?, user: text_or_null(row, 5)? })
}

/// A text column, borrowed.
pub(super) fn text<'a>(row: &'a Row<'_>, column: usize) -> Outcome<&'a str> {
    Ok(row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?)
}

/// A text column that may be NULL, borrowed.
pub(super) fn text_or_null<'a>(row: &'a Row<'_>, column: usize) -> Outcome<Option<&'a str>> {
    Ok(row.get_ref(column)?.as_str_or_null().map_err(rusqlite::Error::from)?)
}

/// When a change was committed.
pub(super) fn committed_at(connection: &Connection, seq: u64) -> Outcome<Timestamp> {
    let sql = "SELECT at FROM commits WHERE last >= ?1 ORDER BY last LIMIT 1";
    let micros = connection.prepare_cached(sql)?.query_row([seq], |row| row.get(0))?;
    let at: Result<Timestamp> = Timestamp::from_micros(micros);
    Ok(at?)
}
