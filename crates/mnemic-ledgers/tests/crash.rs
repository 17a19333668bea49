//! Several processes write one directory and are killed at random moments; nothing that they acknowledged is lost, and nothing is half there.
//! `MNEMIC_CRASH_ROUNDS` sets how often. Not here: power loss (a kill keeps the page cache).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod common;

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use common::*;
use mnemic_core::{
    Batch, EraseTarget, Erasure, ErrorKind, OutboxId,
    ports::{Embeddings, Ledger, Read},
};
use mnemic_ledgers::{SqliteConfig, SqliteLedger};

/// Tells a process of this test binary that it is a child: the directory, its name, and the first step to do.
const CHILD: &str = "MNEMIC_CRASH_CHILD";
const DIMENSION: u32 = 64;

fn open(place: &Path) -> SqliteLedger {
    let config = SqliteConfig { busy_timeout: Duration::from_secs(30), ..SqliteConfig::new(place) };
    SqliteLedger::open(config).unwrap()
}

/// How many records step `n` writes: singles and batches in turn.
fn size(n: u64) -> u64 {
    if n.is_multiple_of(3) { 25 } else { 1 }
}

fn name(child: &str, n: u64, i: u64) -> String {
    format!("{child}-{n}-{i}")
}

fn seed(n: u64, i: u64) -> u64 {
    n * 100 + i
}

/// Step `n` of a child: its records with vectors, one event, one slot write, and a record that every child rewrites.
fn step(child: &str, n: u64) -> Batch {
    let model = model("m", DIMENSION);
    let own = (0..size(n)).map(|i| embedded(record(&name(child, n, i), "text"), embedding(&model, seed(n, i))));
    let shared = embedded(record("shared", &format!("{child} {n}")), embedding(&model, n));
    Batch {
        events: vec![event(&format!("{child}-{n}"), "t", Some(child))],
        slots: vec![slot(child, "step", Some(&n.to_string()))],
        ..writes(n as i64, own.chain([shared]))
    }
}

/// Erases the first record of step `n`.
fn erasure(child: &str, n: u64) -> Erasure {
    let target = EraseTarget::Records(vec![id(&name(child, n, 0))]);
    Erasure { at: at(n as i64), target, event: event(&format!("erasure-{child}-{n}"), "mnemic.journal", None) }
}

/// Runs as a child if the environment says so, until it is killed; says what it tries and what was acknowledged.
#[test]
fn child_process() {
    let Ok(task) = std::env::var(CHILD) else { return };
    let mut parts = task.split('|');
    let (place, child) = (parts.next().unwrap(), parts.next().unwrap());
    let first: u64 = parts.next().unwrap().parse().unwrap();
    let say = |word: &str, n: u64| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "\n{word} {n}").and_then(|()| out.flush()).unwrap();
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (ledger, ns) = (open(Path::new(place)), ns("a"));
        for n in first.. {
            say("try", n);
            ledger.commit(&ns, step(child, n)).await.unwrap();
            say("ack", n);
            if n % 5 == 0 {
                say("erasing", n);
                ledger.erase(&ns, erasure(child, n)).await.unwrap();
                say("erased", n);
            }
        }
    });
}

struct Running {
    child: Child,
    said: Receiver<(String, u64)>,
}

fn start(place: &Path, child: &str, first: u64) -> Running {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_process", "--nocapture", "--test-threads=1"])
        .env(CHILD, format!("{}|{child}|{first}", place.display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (send, said) = channel();
    let out = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            let mut words = line.split(' ');
            let (Some(word), Some(Ok(n))) = (words.next(), words.next().map(str::parse)) else { continue };
            if matches!(word, "try" | "ack" | "erasing" | "erased") && send.send((word.to_owned(), n)).is_err() {
                return;
            }
        }
    });
    Running { child, said }
}

/// What one child has said over all rounds.
#[derive(Default)]
struct Said {
    tried: BTreeSet<u64>,
    acknowledged: BTreeSet<u64>,
    erasing: BTreeSet<u64>,
    erased: BTreeSet<u64>,
}

impl Said {
    fn add(&mut self, (word, n): (String, u64)) {
        let set = match word.as_str() {
            "try" => &mut self.tried,
            "ack" => &mut self.acknowledged,
            "erasing" => &mut self.erasing,
            _ => &mut self.erased,
        };
        set.insert(n);
    }
}

