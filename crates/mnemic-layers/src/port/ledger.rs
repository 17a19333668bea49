//! A guarded ledger. Reads and `settle` may be repeated; `commit` by its key; `erase` only after a failure that proves that nothing
//! happened, because the receipt of an erasure that took effect cannot be asked for again, and a change of role because its epoch has passed. Not here: what guards it.

use async_trait::async_trait;
use mnemic_core::{
    Assignment, Batch, ChainedEvent, Change, ChangeSeq, EmbeddingModel, EraseReceipt, Erasure, Filter, Namespace,
    OutboxId, OutboxItem, Page, PageRequest, PastCommit, Receipt, RecordId, Result, Revision, Role, StoredRecord,
    ThreadId, ThreadSummary, Timestamp, VersionedSlots,
    ports::{EventRange, Ledger, LedgerReport, NamespaceReport, Read, SlotsRevision},
};

use super::{Guarded, guard};
use crate::once;

#[async_trait]
impl<P: Ledger + ?Sized> Ledger for Guarded<P> {
    async fn commit(&self, namespace: &Namespace, mut batch: Batch) -> Result<Receipt> {
        let ours = self.backend.retries() && once::key(&mut batch);
        let receipt = guard!(self, "ledger", Write, commit(namespace, batch.clone()))?;
        Ok(if ours { once::answer(receipt) } else { receipt })
    }

    async fn fetch(&self, namespace: &Namespace, ids: &[RecordId], read: Read) -> Result<Vec<Option<StoredRecord>>> {
        guard!(self, "ledger", Read, fetch(namespace, ids, read))
    }

    async fn scan(
        &self,
        namespace: &Namespace,
        filter: &Filter,
        read: Read,
        page: &PageRequest,
    ) -> Result<Page<StoredRecord>> {
        guard!(self, "ledger", Read, scan(namespace, filter, read, page))
    }

    async fn history(&self, namespace: &Namespace, id: &RecordId) -> Result<Vec<Revision>> {
        guard!(self, "ledger", Read, history(namespace, id))
    }

    async fn events(
        &self,
        namespace: &Namespace,
        range: &EventRange,
        page: &PageRequest,
    ) -> Result<Page<ChainedEvent>> {
        guard!(self, "ledger", Read, events(namespace, range, page))
    }

    async fn threads(&self, namespace: &Namespace, page: &PageRequest) -> Result<Page<ThreadSummary>> {
        guard!(self, "ledger", Read, threads(namespace, page))
    }

    async fn slots(
        &self,
        namespace: &Namespace,
        thread: &ThreadId,
        as_of: Option<Timestamp>,
    ) -> Result<VersionedSlots> {
        guard!(self, "ledger", Read, slots(namespace, thread, as_of))
    }

    async fn slots_history(&self, namespace: &Namespace, thread: &ThreadId) -> Result<Vec<SlotsRevision>> {
        guard!(self, "ledger", Read, slots_history(namespace, thread))
    }

    async fn slot_threads(&self, namespace: &Namespace, page: &PageRequest) -> Result<Page<ThreadId>> {
        guard!(self, "ledger", Read, slot_threads(namespace, page))
    }

    async fn head(&self, namespace: &Namespace) -> Result<ChangeSeq> {
        guard!(self, "ledger", Read, head(namespace))
    }

    async fn changes(&self, namespace: &Namespace, after: ChangeSeq, limit: usize) -> Result<Vec<Change>> {
        guard!(self, "ledger", Read, changes(namespace, after, limit))
    }

    async fn outbox(&self, namespace: &Namespace, limit: usize) -> Result<Vec<OutboxItem>> {
        guard!(self, "ledger", Read, outbox(namespace, limit))
    }

    async fn settle(&self, namespace: &Namespace, ids: &[OutboxId]) -> Result<()> {
        guard!(self, "ledger", Write, settle(namespace, ids))
    }

    async fn namespaces(&self, page: &PageRequest) -> Result<Page<Namespace>> {
        guard!(self, "ledger", Read, namespaces(page))
    }

    async fn repeat(&self, namespace: &Namespace, commits: &[PastCommit]) -> Result<ChangeSeq> {
        guard!(self, "ledger", Bulk, repeat(namespace, commits))
    }

    async fn assignment(&self, namespace: &Namespace) -> Result<Assignment> {
        guard!(self, "ledger", Read, assignment(namespace))
    }

    async fn assign(&self, namespace: &Namespace, seen: u64, role: Role) -> Result<Assignment> {
        guard!(self, "ledger", Write, IfNothingHappened, 0, assign(namespace, seen, role.clone()))
    }

    async fn clear(&self, namespace: &Namespace, seen: u64) -> Result<Assignment> {
        guard!(self, "ledger", Bulk, IfNothingHappened, 0, clear(namespace, seen))
    }

    async fn erase(&self, namespace: &Namespace, erasure: Erasure) -> Result<EraseReceipt> {
        guard!(self, "ledger", Bulk, IfNothingHappened, 0, erase(namespace, erasure.clone()))
    }

    async fn models(&self, namespace: &Namespace) -> Result<Vec<EmbeddingModel>> {
        guard!(self, "ledger", Read, models(namespace))
    }

    async fn report(&self, namespace: &Namespace) -> Result<NamespaceReport> {
        guard!(self, "ledger", Bulk, report(namespace))
    }

    async fn check(&self) -> Result<LedgerReport> {
        guard!(self, "ledger", Read, check())
    }
}
