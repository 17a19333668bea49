//! Memory does not grow with the queue: a hundred thousand entries are taken over and drained in a few megabytes.
//! Alone in its process, so that nothing else is measured.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking, and this one tells figures"
)]

mod common;

use std::time::Instant;

use common::*;
use mnemic_spool::{Spool, SpoolConfig};

const ENTRIES: usize = 100_000;
const BYTES: usize = 1_000;

/// Resident memory in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn append_many(spool: &Spool, from: usize, count: usize) {
    let tasks: Vec<_> = (from..from + count)
        .map(|n| {
            let spool = spool.clone();
            tokio::spawn(async move {
                let payload = format!("{n:0BYTES$}");
                spool.append(at(n as i64), "lane", payload.as_bytes()).await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn a_hundred_thousand_entries_take_no_more_memory_than_a_thousand() {
    let place = tempfile::tempdir().unwrap();
    let config = SpoolConfig { max_age: std::time::Duration::from_secs(u64::MAX), ..SpoolConfig::new(place.path()) };
    let spool = Spool::open(config.clone()).await.unwrap();
    append_many(&spool, 0, 1_000).await;
    spool.peek(1_000).await.unwrap();
    let before = resident();
    let start = Instant::now();
    for from in (1_000..ENTRIES).step_by(1_000) {
        append_many(&spool, from, 1_000).await;
    }
    let appended = start.elapsed();
    spool.close().await.unwrap();

    let start = Instant::now();
    let spool = Spool::open(config).await.unwrap();
    let opened = start.elapsed();
    let report = spool.report().await.unwrap();
    assert_eq!(report.items, ENTRIES as u64);
    assert!(report.bytes > (ENTRIES * BYTES) as u64);
    let (mut next, start, mut most) = (0, Instant::now(), resident());
    loop {
        let entries = spool.peek(500).await.unwrap();
        if entries.is_empty() {
            break;
        }
        for entry in &entries {
            assert_eq!(text(entry).parse::<usize>().unwrap(), next);
            next += 1;
        }
        spool.settle_all(&entries.iter().map(|entry| entry.id).collect::<Vec<_>>()).await.unwrap();
        most = most.max(resident());
    }
    assert_eq!(next, ENTRIES);
    println!(
        "appended in {appended:?}, opened in {opened:?}, drained in {:?}, grew by {} KiB",
        start.elapsed(),
        most.saturating_sub(before)
    );
    assert!(most < before + 16 * 1_024, "from {before} to {most} KiB, with {} KiB of entries", ENTRIES * BYTES / 1_024);
}
