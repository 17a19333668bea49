//! What a ledger commits at once, and what it answers. Not here: how (adapters).

use crate::{
    AuditEvent, Digest, Embedding, Error, MemoryRecord, RecordId, Result, Sequence, SlotWrite, Timestamp, Version,
    ids::check_label, limits, slots::Precondition,
};

/// Everything that one commit changes: all of it or nothing.
#[derive(Clone, Debug)]
pub struct Batch {
    /// When, by the manager's clock. Ledgers never read a clock.
    pub at: Timestamp,
    /// Makes a repetition of the same batch answer the first receipt and change nothing.
    pub idempotency: Option<Idempotency>,
    /// Records to insert or replace, in order. An id occurs once.
    pub writes: Vec<RecordWrite>,
    /// Records to remove from memory while their history stays, so that the removal can be undone.
    pub deletes: Vec<RecordDelete>,
    /// Embeddings that were pending.
    pub embeddings: Vec<EmbeddingWrite>,
    /// Events to append, in order.
    pub events: Vec<AuditEvent>,
    /// Slots to change.
    pub slots: Vec<SlotWrite>,
    /// Outbox items that this commit finishes.
    pub settle: Vec<OutboxId>,
}

impl Batch {
    /// A batch that changes nothing yet.
    pub fn new(at: Timestamp) -> Self {
        Self {
            at,
            idempotency: None,
            writes: Vec::new(),
            deletes: Vec::new(),
            embeddings: Vec::new(),
            events: Vec::new(),
            slots: Vec::new(),
            settle: Vec::new(),
        }
    }
}

/// Identifies a request across retries. Kept for at least 24 hours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The caller's key.
    pub key: String,
    /// The digest of the caller's whole request. The same key with another one is a `Conflict`.
    pub fingerprint: Digest,
}

impl Idempotency {
    /// Checks the key.
    ///
    /// # Errors
    /// `InvalidInput`, naming `idempotency_key`.
    pub fn new(key: impl Into<String>, fingerprint: Digest) -> Result<Self> {
        let key = key.into();
        check_label("idempotency_key", &key, limits::IDEMPOTENCY_KEY_BYTES)?;
        Ok(Self { key, fingerprint })
    }

    /// The error for a key that was used for something else.
    pub fn conflict() -> Error {
        Error::new(
            crate::ErrorKind::Conflict,
            "idempotency_key: expected a new key or the same request, found the key of another request",
        )
        .with_field("idempotency_key")
    }
}

/// One record to insert or replace.
#[derive(Clone, Debug)]
pub struct RecordWrite {
    /// The record. The ledger sets `version`, and `created_at` to the earliest that this id ever had while it existed.
    pub record: MemoryRecord,
    /// Its embedding, if there is one now.
    pub embedding: Option<Embedding>,
    /// What must hold of the stored version.
    pub expect: Precondition,
    /// Work that stays to be done for this revision; each becomes an outbox item.
    pub tasks: Vec<Task>,
}

/// One record to remove from memory.
#[derive(Clone, Debug)]
pub struct RecordDelete {
    /// Which.
    pub id: RecordId,
    /// What must hold of the stored version. An absent record is no error with `Precondition::Any`.
    pub expect: Precondition,
}

/// An embedding that arrives after its record.
#[derive(Clone, Debug)]
pub struct EmbeddingWrite {
    /// Of which record.
    pub id: RecordId,
    /// Of which revision. Ignored if the record has another one by now.
    pub version: Version,
    /// The embedding.
    pub embedding: Embedding,
}

/// Work that outlives the call that caused it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Task {
    /// Make the embedding of this revision.
    Embed,
    /// Bring this revision to the named index.
    Index(String),
}

/// Identifies one outbox item in its namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OutboxId(pub u64);

/// One piece of outstanding work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxItem {
    /// Its identity; ascending in the order of commit.
    pub id: OutboxId,
    /// What to do.
    pub task: Task,
    /// For which record.
    pub record_id: RecordId,
    /// For which revision.
    pub version: Version,
    /// Since when it waits.
    pub since: Timestamp,
}

