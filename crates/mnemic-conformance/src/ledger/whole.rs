//! Cases on the ledger as a whole: `[L25]` and `[L26]`. Not here: crashes in the middle of a call (each durable adapter's own tests).

use std::{collections::BTreeSet, sync::Arc};

use mnemic_core::{
    Batch, EraseTarget, ErrorKind, Idempotency, Precondition, RevisionKind, Task, Version, policy::audit::digest,
    ports::Read,
};

use super::{
    Durability, LedgerHarness,
    room::{Room, assert_same_bits, delete, late, slot_write, write, write_with_tasks},
};
use crate::fixtures::{
    Rng, embedding, event, instant, model, odd_embedding, other_model, random_event, random_record, record, record_id,
    thread, user, wide_model,
};

const TASKS: usize = 64;

/// A history with something of every sort.
async fn rich(room: &Room) -> Batch {
    let mut rng = Rng::new(125);
    for round in 0..6 {
        let mut batch = room.batch();
        for n in 0..5 {
            let mut write = write_with_tasks(random_record(&mut rng, &format!("r{}", n + round)), &[Task::Embed]);
            write.embedding = rng.chance(50).then(|| embedding(&mut rng, &wide_model()));
            batch.writes.push(write);
            batch.events.push(random_event(&mut rng, &format!("e{round}-{n}")));
        }
        batch.deletes.push(delete(&format!("r{}", 20 + round)));
        batch.deletes.push(delete(&format!("r{}", round + 5)));
        batch.embeddings.push(late(&format!("r{}", round.max(1) - 1), 1, &odd_embedding(&model())));
        batch.slots.push(slot_write("t-1", &[("facts", Some(&format!("round {round}")))]));
        batch.slots.push(slot_write(&format!("t-{round}"), &[("s", Some("x"))]));
        room.commit(batch).await;
    }
    room.write_embedded(record("odd", "x"), &odd_embedding(&other_model())).await;
    room.erase(EraseTarget::Subject(user("chen"))).await;
    let waiting = room.ledger().outbox(&room.ns, 2).await.unwrap();
    room.ledger().settle(&room.ns, &waiting.iter().map(|item| item.id).collect::<Vec<_>>()).await.unwrap();
    let mut keyed = room.writes([record("keyed", "x")]);
    keyed.idempotency = Some(Idempotency::new("key", digest(b"request")).unwrap());
    room.commit(keyed.clone()).await;
    keyed
}

pub(super) async fn l25_what_was_acknowledged_survives_reopening(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    let keyed = rich(&room).await;
    let before = room.snapshot().await;
    assert!(before.records.len() > 5 && before.outbox.len() > 2 && before.slots.len() > 2);
    let room = room.reopened(h).await;
    match h.durability() {
        Durability::Volatile => room.snapshot().await.assert_empty("on a fresh handle of a volatile ledger"),
        Durability::Durable => {
            before.assert_same(&room.snapshot().await, "after reopening");
            assert_same_bits(room.got("odd").await.embedding.as_ref(), &odd_embedding(&other_model()));
            assert!(room.commit(keyed.clone()).await.replayed, "keys survive too");
            before.assert_same(&room.snapshot().await, "after a repeated request");
            let item = &before.outbox[0];
            room.write(record("more", "x")).await;
            let tasks = room.commit({
                let mut batch = room.batch();
                batch.writes.push(write_with_tasks(record("waits", "x"), &[Task::Embed]));
                batch.events.push(event("after-reopening", "t-1", None));
                batch
            });
            tasks.await;
            let after = room.snapshot().await;
            assert!(after.outbox.last().unwrap().id > item.id && after.head > before.head);
            let room = room.reopened(h).await;
            after.assert_same(&room.snapshot().await, "after reopening again");
        }
    }
}

