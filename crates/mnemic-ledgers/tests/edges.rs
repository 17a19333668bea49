//! What is easy to get wrong in a ledger, asserted on each of them. Not here: the clauses one by one (the conformance suite).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod common;

use std::collections::BTreeSet;

use common::*;
use mnemic_core::{
    Batch, ChangeSeq, Changed, EraseTarget, Erasure, ErrorKind, EventId, Filter, MemoryRecord, Namespace, Order,
    PageRequest, Precondition, Sequence, Task, ThreadId, UserId, Version,
    ports::{Embeddings, EventRange, Ledger, Read},
};
use mnemic_ledgers::{InMemoryLedger, SqliteConfig, SqliteLedger};

/// Runs one async check on every ledger.
macro_rules! on_every_ledger {
    ($($name:ident)*) => {
        mod in_memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(&super::InMemoryLedger::new()).await;
            })*
        }
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let directory = tempfile::tempdir().unwrap();
                let config = super::SqliteConfig::new(directory.path().join("ledger"));
                let ledger = super::SqliteLedger::open(config).unwrap();
                super::$name(&ledger).await;
                for namespace in ["a", "b"] {
                    let namespace = super::ns(namespace);
                    assert_eq!(ledger.verify(&namespace).await.unwrap(), Vec::<String>::new());
                }
            })*
        }
    };
}

on_every_ledger! {
    a_full_record_reads_back_equal
    as_of_follows_the_order_of_commit_when_the_clock_runs_backwards
    a_record_keeps_its_place_through_delete_and_rewrite
    a_refused_part_leaves_no_trace_of_the_others
    a_page_that_ends_exactly_at_the_end_has_no_next
    erasing_a_record_takes_its_events_and_its_name
    erasing_many_records_tells_them_once_in_the_order_asked
    erasing_a_subject_leaves_the_others_as_they_were
    a_record_that_changed_hands_loses_only_the_erased_subjects_revisions
    an_erased_event_frees_its_id_and_an_erased_record_starts_anew
    outbox_ids_are_never_used_twice
    an_answer_is_replayed_and_its_key_refused_to_others
    slots_written_twice_in_one_batch_get_two_versions
}

async fn read(ledger: &dyn Ledger, ns: &Namespace, name: &str, second: i64) -> Option<MemoryRecord> {
    let read = Read { as_of: Some(at(second)), embeddings: Embeddings::Omit };
    ledger.fetch(ns, &[id(name)], read).await.unwrap().remove(0).map(|stored| stored.record)
}

async fn all(ledger: &dyn Ledger, ns: &Namespace, read: Read, order: Order) -> Vec<String> {
    let mut page = PageRequest::first(2).unwrap().ordered(order);
    let mut ids = Vec::new();
    loop {
        let found = ledger.scan(ns, &Filter::all(), read, &page).await.unwrap();
        ids.extend(found.items.into_iter().map(|stored| stored.record.id.to_string()));
        match found.next {
            Some(next) => page = page.after(Some(next)),
            None => return ids,
        }
    }
}

fn erasure(second: i64, target: EraseTarget) -> Erasure {
    Erasure { at: at(second), target, event: event(&format!("erasure-{second}"), "mnemic.journal", None) }
}

async fn a_full_record_reads_back_equal(ledger: &dyn Ledger) {
    let (ns, model) = (ns("a"), model("m", 5));
    let vector = embedding(&model, 3);
    ledger.commit(&ns, writes(1, [embedded(full_record("r"), vector.clone())])).await.unwrap();
    let read = Read { as_of: None, embeddings: Embeddings::Include };
    let found = ledger.fetch(&ns, &[id("r"), id("x"), id("r")], read).await.unwrap();
    let mut expected = full_record("r");
    expected.version = Version(1);
    assert_eq!(found[0].as_ref().unwrap().record, expected);
    assert_eq!(found[0].as_ref().unwrap().embedding.as_ref(), Some(&vector));
    assert!(found[1].is_none() && found[2] == found[0]);
    // `==` on numbers holds across representations; the canonical text does not.
    let text = |record: &MemoryRecord| mnemic_core::Value::Object(record.metadata.clone()).to_canonical();
    assert_eq!(text(&found[0].as_ref().unwrap().record), text(&expected));
    assert_eq!(all(ledger, &common::ns("b"), Read::default(), Order::Oldest).await, Vec::<String>::new());
}

