//! What may happen to a ledger, in small numbers that shrink well, and how it becomes a batch. Not here: what it does (`state`).

use mnemic_core::{
    AuditEvent, Batch, Embedding, EmbeddingWrite, Idempotency, MemoryRecord, Precondition, RecordDelete, RecordWrite,
    SlotMode, SlotWrite, Task, Timestamp, Version, policy::audit::digest,
};
use proptest::{collection::vec, option::weighted, prelude::*};

use super::state::State;
use crate::fixtures::{Rng, embedding, event, instant, model, other_model, random_record, record_id, thread, user};

pub(super) const RECORDS: u8 = 6;
pub(super) const USERS: u8 = 3;

/// One thing that happens.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Commit { parts: Vec<Part>, key: Option<(u8, u8)>, step: u8 },
    SettleOldest { count: u8 },
    EraseRecords { ids: Vec<u8>, step: u8 },
    EraseSubject { user: u8, step: u8 },
    Reopen,
}

/// One part of a batch.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Write { id: u8, look: u8, vector: Option<u8>, tasks: u8, from: Option<u8>, expect: Expect },
    Delete { id: u8, expect: Expect },
    Embed { id: u8, vector: u8, stale: bool },
    Append { user: u8, number: u8, look: u8 },
    Slots { user: u8, name: u8, text: Option<u8>, replace: bool, expect: Expect },
    SettleOldest,
}

/// What a part expects of the stored version, relative to what is stored.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expect {
    Any,
    Stored,
    Nothing,
    Wrong,
}

impl Expect {
    fn of(self, stored: Version) -> Precondition {
        match self {
            Self::Any => Precondition::Any,
            Self::Stored => Precondition::Version(stored),
            Self::Nothing => Precondition::Version(Version::NONE),
            Self::Wrong => Precondition::Version(stored.next()),
        }
    }
}

/// Any history of at most `length` steps.
pub(super) fn histories(length: usize) -> impl Strategy<Value = Vec<Op>> {
    vec(op(), 1..=length)
}

fn op() -> impl Strategy<Value = Op> {
    let step = 0..3u8;
    prop_oneof![
        20 => (vec(part(), 0..6), weighted(0.2, (0..2u8, 0..2u8)), step.clone())
            .prop_map(|(parts, key, step)| Op::Commit { parts, key, step }),
        1 => (0..4u8).prop_map(|count| Op::SettleOldest { count }),
        1 => (vec(0..RECORDS, 0..3), step.clone()).prop_map(|(ids, step)| Op::EraseRecords { ids, step }),
        1 => (0..USERS, step).prop_map(|(user, step)| Op::EraseSubject { user, step }),
        1 => Just(Op::Reopen),
    ]
}

fn part() -> impl Strategy<Value = Part> {
    let expect = || {
        prop_oneof![
            16 => Just(Expect::Any),
            4 => Just(Expect::Stored),
            1 => Just(Expect::Nothing),
            1 => Just(Expect::Wrong),
        ]
    };
    let from = weighted(0.3, 0..3u8);
    prop_oneof![
        8 => (0..RECORDS, any::<u8>(), weighted(0.5, any::<u8>()), 0..4u8, from, expect())
            .prop_map(|(id, look, vector, tasks, from, expect)| Part::Write { id, look, vector, tasks, from, expect }),
        3 => (0..RECORDS, expect()).prop_map(|(id, expect)| Part::Delete { id, expect }),
        3 => (0..RECORDS, any::<u8>(), weighted(0.3, Just(())))
            .prop_map(|(id, vector, stale)| Part::Embed { id, vector, stale: stale.is_some() }),
        5 => (0..USERS, 0..3u8, weighted(0.1, Just(1u8)))
            .prop_map(|(user, number, look)| Part::Append { user, number, look: look.unwrap_or(0) }),
        3 => (0..USERS, 0..3u8, weighted(0.8, any::<u8>()), weighted(0.2, Just(())), expect()).prop_map(
            |(user, name, text, replace, expect)| Part::Slots { user, name, text, replace: replace.is_some(), expect }
        ),
        1 => Just(Part::SettleOldest),
    ]
}