/// One task's writes: records of its own, an event, and its turn on the thread's slots.
async fn work(task: usize, ledger: Arc<dyn mnemic_core::ports::Ledger>, ns: mnemic_core::Namespace) {
    for n in 0..2 {
        let mut batch = Batch::new(instant(10));
        batch
            .writes
            .push(write_with_tasks(record(&format!("{task}-{n}"), &format!("text {task}-{n}")), &[Task::Embed]));
        batch.events.push(event(&format!("{task}-{n}"), &format!("t{}", task % 5), None));
        ledger.commit(&ns, batch).await.unwrap();
    }
    loop {
        let seen = ledger.slots(&ns, &thread("shared"), None).await.unwrap();
        let mut batch = Batch::new(instant(10));
        batch.slots.push(slot_write("shared", &[(&format!("task-{}", task % 60), Some(&seen.version.to_string()))]));
        batch.slots[0].expect = Precondition::Version(seen.version);
        match ledger.commit(&ns, batch).await {
            Ok(_) => return,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}"),
        }
        tokio::task::yield_now().await;
    }
}

pub(super) async fn l26_many_tasks_writing_at_once_lose_nothing(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (ledger, ns) = room.shared();
            tokio::spawn(work(task, ledger, ns))
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let all = room.snapshot().await;
    let expected: BTreeSet<String> = (0..TASKS).flat_map(|task| [format!("{task}-0"), format!("{task}-1")]).collect();
    let found: BTreeSet<String> = all.records.iter().map(|stored| stored.record.id.to_string()).collect();
    assert_eq!(found, expected);
    assert_eq!(all.records.len(), expected.len());
    assert!(
        all.records.iter().all(|s| s.record.text == format!("text {}", s.record.id) && s.record.version == Version(1))
    );
    let told: BTreeSet<String> = all.events.iter().map(|e| e.event.as_ref().unwrap().event_id.to_string()).collect();
    assert_eq!(told, expected);
    assert_eq!(all.outbox.len(), expected.len());
    let (slots, history) = &all.slots[&thread("shared")];
    assert_eq!((slots.version, history.len()), (Version(TASKS as u64), TASKS), "each task had its turn");
    assert_eq!(all.changes.len(), expected.len() * 2 + TASKS);
}

pub(super) async fn l26_a_record_written_by_all_holds_one_write_whole(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    let vector = |task: usize| embedding(&mut Rng::new(task as u64), &model());
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (ledger, ns) = room.shared();
            tokio::spawn(async move {
                let mut whole = random_record(&mut Rng::new(task as u64), "shared");
                whole.text = format!("written by {task}");
                whole.created_at = instant(5);
                let mut batch = Batch::new(instant(10));
                batch.writes.push(write(whole));
                batch.writes[0].embedding = Some(vector(task));
                let receipt = ledger.commit(&ns, batch).await.unwrap();
                // What another task wrote meanwhile is as whole as this.
                let found =
                    ledger.fetch(&ns, &[record_id("shared")], Read::default()).await.unwrap().remove(0).unwrap();
                assert!(found.record.version >= receipt.writes[0].version);
                receipt.writes[0].version
            })
        })
        .collect();
    let mut versions = BTreeSet::new();
    for task in tasks {
        versions.insert(task.await.unwrap());
    }
    assert_eq!(versions, (1..=TASKS as u64).map(Version).collect(), "every write got a version of its own");
    let found = room.got("shared").await;
    let history = room.ledger().history(&room.ns, &record_id("shared")).await.unwrap();
    assert_eq!(history.len(), TASKS);
    let writers: BTreeSet<usize> = history
        .iter()
        .map(|revision| {
            let RevisionKind::Written(record) = &revision.what else { panic!("nothing was deleted: {revision:?}") };
            let task: usize = record.text.trim_start_matches("written by ").parse().unwrap();
            let mut expected = random_record(&mut Rng::new(task as u64), "shared");
            (expected.text, expected.version) = (record.text.clone(), record.version);
            expected.created_at = instant(5);
            assert_eq!(**record, expected);
            task
        })
        .collect();
    assert_eq!(writers.len(), TASKS, "every write is in the history");
    let last: usize = found.record.text.trim_start_matches("written by ").parse().unwrap();
    assert_same_bits(found.embedding.as_ref(), &vector(last));
    assert_eq!(found.record.version, Version(TASKS as u64));
}
