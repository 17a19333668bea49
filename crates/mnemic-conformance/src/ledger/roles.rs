//! Cases on the roles of a namespace: `[L29]` to `[L31]`. Not here: who decides to move a memory (the facade).

use mnemic_core::{
    Address, Assignment, ChangeSeq, EraseTarget, Erasure, ErrorKind, Mirror, OutboxItem, PageRequest, Role, Task,
};
use mnemic_migration::{follow, past};

use super::{
    Durability, LedgerHarness,
    room::{Room, write_with_tasks},
    snapshot::Snapshot,
};
use crate::fixtures::{
    Rng, embedding, erasure_event, event, instant, model, namespace, other_model, record, record_id,
};

fn elsewhere() -> Address {
    Address::new("dir:/elsewhere", namespace()).unwrap()
}

/// Everything that does not take writes.
fn idle_roles() -> [Role; 3] {
    [Role::Copy { of: elsewhere() }, Role::Moving { to: elsewhere() }, Role::Moved { to: elsewhere() }]
}

async fn lived(h: &dyn LedgerHarness) -> Room {
    let room = Room::new(h).await;
    room.write_embedded(record("a", "one"), &embedding(&mut Rng::new(1), &model())).await;
    room.write(record("b", "two")).await;
    room.write(record("a", "three")).await;
    room.append([event("e1", "t", Some("anna"))]).await;
    room.set_slots("t", &[("persona", Some("brief"))]).await;
    room.delete("b").await;
    room
}

pub(super) async fn l29_a_role_is_kept_and_changed_only_by_who_saw_the_last_change(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    let (ledger, ns) = (room.ledger(), &room.ns);
    assert_eq!(ledger.assignment(ns).await.unwrap(), Assignment::default(), "of a namespace that was never written");
    let mirror = Mirror { address: elsewhere(), until: instant(9) };
    let roles = idle_roles().into_iter().chain([Role::Serving { mirror: Some(mirror) }, Role::default()]);
    for (seen, role) in (0u64..).zip(roles) {
        let assigned = ledger.assign(ns, seen, role.clone()).await.unwrap();
        assert_eq!(assigned, Assignment { epoch: seen + 1, role });
        assert_eq!(ledger.assignment(ns).await.unwrap(), assigned);
        let late = ledger.assign(ns, seen, Role::default()).await.expect_err("an epoch that has passed");
        assert_eq!(late.kind(), ErrorKind::Conflict, "{late:?}");
        assert_eq!(ledger.assignment(ns).await.unwrap(), assigned, "after a refused change");
    }
    assert_eq!(ledger.assignment(&namespace()).await.unwrap(), Assignment::default(), "of another namespace");
    assert!(ledger.head(ns).await.unwrap() == ChangeSeq(0), "a role is no change of the memory");
}

pub(super) async fn l29_of_racers_one_changes_the_role(h: &dyn LedgerHarness) {
    let room = lived(h).await;
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (ledger, ns) = room.shared();
        racers.spawn(async move { ledger.assign(&ns, 0, Role::Copy { of: elsewhere() }).await });
    }
    let outcomes = racers.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
    for refused in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused:?}");
    }
    assert_eq!(room.ledger().assignment(&room.ns).await.unwrap().epoch, 1);
}

pub(super) async fn l29_a_role_survives_reopening(h: &dyn LedgerHarness) {
    let room = lived(h).await;
    let role = Role::Moved { to: elsewhere() };
    let assigned = room.ledger().assign(&room.ns, 0, role).await.unwrap();
    let room = room.reopened(h).await;
    let expected = if h.durability() == Durability::Durable { assigned } else { Assignment::default() };
    assert_eq!(room.ledger().assignment(&room.ns).await.unwrap(), expected);
}

pub(super) async fn l30_what_does_not_serve_refuses_changes_and_answers_reads(h: &dyn LedgerHarness) {
    let room = lived(h).await;
    let (ledger, ns) = (room.ledger(), &room.ns);
    let before = room.snapshot().await;
    for (seen, role) in (0u64..).zip(idle_roles()) {
        ledger.assign(ns, seen, role.clone()).await.unwrap();
        let mut events = room.batch();
        events.events.push(event("e9", "t", None));
        for batch in [room.writes([record("n", "new")]), room.writes([record("a", "again")]), events] {
            let refused = room.refused(batch, ErrorKind::Conflict).await;
            assert!(refused.message().contains("/elsewhere"), "where it is: {refused}");
        }
        let target = EraseTarget::Records(vec![record_id("a")]);
        let erasure = Erasure { at: room.tick(), target, event: erasure_event("refused") };
        let refused = ledger.erase(ns, erasure).await.expect_err(role.as_str());
        assert_eq!(refused.kind(), ErrorKind::Conflict, "{role:?}: {refused:?}");
        before.assert_same(&room.snapshot().await, role.as_str());
    }
    ledger.assign(ns, 3, Role::default()).await.unwrap();
    room.write(record("n", "new")).await;
}

