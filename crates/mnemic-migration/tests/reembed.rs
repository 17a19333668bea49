//! A copy gets embeddings of another model while its source lives on: everything else stays the same, position by position.
//! Not here: retrieval over such a copy and the switch to it (`mnemic`).
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::{
    collections::BTreeSet,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use futures::future::BoxFuture;
use mnemic_core::{
    AuditEvent, Batch, Embedding, EmbeddingModel, EmbeddingWrite, EraseTarget, Erasure, Error, ErrorKind, EventId,
    MemoryRecord, Metric, Namespace, Object, Precondition, Provenance, RecordDelete, RecordId, RecordKind, RecordWrite,
    Result, Task, ThreadId, Timestamp, Version,
    policy::audit,
    ports::{Embedder, Embeddings, Ledger, Purpose, Read},
};
use mnemic_ledgers::{InMemoryLedger, SqliteConfig, SqliteLedger};
use mnemic_migration::{Expected, Reembed, compare_expecting, follow, follow_through, missing};

/// Changes of one page: few, so that commits are cut in the middle.
const PAGE: usize = 3;

fn space() -> Namespace {
    Namespace::new("n").unwrap()
}

fn id(name: &str) -> RecordId {
    RecordId::new(name).unwrap()
}

fn at(n: i64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000 + n).unwrap()
}

/// What happens while texts are embedded.
struct Hook(BoxFuture<'static, ()>);

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}

/// Makes embeddings of a text's digest. It has no words for texts with `?`, and refuses those with `#`.
#[derive(Debug)]
struct Model {
    space: EmbeddingModel,
    asked: Mutex<Vec<String>>,
    /// How many calls succeed before every one fails.
    patience: AtomicUsize,
    /// What is waited for in the next call.
    meanwhile: Mutex<Option<Hook>>,
}

impl Model {
    fn new(name: &str, dimension: u32) -> Self {
        Self {
            space: EmbeddingModel::new("test", name, dimension, Metric::Cosine).unwrap(),
            asked: Mutex::default(),
            patience: AtomicUsize::new(usize::MAX),
            meanwhile: Mutex::default(),
        }
    }

    fn of(&self, text: &str) -> Option<Embedding> {
        let mark = audit::digest(format!("{} {text}", self.space).as_bytes()).to_string();
        let bytes: Vec<f32> = mark.bytes().take(self.space.dimension() as usize).map(f32::from).collect();
        (!text.contains('?')).then(|| Embedding::new(&self.space, bytes).unwrap())
    }
}

#[async_trait]
impl Embedder for Model {
    fn model(&self) -> Option<&EmbeddingModel> {
        Some(&self.space)
    }

    async fn embed(&self, purpose: Purpose, texts: &[&str]) -> Result<Vec<Option<Embedding>>> {
        assert_eq!(purpose, Purpose::Document);
        let meanwhile = self.meanwhile.lock().unwrap().take();
        if let Some(meanwhile) = meanwhile {
            meanwhile.0.await;
        }
        if self.patience.load(Ordering::SeqCst) == 0 {
            return Err(Error::new(ErrorKind::Unavailable, "the model is away"));
        }
        if let Some(text) = texts.iter().find(|text| text.contains('#')) {
            return Err(Error::invalid("text", "a text without #", text));
        }
        self.patience.fetch_sub(1, Ordering::SeqCst);
        self.asked.lock().unwrap().extend(texts.iter().map(|text| (*text).to_owned()));
        Ok(texts.iter().map(|text| self.of(text)).collect())
    }
}

fn record(name: &str, text: &str) -> MemoryRecord {
    MemoryRecord {
        id: id(name),
        user_id: None,
        thread_id: None,
        kind: RecordKind::default(),
        text: text.to_owned(),
        path: Vec::new(),
        tags: BTreeSet::new(),
        metadata: Object::new(),
        source: "test".to_owned(),
        salience: None,
        confidence: None,
        created_at: at(0),
        updated_at: at(0),
        valid_from: at(0),
        valid_to: None,
        expires_at: None,
        superseded_by: None,
        provenance: Provenance::default(),
        version: Version::NONE,
    }
}