/// Everything that was acknowledged is there with its vector, and every step is there whole or not at all.
async fn check(ledger: &SqliteLedger, child: &str, said: &Said) {
    let read = Read { as_of: None, embeddings: Embeddings::Include };
    for n in &said.tried {
        let ids: Vec<_> = (0..size(*n)).map(|i| id(&name(child, *n, i))).collect();
        let found = ledger.fetch(&ns("a"), &ids, read).await.unwrap();
        let gone = said.erased.contains(n);
        let first = usize::from(said.erasing.contains(n));
        assert!(!gone || found[0].is_none(), "{child} {n}: an acknowledged erasure was lost");
        let there = found[first..].iter().filter(|found| found.is_some()).count();
        let whole = there == found.len() - first;
        assert!(whole || there == 0, "{child} {n}: {there} of {} records", found.len());
        assert!(whole || !said.acknowledged.contains(n), "{child} {n}: an acknowledged write was lost");
        for (i, found) in (0..).zip(found) {
            if let Some(found) = found {
                assert_eq!(found.embedding, Some(embedding(&model("m", DIMENSION), seed(*n, i))), "{child} {n} {i}");
            }
        }
    }
}

/// The slot that a child writes in every step shows its last one.
async fn check_slots(ledger: &SqliteLedger, child: &str, said: &Said) {
    let last = said.acknowledged.last().copied().unwrap_or(0);
    let slots = ledger.slots(&ns("a"), &mnemic_core::ThreadId::new(child).unwrap(), None).await.unwrap();
    assert!(slots.slots.get("step").and_then(|step| step.parse().ok()).unwrap_or(0) >= last, "{child}: {slots:?}");
    assert!(slots.version.0 >= said.acknowledged.len() as u64, "{child}: {slots:?}");
}

