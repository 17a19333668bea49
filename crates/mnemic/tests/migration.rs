//! A memory that moves from one backend to the next and back: exactly, while it is written to, stopped in between, and compared.
//! Not here: that any history is repeated (conformance of ledgers), that a comparison finds every lie (`mnemic-migration`).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod common;
#[path = "common/world.rs"]
mod world;

use std::{process::ExitCode, time::Duration};

use common::{event, id, record, thread, user};
use mnemic::{
    Builder, Consolidation, CutOver, ErrorKind, MemoryManager, Namespace, NewRecord, Precondition, Query, Selector,
    SetSlots, Trial, Version, WriteOptions,
};
use mnemic_postgres::testing::TestServer;
use world::World;

fn namespace() -> Namespace {
    Namespace::new("case").unwrap()
}

fn directory(at: &tempfile::TempDir, name: &str) -> MemoryManager {
    Builder::embedded(at.path().join(name)).unwrap().build(namespace()).unwrap()
}

/// A memory with a bit of everything: revisions, deletions that can be undone, forgotten records and people, slots, events.
async fn live(memory: &MemoryManager) {
    let write = async |records: Vec<NewRecord>| memory.write(records, &WriteOptions::default()).await.unwrap();
    for batch in 0..6 {
        let texts = (0..40).map(|i| {
            let text = format!("Statement {i} of part {batch}: the fee of form I-{i} is {} dollars.", 100 * batch + i);
            let owner = ["anna", "boris", "clara"][i % 3];
            NewRecord { user_id: Some(user(owner)), ..record(&format!("r{batch}-{i}"), &text) }
        });
        write(texts.collect()).await;
    }
    for i in 0..20 {
        write(vec![record(&format!("r0-{i}"), &format!("The fee of form I-{i} was raised in May."))]).await;
    }
    write(vec![record("twin-a", "Anna lives in Austin."), record("twin-b", "Anna lives in Austin.")]).await;
    memory.consolidate(&Consolidation::default()).await.unwrap();
    for i in 0..30 {
        let text = format!("message {i}");
        memory.log_audit(event(&format!("e{i}"), ["talk", "phone"][i % 2], &text)).await.unwrap();
    }
    memory.write_event(event("said", "talk", "The hearing is on June 2.")).await.unwrap();
    for persona in ["paralegal", "attorney", "brief attorney"] {
        let slots = [("persona".to_owned(), Some(persona.to_owned()))].into();
        memory.set_slots(&thread("talk"), slots, SetSlots::default()).await.unwrap();
    }
    memory.forget(&Selector::Ids(vec![id("r1-1"), id("r1-2")]), Trial::Real).await.unwrap();
    memory.forget(&Selector::Subject(user("clara")), Trial::Real).await.unwrap();
}

/// Moves, and fails unless both are the same.
async fn moved(source: &MemoryManager, target: &MemoryManager, leg: &str) {
    let plan = source.plan_migration(target).await.unwrap();
    assert_eq!(plan.obstacles, [""; 0], "{leg}");
    let mut reached = 0;
    let followed = source.migrate_to(target, |seq| reached = seq.0).await.unwrap();
    assert_eq!((followed.changes, followed.head.0, reached), (plan.changes, plan.changes, plan.changes), "{leg}");
    let report = source.compare_with(target, 15).await.unwrap();
    assert_eq!(report.comparison.differences, [""; 0], "{leg}");
    assert_eq!(report.index_faults, [""; 0], "{leg}");
    assert!(report.comparison.records > 150 && report.comparison.embeddings > 100, "{leg}: {report:?}");
    assert!(report.asked == 15 && report.overlap > 0.9, "{leg}: {report:?}");
    target.verify_audit(None).await.unwrap();
}

async fn a_memory_moves_over_every_backend_and_comes_back_the_same(server: TestServer) {
    let places = tempfile::tempdir().unwrap();
    let first = directory(&places, "first");
    live(&first).await;
    let built_in = |world: World| world.with("MNEMIC_EMBEDDER", "static");
    let pgvector = built_in(World::new(&server, &[]).await).with("MNEMIC_INDEX", "pgvector");
    let pinecone = built_in(World::new(&server, &["pinecone"]).await);
    let qdrant = built_in(World::new(&server, &["qdrant"]).await).with("MNEMIC_INDEX", "qdrant");
    let mut memories = vec![first];
    for (world, leg) in [(&pgvector, "to pgvector"), (&pinecone, "to Pinecone"), (&qdrant, "to Qdrant")] {
        let next = world.open_in(Some("case"));
        moved(memories.last().unwrap(), &next, leg).await;
        memories.last().unwrap().cut_over(&next, &CutOver { window: Duration::ZERO }).await.unwrap();
        memories.push(next);
    }
    let last = directory(&places, "last");
    moved(memories.last().unwrap(), &last, "back to a directory").await;
    memories.last().unwrap().cut_over(&last, &CutOver::default()).await.unwrap();
    let report = memories[0].compare_with(&last, 15).await.unwrap();
    assert!(report.is_same(), "{report:?}");
    assert_eq!((report.same_order, report.asked), (15, 15), "the same index over the same memory ranks alike");
    // It goes on living where it is: versions, chain and preconditions continue.
    let next = NewRecord { expect: Precondition::Version(Version(2)), ..record("r0-3", "The fee was lowered again.") };
    let written = last.write(vec![next], &WriteOptions::default()).await.unwrap();
    assert_eq!(written.records[0].version, Version(3));
    last.verify_audit(None).await.unwrap();
    let found = last.retrieve(&Query::new("lowered fee")).await.unwrap();
    assert_eq!(found.hits[0].record.id, id("r0-3"));
}