fn event(name: &str) -> AuditEvent {
    AuditEvent {
        event_id: EventId::new(name).unwrap(),
        timestamp: at(0),
        user_id: None,
        thread_id: ThreadId::journal(),
        source: "mnemic".to_owned(),
        action: "erased".to_owned(),
        payload: Object::new(),
        tags: BTreeSet::new(),
    }
}

/// A memory with one embedder, without anything that would keep two of them in step.
#[derive(Clone)]
struct Memory {
    ledger: Arc<dyn Ledger>,
    model: Arc<Model>,
}

/// Whether the embedder answers when a record is written.
#[derive(Clone, Copy, PartialEq)]
enum Made {
    Now,
    Later,
    Never,
}

static CLOCK: AtomicUsize = AtomicUsize::new(10);

fn now() -> Timestamp {
    at(CLOCK.fetch_add(1, Ordering::SeqCst) as i64)
}

impl Memory {
    fn side(&self) -> (&dyn Ledger, &'static Namespace) {
        static SPACE: std::sync::LazyLock<Namespace> = std::sync::LazyLock::new(space);
        (self.ledger.as_ref(), &SPACE)
    }

    async fn write(&self, name: &str, text: &str, made: Made) {
        let mut batch = Batch::new(now());
        let embedding = (made == Made::Now).then(|| self.model.of(text)).flatten();
        let tasks = if made == Made::Later { vec![Task::Embed] } else { Vec::new() };
        batch.writes.push(RecordWrite { record: record(name, text), embedding, expect: Precondition::Any, tasks });
        self.ledger.commit(&space(), batch).await.unwrap();
    }

    async fn delete(&self, name: &str) {
        let mut batch = Batch::new(now());
        batch.deletes.push(RecordDelete { id: id(name), expect: Precondition::Any });
        self.ledger.commit(&space(), batch).await.unwrap();
    }

    async fn erase(&self, name: &str) {
        let erasure = Erasure { at: now(), target: EraseTarget::Records(vec![id(name)]), event: event(name) };
        self.ledger.erase(&space(), erasure).await.unwrap();
    }

    /// Does what waits in the outbox, as the worker does.
    async fn drain(&self) {
        let mut batch = Batch::new(now());
        for item in self.ledger.outbox(&space(), 100).await.unwrap() {
            let stored = self.ledger.fetch(&space(), &[item.record_id], Read::default()).await.unwrap();
            let record = stored.into_iter().next().unwrap().unwrap().record;
            let made = self.model.of(&record.text).filter(|_| !record.text.contains('#'));
            batch.embeddings.extend(made.map(|embedding| EmbeddingWrite {
                id: record.id,
                version: record.version,
                embedding,
            }));
            batch.settle.push(item.id);
        }
        self.ledger.commit(&space(), batch).await.unwrap();
    }

    async fn embedding(&self, name: &str) -> Option<Embedding> {
        let read = Read { as_of: None, embeddings: Embeddings::Include };
        let stored = self.ledger.fetch(&space(), &[id(name)], read).await.unwrap();
        stored.into_iter().next().unwrap().unwrap().embedding
    }

    /// Everything a memory meets.
    async fn live(&self) {
        self.write("fee", "The fee is 405.", Made::Now).await;
        self.write("home", "Anna lives in Austin.", Made::Now).await;
        self.write("fee", "The fee is 2805.", Made::Now).await;
        self.write("gone", "Taken back.", Made::Now).await;
        self.write("late", "Embedded later.", Made::Later).await;
        self.write("unread", "???", Made::Now).await;
        self.drain().await;
        self.write("plain", "Written without an embedder.", Made::Never).await;
        self.write("refused", "#1", Made::Never).await;
        self.write("erased", "Nobody may know.", Made::Now).await;
        self.delete("gone").await;
        self.erase("erased").await;
        self.write("waits", "Not embedded yet.", Made::Later).await;
    }

    async fn bring_to(&self, copy: &Self) -> Result<(u64, u64)> {
        let lens = Reembed::new(copy.model.as_ref())?;
        follow_through(self.side(), copy.side(), &lens, PAGE, |_| {}).await?;
        Ok((lens.made(), lens.refused()))
    }

