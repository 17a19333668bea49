//! A comparison names every lie: each is planted alone in a copy that is otherwise true, and most of them keep every count equal.
//! Not here: indexes, and copies over real backends (`mnemic`).
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

#[path = "lies/lived.rs"]
mod lived;
#[path = "lies/others.rs"]
mod others;
#[path = "lies/records.rs"]
mod records;

use lived::{Lived, lived, namespace};
use mnemic_core::{PastCommit, ports::Ledger};
use mnemic_ledgers::InMemoryLedger;
use mnemic_migration::{Comparison, compare};

/// Whether a lie leaves everything that can be counted as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counts {
    Equal,
    Other,
}

/// What a lie is about, what the comparison must say, whether counts tell, and the lie.
pub(crate) type Lie = (&'static str, &'static str, Counts, fn(&mut Vec<PastCommit>));

async fn copied(commits: &[PastCommit]) -> InMemoryLedger {
    let target = InMemoryLedger::new();
    target.repeat(&namespace(), commits).await.unwrap();
    target
}

async fn compared(source: &InMemoryLedger, target: &InMemoryLedger) -> Comparison {
    compare((source, &namespace()), (target, &namespace())).await.unwrap()
}

/// Every lie with the commits that it bends.
fn planted(lived: &Lived) -> impl Iterator<Item = (Lie, Vec<PastCommit>)> {
    let at_once = records::LIES.iter().chain(others::LIES).map(|lie| (*lie, &lived.commits));
    at_once.chain(others::LATE.iter().map(|lie| (*lie, &lived.late))).map(|(lie, commits)| {
        let (what, .., plant) = lie;
        let mut bent = commits.clone();
        plant(&mut bent);
        // By letter: numbers of different forms are equal.
        assert!(format!("{bent:?}") != format!("{commits:?}"), "{what}: the lie changed nothing");
        (lie, bent)
    })
}

#[tokio::test]
async fn a_true_copy_differs_in_nothing() {
    let lived = lived().await;
    for commits in [&lived.commits, &lived.late] {
        let found = compared(&lived.source, &copied(commits).await).await;
        assert_eq!(found.differences, [""; 0]);
        assert_eq!((found.records, found.revisions, found.embeddings), (5, 7, 3), "{found:?}");
        assert_eq!((found.events, found.threads, found.slots), (6, 1, 2), "{found:?}");
    }
}

#[tokio::test]
async fn every_lie_is_named() {
    let lived = lived().await;
    let mut names = std::collections::BTreeSet::new();
    for ((what, told, ..), bent) in planted(&lived) {
        let found = compared(&lived.source, &copied(&bent).await).await;
        let named = found.differences.iter().any(|difference| difference.contains(told));
        assert!(named && found.differing >= 1, "{what}: {:?}", found.differences);
        names.insert(what);
    }
    println!("{} lies were planted and named", names.len());
    assert!(names.len() >= 72, "{}", names.len());
}

/// What a comparison that only counts would say: it is as good as blind.
#[tokio::test]
async fn a_comparison_that_only_counts_misses_nearly_all_of_them() {
    let lived = lived().await;
    let counts = async |ledger: &InMemoryLedger| {
        let report = ledger.report(&namespace()).await.unwrap();
        let counted = (report.records, report.embeddings, report.revisions, report.events, report.threads_with_slots);
        (counted, report.outbox, report.head)
    };
    let truth = counts(&lived.source).await;
    let (mut missed, mut all) = (0, 0);
    for ((what, _, expected, _), bent) in planted(&lived) {
        let found = if counts(&copied(&bent).await).await == truth { Counts::Equal } else { Counts::Other };
        assert_eq!(found, expected, "{what}");
        missed += usize::from(found == Counts::Equal);
        all += 1;
    }
    println!("a comparison that only counts misses {missed} of {all} lies");
    assert!(missed * 10 >= all * 8, "{missed} of {all}");
}
