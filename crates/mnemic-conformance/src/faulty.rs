//! Any adapter, failing at chosen calls: before they took effect, or after, when the caller cannot know that they did.
//! Not here: adapters that break their contract (the suite's own tests).

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use mnemic_core::{
    Assignment, Batch, ChainedEvent, Change, ChangeSeq, Embedding, EmbeddingModel, EraseReceipt, Erasure, Error,
    ErrorKind, Filter, Namespace, OutboxId, OutboxItem, Page, PageRequest, PastCommit, Receipt, RecordId, Result,
    Retry, Revision, Role, StoredRecord, ThreadId, ThreadSummary, Timestamp, VersionedSlots,
    ports::{
        Embedder, EventRange, Index, IndexCapabilities, IndexChange, IndexHit, IndexReport, IndexedId, Ledger,
        LedgerReport, NamespaceReport, Purpose, Read, Reranker, SlotsRevision,
    },
};

/// Whether a failing call took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strike {
    /// It did not.
    Before,
    /// It did, and the answer was lost.
    After,
}

/// Which calls fail, and how.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Only calls of these methods are counted and fail; of every asynchronous method if there are none here.
    pub methods: Vec<&'static str>,
    /// The first call that fails, from 1.
    pub first: u64,
    /// How many calls fail from there on.
    pub count: u64,
    /// Whether they took effect.
    pub strike: Strike,
    /// What they answer.
    pub kind: ErrorKind,
}

impl Fault {
    /// The `n`-th call of any method fails, from 1, as if the backend did not answer.
    pub const fn nth(n: u64, strike: Strike) -> Self {
        Self { methods: Vec::new(), first: n, count: 1, strike, kind: ErrorKind::Unavailable }
    }

    /// Every call fails, as if the backend were down.
    pub const fn always() -> Self {
        Self { methods: Vec::new(), first: 1, count: u64::MAX, strike: Strike::Before, kind: ErrorKind::Unavailable }
    }

    /// The same, but only calls of these methods are counted and fail.
    #[must_use]
    pub fn of(mut self, methods: &[&'static str]) -> Self {
        self.methods = methods.to_vec();
        self
    }

    /// The same with another kind of error.
    #[must_use]
    pub const fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }
}

#[derive(Debug, Default)]
struct Plan {
    fault: Option<Fault>,
    /// Calls that the fault counts, since it was set.
    counted: u64,
    /// Every call since the wrapper was made.
    calls: Vec<&'static str>,
}

/// An adapter that fails as told. Without a fault it only keeps a list of calls, which tells how many there are to fail.
pub struct Faulty<T: ?Sized> {
    plan: Mutex<Plan>,
    inner: Arc<T>,
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Faulty<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").field("inner", &&*self.inner).finish_non_exhaustive()
    }
}

impl<T: ?Sized> Faulty<T> {
    /// Wraps an adapter; nothing fails yet.
    pub fn new(inner: Arc<T>) -> Self {
        Self { inner, plan: Mutex::default() }
    }

    /// Wraps an adapter that fails as told.
    pub fn failing(inner: Arc<T>, fault: Fault) -> Self {
        let faulty = Self::new(inner);
        faulty.set(Some(fault));
        faulty
    }

    /// Sets what fails from now on, or that nothing does. Counting starts anew.
    pub fn set(&self, fault: Option<Fault>) {
        let mut plan = self.plan();
        (plan.fault, plan.counted) = (fault, 0);
    }

    /// The names of all calls so far, in order.
    pub fn calls(&self) -> Vec<&'static str> {
        self.plan().calls.clone()
    }

    /// How many calls the fault has counted.
    pub fn counted(&self) -> u64 {
        self.plan().counted
    }

    /// Whether a call has failed that the fault was set for.
    pub fn struck(&self) -> bool {
        let plan = self.plan();
        plan.fault.as_ref().is_some_and(|fault| plan.counted >= fault.first)
    }

    fn plan(&self) -> std::sync::MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call, and says how it fails.
    fn next(&self, method: &'static str) -> Option<(Strike, Error)> {
        let mut plan = self.plan();
        plan.calls.push(method);
        let Plan { fault, counted, .. } = &mut *plan;
        let fault = fault.as_ref().filter(|fault| fault.methods.is_empty() || fault.methods.contains(&method))?;
        *counted += 1;
        let fails = *counted >= fault.first && *counted - fault.first < fault.count;
        let retry = match fault.kind {
            ErrorKind::Unavailable | ErrorKind::RateLimited => Retry::Soon,
            _ => Retry::Never,
        };
        let error = || Error::new(fault.kind, format!("{method} fails as told")).with_retry(retry);
        fails.then(|| (fault.strike, error()))
    }
}

