//! Erasure: one transaction that takes away rows, payloads, salts, names and kept answers, and adds the event that tells of it.
//! Not here: the pages of the server, which keep dead rows until VACUUM; the receipt says so.

use std::collections::BTreeSet;

use mnemic_core::{
    EraseReceipt, EraseTarget, Erasure, EventId, Namespace, RecordId, Result, Salt, Sequence, ThreadId, policy::audit,
};
use mnemic_postgres::{Access, Answer, Pool, Query, Row, Transaction, Type};

use super::{
    error::{count, damage, whole},
    known::{LOCK, MAKE, Position},
    role,
    rows::{get, record},
    save::{INSERT_EVENTS, MOVE},
};
use crate::{
    feed_form::{self, Kind},
    rules, stored,
};

/// How many records' histories, or how many kept answers, are read at once.
const PART: usize = 200;

/// What stays on the server's disk for a while.
const RESIDUE: &str = "PostgreSQL keeps what was erased in its pages until VACUUM (autovacuum comes by itself; at once: VACUUM mnemic.records, \
     mnemic.revisions, mnemic.events, mnemic.slot_revisions, mnemic.receipts), and in its write-ahead log, standbys and backups until \
     those are recycled";

const KNOWN_EVENT: &str =
    "SELECT sequence, thread_id, user_id, body FROM mnemic.events WHERE namespace = $1 AND event_id = $2";
const BY_ID: &str = "SELECT ordinal, id FROM mnemic.records WHERE namespace = $1 AND id = ANY ($2)";
const BY_USER: &str = "SELECT ordinal, id FROM mnemic.records WHERE namespace = $1 AND user_id = $2 ORDER BY ordinal";
/// Every revision of some records.
const ORIGINS: &str = "SELECT r.id, r.version, r.created_at, r.user_id, r.body FROM mnemic.records r
         WHERE r.namespace = $1 AND r.ordinal = ANY ($2) AND r.body IS NOT NULL
     UNION ALL
     SELECT r.id, v.version, v.created_at, v.user_id, v.body FROM mnemic.revisions v
         JOIN mnemic.records r ON r.namespace = v.namespace AND r.ordinal = v.ordinal
         WHERE v.namespace = $1 AND v.ordinal = ANY ($2) AND v.body IS NOT NULL";
/// Revisions that were the subject's, of records that are another's by now.
const PASSED_ON: &str =
    "SELECT r.id, v.version, v.created_at, v.user_id, v.body, v.ordinal, v.seq FROM mnemic.revisions v
     JOIN mnemic.records r ON r.namespace = v.namespace AND r.ordinal = v.ordinal
     WHERE v.namespace = $1 AND v.user_id = $2 AND r.user_id IS DISTINCT FROM $2";
const EVENTS_OF_USER: &str = "SELECT sequence, thread_id FROM mnemic.events WHERE namespace = $1 AND user_id = $2";
const EVENTS_BY_ID: &str = "SELECT sequence FROM mnemic.events WHERE namespace = $1 AND event_id = ANY ($2)";
const UNOWNED_EVENTS_BY_ID: &str =
    "SELECT sequence FROM mnemic.events WHERE namespace = $1 AND event_id = ANY ($2) AND user_id IS NULL";
const SLOTS: &str = "SELECT t.ordinal, max(s.version) FROM mnemic.slot_threads t
     JOIN mnemic.slot_revisions s ON s.namespace = t.namespace AND s.ordinal = t.ordinal
     WHERE t.namespace = $1 AND t.thread_id = ANY ($2) GROUP BY t.thread_id, t.ordinal ORDER BY t.thread_id";
const RECEIPTS: &str = "SELECT key, body FROM mnemic.receipts WHERE namespace = $1 AND key > $2 ORDER BY key LIMIT $3";

const DROP_PASSED_ON: &str =
    "DELETE FROM mnemic.revisions v USING unnest($2::bigint[], $3::bigint[]) AS u(ordinal, seq)
     WHERE v.namespace = $1 AND v.ordinal = u.ordinal AND v.seq = u.seq";