pub(super) async fn l30_what_does_not_serve_goes_on_repeating_and_settling(h: &dyn LedgerHarness) {
    let room = lived(h).await;
    let mut batch = room.batch();
    batch.writes.push(write_with_tasks(record("late", "not embedded yet"), &[Task::Embed]));
    room.commit(batch).await;
    let source = (room.ledger(), &room.ns);
    for role in idle_roles() {
        let copy = namespace();
        room.ledger().assign(&copy, 0, role.clone()).await.unwrap();
        follow(source, (room.ledger(), &copy), 3, |_| {}).await.unwrap();
        room.snapshot().await.assert_same(&Snapshot::take(room.ledger(), &copy).await, role.as_str());
        let waiting: Vec<OutboxItem> = room.ledger().outbox(&copy, 10).await.unwrap();
        let ids: Vec<_> = waiting.iter().map(|item| item.id).collect();
        assert_eq!(ids.len(), 1);
        room.ledger().settle(&copy, &ids).await.unwrap();
        assert!(room.ledger().outbox(&copy, 10).await.unwrap().is_empty(), "{role:?}");
    }
}

pub(super) async fn l31_a_cleared_copy_is_as_if_it_had_never_been_written(h: &dyn LedgerHarness) {
    let room = lived(h).await;
    let ledger = room.ledger();
    let (copy, neighbor) = (namespace(), namespace());
    ledger.assign(&copy, 0, Role::Copy { of: elsewhere() }).await.unwrap();
    let commits = past(ledger, &room.ns, ChangeSeq(0), 1000).await.unwrap();
    ledger.repeat(&copy, &commits).await.unwrap();
    ledger.repeat(&neighbor, &commits).await.unwrap();
    let late = ledger.clear(&copy, 0).await.expect_err("an epoch that has passed");
    assert_eq!(late.kind(), ErrorKind::Conflict, "{late:?}");
    assert_eq!(ledger.head(&copy).await.unwrap(), ledger.head(&room.ns).await.unwrap(), "after a refusal");

    let cleared = ledger.clear(&copy, 1).await.unwrap();
    assert_eq!(cleared, Assignment { epoch: 2, role: Role::default() });
    Snapshot::take(ledger, &copy).await.assert_empty("after clearing");
    assert!(ledger.report(&copy).await.unwrap().models.is_empty(), "its models");
    let listed = ledger.namespaces(&PageRequest::largest()).await.unwrap().items;
    assert!(!listed.contains(&copy), "a cleared namespace holds nothing");
    room.snapshot().await.assert_same(&Snapshot::take(ledger, &neighbor).await, "a neighbor");

    // It can be anything again: the same copy, or a memory of its own.
    ledger.repeat(&copy, &commits).await.unwrap();
    room.snapshot().await.assert_same(&Snapshot::take(ledger, &copy).await, "copied anew");
    ledger.assign(&copy, 2, Role::Copy { of: elsewhere() }).await.unwrap();
    ledger.clear(&copy, 3).await.unwrap();
    let mut own = room.writes([record("a", "of its own")]);
    own.writes[0].embedding = Some(embedding(&mut Rng::new(2), &other_model()));
    ledger.commit(&copy, own).await.unwrap();
    assert_eq!(ledger.head(&copy).await.unwrap(), ChangeSeq(1), "the feed starts anew");
}

pub(super) async fn l31_what_was_left_behind_is_cleared_and_stays_a_pointer(h: &dyn LedgerHarness) {
    let room = lived(h).await;
    let (ledger, ns) = (room.ledger(), &room.ns);
    let to = elsewhere();
    ledger.assign(ns, 0, Role::Moved { to: to.clone() }).await.unwrap();
    let cleared = ledger.clear(ns, 1).await.unwrap();
    assert_eq!(cleared, Assignment { epoch: 2, role: Role::Moved { to } });
    room.snapshot().await.assert_empty("after clearing");
    assert_eq!(ledger.assignment(ns).await.unwrap(), cleared);
}

pub(super) async fn l31_a_memory_itself_is_never_cleared(h: &dyn LedgerHarness) {
    let room = lived(h).await;
    let (ledger, ns) = (room.ledger(), &room.ns);
    let before = room.snapshot().await;
    for (seen, role) in [(0, Role::Moving { to: elsewhere() }), (1, Role::default())] {
        let refused = ledger.clear(ns, seen).await.expect_err("it serves, or is about to again");
        assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused:?}");
        ledger.assign(ns, seen, role).await.unwrap();
        let refused = ledger.clear(ns, seen + 1).await.expect_err("it serves, or is about to again");
        assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused:?}");
        before.assert_same(&room.snapshot().await, "after a refused clearing");
    }
}
