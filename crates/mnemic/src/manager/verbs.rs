//! The verbs, each answered where the memory is. Not here: what a verb does (a file for each).

use std::collections::BTreeMap;

use mnemic_core::{
    Appended, ChainedEvent, Change, ChangeSeq, EventId, Filter, MemoryRecord, Page, PageRequest, RecordId, Result,
    Revision, StoredRecord, ThreadId, ThreadSummary, Timestamp, VersionedSlots,
    policy::audit::Checkpoint,
    ports::{EventRange, SlotsRevision},
};

use super::{
    AuditReport, Consolidation, ConsolidationReport, ContextBlock, ContextRequest, ForgetReceipt, MemoryManager, Query,
    Retrieval, Selector, SetSlots, Stats, Trial, Undone, VerifyReport, WriteOptions, WriteReport, WrittenEvent,
    home::at_home,
};
use crate::{NewEvent, NewRecord};

impl MemoryManager {
    /// Keeps records: all of them or none. A record whose id exists replaces it.
    ///
    /// # Errors
    /// `InvalidInput` naming the record and the field, `Conflict` for a stale precondition or a reused idempotency key,
    /// `ModelMismatch` if the namespace was embedded with another model, and what the ledger gives.
    pub async fn write(&self, records: Vec<NewRecord>, options: &WriteOptions) -> Result<WriteReport> {
        at_home!(self, Writes, |here| here.write_here(records.clone(), options))
    }

    /// Appends an event. The same event again changes nothing.
    ///
    /// # Errors
    /// `InvalidInput` naming the field, `Conflict` if another event has this id.
    pub async fn log_audit(&self, event: NewEvent) -> Result<(EventId, Appended)> {
        at_home!(self, Writes, |here| here.log_audit_here(event.clone()))
    }

    /// Appends an event and keeps the records that the reflection policy makes of it, in one commit. The same event again
    /// changes nothing.
    ///
    /// # Errors
    /// Those of [`Self::write`] and [`Self::log_audit`].
    pub async fn write_event(&self, event: NewEvent) -> Result<WrittenEvent> {
        at_home!(self, Writes, |here| here.write_event_here(event.clone()))
    }

    /// Finds the records that are about the query's text, with the reasons.
    ///
    /// # Errors
    /// `InvalidInput` naming the field, `Unsupported` for dense search without an embedding model, and what the ledger gives. A
    /// failing leg is no error while another one answers.
    pub async fn retrieve(&self, query: &Query) -> Result<Retrieval> {
        at_home!(self, Reads, |here| here.retrieve_here(query))
    }

    /// A thread's slots now, or as of an instant. An unknown thread is empty at version 0.
    ///
    /// # Errors
    /// What the ledger gives.
    pub async fn slots(&self, thread: &ThreadId, as_of: Option<Timestamp>) -> Result<VersionedSlots> {
        at_home!(self, Reads, |here| here.slots_here(thread, as_of))
    }

    /// Sets or removes (`None`) slots of a thread in one step and answers what they are now; while the ledger cannot be reached
    /// and the change waits in the spool, empty at version 0.
    ///
    /// # Errors
    /// `InvalidInput` naming the slot, `Conflict` for a stale precondition.
    pub async fn set_slots(
        &self,
        thread: &ThreadId,
        changes: BTreeMap<String, Option<String>>,
        how: SetSlots,
    ) -> Result<VersionedSlots> {
        at_home!(self, Writes, |here| here.set_slots_here(thread, changes.clone(), how))
    }

    /// Slots, the records about the query, and the thread's recent events as one prompt block within a token budget.
    ///
    /// # Errors
    /// `InvalidInput` naming the field, and what the ledger gives.
    pub async fn context(&self, thread: &ThreadId, request: &ContextRequest) -> Result<ContextBlock> {
        at_home!(self, Reads, |here| here.context_here(thread, request))
    }

    /// Reads records by id, position by position; `None` where absent or expired.
    ///
    /// # Errors
    /// `InvalidInput` for more than 1000 ids, and what the ledger gives.
    pub async fn get(&self, ids: &[RecordId], as_of: Option<Timestamp>) -> Result<Vec<Option<MemoryRecord>>> {
        at_home!(self, Reads, |here| here.get_here(ids, as_of))
    }

    /// Walks the records that pass a filter and have not expired, in order of first insertion or its reverse.
    ///
    /// # Errors
    /// `InvalidInput` naming the filter's fault, and what the ledger gives.
    pub async fn list(
        &self,
        filter: &Filter,
        as_of: Option<Timestamp>,
        page: &PageRequest,
    ) -> Result<Page<MemoryRecord>> {
        at_home!(self, Reads, |here| here.list_here(filter, as_of, page))
    }

    /// Everything that passes, expired or not, with embeddings: for moving data without embedding it again.
    ///
    /// # Errors
    /// What the ledger gives.
    pub async fn list_stored(&self, filter: &Filter, page: &PageRequest) -> Result<Page<StoredRecord>> {
        at_home!(self, Reads, |here| here.list_stored_here(filter, page))
    }

