//! Whether and when a failed try is made again. Not here: how often all calls together may (`budget`).

use std::{fmt, time::Duration};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use mnemic_core::{Error, ErrorKind, Retry};

/// How retries are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryConfig {
    /// Tries of one call, the first one counted. One means no retry.
    pub tries: u32,
    /// The longest wait before the first retry. It doubles with each further one; the wait itself is anything below (full jitter).
    pub base: Duration,
    /// The longest wait before any retry, unless the backend named one.
    pub longest: Duration,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self { tries: 4, base: Duration::from_millis(100), longest: Duration::from_secs(5) }
    }
}

/// Whether a call may be made again after it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Making it twice is like making it once.
    Always,
    /// Only where the failure proves that it took no effect.
    IfNothingHappened,
}

/// The waits between the tries of one call.
pub(crate) struct Waits {
    ceilings: ExponentialBackoff,
    share: fn() -> f64,
}

impl fmt::Debug for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waits").field("ceilings", &self.ceilings).finish_non_exhaustive()
    }
}

impl Waits {
    /// Full jitter: a thousand callers that failed together come back spread over the whole wait.
    pub(crate) fn new(config: RetryConfig) -> Self {
        Self::with_share(config, random_share)
    }

    fn with_share(config: RetryConfig, share: fn() -> f64) -> Self {
        let ceilings = ExponentialBuilder::new()
            .with_min_delay(config.base.min(config.longest))
            .with_max_delay(config.longest)
            .with_max_times(config.tries.saturating_sub(1) as usize);
        Self { ceilings: ceilings.build(), share }
    }

    /// How long to wait before the next try, or `None` if there is none. Reads the adapter's verdict and nothing else of the error,
    /// apart from the kind where a repetition could do the same twice.
    pub(crate) fn next(&mut self, error: &Error, repeat: Repeat) -> Option<Duration> {
        if repeat == Repeat::IfNothingHappened && may_have_happened(error.kind()) {
            return None;
        }
        let jitter = |share: f64, ceiling: Duration| ceiling.mul_f64(share.clamp(0.0, 1.0));
        match error.retry() {
            Retry::Never => None,
            Retry::Soon => self.ceilings.next().map(|ceiling| jitter((self.share)(), ceiling)),
            // What the backend named is the least; all those that it told the same should not come back as one.
            Retry::After(named) => {
                self.ceilings.next().map(|ceiling| named.saturating_add(jitter((self.share)(), ceiling.min(named))))
            }
        }
    }
}

/// Whether an error leaves open if the call took effect. A refusal (too many requests, a lost race) proves that it did not.
fn may_have_happened(kind: ErrorKind) -> bool {
    !matches!(kind, ErrorKind::RateLimited | ErrorKind::Conflict)
}

/// Evenly from 0 to 1, from the operating system's random numbers.
fn random_share() -> f64 {
    let [a, b, c, d, ..] = uuid::Uuid::new_v4().into_bytes();
    f64::from(u32::from_le_bytes([a, b, c, d])) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mnemic_core::ports::Reranker;
    use tokio::time::Instant;

    use super::*;
    use crate::{
        Backend, Guarded, Profile,
        testing::{Answer, Scripted},
    };

    fn error(kind: ErrorKind, retry: Retry) -> Error {
        Error::new(kind, "no").with_retry(retry)
    }

    #[test]
    fn waits_double_up_to_the_longest_and_end_with_the_tries() {
        let config = RetryConfig { tries: 6, base: Duration::from_secs(1), longest: Duration::from_secs(5) };
        let mut waits = Waits::with_share(config, || 1.0);
        let soon = error(ErrorKind::Unavailable, Retry::Soon);
        let seconds = std::iter::from_fn(|| waits.next(&soon, Repeat::Always)).map(|wait| wait.as_secs());
        assert_eq!(seconds.collect::<Vec<_>>(), [1, 2, 4, 5, 5]);
        assert_eq!(Waits::with_share(config, || 0.0).next(&soon, Repeat::Always), Some(Duration::ZERO));
    }

    #[test]
    fn only_the_adapters_verdict_decides() {
        for kind in ErrorKind::ALL {
            let next = |retry| Waits::new(RetryConfig::default()).next(&error(kind, retry), Repeat::Always);
            assert_eq!(next(Retry::Never), None, "{kind}");
            assert!(next(Retry::Soon).is_some(), "{kind}");
            assert!(next(Retry::After(Duration::from_secs(3))).unwrap() >= Duration::from_secs(3), "{kind}");
        }
    }

    #[test]
    fn what_must_not_happen_twice_is_repeated_only_after_a_failure_that_proves_that_nothing_happened() {
        for kind in ErrorKind::ALL {
            let next = Waits::new(RetryConfig::default()).next(&error(kind, Retry::Soon), Repeat::IfNothingHappened);
            let proves = matches!(kind, ErrorKind::RateLimited | ErrorKind::Conflict);
            assert_eq!(next.is_some(), proves, "{kind}");
        }
    }

    #[test]
    fn jitter_is_spread_over_the_whole_wait() {
        let mut shares: Vec<f64> = (0..200).map(|_| random_share()).collect();
        shares.sort_by(f64::total_cmp);
        assert!(shares[0] < 0.1 && shares[199] > 0.9 && (0.3..0.7).contains(&shares[100]), "{shares:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_named_wait_is_kept_to_and_one_beyond_the_deadline_ends_the_call_at_once() {
        let after = |seconds| Answer::Fail(ErrorKind::RateLimited, Retry::After(Duration::from_secs(seconds)));
        for (seconds, calls) in [(3, 2), (7, 2), (8, 1), (1_000_000_000, 1)] {
            let scripted = Arc::new(Scripted::new([after(seconds), Answer::Succeed]));
            let retry = RetryConfig { base: Duration::from_millis(1), ..RetryConfig::default() };
            let profile = Profile::reranker().retrying(Some(retry));
            let guarded = Guarded::new(scripted.clone(), Backend::new("test", profile).with_budget_for_tests());
            let start = Instant::now();
            let result = guarded.rerank("q", &["t"]).await;
            assert_eq!((result.is_ok(), scripted.calls()), (calls == 2, calls), "after {seconds} s");
            assert_eq!(start.elapsed().as_secs(), if calls == 2 { seconds } else { 0 });
            if let Err(error) = result {
                assert_eq!(error.retry(), Retry::After(Duration::from_secs(seconds)), "the caller is told the wait");
            }
        }
    }
}
