//! The port for what is true: records, events, slots, history, outbox and change feed. Not here: searching (the `Index` port).

use std::fmt::Debug;

use async_trait::async_trait;

use crate::{
    Assignment, Batch, ChainedEvent, Change, ChangeSeq, EmbeddingModel, EraseReceipt, Erasure, EventId, Filter,
    Namespace, OutboxId, OutboxItem, Page, PageRequest, PastCommit, Receipt, RecordId, Result, Revision, Role,
    Sequence, Slots, StoredRecord, ThreadId, ThreadSummary, Timestamp, UserId, Version, VersionedSlots,
};

/// Whether a reader needs embeddings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Embeddings {
    /// `StoredRecord::embedding` is `None` whatever is stored.
    #[default]
    Omit,
    /// The current revision's embedding is read. Never combined with `as_of`: superseded revisions keep no embedding.
    Include,
}

/// How to read records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// As memory stood right after the last commit at or before this instant; `None` reads what is there now.
    pub as_of: Option<Timestamp>,
    /// Whether embeddings are read.
    pub embeddings: Embeddings,
}

/// Which events to read. Conditions combine; page order is chain order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventRange {
    /// Only of this thread.
    pub thread_id: Option<ThreadId>,
    /// Only of this user.
    pub user_id: Option<UserId>,
    /// Only this event.
    pub event_id: Option<EventId>,
    /// Only after this position.
    pub after: Sequence,
    /// Only up to this instant of commit.
    pub as_of: Option<Timestamp>,
}

/// One revision of a thread's slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotsRevision {
    /// The version.
    pub version: Version,
    /// When it was committed.
    pub at: Timestamp,
    /// The slots at that version.
    pub slots: Slots,
}

/// What a ledger tells about one namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceReport {
    /// Records in memory.
    pub records: u64,
    /// Records whose embedding is stored.
    pub embeddings: u64,
    /// Revisions kept of all records, the current ones counted.
    pub revisions: u64,
    /// Events, erased ones counted.
    pub events: u64,
    /// Threads with slots.
    pub threads_with_slots: u64,
    /// Outstanding work.
    pub outbox: u64,
    /// Since when the oldest outstanding work waits.
    pub outbox_since: Option<Timestamp>,
    /// The last change.
    pub head: ChangeSeq,
    /// The models of the stored embeddings.
    pub models: Vec<EmbeddingModel>,
    /// Bytes on disk, zero in memory.
    pub bytes: u64,
}

/// What a ledger tells about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerReport {
    /// What it is, for people: product and version.
    pub backend: String,
    /// Where the data lies, for people; empty in memory. Never holds a secret.
    pub location: String,
    /// What is wrong, in words; empty if nothing is.
    pub faults: Vec<String>,
}

