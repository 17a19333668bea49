//! What a memory does while a part of it fails: nothing acknowledged is lost, and the answer says what is missing.
//! Not here: crashes (the ledgers' own tests).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use common::{found, namespace, record};
use mnemic::ports::{
    Embedder, Index, IndexCapabilities, IndexChange, IndexHit, IndexReport, IndexedId, Purpose, Reranker,
};
use mnemic::{
    Builder, ChangeSeq, Consolidation, Embedding, EmbeddingModel, Error, ErrorKind, Filter, LegOutcome, MemoryManager,
    Metric, Namespace, Page, PageRequest, Query, RecordOutcome, Result, Selector, Trial, WriteOptions,
};
use mnemic_indexes::{LocalIndex, LocalIndexConfig};

/// Embeds by counting letters, unless it is told to be down.
#[derive(Debug)]
struct Fragile {
    model: EmbeddingModel,
    down: AtomicBool,
}

impl Fragile {
    fn new(name: &str) -> Arc<Self> {
        let model = EmbeddingModel::new("test", name, 26, Metric::Cosine).unwrap();
        Arc::new(Self { model, down: AtomicBool::new(false) })
    }
}

#[async_trait]
impl Embedder for Fragile {
    fn model(&self) -> Option<&EmbeddingModel> {
        Some(&self.model)
    }

    async fn embed(&self, _purpose: Purpose, texts: &[&str]) -> Result<Vec<Option<Embedding>>> {
        if self.down.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Unavailable, "the embedder does not answer"));
        }
        let count = |text: &str| {
            let mut letters = vec![0.1f32; 26];
            for letter in text.to_lowercase().bytes().filter(u8::is_ascii_lowercase) {
                letters[usize::from(letter - b'a')] += 1.0;
            }
            letters
        };
        texts.iter().map(|text| Embedding::new(&self.model, count(text)).map(Some)).collect()
    }
}

/// The local index, unless it is told to be down.
#[derive(Debug)]
struct FragileIndex {
    inner: LocalIndex,
    down: AtomicBool,
}

impl FragileIndex {
    fn new() -> Arc<Self> {
        Arc::new(Self { inner: LocalIndex::new(LocalIndexConfig::default()).unwrap(), down: AtomicBool::new(false) })
    }

    fn up(&self) -> Result<()> {
        if self.down.load(Ordering::SeqCst) {
            Err(Error::new(ErrorKind::Unavailable, "the index does not answer"))
        } else {
            Ok(())
        }
    }
}