    /// Fails unless the copy holds the same memory with embeddings of its own.
    async fn assert_same(&self, copy: &Self, why: &str) {
        let expected = Expected::By(&copy.model.space);
        let found = compare_expecting(self.side(), copy.side(), expected).await.unwrap();
        assert_eq!(found.differences, [""; 0], "{why}");
        assert_eq!(missing(copy.side(), copy.model.as_ref()).await.unwrap(), [""; 0], "{why}");
        assert!(found.changes > 10 && found.records > 5, "{why}: {found:?}");
    }
}

/// A source and an empty copy of each pairing of ledgers, with models of different dimensions.
fn pairs(directory: &tempfile::TempDir) -> Vec<(&'static str, Memory, Memory)> {
    let memory = |ledger: Arc<dyn Ledger>, model| Memory { ledger, model: Arc::new(model) };
    let on_disk = |name| -> Arc<dyn Ledger> {
        Arc::new(SqliteLedger::open(SqliteConfig::new(directory.path().join(name))).unwrap())
    };
    let in_memory = || -> Arc<dyn Ledger> { Arc::new(InMemoryLedger::new()) };
    vec![
        ("in memory", memory(in_memory(), Model::new("old", 4)), memory(in_memory(), Model::new("new", 7))),
        ("to disk", memory(in_memory(), Model::new("old", 4)), memory(on_disk("a"), Model::new("new", 7))),
        ("on disk", memory(on_disk("b"), Model::new("old", 4)), memory(on_disk("c"), Model::new("old", 8))),
    ]
}

#[tokio::test]
async fn every_text_is_embedded_once_by_the_copys_model_and_everything_else_is_the_same() {
    let directory = tempfile::tempdir().unwrap();
    for (why, source, copy) in pairs(&directory) {
        source.live().await;
        let (made, refused) = source.bring_to(&copy).await.unwrap();
        source.assert_same(&copy, why).await;
        for (name, text) in [
            ("fee", "The fee is 2805."),
            ("home", "Anna lives in Austin."),
            ("late", "Embedded later."),
            ("plain", "Written without an embedder."),
            ("waits", "Not embedded yet."),
        ] {
            assert_eq!(copy.embedding(name).await, copy.model.of(text), "{why}: {name}");
        }
        for name in ["unread", "refused"] {
            assert_eq!(copy.embedding(name).await, None, "{why}: {name}");
        }
        assert_eq!(copy.ledger.outbox(&space(), 10).await.unwrap(), [], "{why}: nothing waits");
        assert_eq!(source.ledger.outbox(&space(), 10).await.unwrap().len(), 1, "{why}: the source is only read");
        let asked = copy.model.asked.lock().unwrap().clone();
        // The record that was embedded later is met twice: as its write, and pages later as its embedding.
        assert!(made == 6 && refused == 1, "{why}: {made} made, {refused} refused, of {asked:?}");
        for unneeded in ["The fee is 405.", "Taken back.", "Nobody may know."] {
            assert!(!asked.iter().any(|text| text == unneeded), "{why}: {unneeded} was paid for");
        }
        assert_eq!(source.bring_to(&copy).await.unwrap(), (0, 0), "{why}: nothing is left");
    }
}

#[tokio::test]
async fn what_changes_while_its_text_is_embedded_ends_as_in_the_source() {
    let directory = tempfile::tempdir().unwrap();
    for (why, source, copy) in pairs(&directory) {
        source.live().await;
        let busy = source.clone();
        let hook = async move {
            busy.write("home", "Anna lives in Dallas.", Made::Now).await;
            busy.write("fee", "The fee is 9.", Made::Later).await;
            busy.delete("late").await;
            busy.erase("plain").await;
            busy.drain().await;
        };
        *copy.model.meanwhile.lock().unwrap() = Some(Hook(Box::pin(hook)));
        source.bring_to(&copy).await.unwrap();
        source.assert_same(&copy, why).await;
        assert_eq!(copy.embedding("home").await, copy.model.of("Anna lives in Dallas."), "{why}");
        assert_eq!(copy.embedding("fee").await, copy.model.of("The fee is 9."), "{why}");
        assert_eq!(copy.embedding("waits").await, copy.model.of("Not embedded yet."), "{why}");
        let gone = copy.ledger.fetch(&space(), &[id("late"), id("plain")], Read::default()).await.unwrap();
        assert_eq!(gone, [None, None], "{why}");
    }
}

