//! What a memory does while its ledger is away: writes wait on this machine and come in order, once, when it is back; answers say what
//! they lack. Not here: the spool's files (`mnemic-spool`), real servers (the outage campaign).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::{collections::BTreeMap, sync::Arc};

use common::{found, id, namespace, record, thread};
use mnemic::ports::{EventRange, Ledger};
use mnemic::{
    AppendOutcome, Builder, ErrorKind, Field, Filter, MemoryManager, NewEvent, NewRecord, PageRequest, Precondition,
    Query, RecordOutcome, Selector, SetSlots, Trial, Version, WriteOptions,
};
use mnemic_conformance::faulty::{Fault, Faulty, Strike};
use mnemic_layers::{Backend, Guarded, Profile, RateConfig};
use mnemic_ledgers::InMemoryLedger;
use mnemic_spool::SpoolConfig;
use tempfile::TempDir;

type FaultyLedger = Faulty<InMemoryLedger>;

fn open(ledger: &Arc<FaultyLedger>, directory: &TempDir) -> MemoryManager {
    let builder =
        Builder::default().ledger(Arc::<FaultyLedger>::clone(ledger)).spool(SpoolConfig::new(directory.path()));
    builder.build(namespace("default")).unwrap()
}

fn world() -> (Arc<FaultyLedger>, TempDir, MemoryManager) {
    let (ledger, directory) = (Arc::new(Faulty::new(Arc::new(InMemoryLedger::new()))), tempfile::tempdir().unwrap());
    let memory = open(&ledger, &directory);
    (ledger, directory, memory)
}

async fn write(memory: &MemoryManager, records: Vec<NewRecord>) -> RecordOutcome {
    memory.write(records, &WriteOptions::default()).await.unwrap().records[0].outcome
}

fn spool_line(health: &mnemic::Health) -> String {
    health.details.iter().find(|detail| detail.part == "spool").unwrap().message.clone()
}

#[tokio::test]
async fn while_the_ledger_is_away_writes_wait_are_found_and_are_told() {
    let (ledger, _directory, memory) = world();
    assert_eq!(write(&memory, vec![record("a", "the fee is 405")]).await, RecordOutcome::Indexed);
    ledger.set(Some(Fault::always()));
    let report = memory.write(vec![record("b", "the hearing is in May")], &WriteOptions::default()).await.unwrap();
    assert_eq!((report.records[0].outcome, report.records[0].version), (RecordOutcome::Spooled, Version(0)));
    assert!(report.warnings[0].contains("committed later"), "{:?}", report.warnings);
    let answer = memory.retrieve(&Query::new("hearing")).await.unwrap();
    assert_eq!(found(&answer), ["b"]);
    assert!(answer.degraded[0].contains("only what waits"), "{:?}", answer.degraded);
    let elsewhere = memory.in_namespace(namespace("other")).retrieve(&Query::new("hearing")).await.unwrap_err();
    assert_eq!(elsewhere.kind(), ErrorKind::Unavailable, "what waits in one namespace is no answer in another");
    let health = memory.health_check().await;
    assert!(!health.semantic && !health.episodic && spool_line(&health).starts_with("1 writes wait"));
    let ledger_line = &health.details[0];
    assert!(ledger_line.message.contains("since 20") && ledger_line.kind == Some(ErrorKind::Unavailable));
    ledger.set(None);
    memory.drain().await.unwrap();
    let whole = memory.retrieve(&Query::new("hearing fee")).await.unwrap();
    assert_eq!((found(&whole).len(), whole.degraded.len()), (2, 0));
    assert_eq!(spool_line(&memory.health_check().await), "empty");
}

