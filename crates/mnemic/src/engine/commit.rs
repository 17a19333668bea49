//! Committing, also while the ledger is away: what can wait goes into the spool and is replayed in order. Not here: the spool's
//! files (`mnemic-spool`).

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use mnemic_core::{
    Batch, Embedding, Error, ErrorKind, Idempotency, MemoryRecord, Namespace, Receipt, RecordId, Result, Retry, Role,
    Task, UserId, policy::audit,
};

use mnemic_spool::{Quarantined, Spool, SpoolConfig, SpoolEntry, disk::Disk};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};

use crate::MemoryManager;

use super::{
    Engine, HOPS,
    outages::is_away,
    spooled::{can_wait, decode, encode},
};

/// Entries that are read from the spool at once.
const REPLAYED: usize = 64;
/// How long a write that can wait itself waits for what came before it to be committed, before it queues up behind it.
const TURN: Duration = Duration::from_secs(1);
/// The same of a write that only the ledger can take, before it is refused.
const LONG_TURN: Duration = Duration::from_secs(10);
/// Entries of the spool that a retrieval looks through while the ledger is away.
const SHOWN: usize = 2000;
/// The part that errors and outages speak of.
pub(crate) const LEDGER: &str = "ledger";
/// The same of the spool.
pub(crate) const SPOOL: &str = "spool";

/// A spool that is opened when it is first needed.
#[derive(Debug)]
pub(crate) struct LazySpool {
    disk: Arc<dyn Disk>,
    config: SpoolConfig,
    opened: Mutex<Option<Spool>>,
}

impl LazySpool {
    pub(crate) fn new(disk: Arc<dyn Disk>, config: SpoolConfig) -> Self {
        Self { disk, config, opened: Mutex::new(None) }
    }

    pub(crate) async fn get(&self) -> Result<Spool> {
        let mut opened = self.opened.lock().await;
        if let Some(spool) = opened.as_ref() {
            return Ok(spool.clone());
        }
        let spool = Spool::open_on(Arc::clone(&self.disk), self.config.clone()).await?;
        Ok(opened.insert(spool).clone())
    }

    /// Reads it from the disk again: after a failed sync only that tells what it holds.
    async fn reopened(&self) -> Result<Spool> {
        if let Some(spool) = self.opened.lock().await.take() {
            spool.close().await?;
        }
        self.get().await
    }
}

/// Where a batch was kept.
#[derive(Debug)]
pub(crate) enum Kept {
    /// In the ledger.
    Committed(Receipt),
    /// In the spool: durable here, and on its way.
    Spooled,
}

impl Engine {
    /// The spool, where there is one and it can be opened. One that cannot be opened does not keep writes from the ledger.
    pub(crate) async fn spool(&self) -> Option<Spool> {
        let spool = self.spool.as_ref()?;
        match spool.get().await {
            Ok(spool) => Some(spool),
            Err(error) => {
                self.note_down(SPOOL, &error);
                None
            }
        }
    }

    /// Commits a batch that only the ledger can take, after everything that waits.
    pub(crate) async fn commit_now(&self, namespace: &Namespace, batch: Batch) -> Result<Receipt> {
        if self.replay_for(namespace, LONG_TURN).await? == Waiting::Still {
            return Err(its_turn());
        }
        self.noted(LEDGER, self.ledger.commit(namespace, batch).await)
    }

    /// Commits a batch, or keeps it in the spool while the ledger is away.
    pub(crate) async fn commit(&self, namespace: &Namespace, mut batch: Batch) -> Result<Kept> {
        if self.spool.is_none() || !can_wait(&batch) {
            return self.commit_now(namespace, batch).await.map(Kept::Committed);
        }
        // The reply may be lost after the commit took effect: the key makes the entry in the spool the same request.
        if batch.idempotency.is_none() {
            batch.idempotency = Some(once()?);
        }
        // What came first goes first; how much that is must not decide how long this write takes.
        let outcome = match self.replay_for(namespace, TURN).await {
            Ok(Waiting::Nothing) => self.noted(LEDGER, self.ledger.commit(namespace, batch.clone()).await),
            Ok(Waiting::Still) => Err(its_turn()),
            Err(error) => Err(error),
        };
        match outcome {
            Ok(receipt) => Ok(Kept::Committed(receipt)),
            Err(error) if is_away(&error) => self.keep(namespace, &batch, error).await,
            Err(error) => Err(error),
        }
    }