const DROP_REVISIONS: &str = "DELETE FROM mnemic.revisions WHERE namespace = $1 AND ordinal = ANY ($2)";
const DROP_OUTBOX: &str = "DELETE FROM mnemic.outbox WHERE namespace = $1 AND ordinal = ANY ($2)";
const DROP_RECORDS: &str = "DELETE FROM mnemic.records WHERE namespace = $1 AND ordinal = ANY ($2)";
const KEEP_NAMES: &str = "INSERT INTO mnemic.erased_names (namespace, ordinal, id)
     SELECT $1, u.* FROM unnest($2::bigint[], $3::text[]) AS u";
/// Whatever an earlier erasure of the same id left in the feed.
const DROP_NAMES: &str =
    "DELETE FROM mnemic.erased_names WHERE namespace = $1 AND (ordinal = ANY ($2) OR id = ANY ($3))";
const BLANK_EVENTS: &str =
    "UPDATE mnemic.events SET event_id = NULL, thread_id = NULL, user_id = NULL, body = NULL, salt = NULL
     WHERE namespace = $1 AND sequence = ANY ($2)";
const DROP_SLOT_REVISIONS: &str = "DELETE FROM mnemic.slot_revisions WHERE namespace = $1 AND ordinal = ANY ($2)";
const DROP_SLOT_THREADS: &str = "DELETE FROM mnemic.slot_threads WHERE namespace = $1 AND ordinal = ANY ($2)";
const DROP_RECEIPTS: &str = "DELETE FROM mnemic.receipts WHERE namespace = $1 AND key = ANY ($2)";
const INSERT_COMMIT: &str = "INSERT INTO mnemic.commits (namespace, last, at, changes) VALUES ($1, $2, $3, $4)";

/// What an erasure reaches.
#[derive(Default)]
struct Reach {
    /// Ordinal and id.
    records: Vec<(i64, RecordId)>,
    /// Ordinal and position of revisions that were the subject's, of records that are another's by now.
    passed_on: Vec<(i64, i64)>,
    events: BTreeSet<i64>,
    /// Ids of events that the records came from.
    sources: BTreeSet<EventId>,
    threads: BTreeSet<ThreadId>,
}

impl Reach {
    fn ordinals(&self) -> Vec<i64> {
        self.records.iter().map(|(ordinal, _)| *ordinal).collect()
    }

    /// Takes the origin of a revision: `id, version, created_at, user_id, body`.
    fn add_origin(&mut self, row: &Row, with_threads: bool) -> Result<()> {
        let Some(record) = record(row, 0)? else { return Ok(()) };
        self.sources.extend(record.provenance.events);
        self.threads.extend(record.thread_id.filter(|_| with_threads));
        Ok(())
    }

    fn add_events(&mut self, answers: &[Answer]) -> Result<()> {
        for row in answers.iter().flat_map(|answer| &answer.rows) {
            self.events.insert(get(row, 0)?);
        }
        Ok(())
    }
}

/// The feed of the erasure's commit.
struct Feed {
    position: Position,
    packed: Vec<u8>,
}

impl Feed {
    fn publish(&mut self, kind: Kind, subject: i64, version: u64) -> Result<()> {
        feed_form::encode(&mut self.packed, kind, count(subject)?, version);
        self.position.head += 1;
        Ok(())
    }
}

pub(super) async fn erase(pool: &Pool, namespace: &Namespace, erasure: &Erasure) -> Result<EraseReceipt> {
    let event_id = erasure.event.event_id.as_str();
    let look = || [Query::new(LOCK), Query::new(KNOWN_EVENT).bind(&event_id, Type::TEXT)];
    let (transaction, mut answers) = pool.begin(namespace, Access::Write, &look()).await?;
    if answers.first().is_none_or(|lock| lock.rows.is_empty()) {
        transaction.run(&[Query::new(MAKE)]).await?;
        answers = transaction.run(&look()).await?;
    }
    match erase_locked(&transaction, &answers, erasure).await {
        Ok(receipt) => {
            transaction.commit(&[]).await?;
            Ok(receipt)
        }
        Err(refused) => {
            // If this fails, too, the connection is closed and the server undoes it.
            let _undone = transaction.rollback().await;
            Err(refused)
        }
    }
}

