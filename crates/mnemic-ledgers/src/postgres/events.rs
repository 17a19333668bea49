//! Reading the event chain. Not here: appending to it (`commit`) and hashing (`mnemic_core::policy::audit`).

use mnemic_core::{
    ChainedEvent, Digest, Namespace, Order, Page, PageRequest, Result, Salt, Sequence, ThreadId, ThreadSummary,
    Timestamp, ports::EventRange,
};
use mnemic_postgres::{Access, Pool, Query, Row, Type};

use super::{
    error::{count, damage},
    rows::{fixed, get},
};
use crate::{rules, stored};

const CHAIN: &str = "SELECT sequence, recorded_at, event_id, thread_id, user_id, body, salt, commitment, previous, hash
     FROM mnemic.events WHERE namespace = $1 AND sequence > $2 AND sequence < $3";

pub(super) async fn events(
    pool: &Pool,
    namespace: &Namespace,
    range: &EventRange,
    page: &PageRequest,
) -> Result<Page<ChainedEvent>> {
    let cursor: Option<i64> = rules::cursor(page)?;
    let after = i64::try_from(range.after.0).unwrap_or(i64::MAX);
    let (order, from, before) = match page.order {
        Order::Oldest => ("", cursor.unwrap_or(0).max(after), i64::MAX),
        Order::Newest => (" DESC", after, cursor.unwrap_or(i64::MAX)),
    };
    let instant = range.as_of.map(Timestamp::as_micros);
    let thread = range.thread_id.as_ref().map(ThreadId::as_str);
    let user = range.user_id.as_ref().map(AsRef::<str>::as_ref);
    let event = range.event_id.as_ref().map(AsRef::<str>::as_ref);
    let mut conditions = String::new();
    let mut query = Query::new(CHAIN).bind(&from, Type::INT8).bind(&before, Type::INT8);
    if let Some(instant) = &instant {
        query = query.bind(instant, Type::INT8);
        conditions = format!(" AND recorded_at <= ${}", query.bound());
    }
    for (column, value) in [("thread_id", &thread), ("user_id", &user), ("event_id", &event)] {
        if value.is_some() {
            query = query.bind(value, Type::TEXT);
            conditions = format!("{conditions} AND {column} = ${}", query.bound());
        }
    }
    let most = page.limit() as i64 + 1;
    query = query.bind(&most, Type::INT8);
    let sql = format!("{CHAIN}{conditions} ORDER BY sequence{order} LIMIT ${}", query.bound());
    let answers = pool.run(namespace, Access::Read, &[query.saying(sql)]).await?;
    let entries = answers.iter().flat_map(|answer| &answer.rows).map(|row| {
        let entry = entry(row)?;
        Ok((entry.sequence.0, entry))
    });
    rules::page(entries, page)
}

fn entry(row: &Row) -> Result<ChainedEvent> {
    let (event, salt) = match get::<Option<&[u8]>>(row, 5)? {
        None => (None, None),
        Some(body) => {
            let event = stored::unpack_event(get(row, 2)?, get(row, 3)?, get(row, 4)?, body).map_err(damage)?;
            (Some(event), Some(Salt(fixed(row, 6)?)))
        }
    };
    Ok(ChainedEvent {
        sequence: Sequence(count(get(row, 0)?)?),
        recorded_at: Timestamp::from_micros(get(row, 1)?)?,
        event,
        salt,
        commitment: Digest(fixed(row, 7)?),
        previous: Digest(fixed(row, 8)?),
        hash: Digest(fixed(row, 9)?),
    })
}

pub(super) async fn threads(pool: &Pool, namespace: &Namespace, page: &PageRequest) -> Result<Page<ThreadSummary>> {
    let cursor: Option<i64> = rules::cursor(page)?;
    let (compared, order, from) = match page.order {
        Order::Oldest => (">", "", cursor.unwrap_or(0)),
        Order::Newest => ("<", " DESC", cursor.unwrap_or(i64::MAX)),
    };
    let sql = format!(
        "SELECT t.thread_id, t.events, t.first, t.last, e.recorded_at FROM (
             SELECT thread_id, count(*) AS events, min(sequence) AS first, max(sequence) AS last FROM mnemic.events
             WHERE namespace = $1 AND thread_id IS NOT NULL AND NOT starts_with(thread_id, $2)
             GROUP BY thread_id HAVING min(sequence) {compared} $3 ORDER BY first{order} LIMIT $4) AS t
         JOIN mnemic.events e ON e.namespace = $1 AND e.sequence = t.last ORDER BY t.first{order}"
    );
    let (reserved, most) = (ThreadId::RESERVED_PREFIX, page.limit() as i64 + 1);
    let query = Query::new(sql).bind(&reserved, Type::TEXT).bind(&from, Type::INT8).bind(&most, Type::INT8);
    let answers = pool.run(namespace, Access::Read, &[query]).await?;
    let threads = answers.iter().flat_map(|answer| &answer.rows).map(|row| {
        let summary = ThreadSummary {
            thread_id: ThreadId::new(get::<&str>(row, 0)?)?,
            events: count(get(row, 1)?)?,
            first: Sequence(count(get(row, 2)?)?),
            last: Sequence(count(get(row, 3)?)?),
            last_at: Timestamp::from_micros(get(row, 4)?)?,
        };
        Ok((summary.first.0, summary))
    });
    rules::page(threads, page)
}
