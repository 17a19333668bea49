//! Keeps requests and tokens per minute below what an account allows. Not here: what a backend says when it is asked too much (its
//! adapter) and what then happens (`retry`).

use std::{fmt, num::NonZeroU32, time::Duration};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, Reference},
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed},
};
use mnemic_core::{Error, ErrorKind, Result, Retry};
use tokio::{sync::Mutex, time::Instant};

use crate::deadline::Deadline;

/// What one minute may hold. A tenth of it may come at once; the rest is spread evenly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateConfig {
    /// Requests per minute; `None` is no limit, and zero counts as one.
    pub requests: Option<u32>,
    /// Tokens per minute, as estimated; `None` is no limit, and zero counts as one.
    pub tokens: Option<u32>,
}

/// The runtime's clock, which tests can stop.
#[derive(Clone, Debug)]
struct RuntimeClock(Instant);

impl Clock for RuntimeClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.elapsed().into()
    }
}

/// One limit, and the queue before it.
struct Gate {
    what: &'static str,
    per_minute: f64,
    at_once: NonZeroU32,
    limiter: RateLimiter<NotKeyed, InMemoryState, RuntimeClock, NoOpMiddleware<<RuntimeClock as Clock>::Instant>>,
    clock: RuntimeClock,
    /// Whoever holds it is served next, so that a large call is not passed by small ones for ever.
    turn: Mutex<()>,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("what", &self.what).field("at_once", &self.at_once).finish_non_exhaustive()
    }
}

impl Gate {
    fn new(what: &'static str, per_minute: u32) -> Self {
        let per_minute = NonZeroU32::new(per_minute).unwrap_or(NonZeroU32::MIN);
        let at_once = NonZeroU32::new(per_minute.get() / 10).unwrap_or(NonZeroU32::MIN);
        let clock = RuntimeClock(Instant::now());
        let quota = Quota::per_minute(per_minute).allow_burst(at_once);
        Self {
            what,
            per_minute: f64::from(per_minute.get()),
            at_once,
            limiter: RateLimiter::direct_with_clock(quota, clock.clone()),
            clock,
            turn: Mutex::new(()),
        }
    }

    /// Waits until `cells` may pass. More than may come at once pass in parts, so that the rate holds for calls of any size.
    async fn pass(&self, backend: &str, mut cells: u32, deadline: Deadline) -> Result<()> {
        let Some(_turn) = deadline.bound(self.turn.lock()).await else {
            return Err(self.error(backend, Duration::from_secs(1)));
        };
        // What cannot pass in time takes nothing from those that can.
        let beyond = f64::from(cells.saturating_sub(self.at_once.get()));
        let whole = Duration::from_secs_f64(60.0 * beyond / self.per_minute);
        if !deadline.fits(whole) {
            return Err(self.error(backend, whole));
        }
        while let Some(part) = NonZeroU32::new(cells.min(self.at_once.get())) {
            match self.limiter.check_n(part) {
                Ok(Ok(())) => cells -= part.get(),
                Ok(Err(not_until)) => {
                    let wait = Duration::from(not_until.earliest_possible().duration_since(self.clock.now()));
                    if !deadline.fits(wait) {
                        return Err(self.error(backend, wait));
                    }
                    deadline.sleep(wait).await;
                }
                Err(_part_is_never_larger_than_what_may_come_at_once) => break,
            }
        }
        Ok(())
    }

    fn error(&self, backend: &str, wait: Duration) -> Error {
        let message = format!("{backend}: the limit of {} per minute leaves no room before the deadline", self.what);
        Error::new(ErrorKind::RateLimited, message).with_retry(Retry::After(wait))
    }
}

/// The limits of one backend.
#[derive(Debug)]
pub(crate) struct Rate {
    requests: Option<Gate>,
    tokens: Option<Gate>,
}

impl Rate {
    pub(crate) fn new(config: RateConfig) -> Self {
        Self {
            requests: config.requests.map(|limit| Gate::new("requests", limit)),
            tokens: config.tokens.map(|limit| Gate::new("tokens", limit)),
        }
    }

    /// Whether calls have to be counted in tokens.
    pub(crate) fn counts_tokens(&self) -> bool {
        self.tokens.is_some()
    }

    /// Waits until one request of so many tokens may go out, or refuses it with `RateLimited` where that is not before the deadline.
    pub(crate) async fn pass(&self, backend: &str, tokens: u32, deadline: Deadline) -> Result<()> {
        if let Some(gate) = &self.requests {
            gate.pass(backend, 1, deadline).await?;
        }
        match &self.tokens {
            Some(gate) => gate.pass(backend, tokens, deadline).await,
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mnemic_core::ports::{Embedder, Purpose};

    use super::*;
    use crate::{
        Backend, Guarded, Profile, Times,
        testing::{Answer, Scripted},
    };

    fn limited(rate: RateConfig, deadline: u64) -> (Arc<Scripted>, Guarded<Scripted>) {
        let scripted = Arc::new(Scripted::always(Answer::Succeed));
        let times = Times { attempt: Duration::from_secs(1), deadline: Duration::from_secs(deadline) };
        let profile = Profile::embedder().timed(times).limited(rate);
        (scripted.clone(), Guarded::new(scripted, Backend::new("test", profile)))
    }

    #[tokio::test(start_paused = true)]
    async fn requests_are_spread_over_the_minute_and_none_is_lost() {
        let (scripted, guarded) = limited(RateConfig { requests: Some(60), tokens: None }, 600);
        let (guarded, start) = (Arc::new(guarded), Instant::now());
        let tasks: Vec<_> = (0..66)
            .map(|_| {
                let guarded = guarded.clone();
                tokio::spawn(async move { guarded.embed(Purpose::Document, &["text"]).await.map(drop) })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        assert_eq!((scripted.calls(), start.elapsed().as_secs()), (66, 60));
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_are_estimated_and_a_call_larger_than_what_may_come_at_once_still_keeps_to_the_rate() {
        let (scripted, guarded) = limited(RateConfig { requests: None, tokens: Some(600) }, 600);
        let text = "word ".repeat(300);
        let start = Instant::now();
        guarded.embed(Purpose::Document, &[&text, &text]).await.unwrap();
        // 600 tokens at 10 a second, of which 60 come at once.
        assert_eq!((scripted.calls(), start.elapsed().as_secs()), (1, 54));
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_go_out_before_the_deadline_is_refused_at_once_with_the_wait() {
        let (scripted, guarded) = limited(RateConfig { requests: Some(2), tokens: None }, 10);
        guarded.embed(Purpose::Query, &["text"]).await.unwrap();
        let start = Instant::now();
        let error = guarded.embed(Purpose::Query, &["text"]).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::RateLimited, Retry::After(Duration::from_secs(30))));
        assert!(error.to_string().contains("requests"), "{error}");
        assert_eq!((scripted.calls(), start.elapsed()), (1, Duration::ZERO));
    }
}
