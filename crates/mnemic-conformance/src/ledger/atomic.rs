//! Cases on whole batches: `[L3]` and `[L12]`. Not here: what an accepted batch does.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use mnemic_core::{
    Batch, ErrorKind, Filter, Idempotency, Precondition, SlotMode, Task, Version, limits, policy::audit::digest,
    ports::Read,
};

use super::{
    LedgerHarness,
    room::{Room, delete, late, slot_write, write, write_with_tasks},
    snapshot,
};
use crate::{
    fixtures::{Rng, embedding, event, instant, model, record, record_id},
    walk::Walk,
};

/// What makes a batch refused.
type Spoil = fn(&mut Batch);

const SPOILS: [(&str, ErrorKind, Spoil); 12] = [
    ("a write expects another version", ErrorKind::Conflict, |b| {
        b.writes.push(write(record("kept", "y")));
        b.writes.last_mut().unwrap().expect = Precondition::Version(Version(9));
    }),
    ("a write expects that there is nothing", ErrorKind::Conflict, |b| {
        b.writes.push(write(record("kept", "y")));
        b.writes.last_mut().unwrap().expect = Precondition::Version(Version::NONE);
    }),
    ("a delete expects another version", ErrorKind::Conflict, |b| {
        b.deletes.push(delete("kept"));
        b.deletes.last_mut().unwrap().expect = Precondition::Version(Version(9));
    }),
    ("a delete expects what is absent", ErrorKind::Conflict, |b| {
        b.deletes.push(delete("absent"));
        b.deletes.last_mut().unwrap().expect = Precondition::Version(Version(1));
    }),
    ("an id is written twice", ErrorKind::InvalidInput, |b| b.writes.push(b.writes[0].clone())),
    ("an id is written and deleted", ErrorKind::InvalidInput, |b| b.deletes.push(delete("new"))),
    ("an id is deleted twice", ErrorKind::InvalidInput, |b| b.deletes.extend([delete("kept"), delete("kept")])),
    ("another event has the id", ErrorKind::Conflict, |b| b.events.push(event("kept-event", "another-thread", None))),
    ("two new events have one id", ErrorKind::Conflict, |b| {
        b.events.extend([event("twice", "t", None), event("twice", "another-thread", None)]);
    }),
    ("slots expect another version", ErrorKind::Conflict, |b| {
        b.slots.push(slot_write("t", &[("s", Some("spoilt"))]));
        b.slots.last_mut().unwrap().expect = Precondition::Version(Version(9));
    }),
    ("there would be too many slots", ErrorKind::InvalidInput, |b| {
        let mut write = slot_write("t", &[]);
        write.changes = (0..=limits::SLOTS).map(|n| (format!("s{n}"), Some("x".to_owned()))).collect();
        write.mode = SlotMode::Replace;
        b.slots.push(write);
    }),
    ("the key was used for another request", ErrorKind::Conflict, |b| {
        b.idempotency = Some(Idempotency::new("kept-key", digest(b"another request")).unwrap());
    }),
];

/// A batch that would change every part of a namespace.
fn fresh(room: &Room, rng: &mut Rng) -> Batch {
    let mut batch = room.batch();
    batch.writes.push(write_with_tasks(record("new", "spoilt"), &[Task::Embed, Task::Index("local".to_owned())]));
    batch.writes.push(write_with_tasks(record("replaced", "spoilt"), &[Task::Embed]));
    batch.deletes.push(delete("deleted"));
    batch.embeddings.push(late("embedded", 1, &embedding(rng, &model())));
    batch.events.push(event("new-event", "t", Some("anna")));
    batch.slots.push(slot_write("t", &[("s", Some("spoilt"))]));
    batch.slots.push(slot_write("new-thread", &[("s", Some("spoilt"))]));
    batch.idempotency = Some(Idempotency::new("new-key", digest(b"new")).unwrap());
    batch
}

