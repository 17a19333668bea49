//! What the ledger on disk makes of files that are not as it left them. Not here: damage by a crash (`crash`).
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
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use common::*;
use mnemic_core::{
    Address, Assignment, ChangeSeq, Error, ErrorKind, PageRequest, Role,
    ports::{Embeddings, Ledger, NamespaceReport, Read},
};
use mnemic_ledgers::{SqliteConfig, SqliteLedger};
use tempfile::TempDir;

fn open(place: &TempDir) -> SqliteLedger {
    SqliteLedger::open(SqliteConfig::new(place.path())).unwrap()
}

fn refused(place: &Path) -> Error {
    SqliteLedger::open(SqliteConfig::new(place)).unwrap_err()
}

fn file(place: &TempDir, namespace: &str, name: &str) -> PathBuf {
    place.path().join("namespaces").join(namespace).join(name)
}

fn database(place: &TempDir) -> PathBuf {
    file(place, "a", "ledger.sqlite")
}

fn vectors(place: &TempDir) -> PathBuf {
    let mut names = fs::read_dir(place.path().join("namespaces/a")).unwrap().map(|entry| entry.unwrap().path());
    names.find(|path| path.extension().is_some_and(|extension| extension == "f32")).unwrap()
}

/// A closed ledger with 50 records and vectors in `a` and one record in `b`.
async fn filled() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    let ledger = open(&place);
    let model = model("m", 8);
    let records = (0..50).map(|n| embedded(record(&format!("r{n}"), &"text ".repeat(100)), embedding(&model, n)));
    ledger.commit(&ns("a"), writes(1, records)).await.unwrap();
    ledger.commit(&ns("b"), writes(1, [write(record("r", "x"))])).await.unwrap();
    place
}

/// Reads and writes namespace `a` through a fresh handle, expects both to be refused, and nothing on disk to change.
async fn refuses(place: &TempDir, kind: ErrorKind, says: &[&str]) {
    let before = snapshot(place.path());
    let ledger = open(place);
    let all = Read { as_of: None, embeddings: Embeddings::Include };
    let read = ledger.scan(&ns("a"), &mnemic_core::Filter::all(), all, &PageRequest::largest()).await.unwrap_err();
    assert_eq!(read.kind(), kind, "{read}");
    let written = ledger.commit(&ns("a"), writes(2, [write(record("new", "x"))])).await.unwrap_err();
    assert_eq!(written.kind(), kind, "{written}");
    let faults = ledger.check().await.unwrap().faults;
    for says in says {
        assert!(read.to_string().contains(says), "{read}");
        assert!(written.to_string().contains(says), "{written}");
        assert!(faults.iter().any(|fault| fault.contains(says)), "{faults:?}");
    }
    // One damaged namespace never stops the others, and is still listed.
    assert!(ledger.head(&ns("b")).await.unwrap() >= ChangeSeq(1));
    ledger.commit(&ns("b"), writes(2, [write(record("new", "x"))])).await.unwrap();
    assert_eq!(ledger.namespaces(&PageRequest::largest()).await.unwrap().items, [ns("a"), ns("b")]);
    drop(ledger);
    let keep = |all: Vec<(PathBuf, Vec<u8>)>| {
        all.into_iter().filter(|(path, _)| !path.to_string_lossy().contains("namespaces/b")).collect::<Vec<_>>()
    };
    assert!(keep(snapshot(place.path())) == keep(before), "something was overwritten");
}

/// Every file with its bytes, without SQLite's shared memory.
fn snapshot(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(snapshot(&path));
        } else if !path.to_string_lossy().ends_with("-shm") {
            files.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}

#[tokio::test]
async fn an_empty_database_is_damage_and_not_a_new_one() {
    let place = filled().await;
    fs::write(database(&place), b"").unwrap();
    refuses(&place, ErrorKind::Corrupted, &["ledger.sqlite", "empty", "mnemic restore"]).await;
}

#[tokio::test]
async fn a_missing_database_beside_its_vectors_is_damage_and_not_a_new_one() {
    let place = filled().await;
    fs::remove_file(database(&place)).unwrap();
    refuses(&place, ErrorKind::Corrupted, &["ledger.sqlite", "missing", "vectors-", "mnemic restore"]).await;
}

#[tokio::test]
async fn random_bytes_are_no_database() {
    let place = filled().await;
    for length in [1, 99, 100, 511, 512, 4096, 20_000] {
        let bytes: Vec<u8> = (0..length).map(|n| (n * 7919 % 251) as u8).collect();
        fs::write(database(&place), bytes).unwrap();
        refuses(&place, ErrorKind::Corrupted, &["ledger.sqlite", "mnemic restore"]).await;
    }
}

