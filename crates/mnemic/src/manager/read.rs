//! Reading what memory holds: records, history, events, threads, slots, the change feed. Not here: finding by meaning (`retrieve`).

use std::fmt::Write;

use mnemic_core::{
    ChainedEvent, Change, ChangeSeq, Comparison, Error, Field, Filter, MemoryRecord, Namespace, Operand, Page,
    PageRequest, RecordId, Result, Revision, StoredRecord, ThreadId, ThreadSummary, Timestamp, limits,
    ports::{Embeddings, EventRange, Read, SlotsRevision},
};

use super::MemoryManager;

impl MemoryManager {
    /// Reads records by id, position by position; `None` where absent or expired.
    ///
    /// # Errors
    /// `InvalidInput` for more than 1000 ids, and what the ledger gives.
    pub async fn get(&self, ids: &[RecordId], as_of: Option<Timestamp>) -> Result<Vec<Option<MemoryRecord>>> {
        if ids.len() > limits::BATCH {
            return Err(Error::invalid("ids", format!("at most {} ids", limits::BATCH), format!("{} ids", ids.len())));
        }
        let read = Read { as_of, embeddings: Embeddings::Omit };
        let stored = self.engine.ledger.fetch(&self.namespace, ids, read).await?;
        let now = as_of.unwrap_or_else(|| self.now());
        let current = |record: &MemoryRecord| record.expires_at.is_none_or(|end| now < end);
        Ok(stored.into_iter().map(|stored| stored.map(|stored| stored.record).filter(current)).collect())
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
        filter.check()?;
        let read = Read { as_of, embeddings: Embeddings::Omit };
        let filter = filter.clone().and(not_expired(as_of.unwrap_or_else(|| self.now())));
        let found = self.engine.ledger.scan(&self.namespace, &filter, read, page).await?;
        Ok(Page { items: found.items.into_iter().map(|stored| stored.record).collect(), next: found.next })
    }

    /// Everything that passes, expired or not, with embeddings: for moving data without embedding it again.
    ///
    /// # Errors
    /// What the ledger gives.
    pub async fn list_stored(&self, filter: &Filter, page: &PageRequest) -> Result<Page<StoredRecord>> {
        filter.check()?;
        let read = Read { as_of: None, embeddings: Embeddings::Include };
        self.engine.ledger.scan(&self.namespace, filter, read, page).await
    }

    /// Every revision of a record, newest first; empty if it never existed or was forgotten.
    ///
    /// # Errors
    /// What the ledger gives.
    pub async fn history(&self, id: &RecordId) -> Result<Vec<Revision>> {
        self.engine.ledger.history(&self.namespace, id).await
    }

    /// Reads the audit chain.
    ///
    /// # Errors
    /// What the ledger gives.
    pub async fn events(&self, range: &EventRange, page: &PageRequest) -> Result<Page<ChainedEvent>> {
        self.engine.ledger.events(&self.namespace, range, page).await
    }

    /// Lists threads that hold events.
    ///
    /// # Errors
    /// What the ledger gives.
    pub async fn threads(&self, page: &PageRequest) -> Result<Page<ThreadSummary>> {
        self.engine.ledger.threads(&self.namespace, page).await
    }

    /// Lists threads that hold slots.
    ///
    /// # Errors
    /// What the ledger gives.
    pub async fn slot_threads(&self, page: &PageRequest) -> Result<Page<ThreadId>> {
        self.engine.ledger.slot_threads(&self.namespace, page).await
    }

    /// Every version of a thread's slots, newest first.
    ///
    /// # Errors
    /// What the ledger gives.
    pub async fn slots_history(&self, thread: &ThreadId) -> Result<Vec<SlotsRevision>> {
        self.engine.ledger.slots_history(&self.namespace, thread).await
    }

    /// Changes after a position of the feed, at most `limit`.
    ///
    /// # Errors
    /// What the ledger gives.
    pub async fn changes(&self, after: ChangeSeq, limit: usize) -> Result<Vec<Change>> {
        self.engine.ledger.changes(&self.namespace, after, limit).await
    }

    /// Lists the namespaces of the whole memory. For operators: no other call of a handle reaches beyond its own namespace.
    ///
    /// # Errors
    /// What the ledger gives.
    pub async fn namespaces(&self, page: &PageRequest) -> Result<Page<Namespace>> {
        self.engine.ledger.namespaces(page).await
    }

    /// Every event of a thread in order, one line each: `{timestamp} {source}:{action} {payload}`.
    ///
    /// # Errors
    /// What the ledger gives.
    pub async fn snapshot_thread(&self, thread: &ThreadId) -> Result<String> {
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
