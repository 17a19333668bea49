//! Compares everything that a ledger reads with the model. Not here: how the model came to it (`state`).

use std::collections::BTreeMap;

use mnemic_core::{
    ChangeSeq, Changed, ErrorKind, Filter, OutboxItem, Receipt, Revision, RevisionKind, Sequence, StoredRecord,
    ThreadId, ThreadSummary, Timestamp, Version, VersionedSlots, limits,
    ports::{EventRange, Read, SlotsRevision},
};

use super::{
    super::{
        room::Room,
        snapshot::{self, Snapshot},
    },
    ops::{RECORDS, record_ids},
    state::{Answer, Line, State},
};
use crate::walk::Walk;

/// Fails unless the ledger answered a commit as the model did.
#[track_caller]
pub(super) fn answers(found: &mnemic_core::Result<Receipt>, expected: &Result<Answer, ErrorKind>) {
    match (found, expected) {
        (Err(error), Err(kind)) => assert_eq!(error.kind(), *kind, "{error:?}"),
        (Ok(receipt), Ok(answer)) => {
            let found = Answer {
                writes: receipt.writes.iter().map(|w| (w.version, w.created_at)).collect(),
                deletes: receipt.deletes.clone(),
                embeddings: receipt.embeddings.clone(),
                events: receipt
                    .events
                    .iter()
                    .map(|e| (e.sequence, e.outcome == mnemic_core::AppendOutcome::New))
                    .collect(),
                slots: receipt.slots.clone(),
                replayed: receipt.replayed,
            };
            assert_eq!(found, *answer);
        }
        (Ok(receipt), Err(kind)) => panic!("accepted: {receipt:?}, the model refuses with {kind}"),
        (Err(error), Ok(answer)) => panic!("refused: {error:?}, the model answers {answer:?}"),
    }
}

/// Fails unless everything that can be read is as in the model.
pub(super) async fn everything(room: &Room, state: &mut State, feed_from: ChangeSeq) {
    let held = room.snapshot().await;
    records(&held, state);
    histories(room, state).await;
    events(&held, state);
    assert_eq!(held.threads, threads(state), "threads");
    slots(room, state).await;
    feed(&held, state, feed_from);
    outbox(&held.outbox, state);
    state.task_ids = held.outbox.into_iter().map(|item| (item.id, item.record_id, item.version, item.task)).collect();
    past(room, state).await;
}

fn shown(state: &State, as_of: Option<Timestamp>, embeddings: bool) -> Vec<StoredRecord> {
    let Some(commit) = state.commit_at(as_of) else { return Vec::new() };
    let stored = |line: &Line| {
        let record = line.after(commit)?.clone();
        Some(StoredRecord { record, embedding: line.embedding.clone().filter(|_| embeddings) })
    };
    state.records.iter().filter_map(|(_, line)| stored(line)).collect()
}

#[track_caller]
fn records(held: &Snapshot, state: &State) {
    assert_eq!(held.records, shown(state, None, true), "records");
    let embeddings = held.records.iter().filter(|stored| stored.embedding.is_some()).count() as u64;
    let report = &held.report;
    assert_eq!((report.records, report.embeddings), (held.records.len() as u64, embeddings), "report");
    assert_eq!((report.events, report.outbox), (state.events.len() as u64, state.outbox.len() as u64), "report");
}

async fn histories(room: &Room, state: &State) {
    for id in record_ids(&(0..RECORDS).collect::<Vec<_>>()) {
        let revision = |revision: &super::state::Revision| Revision {
            at: revision.at,
            what: match &revision.record {
                Some(record) => RevisionKind::Written(Box::new(record.clone())),
                None => RevisionKind::Deleted(revision.version),
            },
        };
        let expected: Vec<Revision> =
            state.line(id.as_str()).map(|line| line.revisions.iter().rev().map(revision).collect()).unwrap_or_default();
        assert_eq!(room.ledger().history(&room.ns, &id).await.unwrap(), expected, "history of {id}");
    }
}

#[track_caller]
fn events(held: &Snapshot, state: &State) {
    let found: Vec<_> = held.events.iter().map(|entry| (entry.recorded_at, entry.event.clone())).collect();
    assert_eq!(found, state.events, "events");
    assert!(
        held.events.iter().all(|entry| entry.salt.is_some() == entry.event.is_some()),
        "salts go with their events"
    );
}

fn threads(state: &State) -> Vec<ThreadSummary> {
    let mut summaries: BTreeMap<ThreadId, ThreadSummary> = BTreeMap::new();
    for (n, (at, event)) in state.events.iter().enumerate() {
        let Some(event) = event else { continue };
        let (sequence, thread_id) = (Sequence(n as u64 + 1), event.thread_id.clone());
        let new =
            ThreadSummary { thread_id: thread_id.clone(), events: 0, first: sequence, last: sequence, last_at: *at };
        let summary = summaries.entry(thread_id).or_insert(new);
        summary.events += 1;
        (summary.last, summary.last_at) = (sequence, *at);
    }
    let mut listed: Vec<ThreadSummary> = summaries.into_values().filter(|s| !s.thread_id.is_reserved()).collect();
    listed.sort_by_key(|summary| summary.first);
    listed
}

