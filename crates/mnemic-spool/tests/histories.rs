//! Random histories of two handles on one directory, with reopening at any point, against the plainest model: a list of entries.
//! Not here: what a crash does to them (`power`, `crash`).
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::excessive_nesting,
    reason = "tests fail by panicking"
)]

mod common;

use std::{collections::BTreeSet, path::Path};

use common::*;
use mnemic_spool::{Spool, SpoolConfig, SpoolEntry, SpoolId};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Append {
        lane: u8,
        bytes: usize,
    },
    AppendAtOnce(usize),
    /// Of those that wait, the n-th, counted around.
    Settle(usize),
    SettleFirst(usize),
    SettleAgain(usize),
    Quarantine(usize),
    Discard(usize),
    Scrub,
    Reopen,
    /// The other handle goes, after which this one takes over, and comes back.
    Other,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u8..3, 0usize..300).prop_map(|(lane, bytes)| Step::Append { lane, bytes }),
        2 => (1usize..8).prop_map(Step::AppendAtOnce),
        4 => any::<usize>().prop_map(Step::Settle),
        2 => (1usize..6).prop_map(Step::SettleFirst),
        1 => any::<usize>().prop_map(Step::SettleAgain),
        1 => any::<usize>().prop_map(Step::Quarantine),
        1 => any::<usize>().prop_map(Step::Discard),
        1 => Just(Step::Scrub),
        2 => Just(Step::Reopen),
        1 => Just(Step::Other),
    ]
}

async fn open_small(directory: &Path) -> Spool {
    Spool::open(SpoolConfig { segment_bytes: 300, ..SpoolConfig::new(directory) }).await.unwrap()
}

/// Every entry that should be somewhere, and where.
#[derive(Default)]
struct Model {
    waiting: Vec<SpoolEntry>,
    quarantined: Vec<SpoolEntry>,
    gone: Vec<SpoolId>,
    appended: i64,
}

impl Model {
    async fn append(&mut self, spool: &Spool, lane: &str, payload: Vec<u8>) {
        let at = at(self.appended);
        self.appended += 1;
        let id = spool.append(at, lane, &payload).await.unwrap();
        self.waiting.push(SpoolEntry { id, at, lane: lane.to_owned(), payload });
    }

    fn nth(&self, n: usize) -> Option<SpoolId> {
        (!self.waiting.is_empty()).then(|| self.waiting[n % self.waiting.len()].id)
    }

    fn leave(&mut self, id: SpoolId) -> SpoolEntry {
        self.gone.push(id);
        let place = self.waiting.iter().position(|entry| entry.id == id).unwrap();
        self.waiting.remove(place)
    }

    async fn step(&mut self, spool: &mut Spool, other: &mut Spool, place: &Path, step: Step) {
        match step {
            Step::Append { lane, bytes } => self.append(spool, &format!("lane {lane}"), vec![lane; bytes]).await,
            Step::AppendAtOnce(count) => {
                for n in 0..count {
                    self.append(spool, "together", vec![n as u8; 20]).await;
                }
            }
            Step::Settle(n) => {
                if let Some(id) = self.nth(n) {
                    spool.settle(id).await.unwrap();
                    self.leave(id);
                }
            }
            Step::SettleFirst(count) => {
                let ids: Vec<_> = spool.peek(count).await.unwrap().iter().map(|entry| entry.id).collect();
                spool.settle_all(&ids).await.unwrap();
                for id in ids {
                    self.leave(id);
                }
            }
            Step::SettleAgain(n) => {
                if let Some(id) = (!self.gone.is_empty()).then(|| self.gone[n % self.gone.len()]) {
                    spool.settle(id).await.unwrap();
                    spool.quarantine(id, "too late").await.unwrap();
                }
            }
            Step::Quarantine(n) => {
                if let Some(id) = self.nth(n) {
                    spool.quarantine(id, "reason").await.unwrap();
                    let entry = self.leave(id);
                    self.quarantined.push(entry);
                }
            }
            Step::Discard(n) => {
                if !self.quarantined.is_empty() {
                    let entry = self.quarantined.remove(n % self.quarantined.len());
                    spool.discard(entry.id).await.unwrap();
                }
            }
            Step::Scrub => spool.scrub().await.unwrap(),
            Step::Reopen => {
                spool.clone().close().await.unwrap();
                *spool = open_small(place).await;
            }
            Step::Other => {
                self.append(other, "other", b"left behind".to_vec()).await;
                other.clone().close().await.unwrap();
                spool.report().await.unwrap();
                *other = open_small(place).await;
            }
        }
    }

    async fn check(&mut self, spool: &Spool) {
        // Entries are appended at ascending times, so the merged order is the order of appending.
        assert_eq!(spool.peek(1_000).await.unwrap(), self.waiting);
        let stuck = BTreeSet::from(["lane 1".to_owned()]);
        let past: Vec<_> = self.waiting.iter().filter(|entry| entry.lane != "lane 1").take(3).cloned().collect();
        assert_eq!(spool.peek_past(3, &stuck).await.unwrap(), past);
        self.quarantined.sort_by_key(|entry| entry.id);
        let quarantined = spool.quarantined(None, 1_000).await.unwrap();
        let entries: Vec<_> = quarantined.into_iter().map(|kept| kept.entry.unwrap()).collect();
        assert_eq!(entries, self.quarantined);
        let report = spool.report().await.unwrap();
        assert_eq!(report.items, self.waiting.len() as u64);
        assert_eq!(report.quarantined, self.quarantined.len() as u64);
        assert_eq!(report.oldest, self.waiting.first().map(|entry| entry.at));
        assert_eq!((report.damaged, report.faults), (0, Vec::new()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_history_of_any_steps_leaves_what_the_model_says(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let place = tempfile::tempdir().unwrap();
            let (mut spool, mut other) = (open_small(place.path()).await, open_small(place.path()).await);
            let mut model = Model::default();
            for step in steps {
                model.step(&mut spool, &mut other, place.path(), step).await;
                model.check(&spool).await;
            }
            let ids: Vec<_> = model.waiting.iter().map(|entry| entry.id).collect();
            spool.settle_all(&ids).await.unwrap();
            other.close().await.unwrap();
            spool.close().await.unwrap();
            let left = files(place.path()).into_iter().filter(|(path, _)| !path.starts_with(place.path().join("quarantine")));
            assert_eq!(left.count(), 0);
        });
    }
}
