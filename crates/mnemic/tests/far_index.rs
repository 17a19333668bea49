//! An index on a server: slow to show what it was given, down for a while, imprecise about filters. What a memory answers is whole
//! all the same, or says what is missing. Not here: any real server (the adapters' tests).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use common::{found, id, namespace, record, user};
use mnemic::ports::{
    Embedder, Index, IndexCapabilities, IndexChange, IndexHit, IndexReport, IndexedId, Offer, Precision, Purpose,
    Visibility,
};
use mnemic::{
    Builder, ChangeSeq, Embedding, EmbeddingModel, Error, ErrorKind, Field, Filter, MemoryManager, Metric, Mode,
    Namespace, NewRecord, Page, PageRequest, Query, RecordOutcome, Result, Retry, Selector, Trial, WriteOptions,
};
use mnemic_indexes::{LocalIndex, LocalIndexConfig};
use mnemic_ledgers::InMemoryLedger;

/// Embeds by counting letters; a text with `poison` in it is refused for good.
#[derive(Debug)]
struct Letters {
    model: EmbeddingModel,
    down: AtomicBool,
    calls: AtomicUsize,
}

impl Letters {
    fn new() -> Arc<Self> {
        let model = EmbeddingModel::new("test", "letters", 26, Metric::Cosine).unwrap();
        Arc::new(Self { model, down: AtomicBool::new(false), calls: AtomicUsize::new(0) })
    }
}

#[async_trait]
impl Embedder for Letters {
    fn model(&self) -> Option<&EmbeddingModel> {
        Some(&self.model)
    }

    async fn embed(&self, _purpose: Purpose, texts: &[&str]) -> Result<Vec<Option<Embedding>>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.down.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Unavailable, "the embedder does not answer").with_retry(Retry::Soon));
        }
        if texts.iter().any(|text| text.contains("poison")) {
            return Err(Error::new(ErrorKind::InvalidInput, "the vendor refuses the request"));
        }
        let count = |text: &&str| {
            let mut letters = vec![0.1f32; 26];
            for letter in text.to_lowercase().bytes().filter(u8::is_ascii_lowercase) {
                letters[usize::from(letter - b'a')] += 1.0;
            }
            Embedding::new(&self.model, letters).map(Some)
        };
        texts.iter().map(count).collect()
    }
}

type Waiting = Vec<(Vec<IndexChange>, ChangeSeq)>;

/// Takes changes at once and shows them when it is told to; offers dense search only.
#[derive(Debug)]
struct Far {
    shown: LocalIndex,
    waiting: Mutex<Waiting>,
    holds_back: AtomicBool,
    down: AtomicBool,
    ignores_filters: AtomicBool,
    dropped: AtomicUsize,
    /// Held by a test for as long as the server takes.
    busy: tokio::sync::Mutex<()>,
}

impl Far {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            shown: LocalIndex::new(LocalIndexConfig::default()).unwrap(),
            waiting: Mutex::default(),
            holds_back: AtomicBool::new(true),
            down: AtomicBool::new(false),
            ignores_filters: AtomicBool::new(false),
            dropped: AtomicUsize::new(0),
            busy: tokio::sync::Mutex::default(),
        })
    }

    async fn show(&self, namespace: &Namespace) {
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap());
        for (changes, through) in waiting {
            self.shown.apply(namespace, &changes, through).await.unwrap();
        }
    }

    fn up(&self) -> Result<()> {
        if self.down.load(Ordering::SeqCst) {
            Err(Error::new(ErrorKind::Unavailable, "the index does not answer").with_retry(Retry::Soon))
        } else {
            Ok(())
        }
    }
}

