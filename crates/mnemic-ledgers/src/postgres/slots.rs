//! Reading threads' slots. Not here: writing them (`commit`).

use mnemic_core::{
    Namespace, Order, Page, PageRequest, Result, ThreadId, Timestamp, Version, VersionedSlots, ports::SlotsRevision,
};
use mnemic_postgres::{Access, Pool, Query, Type};

use super::{
    error::{count, damage},
    rows::get,
};
use crate::{rules, stored};

/// `$3` is an instant or NULL for now.
const REVISIONS: &str = "SELECT s.version, s.body,
         (SELECT c.at FROM mnemic.commits c WHERE c.namespace = $1 AND c.last >= s.seq ORDER BY c.last LIMIT 1)
     FROM mnemic.slot_threads t JOIN mnemic.slot_revisions s ON s.namespace = t.namespace AND s.ordinal = t.ordinal
     WHERE t.namespace = $1 AND t.thread_id = $2 AND ($3::bigint IS NULL OR s.seq <= coalesce((SELECT c.last
         FROM mnemic.commits c WHERE c.namespace = $1 AND c.at <= $3 ORDER BY c.last DESC LIMIT 1), 0))
     ORDER BY s.seq DESC LIMIT $4";

pub(super) async fn slots(
    pool: &Pool,
    namespace: &Namespace,
    thread: &ThreadId,
    as_of: Option<Timestamp>,
) -> Result<VersionedSlots> {
    let last = revisions(pool, namespace, thread, as_of, Some(1)).await?.pop();
    Ok(last.map_or_else(VersionedSlots::default, |found| VersionedSlots {
        slots: found.slots,
        version: found.version,
        updated_at: Some(found.at),
    }))
}

pub(super) async fn slots_history(pool: &Pool, namespace: &Namespace, thread: &ThreadId) -> Result<Vec<SlotsRevision>> {
    revisions(pool, namespace, thread, None, None).await
}

async fn revisions(
    pool: &Pool,
    namespace: &Namespace,
    thread: &ThreadId,
    as_of: Option<Timestamp>,
    most: Option<i64>,
) -> Result<Vec<SlotsRevision>> {
    let (name, instant) = (thread.as_str(), as_of.map(Timestamp::as_micros));
    let query = Query::new(REVISIONS).bind(&name, Type::TEXT).bind(&instant, Type::INT8).bind(&most, Type::INT8);
    let answers = pool.run(namespace, Access::Read, &[query]).await?;
    let rows = answers.iter().flat_map(|answer| &answer.rows).map(|row| {
        let slots = stored::unpack_slots(get(row, 1)?).map_err(damage)?;
        Ok(SlotsRevision { version: Version(count(get(row, 0)?)?), at: Timestamp::from_micros(get(row, 2)?)?, slots })
    });
    rows.collect()
}

pub(super) async fn slot_threads(pool: &Pool, namespace: &Namespace, page: &PageRequest) -> Result<Page<ThreadId>> {
    let cursor: Option<ThreadId> = rules::cursor(page)?;
    let sql = match page.order {
        Order::Oldest => {
            "SELECT thread_id FROM mnemic.slot_threads WHERE namespace = $1 AND held > 0
             AND ($2::text IS NULL OR thread_id > $2) ORDER BY thread_id LIMIT $3"
        }
        Order::Newest => {
            "SELECT thread_id FROM mnemic.slot_threads WHERE namespace = $1 AND held > 0
             AND ($2::text IS NULL OR thread_id < $2) ORDER BY thread_id DESC LIMIT $3"
        }
    };
    let (after, most) = (cursor.as_ref().map(ThreadId::as_str), page.limit() as i64 + 1);
    let query = Query::new(sql).bind(&after, Type::TEXT).bind(&most, Type::INT8);
    let answers = pool.run(namespace, Access::Read, &[query]).await?;
    let threads = answers.iter().flat_map(|answer| &answer.rows).map(|row| {
        let thread = ThreadId::new(get::<&str>(row, 0)?)?;
        Ok((thread.clone(), thread))
    });
    rules::page(threads, page)
}
