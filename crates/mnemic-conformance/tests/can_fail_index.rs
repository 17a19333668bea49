//! Shows that the index suite can fail: a true index passes every case, and one that breaks a single promise fails a case of that
//! clause. Not here: the broken indexes (`can_fail/index_mutant.rs`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

#[path = "can_fail/index_mutant.rs"]
mod index_mutant;
#[path = "can_fail/quiet.rs"]
mod quiet;

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use mnemic_conformance::index::{self, INDEX_CASES, IndexHarness};
use mnemic_core::ports::Index;
use mnemic_indexes::{LocalIndex, LocalIndexConfig};

use index_mutant::{Breach, Mutant};
use quiet::{expect_panics_in_cases, failures};

/// Opens the local index, as it is or with one promise broken.
struct Harness(Option<Breach>);

#[async_trait]
impl IndexHarness for Harness {
    async fn open(&self) -> Arc<dyn Index> {
        let local = LocalIndex::new(LocalIndexConfig::default()).unwrap();
        match self.0 {
            None => Arc::new(local),
            Some(breach) => Arc::new(Mutant::new(breach, local)),
        }
    }
}

/// The clause that each breach is of.
const BREACHES: [(&str, Breach); 18] = [
    ("I1", Breach::AppliesThePastAgain),
    ("I2", Breach::KeepsWhatIsGone),
    ("I3", Breach::TellsOldVersions),
    ("I4", Breach::MixesNamespaces),
    ("I5", Breach::HasWorstFirst),
    ("I6", Breach::IgnoresFilters),
    ("I6", Breach::CutsBeforeFiltering),
    ("I7", Breach::InflatesScores),
    ("I8", Breach::TakesAnyModel),
    ("I9", Breach::ParsesQueries),
    ("I9", Breach::ReadsPatterns),
    ("I10", Breach::MatchesLetterForLetter),
    ("I11", Breach::HidesWhatHasNoEmbedding),
    ("I12", Breach::DropsNothing),
    ("I13", Breach::ScoresByHistory),
    ("I14", Breach::AnswersWhatItDoesNotOffer),
    ("I15", Breach::ShowsTooMuch),
    ("I16", Breach::StartsAhead),
];

#[test]
fn a_true_index_passes_every_case() {
    let outcomes = index::run_all(Harness(None));
    assert_eq!(outcomes.len(), INDEX_CASES.len());
    assert_eq!(failures(&outcomes), [""; 0]);
}

#[test]
fn every_broken_promise_fails_a_case_of_its_clause() {
    expect_panics_in_cases();
    let mut unnoticed = Vec::new();
    for (tag, breach) in BREACHES {
        let outcomes = index::run_where(Harness(Some(breach)), |case| case.tag == tag);
        if failures(&outcomes).is_empty() {
            unnoticed.push(format!("{breach:?} passes every case of [{tag}]"));
        }
    }
    assert_eq!(unnoticed, [""; 0]);
}

#[test]
fn every_clause_has_a_breach_that_its_cases_notice() {
    let broken: BTreeSet<&str> = BREACHES.iter().map(|(tag, _)| *tag).collect();
    let demanded: BTreeSet<&str> = INDEX_CASES.iter().map(|case| case.tag).collect();
    assert_eq!(broken, demanded);
}
