//! Erasure: rows go in one commit; then bytes that no row names are overwritten, in the vector files and in the log.
//! What an erasure still owes is written down in the same commit (`upkeep`), so that a crash does not forget it.
//! Not here: when this is tried again (`writer`).

use std::{collections::BTreeSet, path::Path};

use mnemic_core::{EraseReceipt, EraseTarget, Erasure, RecordId, Result};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{
    changes::Changes,
    error::Outcome,
    records::{text, text_or_null},
    schema,
    vectors::{self, VectorFile, VectorFiles},
};
use crate::{
    feed_form::Kind,
    rules,
    stored::{self, RecordColumns},
};

/// The largest database that is rewritten in memory.
const REWRITTEN_IN_MEMORY: u64 = 64 << 20;

/// What an erasure reaches.
#[derive(Default)]
struct Reach {
    /// Ordinal and id.
    records: Vec<(i64, RecordId)>,
    /// Superseded revisions that were the subject's, of records that are another's by now.
    revisions: Vec<i64>,
    events: BTreeSet<u64>,
    /// Ids of events that the records came from.
    sources: BTreeSet<String>,
    threads: BTreeSet<String>,
}

impl Changes<'_> {
    /// Removes rows and adds the event that tells of it. The bytes are overwritten by `clean` after the commit.
    pub(super) fn erase(&mut self, erasure: &Erasure) -> Outcome<EraseReceipt> {
        self.check_serving()?;
        let (reach, names_records) = match &erasure.target {
            EraseTarget::Records(ids) => (self.reach_records(ids)?, true),
            EraseTarget::Subject(user) => (self.reach_subject(user.as_str())?, false),
        };
        let mut receipt = EraseReceipt { revisions: reach.revisions.len() as u64, ..EraseReceipt::default() };
        self.forget_receipts(&reach)?;
        for seq in &reach.revisions {
            self.run("DELETE FROM revisions WHERE seq = ?1", *seq)?;
        }
        for (ordinal, id) in reach.records {
            receipt.revisions += self.drop_record(ordinal)?;
            self.publish(Kind::Erased, ordinal as u64, 0);
            let sql = if names_records {
                "INSERT INTO erased_names(ordinal, id) VALUES (?1, ?2)"
            } else {
                // Whatever an earlier erasure of the same id left in the feed goes too.
                "DELETE FROM erased_names WHERE id = ?2 OR ordinal = ?1"
            };
            self.connection.prepare_cached(sql)?.execute(params![ordinal, id.as_str()])?;
            receipt.records.push(id);
        }
        for sequence in reach.events {
            receipt.events += self.drop_event(sequence)?;
        }
        for thread in reach.threads {
            receipt.threads += u64::from(self.erase_slots(&thread)?);
        }
        for salt in rules::salts(1)? {
            receipt.sequence = self.append_once(&erasure.event, &salt, erasure.at)?.sequence;
        }
        self.end_commit(erasure.at)?;
        self.owe_cleaning()?;
        Ok(receipt)
    }

    /// Writes down that bytes are to be overwritten.
    pub(super) fn owe_cleaning(&self) -> Outcome<()> {
        Ok(self.connection.execute_batch("INSERT OR IGNORE INTO upkeep VALUES ('vectors'), ('pages'), ('log')")?)
    }

    /// Removes a record with its history and tells how many revisions went.
    pub(super) fn drop_record(&self, ordinal: i64) -> Outcome<u64> {
        let superseded = self.run("DELETE FROM revisions WHERE ordinal = ?1", ordinal)?;
        self.run("DELETE FROM outbox WHERE ordinal = ?1", ordinal)?;
        self.run("DELETE FROM records WHERE ordinal = ?1", ordinal)?;
        Ok(superseded + 1)
    }

    /// Reduces an event to its commitment and tells the feed of it.
    pub(super) fn drop_event(&mut self, sequence: u64) -> Outcome<u64> {
        let sql = "UPDATE events SET event_id = NULL, thread = NULL, user = NULL, body = NULL, salt = NULL
             WHERE sequence = ?1";
        let dropped = self.connection.prepare_cached(sql)?.execute([sequence])? as u64;
        self.publish(Kind::EventErased, sequence, 0);
        Ok(dropped)
    }

    /// Removes a thread's slots and tells its ordinal and last version.
    pub(super) fn drop_slots(&self, thread: &str) -> Outcome<Option<(i64, u64)>> {
        let sql = "SELECT ordinal, max(version) FROM slot_threads JOIN slot_revisions USING (ordinal)
             WHERE thread = ?1 GROUP BY ordinal";
        let mut find = self.connection.prepare_cached(sql)?;
        let found: Option<(i64, u64)> = find.query_row([thread], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        if let Some((ordinal, _)) = found {
            self.run("DELETE FROM slot_revisions WHERE ordinal = ?1", ordinal)?;
            self.run("DELETE FROM slot_threads WHERE ordinal = ?1", ordinal)?;
        }
        Ok(found)
    }

    pub(super) fn run(&self, sql: &str, number: i64) -> Outcome<u64> {
        Ok(self.connection.prepare_cached(sql)?.execute([number])? as u64)
    }

    fn erase_slots(&mut self, thread: &str) -> Outcome<bool> {
        let Some((ordinal, version)) = self.drop_slots(thread)? else { return Ok(false) };
        self.publish(Kind::Slots, ordinal as u64, version);
        Ok(true)
    }

    fn reach_records(&self, ids: &[RecordId]) -> Outcome<Reach> {
        let mut reach = Reach::default();
        let mut seen = BTreeSet::new();
        for id in ids.iter().filter(|id| seen.insert(*id)) {
            let mut find = self.connection.prepare_cached("SELECT ordinal FROM records WHERE id = ?1")?;
            if let Some(ordinal) = find.query_row([id.as_str()], |row| row.get(0)).optional()? {
                reach.records.push((ordinal, id.clone()));
            }
        }
        for (ordinal, id) in &reach.records {
            self.origins(*ordinal, id, &mut reach.sources, &mut BTreeSet::new())?;
        }
        let mut find = self.connection.prepare_cached("SELECT sequence FROM events WHERE event_id = ?1")?;
        for source in &reach.sources {
            reach.events.extend(find.query_row([source], |row| row.get::<_, u64>(0)).optional()?);
        }
        Ok(reach)
    }

    /// A record is whoever's its last revision is. Its earlier revisions of the subject go in any case.
    fn reach_subject(&self, user: &str) -> Outcome<Reach> {
        let mut reach = Reach::default();
        let mut find =
            self.connection.prepare_cached("SELECT ordinal, id FROM records WHERE user = ?1 ORDER BY ordinal")?;
        let mut rows = find.query([user])?;
        while let Some(row) = rows.next()? {
            let id: String = row.get(1)?;
            reach.records.push((row.get(0)?, RecordId::new(id)?));
        }
        for (ordinal, id) in &reach.records {
            self.origins(*ordinal, id, &mut reach.sources, &mut reach.threads)?;
        }
        let mut find = self.connection.prepare_cached(
            "SELECT id, revisions.version, revisions.created_at, revisions.user, revisions.body, revisions.seq
             FROM revisions JOIN records USING (ordinal) WHERE revisions.user = ?1 AND records.user IS NOT ?1",
        )?;
        let mut rows = find.query([user])?;
        while let Some(row) = rows.next()? {
            reach.revisions.push(row.get(5)?);
            add_origin(row, &mut reach.sources, &mut reach.threads)?;
        }
        let mut find = self.connection.prepare_cached("SELECT sequence, thread FROM events WHERE user = ?1")?;
        let mut rows = find.query([user])?;
        while let Some(row) = rows.next()? {
            reach.events.insert(row.get(0)?);
            reach.threads.extend(text_or_null(row, 1)?.map(str::to_owned));
        }
        let mut find =
            self.connection.prepare_cached("SELECT sequence FROM events WHERE event_id = ?1 AND user IS NULL")?;
        for source in &reach.sources {
            reach.events.extend(find.query_row([source], |row| row.get::<_, u64>(0)).optional()?);
        }
        Ok(reach)
    }

    /// The events that every revision of a record came from, and the threads that they belong to.
    fn origins(
        &self,
        ordinal: i64,
        id: &RecordId,
        sources: &mut BTreeSet<String>,
        threads: &mut BTreeSet<String>,
    ) -> Outcome<()> {
        let sql = "SELECT ?2, version, created_at, user, body FROM records WHERE ordinal = ?1
             UNION ALL SELECT ?2, version, created_at, user, body FROM revisions WHERE ordinal = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![ordinal, id.as_str()])?;
        while let Some(row) = rows.next()? {
            add_origin(row, sources, threads)?;
        }
        Ok(())
    }

    /// Lets go of kept answers that name what is erased.
    fn forget_receipts(&self, reach: &Reach) -> Outcome<()> {
        let records: BTreeSet<&RecordId> = reach.records.iter().map(|(_, id)| id).collect();
        let mut all = self.connection.prepare_cached("SELECT key, body FROM receipts")?;
        let mut rows = all.query(())?;
        let mut keys: Vec<String> = Vec::new();
        while let Some(row) = rows.next()? {
            let receipt = stored::unpack_receipt(row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?)?;
            let names = receipt.writes.iter().any(|written| records.contains(&written.id))
                || receipt.events.iter().any(|appended| reach.events.contains(&appended.sequence.0))
                || (!reach.threads.is_empty() && !receipt.slots.is_empty());
            if names {
                keys.push(row.get(0)?);
            }
        }
        let mut delete = self.connection.prepare_cached("DELETE FROM receipts WHERE key = ?1")?;
        keys.iter().try_for_each(|key| delete.execute([key]).map(drop)).map_err(Into::into)
    }
}

