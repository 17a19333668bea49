//! Reading the event chain. Not here: appending to it (`changes`) and hashing (`mnemic_core::policy::audit`).

use mnemic_core::{
    ChainedEvent, Digest, Order, Page, PageRequest, Salt, Sequence, ThreadId, ThreadSummary, Timestamp,
    ports::EventRange,
};
use rusqlite::{Row, ToSql};

use super::{
    error::{Outcome, corrupted},
    records::{text, text_or_null},
    snapshot::Snapshot,
};
use crate::{rules, stored};

fn text_of<T: AsRef<str>>(id: Option<&T>) -> Option<&str> {
    id.map(AsRef::as_ref)
}

impl Snapshot<'_> {
    pub(super) fn events(&self, range: &EventRange, page: &PageRequest) -> Outcome<Page<ChainedEvent>> {
        let cursor: Option<u64> = rules::cursor(page)?;
        let (direction, from, before) = match page.order {
            Order::Oldest => ("", cursor.unwrap_or(0).max(range.after.0), i64::MAX),
            Order::Newest => {
                (" DESC", range.after.0, cursor.map_or(i64::MAX, |c| i64::try_from(c).unwrap_or(i64::MAX)))
            }
        };
        let from = i64::try_from(from).unwrap_or(i64::MAX);
        let limit = page.limit() as i64 + 1;
        let instant = range.as_of.map(Timestamp::as_micros);
        let (thread, user, id) =
            (text_of(range.thread_id.as_ref()), text_of(range.user_id.as_ref()), text_of(range.event_id.as_ref()));
        let mut conditions = vec![("sequence >", &from as &dyn ToSql), ("sequence <", &before)];
        conditions.extend(instant.as_ref().map(|value| ("recorded_at <=", value as &dyn ToSql)));
        conditions.extend(thread.as_ref().map(|value| ("thread =", value as &dyn ToSql)));
        conditions.extend(user.as_ref().map(|value| ("user =", value as &dyn ToSql)));
        conditions.extend(id.as_ref().map(|value| ("event_id =", value as &dyn ToSql)));
        let (conditions, values): (Vec<_>, Vec<_>) =
            conditions.into_iter().map(|(condition, value)| (format!("{condition} ?"), value)).unzip();
        let sql = format!(
            "SELECT sequence, recorded_at, commitment, previous, hash, event_id, thread, user, body, salt
             FROM events WHERE {} ORDER BY sequence{direction} LIMIT {limit}",
            conditions.join(" AND ")
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(values.as_slice())?;
        let mut entries = Vec::new();
        while let Some(row) = rows.next()? {
            let entry = self.entry(row)?;
            entries.push(Ok((entry.sequence.0, entry)));
        }
        Ok(rules::page(entries.into_iter(), page)?)
    }

    fn entry(&self, row: &Row<'_>) -> Outcome<ChainedEvent> {
        let fixed = |column: usize| -> Outcome<[u8; 32]> {
            let bytes = row.get_ref(column)?.as_blob().map_err(rusqlite::Error::from)?;
            let wrong = || corrupted(&self.file(), "the chain holds a digest of a wrong length");
            Ok(bytes.try_into().ok().ok_or_else(wrong)?)
        };
        let (event, salt) = match row.get_ref(8)?.as_blob_or_null().map_err(rusqlite::Error::from)? {
            None => (None, None),
            Some(body) => {
                let event = stored::unpack_event(text(row, 5)?, text(row, 6)?, text_or_null(row, 7)?, body)?;
                (Some(event), Some(Salt(fixed(9)?)))
            }
        };
        Ok(ChainedEvent {
            sequence: Sequence(row.get(0)?),
            recorded_at: Timestamp::from_micros(row.get(1)?)?,
            event,
            salt,
            commitment: Digest(fixed(2)?),
            previous: Digest(fixed(3)?),
            hash: Digest(fixed(4)?),
        })
    }

    pub(super) fn threads(&self, page: &PageRequest) -> Outcome<Page<ThreadSummary>> {
        let cursor: Option<i64> = rules::cursor(page)?;
        let (comparison, direction, from) = match page.order {
            Order::Oldest => (">", "", cursor.unwrap_or(0)),
            Order::Newest => ("<", " DESC", cursor.unwrap_or(i64::MAX)),
        };
        let sql = format!(
            "SELECT thread, count(*), min(sequence) AS first, max(sequence) AS last FROM events
             WHERE thread IS NOT NULL AND substr(thread, 1, ?1) <> ?2
             GROUP BY thread HAVING first {comparison} ?3 ORDER BY first{direction} LIMIT ?4"
        );
        let reserved = ThreadId::RESERVED_PREFIX;
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query((reserved.len(), reserved, from, page.limit() as i64 + 1))?;
        let mut threads = Vec::new();
        while let Some(row) = rows.next()? {
            let last: u64 = row.get(3)?;
            let mut recorded = self.connection.prepare_cached("SELECT recorded_at FROM events WHERE sequence = ?1")?;
            let summary = ThreadSummary {
                thread_id: ThreadId::new(text(row, 0)?)?,
                events: row.get(1)?,
                first: Sequence(row.get(2)?),
                last: Sequence(last),
                last_at: Timestamp::from_micros(recorded.query_row([last], |row| row.get(0))?)?,
            };
            threads.push(Ok((summary.first.0, summary)));
        }
        Ok(rules::page(threads.into_iter(), page)?)
    }
}
