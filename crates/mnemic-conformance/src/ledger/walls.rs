//! Cases on the walls between namespaces: `[L5]` and `[L24]`. Not here: anything inside of one namespace.

use std::collections::BTreeSet;

use mnemic_core::{
    Batch, ChangeSeq, EmbeddingModel, EraseTarget, ErrorKind, Filter, Idempotency, Namespace, Precondition, Task,
    Version, limits,
    policy::audit::digest,
    ports::{EventRange, Read},
};

use super::{
    LedgerHarness,
    room::{Room, delete, late, slot_write, write_with_tasks},
    snapshot::{self, Snapshot, WITH_EMBEDDINGS},
};
use crate::{
    fixtures::{Rng, embedding, event, instant, model, namespace, other_model, record, record_id, thread, user},
    walk::{Walk, everything},
};

const THREAD: &str = "t";

/// The same ids, users, threads and keys in every namespace; only `word` differs.
fn life(word: &str, at: i64) -> Batch {
    let mut rng = Rng::new(105);
    let mut batch = Batch::new(instant(at));
    for id in ["one", "two", "three"] {
        let mut record = record(id, word);
        record.user_id = Some(user("anna"));
        record.thread_id = Some(thread(THREAD));
        let mut write = write_with_tasks(record, &[Task::Embed, Task::Index("local".to_owned())]);
        write.embedding = Some(embedding(&mut rng, &model()));
        batch.writes.push(write);
    }
    for id in ["e1", "e2"] {
        let mut event = event(id, THREAD, Some("anna"));
        event.payload.insert("word".to_owned(), word.into());
        batch.events.push(event);
    }
    batch.slots.push(slot_write(THREAD, &[("word", Some(word))]));
    batch.idempotency = Some(Idempotency::new("key", digest(word.as_bytes())).unwrap());
    batch
}

/// Two namespaces of one ledger.
async fn neighbors(h: &dyn LedgerHarness) -> (Room, Namespace) {
    (Room::new(h).await, namespace())
}

pub(super) async fn l05_nothing_of_one_namespace_is_seen_through_another(h: &dyn LedgerHarness) {
    let (room, other) = neighbors(h).await;
    room.commit(life("secret", 10)).await;
    room.write(record("one", "secret")).await;
    room.delete("two").await;
    Snapshot::take(room.ledger(), &other).await.assert_empty("in a namespace that nothing was written to");
    let ids = ["one", "two", "three"].map(record_id);
    assert_eq!(room.ledger().fetch(&other, &ids, WITH_EMBEDDINGS).await.unwrap(), [None, None, None]);
    let as_of = Read { as_of: Some(instant(10)), ..Read::default() };
    assert_eq!(room.ledger().fetch(&other, &ids, as_of).await.unwrap(), [None, None, None]);
    for id in &ids {
        assert_eq!(room.ledger().history(&other, id).await.unwrap(), []);
    }
    assert_eq!(
        room.ledger().slots(&other, &thread(THREAD), None).await.unwrap(),
        mnemic_core::VersionedSlots::default()
    );
    assert_eq!(room.ledger().slots_history(&other, &thread(THREAD)).await.unwrap(), []);

    let receipt = room.ledger().commit(&other, life("mine", 20)).await.unwrap();
    assert!(!receipt.replayed, "a key of another namespace is another key");
    assert!(receipt.writes.iter().all(|w| w.version == Version(1)), "{receipt:?}");
    assert_eq!(receipt.events.iter().map(|e| e.sequence.0).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(receipt.slots, [Version(1)]);
    let mine = Snapshot::take(room.ledger(), &other).await;
    assert!(!format!("{mine:?}").contains("secret"), "{mine:?}");
    let theirs = room.snapshot().await;
    assert!(!format!("{theirs:?}").contains("mine"), "{theirs:?}");
    assert_eq!((mine.records.len(), theirs.records.len()), (3, 2));
    // A cursor of one namespace opens nothing in the other, whether it is understood there or refused.
    let page = Walk::oldest(1).request(None);
    let first = room.ledger().scan(&room.ns, &Filter::all(), Read::default(), &page).await.unwrap();
    let page = Walk::oldest(1).request(first.next);
    if let Ok(strayed) = room.ledger().scan(&other, &Filter::all(), Read::default(), &page).await {
        assert!(strayed.items.iter().all(|stored| stored.record.text == "mine"), "{strayed:?}");
    }
}

pub(super) async fn l05_nothing_of_one_namespace_is_changed_through_another(h: &dyn LedgerHarness) {
    let (room, other) = neighbors(h).await;
    room.commit(life("secret", 10)).await;
    let before = room.snapshot().await;
    let ledger = room.ledger();
    ledger.commit(&other, life("mine", 20)).await.unwrap();
    before.assert_same(&room.snapshot().await, "after the other's commit");
    let mut batch = Batch::new(instant(30));
    batch.writes.push(write_with_tasks(record("one", "mine again"), &[]));
    batch.deletes.push(delete("two"));
    batch.embeddings.push(late("three", 1, &embedding(&mut Rng::new(1), &other_model())));
    batch.slots.push(slot_write(THREAD, &[("word", None)]));
    batch.settle = before.outbox.iter().map(|item| item.id).collect();
    ledger.commit(&other, batch).await.unwrap();
    before.assert_same(&room.snapshot().await, "after the other's replacing, deleting, embedding and settling");
    let all: Vec<_> = before.outbox.iter().map(|item| item.id).collect();
    ledger.settle(&other, &all).await.unwrap();
    before.assert_same(&room.snapshot().await, "after the other settled the same ids");
    for (n, target) in
        [EraseTarget::Records(vec![record_id("one"), record_id("three")]), EraseTarget::Subject(user("anna"))]
            .into_iter()
            .enumerate()
    {
        let event = crate::fixtures::erasure_event(&format!("erasure-{n}"));
        ledger.erase(&other, mnemic_core::Erasure { at: instant(40), target, event }).await.unwrap();
        before.assert_same(&room.snapshot().await, "after the other's erasure");
    }
}

pub(super) async fn l05_an_error_in_one_namespace_shows_nothing_of_another(h: &dyn LedgerHarness) {
    let (room, other) = neighbors(h).await;
    room.commit(life("secret", 10)).await;
    room.write(record("one", "secret")).await;
    let mut batches = Vec::new();
    let mut batch = Batch::new(instant(20));
    batch.writes.push(write_with_tasks(record("one", "mine"), &[]));
    // Version 2 is what the other namespace holds.
    batch.writes[0].expect = Precondition::Version(Version(2));
    batches.push(batch);
    let mut batch = Batch::new(instant(20));
    batch.deletes.push(delete("one"));
    batch.deletes[0].expect = Precondition::Version(Version(2));
    batches.push(batch);
    let mut batch = Batch::new(instant(20));
    batch.slots.push(slot_write(THREAD, &[("word", Some("mine"))]));
    batch.slots[0].expect = Precondition::Version(Version(1));
    batches.push(batch);
    for batch in batches {
        let error = room.ledger().commit(&other, batch).await.expect_err("what is expected is in another namespace");
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("secret") && !shown.contains(room.ns.as_str()), "{shown}");
        assert!(!error.to_string().contains("found version 2"), "{error}");
    }
    Snapshot::take(room.ledger(), &other).await.assert_empty("after refused batches");
}