/// The only authority on what is true.
///
/// # Contract
/// Records
/// - `[L1]` *A committed record is read back with every field equal, and its embedding bit for bit.*
/// - `[L2]` *Writing an id again replaces it, adds one to its version, and keeps the earliest `created_at`; a write after a delete continues the version and starts `created_at` anew.*
/// - `[L3]` *A batch is visible whole or not at all; if any part is refused, nothing changes.*
/// - `[L4]` *A precondition on another version than the stored one is a `Conflict`, naming both.*
/// - `[L5]` *Nothing of one namespace is seen, counted or changed through another.*
/// - `[L6]` *`fetch` answers position by position, `None` where absent; asking twice for an id answers twice.*
/// - `[L7]` *`scan` visits every record that exists throughout the walk once, in order of first insertion (or its reverse), also while others write; only those that pass the filter.*
/// - `[L8]` *Deleting removes a record from `fetch` and `scan` and keeps its history; deleting an absent one succeeds and says so.*
/// - `[L9]` *`history` lists every revision, newest first, with deletions.*
/// - `[L10]` *`as_of` shows exactly what `fetch` and `scan` would have shown after the last commit at or before that instant.*
/// - `[L11]` *An embedding that arrives later is stored only if its revision is still current.*
/// - `[L12]` *An id that occurs twice among a batch's writes and deletes is `InvalidInput`.*
///
/// Events
/// - `[L13]` *Events get consecutive sequences from 1 in order of commit, and each hash covers the one before.*
/// - `[L14]` *The same event again is a duplicate and changes nothing; another event with the same id is a `Conflict`.*
/// - `[L15]` *`events` reads by thread, user, id, position and instant, in chain order; `threads` lists each thread that holds events, ordered by its first event, without reserved threads.*
///
/// Slots
/// - `[L16]` *Each write adds one to the version; a stale precondition is a `Conflict` and changes nothing; an unknown thread is empty at version 0.*
/// - `[L17]` *`slots_history` lists every version, newest first.*
///
/// Feed, outbox, idempotency
/// - `[L18]` *`changes` lists every change in order of commit, each position once, and nothing at or below `after`.*
/// - `[L19]` *Tasks of a committed write wait in the outbox, oldest first, until settled; settling twice is no error; a replaced or deleted revision's tasks are gone.*
/// - `[L20]` *The same idempotency key with the same fingerprint answers the first receipt, marked `replayed`, and changes nothing; another fingerprint is a `Conflict`.*
///
/// Erasure
/// - `[L21]` *After erasing records, nothing reads them: not fetch, scan, history, `as_of`, outbox; the events that they came from hold no payload; the chain still verifies.*
/// - `[L22]` *After erasing a subject the same holds for all of their records, events and slots; other subjects' are unchanged.*
/// - `[L23]` *An erased id can be written anew and starts at version 1.*
///
/// Whole
/// - `[L24]` *`namespaces` lists each namespace that holds anything, ordered by name.*
/// - `[L25]` *What was acknowledged survives closing and reopening.* (Where the ledger is durable.)
/// - `[L26]` *Many tasks writing at once lose nothing, and a record written by all of them holds one of their writes whole.*
/// - `[L27]` *A namespace that repeats another's commits answers every read as that one does: records, embeddings, history, as of any instant, chain, slots, feed, outbox.*
/// - `[L28]` *Repeating the same commits again changes nothing; commits that do not continue what is there are a `Conflict` and change nothing.*
///
/// Roles
/// - `[L29]` *A namespace serves, at epoch 0, until it is assigned another role; a role is changed only by who names the epoch of the last change, and of racers one wins.*
/// - `[L30]` *A namespace that does not serve refuses `commit` and `erase` as a `Conflict` and changes nothing; it goes on repeating, settling, and answering every read.*
/// - `[L31]` *A cleared copy holds nothing and serves, as if it had never been written; what a move left behind can be cleared and stays a pointer; a memory itself is never cleared.*
#[async_trait]
pub trait Ledger: Debug + Send + Sync + 'static {
    /// Commits a batch. When this returns, the batch is durable to the ledger's declared degree.
    async fn commit(&self, namespace: &Namespace, batch: Batch) -> Result<Receipt>;

    /// Reads records by id.
    async fn fetch(&self, namespace: &Namespace, ids: &[RecordId], read: Read) -> Result<Vec<Option<StoredRecord>>>;

    /// Walks the records that pass a filter.
    async fn scan(
        &self,
        namespace: &Namespace,
        filter: &Filter,
        read: Read,
        page: &PageRequest,
    ) -> Result<Page<StoredRecord>>;

    /// Every revision of one record, newest first; empty if it never existed or was erased.
    async fn history(&self, namespace: &Namespace, id: &RecordId) -> Result<Vec<Revision>>;

    /// Reads the chain.
    async fn events(&self, namespace: &Namespace, range: &EventRange, page: &PageRequest)
    -> Result<Page<ChainedEvent>>;

    /// Lists threads that hold events.
    async fn threads(&self, namespace: &Namespace, page: &PageRequest) -> Result<Page<ThreadSummary>>;

    /// A thread's slots now, or as of an instant.
    async fn slots(&self, namespace: &Namespace, thread: &ThreadId, as_of: Option<Timestamp>)
    -> Result<VersionedSlots>;

    /// Every version of a thread's slots, newest first.
    async fn slots_history(&self, namespace: &Namespace, thread: &ThreadId) -> Result<Vec<SlotsRevision>>;

    /// Threads that hold slots, ordered by id.
    async fn slot_threads(&self, namespace: &Namespace, page: &PageRequest) -> Result<Page<ThreadId>>;

    /// The last change; zero if there is none.
    async fn head(&self, namespace: &Namespace) -> Result<ChangeSeq>;

    /// Changes after a position, at most `limit`.
    async fn changes(&self, namespace: &Namespace, after: ChangeSeq, limit: usize) -> Result<Vec<Change>>;

    /// Outstanding work, oldest first, at most `limit`.
    async fn outbox(&self, namespace: &Namespace, limit: usize) -> Result<Vec<OutboxItem>>;

    /// Removes finished work.
    async fn settle(&self, namespace: &Namespace, ids: &[OutboxId]) -> Result<()>;

    /// Lists namespaces.
    async fn namespaces(&self, page: &PageRequest) -> Result<Page<Namespace>>;

    /// Repeats what another ledger committed, so that this namespace becomes the same memory at the same position: every read
    /// answers alike. Commits that were repeated before are passed over. Answers the position that is reached.
    async fn repeat(&self, namespace: &Namespace, commits: &[PastCommit]) -> Result<ChangeSeq>;

    /// What part the namespace plays.
    async fn assignment(&self, namespace: &Namespace) -> Result<Assignment>;

    /// Gives the namespace another role, if it was not given one since the epoch that was `seen`. Answers the new assignment.
    async fn assign(&self, namespace: &Namespace, seen: u64, role: Role) -> Result<Assignment>;

    /// Removes everything of a namespace that is a copy or was left behind, under the same condition. Answers the new assignment.
    async fn clear(&self, namespace: &Namespace, seen: u64) -> Result<Assignment>;

    /// Removes so that nothing readable stays.
    async fn erase(&self, namespace: &Namespace, erasure: Erasure) -> Result<EraseReceipt>;

    /// The models of the embeddings that a namespace holds, in order: those of its report, without counting anything.
    async fn models(&self, namespace: &Namespace) -> Result<Vec<EmbeddingModel>> {
        Ok(self.report(namespace).await?.models)
    }

    /// Counts what a namespace holds, which takes as long as it holds much.
    async fn report(&self, namespace: &Namespace) -> Result<NamespaceReport>;

    /// Tells whether it can serve, and what is wrong.
    async fn check(&self) -> Result<LedgerReport>;
}
