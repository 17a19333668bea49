//! The ledger in PostgreSQL: shared tables behind row security, one transaction per group of commits, many programs at once.
//! Not here: connections, schema and walls (`mnemic-postgres`); searching (`mnemic-indexes`).

mod arrays;
mod commit;
mod draft;
mod erase;
mod error;
mod events;
mod facets;
mod feed;
mod filter;
mod guess;
mod known;
mod records;
mod repeat;
mod role;
mod rows;
mod save;
mod slots;
mod writer;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use mnemic_core::{
    Assignment, Batch, ChainedEvent, Change, ChangeSeq, EmbeddingModel, EraseReceipt, Erasure, Filter, Namespace,
    OutboxId, OutboxItem, Page, PageRequest, PastCommit, Receipt, RecordId, Result, Revision, Role, StoredRecord,
    ThreadId, ThreadSummary, Timestamp, VersionedSlots,
    ports::{EventRange, Ledger, LedgerReport, NamespaceReport, Read, SlotsRevision},
};
use mnemic_postgres::{Pool, PostgresConfig};

use self::writer::Writers;
use crate::rules;

/// A ledger in a PostgreSQL database.
pub struct PostgresLedger {
    pool: Pool,
    writers: Arc<Writers>,
}

impl fmt::Debug for PostgresLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresLedger").field("pool", &self.pool).finish_non_exhaustive()
    }
}

impl PostgresLedger {
    /// Connects, brings the schema up to date, and makes sure that namespaces are kept apart.
    ///
    /// # Errors
    /// Those of [`Pool::connect`].
    pub async fn connect(config: PostgresConfig) -> Result<Self> {
        Pool::connect(config).await.map(Self::from_pool)
    }

    /// A ledger over connections that others share. Nothing is asked of the database before the first call.
    pub fn from_pool(pool: Pool) -> Self {
        Self { writers: Arc::new(Writers::new(pool.clone())), pool }
    }
}

#[async_trait]
impl Ledger for PostgresLedger {
    async fn commit(&self, namespace: &Namespace, batch: Batch) -> Result<Receipt> {
        Writers::commit(&self.writers, namespace, batch).await
    }

    async fn fetch(&self, namespace: &Namespace, ids: &[RecordId], read: Read) -> Result<Vec<Option<StoredRecord>>> {
        rules::check_read(read)?;
        records::fetch(&self.pool, namespace, ids, read).await
    }

    async fn scan(
        &self,
        namespace: &Namespace,
        filter: &Filter,
        read: Read,
        page: &PageRequest,
    ) -> Result<Page<StoredRecord>> {
        rules::check_read(read)?;
        records::scan(&self.pool, namespace, filter, read, page).await
    }

    async fn history(&self, namespace: &Namespace, id: &RecordId) -> Result<Vec<Revision>> {
        records::history(&self.pool, namespace, id).await
    }

    async fn events(
        &self,
        namespace: &Namespace,
        range: &EventRange,
        page: &PageRequest,
    ) -> Result<Page<ChainedEvent>> {
        events::events(&self.pool, namespace, range, page).await
    }

    async fn threads(&self, namespace: &Namespace, page: &PageRequest) -> Result<Page<ThreadSummary>> {
        events::threads(&self.pool, namespace, page).await
    }

    async fn slots(
        &self,
        namespace: &Namespace,
        thread: &ThreadId,
        as_of: Option<Timestamp>,
    ) -> Result<VersionedSlots> {
        slots::slots(&self.pool, namespace, thread, as_of).await
    }

    async fn slots_history(&self, namespace: &Namespace, thread: &ThreadId) -> Result<Vec<SlotsRevision>> {
        slots::slots_history(&self.pool, namespace, thread).await
    }

    async fn slot_threads(&self, namespace: &Namespace, page: &PageRequest) -> Result<Page<ThreadId>> {
        slots::slot_threads(&self.pool, namespace, page).await
    }

    async fn head(&self, namespace: &Namespace) -> Result<ChangeSeq> {
        feed::head(&self.pool, namespace).await
    }

    async fn changes(&self, namespace: &Namespace, after: ChangeSeq, limit: usize) -> Result<Vec<Change>> {
        feed::changes(&self.pool, namespace, after, limit).await
    }

    async fn outbox(&self, namespace: &Namespace, limit: usize) -> Result<Vec<OutboxItem>> {
        feed::outbox(&self.pool, namespace, limit).await
    }

    async fn settle(&self, namespace: &Namespace, ids: &[OutboxId]) -> Result<()> {
        feed::settle(&self.pool, namespace, ids).await
    }

    async fn namespaces(&self, page: &PageRequest) -> Result<Page<Namespace>> {
        let after: Option<Namespace> = rules::cursor(page)?;
        let names = self.pool.namespaces(after.as_ref(), page.order, page.limit() + 1).await?;
        rules::page(names.into_iter().map(|name| Ok((name.clone(), name))), page)
    }

    async fn repeat(&self, namespace: &Namespace, commits: &[PastCommit]) -> Result<ChangeSeq> {
        repeat::repeat(&self.pool, namespace, commits).await
    }

    async fn assignment(&self, namespace: &Namespace) -> Result<Assignment> {
        role::assignment(&self.pool, namespace).await
    }

    async fn assign(&self, namespace: &Namespace, seen: u64, role: Role) -> Result<Assignment> {
        role::assign(&self.pool, namespace, seen, role).await
    }

    async fn clear(&self, namespace: &Namespace, seen: u64) -> Result<Assignment> {
        role::clear(&self.pool, namespace, seen).await
    }

    async fn erase(&self, namespace: &Namespace, erasure: Erasure) -> Result<EraseReceipt> {
        erase::erase(&self.pool, namespace, &erasure).await
    }

    async fn models(&self, namespace: &Namespace) -> Result<Vec<EmbeddingModel>> {
        feed::models(&self.pool, namespace).await
    }

    async fn report(&self, namespace: &Namespace) -> Result<NamespaceReport> {
        feed::report(&self.pool, namespace).await
    }

    async fn check(&self) -> Result<LedgerReport> {
        let server = self.pool.ready().await?;
        let faults = self.pool.faults().await?;
        let location = self.pool.hosts().to_owned();
        Ok(LedgerReport { backend: format!("PostgreSQL {}", server.version), location, faults })
    }
}