async fn erase_locked(transaction: &Transaction, answers: &[Answer], erasure: &Erasure) -> Result<EraseReceipt> {
    let [lock, known] = answers else { return Err(mnemic_postgres::corrupted("an answer is missing")) };
    role::locked(lock)?.check_serving()?;
    let position = Position::read(lock)?.unwrap_or_default();
    let known = known_event(known, erasure)?;
    let (reach, names_records) = match &erasure.target {
        EraseTarget::Records(ids) => (reach_records(transaction, ids).await?, true),
        EraseTarget::Subject(user) => (reach_subject(transaction, user.as_str()).await?, false),
    };
    let threads: Vec<&str> = reach.threads.iter().map(ThreadId::as_str).collect();
    let slots = transaction.run(&[Query::new(SLOTS).bind(&threads, Type::TEXT_ARRAY)]).await?;
    let slots = slots.iter().flat_map(|answer| &answer.rows).map(|row| Ok((get(row, 0)?, count(get(row, 1)?)?)));
    let slots: Vec<(i64, u64)> = slots.collect::<Result<_>>()?;
    forget_receipts(transaction, &reach).await?;

    let mut feed = Feed { position, packed: Vec::new() };
    let mut receipt = EraseReceipt { residue: vec![RESIDUE.to_owned()], ..EraseReceipt::default() };
    for (ordinal, id) in &reach.records {
        feed.publish(Kind::Erased, *ordinal, 0)?;
        receipt.records.push(id.clone());
    }
    for sequence in &reach.events {
        feed.publish(Kind::EventErased, *sequence, 0)?;
    }
    for (ordinal, version) in &slots {
        feed.publish(Kind::Slots, *ordinal, *version)?;
    }
    let removed = remove(transaction, &reach, &slots, names_records).await?;
    receipt.revisions = removed.0 + reach.passed_on.len() as u64 + reach.records.len() as u64;
    receipt.events = removed.1;
    receipt.threads = slots.len() as u64;
    receipt.sequence = match known {
        Some(sequence) => sequence,
        None => append(transaction, &mut feed, erasure).await?,
    };
    end(transaction, &feed, erasure).await?;
    Ok(receipt)
}

/// Where the erasure's own event stands already, if it was appended before.
fn known_event(answer: &Answer, erasure: &Erasure) -> Result<Option<Sequence>> {
    let Some(row) = answer.rows.first() else { return Ok(None) };
    let id = erasure.event.event_id.as_str();
    let held = stored::unpack_event(id, get(row, 1)?, get(row, 2)?, get(row, 3)?).map_err(damage)?;
    if held != erasure.event {
        return Err(rules::event_conflict(&erasure.event));
    }
    Ok(Some(Sequence(count(get(row, 0)?)?)))
}

async fn reach_records(transaction: &Transaction, ids: &[RecordId]) -> Result<Reach> {
    let mut reach = Reach::default();
    let names: Vec<&str> = ids.iter().map(RecordId::as_str).collect();
    let answers = transaction.run(&[Query::new(BY_ID).bind(&names, Type::TEXT_ARRAY)]).await?;
    let mut found = std::collections::BTreeMap::new();
    for row in answers.iter().flat_map(|answer| &answer.rows) {
        found.insert(get::<String>(row, 1)?, get::<i64>(row, 0)?);
    }
    // In the order in which they were named, each once.
    for id in ids {
        reach.records.extend(found.remove(id.as_str()).map(|ordinal| (ordinal, id.clone())));
    }
    origins(transaction, &mut reach, false).await?;
    let sources: Vec<String> = reach.sources.iter().map(ToString::to_string).collect();
    let answers = transaction.run(&[Query::new(EVENTS_BY_ID).bind(&sources, Type::TEXT_ARRAY)]).await?;
    reach.add_events(&answers)?;
    Ok(reach)
}

