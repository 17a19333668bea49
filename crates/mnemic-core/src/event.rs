//! The audit event: one thing that happened, immutable, and its place in the chain. Not here: hashing (`policy::audit`).

use std::{collections::BTreeSet, fmt};

use crate::{
    EventId, Object, Result, ThreadId, Timestamp, UserId, ids::check_label, limits, record::check_labels,
    value::check_object,
};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEvent {
    /// Identity inside the namespace; appending the same event again changes nothing.
    pub event_id: EventId,
    /// When it happened, by the caller's clock. Order comes from the ledger's sequence, never from this.
    pub timestamp: Timestamp,
    /// Whom it is about; also the subject whose erasure removes it.
    pub user_id: Option<UserId>,
    /// The conversation or run.
    pub thread_id: ThreadId,
    /// Who or what reported it.
    pub source: String,
    /// What happened.
    pub action: String,
    /// The particulars, as a JSON object.
    pub payload: Object,
    /// Labels without order.
    pub tags: BTreeSet<String>,
}

impl AuditEvent {
    /// Checks everything that types do not.
    ///
    /// # Errors
    /// `InvalidInput`, naming the field, the limit and what came.
    pub fn check(&self) -> Result<()> {
        check_label("source", &self.source, limits::LABEL_BYTES)?;
        check_label("action", &self.action, limits::LABEL_BYTES)?;
        check_labels("tags", self.tags.iter(), limits::TAGS)?;
        check_object("payload", &self.payload)
    }
}

/// The position of an event in its namespace's chain, from 1, without gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sequence(pub u64);

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A SHA-256 digest.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The secret that keeps a commitment from being guessed. Destroyed when its subject is erased. Never shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt(pub [u8; 32]);

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(..)")
    }
}

/// One entry of a namespace's chain, as a ledger returns it.
#[derive(Clone, Debug, PartialEq)]
pub struct ChainedEvent {
    /// Its position.
    pub sequence: Sequence,
    /// When the ledger committed it, by the manager's clock.
    pub recorded_at: Timestamp,
    /// The event, or `None` after its erasure.
    pub event: Option<AuditEvent>,
    /// The salt of the commitment, or `None` after its erasure.
    pub salt: Option<Salt>,
    /// The keyed digest that stands for the event in the chain, also after its erasure.
    pub commitment: Digest,
    /// The hash of the entry before; zero for the first.
    pub previous: Digest,
    /// The hash of this entry.
    pub hash: Digest,
}

/// What is known about a thread from its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadSummary {
    /// The thread.
    pub thread_id: ThreadId,
    /// How many events it holds that were not erased.
    pub events: u64,
    /// Its first event's position.
    pub first: Sequence,
    /// Its last event's position.
    pub last: Sequence,
    /// When its last event was committed.
    pub last_at: Timestamp,
}
