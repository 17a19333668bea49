//! One batch inside a write transaction. Whatever is refused here is undone by the caller, so that a batch happens whole or not at all.
//! Not here: erasure (`erase`), and the transaction around several batches (`writer`).

use mnemic_core::{
    AppendOutcome, Appended, AuditEvent, Batch, ChangeSeq, EmbeddingWrite, OutboxId, Receipt, RecordDelete, RecordId,
    RecordWrite, Result, Salt, SlotWrite, Slots, Timestamp, Version, Written, ids::quoted,
};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    changes::Changes,
    error::Outcome,
    feed,
    records::{text, text_or_null},
    vectors::Location,
};
use crate::{
    feed_form::{self, Kind},
    rules,
    stored::{self, RecordColumns},
};

/// What the database knows of an id that was written before.
pub(super) struct Line {
    pub(super) ordinal: i64,
    pub(super) version: u64,
    created_at: i64,
    /// Whether it is in memory, and not only in history.
    live: bool,
}

impl Line {
    fn version(line: Option<&Self>) -> Version {
        line.filter(|line| line.live).map_or(Version::NONE, |line| Version(line.version))
    }
}

impl Changes<'_> {
    /// Applies a batch and tells what it did.
    pub(super) fn commit(&mut self, batch: &Batch) -> Outcome<Receipt> {
        if let Some(request) = &batch.idempotency
            && let Some(receipt) = feed::replay(self.connection, request)?
        {
            return Ok(receipt);
        }
        self.check_serving()?;
        rules::check_batch(batch)?;
        let (at, before) = (batch.at, self.head());
        let mut receipt = Receipt {
            writes: batch.writes.iter().map(|write| self.write(write, at)).collect::<Outcome<_>>()?,
            deletes: batch.deletes.iter().map(|delete| self.delete(delete)).collect::<Outcome<_>>()?,
            embeddings: batch.embeddings.iter().map(|embedding| self.embed(embedding)).collect::<Outcome<_>>()?,
            ..Receipt::default()
        };
        for (event, salt) in batch.events.iter().zip(rules::salts(batch.events.len())?) {
            receipt.events.push(self.append_once(event, &salt, at)?);
        }
        for write in &batch.slots {
            receipt.slots.push(self.write_slots(write)?);
        }
        settle(self.connection, &batch.settle)?;
        receipt.changes = (self.head() > before).then(|| (ChangeSeq(before + 1), ChangeSeq(self.head())));
        if let Some(request) = &batch.idempotency {
            let oldest =
                at.as_micros().saturating_sub(i64::try_from(rules::RECEIPT_LIFE.as_micros()).unwrap_or(i64::MAX));
            self.connection.prepare_cached("DELETE FROM receipts WHERE at < ?1")?.execute([oldest])?;
            let mut keep = self
                .connection
                .prepare_cached("INSERT INTO receipts(key, fingerprint, at, body) VALUES (?1, ?2, ?3, ?4)")?;
            keep.execute(params![request.key, request.fingerprint.0, at.as_micros(), stored::pack_receipt(&receipt)?])?;
        }
        self.end_commit(at)?;
        Ok(receipt)
    }

    pub(super) fn line(&self, id: &RecordId) -> Outcome<Option<Line>> {
        let sql = "SELECT ordinal, version, created_at, body IS NOT NULL FROM records WHERE id = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let line = statement.query_row([id.as_str()], |row| {
            Ok(Line { ordinal: row.get(0)?, version: row.get(1)?, created_at: row.get(2)?, live: row.get(3)? })
        });
        Ok(line.optional()?)
    }

    fn write(&mut self, write: &RecordWrite, at: Timestamp) -> Outcome<Written> {
        let record = &write.record;
        let line = self.line(&record.id)?;
        write.expect.check(rules::named(&record.id), Line::version(line.as_ref()))?;
        let version = Version(line.as_ref().map_or(1, |line| line.version + 1));
        let earlier = line.as_ref().filter(|line| line.live).map_or(i64::MAX, |line| line.created_at);
        let created_at = earlier.min(record.created_at.as_micros());
        let ordinal = line.as_ref().map_or(self.head() as i64 + 1, |line| line.ordinal);
        let seq = self.publish(Kind::Written, ordinal as u64, version.0) as i64;
        let place = write.embedding.as_ref().map(|embedding| self.add_vector(embedding)).transpose()?;
        let user = record.user_id.as_ref().map(mnemic_core::UserId::as_str);
        let columns = RecordColumns { id: record.id.as_str(), version: version.0, created_at, user };
        let body = stored::pack_record(record, &columns)?;
        let sql = if line.is_none() {
            "INSERT INTO records(ordinal, id, version, seq, created_at, user, model, slot, crc, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
        } else {
            self.supersede(ordinal)?;
            "UPDATE records SET id = ?2, version = ?3, seq = ?4, created_at = ?5, user = ?6, model = ?7, slot = ?8,
             crc = ?9, body = ?10 WHERE ordinal = ?1"
        };
        self.connection.prepare_cached(sql)?.execute(params![
            ordinal,
            record.id.as_str(),
            version.0,
            seq,
            created_at,
            user,
            place.map(|place| place.model),
            place.map(|place| place.slot),
            place.map(|place| place.crc),
            body
        ])?;
        for (i, task) in (0i64..).zip(&write.tasks) {
            let id = seq << rules::TASK_BITS | i;
            let sql = "INSERT INTO outbox(id, task, ordinal, version, since) VALUES (?1, ?2, ?3, ?4, ?5)";
            let values = params![id, feed_form::task_text(task), ordinal, version.0, at.as_micros()];
            self.connection.prepare_cached(sql)?.execute(values)?;
        }
        Ok(Written { id: record.id.clone(), version, created_at: Timestamp::from_micros(created_at)? })
    }

    /// Moves what a record is now into its history, and drops its outstanding work.
    pub(super) fn supersede(&self, ordinal: i64) -> Outcome<()> {
        let sql = "INSERT INTO revisions(seq, ordinal, version, created_at, user, body)
             SELECT seq, ordinal, version, created_at, CASE WHEN body IS NULL THEN NULL ELSE user END, body
             FROM records WHERE ordinal = ?1";
        self.connection.prepare_cached(sql)?.execute([ordinal])?;
        self.connection.prepare_cached("DELETE FROM outbox WHERE ordinal = ?1")?.execute([ordinal])?;
        Ok(())
    }

    fn delete(&mut self, delete: &RecordDelete) -> Outcome<Option<Version>> {
        let line = self.line(&delete.id)?;
        delete.expect.check(rules::named(&delete.id), Line::version(line.as_ref()))?;
        let Some(line) = line.filter(|line| line.live) else { return Ok(None) };
        self.supersede(line.ordinal)?;
        let seq = self.publish(Kind::Deleted, line.ordinal as u64, line.version);
        let sql = "UPDATE records SET seq = ?2, model = NULL, slot = NULL, crc = NULL, body = NULL WHERE ordinal = ?1";
        self.connection.prepare_cached(sql)?.execute(params![line.ordinal, seq])?;
        Ok(Some(Version(line.version)))
    }

    fn embed(&mut self, write: &EmbeddingWrite) -> Outcome<bool> {
        let Some(line) = self.line(&write.id)?.filter(|line| line.live && line.version == write.version.0) else {
            return Ok(false);
        };
        let Location { model, slot, crc } = self.add_vector(&write.embedding)?;
        let sql = "UPDATE records SET model = ?2, slot = ?3, crc = ?4 WHERE ordinal = ?1";
        self.connection.prepare_cached(sql)?.execute(params![line.ordinal, model, slot, crc])?;
        self.publish(Kind::Embedded, line.ordinal as u64, line.version);
        Ok(true)
    }

    /// Appends an event unless the same one is there.
    pub(super) fn append_once(&mut self, event: &AuditEvent, salt: &Salt, at: Timestamp) -> Outcome<Appended> {
        let known = self.event(event.event_id.as_str())?;
        match known {
            None => Ok(Appended { sequence: self.append(event, salt, at)?, outcome: AppendOutcome::New }),
            Some((sequence, held)) if held == *event => {
                Ok(Appended { sequence: mnemic_core::Sequence(sequence), outcome: AppendOutcome::Duplicate })
            }
            Some(_) => Err(rules::event_conflict(event).into()),
        }
    }

    fn event(&self, id: &str) -> Outcome<Option<(u64, AuditEvent)>> {
        let sql = "SELECT sequence, thread, user, body FROM events WHERE event_id = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([id])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let body = row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?;
        Ok(Some((row.get(0)?, stored::unpack_event(id, text(row, 1)?, text_or_null(row, 2)?, body)?)))
    }

    fn write_slots(&mut self, write: &SlotWrite) -> Outcome<Version> {
        let thread = write.thread_id.as_str();
        let (known, version, slots) = self.current_slots(thread)?;
        write.expect.check(format_args!("slots of thread {}", quoted(thread)), version)?;
        let version = version.next();
        let slots: Result<Slots> = write.applied_to(&slots);
        let slots = slots?;
        let ordinal = known.unwrap_or(self.head() as i64 + 1);
        let seq = self.publish(Kind::Slots, ordinal as u64, version.0);
        let sql = "INSERT INTO slot_threads(ordinal, thread, held) VALUES (?1, ?2, ?3)
             ON CONFLICT (ordinal) DO UPDATE SET held = excluded.held";
        self.connection.prepare_cached(sql)?.execute(params![ordinal, thread, slots.len() as i64])?;
        let sql = "INSERT INTO slot_revisions(seq, ordinal, version, body) VALUES (?1, ?2, ?3, ?4)";
        let values = params![seq, ordinal, version.0, stored::pack_slots(&slots)?];
        self.connection.prepare_cached(sql)?.execute(values)?;
        Ok(version)
    }

    pub(super) fn current_slots(&self, thread: &str) -> Outcome<(Option<i64>, Version, Slots)> {
        let sql = "SELECT slot_threads.ordinal, version, body FROM slot_threads
             JOIN slot_revisions USING (ordinal) WHERE thread = ?1 ORDER BY seq DESC LIMIT 1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([thread])?;
        let Some(row) = rows.next()? else { return Ok((None, Version::NONE, Slots::new())) };
        let body = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
        Ok((Some(row.get(0)?), Version(row.get(1)?), stored::unpack_slots(body)?))
    }
}

/// Removes finished work; what is not there needs none.
pub(super) fn settle(connection: &Connection, ids: &[OutboxId]) -> Outcome<()> {
    let mut delete = connection.prepare_cached("DELETE FROM outbox WHERE id = ?1")?;
    for id in ids {
        delete.execute([i64::try_from(id.0).unwrap_or(-1)])?;
    }
    Ok(())
}
