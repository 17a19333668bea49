//! Lies that somebody plants in the database of a copy, behind the back of its ledger and its indexes: verification names every one, and
//! none without a lie. Not here: lies that a ledger was told (`mnemic-migration`).
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests fail by panicking")]

mod common;
#[path = "common/world.rs"]
mod world;

use std::process::ExitCode;

use common::{event, id, record, thread, user};
use mnemic::{Builder, MemoryManager, Namespace, NewRecord, SetSlots, WriteOptions};
use mnemic_core::{Batch, MemoryRecord, Precondition, RecordWrite, Task, ports::Ledger};
use mnemic_ledgers::{SqliteConfig, SqliteLedger};
use mnemic_postgres::testing::{TestDatabase, TestServer};
use world::World;

/// What it is about, the table, the statement, and what must be told.
type Lie = (&'static str, &'static str, &'static str, &'static str);

/// Each leaves the number of rows of its table as it is, or it says so.
const LIES: &[Lie] = &[
    (
        "a stale index row",
        "vectors",
        "UPDATE mnemic.vectors SET version = 1 WHERE id = 'r1'",
        "holds version 1 of record \"r1\", the ledger 2",
    ),
    (
        "another's index row",
        "vectors",
        "UPDATE mnemic.vectors SET id = 'stranger' WHERE id = 'r2'",
        "holds record \"stranger\", which the ledger does not",
    ),
    (
        "that row's own record",
        "vectors",
        "UPDATE mnemic.vectors SET id = 'stranger' WHERE id = 'r2'",
        "lacks record \"r2\"",
    ),
    ("a missing vector (fewer rows)", "vectors", "DELETE FROM mnemic.vectors WHERE id = 'r3'", "lacks record \"r3\""),
    (
        "a stale text",
        "text_documents",
        "UPDATE mnemic.text_documents SET version = 1 WHERE id = 'r1'",
        "holds version 1 of record \"r1\"",
    ),
    (
        "another's text",
        "text_documents",
        "UPDATE mnemic.text_documents SET id = 'stranger' WHERE id = 'r2'",
        "holds record \"stranger\"",
    ),
    (
        "a missing text (fewer rows)",
        "text_documents",
        "DELETE FROM mnemic.text_documents WHERE id = 'r3'",
        "lacks record \"r3\"",
    ),
    (
        "another user's record",
        "records",
        "UPDATE mnemic.records SET user_id = 'carl' WHERE id = 'r4'",
        "the stored record \"r4\" does not match its checksum",
    ),
    (
        "an earlier creation",
        "records",
        "UPDATE mnemic.records SET created_at = created_at - 1 WHERE id = 'r4'",
        "the stored record \"r4\" does not match its checksum",
    ),
    (
        "swapped texts",
        "records",
        "UPDATE mnemic.records r SET body = o.body FROM mnemic.records o
         WHERE o.namespace = r.namespace AND (r.id, o.id) IN (('r4', 'r5'), ('r5', 'r4'))",
        "the stored record \"r4\" does not match its checksum",
    ),
    (
        "swapped embeddings",
        "records",
        "UPDATE mnemic.records r SET vector = o.vector, crc = o.crc FROM mnemic.records o
         WHERE o.namespace = r.namespace AND (r.id, o.id) IN (('r4', 'r5'), ('r5', 'r4'))",
        "the embedding of record \"r4\" differs",
    ),
    (
        "a missing embedding",
        "records",
        "UPDATE mnemic.records SET vector = NULL, crc = NULL, model = NULL WHERE id = 'r6'",
        "the embedding of record \"r6\" differs",
    ),
    (
        "a renamed record",
        "records",
        "UPDATE mnemic.records SET id = 'x7' WHERE id = 'r7'",
        "the stored record \"x7\" does not match its checksum",
    ),
    (
        "a revision's version",
        "revisions",
        "UPDATE mnemic.revisions SET version = 9",
        "the stored record \"r1\" does not match its checksum",
    ),
    (
        "a lost revision (fewer rows)",
        "revisions",
        "DELETE FROM mnemic.revisions",
        "record \"r1\" has 2 revisions in the source, 1 in the target",
    ),
    ("another's event", "events", "UPDATE mnemic.events SET user_id = 'carl' WHERE sequence = 2", "event 2 differs"),
    (
        "an event of another thread",
        "events",
        "UPDATE mnemic.events SET thread_id = 'phone' WHERE sequence = 2",
        "event 2 differs",
    ),
    (
        "a later event",
        "events",
        "UPDATE mnemic.events SET recorded_at = recorded_at + 1 WHERE sequence = 2",
        "the target's",
    ),
    (
        "a salt",
        "events",
        "UPDATE mnemic.events SET salt = set_byte(salt, 0, 255 - get_byte(salt, 0)) WHERE sequence = 2",
        "event 2 differs",
    ),
    (
        "an event's particulars gone",
        "events",
        "UPDATE mnemic.events SET body = NULL, salt = NULL, event_id = NULL, thread_id = NULL, user_id = NULL WHERE sequence = 2",
        "event 2 differs",
    ),
    (
        "swapped slot versions",
        "slot_revisions",
        "UPDATE mnemic.slot_revisions r SET body = o.body FROM mnemic.slot_revisions o
         WHERE o.namespace = r.namespace AND r.version + o.version = 3",
        "version 1 of the slots of thread \"talk\" differs",
    ),
    (
        "slots of another thread",
        "slot_threads",
        "UPDATE mnemic.slot_threads SET thread_id = 'phone'",
        "thread \"phone\"",
    ),
    (
        "work that waits for less long",
        "outbox",
        "UPDATE mnemic.outbox SET since = since + 1",
        "for version 1 of record \"waits\"",
    ),
    ("forgotten work (fewer rows)", "outbox", "DELETE FROM mnemic.outbox", "for version 1 of record \"waits\""),
    (
        "a later commit",
        "commits",
        "UPDATE mnemic.commits SET at = at + 1 WHERE last = (SELECT min(last) FROM mnemic.commits)",
        "the changes up to position",
    ),
    (
        "a lost commit (fewer rows)",
        "commits",
        "DELETE FROM mnemic.commits WHERE last = (SELECT max(last) FROM mnemic.commits)",
        "the feed reaches position",
    ),
];

