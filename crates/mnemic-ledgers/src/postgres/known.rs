//! What a group of commits needs to know, read in one round trip behind the lock of the namespace.
//! Not here: what is decided by it (`commit`).

use std::collections::{BTreeMap, BTreeSet};

use mnemic_core::{
    Assignment, AuditEvent, Batch, Digest, EmbeddingModel, EventId, Namespace, PastChange, PastCommit, Receipt,
    RecordId, Result, Sequence, Slots, ThreadId, UserId, Version,
};
use mnemic_postgres::{Access, Answer, Pool, Query, Transaction, Type};

use super::{
    error::{count, damage},
    role,
    rows::{fixed, get, model},
};
use crate::stored;

/// Locks a namespace until the end of the transaction, and tells where it stands.
pub(super) const LOCK: &str =
    "SELECT head, sequence, tail, epoch, role FROM mnemic.namespaces WHERE namespace = $1 FOR UPDATE";
/// Makes the row to lock. Of two that make it at once, one waits for the other.
pub(super) const MAKE: &str =
    "INSERT INTO mnemic.namespaces (namespace) VALUES ($1) ON CONFLICT (namespace) DO NOTHING";

const RECEIPTS: &str = "SELECT key, fingerprint, body FROM mnemic.receipts WHERE namespace = $1 AND key = ANY ($2)";
const LINES: &str = "SELECT id, ordinal, version, created_at, user_id, body IS NOT NULL FROM mnemic.records
     WHERE namespace = $1 AND id = ANY ($2)";
const EVENTS: &str = "SELECT event_id, sequence, thread_id, user_id, body FROM mnemic.events
     WHERE namespace = $1 AND event_id = ANY ($2)";
const SLOTS: &str = "SELECT t.thread_id, t.ordinal, last.version, last.body FROM mnemic.slot_threads t
     CROSS JOIN LATERAL (SELECT s.version, s.body FROM mnemic.slot_revisions s
         WHERE s.namespace = $1 AND s.ordinal = t.ordinal ORDER BY s.seq DESC LIMIT 1) AS last
     WHERE t.namespace = $1 AND t.thread_id = ANY ($2)";
const MODELS: &str = "SELECT no, provider, name, dimension, metric FROM mnemic.models WHERE namespace = $1";

/// Where a namespace stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Position {
    /// The last change.
    pub(super) head: u64,
    /// The last event of the chain.
    pub(super) sequence: u64,
    /// Its hash.
    pub(super) tail: Digest,
}

impl Position {
    /// Reads the answer to `LOCK`; `None` where the namespace is new.
    pub(super) fn read(answer: &Answer) -> Result<Option<Self>> {
        let Some(row) = answer.rows.first() else { return Ok(None) };
        Ok(Some(Self { head: count(get(row, 0)?)?, sequence: count(get(row, 1)?)?, tail: Digest(fixed(row, 2)?) }))
    }
}

/// What is known of an id that was written before.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) ordinal: u64,
    pub(super) version: u64,
    pub(super) created_at: i64,
    pub(super) user: Option<UserId>,
    /// Whether it is in memory, and not only in history.
    pub(super) live: bool,
}

/// What is known of a thread with slots.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) ordinal: u64,
    pub(super) version: Version,
    pub(super) slots: Slots,
}

/// A kept answer.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) fingerprint: Digest,
    pub(super) receipt: Receipt,
}

/// Everything that a group may decide by.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) position: Position,
    pub(super) assignment: Assignment,
    pub(super) receipts: BTreeMap<String, Kept>,
    pub(super) lines: BTreeMap<RecordId, Line>,
    pub(super) events: BTreeMap<EventId, (Sequence, AuditEvent)>,
    pub(super) slots: BTreeMap<ThreadId, Held>,
    pub(super) models: Vec<(i32, EmbeddingModel)>,
}

/// What a group asks for.
#[derive(Debug, Default)]
pub(super) struct Needs<'b> {
    receipts: BTreeSet<&'b str>,
    lines: BTreeSet<&'b str>,
    events: BTreeSet<&'b str>,
    slots: BTreeSet<&'b str>,
    models: bool,
}

impl<'b> Needs<'b> {
    pub(super) fn add(&mut self, batch: &'b Batch) {
        self.receipts.extend(batch.idempotency.iter().map(|request| request.key.as_str()));
        self.lines.extend(batch.writes.iter().map(|write| write.record.id.as_str()));
        self.lines.extend(batch.deletes.iter().map(|delete| delete.id.as_str()));
        self.lines.extend(batch.embeddings.iter().map(|write| write.id.as_str()));
        self.events.extend(batch.events.iter().map(|event| event.event_id.as_str()));
        self.slots.extend(batch.slots.iter().map(|write| write.thread_id.as_str()));
        self.models |= !batch.embeddings.is_empty() || batch.writes.iter().any(|write| write.embedding.is_some());
    }