/// A record is whoever's its last revision is. Its earlier revisions of the subject go in any case.
async fn reach_subject(transaction: &Transaction, user: &str) -> Result<Reach> {
    let mut reach = Reach::default();
    let asked = [BY_USER, PASSED_ON, EVENTS_OF_USER].map(|sql| Query::new(sql).bind(&user, Type::TEXT));
    let answers = transaction.run(&asked).await?;
    let [records, passed_on, events] = answers.as_slice() else {
        return Err(mnemic_postgres::corrupted("an answer is missing"));
    };
    for row in &records.rows {
        reach.records.push((get(row, 0)?, RecordId::new(get::<&str>(row, 1)?)?));
    }
    for row in &passed_on.rows {
        reach.passed_on.push((get(row, 5)?, get(row, 6)?));
        reach.add_origin(row, true)?;
    }
    for row in &events.rows {
        reach.events.insert(get(row, 0)?);
        reach.threads.extend(get::<Option<&str>>(row, 1)?.map(ThreadId::new).transpose()?);
    }
    origins(transaction, &mut reach, true).await?;
    let sources: Vec<String> = reach.sources.iter().map(ToString::to_string).collect();
    let answers = transaction.run(&[Query::new(UNOWNED_EVENTS_BY_ID).bind(&sources, Type::TEXT_ARRAY)]).await?;
    reach.add_events(&answers)?;
    Ok(reach)
}

/// The events that every revision of the records came from, and the threads that they belong to.
async fn origins(transaction: &Transaction, reach: &mut Reach, with_threads: bool) -> Result<()> {
    for part in reach.ordinals().chunks(PART) {
        let answers = transaction.run(&[Query::new(ORIGINS).bind(&part, Type::INT8_ARRAY)]).await?;
        for row in answers.iter().flat_map(|answer| &answer.rows) {
            reach.add_origin(row, with_threads)?;
        }
    }
    Ok(())
}

/// Lets go of kept answers that name what is erased.
async fn forget_receipts(transaction: &Transaction, reach: &Reach) -> Result<()> {
    let records: BTreeSet<&RecordId> = reach.records.iter().map(|(_, id)| id).collect();
    let (mut after, most) = (String::new(), PART as i64);
    let mut keys: Vec<String> = Vec::new();
    loop {
        let query = Query::new(RECEIPTS).bind(&after, Type::TEXT).bind(&most, Type::INT8);
        let answers = transaction.run(&[query]).await?;
        let mut last = None;
        for row in answers.iter().flat_map(|answer| &answer.rows) {
            let (key, body): (String, &[u8]) = (get(row, 0)?, get(row, 1)?);
            let receipt = stored::unpack_receipt(body).map_err(damage)?;
            let erased = |sequence: Sequence| whole(sequence.0).is_ok_and(|sequence| reach.events.contains(&sequence));
            let names = receipt.writes.iter().any(|written| records.contains(&written.id))
                || receipt.events.iter().any(|appended| erased(appended.sequence))
                || (!reach.threads.is_empty() && !receipt.slots.is_empty());
            if names {
                keys.push(key.clone());
            }
            last = Some(key);
        }
        match last {
            Some(key) => after = key,
            None => break,
        }
    }
    transaction.run(&[Query::new(DROP_RECEIPTS).bind(&keys, Type::TEXT_ARRAY)]).await.map(drop)
}

