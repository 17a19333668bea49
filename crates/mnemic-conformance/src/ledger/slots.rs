//! Cases on slots: `[L16]` and `[L17]`. Not here: their erasure.

use mnemic_core::{Batch, ErrorKind, Precondition, SlotMode, Slots, Version, VersionedSlots, ports::SlotsRevision};

use super::{
    LedgerHarness,
    room::{Room, slot_write},
};
use crate::{
    fixtures::{instant, thread},
    walk::{Walk, everything},
};

fn slots(pairs: &[(&str, &str)]) -> Slots {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

async fn now(room: &Room, thread_id: &str) -> VersionedSlots {
    room.ledger().slots(&room.ns, &thread(thread_id), None).await.unwrap()
}

pub(super) async fn l16_each_write_of_slots_adds_one_to_the_version(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    let long = "ё".repeat(1000);
    let mut batch = room.batch();
    batch.slots.push(slot_write("t", &[("persona", Some("cellist")), ("заметки", Some(&long)), ("empty", Some(""))]));
    let first_at = batch.at;
    assert_eq!(room.commit(batch).await.slots, [Version(1)]);
    let expected = slots(&[("persona", "cellist"), ("заметки", &long), ("empty", "")]);
    let first = VersionedSlots { slots: expected, version: Version(1), updated_at: Some(first_at) };
    assert_eq!(now(&room, "t").await, first);
    // A merge keeps what it does not name and removes what it names without a value.
    assert_eq!(
        room.set_slots("t", &[("persona", Some("violist")), ("empty", None), ("absent", None)]).await,
        Version(2)
    );
    assert_eq!(now(&room, "t").await.slots, slots(&[("persona", "violist"), ("заметки", &long)]));
    // Writing the same again is a write.
    assert_eq!(room.set_slots("t", &[("persona", Some("violist"))]).await, Version(3));
    let mut batch = room.batch();
    let mut replace = slot_write("t", &[("only", Some("this")), ("persona", None)]);
    replace.mode = SlotMode::Replace;
    batch.slots = vec![replace, slot_write("t", &[("and", Some("that"))]), slot_write("other", &[("s", Some("x"))])];
    assert_eq!(
        room.commit(batch).await.slots,
        [Version(4), Version(5), Version(1)],
        "two writes of one thread in a batch"
    );
    assert_eq!(now(&room, "t").await.slots, slots(&[("and", "that"), ("only", "this")]));
    let mut batch = room.batch();
    batch.slots.push(slot_write("t", &[]));
    batch.slots[0].mode = SlotMode::Replace;
    assert_eq!(room.commit(batch).await.slots, [Version(6)]);
    let emptied = now(&room, "t").await;
    assert_eq!((emptied.slots, emptied.version), (Slots::new(), Version(6)));
}

pub(super) async fn l16_a_stale_precondition_is_a_conflict_and_changes_nothing(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    let expecting = |version: u64, text: &str| {
        let mut batch = room.batch();
        batch.slots.push(slot_write("t", &[("s", Some(text))]));
        batch.slots[0].expect = Precondition::Version(Version(version));
        batch
    };
    room.refused(expecting(1, "too early"), ErrorKind::Conflict).await;
    room.snapshot().await.assert_empty("after a refused first write");
    assert_eq!(room.commit(expecting(0, "one")).await.slots, [Version(1)]);
    assert_eq!(room.commit(expecting(1, "two")).await.slots, [Version(2)]);
    let before = room.snapshot().await;
    for stale in [0, 1, 3] {
        let message = room.refused(expecting(stale, "stale"), ErrorKind::Conflict).await.to_string();
        assert!(message.contains(&stale.to_string()) && message.contains('2'), "{message} names both versions");
        before.assert_same(&room.snapshot().await, "after a stale write");
    }
}

pub(super) async fn l16_an_unknown_thread_is_empty_at_version_zero(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    assert_eq!(now(&room, "unknown").await, VersionedSlots::default());
    room.set_slots("known", &[("s", Some("x"))]).await;
    assert_eq!(now(&room, "unknown").await, VersionedSlots::default());
    assert_eq!(room.ledger().slots_history(&room.ns, &thread("unknown")).await.unwrap(), []);
}

pub(super) async fn l16_of_writers_at_once_with_one_precondition_one_wins(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    room.set_slots("t", &[("s", Some("start"))]).await;
    let racers: Vec<_> = (0..12)
        .map(|n| {
            let (ledger, ns) = room.shared();
            tokio::spawn(async move {
                let mut batch = Batch::new(instant(50_000));
                batch.slots.push(slot_write("t", &[("s", Some(&format!("racer {n}")))]));
                batch.slots[0].expect = Precondition::Version(Version(1));
                ledger.commit(&ns, batch).await.map_err(|error| error.kind())
            })
        })
        .collect();
    let mut winners = Vec::new();
    for (n, racer) in racers.into_iter().enumerate() {
        match racer.await.unwrap() {
            Ok(_) => winners.push(n),
            Err(kind) => assert_eq!(kind, ErrorKind::Conflict),
        }
    }
    assert_eq!(winners.len(), 1, "{winners:?} won");
    let left = now(&room, "t").await;
    assert_eq!((left.version, left.slots), (Version(2), slots(&[("s", &format!("racer {}", winners[0]))])));
}

pub(super) async fn l17_slots_history_lists_every_version_newest_first(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    let mut expected = Vec::new();
    for n in 1..=9u64 {
        let mut batch = room.batch();
        batch.slots.push(slot_write("t", &[("s", Some(&format!("text {n}"))), (&format!("s{n}"), Some(""))]));
        if n % 3 == 0 {
            batch.slots[0].mode = SlotMode::Replace;
        }
        batch.slots.push(slot_write(&format!("other-{n}"), &[("s", Some("x"))]));
        let at = batch.at;
        room.commit(batch).await;
        let slots = now(&room, "t").await.slots;
        assert!(slots.contains_key(&format!("s{n}")));
        expected.insert(0, SlotsRevision { version: Version(n), at, slots });
        assert_eq!(room.ledger().slots_history(&room.ns, &thread("t")).await.unwrap(), expected);
    }
    let threads = everything!(Walk::oldest(4), |page| room.ledger().slot_threads(&room.ns, page));
    let mut names: Vec<_> = (1..=9).map(|n| thread(&format!("other-{n}"))).collect();
    names.push(thread("t"));
    assert_eq!(threads, names, "threads that hold slots, ordered by id");
}

pub(super) async fn l17_slots_are_read_as_of_an_instant(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    let mut versions = Vec::new();
    for text in ["one", "two", "three"] {
        room.set_slots("t", &[("s", Some(text))]).await;
        versions.push(now(&room, "t").await);
    }
    let room = &room;
    let read = |micros: i64| {
        let as_of = mnemic_core::Timestamp::from_micros(micros).unwrap();
        async move { room.ledger().slots(&room.ns, &thread("t"), Some(as_of)).await.unwrap() }
    };
    let starts: Vec<i64> = versions.iter().map(|v| v.updated_at.unwrap().as_micros()).collect();
    assert_eq!(read(starts[0] - 1).await, VersionedSlots::default());
    for (n, version) in versions.iter().enumerate() {
        assert_eq!(&read(starts[n]).await, version);
        let end = starts.get(n + 1).map_or(starts[n] + 1_000_000, |next| next - 1);
        assert_eq!(&read(end).await, version);
    }
}
