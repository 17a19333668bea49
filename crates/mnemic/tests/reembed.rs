//! A memory gets embeddings of another model while eight tasks write and read: nothing fails, no space meets another, the switch is one
//! moment, and going back keeps what was written after it. Not here: that a copy is exact (`mnemic-migration`), moves to other backends.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod common;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use common::{id, namespace, record};
use mnemic::{
    Builder, CutOver, Embedding, EmbeddingModel, ErrorKind, Filter, GateQuestion, LegOutcome, MemoryManager, Metric,
    Mode, MovePhase, NewRecord, PageRequest, Precondition, Price, QualityGate, Query, Result, Selector, Trial, Version,
    WriteOptions,
    policy::audit,
    ports::{Embedder, Embeddings, Ledger, Purpose, Read},
};
use mnemic_embedders::StaticEmbedder;
use mnemic_http::Address;
use mnemic_indexes::{LocalIndex, LocalIndexConfig, QdrantIndex, QdrantIndexConfig, Quantization};
use mnemic_ledgers::{InMemoryLedger, SqliteConfig, SqliteLedger};
use mnemic_stand_ins::{Exchange, Knobs, Running, vendors};
use tokio::{sync::watch, task::JoinSet};

/// Operations of each task between two steps of the move.
const STRETCH: u64 = 6;

/// A directory of memories, a vendor, and the files of variables that name them.
struct Place {
    directory: tempfile::TempDir,
    vendor: Running,
}

impl Place {
    fn new() -> Self {
        let vendor = vendors().iter().find(|vendor| vendor.name == "openai").unwrap();
        Self { directory: tempfile::tempdir().unwrap(), vendor: (vendor.serve)(0, Knobs::new()).unwrap() }
    }

    fn file(&self, name: &str, variables: &[(&str, &str)]) -> PathBuf {
        let path = self.directory.path().join(name);
        let lines: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        std::fs::write(&path, lines.concat()).unwrap();
        path
    }

    /// The built-in model.
    fn built_in(&self) -> PathBuf {
        self.file("built-in.env", &[("MNEMIC_DIR", "memory"), ("MNEMIC_EMBEDDER", "static")])
    }

    /// The vendor's model in a dimension.
    fn hosted(&self, dimension: &str) -> PathBuf {
        let url = format!("{}/v1", self.vendor.url());
        let variables = [
            ("MNEMIC_DIR", "memory"),
            ("MNEMIC_EMBEDDER", "openai"),
            ("OPENAI_API_KEY", "stand-in"),
            ("MNEMIC_EMBEDDER_URL", url.as_str()),
            ("MNEMIC_EMBEDDING_MODEL", "text-embedding-3-small"),
            ("MNEMIC_EMBEDDING_DIMENSION", dimension),
        ];
        self.file(&format!("hosted-{dimension}.env"), &variables)
    }
}

fn open(file: &Path, name: &str) -> MemoryManager {
    Builder::from_env_file(file).unwrap().build(namespace(name)).unwrap()
}

fn records() -> usize {
    let set = std::env::var("MNEMIC_REEMBED_RECORDS").ok();
    set.map_or(1_000, |set| set.parse().unwrap_or_else(|_| panic!("MNEMIC_REEMBED_RECORDS is no number: {set}")))
}

