//! Cases on the change feed and the outbox: `[L18]` and `[L19]`. Not here: what indexes make of them.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use mnemic_core::{Batch, Change, ChangeSeq, Changed, OutboxId, OutboxItem, Receipt, Task, Timestamp, Version, limits};

use super::{
    LedgerHarness,
    room::{Room, delete, late, slot_write, write, write_with_tasks},
    snapshot::changes,
};
use crate::fixtures::{Rng, embedding, event, instant, model, record, record_id, sequence, thread};

const START: ChangeSeq = ChangeSeq(0);

/// Fails unless the commit added exactly these changes, in some order, where its receipt says.
#[track_caller]
fn assert_added(feed: &mut Vec<Change>, read: &[Change], receipt: &Receipt, at: Timestamp, expected: &[Changed]) {
    let added = &read[feed.len()..];
    assert_eq!(&read[..feed.len()], feed.as_slice(), "what was in the feed stays as it was");
    match receipt.changes {
        None => assert_eq!(added, [], "the receipt tells of no change"),
        Some((first, last)) => {
            let told: Vec<u64> = (first.0..=last.0).collect();
            assert_eq!(added.iter().map(|change| change.seq.0).collect::<Vec<_>>(), told, "{receipt:?}");
        }
    }
    let mut what: Vec<String> = added.iter().map(|change| format!("{:?}", change.what)).collect();
    let mut wanted: Vec<String> = expected.iter().map(|what| format!("{what:?}")).collect();
    what.sort();
    wanted.sort();
    assert_eq!(what, wanted);
    assert!(added.iter().all(|change| change.at == at), "{added:?} at {at}");
    feed.extend_from_slice(added);
}

/// One commit of each sort and the changes that it makes.
fn history(room: &Room) -> Vec<(Batch, Vec<Changed>)> {
    let written = |id: &str, version| Changed::Written(record_id(id), Version(version));
    let mut all = room.writes([record("a", "x"), record("b", "y")]);
    all.events.push(event("e1", "t", None));
    all.slots = vec![slot_write("t", &[("s", Some("x"))]), slot_write("t", &[("s", Some("y"))])];
    let slots = |version| Changed::Slots(Some(thread("t")), Version(version));
    let mut embed = room.batch();
    embed.embeddings = vec![
        late("a", 1, &embedding(&mut Rng::new(118), &model())),
        late("b", 9, &embedding(&mut Rng::new(118), &model())),
    ];
    let replace = room.writes([record("a", "z")]);
    let mut remove = room.writes([record("c", "x")]);
    remove.deletes = vec![delete("b"), delete("absent")];
    let mut duplicate = room.batch();
    duplicate.events.push(event("e1", "t", None));
    let mut absent = room.batch();
    absent.deletes.push(delete("b"));
    let mut settle = room.batch();
    settle.settle.push(OutboxId(1));
    let mut mixed = room.batch();
    mixed.events = vec![event("e1", "t", None), event("e2", "t", None)];
    vec![
        (all, vec![written("a", 1), written("b", 1), Changed::Appended(sequence(1)), slots(1), slots(2)]),
        (embed, vec![Changed::Embedded(record_id("a"), Version(1))]),
        (replace, vec![written("a", 2)]),
        (remove, vec![written("c", 1), Changed::Deleted(record_id("b"), Version(1))]),
        (duplicate, vec![]),
        (absent, vec![]),
        (settle, vec![]),
        (room.batch(), vec![]),
        (mixed, vec![Changed::Appended(sequence(2))]),
        (room.writes([record("b", "again")]), vec![written("b", 2)]),
    ]
}

pub(super) async fn l18_every_commit_adds_its_changes_once_and_in_order(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    assert_eq!(room.ledger().head(&room.ns).await.unwrap(), START);
    let mut feed = Vec::new();
    for (batch, expected) in history(&room) {
        let at = batch.at;
        let receipt = room.commit(batch).await;
        let read = changes(room.ledger(), &room.ns, START, limits::BATCH).await;
        assert_added(&mut feed, &read, &receipt, at, &expected);
        let last = feed.last().map_or(START, |change| change.seq);
        assert_eq!(room.ledger().head(&room.ns).await.unwrap(), last);
    }
    assert!(feed[0].seq > START);
}

pub(super) async fn l18_the_feed_is_read_in_pages_of_any_size(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    for (batch, _) in history(&room) {
        room.commit(batch).await;
    }
    let all = changes(room.ledger(), &room.ns, START, limits::BATCH).await;
    assert!(all.len() > 8);
    for limit in [1, 2, 3, all.len() - 1, all.len(), all.len() + 1] {
        assert_eq!(changes(room.ledger(), &room.ns, START, limit).await, all, "pages of {limit}");
    }
    for (n, change) in all.iter().enumerate() {
        let rest = room.ledger().changes(&room.ns, change.seq, limits::BATCH).await.unwrap();
        assert_eq!(rest, all[n + 1..], "after {:?}", change.seq);
    }
    let beyond = ChangeSeq(all.last().unwrap().seq.0 + 100);
    assert_eq!(room.ledger().changes(&room.ns, beyond, 10).await.unwrap(), []);
}