pub(super) async fn l03_a_batch_with_one_refused_part_changes_nothing(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    let mut rng = Rng::new(103);
    let mut batch = room.writes(["kept", "replaced", "deleted", "embedded"].map(|id| record(id, "as it was")));
    batch.writes[1].tasks.push(Task::Embed);
    batch.events.push(event("kept-event", "t", Some("anna")));
    batch.slots.push(slot_write("t", &[("s", Some("as it was"))]));
    batch.idempotency = Some(Idempotency::new("kept-key", digest(b"kept")).unwrap());
    room.commit(batch).await;
    let before = room.snapshot().await;
    let task = before.outbox[0].id;
    for (what, kind, spoil) in SPOILS {
        let mut batch = fresh(&room, &mut rng);
        batch.settle.push(task);
        spoil(&mut batch);
        let error = room.ledger().commit(&room.ns, batch).await.expect_err(what);
        assert_eq!(error.kind(), kind, "{what}: {error:?}");
        before.assert_same(&room.snapshot().await, what);
    }
    let mut batch = fresh(&room, &mut rng);
    batch.settle.push(task);
    let receipt = room.commit(batch).await;
    assert!(!receipt.replayed, "a refused request keeps no key");
    assert_eq!(receipt.writes.iter().map(|w| w.version.0).collect::<Vec<_>>(), [1, 2], "the same batch unspoilt");
    assert_eq!((receipt.deletes, receipt.embeddings), (vec![Some(Version(1))], vec![true]));
    assert!(room.snapshot().await.outbox.iter().all(|item| item.id != task), "the task was settled");
}

pub(super) async fn l03_a_reader_never_sees_part_of_a_batch(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    let (looks, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let ids: Vec<_> = (0..20).map(|n| record_id(&format!("r{n}"))).collect();
    let reader = tokio::spawn({
        let ((ledger, ns), looks, done, ids) = (room.shared(), Arc::clone(&looks), Arc::clone(&done), ids.clone());
        async move {
            while !done.load(Ordering::SeqCst) {
                let found = ledger.fetch(&ns, &ids, Read::default()).await.unwrap();
                let texts: Vec<_> = found.iter().map(|s| s.as_ref().map(|s| s.record.text.as_str())).collect();
                assert!(texts.iter().all(|text| text == &texts[0]), "part of a batch is fetched: {texts:?}");
                let scan = snapshot::records(&*ledger, &ns, &Filter::all(), Read::default(), Walk::LARGEST).await;
                let texts: Vec<_> = scan.iter().map(|s| s.record.text.as_str()).collect();
                let whole = texts.iter().all(|text| text == &texts[0]) && [0, ids.len()].contains(&texts.len());
                assert!(whole, "part of a batch is scanned: {texts:?}");
                looks.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
            }
        }
    });
    let mut round = 0;
    while !reader.is_finished() && (round < 20 || looks.load(Ordering::SeqCst) < 20) {
        let mut batch = Batch::new(instant(round));
        let text = format!("round {round}");
        batch.writes = ids.iter().map(|id| write(record(id.as_str(), &text))).collect();
        room.commit(batch).await;
        tokio::task::yield_now().await;
        round += 1;
    }
    done.store(true, Ordering::SeqCst);
    reader.await.unwrap();
}

pub(super) async fn l12_an_id_that_occurs_twice_in_a_batch_is_refused(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    room.write(record("there", "as it was")).await;
    let before = room.snapshot().await;
    for id in ["there", "new"] {
        let twice_written = room.writes([record(id, "one"), record("between", "x"), record(id, "two")]);
        room.refused(twice_written, ErrorKind::InvalidInput).await;
        // Equal content makes it no better: which revision would be the second?
        room.refused(room.writes([record(id, "one"), record(id, "one")]), ErrorKind::InvalidInput).await;
        let mut both = room.writes([record(id, "one")]);
        both.deletes.push(delete(id));
        room.refused(both, ErrorKind::InvalidInput).await;
        let mut twice_deleted = room.batch();
        twice_deleted.deletes = vec![delete(id), delete(id)];
        room.refused(twice_deleted, ErrorKind::InvalidInput).await;
    }
    before.assert_same(&room.snapshot().await, "after refused batches");
}
