//! The ledger that lives in process memory: plain maps behind one lock, gone with the process.
//! The shortest true implementation of the contract; read it first. Not here: durability (`sqlite`).

mod commit;
mod erase;
mod events;
mod feed;
mod records;
mod repeat;
mod slots;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use mnemic_core::{
    Assignment, Batch, ChainedEvent, Change, ChangeSeq, Digest, EraseReceipt, Erasure, EventId, Filter, Namespace,
    OutboxId, OutboxItem, Page, PageRequest, PastCommit, Receipt, RecordId, Result, Revision, Role, Sequence,
    StoredRecord, ThreadId, ThreadSummary, Timestamp, VersionedSlots,
    ports::{EventRange, Ledger, LedgerReport, NamespaceReport, Read, SlotsRevision},
};

use crate::rules;

/// A ledger in process memory.
#[derive(Default)]
pub struct InMemoryLedger {
    namespaces: Mutex<BTreeMap<Namespace, Memory>>,
}

/// Everything of one namespace.
#[derive(Default)]
struct Memory {
    /// Every record that is or was in memory, and its place in the order of first insertion.
    records: BTreeMap<RecordId, records::Line>,
    /// The order of first insertion; a record keeps its place while its history lives.
    order: BTreeMap<u64, RecordId>,
    /// The chain; the entry at index `n` has sequence `n + 1`.
    events: Vec<ChainedEvent>,
    /// Where each event that was not erased stands.
    event_ids: BTreeMap<EventId, Sequence>,
    /// Every version of every thread's slots, oldest first.
    slots: BTreeMap<ThreadId, Vec<(ChangeSeq, SlotsRevision)>>,
    /// The change feed; the change at index `n` has position `n + 1`.
    feed: Vec<Change>,
    outbox: BTreeMap<OutboxId, OutboxItem>,
    /// The answers of idempotent requests.
    receipts: BTreeMap<String, KeptReceipt>,
    /// When each of them was kept, oldest first.
    receipt_ages: BTreeSet<(Timestamp, String)>,
    assignment: Assignment,
}

struct KeptReceipt {
    fingerprint: Digest,
    receipt: Receipt,
}

impl InMemoryLedger {
    /// An empty ledger.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Namespace, Memory>> {
        // A commit checks everything before it changes anything, so a panic elsewhere leaves no half-made change.
        self.namespaces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, namespace: &Namespace, read: impl FnOnce(&Memory) -> T) -> T {
        match self.lock().get(namespace) {
            Some(memory) => read(memory),
            None => read(&Memory::default()),
        }
    }

    fn write<T>(&self, namespace: &Namespace, write: impl FnOnce(&mut Memory) -> T) -> T {
        write(self.lock().entry(namespace.clone()).or_default())
    }
}

impl fmt::Debug for InMemoryLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InMemoryLedger").field("namespaces", &self.lock().len()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Ledger for InMemoryLedger {
    async fn commit(&self, namespace: &Namespace, batch: Batch) -> Result<Receipt> {
        self.write(namespace, |memory| memory.commit(batch))
    }

    async fn fetch(&self, namespace: &Namespace, ids: &[RecordId], read: Read) -> Result<Vec<Option<StoredRecord>>> {
        rules::check_read(read)?;
        Ok(self.read(namespace, |memory| memory.fetch(ids, read)))
    }

    async fn scan(
        &self,
        namespace: &Namespace,
        filter: &Filter,
        read: Read,
        page: &PageRequest,
    ) -> Result<Page<StoredRecord>> {
        rules::check_read(read)?;
        self.read(namespace, |memory| memory.scan(filter, read, page))
    }

    async fn history(&self, namespace: &Namespace, id: &RecordId) -> Result<Vec<Revision>> {
        Ok(self.read(namespace, |memory| memory.history(id)))
    }

    async fn events(
        &self,
        namespace: &Namespace,
        range: &EventRange,
        page: &PageRequest,
    ) -> Result<Page<ChainedEvent>> {
        self.read(namespace, |memory| memory.chain(range, page))
    }

    async fn threads(&self, namespace: &Namespace, page: &PageRequest) -> Result<Page<ThreadSummary>> {
        self.read(namespace, |memory| memory.threads(page))
    }

    async fn slots(
        &self,
        namespace: &Namespace,
        thread: &ThreadId,
        as_of: Option<Timestamp>,
    ) -> Result<VersionedSlots> {
        Ok(self.read(namespace, |memory| memory.slots(thread, as_of)))
    }

    async fn slots_history(&self, namespace: &Namespace, thread: &ThreadId) -> Result<Vec<SlotsRevision>> {
        Ok(self.read(namespace, |memory| memory.slots_history(thread)))
    }

    async fn slot_threads(&self, namespace: &Namespace, page: &PageRequest) -> Result<Page<ThreadId>> {
        self.read(namespace, |memory| memory.slot_threads(page))
    }

    async fn head(&self, namespace: &Namespace) -> Result<ChangeSeq> {
        Ok(self.read(namespace, Memory::head))
    }

    async fn changes(&self, namespace: &Namespace, after: ChangeSeq, limit: usize) -> Result<Vec<Change>> {
        Ok(self.read(namespace, |memory| memory.changes(after, limit)))
    }

    async fn outbox(&self, namespace: &Namespace, limit: usize) -> Result<Vec<OutboxItem>> {
        Ok(self.read(namespace, |memory| memory.outbox.values().take(limit).cloned().collect()))
    }

    async fn settle(&self, namespace: &Namespace, ids: &[OutboxId]) -> Result<()> {
        self.write(namespace, |memory| memory.settle(ids));
        Ok(())
    }

    async fn namespaces(&self, page: &PageRequest) -> Result<Page<Namespace>> {
        let after: Option<Namespace> = rules::cursor(page)?;
        let namespaces = self.lock();
        let held = namespaces.iter().filter(|(_, memory)| !memory.feed.is_empty());
        rules::walk(held.map(|(name, _)| (name.clone(), name.clone())), after, page)
    }

    async fn repeat(&self, namespace: &Namespace, commits: &[PastCommit]) -> Result<ChangeSeq> {
        self.write(namespace, |memory| memory.repeat(commits))
    }

    async fn assignment(&self, namespace: &Namespace) -> Result<Assignment> {
        Ok(self.read(namespace, |memory| memory.assignment.clone()))
    }

    async fn assign(&self, namespace: &Namespace, seen: u64, role: Role) -> Result<Assignment> {
        self.write(namespace, |memory| {
            memory.assignment = memory.assignment.next(seen, role)?;
            Ok(memory.assignment.clone())
        })
    }

    async fn clear(&self, namespace: &Namespace, seen: u64) -> Result<Assignment> {
        self.write(namespace, |memory| {
            let assignment = memory.assignment.emptied(seen)?;
            *memory = Memory { assignment, ..Memory::default() };
            Ok(memory.assignment.clone())
        })
    }

    async fn erase(&self, namespace: &Namespace, erasure: Erasure) -> Result<EraseReceipt> {
        self.write(namespace, |memory| memory.erase(erasure))
    }

    async fn report(&self, namespace: &Namespace) -> Result<NamespaceReport> {
        Ok(self.read(namespace, Memory::report))
    }

    async fn check(&self) -> Result<LedgerReport> {
        Ok(LedgerReport { backend: "process memory".to_owned(), location: String::new(), faults: Vec::new() })
    }
}
