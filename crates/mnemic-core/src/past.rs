//! What one ledger committed, in the form in which another repeats it exactly. Not here: reading it out of a ledger and deciding what
//! becomes of it (`mnemic-migration`).

use crate::{
    ChainedEvent, ChangeSeq, Changed, Embedding, MemoryRecord, OutboxItem, RecordId, Sequence, Slots, ThreadId,
    Timestamp, Version,
};

/// Changes of one commit, or of the part of it that fits a page. Commits of one instant are indistinguishable from one.
#[derive(Clone, Debug, PartialEq)]
pub struct PastCommit {
    /// The position of the first change.
    pub first: ChangeSeq,
    /// When it was committed.
    pub at: Timestamp,
    /// The changes, at consecutive positions.
    pub changes: Vec<PastChange>,
    /// What this commit's erasure took from the past that was told before.
    pub removed: Removed,
}

impl PastCommit {
    /// The position of the last change.
    pub fn last(&self) -> ChangeSeq {
        ChangeSeq((self.first.0 + self.changes.len() as u64).saturating_sub(1))
    }
}

/// One change with everything that is still known of it.
#[derive(Clone, Debug, PartialEq)]
pub enum PastChange {
    /// A record was inserted or replaced.
    Written(Box<PastWrite>),
    /// A record's embedding arrived; it is there if this is the record's last revision.
    Embedded {
        /// Of which record.
        id: RecordId,
        /// Of which revision.
        version: Version,
        /// The embedding.
        embedding: Option<Embedding>,
    },
    /// A record was removed from memory.
    Deleted {
        /// Which.
        id: RecordId,
        /// Its last version.
        version: Version,
    },
    /// An event was appended; erased since, if it holds none.
    Appended(Box<ChainedEvent>),
    /// An event was erased.
    EventErased(Sequence),
    /// A thread's slots were written.
    Slots {
        /// Of which thread.
        thread_id: ThreadId,
        /// The version that this made.
        version: Version,
        /// All slots at that version.
        slots: Slots,
    },
    /// A thread's slots were written, and erased since.
    SlotsErased(Version),
    /// A record was erased, or what stood here was erased since.
    Erased(Option<RecordId>),
}

impl PastChange {
    /// The change as the feed tells it.
    pub fn told(&self) -> Changed {
        match self {
            Self::Written(write) => Changed::Written(write.id.clone(), write.version),
            Self::Embedded { id, version, .. } => Changed::Embedded(id.clone(), *version),
            Self::Deleted { id, version } => Changed::Deleted(id.clone(), *version),
            Self::Appended(entry) => Changed::Appended(entry.sequence),
            Self::EventErased(sequence) => Changed::EventErased(*sequence),
            Self::Slots { thread_id, version, .. } => Changed::Slots(Some(thread_id.clone()), *version),
            Self::SlotsErased(version) => Changed::Slots(None, *version),
            Self::Erased(id) => Changed::Erased(id.clone()),
        }
    }
}

/// One revision of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct PastWrite {
    /// Which record.
    pub id: RecordId,
    /// The version that this made.
    pub version: Version,
    /// The revision; `None` if it was erased since while the record stayed.
    pub record: Option<MemoryRecord>,
    /// Its embedding, if this is the record's last revision.
    pub embedding: Option<Embedding>,
    /// Its outstanding work. Finishing it is no change, so a copy compares what is left (`Ledger::settle`).
    pub tasks: Vec<OutboxItem>,
}

/// What an erasure took away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Records with their whole history.
    pub records: Vec<RecordId>,
    /// Single superseded revisions.
    pub revisions: Vec<(RecordId, Version)>,
    /// Threads, with every version of their slots.
    pub threads: Vec<ThreadId>,
    /// Names of records that were erased before, which the feed still told.
    pub names: Vec<RecordId>,
}

impl Removed {
    /// Whether nothing was taken away.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.revisions.is_empty() && self.threads.is_empty() && self.names.is_empty()
    }
}