#[async_trait]
impl Index for FragileIndex {
    fn name(&self) -> &'static str {
        "fragile"
    }
    fn capabilities(&self) -> IndexCapabilities {
        self.inner.capabilities()
    }
    async fn prepare(&self, namespace: &Namespace, model: Option<&EmbeddingModel>) -> Result<()> {
        self.inner.prepare(namespace, model).await
    }
    async fn position(&self, namespace: &Namespace) -> Result<ChangeSeq> {
        self.inner.position(namespace).await
    }
    async fn visible(&self, namespace: &Namespace) -> Result<ChangeSeq> {
        self.inner.visible(namespace).await
    }
    async fn apply(&self, namespace: &Namespace, changes: &[IndexChange], through: ChangeSeq) -> Result<()> {
        self.up()?;
        self.inner.apply(namespace, changes, through).await
    }
    async fn search_dense(
        &self,
        namespace: &Namespace,
        vector: &Embedding,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<IndexHit>> {
        self.up()?;
        self.inner.search_dense(namespace, vector, filter, limit).await
    }
    async fn search_text(
        &self,
        namespace: &Namespace,
        query: &str,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<IndexHit>> {
        self.inner.search_text(namespace, query, filter, limit).await
    }
    async fn ids(&self, namespace: &Namespace, page: &PageRequest) -> Result<Page<IndexedId>> {
        self.inner.ids(namespace, page).await
    }
    async fn drop_namespace(&self, namespace: &Namespace) -> Result<()> {
        self.inner.drop_namespace(namespace).await
    }
    async fn check(&self, namespace: &Namespace) -> Result<IndexReport> {
        self.inner.check(namespace).await
    }
}

/// A fragile index that offers dense search only.
#[derive(Debug)]
struct DenseOnly(Arc<FragileIndex>);

#[async_trait]
impl Index for DenseOnly {
    fn name(&self) -> &'static str {
        "dense-only"
    }
    fn capabilities(&self) -> IndexCapabilities {
        IndexCapabilities { lexical: mnemic::ports::Offer::No, ..self.0.capabilities() }
    }
    async fn prepare(&self, namespace: &Namespace, model: Option<&EmbeddingModel>) -> Result<()> {
        self.0.prepare(namespace, model).await
    }
    async fn position(&self, namespace: &Namespace) -> Result<ChangeSeq> {
        self.0.position(namespace).await
    }
    async fn visible(&self, namespace: &Namespace) -> Result<ChangeSeq> {
        self.0.visible(namespace).await
    }
    async fn apply(&self, namespace: &Namespace, changes: &[IndexChange], through: ChangeSeq) -> Result<()> {
        self.0.apply(namespace, changes, through).await
    }
    async fn search_dense(
        &self,
        namespace: &Namespace,
        vector: &Embedding,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<IndexHit>> {
        self.0.search_dense(namespace, vector, filter, limit).await
    }
    async fn search_text(&self, _: &Namespace, _: &str, _: &Filter, _: usize) -> Result<Vec<IndexHit>> {
        Err(Error::new(ErrorKind::Unsupported, "no lexical search here"))
    }
    async fn ids(&self, namespace: &Namespace, page: &PageRequest) -> Result<Page<IndexedId>> {
        self.0.ids(namespace, page).await
    }
    async fn drop_namespace(&self, namespace: &Namespace) -> Result<()> {
        self.0.drop_namespace(namespace).await
    }
    async fn check(&self, namespace: &Namespace) -> Result<IndexReport> {
        self.0.check(namespace).await
    }
}

fn memory(embedder: &Arc<Fragile>, index: &Arc<FragileIndex>) -> MemoryManager {
    let builder = Builder::default().embedder(Arc::<Fragile>::clone(embedder)).index(Arc::<FragileIndex>::clone(index));
    builder.build(namespace("default")).unwrap()
}

#[tokio::test]
async fn with_the_embedder_down_records_are_kept_found_by_words_and_embedded_later() {
    let (embedder, index) = (Fragile::new("m"), FragileIndex::new());
    let memory = memory(&embedder, &index);
    embedder.down.store(true, Ordering::SeqCst);
    let report = memory.write(vec![record("a", "the petition was filed")], &WriteOptions::default()).await.unwrap();
    assert_eq!(report.records[0].outcome, RecordOutcome::Pending);
    assert!(report.warnings[0].contains("does not answer"));
    let found_now = memory.retrieve(&Query::new("petition")).await.unwrap();
    assert_eq!(found(&found_now), ["a"]);
    assert!(found_now.degraded[0].contains("dense"));
    assert!(matches!(&found_now.legs[0].outcome, LegOutcome::Failed(_)));
    assert_eq!(memory.stats().await.unwrap().ledger.outbox, 1);
    assert!(memory.drain().await.is_err());

    embedder.down.store(false, Ordering::SeqCst);
    assert_eq!(memory.drain().await.unwrap(), 1);
    let stats = memory.stats().await.unwrap();
    assert_eq!((stats.ledger.outbox, stats.ledger.embeddings, stats.indexes[0].1.embeddings), (0, 1, 1));
    let whole = memory.retrieve(&Query::new("petition")).await.unwrap();
    assert!(whole.degraded.is_empty() && whole.hits[0].explanation.legs.len() == 2);
}

#[tokio::test]
async fn a_replaced_pending_record_is_embedded_in_its_new_revision_only() {
    let (embedder, index) = (Fragile::new("m"), FragileIndex::new());
    let memory = memory(&embedder, &index);
    embedder.down.store(true, Ordering::SeqCst);
    memory.write(vec![record("a", "zzz zzz")], &WriteOptions::default()).await.unwrap();
    memory.write(vec![record("a", "aaa aaa")], &WriteOptions::default()).await.unwrap();
    embedder.down.store(false, Ordering::SeqCst);
    assert_eq!(memory.drain().await.unwrap(), 1);
    let query = Query { mode: mnemic::Mode::Dense, ..Query::new("aaa") };
    assert!(memory.retrieve(&query).await.unwrap().hits[0].explanation.legs[0].raw > 0.9);
}

#[tokio::test]
async fn with_an_index_down_records_are_kept_and_found_once_it_is_back() {
    let (embedder, index) = (Fragile::new("m"), FragileIndex::new());
    let memory = memory(&embedder, &index);
    index.down.store(true, Ordering::SeqCst);
    let report = memory.write(vec![record("a", "the petition was filed")], &WriteOptions::default()).await.unwrap();
    assert_eq!(report.records[0].outcome, RecordOutcome::Pending);
    assert!(report.warnings[0].contains("index"));
    assert!(memory.get(&[common::id("a")], None).await.unwrap()[0].is_some());
    let health = memory.health_check().await;
    assert!(!health.semantic && health.episodic && health.working);
    let meanwhile = memory.retrieve(&Query::new("petition")).await.unwrap();
    assert_eq!(found(&meanwhile), ["a"], "what the index does not show is read from the ledger");
    assert!(meanwhile.degraded.iter().any(|why| why.contains("dense")), "{:?}", meanwhile.degraded);
    index.down.store(false, Ordering::SeqCst);
    assert_eq!(found(&memory.retrieve(&Query::new("petition")).await.unwrap()), ["a"]);
    assert!(memory.verify().await.unwrap().faults.is_empty());
}

#[tokio::test]
async fn another_model_is_refused_by_name_and_words_still_serve() {
    let ledger = Arc::new(mnemic_ledgers::InMemoryLedger::new());
    let open = |name: &str| {
        let builder = Builder::default()
            .ledger(Arc::<mnemic_ledgers::InMemoryLedger>::clone(&ledger))
            .embedder(Fragile::new(name));
        builder.build(namespace("default")).unwrap()
    };
    let other = open("new");
    assert!(other.retrieve(&Query::new("petition")).await.unwrap().hits.is_empty(), "no model is stored yet");
    let old = open("old");
    let records = vec![record("a", "the petition was filed"), record("twin", "The petition was filed!")];
    old.write(records, &WriteOptions::default()).await.unwrap();
    let merged = old.consolidate(&Consolidation::default()).await.unwrap().id.unwrap();
    let undone = other.undo_consolidation(&merged).await.unwrap_err();
    assert_eq!(undone.kind(), ErrorKind::ModelMismatch, "what comes back would be in another space");
    let refused = other.write(vec![record("b", "text")], &WriteOptions::default()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ModelMismatch);
    assert!(
        refused.to_string().contains("test/old@26-cosine") && refused.to_string().contains("test/new@26-cosine"),
        "{refused}"
    );
    let answer = other.retrieve(&Query::new("petition")).await.unwrap();
    assert_eq!(found(&answer), ["a"]);
    assert!(answer.degraded[0].contains("test/old"), "{:?}", answer.degraded);
    assert!(open("old").verify().await.unwrap().faults.is_empty());
}

#[tokio::test]
async fn words_serve_and_erasure_works_while_a_long_history_has_another_model() {
    let ledger = Arc::new(mnemic_ledgers::InMemoryLedger::new());
    let open = |name: &str| {
        let builder = Builder::default()
            .ledger(Arc::<mnemic_ledgers::InMemoryLedger>::clone(&ledger))
            .embedder(Fragile::new(name));
        builder.build(namespace("default")).unwrap()
    };
    let old = open("old");
    for half in ["a", "b"] {
        let batch = (0..600).map(|i| record(&format!("{half}{i}"), &format!("petition number {i}"))).collect();
        old.write(batch, &WriteOptions::default()).await.unwrap();
    }
    // More changes than one page of the feed, so the index is made by scanning.
    let other = open("new");
    assert_eq!(found(&other.retrieve(&Query::new("petition 599")).await.unwrap()).len(), 10);
    let receipt = other.forget(&Selector::Ids(vec![common::id("a1")]), Trial::Real).await.unwrap();
    assert!(receipt.residue.is_empty(), "{:?}", receipt.residue);
    other.reindex().await.unwrap();
    assert!(other.verify().await.unwrap().faults.is_empty());
}

#[tokio::test]
async fn merging_records_whose_embedding_waits_keeps_the_wait() {
    let embedder = Fragile::new("m");
    let memory = memory(&embedder, &FragileIndex::new());
    embedder.down.store(true, Ordering::SeqCst);
    let twice = vec![record("a", "The petition was filed"), record("b", "the petition was filed")];
    memory.write(twice, &WriteOptions::default()).await.unwrap();
    memory.consolidate(&mnemic::Consolidation::default()).await.unwrap();
    embedder.down.store(false, Ordering::SeqCst);
    assert_eq!(memory.drain().await.unwrap(), 1);
    assert_eq!(memory.stats().await.unwrap().ledger.embeddings, 1);
}

#[tokio::test]
async fn a_past_that_could_not_be_embedded_is_found_by_words_and_told() {
    let embedder = Fragile::new("m");
    let memory = memory(&embedder, &FragileIndex::new());
    memory.write(vec![record("a", "the petition was filed")], &WriteOptions::default()).await.unwrap();
    embedder.down.store(true, Ordering::SeqCst);
    let query = Query { as_of: Some(memory.now()), ..Query::new("petition") };
    let answer = memory.retrieve(&query).await.unwrap();
    assert_eq!(found(&answer), ["a"]);
    assert!(answer.degraded.iter().any(|reason| reason.contains("by words only")), "{:?}", answer.degraded);
}

/// Prefers the shortest text, or answers nonsense.
#[derive(Debug)]
struct Opinion(f32);

#[async_trait]
impl Reranker for Opinion {
    async fn rerank(&self, _query: &str, texts: &[&str]) -> Result<Vec<f32>> {
        Ok(texts.iter().map(|text| self.0 / text.len() as f32).collect())
    }
}

#[tokio::test]
async fn a_second_opinion_reorders_and_a_broken_one_is_told() {
    for (opinion, first, degraded) in [(1.0, "short", 0), (f32::NAN, "long", 1)] {
        let memory = Builder::default().reranker(Arc::new(Opinion(opinion))).build(namespace("default")).unwrap();
        let records = vec![record("long", "visa visa visa interview in the consulate"), record("short", "a visa")];
        memory.write(records, &WriteOptions::default()).await.unwrap();
        let answer = memory.retrieve(&Query::new("visa interview consulate")).await.unwrap();
        assert_eq!((found(&answer)[0], answer.degraded.len()), (first, degraded));
    }
}

#[tokio::test]
async fn with_one_of_two_indexes_down_the_other_serves_and_the_answer_says_so() {
    let embedder = Fragile::new("m");
    let (dense, words) = (FragileIndex::new(), Arc::new(LocalIndex::new(LocalIndexConfig::default()).unwrap()));
    let builder = Builder::default().embedder(Arc::<Fragile>::clone(&embedder));
    let builder = builder.index(Arc::new(DenseOnly(Arc::clone(&dense)))).index(words);
    let memory = builder.build(namespace("default")).unwrap();
    dense.down.store(true, Ordering::SeqCst);
    let report = memory.write(vec![record("a", "the petition was filed")], &WriteOptions::default()).await.unwrap();
    assert_eq!(report.records[0].outcome, RecordOutcome::Pending);
    let answer = memory.retrieve(&Query::new("petition")).await.unwrap();
    assert_eq!(found(&answer), ["a"]);
    assert!(answer.degraded[0].contains("dense search failed"), "{:?}", answer.degraded);
    dense.down.store(false, Ordering::SeqCst);
    let whole = memory.retrieve(&Query::new("petition")).await.unwrap();
    assert!(whole.degraded.is_empty() && whole.hits[0].explanation.legs.len() == 2);
}

#[tokio::test]
async fn a_repeated_call_tells_what_became_of_its_records_since() {
    let (embedder, index) = (Fragile::new("m"), FragileIndex::new());
    let memory = memory(&embedder, &index);
    embedder.down.store(true, Ordering::SeqCst);
    let options = WriteOptions { idempotency_key: Some("k".into()), ..WriteOptions::default() };
    let write = || async {
        let kept = memory.write(vec![record("a", "the petition was filed")], &options).await.unwrap();
        let event = memory.write_event(common::event("e", "t", "the petition was granted")).await.unwrap();
        (kept.records[0].outcome, event.report.records[0].outcome)
    };
    assert_eq!(write().await, (RecordOutcome::Pending, RecordOutcome::Pending));
    assert_eq!(write().await, (RecordOutcome::Pending, RecordOutcome::Pending));
    embedder.down.store(false, Ordering::SeqCst);
    memory.drain().await.unwrap();
    embedder.down.store(true, Ordering::SeqCst);
    assert_eq!(write().await, (RecordOutcome::Indexed, RecordOutcome::Indexed));
}
