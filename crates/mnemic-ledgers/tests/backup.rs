//! Backups of a ledger that is being written to, and restoring them. Not here: exports (the facade).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod common;

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use common::*;
use mnemic_core::{
    ErrorKind, Filter, PageRequest, StoredRecord,
    ports::{Embeddings, Ledger, Read},
};
use mnemic_ledgers::{SqliteConfig, SqliteLedger};

fn open(place: &Path) -> SqliteLedger {
    SqliteLedger::open(SqliteConfig::new(place)).unwrap()
}

async fn everything(ledger: &SqliteLedger, namespace: &str) -> Vec<StoredRecord> {
    let read = Read { as_of: None, embeddings: Embeddings::Include };
    let mut page = PageRequest::largest();
    let mut all = Vec::new();
    loop {
        let found = ledger.scan(&ns(namespace), &Filter::all(), read, &page).await.unwrap();
        all.extend(found.items);
        match found.next {
            Some(next) => page = page.after(Some(next)),
            None => return all,
        }
    }
}

async fn fill(ledger: &SqliteLedger) {
    let model = model("m", 8);
    for namespace in ["a", "b"] {
        let records = (0..200).map(|n| embedded(record(&format!("r{n}"), "the deadline"), embedding(&model, n)));
        ledger.commit(&ns(namespace), writes(1, records)).await.unwrap();
        ledger.commit(&ns(namespace), events(2, [event("e1", "t", None), event("e2", "t", None)])).await.unwrap();
        ledger.commit(&ns(namespace), slots(3, [slot("t", "persona", Some("x"))])).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_running_ledger_is_whole_and_restores() {
    let place = tempfile::tempdir().unwrap();
    let ledger = Arc::new(open(&place.path().join("live")));
    fill(&ledger).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (ledger, stop) = (Arc::clone(&ledger), Arc::clone(&stop));
        tokio::spawn(async move {
            let model = model("m", 8);
            let mut n = 0u64;
            while !stop.load(Ordering::Relaxed) {
                // Three records per commit, so that half of one would show.
                let batch = (0..3).map(|i| embedded(record(&format!("w{n}-{i}"), "text"), embedding(&model, n)));
                ledger.commit(&ns("a"), writes(4, batch)).await.unwrap();
                n += 1;
            }
            n
        })
    };
    let backups: Vec<_> = (0..5).map(|n| place.path().join(format!("backup-{n}"))).collect();
    for backup in &backups {
        ledger.backup(backup).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    assert!(writer.await.unwrap() > 0);
    for (n, backup) in backups.iter().enumerate() {
        let restored = place.path().join(format!("restored-{n}"));
        SqliteLedger::restore(backup, &restored).await.unwrap();
        let restored = open(&restored);
        let records = everything(&restored, "a").await;
        assert!(records.len() >= 200 && (records.len() - 200) % 3 == 0, "{} records", records.len());
        assert_eq!(everything(&restored, "b").await, everything(&ledger, "b").await);
        for namespace in ["a", "b"] {
            assert_eq!(restored.verify(&ns(namespace)).await.unwrap(), Vec::<String>::new());
        }
        // The restored ledger goes on where it stopped.
        let appended = embedded(record("after", "x"), embedding(&model("m", 8), 7));
        restored.commit(&ns("a"), writes(9, [appended.clone()])).await.unwrap();
        assert_eq!(everything(&restored, "a").await.last().unwrap().embedding, appended.embedding);
    }
}

#[tokio::test]
async fn a_target_that_is_not_empty_is_refused_and_left_alone() {
    let place = tempfile::tempdir().unwrap();
    let ledger = open(&place.path().join("live"));
    fill(&ledger).await;
    let backup = place.path().join("backup");
    ledger.backup(&backup).await.unwrap();
    let full = place.path().join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("thesis.txt"), "mine").unwrap();
    let elsewhere = place.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, place.path().join("link")).unwrap();
    for (target, says) in
        [("full", "not empty"), ("live", "lies inside"), ("link", "symbolic link"), ("live/x", "lies inside")]
    {
        let target = place.path().join(target);
        let error = ledger.backup(&target).await.unwrap_err();
        assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some("target")), "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
    let error = SqliteLedger::restore(&backup, &full).await.unwrap_err();
    assert!(error.to_string().contains("not empty"), "{error}");
    assert_eq!(fs::read(full.join("thesis.txt")).unwrap(), b"mine");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
}

type Damage = fn(&Path);

#[tokio::test]
async fn a_damaged_backup_is_refused_and_never_looks_whole() {
    let place = tempfile::tempdir().unwrap();
    let ledger = open(&place.path().join("live"));
    fill(&ledger).await;
    let damages: [(&str, Damage); 6] = [
        ("ledger.sqlite", flip_text),
        ("ledger.sqlite", |ns| fs::write(ns.join("ledger.sqlite"), b"").unwrap()),
        ("vectors-", |ns| flip(&vectors(ns), 4096 + 32 * 7)),
        ("vectors-", |ns| fs::remove_file(vectors(ns)).unwrap()),
        ("vectors-", |ns| {
            let file = vectors(ns);
            let target = ns.join("elsewhere.f32");
            fs::rename(&file, &target).unwrap();
            symlink(target, file).unwrap();
        }),
        ("mnemic.format", |ns| fs::remove_file(ns.join("../../mnemic.format")).unwrap()),
    ];
    for (n, (says, damage)) in damages.into_iter().enumerate() {
        let (backup, target) = (place.path().join(format!("backup-{n}")), place.path().join(format!("target-{n}")));
        ledger.backup(&backup).await.unwrap();
        damage(&backup.join("namespaces/a"));
        let error = SqliteLedger::restore(&backup, &target).await.unwrap_err();
        assert!(error.to_string().contains(says), "damage {n}: {error}");
        assert!(!target.exists(), "damage {n}: what was begun stands in the way of another try");
    }
}

/// One bit of one record's text.
fn flip_text(namespace: &Path) {
    let file = namespace.join("ledger.sqlite");
    let bytes = fs::read(&file).unwrap();
    let position = bytes.windows(12).position(|window| window == b"the deadline").unwrap();
    flip(&file, position);
}

fn flip(file: &Path, position: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[position] ^= 1;
    fs::write(file, bytes).unwrap();
}

fn vectors(namespace: &Path) -> std::path::PathBuf {
    let mut names = fs::read_dir(namespace).unwrap().map(|entry| entry.unwrap().path());
    names.find(|path| path.to_string_lossy().ends_with(".f32")).unwrap()
}