async fn as_of_follows_the_order_of_commit_when_the_clock_runs_backwards(ledger: &dyn Ledger) {
    let ns = ns("a");
    ledger.commit(&ns, writes(10, [write(record("r", "one"))])).await.unwrap();
    ledger.commit(&ns, writes(5, [write(record("r", "two"))])).await.unwrap();
    ledger.commit(&ns, deletes(20, "r")).await.unwrap();
    ledger.commit(&ns, writes(30, [write(record("r", "four"))])).await.unwrap();
    let text = async |second| read(ledger, &ns, "r", second).await.map(|record| record.text);
    assert_eq!(text(4).await, None);
    assert_eq!(text(5).await.as_deref(), Some("two"));
    assert_eq!(text(12).await.as_deref(), Some("two"), "the last commit at or before second 12 is the one at 10 or 5");
    assert_eq!(text(20).await, None);
    assert_eq!(text(30).await.as_deref(), Some("four"));
    let history = ledger.history(&ns, &id("r")).await.unwrap();
    assert_eq!(history.iter().map(|revision| revision.at).collect::<Vec<_>>(), [at(30), at(20), at(5), at(10)]);
    assert_eq!(read(ledger, &ns, "r", 30).await.unwrap().version, Version(3));
}

async fn a_record_keeps_its_place_through_delete_and_rewrite(ledger: &dyn Ledger) {
    let ns = ns("a");
    for (second, name) in (1..).zip(["a", "b", "c", "d", "e"]) {
        ledger.commit(&ns, writes(second, [write(record(name, "x"))])).await.unwrap();
    }
    ledger.commit(&ns, deletes(6, "b")).await.unwrap();
    assert_eq!(all(ledger, &ns, Read::default(), Order::Oldest).await, ["a", "c", "d", "e"]);
    ledger.commit(&ns, writes(7, [write(record("b", "again")), write(record("a", "again"))])).await.unwrap();
    assert_eq!(all(ledger, &ns, Read::default(), Order::Newest).await, ["e", "d", "c", "b", "a"]);
    let then = |second| Read { as_of: Some(at(second)), embeddings: Embeddings::Omit };
    assert_eq!(all(ledger, &ns, then(3), Order::Oldest).await, ["a", "b", "c"]);
    assert_eq!(all(ledger, &ns, then(6), Order::Newest).await, ["e", "d", "c", "a"]);
}

async fn a_refused_part_leaves_no_trace_of_the_others(ledger: &dyn Ledger) {
    let ns = ns("a");
    ledger.commit(&ns, events(1, [event("e1", "t", None)])).await.unwrap();
    let before = ledger.report(&ns).await.unwrap();
    let mut other = event("e1", "t", None);
    other.action = "did".into();
    let good = || Batch {
        events: vec![event("e2", "t", None)],
        slots: vec![slot("t", "persona", Some("x"))],
        ..writes(2, [embedded(record("r", "x"), embedding(&model("m", 4), 1))])
    };
    let refused = [
        (Batch { events: vec![event("e2", "t", None), other], ..good() }, ErrorKind::Conflict),
        (
            Batch {
                slots: vec![mnemic_core::SlotWrite {
                    expect: Precondition::Version(Version(4)),
                    ..slot("t", "a", None)
                }],
                ..good()
            },
            ErrorKind::Conflict,
        ),
        (Batch { deletes: deletes(2, "r").deletes, ..good() }, ErrorKind::InvalidInput),
        (
            Batch {
                deletes: vec![mnemic_core::RecordDelete { id: id("z"), expect: Precondition::Version(Version(1)) }],
                ..good()
            },
            ErrorKind::Conflict,
        ),
    ];
    for (batch, kind) in refused {
        assert_eq!(ledger.commit(&ns, batch).await.unwrap_err().kind(), kind);
        let after = ledger.report(&ns).await.unwrap();
        assert_eq!(mnemic_core::ports::NamespaceReport { bytes: before.bytes, ..after }, before);
        assert!(read(ledger, &ns, "r", 9).await.is_none());
    }
    let receipt = ledger.commit(&ns, good()).await.unwrap();
    assert_eq!(receipt.changes, Some((ChangeSeq(2), ChangeSeq(4))));
    assert_eq!(verified(ledger, &ns).await, (2, 0));
}