#[tokio::test]
async fn a_database_cut_at_any_page_is_refused() {
    let place = filled().await;
    let whole = fs::read(database(&place)).unwrap();
    assert_eq!(whole.len() % 4096, 0);
    for pages in 1..whole.len() / 4096 {
        fs::write(database(&place), &whole[..pages * 4096]).unwrap();
        refuses(&place, ErrorKind::Corrupted, &["ledger.sqlite", "mnemic restore"]).await;
    }
    fs::write(database(&place), &whole[..100]).unwrap();
    refuses(&place, ErrorKind::Corrupted, &["ledger.sqlite", "mnemic restore"]).await;
    fs::write(database(&place), whole).unwrap();
    assert_eq!(open(&place).verify(&ns("a")).await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_database_of_another_application_or_of_a_newer_schema_is_refused() {
    let place = filled().await;
    let set = |pragma: &str, value: i64| {
        let connection = rusqlite::Connection::open(database(&place)).unwrap();
        connection.pragma_update(None, pragma, value).unwrap();
    };
    set("user_version", 99);
    refuses(&place, ErrorKind::InvalidConfig, &["ledger.sqlite", "schema version 99", "upgrade Mnemic"]).await;
    set("user_version", 1);
    set("application_id", 0x1234);
    refuses(&place, ErrorKind::InvalidConfig, &["ledger.sqlite", "another application", "mnemic restore"]).await;
}

#[tokio::test]
async fn a_database_of_the_first_schema_is_read_and_upgraded() {
    let place = filled().await;
    let version = || {
        let connection = rusqlite::Connection::open(database(&place)).unwrap();
        connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).unwrap()
    };
    let first = rusqlite::Connection::open(database(&place)).unwrap();
    first.execute_batch("DROP TABLE assignment; PRAGMA user_version = 1;").unwrap();
    drop(first);
    assert_eq!(version(), 1);
    let ledger = open(&place);
    assert_eq!(ledger.assignment(&ns("a")).await.unwrap(), Assignment::default());
    assert_eq!(ledger.verify(&ns("a")).await.unwrap(), Vec::<String>::new());
    let of = Address::new("dir:/elsewhere", ns("a")).unwrap();
    ledger.assign(&ns("a"), 0, Role::Moved { to: of }).await.unwrap();
    drop(ledger);
    assert_eq!(version(), 2);
    assert_eq!(open(&place).assignment(&ns("a")).await.unwrap().epoch, 1);
}

#[tokio::test]
async fn a_flipped_bit_in_a_vector_is_named_with_its_record_and_file() {
    let place = filled().await;
    let path = vectors(&place);
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096 + 3 * 32 + 5] ^= 0x10;
    fs::write(&path, bytes).unwrap();
    let ledger = open(&place);
    let read = Read { as_of: None, embeddings: Embeddings::Include };
    let error = ledger.fetch(&ns("a"), &[id("r3")], read).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupted);
    assert!(error.to_string().contains("\"r3\"") && error.to_string().contains("vectors-"), "{error}");
    assert!(ledger.fetch(&ns("a"), &[id("r2"), id("r4")], read).await.is_ok());
    assert!(ledger.fetch(&ns("a"), &[id("r3")], Read::default()).await.is_ok());
    assert_eq!(ledger.verify(&ns("a")).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_vector_file_that_is_cut_or_another_models_is_refused() {
    let place = filled().await;
    let path = vectors(&place);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let read = Read { as_of: None, embeddings: Embeddings::Include };
    let error = open(&place).fetch(&ns("a"), &[id("r49")], read).await.unwrap_err();
    assert!(error.to_string().contains("\"r49\"") && error.to_string().contains("cut off"), "{error}");
    let mut foreign = whole.clone();
    foreign[40] ^= 1;
    fs::write(&path, &foreign).unwrap();
    let ledger = open(&place);
    let error = ledger.fetch(&ns("a"), &[id("r1")], read).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Corrupted && error.to_string().contains("header"), "{error}");
    let appended = embedded(record("new", "x"), embedding(&model("m", 8), 1));
    assert_eq!(ledger.commit(&ns("a"), writes(2, [appended])).await.unwrap_err().kind(), ErrorKind::Corrupted);
    assert_eq!(fs::read(&path).unwrap(), foreign);
    assert!(ledger.fetch(&ns("a"), &[id("new")], Read::default()).await.unwrap()[0].is_none());
}

