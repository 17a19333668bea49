//! Repeating another ledger's commits inside a write transaction: the same rows at the same positions. Not here: what continues what
//! (`repeating`), and the transaction (`writer`).

use std::collections::BTreeSet;

use mnemic_core::{ChangeSeq, Embedding, PastChange, PastCommit, PastWrite, RecordId, Removed, Slots, Version};
use rusqlite::{OptionalExtension as _, params};

use super::{changes::Changes, commit::Line, error::Outcome, vectors::Location};
use crate::{
    feed_form::{self, Kind},
    repeating,
    stored::{self, RecordColumns},
};

/// A transaction that repeats commits.
struct Repeater<'r, 'c> {
    changes: &'r mut Changes<'c>,
    /// Records whose last revision is not known: it was erased in the source, and a later one follows.
    vacant: BTreeSet<i64>,
}

impl Changes<'_> {
    /// Repeats commits and tells the position that is reached.
    pub(super) fn repeat(&mut self, commits: &[PastCommit]) -> Outcome<ChangeSeq> {
        let unseen = repeating::unseen(ChangeSeq(self.head()), commits)?;
        let mut repeater = Repeater { changes: self, vacant: BTreeSet::new() };
        for commit in unseen {
            repeater.remove(commit.removed)?;
            for change in commit.changes {
                repeater.change(change)?;
            }
            repeater.changes.end_commit(commit.at)?;
        }
        Ok(ChangeSeq(self.head()))
    }
}

impl Repeater<'_, '_> {
    fn remove(&self, removed: &Removed) -> Outcome<()> {
        if removed.is_empty() {
            return Ok(());
        }
        let changes = &self.changes;
        for id in &removed.records {
            if let Some(line) = changes.line(id)? {
                changes.drop_record(line.ordinal)?;
            }
        }
        for (id, version) in &removed.revisions {
            let Some(line) = changes.line(id)? else { continue };
            let sql = "DELETE FROM revisions WHERE ordinal = ?1 AND version = ?2 AND body IS NOT NULL";
            changes.connection.prepare_cached(sql)?.execute(params![line.ordinal, version.0])?;
        }
        for thread in &removed.threads {
            changes.drop_slots(thread.as_str())?;
        }
        for id in &removed.names {
            changes.connection.prepare_cached("DELETE FROM erased_names WHERE id = ?1")?.execute([id.as_str()])?;
        }
        changes.owe_cleaning()
    }

    fn change(&mut self, change: &PastChange) -> Outcome<()> {
        match change {
            PastChange::Written(write) => self.write(write),
            PastChange::Embedded { id, version, embedding } => self.embed(id, *version, embedding.as_ref()),
            PastChange::Deleted { id, version } => self.delete(id, *version),
            PastChange::Appended(entry) => {
                repeating::check_entry(self.changes.tail()?, entry)?;
                self.changes.append_entry(entry)
            }
            PastChange::EventErased(sequence) => {
                self.changes.drop_event(sequence.0)?;
                self.changes.owe_cleaning()
            }
            PastChange::Slots { thread_id, version, slots } => self.slots(thread_id.as_str(), *version, slots),
            PastChange::SlotsErased(version) => {
                let nobody = self.position();
                self.changes.publish(Kind::Slots, nobody, version.0);
                Ok(())
            }
            PastChange::Erased(id) => {
                let nobody = self.position();
                self.changes.publish(Kind::Erased, nobody, 0);
                if let Some(id) = id {
                    let sql = "INSERT INTO erased_names(ordinal, id) VALUES (?1, ?2)";
                    self.changes.connection.prepare_cached(sql)?.execute(params![nobody as i64, id.as_str()])?;
                }
                Ok(())
            }
        }
    }

    /// The position of the next change. Where that is no first write, no record and no thread has it as its ordinal.
    fn position(&self) -> u64 {
        self.changes.head() + 1
    }

    fn last(line: Option<&Line>) -> Version {
        line.map_or(Version::NONE, |line| Version(line.version))
    }