async fn a_page_that_ends_exactly_at_the_end_has_no_next(ledger: &dyn Ledger) {
    let ns = ns("a");
    ledger.commit(&ns, writes(1, ["a", "b"].map(|name| write(record(name, "x"))))).await.unwrap();
    ledger.commit(&ns, events(1, [event("1", "t", None), event("2", "u", None)])).await.unwrap();
    let two = PageRequest::first(2).unwrap();
    assert!(ledger.scan(&ns, &Filter::all(), Read::default(), &two).await.unwrap().next.is_none());
    assert!(ledger.events(&ns, &EventRange::default(), &two).await.unwrap().next.is_none());
    assert!(ledger.threads(&ns, &two).await.unwrap().next.is_none());
    let forged = two.after(Some(mnemic_core::Cursor("1; DROP TABLE records".into())));
    let error = ledger.scan(&ns, &Filter::all(), Read::default(), &forged).await.unwrap_err();
    assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some("cursor")));
}

/// With a comparison of every id with every other this would take minutes.
async fn erasing_many_records_tells_them_once_in_the_order_asked(ledger: &dyn Ledger) {
    const MANY: usize = 30_000;
    let (ns, name) = (ns("a"), |i: usize| format!("a-name-as-long-as-names-are-{i}"));
    ledger.commit(&ns, writes(1, (0..MANY).map(|i| write(record(&name(i), "x"))))).await.unwrap();
    let asked: Vec<_> = (0..MANY).rev().map(|i| id(&name(i))).collect();
    let twice = [asked.clone(), asked.clone()].concat();
    let started = std::time::Instant::now();
    let receipt = ledger.erase(&ns, erasure(2, EraseTarget::Records(twice))).await.unwrap();
    assert_eq!(receipt.records, asked);
    assert!(started.elapsed() < std::time::Duration::from_secs(30), "{:?}", started.elapsed());
}

async fn erasing_a_record_takes_its_events_and_its_name(ledger: &dyn Ledger) {
    let ns = ns("a");
    ledger.commit(&ns, events(1, [event("e1", "t", Some("u")), event("e2", "t", Some("u"))])).await.unwrap();
    let mut first = full_record("r");
    first.superseded_by = None;
    ledger.commit(&ns, writes(2, [with_tasks(first, vec![Task::Embed]), write(record("kept", "x"))])).await.unwrap();
    ledger.commit(&ns, writes(3, [write(record("r", "without provenance"))])).await.unwrap();
    let target = EraseTarget::Records(vec![id("r"), id("absent"), id("r")]);
    let receipt = ledger.erase(&ns, erasure(4, target)).await.unwrap();
    assert_eq!((receipt.records, receipt.revisions, receipt.events), (vec![id("r")], 2, 1));
    assert_eq!(receipt.sequence, Sequence(3));
    assert!(receipt.residue.is_empty(), "{:?}", receipt.residue);
    assert!(read(ledger, &ns, "r", 3).await.is_none() && ledger.history(&ns, &id("r")).await.unwrap().is_empty());
    assert_eq!(verified(ledger, &ns).await, (3, 1));
    let chain = chain(ledger, &ns).await;
    assert!(chain[0].event.is_none() && chain[0].salt.is_none() && chain[1].event.is_some());
    let feed: Vec<_> = ledger.changes(&ns, ChangeSeq(0), 100).await.unwrap().into_iter().map(|c| c.what).collect();
    assert_eq!(
        feed[2..],
        [
            Changed::Erased(None),
            Changed::Written(id("kept"), Version(1)),
            Changed::Erased(None),
            Changed::Erased(Some(id("r"))),
            Changed::EventErased(Sequence(1)),
            Changed::Appended(Sequence(3)),
        ]
    );
}