/// The owner of a record follows from its id, so that a record never changes hands.
pub(super) const fn owner_of(id: u8) -> u8 {
    id % USERS
}

/// The user with this number; the last one is nobody.
pub(super) fn user_name(number: u8) -> Option<&'static str> {
    ["anna", "boris"].get(usize::from(number)).copied()
}

fn record_name(id: u8) -> String {
    format!("r{id}")
}

pub(super) fn record_ids(ids: &[u8]) -> Vec<mnemic_core::RecordId> {
    ids.iter().map(|id| record_id(&record_name(*id))).collect()
}

fn vector(seed: u8) -> Embedding {
    let space = if seed.is_multiple_of(4) { other_model() } else { model() };
    embedding(&mut Rng::new(u64::from(seed)), &space)
}

/// Makes the batch that `parts` describe, given what is stored.
pub(super) fn batch(parts: &[Part], key: Option<(u8, u8)>, at: Timestamp, state: &State) -> Batch {
    let mut batch = Batch::new(at);
    // Keys and event ids of before an erasure are not used again: whether they are still known is not promised.
    batch.idempotency = key.map(|(key, request)| {
        Idempotency::new(format!("key {key} of life {}", state.erasures), digest(&[request])).unwrap()
    });
    for part in parts {
        match part {
            Part::Write { id, look, vector: seed, tasks, from, expect } => batch.writes.push(RecordWrite {
                record: make_record(*id, *look, *from, state),
                embedding: seed.map(vector),
                expect: expect.of(state.version(&record_name(*id))),
                tasks: [Task::Embed, Task::Index("local".to_owned())][..usize::from(*tasks % 3)].to_vec(),
            }),
            Part::Delete { id, expect } => batch.deletes.push(RecordDelete {
                id: record_id(&record_name(*id)),
                expect: expect.of(state.version(&record_name(*id))),
            }),
            Part::Embed { id, vector: seed, stale } => {
                let stored = state.version(&record_name(*id));
                let version = if *stale { Version(stored.0.saturating_sub(1)) } else { stored };
                let id = record_id(&record_name(*id));
                batch.embeddings.push(EmbeddingWrite { id, version, embedding: vector(*seed) });
            }
            Part::Append { user, number, look } => batch.events.push(make_event(*user, *number, *look, state)),
            Part::Slots { user, name, text, replace, expect } => {
                let thread_id = thread(&state.thread_name(*user));
                let stored = state.slots_version(&thread_id);
                batch.slots.push(SlotWrite {
                    changes: [(format!("slot {name}"), text.map(|text| format!("text {text}")))].into(),
                    mode: if *replace { SlotMode::Replace } else { SlotMode::Merge },
                    expect: expect.of(stored),
                    thread_id,
                });
            }
            Part::SettleOldest => batch.settle.extend(state.oldest_task()),
        }
    }
    batch
}

fn make_record(id: u8, look: u8, from: Option<u8>, state: &State) -> MemoryRecord {
    let owner = owner_of(id);
    let mut record = random_record(&mut Rng::new(u64::from(look)), &record_name(id));
    record.created_at = instant(i64::from(look));
    record.user_id = user_name(owner).map(user);
    record.thread_id = Some(thread(&state.thread_name(owner)));
    record.provenance.events = from.map(|number| make_event(owner, number, 0, state).event_id).into_iter().collect();
    record
}

fn make_event(user: u8, number: u8, look: u8, state: &State) -> AuditEvent {
    let id = format!("e{user}-{number} of life {}", state.erasures);
    let mut event = event(&id, &state.thread_name(user), user_name(user));
    if look > 0 {
        event.action.push('!');
    }
    event
}
