//! Reading threads' slots. Not here: writing them (`commit`).

use mnemic_core::{Order, Page, PageRequest, ThreadId, Timestamp, Version, VersionedSlots, ports::SlotsRevision};
use rusqlite::params;

use super::{
    error::Outcome,
    records::{committed_at, text},
    snapshot::Snapshot,
};
use crate::{rules, stored};

const REVISIONS: &str = "SELECT seq, version, body FROM slot_revisions
     WHERE ordinal = (SELECT ordinal FROM slot_threads WHERE thread = ?1) AND seq <= ?2
     ORDER BY seq DESC LIMIT ?3";

impl Snapshot<'_> {
    pub(super) fn slots(&self, thread: &ThreadId, as_of: Option<Timestamp>) -> Outcome<VersionedSlots> {
        let position = self.position(as_of)?;
        let last = self.slot_revisions(thread, position, 1)?.pop();
        Ok(last.map_or_else(VersionedSlots::default, |found| VersionedSlots {
            slots: found.slots,
            version: found.version,
            updated_at: Some(found.at),
        }))
    }

    pub(super) fn slots_history(&self, thread: &ThreadId) -> Outcome<Vec<SlotsRevision>> {
        self.slot_revisions(thread, None, -1)
    }

    fn slot_revisions(&self, thread: &ThreadId, position: Option<u64>, limit: i64) -> Outcome<Vec<SlotsRevision>> {
        let mut statement = self.connection.prepare_cached(REVISIONS)?;
        let position = position.map_or(i64::MAX, |position| i64::try_from(position).unwrap_or(i64::MAX));
        let mut rows = statement.query(params![thread.as_str(), position, limit])?;
        let mut revisions = Vec::new();
        while let Some(row) = rows.next()? {
            let body = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
            let at = committed_at(self.connection, row.get(0)?)?;
            revisions.push(SlotsRevision { version: Version(row.get(1)?), at, slots: stored::unpack_slots(body)? });
        }
        Ok(revisions)
    }

    pub(super) fn slot_threads(&self, page: &PageRequest) -> Outcome<Page<ThreadId>> {
        let cursor: Option<ThreadId> = rules::cursor(page)?;
        let range = match page.order {
            Order::Oldest => "(?1 IS NULL OR thread > ?1) ORDER BY thread",
            Order::Newest => "(?1 IS NULL OR thread < ?1) ORDER BY thread DESC",
        };
        let sql = format!("SELECT thread FROM slot_threads WHERE held > 0 AND {range} LIMIT ?2");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params![cursor.as_ref().map(ThreadId::as_str), page.limit() as i64 + 1])?;
        let mut threads = Vec::new();
        while let Some(row) = rows.next()? {
            let thread = ThreadId::new(text(row, 0)?)?;
            threads.push(Ok((thread.clone(), thread)));
        }
        Ok(rules::page(threads.into_iter(), page)?)
    }
}