#[async_trait]
impl Index for Far {
    fn name(&self) -> &'static str {
        "far"
    }
    fn capabilities(&self) -> IndexCapabilities {
        IndexCapabilities {
            dense: Offer::Yes,
            lexical: Offer::No,
            visibility: Visibility::Eventual,
            filters: Precision::Coarse,
        }
    }
    async fn prepare(&self, namespace: &Namespace, model: Option<&EmbeddingModel>) -> Result<()> {
        self.up()?;
        let _takes_long = self.busy.lock().await;
        self.shown.prepare(namespace, model).await
    }
    async fn position(&self, namespace: &Namespace) -> Result<ChangeSeq> {
        self.up()?;
        let last = self.waiting.lock().unwrap().last().map(|(_, through)| *through);
        Ok(last.unwrap_or(self.shown.position(namespace).await?))
    }
    async fn visible(&self, namespace: &Namespace) -> Result<ChangeSeq> {
        self.up()?;
        self.shown.position(namespace).await
    }
    async fn apply(&self, namespace: &Namespace, changes: &[IndexChange], through: ChangeSeq) -> Result<()> {
        self.up()?;
        self.waiting.lock().unwrap().push((changes.to_vec(), through));
        if !self.holds_back.load(Ordering::SeqCst) {
            self.show(namespace).await;
        }
        Ok(())
    }
    async fn search_dense(
        &self,
        namespace: &Namespace,
        vector: &Embedding,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<IndexHit>> {
        self.up()?;
        let all = Filter::all();
        let filter = if self.ignores_filters.load(Ordering::SeqCst) { &all } else { filter };
        self.shown.search_dense(namespace, vector, filter, limit).await
    }
    async fn search_text(&self, _: &Namespace, _: &str, _: &Filter, _: usize) -> Result<Vec<IndexHit>> {
        Err(Error::new(ErrorKind::Unsupported, "no lexical search here"))
    }
    async fn ids(&self, namespace: &Namespace, page: &PageRequest) -> Result<Page<IndexedId>> {
        self.shown.ids(namespace, page).await
    }
    async fn drop_namespace(&self, namespace: &Namespace) -> Result<()> {
        self.dropped.fetch_add(1, Ordering::SeqCst);
        self.waiting.lock().unwrap().clear();
        self.shown.drop_namespace(namespace).await
    }
    async fn check(&self, namespace: &Namespace) -> Result<IndexReport> {
        self.shown.check(namespace).await
    }
}

struct World {
    memory: MemoryManager,
    far: Arc<Far>,
    embedder: Arc<Letters>,
}

fn world() -> World {
    let (far, embedder) = (Far::new(), Letters::new());
    let builder = Builder::default()
        .ledger(Arc::new(InMemoryLedger::new()))
        .embedder(Arc::<Letters>::clone(&embedder))
        .index(Arc::<Far>::clone(&far))
        .local_index(LocalIndex::new(LocalIndexConfig::default()).unwrap());
    World { memory: builder.build(namespace("default")).unwrap(), far, embedder }
}

fn dense(text: &str) -> Query {
    Query { mode: Mode::Dense, ..Query::new(text) }
}

async fn write(memory: &MemoryManager, records: Vec<NewRecord>) {
    memory.write(records, &WriteOptions::default()).await.unwrap();
}

#[tokio::test]
async fn what_a_server_does_not_show_yet_is_found_by_vector_at_once_and_in_its_newest_revision() {
    let World { memory, far, .. } = world();
    write(&memory, vec![record("a", "zzz zzz"), record("b", "kkk kkk"), record("c", "mmm")]).await;
    assert_eq!(found(&memory.retrieve(&dense("zzz")).await.unwrap())[0], "a");
    far.show(memory.namespace()).await;
    write(&memory, vec![record("a", "qqq qqq")]).await;
    memory.forget(&Selector::Ids(vec![id("c")]), Trial::Real).await.unwrap();
    let answer = memory.retrieve(&dense("qqq")).await.unwrap();
    assert_eq!(found(&answer), ["a", "b"], "{answer:?}");
    assert!(answer.hits[0].explanation.legs[0].raw > 0.9);
    assert!(answer.degraded.is_empty() && answer.stale == 0, "nothing is missing: {answer:?}");
    far.show(memory.namespace()).await;
    let shown = memory.retrieve(&dense("qqq")).await.unwrap();
    assert_eq!(found(&shown), ["a", "b"]);
    assert!(memory.verify().await.unwrap().faults.is_empty());
}

