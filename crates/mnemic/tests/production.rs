//! The production mode as its users meet it: made from the environment, on a real PostgreSQL server and vendors' stand-ins. The seed
//! guide's three scripts, its environments and clients, and what happens where a part is wrong or away.
//! Not here: each adapter's contract (conformance), outages under load (the outage campaign).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod common;
#[path = "common/world.rs"]
mod world;

use std::{process::ExitCode, time::Duration};

use common::{event, found, id, record, thread, user};
use mnemic::{
    ErrorKind, MemoryManager, Mode, NewRecord, Object, Query, RecordOutcome, Selector, SetSlots, Trial, Value,
    WriteOptions,
};
use mnemic_postgres::testing::TestServer;
use world::World;

fn precedent() -> NewRecord {
    NewRecord {
        user_id: Some(user("test_user")),
        source: Some("test".into()),
        tags: ["legal".to_owned(), "precedent".to_owned()].into(),
        ..NewRecord::new("Important legal precedent from Smith v. Jones case")
    }
}

/// The three scripts of the guide, and the working memory beside them.
async fn scripts(memory: &MemoryManager) {
    // Test 1: the connection.
    let health = memory.health_check().await;
    assert!(health.all(), "{health:?}");
    // Test 2: store and find.
    let stored = memory.write(vec![precedent()], &WriteOptions::default()).await.unwrap();
    assert_eq!((stored.records.len(), stored.records[0].outcome), (1, RecordOutcome::Indexed), "{:?}", stored.warnings);
    let query = Query { user_id: Some(user("test_user")), limit: Some(5), ..Query::new("find legal precedents") };
    let results = memory.retrieve(&query).await.unwrap();
    assert_eq!(results.hits[0].record.text, "Important legal precedent from Smith v. Jones case");
    assert!(results.degraded.is_empty(), "{:?}", results.degraded);
    assert_eq!(
        results.hits[0].explanation.legs.len(),
        2,
        "found by vector and by words: {:?}",
        results.hits[0].explanation
    );
    let nobody = Query { user_id: Some(user("other")), ..query };
    assert!(memory.retrieve(&nobody).await.unwrap().hits.is_empty());
    // Test 3: the audit trail.
    let mut logged = event("8f1c", "test_thread", "");
    (logged.source, logged.action) = ("test".into(), "test_action".into());
    logged.payload = Object::from([("data".to_owned(), Value::from("test"))]);
    memory.log_audit(logged.clone()).await.unwrap();
    memory.log_audit(logged).await.unwrap();
    let snapshot = memory.snapshot_thread(&thread("test_thread")).await.unwrap();
    assert_eq!(snapshot.lines().count(), 1, "{snapshot}");
    assert!(snapshot.contains(r#"test:test_action {"data":"test"}"#), "{snapshot}");
    // The working memory.
    let slots = [("persona".to_owned(), Some("paralegal".to_owned()))].into();
    memory.set_slots(&thread("test_thread"), slots, SetSlots::default()).await.unwrap();
    assert_eq!(memory.slots(&thread("test_thread"), None).await.unwrap().slots["persona"], "paralegal");
    assert!(memory.verify().await.unwrap().faults.is_empty());
    memory.verify_audit(None).await.unwrap();
}

/// What the guide's `.env` makes: PostgreSQL, Pinecone, Voyage.
async fn the_seeds_scripts_pass_on_pinecone_and_voyage(server: TestServer) {
    let world = World::new(&server, &["pinecone", "voyage"]).await;
    scripts(&world.open()).await;
    assert!(world.vendor("pinecone").requests().is_empty(), "served for developers, nothing is recorded");
}

async fn the_seeds_scripts_pass_on_pgvector_and_gemini(server: TestServer) {
    scripts(&World::new(&server, &["gemini"]).await.open()).await;
}

async fn the_seeds_scripts_pass_on_qdrant_and_openai(server: TestServer) {
    scripts(&World::new(&server, &["qdrant", "openai"]).await.with("MNEMIC_INDEX", "qdrant").open()).await;
}

async fn the_seeds_scripts_pass_on_the_local_index_and_the_built_in_model(server: TestServer) {
    scripts(&World::new(&server, &[]).await.with("MNEMIC_INDEX", "local").open()).await;
}

async fn the_seeds_scripts_pass_with_a_reranker(server: TestServer) {
    let world = World::new(&server, &["pinecone", "voyage"]).await.with("MNEMIC_RERANKER", "voyage");
    let url = format!("{}/v1", world.vendor("voyage").url());
    let memory = world.with("MNEMIC_RERANKER_URL", &url);
    let memory = memory.open();
    memory.write(vec![precedent()], &WriteOptions::default()).await.unwrap();
    let answer = memory.retrieve(&Query::new("find legal precedents")).await.unwrap();
    assert!(answer.hits[0].explanation.rerank.is_some() && answer.degraded.is_empty(), "{:?}", answer.degraded);
}

/// "Namespaces for Multi-tenancy", and the namespaces of staging and production.
async fn clients_and_environments_see_nothing_of_each_other(server: TestServer) {
    let world = World::new(&server, &["pinecone", "voyage"]).await;
    let (a, b) = (world.open_in(Some("client-a")), world.open_in(Some("client-b")));
    a.write(vec![NewRecord { id: Some(id("x")), ..precedent() }], &WriteOptions::default()).await.unwrap();
    assert!(b.retrieve(&Query::new("legal precedent")).await.unwrap().hits.is_empty());
    assert!(b.get(&[id("x")], None).await.unwrap()[0].is_none());
    b.forget(&Selector::Ids(vec![id("x")]), Trial::Real).await.unwrap();
    assert_eq!(found(&a.retrieve(&Query::new("legal precedent")).await.unwrap()), ["x"]);
    assert_eq!(world.open().namespace().as_str(), "production");
    assert_eq!(world.with("ENV", "staging").open().namespace().as_str(), "staging");
}

/// Indexes do not wait for the disk. What a crash of the server takes of them is found all the same, also by who has just seen it there.
async fn what_a_crash_took_of_the_indexes_is_found_at_once(server: TestServer) {
    let world = World::new(&server, &[]).await.with("MNEMIC_INDEX", "pgvector");
    let memory = world.open();
    let write = async |id: &str, text: &str| {
        let record = NewRecord { id: Some(common::id(id)), ..NewRecord::new(text) };
        memory.write(vec![record], &WriteOptions::default()).await.unwrap();
    };
    let tables = ["index_spaces", "vectors", "text_documents", "text_postings", "text_terms"];
    write("a", "the first legal precedent").await;
    for table in tables {
        world.database.execute(&format!("CREATE TABLE public.{table} AS TABLE mnemic.{table}")).await;
    }
    write("b", "the second legal precedent").await;
    for mode in [Mode::Hybrid, Mode::Dense, Mode::Lexical] {
        let query = Query { mode, ..Query::new("legal precedent") };
        let all = async || {
            let answer = memory.retrieve(&query).await.unwrap();
            assert!(answer.degraded.is_empty(), "{mode:?}: {:?}", answer.degraded);
            let mut all: Vec<String> = found(&answer).into_iter().map(str::to_owned).collect();
            all.sort();
            all
        };
        assert_eq!(all().await, ["a", "b"], "{mode:?}");
        for table in tables {
            let back = format!("DELETE FROM mnemic.{table}; INSERT INTO mnemic.{table} TABLE public.{table}");
            world.database.execute(&back).await;
        }
        assert_eq!(all().await, ["a", "b"], "{mode:?}");
    }
    assert!(memory.verify().await.unwrap().faults.is_empty());
}

/// What one handle wrote, another process finds, and nothing is embedded twice.
async fn what_was_written_is_there_for_the_next_process(server: TestServer) {
    let world = World::new(&server, &["pinecone", "voyage"]).await;
    let first = world.open();
    first.write(vec![NewRecord { id: Some(id("x")), ..precedent() }], &WriteOptions::default()).await.unwrap();
    drop(first);
    let next = world.open();
    let dense = Query { mode: Mode::Dense, ..Query::new("legal precedent") };
    let answer = next.retrieve(&dense).await.unwrap();
    assert_eq!((found(&answer), answer.degraded.len()), (vec!["x"], 0));
    next.forget(&Selector::Subject(user("test_user")), Trial::Real).await.unwrap();
    assert!(next.retrieve(&dense).await.unwrap().hits.is_empty());
    assert!(next.verify().await.unwrap().faults.is_empty());
}

/// "Graceful degradation": a production that cannot be reached says so, and the guide's fallback works.
async fn a_production_that_cannot_be_reached_says_what_is_down_and_the_fallback_serves(server: TestServer) {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dsn = format!("postgresql://mnemic:hush@{nobody}/mnemic");
    let world = World::new(&server, &["pinecone", "voyage"]).await.with("POSTGRES_DSN", &dsn);
    let mut world = world.with("MNEMIC_DEADLINE", "5s");
    world.environment.remove("MNEMIC_POSTGRES_ADMIN_DSN");
    let memory = world.open();
    let health = memory.health_check().await;
    assert!(!health.semantic && !health.episodic && !health.working, "{health:?}");
    assert!(health.details.iter().any(|detail| detail.part == "ledger" && detail.kind == Some(ErrorKind::Unavailable)));
    assert!(!format!("{health:?}").contains("hush"), "{health:?}");
    let kept = memory.write(vec![precedent()], &WriteOptions::default()).await.unwrap();
    assert_eq!(kept.records[0].outcome, RecordOutcome::Spooled);
    let answer = memory.retrieve(&Query::new("legal precedent")).await.unwrap();
    assert_eq!((answer.hits.len(), answer.degraded.is_empty()), (1, false));
    let fallback = MemoryManager::dev().unwrap();
    assert!(fallback.health_check().await.all());
    // The server comes up: the next process delivers what waited.
    drop(memory);
    world.environment.insert("POSTGRES_DSN".to_owned(), world.database.dsn());
    world.environment.insert("MNEMIC_POSTGRES_ADMIN_DSN".to_owned(), world.database.admin_dsn());
    let back = world.open();
    back.drain().await.unwrap();
    let query = Query { user_id: Some(user("test_user")), ..Query::new("legal precedent") };
    assert_eq!(back.retrieve(&query).await.unwrap().hits.len(), 1);
    assert!(back.verify().await.unwrap().faults.is_empty());
}

async fn with_the_embedder_and_the_index_away_records_are_kept_and_finished_in_the_background(server: TestServer) {
    let world = World::new(&server, &["pinecone", "voyage"]).await;
    let memory = world.open();
    memory.write(vec![record("before", "a motion to dismiss")], &WriteOptions::default()).await.unwrap();
    for vendor in ["pinecone", "voyage"] {
        world.vendor(vendor).knobs().always_on("/", mnemic_stand_ins::Fault::status(503));
    }
    let report = memory.write(vec![precedent()], &WriteOptions::default()).await.unwrap();
    assert_eq!(report.records[0].outcome, RecordOutcome::Pending, "{report:?}");
    let query = Query { user_id: Some(user("test_user")), ..Query::new("legal precedent") };
    let meanwhile = memory.retrieve(&query).await.unwrap();
    assert_eq!((meanwhile.hits.len(), meanwhile.degraded.is_empty()), (1, false), "{meanwhile:?}");
    for vendor in ["pinecone", "voyage"] {
        world.vendor(vendor).knobs().clear();
    }
    let whole = async {
        loop {
            let answer = memory.retrieve(&query).await.unwrap();
            if answer.degraded.is_empty() && answer.hits[0].explanation.legs.len() == 2 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(2), whole).await.unwrap();
    assert_eq!(memory.stats().await.unwrap().ledger.outbox, 0);
}

fn main() -> ExitCode {
    mnemic_postgres::trials!(
        ["postgres-18"];
        the_seeds_scripts_pass_on_pinecone_and_voyage,
        the_seeds_scripts_pass_on_pgvector_and_gemini,
        the_seeds_scripts_pass_on_qdrant_and_openai,
        the_seeds_scripts_pass_on_the_local_index_and_the_built_in_model,
        the_seeds_scripts_pass_with_a_reranker,
        clients_and_environments_see_nothing_of_each_other,
        what_a_crash_took_of_the_indexes_is_found_at_once,
        what_was_written_is_there_for_the_next_process,
        a_production_that_cannot_be_reached_says_what_is_down_and_the_fallback_serves,
        with_the_embedder_and_the_index_away_records_are_kept_and_finished_in_the_background,
    )
}