pub(super) async fn l05_a_report_counts_what_its_namespace_holds(h: &dyn LedgerHarness) {
    let (room, other) = neighbors(h).await;
    room.ledger().commit(&other, life("other", 10)).await.unwrap();
    let mut rng = Rng::new(106);
    let mut batch = life("mine", 20);
    batch.writes[1].embedding = None;
    batch.writes[2].embedding = Some(embedding(&mut rng, &other_model()));
    room.commit(batch).await;
    room.write_embedded(record("one", "again"), &embedding(&mut rng, &model())).await;
    room.write(record("four", "x")).await;
    room.set_slots("another", &[("s", Some("x"))]).await;
    let held = room.snapshot().await;
    let report = &held.report;
    assert_eq!((report.records, report.embeddings, report.revisions), (4, 2, 5));
    assert_eq!((report.events, report.threads_with_slots), (2, 2));
    assert_eq!((report.outbox, report.outbox_since), (4, Some(instant(20))), "the tasks of two and three");
    assert_eq!(report.outbox as usize, held.outbox.len());
    assert_eq!(report.head, held.head);
    let models: BTreeSet<&EmbeddingModel> = report.models.iter().collect();
    assert_eq!(models, BTreeSet::from([&model(), &other_model()]));
    assert_eq!(models.len(), report.models.len(), "each model once");
    assert_eq!(room.ledger().models(&room.ns).await.unwrap(), report.models, "the same without counting");
}

pub(super) async fn l24_namespaces_lists_what_holds_anything_ordered_by_name(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    let ledger = room.ledger();
    let held: Vec<Namespace> = (0..6).map(|_| namespace()).collect();
    let untouched = namespace();
    let at = || Batch::new(instant(1));
    let mut batches = [at(), at(), at(), at(), at(), at()];
    batches[0].writes.push(write_with_tasks(record("r", "x"), &[]));
    batches[1].events.push(event("e", THREAD, None));
    batches[2].slots.push(slot_write(THREAD, &[("s", Some("x"))]));
    batches[3..].iter_mut().for_each(|batch| batch.writes.push(write_with_tasks(record("r", "x"), &[])));
    for (ns, batch) in held.iter().zip(batches) {
        ledger.commit(ns, batch).await.unwrap();
    }
    // Reading makes nothing.
    Snapshot::take(ledger, &untouched).await.assert_empty("in a namespace that was only read");
    ledger.changes(&untouched, ChangeSeq(0), limits::BATCH).await.unwrap();
    ledger.settle(&untouched, &[]).await.unwrap();
    snapshot::events(ledger, &untouched, &EventRange::default()).await;
    for limit in [1, 2, 1000] {
        let listed = everything!(Walk::oldest(limit), |page| ledger.namespaces(page));
        assert!(listed.is_sorted_by(|a, b| a < b), "ordered by name, each once: {listed:?}");
        let ours: BTreeSet<&Namespace> = listed.iter().filter(|ns| held.contains(ns)).collect();
        assert_eq!(ours, held.iter().collect(), "pages of {limit}");
        assert!(!listed.contains(&untouched), "{untouched} holds nothing");
    }
}