#[tokio::test]
async fn while_a_server_is_down_its_newest_records_are_found_and_the_answer_says_what_is_missing() {
    let World { memory, far, .. } = world();
    far.holds_back.store(false, Ordering::SeqCst);
    write(&memory, vec![record("a", "zzz zzz")]).await;
    far.down.store(true, Ordering::SeqCst);
    let report = memory.write(vec![record("b", "zzz kkk")], &WriteOptions::default()).await.unwrap();
    assert_eq!(report.records[0].outcome, RecordOutcome::Pending);
    let answer = memory.retrieve(&dense("zzz")).await.unwrap();
    assert_eq!(found(&answer), ["a", "b"], "the ledger tells what a server that does not answer may not show");
    assert!(answer.degraded[0].contains("dense search failed"), "{:?}", answer.degraded);
    let health = memory.health_check().await;
    let line = health.details.iter().find(|detail| detail.part == "index:far").unwrap();
    assert!(!line.healthy && line.message.contains("since 20"), "{line:?}");
    far.down.store(false, Ordering::SeqCst);
    memory.drain().await.unwrap();
    memory.health_check().await;
    assert_eq!(found(&memory.retrieve(&dense("zzz")).await.unwrap()), ["a", "b"]);
    assert!(memory.verify().await.unwrap().faults.is_empty());
}

#[tokio::test]
async fn a_server_that_lags_far_behind_is_searched_as_it_is_and_the_answer_says_by_how_much() {
    let World { memory, far, .. } = world();
    far.holds_back.store(false, Ordering::SeqCst);
    write(&memory, vec![record("first", "zzz zzz")]).await;
    far.down.store(true, Ordering::SeqCst);
    for batch in 0..6 {
        write(&memory, (0..1000).map(|n| record(&format!("r{batch}-{n}"), "kkk")).collect()).await;
    }
    far.down.store(false, Ordering::SeqCst);
    let answer = memory.retrieve(&dense("zzz")).await.unwrap();
    assert_eq!(found(&answer), ["first"]);
    assert!(answer.degraded[0].contains("changes behind"), "{:?}", answer.degraded);
    memory.drain().await.unwrap();
    memory.health_check().await;
    assert!(memory.retrieve(&dense("zzz")).await.unwrap().degraded.is_empty());
}

#[tokio::test]
async fn a_hit_that_does_not_pass_the_filter_is_never_shown_whatever_the_index_says() {
    let World { memory, far, .. } = world();
    far.holds_back.store(false, Ordering::SeqCst);
    far.ignores_filters.store(true, Ordering::SeqCst);
    let theirs = NewRecord { user_id: Some(user("eve")), ..record("theirs", "zzz") };
    let ours = NewRecord { user_id: Some(user("ann")), tags: ["x".to_owned()].into(), ..record("ours", "zzz") };
    write(&memory, vec![theirs, ours]).await;
    let of_ann = Query { user_id: Some(user("ann")), ..dense("zzz") };
    assert_eq!(found(&memory.retrieve(&of_ann).await.unwrap()), ["ours"]);
    let tagged = Query { filter: Filter::equals(Field::Tags, "x"), ..dense("zzz") };
    assert_eq!(found(&memory.retrieve(&tagged).await.unwrap()), ["ours"]);
}

#[tokio::test]
async fn forgetting_removes_from_a_server_without_making_its_index_anew() {
    let World { memory, far, .. } = world();
    far.holds_back.store(false, Ordering::SeqCst);
    let of = |name: &str, text: &str| NewRecord { user_id: Some(user(name)), ..record(text, text) };
    write(&memory, vec![of("ann", "aaa"), of("ann", "bbb"), of("eve", "ccc")]).await;
    memory.forget(&Selector::Subject(user("ann")), Trial::Real).await.unwrap();
    assert_eq!(far.dropped.load(Ordering::SeqCst), 0);
    let held = far.shown.ids(memory.namespace(), &PageRequest::largest()).await.unwrap();
    assert_eq!(held.items.iter().map(|held| held.id.as_str()).collect::<Vec<_>>(), ["ccc"]);
    assert!(memory.verify().await.unwrap().faults.is_empty());
}

