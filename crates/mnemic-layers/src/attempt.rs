//! One try, bounded. Not here: the whole call's end (`deadline`) and what follows a try that failed (`retry`).

use std::time::Duration;

use mnemic_core::{Error, ErrorKind, Result, Retry};

use crate::deadline::Deadline;

/// Runs one try for at most `limit` and never past the deadline. A try that is cut may still take effect at the backend, as every
/// `Unavailable` may.
pub(crate) async fn bounded<T>(
    backend: &str,
    limit: Duration,
    deadline: Deadline,
    attempt: impl Future<Output = Result<T>>,
) -> Result<T> {
    match deadline.bound(tokio::time::timeout(limit, attempt)).await {
        Some(Ok(result)) => result,
        Some(Err(_elapsed)) => {
            let message = format!("{backend} did not answer within {} ms", limit.as_millis());
            Err(Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Soon))
        }
        None => Err(Deadline::error(backend)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mnemic_core::ports::Reranker;
    use tokio::time::Instant;

    use super::*;
    use crate::{
        Backend, Guarded, Profile, RetryConfig, Times,
        testing::{Answer, Scripted},
    };

    #[tokio::test(start_paused = true)]
    async fn a_try_that_hangs_is_cut_and_the_next_one_may_answer() {
        let times = Times { attempt: Duration::from_secs(2), deadline: Duration::from_secs(20) };
        let profile = Profile::reranker().timed(times).retrying(Some(RetryConfig::default()));
        let scripted = Arc::new(Scripted::new([Answer::Hang, Answer::Succeed]));
        let guarded = Guarded::new(scripted.clone(), Backend::new("test", profile).with_budget_for_tests());
        let start = Instant::now();
        assert!(guarded.rerank("q", &["t"]).await.is_ok());
        assert_eq!((scripted.calls(), start.elapsed().as_secs()), (2, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_try_has_only_what_is_left_of_the_whole_call() {
        let times = Times { attempt: Duration::from_secs(6), deadline: Duration::from_secs(10) };
        let retry = RetryConfig { base: Duration::ZERO, ..RetryConfig::default() };
        let profile = Profile::reranker().timed(times).retrying(Some(retry));
        let scripted = Arc::new(Scripted::always(Answer::Hang));
        let guarded = Guarded::new(scripted.clone(), Backend::new("test", profile).with_budget_for_tests());
        let start = Instant::now();
        let error = guarded.rerank("q", &["t"]).await.unwrap_err();
        assert_eq!((scripted.calls(), start.elapsed().as_secs()), (2, 10));
        assert!(error.to_string().contains("deadline"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_error_of_a_cut_try_names_the_backend_and_the_limit() {
        let deadline = Deadline::after(Duration::from_secs(20));
        let never = std::future::pending::<Result<()>>();
        let error = bounded("test", Duration::from_millis(1_500), deadline, never).await.unwrap_err();
        assert_eq!(error.to_string(), "test did not answer within 1500 ms");
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Soon));
    }
}