/// Calls through, failing before or after.
macro_rules! pass {
    ($self:ident . $method:ident ($($argument:expr),*)) => {
        match $self.next(stringify!($method)) {
            None => $self.inner.$method($($argument),*).await,
            Some((Strike::Before, error)) => Err(error),
            Some((Strike::After, error)) => {
                $self.inner.$method($($argument),*).await?;
                Err(error)
            }
        }
    };
}

#[async_trait]
impl<T: Ledger + ?Sized> Ledger for Faulty<T> {
    async fn commit(&self, namespace: &Namespace, batch: Batch) -> Result<Receipt> {
        pass!(self.commit(namespace, batch))
    }

    async fn fetch(&self, namespace: &Namespace, ids: &[RecordId], read: Read) -> Result<Vec<Option<StoredRecord>>> {
        pass!(self.fetch(namespace, ids, read))
    }

    async fn scan(
        &self,
        namespace: &Namespace,
        filter: &Filter,
        read: Read,
        page: &PageRequest,
    ) -> Result<Page<StoredRecord>> {
        pass!(self.scan(namespace, filter, read, page))
    }

    async fn history(&self, namespace: &Namespace, id: &RecordId) -> Result<Vec<Revision>> {
        pass!(self.history(namespace, id))
    }

    async fn events(
        &self,
        namespace: &Namespace,
        range: &EventRange,
        page: &PageRequest,
    ) -> Result<Page<ChainedEvent>> {
        pass!(self.events(namespace, range, page))
    }

    async fn threads(&self, namespace: &Namespace, page: &PageRequest) -> Result<Page<ThreadSummary>> {
        pass!(self.threads(namespace, page))
    }

    async fn slots(
        &self,
        namespace: &Namespace,
        thread: &ThreadId,
        as_of: Option<Timestamp>,
    ) -> Result<VersionedSlots> {
        pass!(self.slots(namespace, thread, as_of))
    }

    async fn slots_history(&self, namespace: &Namespace, thread: &ThreadId) -> Result<Vec<SlotsRevision>> {
        pass!(self.slots_history(namespace, thread))
    }

    async fn slot_threads(&self, namespace: &Namespace, page: &PageRequest) -> Result<Page<ThreadId>> {
        pass!(self.slot_threads(namespace, page))
    }

    async fn head(&self, namespace: &Namespace) -> Result<ChangeSeq> {
        pass!(self.head(namespace))
    }

    async fn changes(&self, namespace: &Namespace, after: ChangeSeq, limit: usize) -> Result<Vec<Change>> {
        pass!(self.changes(namespace, after, limit))
    }

    async fn outbox(&self, namespace: &Namespace, limit: usize) -> Result<Vec<OutboxItem>> {
        pass!(self.outbox(namespace, limit))
    }

    async fn settle(&self, namespace: &Namespace, ids: &[OutboxId]) -> Result<()> {
        pass!(self.settle(namespace, ids))
    }

    async fn namespaces(&self, page: &PageRequest) -> Result<Page<Namespace>> {
        pass!(self.namespaces(page))
    }

    async fn assignment(&self, namespace: &Namespace) -> Result<Assignment> {
        pass!(self.assignment(namespace))
    }

    async fn assign(&self, namespace: &Namespace, seen: u64, role: Role) -> Result<Assignment> {
        pass!(self.assign(namespace, seen, role))
    }

    async fn clear(&self, namespace: &Namespace, seen: u64) -> Result<Assignment> {
        pass!(self.clear(namespace, seen))
    }

    async fn repeat(&self, namespace: &Namespace, commits: &[PastCommit]) -> Result<ChangeSeq> {
        pass!(self.repeat(namespace, commits))
    }

    async fn erase(&self, namespace: &Namespace, erasure: Erasure) -> Result<EraseReceipt> {
        pass!(self.erase(namespace, erasure))
    }

