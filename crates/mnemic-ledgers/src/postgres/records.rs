//! Reading records and their history. Not here: changing them (`commit`, `erase`).

use std::collections::BTreeMap;

use mnemic_core::{
    Filter, MemoryRecord, Namespace, Order, Page, PageRequest, RecordId, Result, Revision, RevisionKind, StoredRecord,
    Timestamp, Version,
    ports::{Embeddings, Read},
};
use mnemic_postgres::{Access, Answer, Pool, Query, Type};

use super::{
    error::count,
    filter::Condition,
    rows::{embedding, get, record},
};
use crate::rules;

/// What is there now, without and with embeddings.
const NOW: &str = "SELECT r.ordinal, r.id, r.version, r.created_at, r.user_id, r.body FROM mnemic.records r";
const EMBEDDED: &str =
    "SELECT r.ordinal, r.id, r.version, r.created_at, r.user_id, r.body, r.vector, r.crc, m.provider, m.name,
         m.dimension, m.metric
     FROM mnemic.records r LEFT JOIN mnemic.models m ON m.namespace = r.namespace AND m.no = r.model";
/// What was there after the last change of the last commit at or before `$2`. Clocks may run backwards; the order of commit decides.
const THEN: &str = "WITH reached AS MATERIALIZED (SELECT coalesce((SELECT c.last FROM mnemic.commits c
         WHERE c.namespace = $1 AND c.at <= $2 ORDER BY c.last DESC LIMIT 1), 0) AS seq)
     SELECT r.ordinal, r.id, was.version, was.created_at, was.user_id, was.body FROM reached, mnemic.records r
     CROSS JOIN LATERAL (
         SELECT r.version, r.created_at, r.user_id, r.body WHERE r.seq <= reached.seq
         UNION ALL (
             SELECT v.version, v.created_at, v.user_id, v.body FROM mnemic.revisions v
             WHERE r.seq > reached.seq AND v.namespace = $1 AND v.ordinal = r.ordinal AND v.seq <= reached.seq
             ORDER BY v.seq DESC LIMIT 1)) AS was";

const HISTORY: &str = "SELECT line.id, line.version, line.created_at, line.user_id, line.body,
         (SELECT c.at FROM mnemic.commits c WHERE c.namespace = $1 AND c.last >= line.seq ORDER BY c.last LIMIT 1)
     FROM (
         SELECT r.id, r.version, r.created_at, r.user_id, r.body, r.seq FROM mnemic.records r WHERE r.namespace = $1 AND r.id = $2
         UNION ALL
         SELECT r.id, v.version, v.created_at, v.user_id, v.body, v.seq FROM mnemic.revisions v
         JOIN mnemic.records r ON r.namespace = v.namespace AND r.ordinal = v.ordinal
         WHERE v.namespace = $1 AND r.id = $2) AS line
     ORDER BY line.seq DESC";

fn now(embeddings: Embeddings) -> &'static str {
    match embeddings {
        Embeddings::Include => EMBEDDED,
        Embeddings::Omit => NOW,
    }
}

/// Reads a row of one of the statements above; `None` if the record was not there.
fn stored(row: &mnemic_postgres::Row, embeddings: Embeddings) -> Result<Option<StoredRecord>> {
    let Some(record) = record(row, 1)? else { return Ok(None) };
    let embedding = match embeddings {
        Embeddings::Include => embedding(row, 6)?,
        Embeddings::Omit => None,
    };
    Ok(Some(StoredRecord { record, embedding }))
}

pub(super) async fn fetch(
    pool: &Pool,
    namespace: &Namespace,
    ids: &[RecordId],
    read: Read,
) -> Result<Vec<Option<StoredRecord>>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<&str> = ids.iter().map(RecordId::as_str).collect();
    let instant = read.as_of.map(Timestamp::as_micros);
    let query = match &instant {
        None => {
            let sql = format!("{} WHERE r.namespace = $1 AND r.id = ANY ($2)", now(read.embeddings));
            Query::new(sql).bind(&names, Type::TEXT_ARRAY)
        }
        Some(instant) => {
            let sql = format!("{THEN} WHERE r.namespace = $1 AND r.id = ANY ($3)");
            Query::new(sql).bind(instant, Type::INT8).bind(&names, Type::TEXT_ARRAY)
        }
    };
    let mut found: BTreeMap<RecordId, StoredRecord> = BTreeMap::new();
    for answer in pool.run(namespace, Access::Read, &[query]).await? {
        for row in &answer.rows {
            if let Some(stored) = stored(row, read.embeddings)? {
                found.insert(stored.record.id.clone(), stored);
            }
        }
    }
    Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
}