#[tokio::test]
async fn with_nothing_waiting_a_ledger_that_is_away_is_an_error_and_not_an_empty_answer() {
    let (ledger, _directory, memory) = world();
    write(&memory, vec![record("a", "the fee is 405")]).await;
    ledger.set(Some(Fault::always()));
    assert_eq!(memory.retrieve(&Query::new("fee")).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(memory.get(&[id("a")], None).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn without_a_spool_a_write_is_refused_while_the_ledger_is_away() {
    let ledger = Arc::new(Faulty::failing(Arc::new(InMemoryLedger::new()), Fault::always()));
    let memory = Builder::default().ledger(ledger).build(namespace("default")).unwrap();
    let refused = memory.write(vec![record("a", "x")], &WriteOptions::default()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn what_waits_comes_in_order_and_what_comes_after_it_comes_after_it() {
    let (ledger, _directory, memory) = world();
    ledger.set(Some(Fault::always()));
    write(&memory, vec![record("a", "first")]).await;
    write(&memory, vec![record("a", "second")]).await;
    ledger.set(None);
    // Nobody drained: the next write brings along what waits.
    assert_eq!(write(&memory, vec![record("a", "third")]).await, RecordOutcome::Indexed);
    let stored = memory.get(&[id("a")], None).await.unwrap()[0].clone().unwrap();
    assert_eq!((stored.text.as_str(), stored.version), ("third", Version(3)));
}

#[tokio::test]
async fn a_commit_whose_reply_was_lost_takes_effect_once() {
    let (ledger, _directory, memory) = world();
    ledger.set(Some(Fault { methods: vec!["commit"], ..Fault::nth(1, Strike::After) }));
    assert_eq!(write(&memory, vec![record("a", "once")]).await, RecordOutcome::Spooled);
    ledger.set(None);
    memory.drain().await.unwrap();
    let history = memory.history(&id("a")).await.unwrap();
    assert_eq!(history.len(), 1, "{history:?}");
    let events = memory.events(&EventRange::default(), &PageRequest::largest()).await.unwrap();
    assert_eq!(events.items.len(), 1, "one event for one change");
}

#[tokio::test]
async fn what_waits_survives_the_process() {
    let (ledger, directory, memory) = world();
    ledger.set(Some(Fault::always()));
    write(&memory, vec![record("a", "kept")]).await;
    drop(memory);
    ledger.set(None);
    let again = open(&ledger, &directory);
    again.drain().await.unwrap();
    assert!(again.get(&[id("a")], None).await.unwrap()[0].is_some());
}

#[tokio::test]
async fn events_and_slots_wait_too_and_a_repeated_event_is_one() {
    let (ledger, _directory, memory) = world();
    ledger.set(Some(Fault::always()));
    let event = || NewEvent { event_id: Some("e".parse().unwrap()), ..common::event("e", "t", "it was filed") };
    for _ in 0..2 {
        let (_, appended) = memory.log_audit(NewEvent { timestamp: None, ..event() }).await.unwrap();
        assert_eq!((appended.outcome, appended.sequence.0), (AppendOutcome::Spooled, 0));
    }
    let slots = BTreeMap::from([("persona".to_owned(), Some("brief".to_owned()))]);
    let waiting = memory.set_slots(&thread("t"), slots.clone(), SetSlots::default()).await.unwrap();
    assert_eq!(waiting.version, Version(0));
    let conditional = SetSlots { expect: Precondition::Version(Version(1)), ..SetSlots::default() };
    let refused = memory.set_slots(&thread("t"), slots, conditional).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "only the ledger knows whether the condition holds");
    ledger.set(None);
    memory.drain().await.unwrap();
    let range = EventRange { thread_id: Some(thread("t")), ..EventRange::default() };
    assert_eq!(memory.events(&range, &PageRequest::largest()).await.unwrap().items.len(), 1);
    assert_eq!(memory.slots(&thread("t"), None).await.unwrap().slots["persona"], "brief");
    assert_eq!(spool_line(&memory.health_check().await), "empty");
}

#[tokio::test]
async fn a_write_that_the_ledger_refuses_for_good_is_put_aside_and_blocks_nothing() {
    let (ledger, _directory, memory) = world();
    ledger.set(Some(Fault::always()));
    write(&memory, vec![record("bad", "refused")]).await;
    write(&memory, vec![record("good", "taken")]).await;
    ledger.set(Some(Fault::nth(1, Strike::Before).of(&["commit"]).with_kind(ErrorKind::InvalidInput)));
    memory.drain().await.unwrap();
    let held = memory.get(&[id("bad"), id("good")], None).await.unwrap();
    assert!(held[0].is_none() && held[1].is_some());
    assert!(spool_line(&memory.health_check().await).contains("1 writes were refused"));
}

#[tokio::test]
async fn a_write_does_not_wait_until_everything_before_it_is_committed_but_behind_it_in_line() {
    // Two calls a second, so that what waits takes long.
    let slow = Profile::ledger().limited(RateConfig { requests: Some(120), tokens: None });
    let slow = Guarded::new(Arc::new(InMemoryLedger::new()), Backend::new("slow", slow));
    let (ledger, directory) = (Arc::new(Faulty::new(Arc::new(slow))), tempfile::tempdir().unwrap());
    let builder = Builder::default().ledger(Arc::<Faulty<_>>::clone(&ledger)).spool(SpoolConfig::new(directory.path()));
    let memory = builder.build(namespace("default")).unwrap();
    ledger.set(Some(Fault::always()));
    for n in 0..60 {
        write(&memory, vec![record("a", &format!("text {n}"))]).await;
    }
    ledger.set(None);
    let begun = std::time::Instant::now();
    assert_eq!(write(&memory, vec![record("a", "the newest")]).await, RecordOutcome::Spooled);
    assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(spool_line(&memory.health_check().await).contains("writes wait"));
}

#[tokio::test]
async fn a_ledger_that_is_set_up_wrong_or_closed_to_us_puts_nothing_aside() {
    for kind in [ErrorKind::InvalidConfig, ErrorKind::Denied, ErrorKind::RateLimited] {
        let (ledger, _directory, memory) = world();
        ledger.set(Some(Fault::always()));
        write(&memory, vec![record("a", "kept")]).await;
        ledger.set(Some(Fault::always().of(&["commit"]).with_kind(kind)));
        assert_eq!(memory.drain().await.unwrap_err().kind(), kind);
        assert!(spool_line(&memory.health_check().await).starts_with("1 writes wait"), "{kind}");
        ledger.set(None);
        memory.drain().await.unwrap();
        assert!(memory.get(&[id("a")], None).await.unwrap()[0].is_some(), "{kind}");
    }
}

#[tokio::test]
async fn forgetting_forgets_what_waits_too() {
    let (ledger, _directory, memory) = world();
    ledger.set(Some(Fault::always()));
    write(&memory, vec![record("a", "to be forgotten")]).await;
    let away = memory.forget(&Selector::Ids(vec![id("a")]), Trial::Real).await.unwrap_err();
    assert_eq!(away.kind(), ErrorKind::Unavailable);
    ledger.set(None);
    memory.forget(&Selector::Ids(vec![id("a")]), Trial::Real).await.unwrap();
    memory.drain().await.unwrap();
    assert!(memory.get(&[id("a")], None).await.unwrap()[0].is_none());
    assert!(memory.history(&id("a")).await.unwrap().is_empty());
}

#[tokio::test]
async fn forgetting_by_a_filter_finds_what_waits_too() {
    let (ledger, _directory, memory) = world();
    ledger.set(Some(Fault::always()));
    write(&memory, vec![NewRecord { user_id: Some(common::user("ann")), ..record("a", "to be forgotten") }]).await;
    ledger.set(None);
    let secret = Selector::Filter(Filter::equals(Field::UserId, "ann"));
    let receipt = memory.forget(&secret, Trial::Real).await.unwrap();
    assert_eq!(receipt.forgotten.records, [id("a")]);
    memory.drain().await.unwrap();
    assert!(memory.get(&[id("a")], None).await.unwrap()[0].is_none());
}

/// Every byte of every file below a directory.
fn bytes_below(directory: &std::path::Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        bytes.extend(if path.is_dir() { bytes_below(&path) } else { std::fs::read(&path).unwrap() });
    }
    bytes
}

#[tokio::test]
async fn nothing_readable_of_a_forgotten_subject_stays_in_the_spool() {
    const CANARY: &[u8] = b"xylophone-canary";
    let (ledger, directory, memory) = world();
    let held = || bytes_below(directory.path()).windows(CANARY.len()).any(|window| window == CANARY);
    let of_ann = |name: &str| NewRecord { user_id: Some(common::user("ann")), ..record(name, "xylophone-canary") };
    ledger.set(Some(Fault::always()));
    write(&memory, vec![of_ann("refused")]).await;
    write(&memory, vec![of_ann("taken")]).await;
    assert!(held());
    ledger.set(Some(Fault::nth(1, Strike::Before).of(&["commit"]).with_kind(ErrorKind::InvalidInput)));
    memory.drain().await.unwrap();
    assert!(held(), "what was refused is kept aside");
    let receipt = memory.forget(&Selector::Subject(common::user("ann")), Trial::Real).await.unwrap();
    assert!(receipt.residue.is_empty(), "{:?}", receipt.residue);
    assert!(!held(), "neither in a segment nor in the quarantine");
}

#[tokio::test]
async fn embeddings_made_before_the_ledger_went_away_arrive_bit_for_bit() {
    let (ledger, directory) = (Arc::new(Faulty::new(Arc::new(InMemoryLedger::new()))), tempfile::tempdir().unwrap());
    let builder = Builder::default()
        .ledger(Arc::<FaultyLedger>::clone(&ledger))
        .embedder(Arc::new(mnemic_embedders::StaticEmbedder::new().unwrap()))
        .spool(SpoolConfig::new(directory.path()));
    let memory = builder.build(namespace("default")).unwrap();
    write(&memory, vec![record("now", "the fee is 405")]).await;
    ledger.set(Some(Fault::always()));
    write(&memory, vec![record("later", "the fee is 405")]).await;
    ledger.set(None);
    memory.drain().await.unwrap();
    let ids = [id("now"), id("later")];
    let read = mnemic::ports::Read { as_of: None, embeddings: mnemic::ports::Embeddings::Include };
    let stored = ledger.fetch(memory.namespace(), &ids, read).await.unwrap();
    let embedding = |n: usize| stored[n].as_ref().unwrap().embedding.clone().unwrap();
    assert_eq!(embedding(0), embedding(1));
}