pub(super) async fn l18_a_reader_that_follows_the_feed_while_others_write_misses_nothing(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    let done = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn({
        let ((ledger, ns), done) = (room.shared(), Arc::clone(&done));
        async move {
            let mut followed: Vec<Change> = Vec::new();
            loop {
                let last_round = done.load(Ordering::SeqCst);
                let reached = followed.last().map_or(START, |change| change.seq);
                followed.extend(changes(&*ledger, &ns, reached, 5).await);
                if last_round {
                    return followed;
                }
                tokio::task::yield_now().await;
            }
        }
    });
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let (ledger, ns) = room.shared();
            tokio::spawn(async move {
                for n in 0..12 {
                    let mut batch = Batch::new(instant(10));
                    batch.writes = (0..=n % 3).map(|r| write(record(&format!("{writer}-{r}"), "x"))).collect();
                    ledger.commit(&ns, batch).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    let followed = reader.await.unwrap();
    let whole = changes(room.ledger(), &room.ns, START, limits::BATCH).await;
    assert_eq!(whole.len(), 8 * (1 + 2 + 3) * 4);
    assert_eq!(followed, whole);
}

fn tasks() -> [Task; 3] {
    [Task::Embed, Task::Index("local".to_owned()), Task::Index("указатель".to_owned())]
}

async fn outbox(room: &Room) -> Vec<OutboxItem> {
    let all = room.ledger().outbox(&room.ns, limits::BATCH).await.unwrap();
    assert!(all.is_sorted_by(|a, b| a.id < b.id), "oldest first, each once: {all:?}");
    for limit in 1..=all.len() {
        let some = room.ledger().outbox(&room.ns, limit).await.unwrap();
        assert_eq!(some, all[..limit], "the first {limit}");
    }
    all
}

/// What waits, without the ids that the ledger gave.
fn waiting(items: &[OutboxItem]) -> Vec<(String, u64, Task, Timestamp)> {
    items.iter().map(|item| (item.record_id.to_string(), item.version.0, item.task.clone(), item.since)).collect()
}

pub(super) async fn l19_tasks_wait_oldest_first_until_they_are_settled(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    let [embed, local, other] = tasks();
    let mut batch = room.batch();
    batch.writes = vec![
        write_with_tasks(record("b", "x"), &tasks()),
        write(record("idle", "x")),
        write_with_tasks(record("a", "x"), &tasks()[..1]),
    ];
    let first = batch.at;
    room.commit(batch).await;
    let mut batch = room.batch();
    batch.writes = vec![write_with_tasks(record("c", "x"), &tasks()[1..2])];
    let second = batch.at;
    room.commit(batch).await;
    let all = outbox(&room).await;
    let item = |id: &str, task: &Task, since| (id.to_owned(), 1, task.clone(), since);
    let mut of_b: Vec<_> = waiting(&all[..3]);
    of_b.sort_by(|x, y| x.2.cmp(&y.2));
    assert_eq!(of_b, [item("b", &embed, first), item("b", &local, first), item("b", &other, first)]);
    assert_eq!(waiting(&all[3..]), [item("a", &embed, first), item("c", &local, second)]);
    assert_eq!(outbox(&room).await, all, "reading takes nothing away");

    room.ledger().settle(&room.ns, &[all[1].id, all[3].id]).await.unwrap();
    let left = [&all[..1], &all[2..3], &all[4..]].concat();
    assert_eq!(outbox(&room).await, left);
    room.ledger().settle(&room.ns, &[all[1].id, all[3].id, OutboxId(u64::MAX >> 1)]).await.unwrap();
    room.ledger().settle(&room.ns, &[]).await.unwrap();
    assert_eq!(outbox(&room).await, left, "after settling twice");
    let mut batch = room.batch();
    batch.settle = vec![all[0].id, all[1].id];
    room.commit(batch).await;
    assert_eq!(outbox(&room).await, left[1..], "settled by a commit");
}

pub(super) async fn l19_the_tasks_of_a_revision_that_is_gone_are_gone(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    let mut batch = room.batch();
    batch.writes =
        ["replaced", "emptied", "deleted", "stays"].map(|id| write_with_tasks(record(id, "x"), &tasks())).to_vec();
    room.commit(batch).await;
    let before = outbox(&room).await;
    let mut batch = room.batch();
    batch.writes = vec![write_with_tasks(record("replaced", "y"), &tasks()[..1]), write(record("emptied", "y"))];
    batch.deletes.push(delete("deleted"));
    batch.embeddings.push(late("stays", 1, &embedding(&mut Rng::new(119), &model())));
    let at = batch.at;
    room.commit(batch).await;
    let after = outbox(&room).await;
    let stay: Vec<OutboxItem> = before.iter().filter(|item| item.record_id.as_str() == "stays").cloned().collect();
    assert_eq!(after[..3], stay, "an embedding settles nothing by itself");
    assert_eq!(waiting(&after[3..]), [("replaced".to_owned(), 2, Task::Embed, at)]);
    let ids: BTreeSet<OutboxId> = before.iter().map(|item| item.id).collect();
    assert!(!ids.contains(&after[3].id), "an id is never used twice");
    let gone: Vec<OutboxId> = ids.into_iter().collect();
    room.ledger().settle(&room.ns, &gone).await.unwrap();
    assert_eq!(outbox(&room).await, after[3..], "settling what is gone is no error");
}
