//! A memory in PostgreSQL with pgvector gets embeddings of another model and dimension while four tasks use it, and returns.
//! Not here: what a re-embedding does step by step (`reembed`).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod common;
#[path = "common/world.rs"]
mod world;

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use common::{id, record};
use mnemic::{
    Builder, CutOver, EmbeddingModel, Filter, MemoryManager, Mode, Namespace, PageRequest, QualityGate, Query,
    WriteOptions,
    ports::{Embeddings, Ledger as _, Read},
};
use mnemic_ledgers::PostgresLedger;
use mnemic_postgres::{Pool, PostgresConfig, testing::TestServer};
use mnemic_stand_ins::{Knobs, vendors};
use tokio::{sync::watch, task::JoinHandle};
use world::World;

fn text(name: &str) -> String {
    format!("Statement {name} about the hearing of matter {name} in June.")
}

async fn write(memory: &MemoryManager, name: &str) {
    memory.write(vec![record(name, &text(name))], &WriteOptions::default()).await.unwrap();
}

/// A memory as other processes find it: by a file of variables.
fn open(world: &World, file: &str, more: &[(&str, &str)], name: &str) -> MemoryManager {
    let path: PathBuf = world.directory.path().join(file);
    let all = world.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let mine = all.filter(|(name, _)| !more.iter().any(|(other, _)| other == name)).chain(more.iter().copied());
    let lines: Vec<String> = mine.map(|(name, value)| format!("{name}={value}\n")).collect();
    std::fs::write(&path, lines.concat()).unwrap();
    Builder::from_env_file(&path).unwrap().build(Namespace::new(name).unwrap()).unwrap()
}

/// Fails unless every embedding of a namespace is by one model, and answers how many there are.
async fn of_one_space(world: &World, name: &str, model: &EmbeddingModel) -> usize {
    let pool = Pool::new(PostgresConfig::new(world.database.dsn())).unwrap();
    let (ledger, namespace) = (PostgresLedger::from_pool(pool), Namespace::new(name).unwrap());
    let read = Read { as_of: None, embeddings: Embeddings::Include };
    let (mut page, mut held) = (PageRequest::largest(), 0);
    loop {
        let found = ledger.scan(&namespace, &Filter::all(), read, &page).await.unwrap();
        for stored in &found.items {
            assert_eq!(stored.embedding.as_ref().unwrap().model(), model, "{}", stored.record.id);
        }
        held += found.items.len();
        if found.next.is_none() {
            return held;
        }
        page = page.after(found.next);
    }
}

/// A task that writes, reads what it wrote, and asks for what was there before, until it is told to stop. Answers how much it wrote.
fn user(memory: MemoryManager, number: usize, stop: Arc<AtomicBool>) -> (JoinHandle<usize>, watch::Receiver<usize>) {
    let (tell, told) = watch::channel(0);
    let task = tokio::spawn(async move {
        let mut made = 0;
        while !stop.load(Ordering::SeqCst) {
            let name = format!("w{number}-{made}");
            write(&memory, &name).await;
            let stored = memory.get(&[id(&name)], None).await.unwrap();
            assert_eq!(stored[0].as_ref().unwrap().version.0, 1, "made once, and read at once");
            let asked = format!("r{}", (made * 7 + number) % 40);
            let mode = [Mode::Dense, Mode::Hybrid][made % 2];
            let found = memory.retrieve(&Query { mode, limit: Some(30), ..Query::new(text(&asked)) }).await.unwrap();
            assert_eq!(found.degraded, [""; 0], "{mode:?}");
            let hit = found.hits.iter().find(|hit| hit.record.id == id(&asked));
            let hit = hit.unwrap_or_else(|| panic!("{mode:?}: {asked} is not among {:?}", common::found(&found)));
            if mode == Mode::Dense {
                let near = hit.explanation.legs.iter().map(|leg| leg.raw).fold(f32::MIN, f32::max);
                assert!(near > 0.99, "the text itself is {near} from itself");
            }
            made += 1;
            tell.send_replace(made);
        }
        made
    });
    (task, told)
}

async fn more(done: &mut [watch::Receiver<usize>]) {
    for done in done {
        let from = *done.borrow();
        done.wait_for(|made| *made >= from + 5).await.unwrap();
    }
}

async fn four_tasks_go_on_while_the_model_and_its_dimension_change(server: TestServer) {
    let world = World::new(&server, &[]).await.with("MNEMIC_INDEX", "pgvector");
    let vendor = vendors().iter().find(|vendor| vendor.name == "openai").unwrap();
    let running = (vendor.serve)(0, Knobs::new()).unwrap();
    let old = [("MNEMIC_EMBEDDER", "static")];
    let url = format!("{}/v1", running.url());
    let new = [
        ("MNEMIC_EMBEDDER", "openai"),
        ("OPENAI_API_KEY", "stand-in"),
        ("MNEMIC_EMBEDDER_URL", &url),
        ("MNEMIC_EMBEDDING_MODEL", "text-embedding-3-small"),
        ("MNEMIC_EMBEDDING_DIMENSION", "512"),
    ];
    let memory = open(&world, "old.env", &old, "case");
    let copy = open(&world, "new.env", &new, "case-512");
    for i in 0..40 {
        write(&memory, &format!("r{i}")).await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let handles = (0..4).map(|number| {
        let handle = if number % 2 == 0 { memory.clone() } else { open(&world, "old.env", &old, "case") };
        user(handle, number, Arc::clone(&stop))
    });
    let (tasks, mut done): (Vec<_>, Vec<_>) = handles.unzip();
    more(&mut done).await;
    memory.reembed_to(&copy, |_| {}).await.unwrap();
    more(&mut done).await;
    let quality = memory.ask_both(&copy, &QualityGate { samples: 20, ..QualityGate::default() }).await.unwrap();
    assert!(quality.passes() && quality.dense.is_some(), "{quality:?}");
    memory.cut_over(&copy, &CutOver::default()).await.unwrap();
    more(&mut done).await;
    let (ours, theirs) = (memory.embedding_model().unwrap(), copy.embedding_model().unwrap());
    assert!(of_one_space(&world, "case-512", theirs).await > 80);
    assert!(of_one_space(&world, "case", ours).await > 80);
    memory.roll_back(&copy).await.unwrap();
    more(&mut done).await;
    stop.store(true, Ordering::SeqCst);
    let mut written = 40;
    for task in tasks {
        written += task.await.unwrap();
    }
    assert_eq!(of_one_space(&world, "case", ours).await, written, "nothing is lost or made twice");
    memory.reembed_to(&copy, |_| {}).await.unwrap();
    let report =
        memory.compare_reembedded(&copy, &QualityGate { samples: 20, ..QualityGate::default() }).await.unwrap();
    assert!(report.is_same() && report.quality.passes(), "{report:?}");
    assert_eq!(of_one_space(&world, "case-512", theirs).await, written);
}

fn main() -> ExitCode {
    mnemic_postgres::trials!(["postgres-18"]; four_tasks_go_on_while_the_model_and_its_dimension_change)
}