    async fn models(&self, namespace: &Namespace) -> Result<Vec<EmbeddingModel>> {
        pass!(self.models(namespace))
    }

    async fn report(&self, namespace: &Namespace) -> Result<NamespaceReport> {
        pass!(self.report(namespace))
    }

    async fn check(&self) -> Result<LedgerReport> {
        pass!(self.check())
    }
}

#[async_trait]
impl<T: Index + ?Sized> Index for Faulty<T> {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn capabilities(&self) -> IndexCapabilities {
        self.inner.capabilities()
    }

    async fn prepare(&self, namespace: &Namespace, model: Option<&EmbeddingModel>) -> Result<()> {
        pass!(self.prepare(namespace, model))
    }

    async fn position(&self, namespace: &Namespace) -> Result<ChangeSeq> {
        pass!(self.position(namespace))
    }

    async fn visible(&self, namespace: &Namespace) -> Result<ChangeSeq> {
        pass!(self.visible(namespace))
    }

    async fn apply(&self, namespace: &Namespace, changes: &[IndexChange], through: ChangeSeq) -> Result<()> {
        pass!(self.apply(namespace, changes, through))
    }

    async fn search_dense(
        &self,
        namespace: &Namespace,
        vector: &Embedding,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<IndexHit>> {
        pass!(self.search_dense(namespace, vector, filter, limit))
    }

    async fn search_text(
        &self,
        namespace: &Namespace,
        query: &str,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<IndexHit>> {
        pass!(self.search_text(namespace, query, filter, limit))
    }

    async fn ids(&self, namespace: &Namespace, page: &PageRequest) -> Result<Page<IndexedId>> {
        pass!(self.ids(namespace, page))
    }

    async fn drop_namespace(&self, namespace: &Namespace) -> Result<()> {
        pass!(self.drop_namespace(namespace))
    }

    async fn check(&self, namespace: &Namespace) -> Result<IndexReport> {
        pass!(self.check(namespace))
    }
}

#[async_trait]
impl<T: Embedder + ?Sized> Embedder for Faulty<T> {
    fn model(&self) -> Option<&EmbeddingModel> {
        self.inner.model()
    }

    async fn embed(&self, purpose: Purpose, texts: &[&str]) -> Result<Vec<Option<Embedding>>> {
        pass!(self.embed(purpose, texts))
    }
}

#[async_trait]
impl<T: Reranker + ?Sized> Reranker for Faulty<T> {
    async fn rerank(&self, query: &str, texts: &[&str]) -> Result<Vec<f32>> {
        pass!(self.rerank(query, texts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Counting(std::sync::atomic::AtomicU64);

    #[async_trait]
    impl Reranker for Counting {
        async fn rerank(&self, _: &str, texts: &[&str]) -> Result<Vec<f32>> {
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            Ok(vec![0.0; texts.len()])
        }
    }

    #[tokio::test]
    async fn the_nth_call_fails_before_or_after_it_took_effect_and_no_other() {
        for (strike, took_effect) in [(Strike::Before, 3), (Strike::After, 4)] {
            let inner = Arc::new(Counting::default());
            let faulty = Faulty::failing(Arc::clone(&inner), Fault::nth(2, strike));
            assert!(faulty.rerank("q", &["t"]).await.is_ok());
            let error = faulty.rerank("q", &["t"]).await.unwrap_err();
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Soon));
            assert!(faulty.rerank("q", &["t"]).await.is_ok());
            assert!(faulty.rerank("q", &["t"]).await.is_ok());
            assert_eq!(inner.0.load(std::sync::atomic::Ordering::SeqCst), took_effect, "{strike:?}");
            assert_eq!((faulty.calls().len(), faulty.struck()), (4, true));
        }
    }

    #[tokio::test]
    async fn only_named_methods_are_counted_and_a_fault_can_be_lifted() {
        let faulty = Faulty::new(Arc::new(Counting::default()) as Arc<dyn Reranker>);
        faulty.set(Some(Fault::always().of(&["commit"])));
        assert!(faulty.rerank("q", &[]).await.is_ok());
        faulty.set(Some(Fault::always().with_kind(ErrorKind::Denied)));
        assert_eq!(faulty.rerank("q", &[]).await.unwrap_err().kind(), ErrorKind::Denied);
        faulty.set(None);
        assert!(faulty.rerank("q", &[]).await.is_ok());
    }
}
