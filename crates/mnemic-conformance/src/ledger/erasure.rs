//! Cases on erasure: `[L21]`, `[L22]`, `[L23]`. Not here: deletion that can be undone (`records`).

use std::collections::BTreeSet;

use mnemic_core::{
    AuditEvent, Batch, Changed, EraseTarget, Filter, MemoryRecord, RecordId, Task, ThreadId, Timestamp, Version,
    VersionedSlots, limits,
    ports::{EventRange, Read},
};

use super::{
    LedgerHarness,
    room::{Room, assert_same_bits, delete, slot_write, stored, write_with_tasks},
    snapshot::{self, Snapshot, verify},
};
use crate::{
    fixtures::{Rng, embedding, event, event_id, instant, model, record, record_id, thread, user},
    walk::Walk,
};

/// A record of `owner` in `thread_id` that came from `events`.
fn owned(id: &str, owner: &str, thread_id: &str, events: &[&str]) -> MemoryRecord {
    let mut record = record(id, &format!("a secret of {owner} in {id}"));
    record.user_id = Some(user(owner));
    record.thread_id = Some(thread(thread_id));
    record.provenance.events = events.iter().map(|id| event_id(id)).collect();
    record
}

fn said(id: &str, thread_id: &str, owner: &str) -> AuditEvent {
    let mut event = event(id, thread_id, Some(owner));
    event.payload.insert("secret".to_owned(), format!("a secret of {owner}").into());
    event
}

/// Two users with records (replaced, deleted, current), events, slots and outstanding work. Returns the instants of the commits.
async fn two_lives(room: &Room) -> Vec<Timestamp> {
    let mut rng = Rng::new(121);
    let mut instants = Vec::new();
    let mut commit = async |mut change: Box<dyn FnMut(&mut Batch) + Send>| {
        let mut batch = room.batch();
        change(&mut batch);
        instants.push(batch.at);
        room.commit(batch).await;
    };
    commit(Box::new(|batch| {
        batch.events = vec![said("a1", "t-anna", "anna"), said("b1", "t-boris", "boris"), said("a2", "t-both", "anna")];
        batch.events.extend([said("b2", "t-both", "boris"), event("nobody", "t-nobody", None)]);
        batch.events.push(event("about-anna", "t-nobody", None));
    }))
    .await;
    let vector = embedding(&mut rng, &model());
    commit(Box::new(move |batch| {
        let records = [
            owned("a-current", "anna", "t-anna", &["a1"]),
            owned("b-current", "boris", "t-boris", &["b1"]),
            owned("a-deleted", "anna", "t-anna", &[]),
            owned("b-deleted", "boris", "t-boris", &[]),
            owned("a-kept", "anna", "t-anna", &["about-anna"]),
            record("nobodys", "of nobody"),
        ];
        batch.writes = records.map(|record| write_with_tasks(record, &[Task::Embed])).to_vec();
        batch.writes.iter_mut().for_each(|write| write.embedding = Some(vector.clone()));
    }))
    .await;
    commit(Box::new(|batch| {
        batch.writes = ["a-current", "b-current"]
            .map(|id| {
                let owner = if id == "a-current" { "anna" } else { "boris" };
                let event = if id == "a-current" { "a2" } else { "b2" };
                write_with_tasks(owned(id, owner, "t-both", &[event]), &[Task::Index("local".to_owned())])
            })
            .to_vec();
        batch.deletes = vec![delete("a-deleted"), delete("b-deleted")];
        let threads = ["t-anna", "t-boris", "t-both", "t-nobody"];
        batch.slots = threads.map(|thread| slot_write(thread, &[("facts", Some(thread))])).to_vec();
    }))
    .await;
    instants
}

/// Fails if anything reads one of these records, now or at any of these instants.
async fn assert_unreadable(room: &Room, ids: &[RecordId], instants: &[Timestamp]) {
    for as_of in instants.iter().copied().map(Some).chain([None, Some(instant(999_999))]) {
        let read = Read { as_of, ..Read::default() };
        let fetched = room.ledger().fetch(&room.ns, ids, read).await.unwrap();
        assert!(fetched.iter().all(Option::is_none), "fetch as of {as_of:?}: {fetched:?}");
        for walk in [Walk::oldest(2), Walk::newest(2)] {
            let scanned = snapshot::records(room.ledger(), &room.ns, &Filter::all(), read, walk).await;
            let found: Vec<_> = scanned.iter().map(|s| &s.record.id).filter(|id| ids.contains(id)).collect();
            assert!(found.is_empty(), "scan as of {as_of:?}: {found:?}");
        }
    }
    for id in ids {
        assert_eq!(room.ledger().history(&room.ns, id).await.unwrap(), [], "history of {id}");
    }
    let outbox = room.ledger().outbox(&room.ns, limits::BATCH).await.unwrap();
    assert!(outbox.iter().all(|item| !ids.contains(&item.record_id)), "{outbox:?}");
}