/// Reads the origin of a revision: its id, version, creation, user and body.
fn add_origin(row: &Row<'_>, sources: &mut BTreeSet<String>, threads: &mut BTreeSet<String>) -> Outcome<()> {
    let Some(body) = row.get_ref(4)?.as_blob_or_null().map_err(rusqlite::Error::from)? else { return Ok(()) };
    let (version, created_at) = (row.get(1)?, row.get(2)?);
    let columns = RecordColumns { id: text(row, 0)?, version, created_at, user: text_or_null(row, 3)? };
    let record: Result<_> = stored::unpack_record(&columns, body);
    let record = record?;
    sources.extend(record.provenance.events.iter().map(ToString::to_string));
    threads.extend(record.thread_id.iter().map(ToString::to_string));
    Ok(())
}

/// Whether an erasure still owes cleaning.
pub(super) fn owes(connection: &Connection) -> Outcome<bool> {
    Ok(connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM upkeep)")?.query_row((), |row| row.get(0))?)
}

/// Overwrites what no row names any more: the vectors, the pages, and last the log, which holds older images of pages.
/// Answers what could not be done yet.
pub(super) fn clean(connection: &Connection, directory: &Path, files: &VectorFiles) -> Outcome<Vec<String>> {
    if pending(connection, "vectors")? {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let swept = sweep(connection, directory, files).and_then(|()| done(connection, "vectors"));
        connection.execute_batch(if swept.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
        swept?;
    }
    if pending(connection, "pages")? {
        rewrite(connection)?;
        done(connection, "pages")?;
    }
    if pending(connection, "log")? {
        let busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get(0))?;
        if busy {
            let file = directory.join(schema::FILE);
            let what = "a reader holds the log open; it is overwritten when the reader ends";
            return Ok(vec![format!("{}-wal: {what}", file.display())]);
        }
        done(connection, "log")?;
    }
    Ok(Vec::new())
}

