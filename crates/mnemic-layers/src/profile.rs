//! What surrounds the calls to one backend, as values. Not here: doing it (one file for each concern).

use std::time::Duration;

use crate::{breaker::BreakerConfig, rate::RateConfig, retry::RetryConfig};

/// How long a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// One try.
    pub attempt: Duration,
    /// The call with all its tries, sleeps and queues.
    pub deadline: Duration,
}

impl Times {
    const fn seconds(attempt: u64, deadline: u64) -> Self {
        Self { attempt: Duration::from_secs(attempt), deadline: Duration::from_secs(deadline) }
    }
}

/// How much one call has to do, which decides how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// Somebody waits for an answer: reads, searches, a query's embedding.
    Read,
    /// Somebody waits for it to be kept: commits, changes to an index, documents' embeddings.
    Write,
    /// As large as a namespace may be, or as slow as making an index: erasures, checks, walks, preparations.
    Bulk,
}

/// Every concern with its values; `None` leaves a concern out. The constructors hold sane values for each port.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// For calls for whose answer somebody waits.
    pub read: Times,
    /// For calls that keep something.
    pub write: Times,
    /// For calls as large as a namespace, and for making an index.
    pub bulk: Times,
    /// Retries. `None`: one try.
    pub retry: Option<RetryConfig>,
    /// The circuit breaker. `None`: every call is tried.
    pub breaker: Option<BreakerConfig>,
    /// The rate limit. `None`: none.
    pub rate: Option<RateConfig>,
}

impl Profile {
    /// For a ledger on a server.
    pub fn ledger() -> Self {
        Self {
            read: Times::seconds(10, 25),
            write: Times::seconds(20, 28),
            bulk: Times::seconds(300, 600),
            retry: Some(RetryConfig::default()),
            breaker: Some(BreakerConfig::default()),
            rate: None,
        }
    }

    /// For an index on a server.
    pub fn index() -> Self {
        Self { read: Times::seconds(8, 15), write: Times::seconds(20, 28), ..Self::ledger() }
    }

    /// For a hosted embedder. Its rate depends on the account; see [`Profile::limited`].
    pub fn embedder() -> Self {
        let retry = RetryConfig { base: Duration::from_millis(250), longest: Duration::from_secs(10), tries: 5 };
        Self { read: Times::seconds(8, 15), write: Times::seconds(60, 120), retry: Some(retry), ..Self::ledger() }
    }

    /// For a hosted reranker: a second opinion is worth little waiting.
    pub fn reranker() -> Self {
        let retry = RetryConfig { tries: 2, ..RetryConfig::default() };
        Self { read: Times::seconds(5, 8), retry: Some(retry), ..Self::ledger() }
    }

    /// For a backend in this process: figures and an ample deadline only. Nothing is retried, and no idempotency key is added.
    pub fn local() -> Self {
        let ample = Times::seconds(3_600, 3_600);
        Self { read: ample, write: ample, bulk: ample, retry: None, breaker: None, rate: None }
    }

    /// The same with another rate limit.
    #[must_use]
    pub fn limited(self, rate: RateConfig) -> Self {
        Self { rate: Some(rate), ..self }
    }

    /// The same with other retries, or with none.
    #[must_use]
    pub fn retrying(self, retry: Option<RetryConfig>) -> Self {
        Self { retry, ..self }
    }

    /// The same with another breaker, or with none.
    #[must_use]
    pub fn breaking(self, breaker: Option<BreakerConfig>) -> Self {
        Self { breaker, ..self }
    }

    /// The same with one pair of times for all calls.
    #[must_use]
    pub fn timed(self, times: Times) -> Self {
        Self { read: times, write: times, bulk: times, ..self }
    }

    pub(crate) fn times(&self, size: Size) -> Times {
        match size {
            Size::Read => self.read,
            Size::Write => self.write,
            Size::Bulk => self.bulk,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_profile_lets_one_try_last_longer_than_the_whole_call() {
        for profile in [Profile::ledger(), Profile::index(), Profile::embedder(), Profile::reranker(), Profile::local()]
        {
            for size in [Size::Read, Size::Write, Size::Bulk] {
                let times = profile.times(size);
                assert!(times.attempt <= times.deadline, "{profile:?}");
            }
        }
    }
}