fn ids(names: &[&str]) -> Vec<RecordId> {
    names.iter().map(|id| record_id(id)).collect()
}

/// The ids of the events that are still readable.
fn readable(room: &Snapshot) -> BTreeSet<String> {
    room.events.iter().filter_map(|entry| Some(entry.event.as_ref()?.event_id.to_string())).collect()
}

pub(super) async fn l21_nothing_reads_an_erased_record(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    let instants = two_lives(&room).await;
    let erased = ids(&["a-current", "a-deleted"]);
    let before = room.snapshot().await;
    let receipt = room.erase(EraseTarget::Records(ids(&["a-current", "absent", "a-deleted"]))).await;
    assert_eq!(BTreeSet::from_iter(receipt.records), BTreeSet::from_iter(erased.clone()));
    assert!(receipt.revisions >= 3, "two revisions of one and one of the other: {}", receipt.revisions);
    assert_unreadable(&room, &erased, &instants).await;
    let after = room.snapshot().await;
    let others = |snapshot: &Snapshot| {
        let mut others = snapshot.clone();
        others.records.retain(|stored| !erased.contains(&stored.record.id));
        others.histories.retain(|id, _| !erased.contains(id));
        others.outbox.retain(|item| !erased.contains(&item.record_id));
        (others.records, others.histories, others.outbox, others.slots)
    };
    assert_eq!(others(&before), others(&after), "what was not erased");
    assert_eq!(after.report.records, before.report.records - 1);
    assert!(after.head > before.head, "the feed tells of the erasure");
    let told = after.changes.iter().filter(|change| change.seq > before.head);
    let erasures = told.filter(|change| match &change.what {
        Changed::Erased(id) => id.as_ref().is_none_or(|id| erased.contains(id)),
        _ => false,
    });
    assert!(erasures.count() >= 1, "{:?}", after.changes);
}

pub(super) async fn l21_the_events_of_an_erased_record_hold_no_payload_and_the_chain_verifies(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    two_lives(&room).await;
    let before = room.snapshot().await;
    let receipt = room.erase(EraseTarget::Records(ids(&["a-current"]))).await;
    assert_eq!(receipt.events, 2, "the event of the first revision and that of the second");
    // Taking a snapshot verifies the chain.
    let after = room.snapshot().await;
    assert_eq!(after.events.len(), before.events.len() + 1);
    let told = after.events.last().unwrap();
    assert_eq!(told.sequence, receipt.sequence);
    assert!(told.event.as_ref().is_some_and(|event| event.action == "erased"), "{told:?}");
    for (was, is) in before.events.iter().zip(&after.events) {
        let id = was.event.as_ref().unwrap().event_id.as_str();
        if ["a1", "a2"].contains(&id) {
            assert_eq!((&is.event, &is.salt), (&None, &None), "{id} is erased with its salt");
            assert_eq!(
                (is.hash, is.commitment, is.previous),
                (was.hash, was.commitment, was.previous),
                "{id} keeps its place"
            );
        } else {
            assert_eq!(is, was);
        }
    }
    for id in ["a1", "a2"] {
        let range = EventRange { event_id: Some(event_id(id)), ..EventRange::default() };
        let found = snapshot::events(room.ledger(), &room.ns, &range).await;
        assert!(found.iter().all(|entry| entry.event.is_none()), "{found:?}");
    }
    let threads: Vec<_> = after.threads.iter().map(|t| (t.thread_id.as_str(), t.events)).collect();
    assert_eq!(threads, [("t-boris", 1), ("t-both", 1), ("t-nobody", 2)]);
    // The chain goes on.
    room.append([said("a3", "t-anna", "anna")]).await;
    verify(&snapshot::events(room.ledger(), &room.ns, &EventRange::default()).await);
}

pub(super) async fn l21_erasing_what_is_absent_only_leaves_its_event(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    two_lives(&room).await;
    for target in
        [EraseTarget::Records(ids(&["absent"])), EraseTarget::Records(vec![]), EraseTarget::Subject(user("absent"))]
    {
        let before = room.snapshot().await;
        let receipt = room.erase(target).await;
        assert_eq!(
            (receipt.records.as_slice(), receipt.revisions, receipt.events, receipt.threads),
            (&[][..], 0, 0, 0)
        );
        let after = room.snapshot().await;
        assert_eq!(receipt.sequence.0 as usize, after.events.len());
        assert_eq!(before.events, after.events[..before.events.len()]);
        assert_eq!((before.records, before.slots, before.outbox), (after.records, after.slots, after.outbox));
    }
}