    /// Every revision of a record, newest first; empty if it never existed or was forgotten.
    ///
    /// # Errors
    /// What the ledger gives.
    pub async fn history(&self, id: &RecordId) -> Result<Vec<Revision>> {
        at_home!(self, Reads, |here| here.history_here(id))
    }

    /// Reads the audit chain.
    ///
    /// # Errors
    /// What the ledger gives.
    pub async fn events(&self, range: &EventRange, page: &PageRequest) -> Result<Page<ChainedEvent>> {
        at_home!(self, Reads, |here| here.events_here(range, page))
    }

    /// Lists threads that hold events.
    ///
    /// # Errors
    /// What the ledger gives.
    pub async fn threads(&self, page: &PageRequest) -> Result<Page<ThreadSummary>> {
        at_home!(self, Reads, |here| here.threads_here(page))
    }

    /// Lists threads that hold slots.
    ///
    /// # Errors
    /// What the ledger gives.
    pub async fn slot_threads(&self, page: &PageRequest) -> Result<Page<ThreadId>> {
        at_home!(self, Reads, |here| here.slot_threads_here(page))
    }

    /// Every version of a thread's slots, newest first.
    ///
    /// # Errors
    /// What the ledger gives.
    pub async fn slots_history(&self, thread: &ThreadId) -> Result<Vec<SlotsRevision>> {
        at_home!(self, Reads, |here| here.slots_history_here(thread))
    }

    /// Changes after a position of the feed, at most `limit`.
    ///
    /// # Errors
    /// What the ledger gives.
    pub async fn changes(&self, after: ChangeSeq, limit: usize) -> Result<Vec<Change>> {
        at_home!(self, Reads, |here| here.changes_here(after, limit))
    }

    /// Every event of a thread in order, one line each: `{timestamp} {source}:{action} {payload}`.
    ///
    /// # Errors
    /// What the ledger gives.
    pub async fn snapshot_thread(&self, thread: &ThreadId) -> Result<String> {
        at_home!(self, Reads, |here| here.snapshot_thread_here(thread))
    }

    /// Merges duplicates and removes what is over or has faded, in one commit that can be undone. The same on every backend.
    ///
    /// # Errors
    /// `InvalidInput` naming the policy's or filter's fault, `Conflict` if records changed meanwhile (nothing is done then).
    pub async fn consolidate(&self, how: &Consolidation) -> Result<ConsolidationReport> {
        at_home!(self, Writes, |here| here.consolidate_here(how))
    }

    /// Takes a consolidation back: all of it or, if a record changed since, none of it.
    ///
    /// # Errors
    /// `NotFound` for an unknown id, `Conflict` if it was undone before or a record changed since, naming the record.
    pub async fn undo_consolidation(&self, id: &str) -> Result<Undone> {
        at_home!(self, Writes, |here| here.undo_consolidation_here(id))
    }

    /// Removes so that nothing readable stays: in the ledger, its history, its events, and every index.
    ///
    /// # Errors
    /// `InvalidInput` naming the selector's fault, and what the ledger gives.
    pub async fn forget(&self, selector: &Selector, trial: Trial) -> Result<ForgetReceipt> {
        let mut receipt: ForgetReceipt = at_home!(self, Writes, |here| here.forget_here(selector, trial))?;
        if receipt.sequence.is_some() {
            receipt.residue.extend(self.home().await?.left_behind().await);
        }
        Ok(receipt)
    }

    /// Recomputes every hash of the namespace's chain, and that it still holds `anchor` if one is given.
    ///
    /// # Errors
    /// `Corrupted`, naming the first position that does not hold.
    pub async fn verify_audit(&self, anchor: Option<Checkpoint>) -> Result<AuditReport> {
        at_home!(self, Reads, |here| here.verify_audit_here(anchor))
    }

    /// Replays what waits in the spool, then makes pending embeddings until none is left, and answers how many were made. Safe to
    /// call at any time, by anybody.
    ///
    /// # Errors
    /// What the embedder or the ledger gives; what was finished before stays finished.
    pub async fn drain(&self) -> Result<usize> {
        at_home!(self, Writes, |here| here.drain_here())
    }

    /// Compares every index with the ledger record by record, and checks the ledger's own files.
    ///
    /// # Errors
    /// What the ledger or an index gives; differences are in the answer.
    pub async fn verify(&self) -> Result<VerifyReport> {
        at_home!(self, Reads, |here| here.verify_here())
    }

    /// Rebuilds every index of the namespace from the ledger.
    ///
    /// # Errors
    /// What the ledger or an index gives.
    pub async fn reindex(&self) -> Result<()> {
        at_home!(self, Reads, |here| here.reindex_here())
    }

    /// Counts what the namespace holds.
    ///
    /// # Errors
    /// What the ledger or an index gives.
    pub async fn stats(&self) -> Result<Stats> {
        at_home!(self, Reads, |here| here.stats_here())
    }
}
