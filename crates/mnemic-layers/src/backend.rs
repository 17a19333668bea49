//! One backend and the way of every call to it, through all concerns in their order. Not here: any concern (one file each).

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use mnemic_core::{
    Result,
    policy::tokens::{EstimatedTokens, TokenCounter},
};
use tracing::Instrument;

use crate::{
    attempt,
    breaker::{Breaker, BreakerState, BreakerStatus, Permit},
    budget::Budget,
    deadline::Deadline,
    observe::{Callee, Watch},
    profile::{Profile, Size, Times},
    rate::Rate,
    retry::{Repeat, Waits},
};

/// What all calls to one backend share: its breaker, its rate limit and its retry budget. Clones share them too; a ledger and an index
/// on the same server are guarded by clones of one backend.
#[derive(Clone, Debug)]
pub struct Backend {
    name: &'static str,
    profile: Profile,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    breaker: Option<Arc<Breaker>>,
    rate: Option<Rate>,
    budget: Budget,
    tokens: Arc<dyn TokenCounter>,
    first_tries: AtomicU64,
    retries: AtomicU64,
}

/// What a backend tells health checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its name.
    pub backend: &'static str,
    /// Its breaker; `None` if it has none.
    pub breaker: Option<BreakerStatus>,
    /// First tries sent.
    pub first_tries: u64,
    /// Retries sent.
    pub retries: u64,
}

impl Status {
    /// Whether calls are let through.
    pub fn is_up(&self) -> bool {
        self.breaker.as_ref().is_none_or(|breaker| breaker.state == BreakerState::Closed)
    }
}

/// What the layers have to know of one call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) port: &'static str,
    pub(crate) method: &'static str,
    pub(crate) size: Size,
    pub(crate) repeat: Repeat,
    /// What it costs, as estimated; zero where nothing counts tokens.
    pub(crate) tokens: u32,
}

impl Backend {
    /// A backend by the name that figures, messages and health checks show, for example `pinecone`.
    pub fn new(name: &'static str, profile: Profile) -> Self {
        Self::build(name, profile, Arc::new(EstimatedTokens), Budget::default())
    }

    /// The same, with another way of counting tokens for the rate limit. Begins with a new breaker, rate limit and budget.
    #[must_use]
    pub fn counting(self, tokens: Arc<dyn TokenCounter>) -> Self {
        Self::build(self.name, self.profile, tokens, Budget::default())
    }

    /// The same server through another port: times and retries of `profile`, and this backend's breaker, rate limit and budget.
    #[must_use]
    pub fn also(&self, profile: Profile) -> Self {
        Self { profile, ..self.clone() }
    }

    fn build(name: &'static str, profile: Profile, tokens: Arc<dyn TokenCounter>, budget: Budget) -> Self {
        let shared = Shared {
            breaker: profile.breaker.map(|config| Arc::new(Breaker::new(name, config))),
            rate: profile.rate.map(Rate::new),
            budget,
            tokens,
            first_tries: AtomicU64::new(0),
            retries: AtomicU64::new(0),
        };
        Self { name, profile, shared: Arc::new(shared) }
    }

    #[cfg(test)]
    pub(crate) fn with_budget_for_tests(self) -> Self {
        Self::build(self.name, self.profile, self.shared.tokens.clone(), Budget::full())
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What surrounds calls to it.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// What it tells health checks. Asks nobody.
    pub fn status(&self) -> Status {
        Status {
            backend: self.name,
            breaker: self.shared.breaker.as_deref().map(Breaker::status),
            first_tries: self.shared.first_tries.load(Ordering::SeqCst),
            retries: self.shared.retries.load(Ordering::SeqCst),
        }
    }

    /// Whether a call that fails may be tried again.
    pub(crate) fn retries(&self) -> bool {
        self.profile.retry.is_some_and(|retry| retry.tries > 1)
    }

    /// What texts cost, or zero if nothing counts it.
    pub(crate) fn cost<'a>(&self, texts: impl Iterator<Item = &'a str>) -> u32 {
        if !self.shared.rate.as_ref().is_some_and(Rate::counts_tokens) {
            return 0;
        }
        let tokens: usize = texts.map(|text| self.shared.tokens.count(text)).sum();
        u32::try_from(tokens).unwrap_or(u32::MAX)
    }

    /// Makes a call through all concerns. `attempt` makes one try.
    pub(crate) async fn call<T, F>(&self, call: Call, attempt: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut watch = Watch::start(Callee { port: call.port, backend: self.name, method: call.method });
        let span = watch.span();
        let result = self.tries(call, &mut watch, attempt).instrument(span).await;
        if let Some(breaker) = &self.shared.breaker {
            watch.down(breaker.status().state != BreakerState::Closed);
        }
        watch.end(&result);
        result
    }

    async fn tries<T, F>(&self, call: Call, watch: &mut Watch, attempt: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let times = self.profile.times(call.size);
        let deadline = Deadline::after(times.deadline);
        let mut waits = self.profile.retry.map(Waits::new);
        let permit = self.admit(call, watch, deadline).await?;
        self.shared.budget.earn();
        self.shared.first_tries.fetch_add(1, Ordering::SeqCst);
        let mut result = self.one(permit, times, deadline, attempt()).await;
        while let Err(error) = &result {
            let wait = waits.as_mut().and_then(|waits| waits.next(error, call.repeat));
            let Some(wait) = wait.filter(|wait| deadline.fits(*wait)) else { break };
            // The error of the try is worth more to the caller than the refusal of another one.
            if self.shared.breaker.as_ref().is_some_and(|breaker| breaker.check().is_err()) {
                watch.refused("breaker");
                break;
            }
            if !self.shared.budget.spend() {
                watch.refused("budget");
                break;
            }
            deadline.sleep(wait).await;
            let Ok(permit) = self.admit(call, watch, deadline).await else { break };
            watch.retried();
            self.shared.retries.fetch_add(1, Ordering::SeqCst);
            result = self.one(permit, times, deadline, attempt()).await;
        }
        result
    }

    /// Admits one try: by the breaker, by the rate limit, and by the breaker again, which may have opened while the try was queued.
    async fn admit(&self, call: Call, watch: &Watch, deadline: Deadline) -> Result<Option<Permit>> {
        let breaker = self.shared.breaker.as_ref();
        if let Some(rate) = &self.shared.rate {
            breaker.map_or(Ok(()), |breaker| breaker.check()).inspect_err(|_| watch.refused("breaker"))?;
            rate.pass(self.name, call.tokens, deadline).await.inspect_err(|_| watch.refused("rate"))?;
        }
        breaker.map(Breaker::enter).transpose().inspect_err(|_| watch.refused("breaker"))
    }

    async fn one<T>(
        &self,
        permit: Option<Permit>,
        times: Times,
        deadline: Deadline,
        attempt: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let result = attempt::bounded(self.name, times.attempt, deadline, attempt).await;
        if let Some(permit) = permit {
            permit.settle(&result);
        }
        result
    }
}