pub(super) async fn l22_nothing_reads_an_erased_subject(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    let instants = two_lives(&room).await;
    let receipt = room.erase(EraseTarget::Subject(user("anna"))).await;
    let hers = ids(&["a-current", "a-deleted", "a-kept"]);
    assert_eq!(BTreeSet::from_iter(receipt.records), BTreeSet::from_iter(hers.clone()));
    assert_eq!((receipt.events, receipt.threads), (3, 2), "hers, and the one of nobody that her record came from");
    assert_unreadable(&room, &hers, &instants).await;
    let after = room.snapshot().await;
    assert!(readable(&after).is_disjoint(&["a1", "a2", "about-anna"].map(str::to_owned).into()));
    let secret = format!("{after:?}");
    assert!(
        !secret.contains("a secret of anna") && !secret.contains("\"anna\""),
        "something still names the subject: {secret}"
    );
    let range = EventRange { user_id: Some(user("anna")), ..EventRange::default() };
    assert_eq!(snapshot::events(room.ledger(), &room.ns, &range).await, []);
    for gone in ["t-anna", "t-both"] {
        for as_of in instants.iter().copied().map(Some).chain([None]) {
            let found = room.ledger().slots(&room.ns, &thread(gone), as_of).await.unwrap();
            assert_eq!(found, VersionedSlots::default(), "slots of {gone} as of {as_of:?}");
        }
        assert_eq!(room.ledger().slots_history(&room.ns, &thread(gone)).await.unwrap(), []);
    }
    assert_eq!(after.slots.keys().cloned().collect::<Vec<_>>(), [thread("t-boris"), thread("t-nobody")]);
    let of_gone = |change: &Changed| matches!(change, Changed::Slots(Some(t), _) if [thread("t-anna"), thread("t-both")].contains(t));
    assert!(!after.changes.iter().any(|change| of_gone(&change.what)), "{:?}", after.changes);
    // The subject may come back, under a new secret.
    room.append([said("a9", "t-anna", "anna")]).await;
    verify(&snapshot::events(room.ledger(), &room.ns, &EventRange::default()).await);
}

pub(super) async fn l22_other_subjects_are_unchanged(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    two_lives(&room).await;
    let hers = |id: &RecordId| id.as_str().starts_with("a-");
    let others = |snapshot: &Snapshot| {
        let mut others = snapshot.clone();
        others.records.retain(|stored| !hers(&stored.record.id));
        others.histories.retain(|id, _| !hers(id));
        others.outbox.retain(|item| !hers(&item.record_id));
        others.slots.retain(|thread, _| ["t-boris", "t-nobody"].contains(&thread.as_str()));
        let own = |event: &AuditEvent| {
            let hers = event.user_id == Some(user("anna")) || event.event_id.as_str() == "about-anna";
            !hers && event.thread_id != ThreadId::journal()
        };
        others.events.retain(|entry| entry.event.as_ref().is_some_and(own));
        (others.records, others.histories, others.outbox, others.slots, others.events)
    };
    let before = room.snapshot().await;
    room.erase(EraseTarget::Subject(user("anna"))).await;
    assert_eq!(others(&before), others(&room.snapshot().await));
    // What is unchanged can still be changed.
    assert_eq!(room.write(owned("b-current", "boris", "t-boris", &["b1"])).await, Version(3));
    assert_eq!(room.set_slots("t-boris", &[("facts", Some("more"))]).await, Version(2));
    let later = room.erase(EraseTarget::Subject(user("boris"))).await;
    assert_eq!((later.records.len(), later.events), (2, 2));
}

pub(super) async fn l23_an_erased_id_starts_anew(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    let instants = two_lives(&room).await;
    room.erase(EraseTarget::Records(ids(&["a-current", "a-deleted"]))).await;
    for id in ["a-current", "a-deleted"] {
        let mut anew = record(id, "a new life");
        anew.created_at = instant(70_000);
        let vector = embedding(&mut Rng::new(123), &model());
        assert_eq!(room.write_embedded(anew.clone(), &vector).await, Version(1), "{id}");
        let found = room.got(id).await;
        assert_eq!(found.record, stored(anew, 1, instant(70_000)));
        assert_same_bits(found.embedding.as_ref(), &vector);
        assert_eq!(room.ledger().history(&room.ns, &record_id(id)).await.unwrap().len(), 1);
        let read = Read { as_of: instants.last().copied(), ..Read::default() };
        assert_eq!(
            room.ledger().fetch(&room.ns, &[record_id(id)], read).await.unwrap(),
            [None],
            "the past stays erased"
        );
    }
}
