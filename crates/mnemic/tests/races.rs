//! Several processes, tasks and namespaces at once, callers that give up, parts that fail halfway: what one does never loses, doubles
//! or holds up what another does. Not here: single outages (`degradation`, `far_index`, `spool`) and outages under load (`outage`).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use common::{found, id, namespace, record};
use mnemic::ports::{
    Embedder, Index, IndexCapabilities, IndexChange, IndexHit, IndexReport, IndexedId, Ledger, ManualClock, Purpose,
    Visibility,
};
use mnemic::{
    Builder, ChangeSeq, Embedding, EmbeddingModel, Error, ErrorKind, Filter, MemoryManager, Metric, Namespace,
    NewRecord, Page, PageRequest, Query, Result, Retry, Selector, Trial, WriteOptions,
};
use mnemic_conformance::faulty::{Fault, Faulty};
use mnemic_core::{
    Assignment, Batch, ChainedEvent, Change, EraseReceipt, Erasure, OutboxId, OutboxItem, PastCommit, Receipt,
    RecordId, Revision, Role, StoredRecord, ThreadId, ThreadSummary, Timestamp, VersionedSlots,
    ports::{EventRange, LedgerReport, NamespaceReport, Read, SlotsRevision},
};
use mnemic_indexes::{LocalIndex, LocalIndexConfig};
use mnemic_ledgers::InMemoryLedger;
use mnemic_spool::SpoolConfig;
use tokio::sync::Semaphore;

#[derive(Debug)]
struct Letters {
    model: EmbeddingModel,
    down: AtomicBool,
}
impl Letters {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            model: EmbeddingModel::new("test", "letters", 26, Metric::Cosine).unwrap(),
            down: AtomicBool::new(false),
        })
    }
}
#[async_trait]
impl Embedder for Letters {
    fn model(&self) -> Option<&EmbeddingModel> {
        Some(&self.model)
    }
    async fn embed(&self, _p: Purpose, texts: &[&str]) -> Result<Vec<Option<Embedding>>> {
        if self.down.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Unavailable, "down").with_retry(Retry::Soon));
        }
        texts
            .iter()
            .map(|t| {
                let mut l = vec![0.1f32; 26];
                for b in t.to_lowercase().bytes().filter(u8::is_ascii_lowercase) {
                    l[usize::from(b - b'a')] += 1.0;
                }
                Embedding::new(&self.model, l).map(Some)
            })
            .collect()
    }
}

