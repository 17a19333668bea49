//! Cases on the chain of events: `[L13]`, `[L14]`, `[L15]`. Not here: their erasure.

use std::collections::BTreeMap;

use mnemic_core::{
    AppendOutcome, Appended, AuditEvent, Batch, ChainedEvent, ErrorKind, Sequence, ThreadId, ThreadSummary, Value,
    ports::EventRange,
};

use super::{
    LedgerHarness,
    room::Room,
    snapshot::{self, verify},
};
use crate::{
    fixtures::{Rng, event, event_id, instant, random_event, sequence, thread, user},
    walk::{Walk, everything},
};

async fn read(room: &Room, range: &EventRange) -> Vec<ChainedEvent> {
    snapshot::events(room.ledger(), &room.ns, range).await
}

pub(super) async fn l13_events_are_numbered_from_one_and_chained(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    let mut rng = Rng::new(113);
    let mut expected: Vec<(AuditEvent, mnemic_core::Timestamp)> = Vec::new();
    for size in [1, 7, 0, 2, 30] {
        let mut batch = room.batch();
        batch.events = (0..size).map(|n| random_event(&mut rng, &format!("e{}-{n}", expected.len()))).collect();
        let at = batch.at;
        let events = batch.events.clone();
        let receipt = room.commit(batch).await;
        for (n, appended) in receipt.events.iter().enumerate() {
            let next = Sequence((expected.len() + n) as u64 + 1);
            assert_eq!(*appended, Appended { sequence: next, outcome: AppendOutcome::New });
        }
        assert_eq!(receipt.events.len(), size);
        expected.extend(events.into_iter().map(|event| (event, at)));
        let chain = read(&room, &EventRange::default()).await;
        verify(&chain);
        assert_eq!(chain.len(), expected.len());
        for (entry, (event, at)) in chain.iter().zip(&expected) {
            assert_eq!((entry.event.as_ref(), entry.recorded_at), (Some(event), *at));
            let canonical = |event: &AuditEvent| Value::Object(event.payload.clone()).to_canonical();
            assert_eq!(entry.event.as_ref().map(canonical), Some(canonical(event)));
        }
    }
}