fn text(i: usize) -> String {
    let pick = |from: &[&'static str], by: usize| from[i / by % from.len()];
    let who = pick(&["Anna", "Boris", "Clara", "Dmitri", "Elena", "Farid", "Grace"], 1);
    let what = pick(&["the filing fee", "the hearing", "a work permit", "the green card", "an appeal", "a visa"], 7);
    let place = pick(&["Austin", "Boston", "Chicago", "Denver", "Houston"], 42);
    format!("{who} asked about {what} in {place}, matter number {i}.")
}

async fn fill(memory: &MemoryManager, count: usize) {
    let all: Vec<NewRecord> = (0..count).map(|i| record(&format!("r{i}"), &text(i))).collect();
    for part in all.chunks(500) {
        memory.write(part.to_vec(), &WriteOptions::default()).await.unwrap();
    }
}

/// Fails unless every embedding that a namespace holds is by one model, and answers how many there are. Read from the ledger itself:
/// a handle would follow the pointers that a move leaves.
async fn of_one_space(place: &Place, name: &str, model: &EmbeddingModel) -> usize {
    let ledger = SqliteLedger::open(SqliteConfig::new(place.directory.path().join("memory"))).unwrap();
    let read = Read { as_of: None, embeddings: Embeddings::Include };
    let (mut page, mut found) = (PageRequest::largest(), 0);
    loop {
        let stored = ledger.scan(&namespace(name), &Filter::all(), read, &page).await.unwrap();
        for stored in &stored.items {
            let embedding = stored.embedding.as_ref().unwrap_or_else(|| panic!("{} has none", stored.record.id));
            assert_eq!(embedding.model(), model, "{}", stored.record.id);
            found += 1;
        }
        if stored.next.is_none() {
            return found;
        }
        page = page.after(stored.next);
    }
}

/// Tasks that use a memory until they are told to stop.
struct Users {
    stop: Arc<AtomicBool>,
    tasks: JoinSet<BTreeMap<String, String>>,
    done: Vec<watch::Receiver<u64>>,
}

impl Users {
    /// Half of them write and half read, half through one handle and half through another, as of another process.
    fn start(handles: [&MemoryManager; 2], count: usize) -> Self {
        let (stop, mut tasks, mut done) = (Arc::new(AtomicBool::new(false)), JoinSet::new(), Vec::new());
        for number in 0..8 {
            let (memory, stop) = (handles[number / 2 % 2].clone(), Arc::clone(&stop));
            let (tell, told) = watch::channel(0);
            done.push(told);
            let user = User { memory, number, held: BTreeMap::new() };
            tasks.spawn(user.go_on(stop, tell, count));
        }
        Self { stop, tasks, done }
    }

    /// Waits until every task did some more.
    async fn go_on(&mut self) {
        for done in &mut self.done {
            let from = *done.borrow();
            if done.wait_for(|turn| *turn >= from + STRETCH).await.is_err() {
                // The task ended by a failed assertion, which is told.
                while let Some(ended) = self.tasks.join_next().await {
                    ended.unwrap();
                }
            }
        }
    }

    /// What they wrote last, by id.
    async fn end(mut self) -> BTreeMap<String, String> {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = BTreeMap::new();
        while let Some(ended) = self.tasks.join_next().await {
            all.extend(ended.unwrap());
        }
        all
    }
}

struct User {
    memory: MemoryManager,
    number: usize,
    held: BTreeMap<String, String>,
}

impl User {
    /// Writes or reads until it is told to stop, and answers what it wrote last.
    async fn go_on(
        mut self,
        stop: Arc<AtomicBool>,
        tell: watch::Sender<u64>,
        count: usize,
    ) -> BTreeMap<String, String> {
        for turn in 0.. {
            match self.number % 2 {
                0 => self.write(turn).await,
                _ => self.read(turn, count).await,
            }
            tell.send_replace(turn + 1);
            if stop.load(Ordering::SeqCst) {
                break;
            }
        }
        self.held
    }

    /// A new record, a counter whose every version is known, and now and then a record forgotten: each is read back at once.
    async fn write(&mut self, turn: u64) {
        let (fresh, counter) = (format!("w{}-{turn}", self.number), format!("counter-{}", self.number));
        let told = [
            (fresh, format!("Note {turn} of clerk {} about the lease.", self.number)),
            (counter, format!("Turn {turn} of clerk {}.", self.number)),
        ];
        let [new, mut counted] = told.clone().map(|(name, text)| record(&name, &text));
        counted.expect =
            if turn == 0 { Precondition::Version(Version::NONE) } else { Precondition::Version(Version(turn)) };
        let written = self.memory.write(vec![new, counted], &WriteOptions::default()).await.unwrap();
        assert_eq!(written.records[1].version, Version(turn + 1), "no version is lost or made twice");
        self.held.extend(told);
        // Every index starts over then, so one of them does it and not often.
        if self.number == 0 && turn % 4 == 3 {
            let old = format!("w{}-{}", self.number, turn - 2);
            let receipt = self.memory.forget(&Selector::Ids(vec![id(&old)]), Trial::Real).await.unwrap();
            assert_eq!(receipt.forgotten.records, [id(&old)]);
            self.held.remove(&old);
        }
        let names: Vec<_> = self.held.keys().rev().take(20).cloned().collect();
        let ids: Vec<_> = names.iter().map(|name| id(name)).collect();
        for (name, stored) in names.iter().zip(self.memory.get(&ids, None).await.unwrap()) {
            assert_eq!(stored.map(|stored| stored.text).as_ref(), self.held.get(name), "{name}");
        }
    }

    /// Asks for what a record says: it is found, and where it is searched by embedding alone, as near as only its own space puts it.
    async fn read(&self, turn: u64, count: usize) {
        let i = (turn as usize * 37 + self.number * 11) % count;
        let mode = [Mode::Hybrid, Mode::Dense][turn as usize % 2];
        let found = self.memory.retrieve(&Query { mode, ..Query::new(text(i)) }).await.unwrap();
        assert_eq!(found.degraded, [""; 0], "{mode:?}");
        for leg in &found.legs {
            let skipped = matches!(&leg.outcome, LegOutcome::Skipped(why) if why == "dense mode");
            assert!(skipped || matches!(leg.outcome, LegOutcome::Ran { .. }), "{mode:?}: {leg:?}");
        }
        let own = id(&format!("r{i}"));
        let Some(hit) = found.hits.iter().find(|hit| hit.record.id == own) else {
            panic!("{mode:?}: {} is not found: {:?}", text(i), common::found(&found))
        };
        if mode == Mode::Dense {
            let near = hit.explanation.legs.iter().map(|leg| leg.raw).fold(f32::MIN, f32::max);
            assert!(near > 0.999, "the text itself is {near} from itself");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_memory_changes_its_model_and_back_while_eight_tasks_use_it() {
    let (place, count) = (Place::new(), records());
    let (old_file, new_file) = (place.built_in(), place.hosted("512"));
    let (memory, elsewhere) = (open(&old_file, "case"), open(&old_file, "case"));
    let copy = open(&new_file, "case-hosted");
    let (old, new) = (memory.embedding_model().unwrap().clone(), copy.embedding_model().unwrap().clone());
    fill(&memory, count).await;

    let plan = memory.plan_reembedding(&copy).await.unwrap();
    assert_eq!(plan.obstacles, [""; 0]);
    assert_eq!((plan.texts, plan.done, plan.price), (count as u64, 0, Price::PerMillionTokens(0.02)));
    assert!(
        plan.tokens > plan.texts * 10 && plan.dollars().unwrap() > 0.0 && !plan.takes().unwrap().is_zero(),
        "{plan:?}"
    );

    let mut users = Users::start([&memory, &elsewhere], count);
    users.go_on().await;
    memory.reembed_to(&copy, |_| {}).await.unwrap();
    users.go_on().await;
    memory.reembed_to(&copy, |_| {}).await.unwrap();
    let quality = memory.ask_both(&copy, &QualityGate { samples: 25, ..QualityGate::default() }).await.unwrap();
    assert!(quality.passes() && quality.asked == 25 && quality.dense.is_some(), "{quality:?}");
    users.go_on().await;

    memory.cut_over(&copy, &CutOver::default()).await.unwrap();
    assert_eq!(memory.move_status(&copy).await.unwrap().phase, MovePhase::Moved);
    users.go_on().await;
    let after = of_one_space(&place, "case-hosted", &new).await;
    let mirrored = of_one_space(&place, "case", &old).await;
    assert!(after > count && mirrored > count, "{after} in the new place, {mirrored} in the old one");
    memory.roll_back(&copy).await.unwrap();
    users.go_on().await;
    memory.reembed_to(&copy, |_| {}).await.unwrap();
    memory.cut_over(&copy, &CutOver::default()).await.unwrap();
    users.go_on().await;
    let held = users.end().await;

    assert!(held.len() > 4 * STRETCH as usize);
    for handle in [&memory, &elsewhere, &copy] {
        for (name, text) in &held {
            let stored = handle.get(&[id(name)], None).await.unwrap();
            assert_eq!(stored[0].as_ref().map(|record| &record.text), Some(text), "{name}");
        }
        handle.verify_audit(None).await.unwrap();
    }
    // What the mirror did not bring in time comes with the way back, with embeddings of the old model.
    memory.roll_back(&copy).await.unwrap();
    let gate = QualityGate { samples: 25, ..QualityGate::default() };
    let back = copy.compare_reembedded(&memory, &gate).await.unwrap();
    assert!(back.is_same() && back.quality.passes(), "{back:?}");
    let (kept, made) = (of_one_space(&place, "case", &old).await, of_one_space(&place, "case-hosted", &new).await);
    assert_eq!(kept, made);

    memory.reembed_to(&copy, |_| {}).await.unwrap();
    memory.cut_over(&copy, &CutOver { window: Duration::ZERO }).await.unwrap();
    memory.finish_migration(&copy).await.unwrap();
    assert_eq!(of_one_space(&place, "case", &old).await, 0, "the old embeddings are gone");
    let found = elsewhere.retrieve(&Query { mode: Mode::Dense, ..Query::new(text(7)) }).await.unwrap();
    assert_eq!(found.hits[0].record.id, id("r7"), "and the old name leads to the new ones");
}

#[tokio::test]
async fn a_copy_that_finds_less_does_not_pass_the_gate_and_the_figures_say_by_how_much() {
    let place = Place::new();
    let memory = open(&place.built_in(), "case");
    fill(&memory, 200).await;
    let junk = Builder::from_env_file(place.built_in()).unwrap().embedder(Arc::new(Junk::new()));
    let copy = junk.build(namespace("case-junk")).unwrap();
    memory.reembed_to(&copy, |_| {}).await.unwrap();
    let report = memory.compare_reembedded(&copy, &QualityGate::default()).await.unwrap();
    assert!(report.is_same(), "it is the same memory: {report:?}");
    let quality = &report.quality;
    assert_eq!((quality.asked, quality.known), (100, 100));
    let dense = quality.dense.unwrap();
    assert!(dense.memory.recall > 0.95 && dense.copy.recall < 0.5, "{quality:?}");
    assert!(!quality.passes());
    assert!(quality.faults.iter().any(|fault| fault.starts_with("recall by embedding alone: ")), "{quality:?}");

    // Questions with known answers, and past queries that nobody judged.
    let judged = GateQuestion { text: text(3), expected: vec![id("r3")] };
    let past = GateQuestion { text: "hearing in Boston".to_owned(), expected: Vec::new() };
    let gate = QualityGate { questions: vec![judged, past], ..QualityGate::default() };
    let quality = memory.ask_both(&memory, &gate).await.unwrap();
    assert_eq!((quality.asked, quality.known, quality.hybrid.overlap), (2, 1, 1.0));
    assert!(quality.passes() && quality.hybrid.copy.recall == 1.0, "{quality:?}");
}

#[tokio::test]
async fn another_dimension_of_the_same_model_is_another_space_and_goes_the_same_way() {
    let place = Place::new();
    let memory = open(&place.hosted("256"), "case");
    fill(&memory, 120).await;
    let copy = open(&place.hosted("1024"), "case-1024");
    memory.reembed_to(&copy, |_| {}).await.unwrap();
    let report = memory.compare_reembedded(&copy, &QualityGate::default()).await.unwrap();
    assert!(report.is_same() && report.quality.passes(), "{report:?}");
    assert_eq!(report.comparison.embeddings, 120);
    memory.cut_over(&copy, &CutOver::default()).await.unwrap();
    memory.write(vec![record("new", "Written after the switch.")], &WriteOptions::default()).await.unwrap();
    assert_eq!(of_one_space(&place, "case-1024", copy.embedding_model().unwrap()).await, 121);
    memory.roll_back(&copy).await.unwrap();
    let found = memory.retrieve(&Query { mode: Mode::Dense, ..Query::new("Written after the switch.") }).await.unwrap();
    assert_eq!(found.hits[0].record.id, id("new"));
    assert_eq!(of_one_space(&place, "case", memory.embedding_model().unwrap()).await, 121);
}

#[tokio::test]
async fn another_quantization_of_an_index_goes_the_same_way_and_embeds_nothing() {
    let server = mnemic_stand_ins::qdrant::start(Knobs::new()).unwrap();
    let ledger: Arc<dyn Ledger> = Arc::new(InMemoryLedger::new());
    let embedder = Arc::new(Counted { model: StaticEmbedder::new().unwrap(), texts: AtomicUsize::new(0) });
    let opened = |prefix: &str, quantization, name: &str| {
        let address = Address::new("qdrant_url", &server.url()).unwrap();
        let config = QdrantIndexConfig { prefix: prefix.to_owned(), quantization, ..QdrantIndexConfig::new(address) };
        let words = LocalIndex::new(LocalIndexConfig::default()).unwrap();
        let builder = Builder::default().ledger(Arc::clone(&ledger)).embedder(Arc::<Counted>::clone(&embedder));
        builder.index(Arc::new(QdrantIndex::new(config).unwrap())).local_index(words).build(namespace(name)).unwrap()
    };
    let memory = opened("whole", Quantization::Off, "case");
    let copy = opened("small", Quantization::Int8, "case-int8");
    fill(&memory, 60).await;
    let embedded = embedder.texts.load(Ordering::SeqCst);
    let plan = memory.plan_reembedding(&copy).await.unwrap();
    assert_eq!((plan.texts, plan.measured), (0, None), "the embeddings fit as they are");
    memory.reembed_to(&copy, |_| {}).await.unwrap();
    assert_eq!((embedder.texts.load(Ordering::SeqCst), embedded), (60, 60), "no text is embedded again");
    let report = memory.compare_reembedded(&copy, &QualityGate::default()).await.unwrap();
    assert!(report.is_same() && report.quality.passes() && report.comparison.embeddings == 60, "{report:?}");
    memory.cut_over(&copy, &CutOver::default()).await.unwrap();
    memory.write(vec![record("new", "Written after the switch.")], &WriteOptions::default()).await.unwrap();
    memory.roll_back(&copy).await.unwrap();
    let found = memory.retrieve(&Query { mode: Mode::Dense, ..Query::new("Written after the switch.") }).await.unwrap();
    assert_eq!(found.hits[0].record.id, id("new"));
    let requests = server.requests();
    let quantized = |prefix: &str| {
        let makes = |asked: &&Exchange| {
            asked.method == "PUT" && asked.path.contains(prefix) && asked.json()["vectors"].is_object()
        };
        let body = requests.iter().find(makes).unwrap().json();
        body["quantization_config"]["scalar"]["type"] == "int8"
    };
    assert!(!quantized("whole") && quantized("small"));
}

#[tokio::test]
async fn a_memory_that_changed_its_model_again_and_again_is_found_under_its_first_name() {
    let place = Place::new();
    let first = open(&place.built_in(), "case");
    fill(&first, 10).await;
    for dimension in ["64", "128", "192", "256", "320", "384"] {
        let copy = open(&place.hosted(dimension), &format!("case-{dimension}"));
        let memory = first.place_before(&copy).await.unwrap();
        memory.reembed_to(&copy, |_| {}).await.unwrap();
        memory.cut_over(&copy, &CutOver { window: Duration::ZERO }).await.unwrap();
        memory.finish_migration(&copy).await.unwrap();
        let note = record(&format!("after-{dimension}"), "Written under the first name.");
        first.write(vec![note], &WriteOptions::default()).await.unwrap();
        assert!(copy.get(&[id(&format!("after-{dimension}"))], None).await.unwrap()[0].is_some());
    }
    let last = open(&place.hosted("384"), "case-384");
    assert_eq!(of_one_space(&place, "case-384", last.embedding_model().unwrap()).await, 16);
    for left in ["case", "case-64", "case-320"] {
        assert_eq!(of_one_space(&place, left, last.embedding_model().unwrap()).await, 0, "{left}");
    }
}

#[tokio::test]
async fn what_cannot_be_embedded_anew_is_refused_before_anything_is_copied() {
    let place = Place::new();
    let memory = open(&place.built_in(), "case");
    fill(&memory, 10).await;
    let without = place.file("none.env", &[("MNEMIC_DIR", "memory"), ("MNEMIC_EMBEDDER", "none")]);
    let refused = memory.reembed_to(&open(&without, "case-none"), |_| {}).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
    let refused = memory.reembed_to(&memory, |_| {}).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{refused}");
    // A plain migration does not embed, and says what to do.
    let refused = memory.migrate_to(&open(&place.hosted("256"), "case-256"), |_| {}).await.unwrap_err();
    assert!(refused.kind() == ErrorKind::Unsupported && refused.message().contains("mnemic reembed"), "{refused}");
    // A copy that another model began.
    memory.reembed_to(&open(&place.hosted("256"), "case-256"), |_| {}).await.unwrap();
    let plan = memory.plan_reembedding(&open(&place.hosted("512"), "case-256")).await.unwrap();
    assert!(plan.obstacles.len() == 1 && plan.obstacles[0].contains("@256-cosine"), "{plan:?}");
}

/// The built-in model, and how many texts it was given to be found.
#[derive(Debug)]
struct Counted {
    model: StaticEmbedder,
    texts: AtomicUsize,
}

#[async_trait::async_trait]
impl Embedder for Counted {
    fn model(&self) -> Option<&EmbeddingModel> {
        self.model.model()
    }

    async fn embed(&self, purpose: Purpose, texts: &[&str]) -> Result<Vec<Option<Embedding>>> {
        if purpose == Purpose::Document {
            self.texts.fetch_add(texts.len(), Ordering::SeqCst);
        }
        self.model.embed(purpose, texts).await
    }
}

/// A model whose embeddings mean nothing.
#[derive(Debug)]
struct Junk(EmbeddingModel);

impl Junk {
    fn new() -> Self {
        Self(EmbeddingModel::new("test", "junk", 8, Metric::Cosine).unwrap())
    }
}

#[async_trait::async_trait]
impl Embedder for Junk {
    fn model(&self) -> Option<&EmbeddingModel> {
        Some(&self.0)
    }

    async fn embed(&self, purpose: Purpose, texts: &[&str]) -> Result<Vec<Option<Embedding>>> {
        // Where a text lies has nothing to do with where a question about it lies.
        let of = |text: &&str| {
            let mark = audit::digest(format!("{purpose:?} {text}").as_bytes()).to_string();
            let components: Vec<f32> = mark.bytes().take(8).map(|byte| f32::from(byte) - 70.0).collect();
            Embedding::new(&self.0, components).map(Some)
        };
        texts.iter().map(of).collect()
    }
}