/// Writes every page anew from what is stored. `secure_delete` overwrites a row where it lies, but when a page was split or two
/// were joined, a copy of the rows that moved has stayed in its unused part, and only this removes that.
fn rewrite(connection: &Connection) -> Outcome<()> {
    let bytes: u64 =
        connection.query_row("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", (), |row| {
            row.get(0)
        })?;
    // The new pages are collected aside first: in memory as long as that is small beside what a process takes anyway.
    let aside = if bytes <= REWRITTEN_IN_MEMORY { "memory" } else { "file" };
    connection.pragma_update(None, "temp_store", aside)?;
    let rewritten = connection.execute_batch("VACUUM");
    connection.pragma_update(None, "temp_store", "memory")?;
    Ok(rewritten?)
}

fn pending(connection: &Connection, what: &str) -> Outcome<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM upkeep WHERE what = ?1)";
    Ok(connection.prepare_cached(sql)?.query_row([what], |row| row.get(0))?)
}

fn done(connection: &Connection, what: &str) -> Outcome<()> {
    connection.prepare_cached("DELETE FROM upkeep WHERE what = ?1")?.execute([what])?;
    Ok(())
}

/// Zeroes every vector that no record names: erased ones, superseded ones, and those that a crash or a refusal left.
/// The caller holds the write lock, so nobody is appending.
fn sweep(connection: &Connection, directory: &Path, files: &VectorFiles) -> Outcome<()> {
    let models: Vec<_> = vectors::models(connection)?.into_iter().filter(|row| row.rows > 0).collect();
    let vouched: BTreeSet<String> = models.iter().map(|row| vectors::file_name(&row.model)).collect();
    vectors::empty_others(directory, &vouched)?;
    for row in models {
        let file = files.get(&row.model, || VectorFile::open(directory, &row.model))?;
        let mut statement = connection.prepare_cached("SELECT slot FROM records WHERE model = ?1")?;
        let named = statement.query_map([row.no], |row| row.get::<_, u64>(0))?.collect::<Result<BTreeSet<_>, _>>()?;
        let mut bytes = vec![0; file.stride()];
        for slot in (0..row.rows).filter(|slot| !named.contains(slot)) {
            file.read_rows(slot, &mut bytes)?;
            if bytes.iter().any(|byte| *byte != 0) {
                bytes.fill(0);
                file.write(slot, &bytes)?;
            }
        }
        file.cut(row.rows)?;
        file.sync()?;
    }
    Ok(())
}