/// One walk over records.
struct Scan<'a> {
    filter: &'a Filter,
    read: Read,
    page: &'a PageRequest,
    condition: Condition,
    instant: Option<i64>,
}

pub(super) async fn scan(
    pool: &Pool,
    namespace: &Namespace,
    filter: &Filter,
    read: Read,
    page: &PageRequest,
) -> Result<Page<StoredRecord>> {
    let after: Option<i64> = rules::cursor(page)?;
    let instant = read.as_of.map(Timestamp::as_micros);
    // A revision of another time has no columns, so the server decides about now only.
    let condition = match instant {
        None => Condition::of(filter, 4),
        Some(_) => Condition::open(),
    };
    let scan = Scan { filter, read, page, condition, instant };
    let mut found = Vec::new();
    let mut from = after.unwrap_or(match page.order {
        Order::Oldest => 0,
        Order::Newest => i64::MAX,
    });
    let mut most = page.limit() as i64 + 1;
    if scan.condition.exact {
        let answers = pool.run(namespace, Access::Read, &[scan.query(&from, &most)]).await?;
        scan.take(&answers, most, &mut from, &mut found)?;
        return rules::page(found.into_iter().map(Ok), page);
    }
    let (transaction, answers) = pool.begin(namespace, Access::Read, &[scan.query(&from, &most)]).await?;
    let mut more = scan.take(&answers, most, &mut from, &mut found)?;
    while more && found.len() <= page.limit() {
        most = (most * 2).min(mnemic_core::limits::BATCH as i64);
        let answers = transaction.run(&[scan.query(&from, &most)]).await?;
        more = scan.take(&answers, most, &mut from, &mut found)?;
    }
    transaction.commit(&[]).await?;
    rules::page(found.into_iter().map(Ok), page)
}

impl Scan<'_> {
    /// Asks for the next rows after `from` that may pass.
    fn query<'q>(&'q self, from: &'q i64, most: &'q i64) -> Query<'q> {
        let (compared, order) = match self.page.order {
            Order::Oldest => (">", "ORDER BY r.ordinal"),
            Order::Newest => ("<", "ORDER BY r.ordinal DESC"),
        };
        match &self.instant {
            None => {
                let head = now(self.read.embeddings);
                let condition = &self.condition.sql;
                let sql = format!(
                    "{head} WHERE r.namespace = $1 AND r.ordinal {compared} $2 AND r.body IS NOT NULL AND {condition} {order} LIMIT $3"
                );
                self.condition.bind(Query::new(sql).bind(from, Type::INT8).bind(most, Type::INT8))
            }
            Some(instant) => {
                let sql = format!("{THEN} WHERE r.namespace = $1 AND r.ordinal {compared} $3 {order} LIMIT $4");
                Query::new(sql).bind(instant, Type::INT8).bind(from, Type::INT8).bind(most, Type::INT8)
            }
        }
    }

    /// Takes what passes, moves on, and tells whether there may be more.
    fn take(
        &self,
        answers: &[Answer],
        most: i64,
        from: &mut i64,
        found: &mut Vec<(i64, StoredRecord)>,
    ) -> Result<bool> {
        let mut rows = 0;
        for row in answers.iter().flat_map(|answer| &answer.rows) {
            rows += 1;
            *from = get(row, 0)?;
            if let Some(stored) = stored(row, self.read.embeddings)?
                && self.filter.matches(&stored.record)
            {
                found.push((*from, stored));
            }
        }
        Ok(rows == most)
    }
}

pub(super) async fn history(pool: &Pool, namespace: &Namespace, id: &RecordId) -> Result<Vec<Revision>> {
    let name = id.as_str();
    let answers = pool.run(namespace, Access::Read, &[Query::new(HISTORY).bind(&name, Type::TEXT)]).await?;
    let mut history = Vec::new();
    for row in answers.iter().flat_map(|answer| &answer.rows) {
        let what = match record(row, 0)? {
            Some(record) => RevisionKind::Written(Box::<MemoryRecord>::new(record)),
            None => RevisionKind::Deleted(Version(count(get(row, 1)?)?)),
        };
        history.push(Revision { at: Timestamp::from_micros(get(row, 5)?)?, what });
    }
    Ok(history)
}
