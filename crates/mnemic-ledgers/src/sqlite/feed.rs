//! The change feed as it is stored, and reading it, the outbox, the kept receipts and the counts.
//! Not here: who writes to them (`changes`, `commit`, `erase`).

use mnemic_core::{
    Change, ChangeSeq, Changed, Digest, EmbeddingModel, Idempotency, OutboxId, OutboxItem, Receipt, RecordId, Sequence,
    ThreadId, Timestamp, Version, ports::NamespaceReport,
};
use rusqlite::{Connection, OptionalExtension as _};

use super::{
    directory,
    error::{Outcome, corrupted},
    records::text,
    snapshot::Snapshot,
};
use crate::{
    feed_form::{self, Kind},
    stored,
};

/// The last change.
pub(super) fn head(connection: &Connection) -> Outcome<u64> {
    let mut statement = connection.prepare_cached("SELECT last FROM commits ORDER BY last DESC LIMIT 1")?;
    Ok(statement.query_row((), |row| row.get(0)).optional()?.unwrap_or(0))
}

/// The kept answer to a repeated request.
pub(super) fn replay(connection: &Connection, request: &Idempotency) -> Outcome<Option<Receipt>> {
    let mut statement = connection.prepare_cached("SELECT fingerprint, body FROM receipts WHERE key = ?1")?;
    let mut rows = statement.query([&request.key])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let fingerprint = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
    if Digest(fingerprint.try_into().unwrap_or_default()) != request.fingerprint {
        return Err(Idempotency::conflict().into());
    }
    Ok(Some(stored::unpack_receipt(row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?)?))
}

impl Snapshot<'_> {
    pub(super) fn changes(&self, after: ChangeSeq, limit: usize) -> Outcome<Vec<Change>> {
        let mut statement =
            self.connection.prepare_cached("SELECT last, at, changes FROM commits WHERE last > ?1 ORDER BY last")?;
        let mut rows = statement.query([i64::try_from(after.0).unwrap_or(i64::MAX)])?;
        let mut found = Vec::new();
        while found.len() < limit
            && let Some(row) = rows.next()?
        {
            let last: u64 = row.get(0)?;
            let micros = row.get(1)?;
            let at = Timestamp::from_micros(micros)?;
            let packed = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
            let damaged = || corrupted(&self.file(), format_args!("the changes up to position {last} cannot be read"));
            let changes = feed_form::decode(last, micros, packed).ok_or_else(damaged)?;
            let before = last.checked_sub(changes.len() as u64).ok_or_else(damaged)?;
            let numbered = (before + 1..).zip(changes).filter(|(seq, _)| *seq > after.0);
            for (seq, change) in numbered.take(limit - found.len()) {
                found.push(Change { seq: ChangeSeq(seq), at, what: self.changed(change)? });
            }
        }
        Ok(found)
    }

    /// Looks up the names of a change.
    fn changed(&self, (kind, subject, version): (Kind, u64, u64)) -> Outcome<Changed> {
        let name = |sql: &str| -> Outcome<Option<String>> {
            Ok(self.connection.prepare_cached(sql)?.query_row([subject], |row| row.get(0)).optional()?)
        };
        let record = |make: fn(RecordId, Version) -> Changed| -> Outcome<Changed> {
            Ok(match name("SELECT id FROM records WHERE ordinal = ?1")? {
                Some(id) => make(RecordId::new(id)?, Version(version)),
                None => Changed::Erased(None),
            })
        };
        match kind {
            Kind::Written => record(Changed::Written),
            Kind::Embedded => record(Changed::Embedded),
            Kind::Deleted => record(Changed::Deleted),
            Kind::Erased => {
                let id = name("SELECT id FROM erased_names WHERE ordinal = ?1")?;
                Ok(Changed::Erased(id.map(RecordId::new).transpose()?))
            }
            Kind::Appended => Ok(Changed::Appended(Sequence(subject))),
            Kind::EventErased => Ok(Changed::EventErased(Sequence(subject))),
            Kind::Slots => {
                let thread = name("SELECT thread FROM slot_threads WHERE ordinal = ?1")?;
                Ok(Changed::Slots(thread.map(ThreadId::new).transpose()?, Version(version)))
            }
        }
    }

    pub(super) fn outbox(&self, limit: usize) -> Outcome<Vec<OutboxItem>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT outbox.id, task, records.id, outbox.version, since
             FROM outbox JOIN records USING (ordinal) ORDER BY outbox.id LIMIT ?1",
        )?;
        let mut rows = statement.query([i64::try_from(limit).unwrap_or(i64::MAX)])?;
        let mut items = Vec::new();
        while let Some(row) = rows.next()? {
            let unknown = || corrupted(&self.file(), "the outbox holds an unknown task");
            items.push(OutboxItem {
                id: OutboxId(row.get(0)?),
                task: feed_form::read_task(text(row, 1)?).ok_or_else(unknown)?,
                record_id: RecordId::new(text(row, 2)?)?,
                version: Version(row.get(3)?),
                since: Timestamp::from_micros(row.get(4)?)?,
            });
        }
        Ok(items)
    }
}

/// The models of the embeddings that are held.
pub(super) fn models(snapshot: &Snapshot<'_>) -> Outcome<Vec<EmbeddingModel>> {
    let held = "SELECT no FROM models m WHERE EXISTS (SELECT 1 FROM records r WHERE r.model = m.no)";
    let mut statement = snapshot.connection.prepare_cached(held)?;
    let numbers = statement.query_map((), |row| row.get::<_, i64>(0))?.collect::<Result<Vec<_>, _>>()?;
    let mut models = Vec::new();
    for number in numbers {
        models.push(snapshot.model(number)?.clone());
    }
    models.sort();
    Ok(models)
}

/// Counts what a namespace holds.
pub(super) fn report(snapshot: &Snapshot<'_>) -> Outcome<NamespaceReport> {
    let count = |sql: &str| -> Outcome<u64> { Ok(snapshot.connection.query_row(sql, (), |row| row.get(0))?) };
    let oldest = snapshot.connection.query_row("SELECT since FROM outbox ORDER BY id LIMIT 1", (), |row| row.get(0));
    Ok(NamespaceReport {
        records: count("SELECT count(*) FROM records WHERE body IS NOT NULL")?,
        embeddings: count("SELECT count(*) FROM records WHERE model IS NOT NULL")?,
        revisions: count("SELECT (SELECT count(*) FROM records) + (SELECT count(*) FROM revisions)")?,
        events: count("SELECT count(*) FROM events")?,
        threads_with_slots: count("SELECT count(*) FROM slot_threads WHERE held > 0")?,
        outbox: count("SELECT count(*) FROM outbox")?,
        outbox_since: oldest.optional()?.map(Timestamp::from_micros).transpose()?,
        head: ChangeSeq(head(snapshot.connection)?),
        models: models(snapshot)?,
        bytes: directory::bytes(snapshot.directory)?,
    })
}