async fn erasing_a_subject_leaves_the_others_as_they_were(ledger: &dyn Ledger) {
    let ns = ns("a");
    let mut theirs = of_user(record("r1", "x"), "u");
    theirs.thread_id = Some(ThreadId::new("of-record").unwrap());
    theirs.provenance.events =
        ["shared", "unowned"].map(|name| EventId::new(name).unwrap()).into_iter().collect::<BTreeSet<_>>();
    let batch = Batch {
        events: vec![
            event("mine", "of-event", Some("u")),
            event("shared", "t", Some("v")),
            event("unowned", "t", None),
            event("other", "t", Some("v")),
        ],
        slots: ["of-event", "of-record", "t"].map(|thread| slot(thread, "persona", Some("p"))).into(),
        ..writes(1, [write(theirs), write(of_user(record("r2", "y"), "v"))])
    };
    ledger.commit(&ns, batch).await.unwrap();
    ledger.commit(&ns, deletes(2, "r1")).await.unwrap();
    let user = UserId::new("u").unwrap();
    let receipt = ledger.erase(&ns, erasure(3, EraseTarget::Subject(user.clone()))).await.unwrap();
    assert_eq!((receipt.records, receipt.revisions, receipt.events, receipt.threads), (vec![id("r1")], 2, 2, 2));
    assert!(ledger.history(&ns, &id("r1")).await.unwrap().is_empty());
    assert!(read(ledger, &ns, "r2", 9).await.is_some());
    let range = EventRange { user_id: Some(user), ..EventRange::default() };
    assert!(ledger.events(&ns, &range, &PageRequest::largest()).await.unwrap().items.is_empty());
    assert_eq!(verified(ledger, &ns).await, (5, 2));
    let threads = ledger.slot_threads(&ns, &PageRequest::largest()).await.unwrap().items;
    assert_eq!(threads, [ThreadId::new("t").unwrap()]);
    let feed = format!("{:?}", ledger.changes(&ns, ChangeSeq(0), 100).await.unwrap());
    for gone in ["r1", "of-event", "of-record"] {
        assert!(!feed.contains(gone), "{gone} in {feed}");
    }
}

async fn a_record_that_changed_hands_loses_only_the_erased_subjects_revisions(ledger: &dyn Ledger) {
    let ns = ns("a");
    ledger.commit(&ns, writes(1, [write(of_user(record("r", "of u"), "u"))])).await.unwrap();
    ledger.commit(&ns, writes(2, [write(of_user(record("r", "of v"), "v"))])).await.unwrap();
    let receipt = ledger.erase(&ns, erasure(3, EraseTarget::Subject(UserId::new("u").unwrap()))).await.unwrap();
    assert_eq!((receipt.records.len(), receipt.revisions), (0, 1));
    assert!(read(ledger, &ns, "r", 1).await.is_none());
    assert_eq!(read(ledger, &ns, "r", 3).await.unwrap().version, Version(2));
    assert_eq!(ledger.history(&ns, &id("r")).await.unwrap().len(), 1);
}

async fn an_erased_event_frees_its_id_and_an_erased_record_starts_anew(ledger: &dyn Ledger) {
    let ns = ns("a");
    ledger.commit(&ns, events(1, [event("e1", "t", Some("u"))])).await.unwrap();
    ledger.commit(&ns, writes(1, [write(of_user(record("r", "x"), "u"))])).await.unwrap();
    ledger.commit(&ns, slots(1, [slot("t", "a", Some("b"))])).await.unwrap();
    let target = EraseTarget::Subject(UserId::new("u").unwrap());
    ledger.erase(&ns, erasure(2, target.clone())).await.unwrap();
    let again = ledger.commit(&ns, Batch { slots: vec![slot("t", "a", None)], ..events(3, [event("e1", "t", None)]) });
    let again = again.await.unwrap();
    assert_eq!((again.events[0].sequence, again.slots[0]), (Sequence(3), Version(1)));
    assert_eq!(ledger.commit(&ns, writes(3, [write(record("r", "y"))])).await.unwrap().writes[0].version, Version(1));
    // The same erasure again is the same event; nothing of the subject is left to erase.
    let repeated = ledger.erase(&ns, erasure(2, target)).await.unwrap();
    assert_eq!((repeated.sequence, repeated.records.len(), repeated.events), (Sequence(2), 0, 0));
}