async fn what_is_written_and_forgotten_meanwhile_is_brought_over_by_the_next_round(server: TestServer) {
    let places = tempfile::tempdir().unwrap();
    let source = directory(&places, "source");
    live(&source).await;
    let world = World::new(&server, &[]).await.with("MNEMIC_EMBEDDER", "static").with("MNEMIC_INDEX", "pgvector");
    let target = world.open_in(Some("case"));
    moved(&source, &target, "the first round").await;
    // A writer, an eraser and the migration at once.
    let writer = async {
        for i in 0..40 {
            let texts = vec![record(&format!("late-{i}"), &format!("Late statement number {i}."))];
            source.write(texts, &WriteOptions::default()).await.unwrap();
            if i % 10 == 3 {
                let ids = vec![id(&format!("late-{}", i - 1)), id(&format!("r2-{i}"))];
                source.forget(&Selector::Ids(ids), Trial::Real).await.unwrap();
            }
        }
        source.forget(&Selector::Subject(user("boris")), Trial::Real).await.unwrap();
    };
    let copier = async {
        for _ in 0..8 {
            source.migrate_to(&target, |_| {}).await.unwrap();
        }
    };
    tokio::join!(writer, copier);
    let behind = source.compare_with(&target, 0).await.unwrap();
    source.migrate_to(&target, |_| {}).await.unwrap();
    let report = source.compare_with(&target, 10).await.unwrap();
    assert!(report.is_same(), "{report:?}\nbefore the last round: {behind:?}");
    let gone = target.retrieve(&Query { user_id: Some(user("boris")), ..Query::new("fee of form") }).await.unwrap();
    assert_eq!(gone.hits.len(), 0, "what was forgotten in the source is found nowhere in the target");
    // What the source has and the target lacks is told, one by one.
    source.write(vec![record("unseen", "Written after the last round.")], &WriteOptions::default()).await.unwrap();
    let report = source.compare_with(&target, 0).await.unwrap();
    assert!(report.comparison.differences.iter().any(|told| told.contains("\"unseen\"")), "{report:?}");
}

async fn a_copy_that_is_cut_off_goes_on_where_it_was(server: TestServer) {
    let places = tempfile::tempdir().unwrap();
    let source = directory(&places, "source");
    live(&source).await;
    let world = World::new(&server, &[]).await.with("MNEMIC_EMBEDDER", "static").with("MNEMIC_INDEX", "local");
    for cut in 1..=12 {
        // A call that is dropped, and a new handle afterwards, as after a crash.
        let target = world.open_in(Some("case"));
        let patience = std::time::Duration::from_millis(15 * cut);
        let _cut_off = tokio::time::timeout(patience, source.migrate_to(&target, |_| {})).await;
    }
    let target = world.open_in(Some("case"));
    source.migrate_to(&target, |_| {}).await.unwrap();
    let report = source.compare_with(&target, 5).await.unwrap();
    assert!(report.is_same(), "{report:?}");
}

async fn what_cannot_be_kept_is_refused_before_anything_is_written(server: TestServer) {
    let places = tempfile::tempdir().unwrap();
    let source = directory(&places, "source");
    live(&source).await;
    // Another embedder than the one whose embeddings move.
    let world = World::new(&server, &["voyage"]).await.with("MNEMIC_INDEX", "pgvector");
    let target = world.open_in(Some("case"));
    let error = source.migrate_to(&target, |_| {}).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
    assert!(error.message().contains("voyage") && error.message().contains("mnemic"), "{error}");
    assert_eq!(target.stats().await.unwrap().ledger.head.0, 0, "nothing was written");
    // A target with a life of its own.
    let other = directory(&places, "other");
    other.write(vec![record("own", "Something else.")], &WriteOptions::default()).await.unwrap();
    let error = source.migrate_to(&other, |_| {}).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
    assert_eq!(other.get(&[id("own")], None).await.unwrap()[0].as_ref().unwrap().text, "Something else.");
    let error = source.migrate_to(&source.clone(), |_| {}).await.unwrap_err();
    assert_eq!(error.field(), Some("target"), "{error:?}");
}

fn main() -> ExitCode {
    mnemic_postgres::trials!(
        ["postgres-18"];
        a_memory_moves_over_every_backend_and_comes_back_the_same,
        what_is_written_and_forgotten_meanwhile_is_brought_over_by_the_next_round,
        a_copy_that_is_cut_off_goes_on_where_it_was,
        what_cannot_be_kept_is_refused_before_anything_is_written,
    )
}