async fn furnish(memory: &MemoryManager, directory: &std::path::Path) {
    for number in 0..12 {
        let text = format!("Statement {number} about the fee of {} dollars.", 100 + number);
        let record = NewRecord { user_id: Some(user("anna")), ..record(&format!("r{number}"), &text) };
        memory.write(vec![record], &WriteOptions::default()).await.unwrap();
    }
    memory.write(vec![record("r1", "The fee was raised.")], &WriteOptions::default()).await.unwrap();
    for name in ["e1", "e2", "e3"] {
        memory.log_audit(event(name, "talk", "hello")).await.unwrap();
    }
    for persona in ["paralegal", "attorney"] {
        let slots = [("persona".to_owned(), Some(persona.to_owned()))].into();
        memory.set_slots(&thread("talk"), slots, SetSlots::default()).await.unwrap();
    }
    // No verb leaves work behind at will.
    let ledger = SqliteLedger::open(SqliteConfig::new(directory)).unwrap();
    let mut batch = Batch::new(memory.now());
    let record = MemoryRecord::new(id("waits"), "Not embedded yet.", memory.now());
    let (expect, tasks) = (Precondition::Any, vec![Task::Embed]);
    batch.writes.push(RecordWrite { record, embedding: None, expect, tasks });
    ledger.commit(memory.namespace(), batch).await.unwrap();
}

/// Everything that a verification says, an error too.
async fn told(source: &MemoryManager, target: &MemoryManager) -> Vec<String> {
    match source.compare_with(target, 0).await {
        Ok(report) => report.comparison.differences.into_iter().chain(report.index_faults).collect(),
        Err(error) => vec![error.to_string()],
    }
}

async fn restore(database: &TestDatabase, table: &str) {
    // As a superuser, and without references between tables while one of them is empty.
    let sql = format!(
        "SET session_replication_role = replica; DELETE FROM mnemic.{table}; INSERT INTO mnemic.{table} TABLE saved.{table}"
    );
    database.execute(&sql).await;
}

async fn every_lie_in_a_database_is_named(server: TestServer) {
    let places = tempfile::tempdir().unwrap();
    let from = places.path().join("from");
    let source = Builder::embedded(&from).unwrap().build(Namespace::new("case").unwrap()).unwrap();
    furnish(&source, &from).await;
    let world = World::new(&server, &[]).await.with("MNEMIC_EMBEDDER", "static").with("MNEMIC_INDEX", "pgvector");
    let target = world.open_in(Some("case"));
    source.migrate_to(&target, |_| {}).await.unwrap();
    world.database.execute("CREATE SCHEMA saved").await;
    let tables: std::collections::BTreeSet<&str> = LIES.iter().map(|(_, table, ..)| *table).collect();
    for table in tables {
        world.database.execute(&format!("CREATE TABLE saved.{table} AS TABLE mnemic.{table}")).await;
    }
    let mut unnamed = Vec::new();
    for (what, table, lie, expected) in LIES {
        let before = told(&source, &target).await;
        assert_eq!(before, [""; 0], "before {what}");
        let count = format!("SELECT count(*)::text FROM mnemic.{table}");
        let rows = world.database.ask(&count).await;
        world.database.execute(lie).await;
        let same = world.database.ask(&count).await == rows;
        assert_eq!(same, !what.contains("fewer rows"), "{what}: a count alone would tell");
        let found = told(&source, &target).await;
        if !found.iter().any(|told| told.contains(expected)) {
            unnamed.push(format!("{what}: expected {expected:?}, found {found:?}"));
        }
        restore(&world.database, table).await;
    }
    assert!(unnamed.is_empty(), "{}", unnamed.join("\n"));
    println!("{} lies in a database were planted and named", LIES.len());
}

fn main() -> ExitCode {
    mnemic_postgres::trials!(["postgres-18"]; every_lie_in_a_database_is_named)
}