/// One process's handle on a shared index. Applies wait for permits when `gated`.
#[derive(Debug)]
struct Gate {
    name: &'static str,
    inner: Arc<LocalIndex>,
    visibility: Visibility,
    gated: AtomicBool,
    permits: Semaphore,
    waiting: AtomicUsize,
    applies: AtomicUsize,
    drops: AtomicUsize,
}
impl Gate {
    fn on(inner: &Arc<LocalIndex>, name: &'static str, visibility: Visibility) -> Arc<Self> {
        Arc::new(Self {
            name,
            inner: Arc::clone(inner),
            visibility,
            gated: AtomicBool::new(false),
            permits: Semaphore::new(0),
            waiting: AtomicUsize::new(0),
            applies: AtomicUsize::new(0),
            drops: AtomicUsize::new(0),
        })
    }
    fn shut(&self) {
        self.gated.store(true, Ordering::SeqCst);
    }
    fn open(&self) {
        self.gated.store(false, Ordering::SeqCst);
        self.permits.add_permits(10_000);
    }
    async fn until(&self, what: impl Fn(&Self) -> bool) {
        tokio::time::timeout(Duration::from_secs(20), async {
            while !what(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .unwrap();
    }
}
fn local() -> Arc<LocalIndex> {
    Arc::new(LocalIndex::new(LocalIndexConfig::default()).unwrap())
}
#[async_trait]
impl Index for Gate {
    fn name(&self) -> &'static str {
        self.name
    }
    fn capabilities(&self) -> IndexCapabilities {
        IndexCapabilities { visibility: self.visibility, ..self.inner.capabilities() }
    }
    async fn prepare(&self, n: &Namespace, m: Option<&EmbeddingModel>) -> Result<()> {
        self.inner.prepare(n, m).await
    }
    async fn position(&self, n: &Namespace) -> Result<ChangeSeq> {
        self.inner.position(n).await
    }
    async fn visible(&self, n: &Namespace) -> Result<ChangeSeq> {
        self.inner.position(n).await
    }
    async fn apply(&self, n: &Namespace, c: &[IndexChange], t: ChangeSeq) -> Result<()> {
        if self.gated.load(Ordering::SeqCst) {
            self.waiting.fetch_add(1, Ordering::SeqCst);
            self.permits.acquire().await.unwrap().forget();
            self.waiting.fetch_sub(1, Ordering::SeqCst);
        }
        self.applies.fetch_add(1, Ordering::SeqCst);
        self.inner.apply(n, c, t).await
    }
    async fn search_dense(&self, n: &Namespace, v: &Embedding, f: &Filter, l: usize) -> Result<Vec<IndexHit>> {
        self.inner.search_dense(n, v, f, l).await
    }
    async fn search_text(&self, n: &Namespace, q: &str, f: &Filter, l: usize) -> Result<Vec<IndexHit>> {
        self.inner.search_text(n, q, f, l).await
    }
    async fn ids(&self, n: &Namespace, p: &PageRequest) -> Result<Page<IndexedId>> {
        self.inner.ids(n, p).await
    }
    async fn drop_namespace(&self, n: &Namespace) -> Result<()> {
        self.drops.fetch_add(1, Ordering::SeqCst);
        self.inner.drop_namespace(n).await
    }
    async fn check(&self, n: &Namespace) -> Result<IndexReport> {
        self.inner.check(n).await
    }
}

fn far(ledger: &Arc<InMemoryLedger>, gate: &Arc<Gate>) -> Builder {
    Builder::default().ledger(Arc::<InMemoryLedger>::clone(ledger)).index(Arc::<Gate>::clone(gate))
}
async fn write(memory: &MemoryManager, records: Vec<NewRecord>) {
    memory.write(records, &WriteOptions::default()).await.unwrap();
}
async fn fill(ledger: &Arc<InMemoryLedger>, pages: usize) {
    let memory = Builder::default().ledger(Arc::<InMemoryLedger>::clone(ledger)).build(namespace("default")).unwrap();
    for page in 0..pages {
        write(&memory, (0..1000).map(|n| record(&format!("r{page}-{n:04}"), &format!("common word{n}"))).collect())
            .await;
    }
}

type FaultyLedger = Faulty<InMemoryLedger>;
fn open(ledger: &Arc<FaultyLedger>, directory: &std::path::Path) -> MemoryManager {
    Builder::default()
        .ledger(Arc::<FaultyLedger>::clone(ledger))
        .spool(SpoolConfig::new(directory))
        .build(namespace("default"))
        .unwrap()
}
fn spooling() -> (Arc<FaultyLedger>, tempfile::TempDir, MemoryManager) {
    let (ledger, directory) = (Arc::new(Faulty::new(Arc::new(InMemoryLedger::new()))), tempfile::tempdir().unwrap());
    let memory = open(&ledger, &directory.path().join("spool"));
    (ledger, directory, memory)
}

#[tokio::test]
async fn an_acknowledged_write_survives_a_database_that_is_misconfigured_for_a_while() {
    for kind in [ErrorKind::InvalidConfig, ErrorKind::Corrupted, ErrorKind::Bug] {
        let (ledger, _d, memory) = spooling();
        ledger.set(Some(Fault::always()));
        write(&memory, vec![record("a", "kept")]).await;
        ledger.set(Some(Fault::always().with_kind(kind)));
        // It cannot succeed yet, and must not do harm.
        assert!(memory.drain().await.is_err());
        ledger.set(None);
        memory.drain().await.unwrap();
        assert!(memory.get(&[id("a")], None).await.unwrap()[0].is_some(), "{kind}: lost from memory");
    }
}

#[tokio::test]
async fn two_processes_that_build_one_index_at_once_leave_no_hole() {
    let ledger = Arc::new(InMemoryLedger::new());
    fill(&ledger, 4).await;
    let index = local();
    let (one, two) = (Gate::on(&index, "far", Visibility::Immediate), Gate::on(&index, "far", Visibility::Immediate));
    let (a, b) = (
        far(&ledger, &one).build(namespace("default")).unwrap(),
        far(&ledger, &two).build(namespace("default")).unwrap(),
    );
    one.shut();
    two.shut();
    let (a2, b2) = (a.clone(), b.clone());
    let ta = tokio::spawn(async move { a2.stats().await });
    one.until(|g| g.waiting.load(Ordering::SeqCst) == 1).await;
    one.permits.add_permits(2);
    one.until(|g| g.applies.load(Ordering::SeqCst) == 2 && g.waiting.load(Ordering::SeqCst) == 1).await;
    let tb = tokio::spawn(async move { b2.stats().await }); // position 0: drops what the first has put in
    two.until(|g| g.waiting.load(Ordering::SeqCst) == 1).await;
    one.open();
    drop(ta.await.unwrap());
    two.open();
    drop(tb.await.unwrap());
    let report = a.verify().await.unwrap();
    assert!(report.faults.is_empty(), "{} faults, first {:?}", report.faults.len(), report.faults.last());
}

#[tokio::test]
async fn callers_that_give_up_do_not_make_an_index_start_over_each_time() {
    let ledger = Arc::new(InMemoryLedger::new());
    fill(&ledger, 4).await;
    let gate = Gate::on(&local(), "far", Visibility::Eventual);
    let memory = far(&ledger, &gate).in_background().build(namespace("default")).unwrap();
    gate.shut();
    for n in 0..4 {
        gate.permits.add_permits(3);
        drop(
            tokio::time::timeout(
                Duration::from_millis(700),
                memory.write(vec![record(&format!("n{n}"), "x")], &WriteOptions::default()),
            )
            .await,
        );
    }
    assert!(gate.drops.load(Ordering::SeqCst) <= 1, "it started over {} times", gate.drops.load(Ordering::SeqCst));
}

#[tokio::test]
async fn work_left_by_a_call_that_was_given_up_is_finished() {
    let (ledger, embedder) = (Arc::new(InMemoryLedger::new()), Letters::new());
    let gate = Gate::on(&local(), "far", Visibility::Eventual);
    let memory = far(&ledger, &gate)
        .embedder(Arc::<Letters>::clone(&embedder))
        .in_background()
        .build(namespace("default"))
        .unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await; // the worker has looked once
    embedder.down.store(true, Ordering::SeqCst);
    gate.shut();
    let given_up = tokio::time::timeout(
        Duration::from_millis(200),
        memory.write(vec![record("a", "x")], &WriteOptions::default()),
    )
    .await;
    assert!(given_up.is_err());
    embedder.down.store(false, Ordering::SeqCst);
    gate.open();
    tokio::time::sleep(Duration::from_secs(20)).await; // longer than the worker's longest pause
    assert_eq!(ledger.outbox(&namespace("default"), 10).await.unwrap().len(), 0, "its embedding is pending for ever");
}

#[tokio::test]
async fn draining_without_an_embedder_drops_no_pending_embedding() {
    let (ledger, embedder) = (Arc::new(InMemoryLedger::new()), Letters::new());
    let with = || {
        Builder::default()
            .ledger(Arc::<InMemoryLedger>::clone(&ledger))
            .embedder(Arc::<Letters>::clone(&embedder))
            .build(namespace("default"))
            .unwrap()
    };
    embedder.down.store(true, Ordering::SeqCst);
    write(&with(), vec![record("a", "pending")]).await;
    let without = Builder::default().ledger(Arc::<InMemoryLedger>::clone(&ledger)).build(namespace("default")).unwrap();
    without.drain().await.unwrap();
    embedder.down.store(false, Ordering::SeqCst);
    let again = with();
    again.drain().await.unwrap();
    assert_eq!(again.stats().await.unwrap().ledger.embeddings, 1, "never embedded, and nothing says so");
}

#[tokio::test]
async fn an_eventual_index_that_another_process_left_behind_catches_up_when_it_is_used() {
    let ledger = Arc::new(InMemoryLedger::new());
    fill(&ledger, 1).await;
    let gate = Gate::on(&local(), "far", Visibility::Eventual);
    let memory = far(&ledger, &gate).in_background().build(namespace("default")).unwrap();
    for _ in 0..10 {
        memory.retrieve(&Query::new("common")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert!(gate.inner.position(&namespace("default")).await.unwrap().0 > 0, "still at position 0");
}

#[tokio::test]
async fn forgetting_while_the_spool_cannot_be_opened_does_not_claim_that_nothing_is_left() {
    let (ledger, d, memory) = spooling();
    let (spool, away) = (d.path().join("spool"), d.path().join("away"));
    ledger.set(Some(Fault::always()));
    write(&memory, vec![record("a", "secret")]).await;
    drop(memory);
    ledger.set(None);
    std::thread::sleep(Duration::from_millis(300));
    std::fs::rename(&spool, &away).unwrap();
    std::fs::write(&spool, b"").unwrap(); // stands for a mount that is not there yet
    let memory = open(&ledger, &spool);
    let receipt = memory.forget(&Selector::Ids(vec![id("a")]), Trial::Real).await;
    std::fs::remove_file(&spool).unwrap();
    std::fs::rename(&away, &spool).unwrap();
    memory.drain().await.unwrap();
    let back = memory.get(&[id("a")], None).await.unwrap()[0].is_some();
    assert!(
        receipt.as_ref().is_err() || !receipt.as_ref().unwrap().residue.is_empty() || !back,
        "{receipt:?}, and it came back"
    );
}

#[tokio::test]
async fn the_same_idempotent_write_twice_during_an_outage_answers_the_same_ids() {
    let (ledger, _d, memory) = spooling();
    ledger.set(Some(Fault::always()));
    let options = WriteOptions { idempotency_key: Some("k".into()), ..WriteOptions::default() };
    let one = memory.write(vec![NewRecord::new("x")], &options).await.unwrap();
    let two = memory.write(vec![NewRecord::new("x")], &options).await.unwrap();
    ledger.set(None);
    memory.drain().await.unwrap();
    let ids = [one.records[0].id.clone(), two.records[0].id.clone()];
    let held = memory.get(&ids, None).await.unwrap();
    assert!(held.iter().all(Option::is_some), "an acknowledged id does not exist: {ids:?}");
}

#[tokio::test]
async fn the_same_event_written_twice_during_an_outage_is_one_and_nothing_is_refused() {
    let clock = Arc::new(ManualClock::new(common::at("2026-03-01T12:00:00Z")));
    let (ledger, d) = (Arc::new(Faulty::new(Arc::new(InMemoryLedger::new()))), tempfile::tempdir().unwrap());
    let memory = Builder::default()
        .ledger(Arc::<FaultyLedger>::clone(&ledger))
        .clock(Arc::<ManualClock>::clone(&clock))
        .spool(SpoolConfig::new(d.path()))
        .build(namespace("default"))
        .unwrap();
    ledger.set(Some(Fault::always()));
    memory.write_event(common::event("e", "t", "it was filed")).await.unwrap();
    clock.set(common::at("2026-03-01T12:00:05Z"));
    memory.write_event(common::event("e", "t", "it was filed")).await.unwrap();
    ledger.set(None);
    memory.drain().await.unwrap();
    let health = memory.health_check().await;
    let spool = health.details.iter().find(|x| x.part == "spool").unwrap();
    assert!(spool.healthy, "{}", spool.message);
}

#[tokio::test]
async fn nobody_learns_how_much_waits_for_others() {
    let (ledger, _d, memory) = spooling();
    ledger.set(Some(Fault::always()));
    let other = memory.in_namespace(namespace("other"));
    assert!(other.retrieve(&Query::new("x")).await.is_err());
    write(&memory, vec![record("a", "x")]).await;
    let after = other.retrieve(&Query::new("x")).await;
    assert!(
        after.is_err(),
        "another namespace's writes turn this namespace's error into an empty answer: {:?}",
        after.unwrap().degraded
    );
}

/// A ledger that is away for one namespace only, as where a lock, a lane or a statement of one is stuck.
#[derive(Debug)]
struct OneDown {
    inner: Arc<InMemoryLedger>,
    down: std::sync::Mutex<Option<&'static str>>,
}
impl OneDown {
    fn up(&self, namespace: &Namespace) -> Result<()> {
        if *self.down.lock().unwrap() == Some(namespace.as_str()) {
            return Err(Error::new(ErrorKind::Unavailable, "stuck").with_retry(Retry::Soon));
        }
        Ok(())
    }
}
#[async_trait]
impl Ledger for OneDown {
    async fn commit(&self, namespace: &Namespace, batch: Batch) -> Result<Receipt> {
        self.up(namespace)?;
        self.inner.commit(namespace, batch).await
    }

    async fn fetch(&self, namespace: &Namespace, ids: &[RecordId], read: Read) -> Result<Vec<Option<StoredRecord>>> {
        self.up(namespace)?;
        self.inner.fetch(namespace, ids, read).await
    }

    async fn scan(
        &self,
        namespace: &Namespace,
        filter: &Filter,
        read: Read,
        page: &PageRequest,
    ) -> Result<Page<StoredRecord>> {
        self.up(namespace)?;
        self.inner.scan(namespace, filter, read, page).await
    }

    async fn history(&self, namespace: &Namespace, id: &RecordId) -> Result<Vec<Revision>> {
        self.up(namespace)?;
        self.inner.history(namespace, id).await
    }

    async fn events(
        &self,
        namespace: &Namespace,
        range: &EventRange,
        page: &PageRequest,
    ) -> Result<Page<ChainedEvent>> {
        self.up(namespace)?;
        self.inner.events(namespace, range, page).await
    }

    async fn threads(&self, namespace: &Namespace, page: &PageRequest) -> Result<Page<ThreadSummary>> {
        self.up(namespace)?;
        self.inner.threads(namespace, page).await
    }

    async fn slots(
        &self,
        namespace: &Namespace,
        thread: &ThreadId,
        as_of: Option<Timestamp>,
    ) -> Result<VersionedSlots> {
        self.up(namespace)?;
        self.inner.slots(namespace, thread, as_of).await
    }

    async fn slots_history(&self, namespace: &Namespace, thread: &ThreadId) -> Result<Vec<SlotsRevision>> {
        self.up(namespace)?;
        self.inner.slots_history(namespace, thread).await
    }

    async fn slot_threads(&self, namespace: &Namespace, page: &PageRequest) -> Result<Page<ThreadId>> {
        self.up(namespace)?;
        self.inner.slot_threads(namespace, page).await
    }

    async fn head(&self, namespace: &Namespace) -> Result<ChangeSeq> {
        self.up(namespace)?;
        self.inner.head(namespace).await
    }

    async fn changes(&self, namespace: &Namespace, after: ChangeSeq, limit: usize) -> Result<Vec<Change>> {
        self.up(namespace)?;
        self.inner.changes(namespace, after, limit).await
    }

    async fn outbox(&self, namespace: &Namespace, limit: usize) -> Result<Vec<OutboxItem>> {
        self.up(namespace)?;
        self.inner.outbox(namespace, limit).await
    }

    async fn settle(&self, namespace: &Namespace, ids: &[OutboxId]) -> Result<()> {
        self.up(namespace)?;
        self.inner.settle(namespace, ids).await
    }

    async fn namespaces(&self, page: &PageRequest) -> Result<Page<Namespace>> {
        self.inner.namespaces(page).await
    }

    async fn assignment(&self, namespace: &Namespace) -> Result<Assignment> {
        self.up(namespace)?;
        self.inner.assignment(namespace).await
    }

    async fn assign(&self, namespace: &Namespace, seen: u64, role: Role) -> Result<Assignment> {
        self.up(namespace)?;
        self.inner.assign(namespace, seen, role).await
    }

    async fn clear(&self, namespace: &Namespace, seen: u64) -> Result<Assignment> {
        self.up(namespace)?;
        self.inner.clear(namespace, seen).await
    }

    async fn repeat(&self, namespace: &Namespace, commits: &[PastCommit]) -> Result<ChangeSeq> {
        self.up(namespace)?;
        self.inner.repeat(namespace, commits).await
    }

    async fn erase(&self, namespace: &Namespace, erasure: Erasure) -> Result<EraseReceipt> {
        self.up(namespace)?;
        self.inner.erase(namespace, erasure).await
    }

    async fn report(&self, namespace: &Namespace) -> Result<NamespaceReport> {
        self.up(namespace)?;
        self.inner.report(namespace).await
    }

    async fn check(&self) -> Result<LedgerReport> {
        self.inner.check().await
    }
}

#[tokio::test]
async fn one_namespace_that_is_stuck_blocks_no_other() {
    let d = tempfile::tempdir().unwrap();
    let ledger =
        Arc::new(OneDown { inner: Arc::new(InMemoryLedger::new()), down: std::sync::Mutex::new(Some("stuck")) });
    let memory = Builder::default()
        .ledger(Arc::<OneDown>::clone(&ledger))
        .spool(SpoolConfig::new(d.path()))
        .build(namespace("well"))
        .unwrap();
    let stuck = memory.in_namespace(namespace("stuck"));
    write(&memory, vec![record("a", "x")]).await;
    write(&stuck, vec![record("a", "x")]).await;
    let report = memory.write(vec![record("b", "x")], &WriteOptions::default()).await.unwrap();
    let forgotten = memory.forget(&Selector::Ids(vec![id("a")]), Trial::Real).await;
    assert!(
        report.records[0].outcome == mnemic::RecordOutcome::Indexed && forgotten.is_ok(),
        "{:?}, {forgotten:?}",
        report.records[0].outcome
    );
}

#[tokio::test]
async fn a_spool_directory_that_is_gone_does_not_keep_writes_from_a_ledger_that_is_well() {
    let (_ledger, d, memory) = spooling();
    write(&memory, vec![record("a", "x")]).await;
    std::fs::remove_dir_all(d.path().join("spool")).unwrap();
    let written = memory.write(vec![record("b", "x")], &WriteOptions::default()).await;
    let outcome = written.as_ref().map(|w| w.records[0].outcome);
    assert!(matches!(outcome, Ok(mnemic::RecordOutcome::Indexed)), "{outcome:?}");
    assert!(memory.forget(&Selector::Ids(vec![id("a")]), Trial::Real).await.is_ok());
}

#[tokio::test]
async fn what_waits_in_this_namespace_is_shown_however_much_others_wait() {
    let (ledger, _d, memory) = spooling();
    ledger.set(Some(Fault::always()));
    let other = memory.in_namespace(namespace("other"));
    let writes = (0..2000).map(|n| {
        let other = other.clone();
        async move { write(&other, vec![record(&format!("r{n}"), "x")]).await }
    });
    futures::future::join_all(writes).await;
    write(&memory, vec![record("mine", "hearing")]).await;
    let answer = memory.retrieve(&Query::new("hearing")).await.unwrap();
    assert_eq!(found(&answer), ["mine"], "{:?}", answer.degraded);
}

fn two_processes() -> (Arc<FaultyLedger>, tempfile::TempDir, MemoryManager, MemoryManager) {
    let inner = Arc::new(InMemoryLedger::new());
    let (one, two) = (Arc::new(Faulty::new(Arc::clone(&inner))), Arc::new(Faulty::new(inner)));
    let d = tempfile::tempdir().unwrap();
    let (a, b) = (open(&one, d.path()), open(&two, d.path()));
    (one, d, a, b)
}

#[tokio::test]
async fn what_one_process_forgot_is_not_brought_back_by_what_waits_in_another() {
    let (ledger, _d, a, b) = two_processes();
    ledger.set(Some(Fault::always()));
    write(&a, vec![record("a", "secret")]).await;
    let receipt = b.forget(&Selector::Ids(vec![id("a")]), Trial::Real).await.unwrap();
    ledger.set(None);
    a.drain().await.unwrap();
    assert!(b.get(&[id("a")], None).await.unwrap()[0].is_none() || !receipt.residue.is_empty(), "{receipt:?}");
}
