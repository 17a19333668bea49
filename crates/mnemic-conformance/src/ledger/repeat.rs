//! Cases on repeated requests: `[L20]`. Not here: how a caller makes keys and fingerprints.

use mnemic_core::{Batch, ErrorKind, Idempotency, Precondition, Receipt, Task, Version, policy::audit::digest};

use super::{
    LedgerHarness,
    room::{Room, delete, late, slot_write, write_with_tasks},
};
use crate::fixtures::{Rng, embedding, event, model, record};

fn key(key: &str, request: &str) -> Idempotency {
    Idempotency::new(key, digest(request.as_bytes())).unwrap()
}

/// A request with every part.
fn request(room: &Room) -> Batch {
    let mut batch = room.batch();
    batch.idempotency = Some(key("key 1", "request 1"));
    batch.writes.push(write_with_tasks(record("a", "x"), &[Task::Embed]));
    batch.writes[0].expect = Precondition::Version(Version::NONE);
    batch.deletes = vec![delete("old"), delete("absent")];
    batch.embeddings = vec![late("embedded", 1, &embedding(&mut Rng::new(120), &model()))];
    batch.events.push(event("e1", "t", None));
    batch.slots.push(slot_write("t", &[("s", Some("x"))]));
    batch
}

pub(super) async fn l20_the_same_request_again_answers_the_first_receipt_and_changes_nothing(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    room.commit(room.writes([record("old", "x"), record("embedded", "x")])).await;
    let first = room.commit(request(&room)).await;
    assert!(!first.replayed);
    let replayed = Receipt { replayed: true, ..first.clone() };
    let before = room.snapshot().await;
    assert_eq!(room.commit(request(&room)).await, replayed);
    before.assert_same(&room.snapshot().await, "after the same request again");
    // Also when the same changes would be refused by now, and when the repetition is another batch with the same fingerprint.
    room.write(record("a", "newer")).await;
    room.delete("embedded").await;
    let before = room.snapshot().await;
    assert_eq!(room.commit(request(&room)).await, replayed);
    let mut reduced = room.batch();
    reduced.idempotency = Some(key("key 1", "request 1"));
    assert_eq!(room.commit(reduced).await, replayed);
    before.assert_same(&room.snapshot().await, "after the same request again, later");
    let mut another = room.batch();
    another.idempotency = Some(key("key 2", "request 1"));
    assert!(!room.commit(another).await.replayed, "another key is another request");
}

pub(super) async fn l20_another_request_with_the_same_key_is_a_conflict(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    room.commit(room.writes([record("old", "x"), record("embedded", "x")])).await;
    room.commit(request(&room)).await;
    let before = room.snapshot().await;
    let mut other = room.writes([record("b", "y")]);
    other.idempotency = Some(key("key 1", "request 2"));
    room.refused(other, ErrorKind::Conflict).await;
    before.assert_same(&room.snapshot().await, "after another request with the same key");
}

pub(super) async fn l20_a_refused_request_keeps_no_key(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    let mut refused = room.writes([record("a", "x")]);
    refused.writes[0].expect = Precondition::Version(Version(5));
    refused.idempotency = Some(key("key", "a wrong request"));
    room.refused(refused, ErrorKind::Conflict).await;
    let mut mended = room.writes([record("a", "x")]);
    mended.idempotency = Some(key("key", "the request mended"));
    let receipt = room.commit(mended).await;
    assert!(!receipt.replayed);
    assert_eq!(receipt.writes[0].version, Version(1));
}

pub(super) async fn l20_of_sixteen_racers_one_commits_and_all_get_its_receipt(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    room.commit(room.writes([record("old", "x"), record("embedded", "x")])).await;
    for round in 0..4 {
        let racers: Vec<_> = (0..16)
            .map(|_| {
                let (ledger, ns) = room.shared();
                let mut batch = room.writes([record("shared", &format!("round {round}"))]);
                batch.events.push(event(&format!("round-{round}"), "t", None));
                batch.idempotency = Some(key(&format!("round {round}"), "request"));
                tokio::spawn(async move { ledger.commit(&ns, batch).await.unwrap() })
            })
            .collect();
        let mut receipts = Vec::new();
        for racer in racers {
            receipts.push(racer.await.unwrap());
        }
        assert_eq!(receipts.iter().filter(|receipt| !receipt.replayed).count(), 1, "one commits: {receipts:?}");
        let first = Receipt { replayed: true, ..receipts[0].clone() };
        for receipt in receipts {
            assert_eq!(Receipt { replayed: true, ..receipt }, first);
        }
        assert_eq!(room.got("shared").await.record.version, Version(round + 1));
    }
}
