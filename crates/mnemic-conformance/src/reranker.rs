//! The contract of rerankers as cases, and the harness that an adapter brings. Not here: how good the order is.

use std::{process::ExitCode, sync::Arc};

use async_trait::async_trait;
use mnemic_core::ports::Reranker;

use crate::{
    fixtures::Rng,
    run::{self, Case, CaseOutcome, cases},
};

/// Opens the reranker under test.
#[async_trait]
pub trait RerankerHarness: Send + Sync + 'static {
    /// Opens it.
    async fn open(&self) -> Arc<dyn Reranker>;
}

/// One demand on rerankers.
pub type RerankerCase = Case<dyn RerankerHarness>;

/// Every demand on rerankers.
pub const RERANKER_CASES: &[RerankerCase] = cases![
    "R1" => demands::r01_there_is_one_finite_score_for_each_text_in_order,
];

/// Runs every case as a test of this process.
pub fn main(harness: impl RerankerHarness) -> ExitCode {
    run::as_tests(&(Arc::new(harness) as Arc<dyn RerankerHarness>), RERANKER_CASES)
}

/// Runs every case, or shows every case as ignored because `service` is absent. Where the environment's `MNEMIC_REQUIRE` lists
/// the service, absence is failure.
pub fn main_or_ignore(service: &str, harness: Result<impl RerankerHarness, String>) -> ExitCode {
    match harness {
        Ok(harness) => main(harness),
        Err(why) => run::as_absent(service, &why, RERANKER_CASES),
    }
}

/// Runs every case and tells what became of each.
pub fn run_all(harness: impl RerankerHarness) -> Vec<CaseOutcome> {
    run::as_outcomes(&(Arc::new(harness) as Arc<dyn RerankerHarness>), RERANKER_CASES, |_| true)
}

mod demands {
    //! The cases.

    use super::{RerankerHarness, Rng};

    pub(super) async fn r01_there_is_one_finite_score_for_each_text_in_order(h: &dyn RerankerHarness) {
        let reranker = h.open().await;
        let texts = [
            "The client lives in Riga.",
            "Клиент живёт в Риге.",
            "The filing fee is 1055 dollars.",
            "",
            " \n",
            "🎻",
            "The client plays the cello in Riga.",
        ];
        for query in ["Where does the client live?", "Где живёт клиент?", "", "🎻"] {
            let scores = reranker.rerank(query, &texts).await.unwrap();
            assert_eq!(scores.len(), texts.len(), "{query:?}");
            assert!(scores.iter().all(|score| score.is_finite()), "{query:?}: {scores:?}");
        }
        assert_eq!(reranker.rerank("anything", &[]).await.unwrap(), [0.0; 0]);
        // A text's score goes with the text, wherever it stands.
        let query = "Where does the client live?";
        let scores = reranker.rerank(query, &texts).await.unwrap();
        let mut rng = Rng::new(1);
        let mut order: Vec<usize> = (0..texts.len()).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, rng.below(last + 1));
        }
        let shuffled: Vec<&str> = order.iter().map(|&n| texts[n]).collect();
        for (score, &n) in reranker.rerank(query, &shuffled).await.unwrap().iter().zip(&order) {
            assert!((score - scores[n]).abs() < 1e-3, "{:?}: {score} and {}", texts[n], scores[n]);
        }
    }
}