/// Takes away rows. Tells how many superseded revisions and how many events went.
async fn remove(
    transaction: &Transaction,
    reach: &Reach,
    slots: &[(i64, u64)],
    names_records: bool,
) -> Result<(u64, u64)> {
    let ordinals = reach.ordinals();
    let ids: Vec<&str> = reach.records.iter().map(|(_, id)| id.as_str()).collect();
    let (of, seqs): (Vec<i64>, Vec<i64>) = reach.passed_on.iter().copied().unzip();
    let events: Vec<i64> = reach.events.iter().copied().collect();
    let threads: Vec<i64> = slots.iter().map(|(ordinal, _)| *ordinal).collect();
    let about = |sql: &'static str| Query::new(sql).bind(&ordinals, Type::INT8_ARRAY);
    let names = if names_records { KEEP_NAMES } else { DROP_NAMES };
    let answers = transaction
        .run(&[
            about(DROP_REVISIONS),
            Query::new(BLANK_EVENTS).bind(&events, Type::INT8_ARRAY),
            Query::new(DROP_PASSED_ON).bind(&of, Type::INT8_ARRAY).bind(&seqs, Type::INT8_ARRAY),
            about(DROP_OUTBOX),
            about(DROP_RECORDS),
            about(names).bind(&ids, Type::TEXT_ARRAY),
            Query::new(DROP_SLOT_REVISIONS).bind(&threads, Type::INT8_ARRAY),
            Query::new(DROP_SLOT_THREADS).bind(&threads, Type::INT8_ARRAY),
        ])
        .await?;
    let affected = |index: usize| answers.get(index).map_or(0, |answer| answer.affected);
    Ok((affected(0), affected(1)))
}

/// Appends the event that tells of the erasure.
async fn append(transaction: &Transaction, feed: &mut Feed, erasure: &Erasure) -> Result<Sequence> {
    let Some(Salt(salt)) = rules::salts(1)?.pop() else {
        return Err(mnemic_core::Error::bug("an event without a salt"));
    };
    let (event, at, previous) = (&erasure.event, erasure.at, feed.position.tail);
    let sequence = Sequence(feed.position.sequence + 1);
    let commitment = audit::commitment(&Salt(salt), event);
    let hash = audit::link(&previous, sequence, at, &commitment);
    let numbers = (vec![whole(sequence.0)?], vec![at.as_micros()]);
    let (id, thread) = (vec![event.event_id.as_str()], vec![event.thread_id.as_str()]);
    let user = vec![event.user_id.as_ref().map(AsRef::<str>::as_ref)];
    let bytes =
        [stored::pack_event(event)?, salt.to_vec(), commitment.0.to_vec(), previous.0.to_vec(), hash.0.to_vec()];
    let bytes = bytes.map(|bytes| vec![bytes]);
    let query = Query::new(INSERT_EVENTS).bind(&numbers.0, Type::INT8_ARRAY).bind(&numbers.1, Type::INT8_ARRAY);
    let query = query.bind(&id, Type::TEXT_ARRAY).bind(&thread, Type::TEXT_ARRAY).bind(&user, Type::TEXT_ARRAY);
    let query = bytes.iter().fold(query, |query, column| query.bind(column, Type::BYTEA_ARRAY));
    transaction.run(&[query]).await?;
    feed.publish(Kind::Appended, whole(sequence.0)?, 0)?;
    (feed.position.sequence, feed.position.tail) = (sequence.0, hash);
    Ok(sequence)
}

/// Ends the erasure's commit: its changes become one row of the feed.
async fn end(transaction: &Transaction, feed: &Feed, erasure: &Erasure) -> Result<()> {
    if feed.packed.is_empty() {
        return Ok(());
    }
    let (last, at) = (whole(feed.position.head)?, erasure.at.as_micros());
    let sealed = [&feed_form::seal(feed.position.head, at, &feed.packed)[..], &feed.packed].concat();
    let (sequence, tail) = (whole(feed.position.sequence)?, feed.position.tail.0.to_vec());
    let commit = Query::new(INSERT_COMMIT).bind(&last, Type::INT8).bind(&at, Type::INT8).bind(&sealed, Type::BYTEA);
    let moved = Query::new(MOVE).bind(&last, Type::INT8).bind(&sequence, Type::INT8).bind(&tail, Type::BYTEA);
    transaction.run(&[commit, moved]).await.map(drop)
}