    fn write(&mut self, write: &PastWrite) -> Outcome<()> {
        let line = self.changes.line(&write.id)?;
        repeating::check_follows(&write.id, Self::last(line.as_ref()), write.version)?;
        let ordinal = line.as_ref().map_or(self.position() as i64, |line| line.ordinal);
        let seq = self.changes.publish(Kind::Written, ordinal as u64, write.version.0) as i64;
        let place = write.embedding.as_ref().map(|embedding| self.changes.add_vector(embedding)).transpose()?;
        let user = write.record.as_ref().and_then(|record| record.user_id.as_ref()).map(mnemic_core::UserId::as_str);
        let created_at = write.record.as_ref().map_or(0, |record| record.created_at.as_micros());
        let columns = RecordColumns { id: write.id.as_str(), version: write.version.0, created_at, user };
        let body = write.record.as_ref().map(|record| stored::pack_record(record, &columns)).transpose()?;
        let sql = if line.is_some() {
            self.supersede(ordinal)?;
            "UPDATE records SET id = ?2, version = ?3, seq = ?4, created_at = ?5, user = ?6, model = ?7, slot = ?8,
             crc = ?9, body = ?10 WHERE ordinal = ?1"
        } else {
            "INSERT INTO records(ordinal, id, version, seq, created_at, user, model, slot, crc, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
        };
        let connection = self.changes.connection;
        connection.prepare_cached(sql)?.execute(params![
            ordinal,
            write.id.as_str(),
            write.version.0,
            seq,
            created_at,
            user,
            place.map(|place| place.model),
            place.map(|place| place.slot),
            place.map(|place| place.crc),
            body
        ])?;
        if write.record.is_none() {
            self.vacant.insert(ordinal);
        }
        for item in &write.tasks {
            let sql = "INSERT INTO outbox(id, task, ordinal, version, since) VALUES (?1, ?2, ?3, ?4, ?5)";
            let id = i64::try_from(item.id.0).unwrap_or(i64::MAX);
            let values = params![id, feed_form::task_text(&item.task), ordinal, item.version.0, item.since.as_micros()];
            connection.prepare_cached(sql)?.execute(values)?;
        }
        Ok(())
    }

    /// Moves the last revision into history, unless there is none to move.
    fn supersede(&mut self, ordinal: i64) -> Outcome<()> {
        if self.vacant.remove(&ordinal) || self.was_left_vacant(ordinal)? {
            self.changes.run("DELETE FROM outbox WHERE ordinal = ?1", ordinal)?;
            return Ok(());
        }
        self.changes.supersede(ordinal)
    }

    /// Whether an earlier call ended with a record whose last revision is not known: a row without a body that no deletion made.
    fn was_left_vacant(&self, ordinal: i64) -> Outcome<bool> {
        let connection = self.changes.connection;
        let mut find = connection.prepare_cached("SELECT seq FROM records WHERE ordinal = ?1 AND body IS NULL")?;
        let Some(seq) = find.query_row([ordinal], |row| row.get::<_, u64>(0)).optional()? else { return Ok(false) };
        let sql = "SELECT last, at, changes FROM commits WHERE last >= ?1 ORDER BY last LIMIT 1";
        let mut find = connection.prepare_cached(sql)?;
        let row = find.query_row([seq], |row| Ok((row.get::<_, u64>(0)?, row.get(1)?, row.get::<_, Vec<u8>>(2)?)));
        // What this very commit did is not in the feed yet, and is remembered.
        let Some((last, at, packed)) = row.optional()? else { return Ok(false) };
        let changes = feed_form::decode(last, at, &packed).unwrap_or_default();
        let place = changes.len().checked_sub(usize::try_from(last - seq).unwrap_or(usize::MAX) + 1);
        Ok(place.and_then(|place| changes.get(place)).is_some_and(|(kind, ..)| *kind == Kind::Written))
    }

    fn embed(&mut self, id: &RecordId, version: Version, embedding: Option<&Embedding>) -> Outcome<()> {
        let line = self.changes.line(id)?;
        repeating::check_last(id, Self::last(line.as_ref()), version)?;
        let ordinal = line.map_or(0, |line| line.ordinal);
        if let Some(embedding) = embedding {
            let Location { model, slot, crc } = self.changes.add_vector(embedding)?;
            let sql = "UPDATE records SET model = ?2, slot = ?3, crc = ?4 WHERE ordinal = ?1";
            self.changes.connection.prepare_cached(sql)?.execute(params![ordinal, model, slot, crc])?;
        }
        self.changes.publish(Kind::Embedded, ordinal as u64, version.0);
        Ok(())
    }

    fn delete(&mut self, id: &RecordId, version: Version) -> Outcome<()> {
        let line = self.changes.line(id)?;
        repeating::check_last(id, Self::last(line.as_ref()), version)?;
        let ordinal = line.map_or(0, |line| line.ordinal);
        self.supersede(ordinal)?;
        let seq = self.changes.publish(Kind::Deleted, ordinal as u64, version.0);
        let sql = "UPDATE records SET seq = ?2, model = NULL, slot = NULL, crc = NULL, body = NULL WHERE ordinal = ?1";
        self.changes.connection.prepare_cached(sql)?.execute(params![ordinal, seq])?;
        Ok(())
    }

    fn slots(&mut self, thread: &str, version: Version, slots: &Slots) -> Outcome<()> {
        let (known, _, _) = self.changes.current_slots(thread)?;
        let ordinal = known.unwrap_or(self.position() as i64);
        let seq = self.changes.publish(Kind::Slots, ordinal as u64, version.0);
        let sql = "INSERT INTO slot_threads(ordinal, thread, held) VALUES (?1, ?2, ?3)
             ON CONFLICT (ordinal) DO UPDATE SET held = excluded.held";
        self.changes.connection.prepare_cached(sql)?.execute(params![ordinal, thread, slots.len() as i64])?;
        let sql = "INSERT INTO slot_revisions(seq, ordinal, version, body) VALUES (?1, ?2, ?3, ?4)";
        let values = params![seq, ordinal, version.0, stored::pack_slots(slots)?];
        self.changes.connection.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }
}