    async fn keep(&self, namespace: &Namespace, batch: &Batch, why: Error) -> Result<Kept> {
        let Some(spool) = self.spool().await else { return Err(why) };
        let (lane, entry) = (namespace.as_str(), encode(batch));
        let kept = match (spool.append(batch.at, lane, &entry).await, &self.spool) {
            (Err(error), Some(lazy)) if error.kind() == ErrorKind::Unavailable && error.retry() == Retry::Never => {
                lazy.reopened().await?.append(batch.at, lane, &entry).await
            }
            (kept, _) => kept,
        };
        self.noted(SPOOL, kept).map_err(|full| {
            let message = format!("{}, and the write cannot wait either: {}", why.message(), full.message());
            Error::new(full.kind(), message).with_retry(full.retry()).with_source(full)
        })?;
        self.note_pending(namespace);
        Ok(Kept::Spooled)
    }

    /// How many writes of a namespace wait in the spool, as far as one look tells.
    pub(crate) async fn spooled(&self, namespace: &Namespace) -> usize {
        let Some(spool) = self.spool().await else { return 0 };
        if spool.report().await.is_ok_and(|report| report.items == 0) {
            return 0;
        }
        own_entries(&spool, namespace).await.map_or(0, |entries| entries.len())
    }

    /// Commits what waits in the spool, in order, until nothing is left. What the ledger refuses for good is put aside.
    pub(crate) async fn replay(&self) -> Result<()> {
        self.replay_until(None, None).await.map(|_nothing_waits| ())
    }

    /// The same, caring only for what waits of one namespace: another one that fails is no failure.
    pub(crate) async fn replay_own(&self, namespace: &Namespace) -> Result<()> {
        self.replay_until(None, Some(namespace)).await.map(|_nothing_waits| ())
    }

    async fn replay_for(&self, namespace: &Namespace, patience: Duration) -> Result<Waiting> {
        self.replay_until(Some(Instant::now() + patience), Some(namespace)).await
    }

    /// The same up to an instant, which an entry that is under way may outlast. A namespace that fails does not keep the others from
    /// their turn, and is no failure to whoever asks for another one; where two fail, the ledger does.
    async fn replay_until(&self, end: Option<Instant>, own: Option<&Namespace>) -> Result<Waiting> {
        let Some(spool) = self.spool().await else { return Ok(Waiting::Nothing) };
        match self.noted(SPOOL, spool.report().await) {
            Ok(report) if report.items > 0 => {}
            // A spool that cannot be read is no reason to keep writes from the ledger.
            Ok(_) | Err(_) => return Ok(Waiting::Nothing),
        }
        let _alone = match end {
            None => self.replaying.lock().await,
            Some(end) => match timeout_at(end, self.replaying.lock()).await {
                Ok(alone) => alone,
                Err(_elapsed) => return Ok(Waiting::Still),
            },
        };
        let mut stuck: BTreeSet<String> = BTreeSet::new();
        let mut failed = None;
        loop {
            let entries = spool.peek_past(REPLAYED, &stuck).await?;
            if entries.is_empty() {
                return match failed {
                    Some(error) if own.is_none_or(|own| stuck.contains(own.as_str())) => Err(error),
                    _ => Ok(Waiting::Nothing),
                };
            }
            for entry in entries {
                if stuck.contains(&entry.lane) {
                    continue;
                }
                if end.is_some_and(|end| Instant::now() >= end) {
                    self.work.notify_one();
                    return Ok(Waiting::Still);
                }
                let lane = entry.lane.clone();
                let Err(error) = self.replay_entry(&spool, entry).await else { continue };
                // Whoever cares for this namespace knows enough; to look for others behind it would read all that waits, at every write.
                if !stuck.is_empty() || own.is_some_and(|own| lane == own.as_str()) {
                    return Err(error);
                }
                failed = Some(error);
                stuck.insert(lane);
            }
        }
    }

