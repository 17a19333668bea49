//! Refuses calls to a backend that is down, at once and at no cost, and finds out by single probes when it is back.
//! Not here: what a caller does without the backend.
//!
//! ```text
//! closed ── N failures in a row ──▶ open ── rest is over ──▶ probing (one call) ── it answers ──▶ closed
//!                                    ▲                              │
//!                                    └────────── it fails ──────────┘
//! ```
//!
//! Only [`ErrorKind::Unavailable`] means "down". An answer, and a refusal that only the backend can have made, means "up". Every other
//! error (a wrong value, what is not offered, a bug) may have been found without asking the backend and says nothing either way.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mnemic_core::{Error, ErrorKind, Result, Retry};
use tokio::time::Instant;

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerConfig {
    /// Failures in a row that open it, at least 1.
    pub failures: u32,
    /// How long it stays open before each probe.
    pub rest: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self { failures: 5, rest: Duration::from_secs(5) }
    }
}

/// Whether calls are let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// They are.
    Closed,
    /// They are refused.
    Open,
    /// The rest is over: one call is let through, or is on its way, and the others are refused until it has answered.
    Probing,
}

/// What a breaker tells health checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerStatus {
    /// Whether calls are let through.
    pub state: BreakerState,
    /// How long it has not been closed, across failed probes; `None` if it is closed.
    pub down_for: Option<Duration>,
    /// Failures in a row so far.
    pub failures: u32,
    /// The kind and message of the last failure that meant "down"; the message is safe to show. `None` after a success.
    pub why: Option<(ErrorKind, String)>,
    /// Calls refused since it was made.
    pub refused: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open { since: Instant, until: Instant },
    Probing { since: Instant },
}

/// What one try says about the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Evidence {
    Up,
    Down,
    None,
}

impl Evidence {
    /// Reads the outcome of a try.
    pub(crate) fn of<T>(result: &Result<T>) -> Self {
        match result.as_ref().map_err(Error::kind) {
            Ok(_) | Err(ErrorKind::RateLimited | ErrorKind::Conflict | ErrorKind::NotFound) => Self::Up,
            Err(ErrorKind::Unavailable) => Self::Down,
            Err(_) => Self::None,
        }
    }
}

/// The states, as a function of events and their times.
#[derive(Debug)]
struct Machine {
    config: BreakerConfig,
    state: State,
    failures: u32,
    /// Counts changes of state, so that a try that began in an earlier one changes nothing.
    era: u64,
    why: Option<(ErrorKind, String)>,
    refused: u64,
}

impl Machine {
    /// Lets a call through, answering whether it is the probe, or says how long to stay away.
    fn enter(&mut self, now: Instant) -> Result<bool, Duration> {
        match self.state {
            State::Closed => Ok(false),
            State::Open { since, until } if until <= now => {
                self.go(State::Probing { since });
                Ok(true)
            }
            _ => Err(self.refuse(now)),
        }
    }

    /// How long to stay away, if a call would not be let through now.
    fn refuse(&mut self, now: Instant) -> Duration {
        self.refused += 1;
        match self.state {
            State::Open { until, .. } => until.saturating_duration_since(now).max(Duration::from_millis(1)),
            _ => self.config.rest.min(Duration::from_secs(1)),
        }
    }

    fn would_refuse(&self, now: Instant) -> bool {
        match self.state {
            State::Closed => false,
            State::Open { until, .. } => now < until,
            State::Probing { .. } => true,
        }
    }

    fn settle(&mut self, now: Instant, era: u64, evidence: Evidence) {
        if era != self.era {
            return;
        }
        match (self.state, evidence) {
            (State::Open { .. }, _) | (State::Closed, Evidence::None) => {}
            (State::Closed, Evidence::Up) => (self.failures, self.why) = (0, None),
            (State::Closed, Evidence::Down) => {
                self.failures += 1;
                if self.failures >= self.config.failures.max(1) {
                    self.go(State::Open { since: now, until: now + self.config.rest });
                }
            }
            (State::Probing { .. }, Evidence::Up) => {
                (self.failures, self.why) = (0, None);
                self.go(State::Closed);
            }
            (State::Probing { since }, Evidence::Down) => {
                self.failures = self.failures.saturating_add(1);
                self.go(State::Open { since, until: now + self.config.rest });
            }
            // A probe that says nothing, or that its caller gave up, leaves the question to the next call.
            (State::Probing { since }, Evidence::None) => self.go(State::Open { since, until: now }),
        }
    }

    fn go(&mut self, state: State) {
        (self.state, self.era) = (state, self.era + 1);
    }
}

/// A circuit breaker, shared by all calls to one backend.
#[derive(Debug)]
pub struct Breaker {
    backend: &'static str,
    machine: Mutex<Machine>,
}

impl Breaker {
    /// A closed breaker.
    pub fn new(backend: &'static str, config: BreakerConfig) -> Self {
        let machine = Machine { config, state: State::Closed, failures: 0, era: 0, why: None, refused: 0 };
        Self { backend, machine: Mutex::new(machine) }
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses if a call made now would be refused; takes nothing.
    pub(crate) fn check(&self) -> Result<()> {
        let now = Instant::now();
        let mut machine = self.machine();
        if machine.would_refuse(now) { Err(self.error(machine.refuse(now))) } else { Ok(()) }
    }

    /// Lets one try through, which tells its outcome to the permit, or refuses it.
    pub(crate) fn enter(self: &Arc<Self>) -> Result<Permit> {
        let mut machine = self.machine();
        machine.enter(Instant::now()).map_err(|wait| self.error(wait))?;
        Ok(Permit { breaker: Arc::clone(self), era: machine.era })
    }

    fn error(&self, wait: Duration) -> Error {
        Error::new(ErrorKind::Unavailable, format!("{} is down and not asked until it has rested", self.backend))
            .with_retry(Retry::After(wait))
    }

    /// What it tells health checks.
    pub fn status(&self) -> BreakerStatus {
        let (now, machine) = (Instant::now(), self.machine());
        let (state, since) = match machine.state {
            State::Closed => (BreakerState::Closed, None),
            State::Open { since, until } if until <= now => (BreakerState::Probing, Some(since)),
            State::Open { since, .. } => (BreakerState::Open, Some(since)),
            State::Probing { since } => (BreakerState::Probing, Some(since)),
        };
        BreakerStatus {
            state,
            down_for: since.map(|since| now.saturating_duration_since(since)),
            failures: machine.failures,
            why: machine.why.clone(),
            refused: machine.refused,
        }
    }
}

/// One try that was let through. Dropped without an outcome, it says nothing.
#[derive(Debug)]
pub(crate) struct Permit {
    breaker: Arc<Breaker>,
    era: u64,
}

impl Permit {
    /// Tells the outcome.
    pub(crate) fn settle<T>(self, result: &Result<T>) {
        let evidence = Evidence::of(result);
        let mut machine = self.breaker.machine();
        if let (Evidence::Down, Err(error)) = (evidence, result) {
            machine.why = Some((error.kind(), error.message().to_owned()));
        }
        machine.settle(Instant::now(), self.era, evidence);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // After `settle` the era has moved on or the evidence is counted; saying nothing then changes nothing in a closed breaker.
        self.breaker.machine().settle(Instant::now(), self.era, Evidence::None);
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;
