//! Reading what memory holds: records, history, events, threads, slots, the change feed. Not here: finding by meaning (`retrieve`).

use std::fmt::Write;

use mnemic_core::{
    ChainedEvent, Change, ChangeSeq, Comparison, Error, Field, Filter, MemoryRecord, Namespace, Operand, Page,
    PageRequest, RecordId, Result, Revision, StoredRecord, ThreadId, ThreadSummary, Timestamp, limits,
    ports::{Embeddings, EventRange, Read, SlotsRevision},
};

use tokio::task;

use super::MemoryManager;

/// Lets other tasks have their turns. A read may have nothing to wait for, and a task of nothing but such reads would keep its worker for
/// itself for ever; as many of them as there are workers would keep everybody else from running.
pub(super) async fn take_turns() {
    if task::try_id().is_some() {
        task::yield_now().await;
    } else {
        task::consume_budget().await;
    }
}

impl MemoryManager {
    /// See [`MemoryManager::get`].
    pub(crate) async fn get_here(
        &self,
        ids: &[RecordId],
        as_of: Option<Timestamp>,
    ) -> Result<Vec<Option<MemoryRecord>>> {
        if ids.len() > limits::BATCH {
            return Err(Error::invalid("ids", format!("at most {} ids", limits::BATCH), format!("{} ids", ids.len())));
        }
        take_turns().await;
        let read = Read { as_of, embeddings: Embeddings::Omit };
        let stored = self.engine.ledger.fetch(&self.namespace, ids, read).await?;
        let now = as_of.unwrap_or_else(|| self.now());
        let current = |record: &MemoryRecord| record.expires_at.is_none_or(|end| now < end);
        Ok(stored.into_iter().map(|stored| stored.map(|stored| stored.record).filter(current)).collect())
    }

    /// See [`MemoryManager::list`].
    pub(crate) async fn list_here(
        &self,
        filter: &Filter,
        as_of: Option<Timestamp>,
        page: &PageRequest,
    ) -> Result<Page<MemoryRecord>> {
        filter.check()?;
        take_turns().await;
        let read = Read { as_of, embeddings: Embeddings::Omit };
        let filter = filter.clone().and(not_expired(as_of.unwrap_or_else(|| self.now())));
        let found = self.engine.ledger.scan(&self.namespace, &filter, read, page).await?;
        Ok(Page { items: found.items.into_iter().map(|stored| stored.record).collect(), next: found.next })
    }

    /// See [`MemoryManager::list_stored`].
    pub(crate) async fn list_stored_here(&self, filter: &Filter, page: &PageRequest) -> Result<Page<StoredRecord>> {
        filter.check()?;
        let read = Read { as_of: None, embeddings: Embeddings::Include };
        self.engine.ledger.scan(&self.namespace, filter, read, page).await
    }

    /// See [`MemoryManager::history`].
    pub(crate) async fn history_here(&self, id: &RecordId) -> Result<Vec<Revision>> {
        self.engine.ledger.history(&self.namespace, id).await
    }

    /// See [`MemoryManager::events`].
    pub(crate) async fn events_here(&self, range: &EventRange, page: &PageRequest) -> Result<Page<ChainedEvent>> {
        self.engine.ledger.events(&self.namespace, range, page).await
    }

    /// See [`MemoryManager::threads`].
    pub(crate) async fn threads_here(&self, page: &PageRequest) -> Result<Page<ThreadSummary>> {
        self.engine.ledger.threads(&self.namespace, page).await
    }

    /// See [`MemoryManager::slot_threads`].
    pub(crate) async fn slot_threads_here(&self, page: &PageRequest) -> Result<Page<ThreadId>> {
        self.engine.ledger.slot_threads(&self.namespace, page).await
    }

    /// See [`MemoryManager::slots_history`].
    pub(crate) async fn slots_history_here(&self, thread: &ThreadId) -> Result<Vec<SlotsRevision>> {
        self.engine.ledger.slots_history(&self.namespace, thread).await
    }

    /// See [`MemoryManager::changes`].
    pub(crate) async fn changes_here(&self, after: ChangeSeq, limit: usize) -> Result<Vec<Change>> {
        self.engine.ledger.changes(&self.namespace, after, limit).await
    }

    /// Lists the namespaces of the whole memory. For operators: no other call of a handle reaches beyond its own namespace.
    ///
    /// # Errors
    /// What the ledger gives.
    pub async fn namespaces(&self, page: &PageRequest) -> Result<Page<Namespace>> {
        self.engine.ledger.namespaces(page).await
    }

    /// See [`MemoryManager::snapshot_thread`].
    pub(crate) async fn snapshot_thread_here(&self, thread: &ThreadId) -> Result<String> {
        let range = EventRange { thread_id: Some(thread.clone()), ..EventRange::default() };
        let mut snapshot = String::new();
        let show = |entry: ChainedEvent| {
            let Some(event) = entry.event else { return Ok(()) };
            if !snapshot.is_empty() {
                snapshot.push('\n');
            }
            // Writing to a String cannot fail.
            let _infallible = write!(snapshot, "{} {}:{} ", event.timestamp, event.source, event.action);
            mnemic_core::value::write_canonical_object(&event.payload, &mut snapshot);
            Ok(())
        };
        self.each_event(&range, show).await?;
        Ok(snapshot)
    }
}

/// What has expired is hidden at once, whenever it is removed.
pub(super) fn not_expired(now: Timestamp) -> Filter {
    Filter::Not(Box::new(Filter::Compare(Field::ExpiresAt, Comparison::Lte, Operand::Timestamp(now))))
}
