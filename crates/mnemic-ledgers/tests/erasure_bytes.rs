//! After an erasure, no file of the directory holds a byte of what was erased. Not here: what an erasure reaches (`edges`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod common;

use std::{fs, path::Path};

use common::*;
use mnemic_core::{
    Batch, Digest, EmbeddingWrite, EraseTarget, Erasure, EventId, Idempotency, MemoryRecord, Object, RecordId, Task,
    ThreadId, UserId, Value, Version, ports::Ledger,
};
use mnemic_ledgers::{SqliteConfig, SqliteLedger};

/// Searches every file below `root` and tells where the bytes are.
fn find(root: &Path, bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(find(&path, bytes));
            continue;
        }
        let content = fs::read(&path).unwrap();
        let hits = content.windows(bytes.len()).filter(|window| *window == bytes).count();
        if hits > 0 {
            found.push(format!("{hits} times in {}", path.display()));
        }
    }
    found
}

/// A repeatable shuffle of small numbers, so that ids land all over the index.
fn scattered(n: u64) -> u64 {
    (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bd1).rotate_left(23).wrapping_mul(0xff51_afd7_ed55_8ccd)
}

fn theirs(n: u64, text: &str) -> MemoryRecord {
    let mut record = of_user(record(&format!("{:016x}-canary-id", scattered(n)), text), "canary-user");
    record.thread_id = Some(ThreadId::new("canary-thread").unwrap());
    record.tags = ["canary-tag".to_owned()].into();
    record.path = vec!["canary-path".into()];
    record.source = "canary-source".into();
    record.metadata = Object::from([("canary-key".to_owned(), Value::from("canary-value"))]);
    record.provenance.events = [EventId::new(format!("canary-event-{}", n % 40)).unwrap()].into();
    record
}

fn their_event(n: u64, user: Option<&str>) -> mnemic_core::AuditEvent {
    let mut event = event(&format!("canary-event-{n}"), "canary-thread", user);
    event.payload = Object::from([("said".to_owned(), Value::from("canary-payload ".repeat(1 + n as usize * 20)))]);
    event
}

const CANARIES: [&str; 13] = [
    "canary-text",
    "canary-long",
    "canary-superseded",
    "canary-deleted",
    "canary-tag",
    "canary-path",
    "canary-source",
    "canary-key",
    "canary-value",
    "canary-event",
    "canary-payload",
    "canary-thread",
    "canary-slot",
];

/// Writes 3,000 records of others with 300 of the subject between them; each of theirs has had a past.
async fn fill(ledger: &SqliteLedger) -> Vec<RecordId> {
    let (ns, model) = (ns("a"), model("m", 16));
    ledger
        .commit(&ns, events(1, (0..40).map(|n| their_event(n, (n % 2 == 0).then_some("canary-user")))))
        .await
        .unwrap();
    let mut ids = Vec::new();
    for batch in 0..30u64 {
        let others = (0..100).map(|n| {
            let n = batch * 100 + n;
            let name = format!("{:016x}-other", scattered(n + 100_000));
            embedded(of_user(record(&name, &"other text ".repeat(n as usize % 30 + 1)), "other"), embedding(&model, n))
        });
        let mine = (0..10).map(|n| {
            let n = batch * 10 + n;
            let long = if n % 10 == 0 { "canary-long ".repeat(2000) } else { format!("canary-text {n}") };
            embedded(theirs(n, &long), marked(n))
        });
        let records: Vec<_> = others.chain(mine).collect();
        ids.extend(records.iter().map(|write| write.record.id.clone()).filter(|id| id.as_str().ends_with("canary-id")));
        let idempotency = Some(Idempotency::new(format!("key-{batch}"), Digest([batch as u8; 32])).unwrap());
        ledger.commit(&ns, Batch { idempotency, ..writes(2, records) }).await.unwrap();
    }
    let superseded = (0..100).map(|n| with_tasks(theirs(n, "canary-superseded"), vec![Task::Embed]));
    ledger.commit(&ns, writes(3, superseded)).await.unwrap();
    let late =
        (0..100).map(|n| EmbeddingWrite { id: theirs(n, "").id, version: Version(2), embedding: marked(n + 500) });
    ledger.commit(&ns, Batch { embeddings: late.collect(), ..Batch::new(at(3)) }).await.unwrap();
    ledger.commit(&ns, writes(3, (0..50).map(|n| write(theirs(n, "canary-deleted"))))).await.unwrap();
    for n in 0..50 {
        ledger.commit(&ns, deletes(4, theirs(n, "").id.as_str())).await.unwrap();
    }
    for n in 0..5 {
        let value = format!("canary-slot {n}");
        ledger
            .commit(&ns, slots(4, [slot("canary-thread", "persona", Some(&value)), slot("other", "x", Some("y"))]))
            .await
            .unwrap();
    }
    ids
}

