//! How many retries all calls to one backend may make together. Not here: which errors are worth one (`retry`).
//!
//! When a backend is in trouble, every caller's retries come on top of every caller's first tries, and so keep it there. Here each first
//! try earns a fifth of a retry, and nothing else does: at any moment, tries sent ≤ 1.2 × first tries. A call before there is
//! anything earned therefore has one try.

use std::sync::atomic::{AtomicU64, Ordering};

/// First tries that earn one retry.
const FIRST_TRIES_FOR_A_RETRY: u64 = 5;
/// Retries that can be kept for later: enough for a burst of trouble, too few to hide one that lasts.
const KEPT_RETRIES: u64 = 100;

/// What is earned and not yet spent, in fifths of a retry.
#[derive(Debug, Default)]
pub struct Budget(AtomicU64);

impl Budget {
    /// Counts a first try that goes out.
    pub fn earn(&self) {
        let full = KEPT_RETRIES * FIRST_TRIES_FOR_A_RETRY;
        self.change(|fifths| (fifths < full).then_some(fifths + 1));
    }

    /// Takes one retry, if there is one.
    pub fn spend(&self) -> bool {
        self.change(|fifths| fifths.checked_sub(FIRST_TRIES_FOR_A_RETRY))
    }

    /// Whole retries that are left.
    pub fn left(&self) -> u64 {
        self.0.load(Ordering::SeqCst) / FIRST_TRIES_FOR_A_RETRY
    }

    fn change(&self, to: impl FnMut(u64) -> Option<u64>) -> bool {
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, to).is_ok()
    }

    #[cfg(test)]
    pub(crate) fn full() -> Self {
        Self(AtomicU64::new(KEPT_RETRIES * FIRST_TRIES_FOR_A_RETRY))
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use mnemic_core::{ErrorKind, Retry, ports::Reranker};
    use proptest::prelude::*;

    use super::*;
    use crate::{
        Backend, BreakerConfig, Guarded, Profile, RetryConfig,
        testing::{Answer, Scripted},
    };

    #[test]
    fn five_first_tries_earn_one_retry_and_only_so_many_are_kept() {
        let budget = Budget::default();
        assert!(!budget.spend());
        (0..4).for_each(|_| budget.earn());
        assert!(!budget.spend());
        budget.earn();
        assert!(budget.spend() && !budget.spend());
        (0..10_000).for_each(|_| budget.earn());
        assert_eq!(budget.left(), KEPT_RETRIES);
    }

    fn answer() -> impl Strategy<Value = Answer> {
        prop_oneof![
            2 => Just(Answer::Succeed),
            3 => Just(Answer::Fail(ErrorKind::Unavailable, Retry::Soon)),
            1 => Just(Answer::Fail(ErrorKind::RateLimited, Retry::After(Duration::from_millis(700)))),
            1 => Just(Answer::Fail(ErrorKind::Conflict, Retry::Soon)),
            1 => Just(Answer::Fail(ErrorKind::InvalidInput, Retry::Never)),
            1 => Just(Answer::Hang),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn total_traffic_is_at_most_six_fifths_of_the_first_tries_whatever_fails(
            script in prop::collection::vec(answer(), 1..200),
            calls in 1usize..150,
            together in 1usize..8,
            breaker in prop::option::of(1u32..6),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            runtime.block_on(async move {
                let breaker = breaker.map(|failures| BreakerConfig { failures, ..BreakerConfig::default() });
                let retry = RetryConfig { tries: 6, ..RetryConfig::default() };
                let profile = Profile::reranker().retrying(Some(retry)).breaking(breaker);
                let scripted = Arc::new(Scripted::new(script));
                let guarded = Arc::new(Guarded::new(scripted.clone(), Backend::new("test", profile)));
                for at_once in (0..calls).collect::<Vec<_>>().chunks(together) {
                    let tasks: Vec<_> = at_once.iter().map(|_| {
                        let guarded = guarded.clone();
                        tokio::spawn(async move { guarded.rerank("q", &["t"]).await.map(drop) })
                    }).collect();
                    for task in tasks {
                        let _whatever = task.await.unwrap();
                    }
                }
                let first = guarded.backend().status().first_tries;
                assert!(first <= calls as u64);
                assert!(scripted.calls() * 5 <= first * 6, "{} tries of {first} first tries", scripted.calls());
            });
        }
    }
}
