//! Reading the change feed, the outbox and the counts. Not here: who writes to them (`commit`, `erase`).

use std::collections::{BTreeMap, BTreeSet};

use mnemic_core::{
    Change, ChangeSeq, Changed, EmbeddingModel, Namespace, OutboxId, OutboxItem, RecordId, Result, Sequence, ThreadId,
    Timestamp, Version, ports::NamespaceReport,
};
use mnemic_postgres::{Access, Answer, Pool, Query, Type, corrupted};

use super::{
    error::{count, whole},
    known::LOCK,
    rows::{get, model},
};
use crate::feed_form::{self, Kind};

const HEAD: &str = "SELECT head FROM mnemic.namespaces WHERE namespace = $1";
const COMMITS: &str =
    "SELECT last, at, changes FROM mnemic.commits WHERE namespace = $1 AND last > $2 ORDER BY last LIMIT $3";
const RECORDS: &str = "SELECT ordinal, id FROM mnemic.records WHERE namespace = $1 AND ordinal = ANY ($2)";
const ERASED: &str = "SELECT ordinal, id FROM mnemic.erased_names WHERE namespace = $1 AND ordinal = ANY ($2)";
const THREADS: &str = "SELECT ordinal, thread_id FROM mnemic.slot_threads WHERE namespace = $1 AND ordinal = ANY ($2)";
const OUTBOX: &str = "SELECT o.id, o.task, r.id, o.version, o.since FROM mnemic.outbox o
     JOIN mnemic.records r ON r.namespace = o.namespace AND r.ordinal = o.ordinal
     WHERE o.namespace = $1 ORDER BY o.id LIMIT $2";
const SETTLE: &str = "DELETE FROM mnemic.outbox WHERE namespace = $1 AND id = ANY ($2)";

const COUNTS: &str = "SELECT
     (SELECT count(*) FROM mnemic.records WHERE namespace = $1 AND body IS NOT NULL),
     (SELECT count(*) FROM mnemic.records WHERE namespace = $1 AND model IS NOT NULL),
     (SELECT count(*) FROM mnemic.records WHERE namespace = $1) + (SELECT count(*) FROM mnemic.revisions WHERE namespace = $1),
     (SELECT count(*) FROM mnemic.events WHERE namespace = $1),
     (SELECT count(*) FROM mnemic.slot_threads WHERE namespace = $1 AND held > 0),
     (SELECT count(*) FROM mnemic.outbox WHERE namespace = $1),
     (SELECT since FROM mnemic.outbox WHERE namespace = $1 ORDER BY id LIMIT 1),
     (SELECT head FROM mnemic.namespaces WHERE namespace = $1),
     (SELECT coalesce(sum(coalesce(pg_column_size(body), 0) + coalesce(pg_column_size(vector), 0)
         + coalesce(pg_column_size(facets), 0)), 0)::bigint FROM mnemic.records WHERE namespace = $1)
     + (SELECT coalesce(sum(pg_column_size(body)), 0)::bigint FROM mnemic.revisions WHERE namespace = $1)
     + (SELECT coalesce(sum(pg_column_size(body)), 0)::bigint FROM mnemic.events WHERE namespace = $1)";
const MODELS: &str = "SELECT provider, name, dimension, metric FROM mnemic.models m WHERE m.namespace = $1
     AND EXISTS (SELECT FROM mnemic.records r WHERE r.namespace = $1 AND r.model = m.no LIMIT 1)";

/// The last change.
pub(super) async fn head(pool: &Pool, namespace: &Namespace) -> Result<ChangeSeq> {
    let answers = pool.run(namespace, Access::Read, &[Query::new(HEAD)]).await?;
    let head: Option<i64> = answers.first().map(|answer| answer.first(0)).transpose()?.flatten();
    count(head.unwrap_or(0)).map(ChangeSeq)
}

/// One change as it is stored.
struct Packed {
    seq: u64,
    at: Timestamp,
    kind: Kind,
    subject: u64,
    version: u64,
}

pub(super) async fn changes(pool: &Pool, namespace: &Namespace, after: ChangeSeq, limit: usize) -> Result<Vec<Change>> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let (from, most) = (i64::try_from(after.0).unwrap_or(i64::MAX), i64::try_from(limit).unwrap_or(i64::MAX));
    let commits = Query::new(COMMITS).bind(&from, Type::INT8).bind(&most, Type::INT8);
    // Names are looked up in the same moment, so that a name that an erasure takes away is either here or gone altogether.
    let (transaction, answers) = pool.begin(namespace, Access::Read, &[commits]).await?;
    let packed = unpack(&answers, after, limit)?;
    let (mut records, mut erased, mut threads) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for change in &packed {
        match change.kind {
            Kind::Written | Kind::Embedded | Kind::Deleted => drop(records.insert(whole(change.subject)?)),
            Kind::Erased => drop(erased.insert(whole(change.subject)?)),
            Kind::Slots => drop(threads.insert(whole(change.subject)?)),
            Kind::Appended | Kind::EventErased => {}
        }
    }
    let asked = [(RECORDS, records), (ERASED, erased), (THREADS, threads)];
    let asked = asked.map(|(sql, ordinals)| (sql, ordinals.into_iter().collect::<Vec<i64>>()));
    let queries: Vec<_> =
        asked.iter().map(|(sql, ordinals)| Query::new(*sql).bind(ordinals, Type::INT8_ARRAY)).collect();
    let answers = transaction.commit(&queries).await?;
    let names: Vec<BTreeMap<u64, String>> = answers.iter().map(names).collect::<Result<_>>()?;
    let [records, erased, threads] = names.as_slice() else { return Err(corrupted("names are missing")) };
    packed
        .into_iter()
        .map(|change| {
            let what = changed(&change, records, erased, threads)?;
            Ok(Change { seq: ChangeSeq(change.seq), at: change.at, what })
        })
        .collect()
}