    async fn replay_entry(&self, spool: &Spool, entry: SpoolEntry) -> Result<()> {
        let outcome = match (Namespace::new(entry.lane.as_str()), decode(&entry.payload)) {
            (Ok(namespace), Ok(batch)) => self.replay_one(&namespace, batch).await,
            (Err(error), _) | (_, Err(error)) => return self.put_aside(spool, &entry, &error).await,
        };
        match outcome {
            Ok(()) => spool.settle(entry.id).await,
            Err(error) if is_refused(&error) => self.put_aside(spool, &entry, &error).await,
            Err(error) => Err(error),
        }
    }

    async fn put_aside(&self, spool: &Spool, entry: &SpoolEntry, why: &Error) -> Result<()> {
        tracing::error!(namespace = entry.lane, error = %why, "a write that waited is refused and put aside");
        spool.quarantine(entry.id, why.message()).await
    }

    async fn replay_one(&self, namespace: &Namespace, mut batch: Batch) -> Result<()> {
        if let Some(stored) = self.noted(LEDGER, self.foreign_model(namespace).await)? {
            // Found by words, as everything that came before the model was changed.
            for write in &mut batch.writes {
                if write.embedding.as_ref().is_some_and(|embedding| *embedding.model() != stored) {
                    write.embedding = None;
                }
            }
        }
        let committed = self.noted(LEDGER, self.ledger.commit(namespace, batch.clone()).await);
        match committed {
            // What was committed here before the memory moved has been answered above, by its key.
            Err(error) if error.kind() == ErrorKind::Conflict => self.replay_elsewhere(namespace, batch, error).await,
            Err(error) => Err(error),
            Ok(_) => {
                self.note_pending(namespace);
                Ok(())
            }
        }
    }

    /// Commits where the memory has moved to since the write was kept.
    async fn replay_elsewhere(&self, namespace: &Namespace, mut batch: Batch, refused: Error) -> Result<()> {
        let Some(there) = self.moved_to(namespace).await? else { return Err(refused) };
        let (engine, namespace) = (there.shared_engine(), there.namespace());
        let model = engine.indexed_model(namespace).await?;
        for write in &mut batch.writes {
            if write.embedding.as_ref().is_some_and(|embedding| Some(embedding.model()) != model.as_ref()) {
                write.embedding = None;
                write.tasks = vec![Task::Embed];
            }
        }
        engine.ledger.commit(namespace, batch).await?;
        engine.note_pending(namespace);
        Ok(())
    }