    /// Asks for what repeating commits needs. That their events are new is told by the chain.
    pub(super) fn add_past(&mut self, commits: &'b [PastCommit]) {
        for change in commits.iter().flat_map(|commit| &commit.changes) {
            match change {
                PastChange::Written(write) => {
                    self.lines.insert(write.id.as_str());
                    self.models |= write.embedding.is_some();
                }
                PastChange::Embedded { id, embedding, .. } => {
                    self.lines.insert(id.as_str());
                    self.models |= embedding.is_some();
                }
                PastChange::Deleted { id, .. } => drop(self.lines.insert(id.as_str())),
                PastChange::Slots { thread_id, .. } => drop(self.slots.insert(thread_id.as_str())),
                PastChange::Appended(_)
                | PastChange::EventErased(_)
                | PastChange::SlotsErased(_)
                | PastChange::Erased(_) => {}
            }
        }
    }

    /// Whether the models of the namespace are asked for.
    pub(super) fn models(&self) -> bool {
        self.models
    }

    /// Begins the group's transaction, locks its namespace, and reads.
    pub(super) async fn read(&self, pool: &Pool, namespace: &Namespace) -> Result<(Transaction, Known)> {
        let keys = [&self.receipts, &self.lines, &self.events, &self.slots]
            .map(|keys| keys.iter().copied().collect::<Vec<_>>());
        let texts = [RECEIPTS, LINES, EVENTS, SLOTS];
        let queries = || {
            let mut queries = vec![Query::new(LOCK)];
            let asked = texts.iter().zip(&keys).filter(|(_, keys)| !keys.is_empty());
            queries.extend(asked.map(|(sql, keys)| Query::new(*sql).bind(keys, Type::TEXT_ARRAY)));
            if self.models {
                queries.push(Query::new(MODELS));
            }
            queries
        };
        let (transaction, mut answers) = pool.begin(namespace, Access::Write, &queries()).await?;
        let new = answers.first().is_none_or(|lock| lock.rows.is_empty());
        if new {
            let mut again = vec![Query::new(MAKE)];
            again.extend(queries());
            answers = transaction.run(&again).await?.split_off(1);
        }
        let known = self.known(answers)?;
        Ok((transaction, known))
    }

    fn known(&self, answers: Vec<Answer>) -> Result<Known> {
        let mut answers = answers.into_iter();
        let mut next = |wanted: bool| if wanted { answers.next().unwrap_or_default() } else { Answer::default() };
        let lock = next(true);
        let (position, assignment) = (Position::read(&lock)?.unwrap_or_default(), role::locked(&lock)?);
        let mut known = Known { position, assignment, ..Known::default() };
        for row in next(!self.receipts.is_empty()).rows {
            let receipt = stored::unpack_receipt(get(&row, 2)?).map_err(damage)?;
            known.receipts.insert(get(&row, 0)?, Kept { fingerprint: Digest(fixed(&row, 1)?), receipt });
        }
        for row in next(!self.lines.is_empty()).rows {
            let user: Option<&str> = get(&row, 4)?;
            let line = Line {
                ordinal: count(get(&row, 1)?)?,
                version: count(get(&row, 2)?)?,
                created_at: get(&row, 3)?,
                user: user.map(UserId::new).transpose()?,
                live: get(&row, 5)?,
            };
            known.lines.insert(RecordId::new(get::<&str>(&row, 0)?)?, line);
        }
        for row in next(!self.events.is_empty()).rows {
            let event =
                stored::unpack_event(get(&row, 0)?, get(&row, 2)?, get(&row, 3)?, get(&row, 4)?).map_err(damage)?;
            known.events.insert(event.event_id.clone(), (Sequence(count(get(&row, 1)?)?), event));
        }
        for row in next(!self.slots.is_empty()).rows {
            let slots = stored::unpack_slots(get(&row, 3)?).map_err(damage)?;
            let held = Held { ordinal: count(get(&row, 1)?)?, version: Version(count(get(&row, 2)?)?), slots };
            known.slots.insert(ThreadId::new(get::<&str>(&row, 0)?)?, held);
        }
        for row in next(self.models).rows {
            known.models.push((get(&row, 0)?, model(&row, 1)?));
        }
        Ok(known)
    }
}