/// A vector that begins with four components no other vector has.
fn marked(n: u64) -> mnemic_core::Embedding {
    let mut components = vec![271.5, -314.25, 161.125, 141.0625];
    components.extend((0..12).map(|i| (n + i) as f32));
    mnemic_core::Embedding::new(&model("m", 16), components).unwrap()
}

fn marked_bytes() -> Vec<u8> {
    marked(0).components()[..4].iter().flat_map(|component| component.to_le_bytes()).collect()
}

fn erasure(target: EraseTarget) -> Erasure {
    Erasure { at: at(9), target, event: event("erasure", "mnemic.journal", None) }
}

fn open(place: &Path) -> SqliteLedger {
    SqliteLedger::open(SqliteConfig::new(place)).unwrap()
}

async fn check_whole(ledger: &SqliteLedger) {
    assert_eq!(ledger.verify(&ns("a")).await.unwrap(), Vec::<String>::new());
    assert_eq!(ledger.report(&ns("a")).await.unwrap().records, 3000);
}

#[tokio::test]
async fn no_byte_of_an_erased_subject_is_left_in_any_file() {
    let place = tempfile::tempdir().unwrap();
    let ledger = open(place.path());
    fill(&ledger).await;
    let names = || CANARIES.iter().map(|canary| canary.as_bytes().to_vec());
    let all = || names().chain([b"canary-id".to_vec(), b"canary-user".to_vec(), marked_bytes()]);
    for canary in all() {
        assert!(!find(place.path(), &canary).is_empty(), "{} was never stored", String::from_utf8_lossy(&canary));
    }
    let receipt =
        ledger.erase(&ns("a"), erasure(EraseTarget::Subject(UserId::new("canary-user").unwrap()))).await.unwrap();
    assert_eq!(receipt.residue, Vec::<String>::new());
    assert_eq!((receipt.records.len(), receipt.events, receipt.threads), (300, 40, 1));
    for canary in all() {
        let found = find(place.path(), &canary);
        assert!(found.is_empty(), "{}: {found:?}", String::from_utf8_lossy(&canary));
    }
    check_whole(&ledger).await;
    drop(ledger);
    for canary in all() {
        assert!(find(place.path(), &canary).is_empty(), "{}", String::from_utf8_lossy(&canary));
    }
    check_whole(&open(place.path())).await;
}

#[tokio::test]
async fn no_byte_of_erased_records_is_left_in_any_file() {
    let place = tempfile::tempdir().unwrap();
    let ledger = open(place.path());
    let ids = fill(&ledger).await;
    // Slots belong to a thread and not to its records, so they stay.
    let goes = CANARIES.iter().filter(|canary| !matches!(**canary, "canary-slot" | "canary-thread"));
    let all = || goes.clone().map(|canary| canary.as_bytes().to_vec()).chain([marked_bytes()]);
    for (n, ids) in ids.chunks(100).enumerate() {
        let mut erasure = erasure(EraseTarget::Records(ids.to_vec()));
        erasure.event.event_id = EventId::new(format!("erasure-{n}")).unwrap();
        let receipt = ledger.erase(&ns("a"), erasure).await.unwrap();
        assert_eq!(receipt.records.len(), 100);
        assert_eq!(receipt.residue, Vec::<String>::new());
    }
    for canary in all() {
        let found = find(place.path(), &canary);
        assert!(found.is_empty(), "{}: {found:?}", String::from_utf8_lossy(&canary));
    }
    check_whole(&ledger).await;
}