async fn outbox_ids_are_never_used_twice(ledger: &dyn Ledger) {
    let ns = ns("a");
    let tasks = || vec![Task::Embed, Task::Index("pinecone".into())];
    ledger.commit(&ns, writes(1, [with_tasks(record("r", "x"), tasks())])).await.unwrap();
    let first = ledger.outbox(&ns, 10).await.unwrap();
    assert_eq!(first.iter().map(|item| item.task.clone()).collect::<Vec<_>>(), tasks());
    let ids: Vec<_> = first.iter().map(|item| item.id).collect();
    ledger.settle(&ns, &ids).await.unwrap();
    ledger.settle(&ns, &ids).await.unwrap();
    ledger.commit(&ns, writes(2, [with_tasks(record("r", "y"), tasks())])).await.unwrap();
    let second = ledger.outbox(&ns, 10).await.unwrap();
    assert!(second.iter().all(|item| item.id > ids[1] && item.version == Version(2) && item.since == at(2)));
    ledger.commit(&ns, writes(3, [write(record("r", "z"))])).await.unwrap();
    assert!(ledger.outbox(&ns, 10).await.unwrap().is_empty());
}

async fn an_answer_is_replayed_and_its_key_refused_to_others(ledger: &dyn Ledger) {
    let ns = ns("a");
    let keyed = |text: &str, fingerprint: u8, second| Batch {
        idempotency: Some(mnemic_core::Idempotency::new("key", mnemic_core::Digest([fingerprint; 32])).unwrap()),
        events: vec![event("e", "t", None)],
        ..writes(second, [write(record("r", text))])
    };
    let first = ledger.commit(&ns, keyed("x", 1, 1)).await.unwrap();
    let second = ledger.commit(&ns, keyed("x", 1, 2)).await.unwrap();
    assert_eq!(second, mnemic_core::Receipt { replayed: true, ..first });
    let error = ledger.commit(&ns, keyed("y", 2, 2)).await.unwrap_err();
    assert_eq!((error.kind(), error.field()), (ErrorKind::Conflict, Some("idempotency_key")));
    assert_eq!(ledger.head(&ns).await.unwrap(), ChangeSeq(2));
    ledger.erase(&ns, erasure(3, EraseTarget::Records(vec![id("r")]))).await.unwrap();
    assert!(
        !ledger.commit(&ns, keyed("y", 2, 4)).await.unwrap().replayed,
        "a receipt that names an erased record is gone"
    );
}

async fn slots_written_twice_in_one_batch_get_two_versions(ledger: &dyn Ledger) {
    let ns = ns("a");
    let batch = slots(1, [slot("t", "a", Some("1")), slot("u", "x", None), slot("t", "b", Some("2"))]);
    assert_eq!(ledger.commit(&ns, batch).await.unwrap().slots, [Version(1), Version(1), Version(2)]);
    let thread = ThreadId::new("t").unwrap();
    let now = ledger.slots(&ns, &thread, None).await.unwrap();
    assert_eq!((now.slots.len(), now.version, now.updated_at), (2, Version(2), Some(at(1))));
    assert_eq!(ledger.slots(&ns, &thread, Some(at(0))).await.unwrap().version, Version::NONE);
    assert_eq!(ledger.slots_history(&ns, &thread).await.unwrap()[1].slots.len(), 1);
    assert_eq!(ledger.slot_threads(&ns, &PageRequest::largest()).await.unwrap().items, [thread]);
}