    /// The place that serves a memory that moved from here; none if it did not. While a switch is under way nobody can tell: a copy that
    /// was taken away serves as well, as an empty namespace.
    async fn moved_to(&self, namespace: &Namespace) -> Result<Option<MemoryManager>> {
        self.forget_role(namespace);
        let (mut role, mut there) = (self.role(namespace).await?, None::<MemoryManager>);
        for _ in 0..HOPS {
            let to = match role {
                Role::Serving { .. } => return Ok(there),
                Role::Copy { .. } | Role::Moving { .. } => {
                    let message = "the memory is moving, and the write waits until it has arrived";
                    return Err(Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Soon));
                }
                Role::Moved { to } => to,
            };
            let next = match &there {
                None => self.elsewhere(&to)?,
                Some(here) => here.shared_engine().elsewhere(&to)?,
            };
            let engine = next.shared_engine();
            engine.forget_role(next.namespace());
            role = engine.role(next.namespace()).await?;
            there = Some(next);
        }
        Err(Error::new(ErrorKind::Conflict, "the pointers that moves left behind lead in a circle")
            .with_retry(Retry::Soon))
    }

    /// The records of a namespace that wait in the spool, the newest revision of each, with their embeddings.
    pub(crate) async fn spooled_records(
        &self,
        namespace: &Namespace,
    ) -> Result<Vec<(MemoryRecord, Option<Embedding>)>> {
        let Some(spool) = self.spool().await else { return Ok(Vec::new()) };
        let mut newest: HashMap<RecordId, (MemoryRecord, Option<Embedding>)> = HashMap::new();
        for entry in own_entries(&spool, namespace).await? {
            let Ok(batch) = decode(&entry.payload) else { continue };
            for write in batch.writes {
                newest.insert(write.record.id.clone(), (write.record, write.embedding));
            }
        }
        let mut records: Vec<_> = newest.into_values().collect();
        records.sort_by(|a, b| a.0.id.cmp(&b.0.id));
        Ok(records)
    }
}

impl Engine {
    /// Lets nothing readable of what was erased stay in the spool: neither in entries that were settled nor in those put aside.
    pub(crate) async fn scrub_spool(
        &self,
        namespace: &Namespace,
        erased: &[RecordId],
        subject: Option<&UserId>,
    ) -> Result<()> {
        let Some(lazy) = &self.spool else { return Ok(()) };
        let spool = lazy.get().await?;
        let speaks_of = |batch: &Batch| {
            let of_user = |user: Option<&UserId>| subject.is_some() && user == subject;
            batch.writes.iter().any(|write| erased.contains(&write.record.id) || of_user(write.record.user_id.as_ref()))
                || batch.events.iter().any(|event| of_user(event.user_id.as_ref()))
        };
        let mut after = None;
        loop {
            let aside = spool.quarantined(after, REPLAYED).await?;
            let Some(last) = aside.last().map(|aside| aside.id) else { break };
            for Quarantined { id, entry, .. } in aside {
                let ours = entry.filter(|entry| entry.lane == namespace.as_str());
                if ours.and_then(|entry| decode(&entry.payload).ok()).is_some_and(|batch| speaks_of(&batch)) {
                    spool.discard(id).await?;
                }
            }
            after = Some(last);
        }
        spool.scrub().await?;
        let others = spool.report().await?.others;
        if others > 0 {
            let message = format!("{others} other processes keep writes of their own in it");
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        Ok(())
    }
}

/// What is left of what waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    Nothing,
    Still,
}

/// Whether the ledger's answer is about the write, and final. An outage, a deployment that is wrong and a lost race say nothing about a
/// write, and one that was acknowledged goes on waiting.
fn is_refused(error: &Error) -> bool {
    let about_the_write = matches!(
        error.kind(),
        ErrorKind::InvalidInput | ErrorKind::Conflict | ErrorKind::ModelMismatch | ErrorKind::Unsupported
    );
    error.retry() == Retry::Never && about_the_write
}

/// The first entries of one namespace, however many of others come before them.
async fn own_entries(spool: &Spool, namespace: &Namespace) -> Result<Vec<SpoolEntry>> {
    let mut others = BTreeSet::new();
    loop {
        let entries = spool.peek_past(SHOWN, &others).await?;
        let known = others.len();
        others.extend(entries.iter().map(|entry| &entry.lane).filter(|lane| *lane != namespace.as_str()).cloned());
        if others.len() == known {
            return Ok(entries);
        }
    }
}

fn its_turn() -> Error {
    Error::new(ErrorKind::Unavailable, "writes that came before this one are still on their way to the ledger")
        .with_retry(Retry::Soon)
}

/// A key that no other request has.
fn once() -> Result<Idempotency> {
    let key = uuid::Uuid::new_v4();
    Idempotency::new(format!("mnemic.once.{key}"), audit::digest(key.as_bytes()))
}