/// Writes 60 records of random sizes and ids, one in four the subject's, rewrites some smaller, and deletes some.
async fn churn(ledger: &SqliteLedger, random: &mut impl FnMut() -> u64) {
    let ns = ns("a");
    let (mut records, mut events) = (Vec::new(), Vec::new());
    for _ in 0..60 {
        let (owner, word) = if random().is_multiple_of(4) { ("canary-user", "canary") } else { ("other", "public") };
        let name = format!("{:016x}-{word}-{}", random(), "x".repeat((random() % 180) as usize));
        let length = match random() % 20 {
            0 => 1300,
            1..=4 => 200,
            _ => 3,
        };
        records.push(write(of_user(record(&name, &word.repeat(length)), owner)));
        if random().is_multiple_of(2) {
            events.push(event(&name, &format!("{word}-{}", random() % 50), Some(owner)));
        }
    }
    let mut smaller: Vec<_> = records.iter().filter(|_| random().is_multiple_of(3)).cloned().collect();
    for write in &mut smaller {
        write.record.text.truncate(30);
    }
    let gone: Vec<_> = smaller.iter().filter(|_| random().is_multiple_of(3)).map(|w| w.record.id.clone()).collect();
    ledger.commit(&ns, Batch { events, ..writes(1, records) }).await.unwrap();
    ledger.commit(&ns, writes(2, smaller)).await.unwrap();
    for id in gone {
        ledger.commit(&ns, deletes(3, id.as_str())).await.unwrap();
    }
}

#[tokio::test]
async fn pages_that_were_split_and_joined_keep_no_copy_of_what_moved() {
    let place = tempfile::tempdir().unwrap();
    let ledger = open(place.path());
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..3 {
        for _ in 0..12 {
            churn(&ledger, &mut random).await;
        }
        let mut erasure = erasure(EraseTarget::Subject(UserId::new("canary-user").unwrap()));
        erasure.event.event_id = EventId::new(format!("erasure-{round}")).unwrap();
        assert_eq!(ledger.erase(&ns("a"), erasure).await.unwrap().residue, Vec::<String>::new());
        assert_eq!(find(place.path(), b"canary"), Vec::<String>::new(), "round {round}");
    }
    assert_eq!(ledger.verify(&ns("a")).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn what_a_reader_keeps_from_being_overwritten_is_told_and_done_later() {
    let place = tempfile::tempdir().unwrap();
    let ledger = open(place.path());
    fill(&ledger).await;
    let reader = rusqlite::Connection::open(place.path().join("namespaces/a/ledger.sqlite")).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let _held: i64 = reader.query_row("SELECT count(*) FROM records", (), |row| row.get(0)).unwrap();
    let receipt =
        ledger.erase(&ns("a"), erasure(EraseTarget::Subject(UserId::new("canary-user").unwrap()))).await.unwrap();
    assert!(receipt.residue[0].contains("ledger.sqlite-wal"), "{:?}", receipt.residue);
    assert!(ledger.check().await.unwrap().faults[0].contains("erasure"));
    assert!(!find(place.path(), b"canary-text").is_empty());
    assert!(find(place.path(), &marked_bytes()).is_empty(), "vectors need not wait for readers");
    reader.execute_batch("COMMIT").unwrap();
    ledger.commit(&ns("a"), writes(10, [write(record("later", "x"))])).await.unwrap();
    // The next commit is answered before the cleaning; the one after waits for it.
    ledger.commit(&ns("a"), deletes(11, "later")).await.unwrap();
    for canary in CANARIES {
        assert!(find(place.path(), canary.as_bytes()).is_empty(), "{canary}");
    }
    assert_eq!(ledger.check().await.unwrap().faults, Vec::<String>::new());
}