fn rounds() -> u64 {
    std::env::var("MNEMIC_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(6)
}

#[test]
fn two_writers_killed_at_random_lose_nothing_that_they_acknowledged() {
    let place = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let names = ["one", "two"];
    let mut all: [Said; 2] = Default::default();
    let mut acknowledged = 0;
    for round in 0..rounds() {
        let mut running = Vec::new();
        for (child, said) in names.iter().zip(&all) {
            running.push(start(place.path(), child, said.tried.last().map_or(1, |last| last + 1)));
        }
        // At a moment of its own in each round, counted from the first acknowledgement.
        for (said, running) in all.iter_mut().zip(&running) {
            while !said.tried.iter().any(|n| said.acknowledged.contains(n) && said.tried.last() == Some(n)) {
                said.add(running.said.recv_timeout(Duration::from_mins(1)).expect("a child says nothing"));
            }
        }
        let mut random = [0; 8];
        getrandom::fill(&mut random).unwrap();
        let wait = u64::from_ne_bytes(random) % 120_000;
        eprintln!("round {round}: killed after {wait} µs");
        std::thread::sleep(Duration::from_micros(wait));
        for running in &mut running {
            running.child.kill().unwrap();
        }
        for (said, mut running) in all.iter_mut().zip(running) {
            running.child.wait().unwrap();
            running.said.iter().for_each(|word| said.add(word));
        }
        runtime.block_on(async {
            let ledger = open(place.path());
            assert_eq!(ledger.verify(&ns("a")).await.unwrap(), Vec::<String>::new(), "round {round}");
            for (child, said) in names.iter().zip(&all) {
                check(&ledger, child, said).await;
                check_slots(&ledger, child, said).await;
            }
        });
        acknowledged = all.iter().map(|said| said.acknowledged.len()).sum::<usize>();
    }
    eprintln!("{} rounds, {acknowledged} steps acknowledged", rounds());
    assert!(acknowledged as u64 > 2 * rounds());
}

#[test]
fn two_processes_writing_at_once_lose_nothing_and_break_no_chain() {
    let place = tempfile::tempdir().unwrap();
    let mut running: Vec<_> = ["one", "two"].map(|child| start(place.path(), child, 1)).into();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let ledger = open(place.path());
    // A third writer is this process.
    runtime.block_on(async {
        for n in 1..=40 {
            ledger.commit(&ns("a"), step("three", n)).await.unwrap();
        }
    });
    for running in &mut running {
        while running.said.recv_timeout(Duration::from_mins(1)).expect("a child says nothing") != ("ack".to_owned(), 20)
        {
        }
        running.child.kill().unwrap();
        running.child.wait().unwrap();
    }
    runtime.block_on(async {
        let said = Said { tried: (1..=40).collect(), acknowledged: (1..=40).collect(), ..Said::default() };
        check(&ledger, "three", &said).await;
        check_slots(&ledger, "three", &said).await;
        assert_eq!(ledger.verify(&ns("a")).await.unwrap(), Vec::<String>::new());
        let shared = ledger.fetch(&ns("a"), &[id("shared")], Read::default()).await.unwrap().remove(0).unwrap();
        assert!(shared.record.version.0 >= 80, "{:?}", shared.record.version);
        assert_eq!(ledger.history(&ns("a"), &id("shared")).await.unwrap().len() as u64, shared.record.version.0);
    });
}

#[tokio::test]
async fn a_lock_that_another_process_holds_too_long_is_told_and_can_be_retried() {
    let place = tempfile::tempdir().unwrap();
    let config = SqliteConfig { busy_timeout: Duration::from_millis(50), ..SqliteConfig::new(place.path()) };
    let ledger = SqliteLedger::open(config).unwrap();
    ledger.commit(&ns("a"), step("x", 1)).await.unwrap();
    let other = rusqlite::Connection::open(place.path().join("namespaces/a/ledger.sqlite")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = ledger.commit(&ns("a"), step("x", 2)).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, mnemic_core::Retry::Soon));
    assert!(error.to_string().contains("in use by another process"), "{error}");
    assert!(ledger.settle(&ns("a"), &[OutboxId(1)]).await.is_err());
    assert!(ledger.fetch(&ns("a"), &[id("shared")], Read::default()).await.unwrap()[0].is_some());
    other.execute_batch("ROLLBACK").unwrap();
    ledger.commit(&ns("a"), step("x", 2)).await.unwrap();
    assert_eq!(ledger.verify(&ns("a")).await.unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_handles_on_one_directory_see_each_other() {
    let place = tempfile::tempdir().unwrap();
    let (one, two) = (open(place.path()), open(place.path()));
    for n in 1..=10 {
        one.commit(&ns("a"), step("one", n)).await.unwrap();
        let receipt = two.commit(&ns("a"), step("two", n)).await.unwrap();
        assert_eq!(receipt.writes.last().unwrap().version.0, 2 * n);
        assert_eq!(one.head(&ns("a")).await.unwrap(), two.head(&ns("a")).await.unwrap());
    }
    let read = Read { as_of: None, embeddings: Embeddings::Include };
    let found = one.fetch(&ns("a"), &[id("two-10-0")], read).await.unwrap();
    assert_eq!(found[0].as_ref().unwrap().embedding, Some(embedding(&model("m", DIMENSION), seed(10, 0))));
    drop(one);
    two.commit(&ns("a"), step("two", 11)).await.unwrap();
    assert_eq!(two.verify(&ns("a")).await.unwrap(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_in_a_group_takes_nothing_else_with_it() {
    let place = tempfile::tempdir().unwrap();
    let ledger = std::sync::Arc::new(open(place.path()));
    ledger.commit(&ns("a"), step("first", 1)).await.unwrap();
    let tasks = (0..200u64).map(|n| {
        let ledger = std::sync::Arc::clone(&ledger);
        tokio::spawn(async move {
            let mut batch = step("task", n);
            if n % 2 == 1 {
                // The last part is refused, after vectors and events of this batch were taken.
                batch.slots.push(mnemic_core::SlotWrite {
                    expect: mnemic_core::Precondition::Version(mnemic_core::Version(u64::MAX)),
                    ..slot("task", "x", None)
                });
            }
            (n, ledger.commit(&ns("a"), batch).await)
        })
    });
    let mut said = Said::default();
    for task in tasks.collect::<Vec<_>>() {
        let (n, result) = task.await.unwrap();
        assert_eq!(result.is_ok(), n % 2 == 0);
        match result {
            Ok(_) => drop((said.tried.insert(n), said.acknowledged.insert(n))),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict),
        }
    }
    check(&ledger, "task", &said).await;
    let refused: Vec<_> = (1..200).step_by(2).map(|n| id(&name("task", n, 0))).collect();
    assert!(ledger.fetch(&ns("a"), &refused, Read::default()).await.unwrap().iter().all(Option::is_none));
    assert_eq!(ledger.verify(&ns("a")).await.unwrap(), Vec::<String>::new());
    assert_eq!(verified(&*ledger, &ns("a")).await, (101, 0));
}