#[tokio::test]
async fn an_embedder_that_goes_away_stops_the_copy_where_it_is_and_it_goes_on_from_there() {
    let directory = tempfile::tempdir().unwrap();
    for (why, source, copy) in pairs(&directory) {
        for i in 0..20 {
            source.write(&format!("r{i}"), &format!("Statement {i}."), Made::Now).await;
        }
        copy.model.patience.store(3, Ordering::SeqCst);
        let error = source.bring_to(&copy).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{why}");
        let head = copy.ledger.head(&space()).await.unwrap();
        assert_eq!(head.0, 9, "{why}: three pages of three changes");
        copy.model.patience.store(usize::MAX, Ordering::SeqCst);
        assert_eq!(source.bring_to(&copy).await.unwrap(), (11, 0), "{why}: what was embedded is not paid for again");
        source.assert_same(&copy, why).await;
    }
}

#[tokio::test]
async fn after_the_switch_the_old_memory_follows_with_its_own_model_and_keeps_its_own_work() {
    let directory = tempfile::tempdir().unwrap();
    for (why, old, new) in pairs(&directory) {
        old.live().await;
        old.bring_to(&new).await.unwrap();
        new.write("home", "Anna lives in Waco.", Made::Now).await;
        new.write("fresh", "Written after the switch.", Made::Later).await;
        new.delete("fee").await;
        let (made, _) = new.bring_to(&old).await.unwrap();
        assert_eq!(made, 2, "{why}");
        new.drain().await;
        new.bring_to(&old).await.unwrap();
        let found = compare_expecting(new.side(), old.side(), Expected::By(&old.model.space)).await.unwrap();
        assert_eq!(found.differences, [""; 0], "{why}");
        assert_eq!(old.embedding("home").await, old.model.of("Anna lives in Waco."), "{why}");
        assert_eq!(old.embedding("fresh").await, old.model.of("Written after the switch."), "{why}");
        let waits = old.ledger.outbox(&space(), 10).await.unwrap();
        assert_eq!(waits.len(), 1, "{why}: what the old memory had not embedded before the switch, it still has to");
        assert_eq!((&waits[0].record_id, &waits[0].task), (&id("waits"), &Task::Embed), "{why}");
        old.drain().await;
        assert_eq!(old.embedding("waits").await, old.model.of("Not embedded yet."), "{why}");
    }
}

#[tokio::test]
async fn embeddings_that_are_the_copys_already_are_kept_and_not_paid_for() {
    let source = Memory { ledger: Arc::new(InMemoryLedger::new()), model: Arc::new(Model::new("old", 4)) };
    source.live().await;
    let copy = Memory { ledger: Arc::new(InMemoryLedger::new()), model: Arc::new(Model::new("old", 4)) };
    source.bring_to(&copy).await.unwrap();
    let asked: BTreeSet<String> = copy.model.asked.lock().unwrap().iter().cloned().collect();
    let expected = ["???", "Not embedded yet.", "Written without an embedder."].map(str::to_owned);
    assert_eq!(asked, BTreeSet::from(expected), "only what has no embedding");
    source.assert_same(&copy, "the same model").await;
}

#[tokio::test]
async fn a_foreign_embedding_and_a_missing_one_are_both_named() {
    let source = Memory { ledger: Arc::new(InMemoryLedger::new()), model: Arc::new(Model::new("old", 4)) };
    source.live().await;
    let copy = Memory { ledger: Arc::new(InMemoryLedger::new()), model: Arc::new(Model::new("new", 7)) };
    // A copy as it is: every embedding is another model's, and some records have none.
    follow(source.side(), copy.side(), PAGE, |_| {}).await.unwrap();
    let expected = Expected::By(&copy.model.space);
    let found = compare_expecting(source.side(), copy.side(), expected).await.unwrap();
    assert_eq!(found.differing, 3, "{found:?}");
    let told = "the embedding of record \"fee\" is by test/old@4-cosine, expected test/new@7-cosine";
    assert!(found.differences.iter().any(|difference| difference == told), "{found:?}");
    let lacking = missing(copy.side(), copy.model.as_ref()).await.unwrap();
    let told = "record \"plain\" has no embedding, and test/new@7-cosine makes one of its text";
    assert_eq!(lacking, [told], "what waits in the outbox, or cannot be embedded, is not missing");
}
