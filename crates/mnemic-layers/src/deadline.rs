//! The end of a call: the earlier of its own limit and of what the caller set around it. Not here: one try's limit (`attempt`).

use std::time::Duration;

use mnemic_core::{Error, ErrorKind, Retry};
use tokio::time::{Instant, sleep_until, timeout_at};

tokio::task_local! {
    /// What [`within`] set for this task.
    static AROUND: Deadline;
}

/// Runs a future in which every guarded call ends at most `limit` from now, whatever its profile says. Nested limits only shorten.
/// It reaches calls made in the same task, not in tasks that the future spawns.
pub async fn within<F: Future>(limit: Duration, future: F) -> F::Output {
    AROUND.scope(Deadline::after(limit), future).await
}

/// When a call has to be over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// `limit` from now, or earlier if [`within`] says so.
    pub fn after(limit: Duration) -> Self {
        // Thirty years stand for never; an instant beyond what the clock can hold would be a panic.
        let own = Self(Instant::now() + limit.min(Duration::from_hours(30 * 365 * 24)));
        AROUND.try_with(|around| own.min(*around)).unwrap_or(own)
    }

    /// The time that is left.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether there is time left after waiting for `wait`.
    pub fn fits(self, wait: Duration) -> bool {
        wait < self.remaining()
    }

    /// Sleeps, but never past the end.
    pub(crate) async fn sleep(self, wait: Duration) {
        let wake = Instant::now().checked_add(wait).map_or(self.0, |wake| wake.min(self.0));
        sleep_until(wake).await;
    }

    /// The future's output, or `None` if it is not there at the end.
    pub(crate) async fn bound<F: Future>(self, future: F) -> Option<F::Output> {
        timeout_at(self.0, future).await.ok()
    }

    /// The error of a call that has no time left.
    pub(crate) fn error(backend: &str) -> Error {
        Error::new(ErrorKind::Unavailable, format!("{backend} did not answer before the deadline"))
            .with_retry(Retry::Soon)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mnemic_core::ports::Reranker;

    use super::*;
    use crate::{
        Backend, Guarded, Profile, RateConfig, Times,
        testing::{Answer, Scripted},
    };

    fn profile(seconds: u64) -> Profile {
        let limit = Duration::from_secs(seconds);
        Profile::reranker().timed(Times { attempt: limit, deadline: limit }).breaking(None).retrying(None)
    }

    #[tokio::test(start_paused = true)]
    async fn no_call_waits_past_its_deadline_in_a_try_in_a_sleep_or_in_a_queue() {
        let patient = Profile { retry: Profile::embedder().retry, ..profile(10) };
        let paced = profile(10).limited(RateConfig { requests: Some(1), tokens: None });
        for (profile, answer) in [
            (profile(10), Answer::Hang),
            (patient.clone(), Answer::Fail(ErrorKind::Unavailable, Retry::Soon)),
            (patient, Answer::Fail(ErrorKind::RateLimited, Retry::After(Duration::from_secs(9_999)))),
            (paced, Answer::Slow(Duration::from_secs(4))),
        ] {
            let scripted = Arc::new(Scripted::always(answer));
            let guarded = Guarded::new(scripted, Backend::new("test", profile).with_budget_for_tests());
            let start = Instant::now();
            for _ in 0..2 {
                let before = Instant::now();
                let _whatever = guarded.rerank("q", &["t"]).await;
                assert!(before.elapsed() <= Duration::from_secs(10), "{answer:?}: {:?}", before.elapsed());
            }
            assert!(start.elapsed() > Duration::ZERO || answer.is_refusal(), "{answer:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_callers_limit_shortens_a_call_and_never_lengthens_it() {
        let guarded = Guarded::new(Arc::new(Scripted::always(Answer::Hang)), Backend::new("test", profile(10)));
        for (around, expected) in [(3, 3), (60, 10)] {
            let before = Instant::now();
            let error = within(Duration::from_secs(around), guarded.rerank("q", &["t"])).await.unwrap_err();
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Soon));
            assert_eq!(before.elapsed().as_secs(), expected);
        }
        let nested =
            within(Duration::from_secs(2), within(Duration::from_secs(5), async { Deadline::after(Duration::MAX) }));
        assert_eq!(nested.await.remaining(), Duration::from_secs(2));
    }
}
