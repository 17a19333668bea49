//! A property: after any history a ledger reads as a plain model says. A history that breaks it is shrunk to its shortest form.
//! Not here: what single operations promise (the other cases).

mod compare;
mod ops;
mod same;
mod state;

use mnemic_core::{ChangeSeq, EraseTarget, Erasure};
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use tokio::{runtime::Handle, task::block_in_place};

use self::{
    ops::{Op, histories},
    state::State,
};
use super::{Durability, LedgerHarness, room::Room};
use crate::fixtures::{erasure_event, instant, namespace, user};

/// How many histories to try.
const CASES: &str = "MNEMIC_MODEL_CASES";
/// Seeds the histories; without it every run tries the same ones.
const SEED: &str = "MNEMIC_MODEL_SEED";

fn from_env(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}: expected a number, found {text:?}")),
        Err(_) => default,
    }
}

pub(super) async fn l26_any_history_leaves_what_the_model_says(h: &dyn LedgerHarness) {
    any_history(&async |history: &[Op]| play(h, history).await);
}

/// Runs a property on many histories and shrinks one that breaks it.
fn any_history(property: &impl AsyncFn(&[Op])) {
    let cases = u32::try_from(from_env(CASES, 64)).unwrap();
    let seed = from_env(SEED, 0x6d6e_656d).to_le_bytes().repeat(4);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 400, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let handle = Handle::current();
    let outcome = block_in_place(|| {
        runner.run(&histories(14), |history| {
            // A panic inside is caught by the runner, which then shrinks the history.
            handle.block_on(property(&history));
            Ok(())
        })
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, history)) => panic!("{why}\nThe shortest history that shows it:\n{history:#?}"),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

pub(super) async fn l27_a_copy_that_follows_any_history_reads_as_its_source(h: &dyn LedgerHarness) {
    any_history(&async |history: &[Op]| {
        let room = Room::new(h).await;
        let (copy, mut state, mut now) = (namespace(), State::default(), 100);
        for op in history {
            if !matches!(op, Op::Reopen) {
                step(&room, op, &mut state, &mut now).await;
                state.task_ids = tasks(&room).await;
            }
            same::follow(&room, &copy).await;
            same::everything(&room, &copy, &state).await;
        }
        let anew = namespace();
        same::follow(&room, &anew).await;
        same::everything(&room, &anew, &state).await;
    });
}

async fn tasks(
    room: &Room,
) -> Vec<(mnemic_core::OutboxId, mnemic_core::RecordId, mnemic_core::Version, mnemic_core::Task)> {
    let items = room.ledger().outbox(&room.ns, mnemic_core::limits::BATCH).await.unwrap();
    items.into_iter().map(|item| (item.id, item.record_id, item.version, item.task)).collect()
}

/// Plays a history on a ledger and on the model, and compares them after each step.
async fn play(h: &dyn LedgerHarness, history: &[Op]) {
    let mut room = Room::new(h).await;
    let (mut state, mut now, mut feed_from) = (State::default(), 100, ChangeSeq(0));
    for op in history {
        match op {
            Op::Reopen if h.durability() == Durability::Durable => room = room.reopened(h).await,
            Op::Reopen => {}
            _ => step(&room, op, &mut state, &mut now).await,
        }
        if matches!(op, Op::EraseRecords { .. } | Op::EraseSubject { .. }) {
            feed_from = room.ledger().head(&room.ns).await.unwrap();
        }
        compare::everything(&room, &mut state, feed_from).await;
    }
}

/// Takes one step on a ledger and on the model.
async fn step(room: &Room, op: &Op, state: &mut State, now: &mut i64) {
    match op {
        Op::Commit { parts, key, step } => {
            *now += i64::from(*step);
            let batch = ops::batch(parts, *key, instant(*now), state);
            let expected = state.commit(&batch);
            compare::answers(&room.ledger().commit(&room.ns, batch).await, &expected);
        }
        Op::SettleOldest { count } => {
            let ids: Vec<_> = state.task_ids.iter().take(usize::from(*count)).map(|(id, ..)| *id).collect();
            state.settle(&ids);
            room.ledger().settle(&room.ns, &ids).await.unwrap();
        }
        Op::EraseRecords { .. } | Op::EraseSubject { .. } => erase(room, op, state, now).await,
        Op::Reopen => {}
    }
}

async fn erase(room: &Room, op: &Op, state: &mut State, now: &mut i64) {
    let (target, step, (records, events)) = match op {
        Op::EraseRecords { ids, step } => {
            let ids = ops::record_ids(ids);
            let gone = state.erase_records(&ids);
            (EraseTarget::Records(ids), *step, gone)
        }
        Op::EraseSubject { user: number, step } => {
            let name = ops::user_name(*number).unwrap_or("absent");
            (EraseTarget::Subject(user(name)), *step, state.erase_subject(*number))
        }
        Op::Commit { .. } | Op::SettleOldest { .. } | Op::Reopen => return,
    };
    *now += i64::from(step);
    let at = instant(*now);
    let event = erasure_event(&format!("erasure {}", state.erasures));
    let receipt = room.ledger().erase(&room.ns, Erasure { at, target, event: event.clone() }).await.unwrap();
    state.erased(event, at);
    assert_eq!(receipt.records.iter().cloned().collect::<std::collections::BTreeSet<_>>(), records, "erased records");
    assert_eq!(receipt.events, events as u64, "erased events");
    assert_eq!(receipt.sequence.0, state.events.len() as u64, "the event that tells of the erasure");
}