#[tokio::test]
async fn what_was_forgotten_while_a_server_was_down_is_gone_once_it_is_back() {
    let World { memory, far, .. } = world();
    far.holds_back.store(false, Ordering::SeqCst);
    let of = |name: &str, text: &str| NewRecord { user_id: Some(user(name)), ..record(text, text) };
    write(&memory, vec![of("ann", "aaa"), of("eve", "ccc")]).await;
    far.down.store(true, Ordering::SeqCst);
    let receipt = memory.forget(&Selector::Subject(user("ann")), Trial::Real).await.unwrap();
    assert!(receipt.residue.iter().any(|line| line.contains("index")), "{:?}", receipt.residue);
    assert_eq!(found(&memory.retrieve(&Query::new("aaa")).await.unwrap()), ["ccc"]);
    far.down.store(false, Ordering::SeqCst);
    memory.health_check().await;
    let held = far.shown.ids(memory.namespace(), &PageRequest::largest()).await.unwrap();
    assert_eq!(held.items.iter().map(|held| held.id.as_str()).collect::<Vec<_>>(), ["ccc"]);
}

#[tokio::test]
async fn one_text_that_no_embedder_takes_does_not_keep_the_others_from_theirs() {
    let World { memory, embedder, .. } = world();
    embedder.down.store(true, Ordering::SeqCst);
    let text = |n: usize| if n == 5 { "poison".to_owned() } else { format!("record {n}") };
    write(&memory, (0..9).map(|n| record(&format!("r{n}"), &text(n))).collect()).await;
    embedder.down.store(false, Ordering::SeqCst);
    assert_eq!(memory.drain().await.unwrap(), 8);
    let stats = memory.stats().await.unwrap();
    assert_eq!((stats.ledger.outbox, stats.ledger.embeddings), (0, 8));
    assert_eq!(found(&memory.retrieve(&Query::new("poison")).await.unwrap())[0], "r5", "it is found by words");
}

#[tokio::test]
async fn in_the_background_pending_work_is_finished_by_itself() {
    let (far, embedder) = (Far::new(), Letters::new());
    far.holds_back.store(false, Ordering::SeqCst);
    far.down.store(true, Ordering::SeqCst);
    embedder.down.store(true, Ordering::SeqCst);
    let builder = Builder::default()
        .embedder(Arc::<Letters>::clone(&embedder))
        .index(Arc::<Far>::clone(&far))
        .local_index(LocalIndex::new(LocalIndexConfig::default()).unwrap())
        .in_background();
    let memory = builder.build(namespace("default")).unwrap();
    write(&memory, vec![record("a", "zzz zzz")]).await;
    far.down.store(false, Ordering::SeqCst);
    embedder.down.store(false, Ordering::SeqCst);
    let held = async || far.shown.ids(memory.namespace(), &PageRequest::largest()).await.unwrap().items.len();
    let waiting = async {
        while held().await == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), waiting).await.unwrap();
    assert_eq!(memory.stats().await.unwrap().ledger.outbox, 0);
}

#[tokio::test]
async fn a_server_that_takes_long_to_make_its_index_keeps_nobody_waiting() {
    let World { memory, far, .. } = world();
    far.holds_back.store(false, Ordering::SeqCst);
    let busy = far.busy.lock().await;
    for name in ["a", "b"] {
        let report = memory.write(vec![record(name, "zzz zzz")], &WriteOptions::default()).await.unwrap();
        assert_eq!(report.records[0].outcome, RecordOutcome::Pending, "{:?}", report.warnings);
    }
    assert_eq!(found(&memory.retrieve(&dense("zzz")).await.unwrap()).len(), 2);
    drop(busy);
    memory.verify().await.unwrap();
    assert_eq!(far.shown.ids(memory.namespace(), &PageRequest::largest()).await.unwrap().items.len(), 2);
}