pub(super) async fn l13_writers_at_once_leave_no_gap_and_break_no_link(h: &dyn LedgerHarness) {
    const WRITERS: usize = 8;
    const EACH: usize = 12;
    let room = Room::new(h).await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (ledger, ns) = room.shared();
            tokio::spawn(async move {
                for n in 0..EACH {
                    let mut batch = Batch::new(instant(10));
                    batch.events.push(event(&format!("{writer}-{n}"), &format!("t{writer}"), None));
                    ledger.commit(&ns, batch).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let chain = read(&room, &EventRange::default()).await;
    verify(&chain);
    assert_eq!(chain.len(), WRITERS * EACH);
    for writer in 0..WRITERS {
        let own = |entry: &ChainedEvent| {
            let event = entry.event.as_ref().unwrap();
            (event.thread_id == thread(&format!("t{writer}"))).then(|| event.event_id.clone())
        };
        let in_order: Vec<_> = (0..EACH).map(|n| event_id(&format!("{writer}-{n}"))).collect();
        assert_eq!(chain.iter().filter_map(own).collect::<Vec<_>>(), in_order, "writer {writer}");
    }
}

pub(super) async fn l14_the_same_event_again_is_a_duplicate(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    let (one, two) = (event("e1", "t", Some("anna")), event("e2", "t", None));
    room.append([one.clone(), two.clone()]).await;
    let before = room.snapshot().await;
    let duplicate = |n| Appended { sequence: sequence(n), outcome: AppendOutcome::Duplicate };
    let receipt = room.append([two.clone(), one.clone(), one.clone()]).await;
    assert_eq!((receipt.events, receipt.changes), (vec![duplicate(2), duplicate(1), duplicate(1)], None));
    before.assert_same(&room.snapshot().await, "after the same events again");
    // New ones among old ones are numbered without a gap, also if they repeat within the batch.
    let three = event("e3", "t", None);
    let receipt = room.append([one, three.clone(), three, event("e4", "t", None)]).await;
    let new = |n| Appended { sequence: sequence(n), outcome: AppendOutcome::New };
    assert_eq!(receipt.events, [duplicate(1), new(3), duplicate(3), new(4)]);
    verify(&read(&room, &EventRange::default()).await);
}

pub(super) async fn l14_another_event_with_the_same_id_is_a_conflict(h: &dyn LedgerHarness) {
    type Change = fn(&mut AuditEvent);
    let changes: [Change; 7] = [
        |e| e.timestamp = instant(7),
        |e| e.user_id = None,
        |e| e.thread_id = thread("another"),
        |e| e.source.push('x'),
        |e| e.action.push('x'),
        |e| drop(e.payload.insert("more".to_owned(), Value::Null)),
        |e| e.tags.clear(),
    ];
    let room = Room::new(h).await;
    room.append([event("e1", "t", Some("anna"))]).await;
    let before = room.snapshot().await;
    for (n, change) in changes.iter().enumerate() {
        let mut other = event("e1", "t", Some("anna"));
        change(&mut other);
        let mut batch = room.batch();
        batch.events = vec![event(&format!("before-{n}"), "t", None), other];
        room.refused(batch, ErrorKind::Conflict).await;
        before.assert_same(&room.snapshot().await, &format!("after conflict {n}"));
    }
}

/// Thirty-six events of several threads and users, one of them a reserved thread, four to a commit.
async fn mixed(room: &Room) {
    let mut rng = Rng::new(115);
    for commit in 0..9 {
        let events = (0..4).map(|n| {
            let mut event = random_event(&mut rng, &format!("e{commit}-{n}"));
            if n == 3 {
                event.thread_id = if commit % 2 == 0 { ThreadId::journal() } else { ThreadId::consolidation("c") };
            }
            event
        });
        let events: Vec<_> = events.collect();
        room.append(events).await;
    }
}

pub(super) async fn l15_events_are_read_by_every_combination_of_conditions(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    mixed(&room).await;
    let all = read(&room, &EventRange::default()).await;
    assert_eq!(all.len(), 36);
    let threads = [None, Some(thread("t-1")), Some(thread("поток")), Some(ThreadId::journal()), Some(thread("absent"))];
    let users = [None, Some(user("anna")), Some(user("борис")), Some(user("absent"))];
    let ids = [None, Some(event_id("e4-1")), Some(event_id("absent"))];
    let afters = [0, 1, 17, 36, 99].map(Sequence);
    let instants =
        [None, Some(all[0].recorded_at), Some(all[18].recorded_at), Some(instant(0)), Some(instant(999_999))];
    for n in 0..threads.len() * users.len() * ids.len() * afters.len() * instants.len() {
        let mut rest = n;
        let mut choose = |of: usize| {
            let chosen = rest % of;
            rest /= of;
            chosen
        };
        let range = EventRange {
            thread_id: threads[choose(threads.len())].clone(),
            user_id: users[choose(users.len())].clone(),
            event_id: ids[choose(ids.len())].clone(),
            after: afters[choose(afters.len())],
            as_of: instants[choose(instants.len())],
        };
        let passes = |entry: &&ChainedEvent| {
            let event = entry.event.as_ref().unwrap();
            range.thread_id.as_ref().is_none_or(|thread| event.thread_id == *thread)
                && range.user_id.as_ref().is_none_or(|user| event.user_id.as_ref() == Some(user))
                && range.event_id.as_ref().is_none_or(|id| event.event_id == *id)
                && entry.sequence > range.after
                && range.as_of.is_none_or(|as_of| entry.recorded_at <= as_of)
        };
        let expected: Vec<ChainedEvent> = all.iter().filter(passes).cloned().collect();
        assert_eq!(read(&room, &range).await, expected, "{range:?}");
        if n % 10 == 0 {
            let paged = everything!(Walk::oldest(3), |page| room.ledger().events(&room.ns, &range, page));
            assert_eq!(paged, expected, "pages of 3, {range:?}");
            let back = everything!(Walk::newest(3), |page| room.ledger().events(&room.ns, &range, page));
            assert!(back.iter().rev().eq(&expected), "newest first, {range:?}");
        }
    }
}

pub(super) async fn l15_threads_are_listed_by_their_first_event_without_reserved_ones(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    mixed(&room).await;
    // A thread with slots only holds no events.
    room.set_slots("slots-only", &[("s", Some("x"))]).await;
    let mut expected: BTreeMap<ThreadId, ThreadSummary> = BTreeMap::new();
    for entry in read(&room, &EventRange::default()).await {
        let thread_id = entry.event.unwrap().thread_id;
        let (sequence, last_at) = (entry.sequence, entry.recorded_at);
        let new = ThreadSummary { thread_id: thread_id.clone(), events: 0, first: sequence, last: sequence, last_at };
        let summary = expected.entry(thread_id).or_insert(new);
        (summary.last, summary.last_at) = (sequence, last_at);
        summary.events += 1;
    }
    let mut expected: Vec<ThreadSummary> = expected.into_values().filter(|s| !s.thread_id.is_reserved()).collect();
    expected.sort_by_key(|summary| summary.first);
    assert!(expected.len() >= 4);
    for limit in [1, 2, expected.len(), 1000] {
        let found = everything!(Walk::oldest(limit), |page| room.ledger().threads(&room.ns, page));
        assert_eq!(found, expected, "pages of {limit}");
    }
}