/// What a commit did, position by position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// For each write: the version it got.
    pub writes: Vec<Written>,
    /// For each delete: the version that was removed, or `None` if the record was absent.
    pub deletes: Vec<Option<Version>>,
    /// For each embedding: whether it was taken.
    pub embeddings: Vec<bool>,
    /// For each event: its position, and whether it was there before.
    pub events: Vec<Appended>,
    /// For each slot write: the version it made.
    pub slots: Vec<Version>,
    /// The changes that this commit added to the feed: `first.0 ..= last.0`; `None` if nothing changed.
    pub changes: Option<(ChangeSeq, ChangeSeq)>,
    /// Whether this is the kept answer of an earlier, identical request.
    pub replayed: bool,
}

/// What became of one record write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The record.
    pub id: RecordId,
    /// Its version now.
    pub version: Version,
    /// Its creation time now.
    pub created_at: Timestamp,
}

/// What became of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its position in the chain.
    pub sequence: Sequence,
    /// Whether it was appended now or had been before.
    pub outcome: AppendOutcome,
}

/// Whether an event is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOutcome {
    /// Appended by this commit.
    New,
    /// The same event was there before; nothing changed.
    Duplicate,
    /// It is kept outside of the ledger, which cannot be reached, and is appended later; its sequence is 0 until then.
    Spooled,
}

/// A position in a namespace's change feed, from 1. Zero is before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChangeSeq(pub u64);

/// One change, as the feed tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its position.
    pub seq: ChangeSeq,
    /// When it was committed, by the manager's clock.
    pub at: Timestamp,
    /// What changed.
    pub what: Changed,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// A record was inserted or replaced.
    Written(RecordId, Version),
    /// A record's embedding arrived.
    Embedded(RecordId, Version),
    /// A record was removed from memory; its history stays.
    Deleted(RecordId, Version),
    /// A record and its history were erased. The id is empty if it was erased from the feed too.
    Erased(Option<RecordId>),
    /// An event was appended.
    Appended(Sequence),
    /// An event was erased.
    EventErased(Sequence),
    /// A thread's slots were written; the thread is `None` if it was erased since.
    Slots(Option<crate::ThreadId>, Version),
}

/// One revision of a record, newest first in a history.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// When it was committed.
    pub at: Timestamp,
    /// The revision, or the version that was removed.
    pub what: RevisionKind,
}

/// What a revision did.
#[derive(Clone, Debug, PartialEq)]
pub enum RevisionKind {
    /// The record became this.
    Written(Box<MemoryRecord>),
    /// The record was removed from memory; its last version was this.
    Deleted(Version),
}

/// What to erase so that nothing readable stays.
#[derive(Clone, Debug)]
pub struct Erasure {
    /// When, by the manager's clock.
    pub at: Timestamp,
    /// What.
    pub target: EraseTarget,
    /// The event that tells of it, appended in the same commit. It names nothing of the subject.
    pub event: AuditEvent,
}

/// What to erase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EraseTarget {
    /// These records with their whole history, and the events that they came from.
    Records(Vec<RecordId>),
    /// Everything of one user: records, history, events, and the slots of threads that hold events or records of theirs.
    Subject(crate::UserId),
}

/// What an erasure removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EraseReceipt {
    /// Records that existed (in memory or only in history) and are gone.
    pub records: Vec<RecordId>,
    /// How many revisions went with them, the current ones counted.
    pub revisions: u64,
    /// How many events were reduced to their commitment.
    pub events: u64,
    /// How many threads lost their slots.
    pub threads: u64,
    /// The position of the event that tells of the erasure.
    pub sequence: Sequence,
    /// What could not be overwritten yet (a reader held the log open, say) and will be by the next erasure or compaction.
    pub residue: Vec<String>,
}