async fn slots(room: &Room, state: &State) {
    for (thread, versions) in &state.slots {
        let revision =
            |v: &super::state::SlotsVersion| SlotsRevision { version: v.version, at: v.at, slots: v.slots.clone() };
        let expected: Vec<SlotsRevision> = versions.iter().rev().map(revision).collect();
        assert_eq!(room.ledger().slots_history(&room.ns, thread).await.unwrap(), expected, "slots history of {thread}");
        slots_as_of(room, state, thread, None).await;
    }
}

async fn slots_as_of(room: &Room, state: &State, thread: &ThreadId, as_of: Option<Timestamp>) {
    let commit = state.commit_at(as_of);
    let version =
        state.slots[thread].iter().rev().find(|version| commit.is_some_and(|commit| version.commit <= commit));
    let expected = version.map_or_else(VersionedSlots::default, |v| VersionedSlots {
        slots: v.slots.clone(),
        version: v.version,
        updated_at: Some(v.at),
    });
    assert_eq!(
        room.ledger().slots(&room.ns, thread, as_of).await.unwrap(),
        expected,
        "slots of {thread} as of {as_of:?}"
    );
}

#[track_caller]
fn feed(held: &Snapshot, state: &State, from: ChangeSeq) {
    let mut told = held.changes.iter().filter(|change| change.seq > from);
    for (at, expected) in &state.feed {
        let found: Vec<_> = told.by_ref().take(expected.len()).collect();
        assert!(found.iter().all(|change| change.at == *at), "changes at {at}: {found:?}");
        assert_eq!(sorted(found.iter().map(|change| &change.what)), sorted(expected), "changes at {at}");
    }
    assert_eq!(told.next(), None, "more changes than were made");
    assert_eq!(held.head, held.changes.last().map_or(ChangeSeq(0), |change| change.seq), "head of the feed");
}

fn sorted<'a>(changes: impl IntoIterator<Item = &'a Changed>) -> Vec<String> {
    let mut shown: Vec<String> = changes.into_iter().map(|what| format!("{what:?}")).collect();
    shown.sort();
    shown
}

/// Within one commit the order is free; between commits it is not.
#[track_caller]
fn outbox(found: &[OutboxItem], state: &State) {
    assert_eq!(found.len(), state.outbox.len(), "{found:?} against {:?}", state.outbox);
    let mut position = 0;
    for group in state.outbox.chunk_by(|a, b| a.commit == b.commit) {
        let key = |item: &OutboxItem| (item.record_id.clone(), item.version, item.task.clone(), item.since);
        let mut items: Vec<_> = found[position..position + group.len()].iter().map(key).collect();
        let mut wanted: Vec<(_, Version, _, Timestamp)> =
            group.iter().map(|w| (w.record_id.clone(), w.version, w.task.clone(), w.since)).collect();
        items.sort();
        wanted.sort();
        assert_eq!(items, wanted, "outbox");
        position += group.len();
    }
}

/// Reads three instants of the past: two that follow from how much has happened, and the one before the first.
async fn past(room: &Room, state: &State) {
    let Some(first) = state.commits.first() else { return };
    let some = [state.commits.len() / 2, state.commits.len() * 7 % state.commits.len().max(1)];
    let before = Timestamp::from_micros(first.as_micros() - 1).unwrap();
    for as_of in some.map(|n| state.commits[n]).into_iter().chain([before]) {
        let read = Read { as_of: Some(as_of), ..Read::default() };
        let expected = shown(state, Some(as_of), false);
        let scanned = snapshot::records(room.ledger(), &room.ns, &Filter::all(), read, Walk::oldest(3)).await;
        assert_eq!(scanned, expected, "scan as of {as_of}");
        let ids = record_ids(&(0..RECORDS).collect::<Vec<_>>());
        let fetched = room.ledger().fetch(&room.ns, &ids, read).await.unwrap();
        let wanted: Vec<_> = ids.iter().map(|id| expected.iter().find(|s| s.record.id == *id).cloned()).collect();
        assert_eq!(fetched, wanted, "fetch as of {as_of}");
        for thread in state.slots.keys() {
            slots_as_of(room, state, thread, Some(as_of)).await;
        }
        let range = EventRange { as_of: Some(as_of), ..EventRange::default() };
        let found = snapshot::events(room.ledger(), &room.ns, &range).await;
        let until = state.events.iter().filter(|(at, _)| *at <= as_of).count();
        assert_eq!(found.len(), until, "events as of {as_of}");
    }
    assert!(state.outbox.len() < limits::BATCH, "the model reads the outbox whole");
}