#[tokio::test]
async fn what_a_crash_or_a_stranger_leaves_beside_the_files_stops_nothing() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("lost+found")).unwrap();
    fs::write(place.path().join(".mnemic.format.new-77"), "half").unwrap();
    drop(open(&place));
    fs::create_dir_all(place.path().join("namespaces/a")).unwrap();
    fs::create_dir_all(place.path().join("namespaces/Not A Namespace")).unwrap();
    for name in ["ledger.sqlite-wal", "ledger.sqlite-shm", ".ledger.sqlite.new-1", "index.local", "notes.txt"] {
        fs::write(file(&place, "a", name), "stranger").unwrap();
    }
    fs::write(place.path().join("notes.txt"), "stranger").unwrap();
    let ledger = open(&place);
    assert_eq!(ledger.namespaces(&PageRequest::largest()).await.unwrap().items, []);
    ledger.commit(&ns("a"), writes(1, [write(record("r", "x"))])).await.unwrap();
    assert_eq!(ledger.verify(&ns("a")).await.unwrap(), Vec::<String>::new());
    assert_eq!(fs::read(file(&place, "a", "index.local")).unwrap(), b"stranger");
    assert_eq!(ledger.check().await.unwrap().faults, Vec::<String>::new());
}

#[tokio::test]
async fn reading_makes_no_files() {
    let place = tempfile::tempdir().unwrap();
    let ledger = open(&place);
    let nowhere = ns("nowhere");
    assert_eq!(ledger.head(&nowhere).await.unwrap(), ChangeSeq(0));
    assert!(ledger.history(&nowhere, &id("r")).await.unwrap().is_empty());
    ledger.settle(&nowhere, &[mnemic_core::OutboxId(1)]).await.unwrap();
    assert_eq!(ledger.report(&nowhere).await.unwrap(), NamespaceReport::default());
    assert_eq!(snapshot(place.path()).len(), 1);
}

#[test]
fn a_directory_that_is_not_ours_is_refused_and_named() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("thesis.txt"), "mine").unwrap();
    let error = refused(place.path());
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(error.to_string().contains(&place.path().display().to_string()), "{error}");
    assert!(error.to_string().contains("choose another directory"), "{error}");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
}

#[test]
fn a_marker_that_is_newer_or_damaged_is_refused() {
    let place = tempfile::tempdir().unwrap();
    drop(open(&place));
    let marker = place.path().join("mnemic.format");
    assert_eq!(fs::read_to_string(&marker).unwrap(), "mnemic directory, format 1\n");
    fs::write(&marker, "mnemic directory, format 2\n").unwrap();
    let error = refused(place.path());
    assert!(error.kind() == ErrorKind::InvalidConfig && error.to_string().contains("upgrade"), "{error}");
    for damaged in [&b""[..], b"mnemic directory, format x", b"\xff\xfe", &[b'a'; 10_000]] {
        fs::write(&marker, damaged).unwrap();
        let error = refused(place.path());
        assert!(error.kind() == ErrorKind::Corrupted && error.to_string().contains("mnemic.format"), "{error}");
    }
}

#[test]
fn a_path_that_cannot_be_a_directory_is_refused_and_named() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    fs::write(path("file"), "x").unwrap();
    symlink(path("loop"), path("loop")).unwrap();
    for (path, kind) in [
        (path("file"), ErrorKind::InvalidConfig),
        (path("file/inside"), ErrorKind::InvalidConfig),
        (path("loop"), ErrorKind::InvalidConfig),
        (PathBuf::from("/proc/mnemic"), ErrorKind::Unavailable),
    ] {
        let error = refused(&path);
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
}

#[tokio::test]
async fn directories_and_files_are_for_their_owner_only() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("deep/ledger");
    let ledger = SqliteLedger::open(SqliteConfig::new(&root)).unwrap();
    let vector = embedding(&model("m", 4), 1);
    ledger.commit(&ns("a"), writes(1, [embedded(record("r", "x"), vector)])).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for directory in [root.clone(), root.join("namespaces"), root.join("namespaces/a")] {
        assert_eq!(mode(&directory), 0o700, "{}", directory.display());
    }
    for (path, _) in snapshot(&root) {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[tokio::test]
async fn closed_namespaces_are_opened_again_and_nothing_is_lost() {
    let place = tempfile::tempdir().unwrap();
    let config = SqliteConfig { max_open_namespaces: 3, ..SqliteConfig::new(place.path()) };
    let ledger = SqliteLedger::open(config).unwrap();
    for round in 1..=3 {
        for n in 0..20 {
            let namespace = ns(&format!("n{n}"));
            let receipt = ledger.commit(&namespace, writes(round, [write(record("r", "x"))])).await.unwrap();
            assert_eq!(receipt.writes[0].version.0, round as u64);
        }
    }
    let descriptors = fs::read_dir("/proc/self/fd").unwrap();
    let open = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let databases = open.filter(|path| path.starts_with(place.path()) && path.ends_with("ledger.sqlite")).count();
    assert!(databases <= 12, "{databases} descriptors of databases are open");
}
