//! Writers of several engines while a memory moves to PostgreSQL and back: they wait, and nothing is lost or made twice.
//! Not here: what a switch does step by step (`switch`).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod common;
#[path = "common/world.rs"]
mod world;

use std::{
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use common::{id, record};
use mnemic::{Builder, CutOver, Filter, MemoryManager, Namespace, PageRequest, WriteOptions};
use mnemic_postgres::testing::TestServer;
use world::World;

fn directory(path: &Path) -> MemoryManager {
    Builder::embedded(path).unwrap().build(Namespace::new("case").unwrap()).unwrap()
}

async fn write(memory: &MemoryManager, name: &str) {
    let text = format!("Statement {name} about the hearing in June.");
    memory.write(vec![record(name, &text)], &WriteOptions::default()).await.unwrap();
}

async fn held(memory: &MemoryManager) -> usize {
    let mut page = PageRequest::largest();
    let mut count = 0;
    loop {
        let found = memory.list(&Filter::all(), None, &page).await.unwrap();
        count += found.items.len();
        if found.next.is_none() {
            return count;
        }
        page = page.after(found.next);
    }
}

async fn writers_wait_for_the_switch_and_lose_and_repeat_nothing(server: TestServer) {
    let places = tempfile::tempdir().unwrap();
    let source = directory(&places.path().join("from"));
    for i in 0..40 {
        write(&source, &format!("r{i}")).await;
    }
    let world = World::new(&server, &[]).await.with("MNEMIC_EMBEDDER", "static").with("MNEMIC_INDEX", "local");
    let target = world.open_in(Some("case"));
    source.migrate_to(&target, |_| {}).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|w| {
            let (stop, memory) = (Arc::clone(&stop), directory(&places.path().join("from")));
            tokio::spawn(async move {
                let mut made = 0;
                while !stop.load(Ordering::SeqCst) {
                    write(&memory, &format!("w{w}-{made}")).await;
                    let found = memory.get(&[id(&format!("w{w}-{made}"))], None).await.unwrap();
                    assert_eq!(
                        found[0].as_ref().unwrap().version.0,
                        1,
                        "own writes are read at once, and were made once"
                    );
                    made += 1;
                }
                made
            })
        })
        .collect();
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        source.migrate_to(&target, |_| {}).await.unwrap();
        source.cut_over(&target, &CutOver::default()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        source.roll_back(&target).await.unwrap();
    }
    stop.store(true, Ordering::SeqCst);
    let mut expected = 40;
    for writer in writers {
        expected += writer.await.unwrap();
    }
    assert_eq!(held(&source).await, expected);
    source.verify_audit(None).await.unwrap();
    source.migrate_to(&target, |_| {}).await.unwrap();
    let report = source.compare_with(&target, 5).await.unwrap();
    assert!(report.is_same(), "at the end: {report:?}");
}

async fn who_still_believes_in_a_move_that_was_taken_back_is_answered_by_the_memory(server: TestServer) {
    let places = tempfile::tempdir().unwrap();
    let world = World::new(&server, &[]).await.with("MNEMIC_EMBEDDER", "static").with("MNEMIC_INDEX", "local");
    let source = world.open_in(Some("case"));
    for i in 0..5 {
        write(&source, &format!("r{i}")).await;
    }
    let target = directory(&places.path().join("to"));
    // Another process: an engine of its own, which believes a role for a second.
    let other = world.open_in(Some("case"));
    let stop = Arc::new(AtomicBool::new(false));
    // It asks all the time, so that what it believes is of the middle of every switch.
    let reader = tokio::spawn({
        let (stop, other) = (Arc::clone(&stop), other.clone());
        async move {
            while !stop.load(Ordering::SeqCst) {
                assert!(other.get(&[id("r0")], None).await.unwrap()[0].is_some());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
    for round in 0..3 {
        source.migrate_to(&target, |_| {}).await.unwrap();
        source.cut_over(&target, &CutOver::default()).await.unwrap();
        write(&other, &format!("away-{round}")).await;
        source.roll_back(&target).await.unwrap();
        write(&source, &format!("back-{round}")).await;
        // At once, while the other still believes that the memory is away.
        let name = id(&format!("back-{round}"));
        assert!(other.get(std::slice::from_ref(&name), None).await.unwrap()[0].is_some(), "round {round}");
        write(&other, &format!("other-{round}")).await;
        if round == 1 {
            source.abort_migration(&target).await.unwrap();
            write(&other, "after the copy went").await;
        }
    }
    stop.store(true, Ordering::SeqCst);
    reader.await.unwrap();
    assert_eq!(held(&source).await, 5 + 3 * 3 + 1);
    assert_eq!(held(&other).await, 5 + 3 * 3 + 1);
}

fn main() -> ExitCode {
    mnemic_postgres::trials!(
        ["postgres-18"];
        writers_wait_for_the_switch_and_lose_and_repeat_nothing,
        who_still_believes_in_a_move_that_was_taken_back_is_answered_by_the_memory,
    )
}