fn unpack(answers: &[Answer], after: ChangeSeq, limit: usize) -> Result<Vec<Packed>> {
    let mut packed = Vec::new();
    for row in answers.iter().flat_map(|answer| &answer.rows) {
        let (last, micros) = (count(get(row, 0)?)?, get(row, 1)?);
        let at = Timestamp::from_micros(micros)?;
        let damaged = || corrupted(&format!("the changes up to position {last} cannot be read"));
        let changes = feed_form::decode(last, micros, get(row, 2)?).ok_or_else(damaged)?;
        let before = last.checked_sub(changes.len() as u64).ok_or_else(damaged)?;
        let numbered = (before + 1..).zip(changes).filter(|(seq, _)| *seq > after.0);
        for (seq, (kind, subject, version)) in numbered.take(limit - packed.len()) {
            packed.push(Packed { seq, at, kind, subject, version });
        }
        if packed.len() == limit {
            break;
        }
    }
    Ok(packed)
}

fn names(answer: &Answer) -> Result<BTreeMap<u64, String>> {
    answer.rows.iter().map(|row| Ok((count(get(row, 0)?)?, get(row, 1)?))).collect()
}

fn changed(
    change: &Packed,
    records: &BTreeMap<u64, String>,
    erased: &BTreeMap<u64, String>,
    threads: &BTreeMap<u64, String>,
) -> Result<Changed> {
    let version = Version(change.version);
    let record = |make: fn(RecordId, Version) -> Changed| match records.get(&change.subject) {
        Some(id) => RecordId::new(id).map(|id| make(id, version)),
        None => Ok(Changed::Erased(None)),
    };
    match change.kind {
        Kind::Written => record(Changed::Written),
        Kind::Embedded => record(Changed::Embedded),
        Kind::Deleted => record(Changed::Deleted),
        Kind::Erased => Ok(Changed::Erased(erased.get(&change.subject).map(RecordId::new).transpose()?)),
        Kind::Appended => Ok(Changed::Appended(Sequence(change.subject))),
        Kind::EventErased => Ok(Changed::EventErased(Sequence(change.subject))),
        Kind::Slots => Ok(Changed::Slots(threads.get(&change.subject).map(ThreadId::new).transpose()?, version)),
    }
}

pub(super) async fn outbox(pool: &Pool, namespace: &Namespace, limit: usize) -> Result<Vec<OutboxItem>> {
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let answers = pool.run(namespace, Access::Read, &[Query::new(OUTBOX).bind(&most, Type::INT8)]).await?;
    let items = answers.iter().flat_map(|answer| &answer.rows).map(|row| {
        let unknown = || corrupted("the outbox holds an unknown task");
        Ok(OutboxItem {
            id: OutboxId(count(get(row, 0)?)?),
            task: feed_form::read_task(get(row, 1)?).ok_or_else(unknown)?,
            record_id: RecordId::new(get::<&str>(row, 2)?)?,
            version: Version(count(get(row, 3)?)?),
            since: Timestamp::from_micros(get(row, 4)?)?,
        })
    });
    items.collect()
}

/// Removes finished work; what is not there needs none.
pub(super) async fn settle(pool: &Pool, namespace: &Namespace, ids: &[OutboxId]) -> Result<()> {
    let ids: Vec<i64> = ids.iter().filter_map(|id| i64::try_from(id.0).ok()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    // Behind the lock, so that it cannot meet a commit that voids the same work in another order.
    let queries = [Query::new(LOCK), Query::new(SETTLE).bind(&ids, Type::INT8_ARRAY)];
    pool.run(namespace, Access::Write, &queries).await.map(drop)
}

/// The models of the embeddings that are held.
pub(super) async fn models(pool: &Pool, namespace: &Namespace) -> Result<Vec<EmbeddingModel>> {
    let answers = pool.run(namespace, Access::Read, &[Query::new(MODELS)]).await?;
    let rows = answers.first().map_or(&[][..], |answer| answer.rows.as_slice());
    read_models(rows)
}

fn read_models(rows: &[tokio_postgres::Row]) -> Result<Vec<EmbeddingModel>> {
    let mut models = rows.iter().map(|row| model(row, 0)).collect::<Result<Vec<_>>>()?;
    models.sort();
    Ok(models)
}

/// Counts what a namespace holds.
pub(super) async fn report(pool: &Pool, namespace: &Namespace) -> Result<NamespaceReport> {
    let answers = pool.run(namespace, Access::Read, &[Query::new(COUNTS), Query::new(MODELS)]).await?;
    let [counts, models] = answers.as_slice() else { return Err(corrupted("counts are missing")) };
    let Some(row) = counts.rows.first() else { return Ok(NamespaceReport::default()) };
    let number = |column| count(get::<Option<i64>>(row, column)?.unwrap_or(0));
    let models = read_models(&models.rows)?;
    Ok(NamespaceReport {
        records: number(0)?,
        embeddings: number(1)?,
        revisions: number(2)?,
        events: number(3)?,
        threads_with_slots: number(4)?,
        outbox: number(5)?,
        outbox_since: get::<Option<i64>>(row, 6)?.map(Timestamp::from_micros).transpose()?,
        head: ChangeSeq(number(7)?),
        models,
        bytes: number(8)?,
    })
}
