//! A disk that takes no more: a clear error, nothing half done, reads go on, and writes go on without reopening once there is room.
//! The limit is the process's own (`ulimit -f`), so this needs no rights. Not here: other failures of the disk.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod common;

use std::{path::Path, process::Command};

use common::*;
use mnemic_core::{
    Batch, EraseTarget, Erasure, ErrorKind, Filter, PageRequest, Retry,
    ports::{Embeddings, Ledger, Read},
};
use mnemic_ledgers::{SqliteConfig, SqliteLedger};

const CHILD: &str = "MNEMIC_FULL_DISK_CHILD";
const ALL: Read = Read { as_of: None, embeddings: Embeddings::Include };

/// Sets how large a file may become.
fn limit(bytes: &str) {
    let pid = std::process::id().to_string();
    let limit = format!("--fsize={bytes}:");
    assert!(Command::new("prlimit").args(["--pid", &pid, &limit]).status().unwrap().success());
}

fn batch(n: u64, dimension: u32) -> Batch {
    let model = model("m", dimension);
    let text = "text ".repeat(200);
    let records = (0..20).map(|i| embedded(record(&format!("r{n}-{i}"), &text), embedding(&model, n * 20 + i)));
    Batch { events: vec![event(&format!("e{n}"), "t", None)], ..writes(n as i64, records) }
}

async fn fills_up_and_recovers(place: &Path, dimension: u32) {
    let ledger = SqliteLedger::open(SqliteConfig::new(place)).unwrap();
    let ns = ns("a");
    ledger.commit(&ns, batch(0, dimension)).await.unwrap();
    limit("700000");
    let (mut n, mut refused) = (1, 0);
    // One refusal is not the end: closing the files makes the log short again, which makes room once.
    while refused < 5 {
        match ledger.commit(&ns, batch(n, dimension)).await {
            Ok(_) => (n, refused) = (n + 1, 0),
            Err(error) => {
                assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Soon), "{error}");
                assert!(error.to_string().contains("disk"), "{error}");
                refused += 1;
            }
        }
        let found = ledger.scan(&ns, &Filter::all(), ALL, &PageRequest::largest()).await.unwrap();
        assert_eq!(found.items.len() as u64, (n * 20).min(1000));
        assert_eq!(verified(&ledger, &ns).await, (n, 0));
        assert!(n < 1000, "the limit was never met");
    }
    limit("unlimited");
    ledger.commit(&ns, batch(n, dimension)).await.unwrap();
    assert_eq!(verified(&ledger, &ns).await, (n + 1, 0));
    assert_eq!(ledger.verify(&ns).await.unwrap(), Vec::<String>::new());
    let target = EraseTarget::Records(vec![id("r0-0")]);
    let erasure = Erasure { at: at(9999), target, event: event("erasure", "mnemic.journal", None) };
    assert_eq!(ledger.erase(&ns, erasure).await.unwrap().residue, Vec::<String>::new());
}

/// Runs the work above if the environment says so, in a process that does not die of the signal that a full disk sends.
#[tokio::test]
async fn child_process() {
    let Ok(task) = std::env::var(CHILD) else { return };
    let (dimension, place) = task.split_once('|').unwrap();
    fills_up_and_recovers(Path::new(place), dimension.parse().unwrap()).await;
}

fn run(dimension: u32) {
    let place = tempfile::tempdir().unwrap();
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" --exact child_process --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, format!("{dimension}|{}", place.path().display()))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_full_disk_under_the_vectors_loses_nothing_and_needs_no_restart() {
    run(1024);
}

#[test]
fn a_full_disk_under_the_database_loses_nothing_and_needs_no_restart() {
    run(2);
}
