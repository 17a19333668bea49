//! Shows that the suite can fail: a true ledger passes every case, and one that breaks a single promise fails a case of that clause.
//! Not here: the broken ledgers (`can_fail/ledger_mutant.rs`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

#[path = "can_fail/ledger_mutant.rs"]
mod mutant;
#[path = "can_fail/quiet.rs"]
mod quiet;

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use mnemic_conformance::ledger::{self, Durability, LEDGER_CASES, LedgerHarness, Opened};
use mnemic_ledgers::InMemoryLedger;

use mutant::{Breach, Mutant};
use quiet::{expect_panics_in_cases, failures};

/// Opens the ledger in memory, as it is or with one promise broken.
struct Harness(Option<Breach>);

#[async_trait]
impl LedgerHarness for Harness {
    fn durability(&self) -> Durability {
        if self.0 == Some(Breach::ForgetsOnClose) { Durability::Durable } else { Durability::Volatile }
    }

    async fn open(&self) -> Opened {
        match self.0 {
            None => Opened::new(Arc::new(InMemoryLedger::new())),
            Some(breach) => Opened::new(Arc::new(Mutant::new(breach))),
        }
    }

    async fn reopen(&self, _: Opened) -> Opened {
        self.open().await
    }
}

/// The clause that each breach is of.
const BREACHES: [(&str, Breach); 36] = [
    ("L1", Breach::RoundsEmbeddings),
    ("L1", Breach::AcknowledgesWithoutStoring),
    ("L2", Breach::CreatesAnewOnReplace),
    ("L3", Breach::CommitsPartOfARefusedBatch),
    ("L4", Breach::IgnoresPreconditions),
    ("L5", Breach::MixesNamespaces),
    ("L6", Breach::AnswersOncePerId),
    ("L7", Breach::ScansInWrongOrder),
    ("L7", Breach::IgnoresFilters),
    ("L7", Breach::RepeatsAtPageBoundary),
    ("L8", Breach::LosesHistoryOnDelete),
    ("L9", Breach::KeepsNewestRevisionOnly),
    ("L10", Breach::IgnoresAsOf),
    ("L11", Breach::TakesStaleEmbeddings),
    ("L12", Breach::TakesAnIdTwice),
    ("L13", Breach::RewritesCommitTimes),
    ("L14", Breach::SwallowsEventConflicts),
    ("L15", Breach::IgnoresThreads),
    ("L16", Breach::IgnoresSlotPreconditions),
    ("L17", Breach::ListsSlotsOldestFirst),
    ("L18", Breach::RepeatsChanges),
    ("L19", Breach::NeverSettles),
    ("L20", Breach::IgnoresIdempotency),
    ("L21", Breach::LeaksErasedHistory),
    ("L22", Breach::ErasesRecordsOnly),
    ("L23", Breach::RemembersErasedVersions),
    ("L24", Breach::ListsNamespacesBackwards),
    ("L25", Breach::ForgetsOnClose),
    ("L26", Breach::LosesRacingWrites),
    ("L27", Breach::RepeatsWithoutHistory),
    ("L28", Breach::RepeatsAgain),
    ("L29", Breach::TakesAnyEpoch),
    ("L29", Breach::ForgetsTheRole),
    ("L30", Breach::CommitsWhileMoving),
    ("L31", Breach::ClearsAMemory),
    ("L31", Breach::KeepsTheHistoryOfWhatIsCleared),
];

#[test]
fn a_true_ledger_passes_every_case() {
    let outcomes = ledger::run_all(Harness(None));
    assert_eq!(outcomes.len(), LEDGER_CASES.len());
    assert_eq!(failures(&outcomes), [""; 0]);
}

#[test]
fn every_broken_promise_fails_a_case_of_its_clause() {
    expect_panics_in_cases();
    let mut unnoticed = Vec::new();
    for (tag, breach) in BREACHES {
        let outcomes = ledger::run_where(Harness(Some(breach)), |case| case.tag == tag);
        if failures(&outcomes).is_empty() {
            unnoticed.push(format!("{breach:?} passes every case of [{tag}]"));
        }
    }
    assert_eq!(unnoticed, [""; 0]);
}

#[test]
fn every_clause_has_a_breach_that_its_cases_notice() {
    let broken: BTreeSet<&str> = BREACHES.iter().map(|(tag, _)| *tag).collect();
    let demanded: BTreeSet<&str> = LEDGER_CASES.iter().map(|case| case.tag).collect();
    assert_eq!(broken, demanded);
}

/// The model stands apart from the other cases: it alone must notice most of what is broken.
#[test]
fn the_model_notices_what_single_cases_notice() {
    expect_panics_in_cases();
    let model = |breach| ledger::run_where(Harness(Some(breach)), |case| case.name.contains("the_model_says"));
    let noticed = |breach: &Breach| !failures(&model(*breach)).is_empty();
    for breach in [
        Breach::AcknowledgesWithoutStoring,
        Breach::CreatesAnewOnReplace,
        Breach::CommitsPartOfARefusedBatch,
        Breach::IgnoresPreconditions,
        Breach::KeepsNewestRevisionOnly,
        Breach::IgnoresAsOf,
        Breach::TakesStaleEmbeddings,
        Breach::IgnoresIdempotency,
        Breach::LeaksErasedHistory,
        Breach::ErasesRecordsOnly,
        Breach::NeverSettles,
    ] {
        assert!(noticed(&breach), "{breach:?}");
    }
}
