//! Figures and traces of every call. Not here: where they are sent (the program that installs a recorder and a subscriber).
//!
//! | name | type | labels | tells |
//! |---|---|---|---|
//! | [`CALLS`] | counter | `port`, `backend`, `method`, `outcome` | calls; `outcome` is `ok`, an error kind such as `unavailable`, or `abandoned` by the caller |
//! | [`SECONDS`] | histogram | `port`, `backend`, `method`, `outcome` | how long the call took, with queues, sleeps and retries |
//! | [`RETRIES`] | counter | `port`, `backend`, `method` | tries after the first |
//! | [`REFUSALS`] | counter | `port`, `backend`, `by` | calls ended by a layer: `breaker`, `rate`, or (a retry that was due) `budget` |
//! | [`DOWN`] | gauge | `port`, `backend` | 1 while the breaker is not closed, else 0; set at each call |
//!
//! No label grows with use: no namespace, no id. Neither figures nor traces hold content, ids or messages, because a message may name
//! what the caller sent. Each call is a span `backend_call` and ends with one event: `debug` if it succeeded, `warn` if the backend
//! could not be used, else `debug` again, for a wrong value is the caller's affair.

use mnemic_core::{Error, ErrorKind, Result};
use tokio::time::Instant;
use tracing::Span;

/// Calls by outcome.
pub const CALLS: &str = "mnemic_backend_calls_total";
/// Duration of calls in seconds.
pub const SECONDS: &str = "mnemic_backend_call_seconds";
/// Tries after the first.
pub const RETRIES: &str = "mnemic_backend_retries_total";
/// Calls, or retries that were due, that a layer refused.
pub const REFUSALS: &str = "mnemic_backend_refusals_total";
/// Whether the breaker keeps calls away.
pub const DOWN: &str = "mnemic_backend_down";

/// Who is called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Callee {
    pub(crate) port: &'static str,
    pub(crate) backend: &'static str,
    pub(crate) method: &'static str,
}

/// One call from its beginning to its end, also if the caller gives it up.
#[derive(Debug)]
pub(crate) struct Watch {
    callee: Callee,
    start: Instant,
    retries: u32,
    outcome: &'static str,
    span: Span,
}

impl Watch {
    pub(crate) fn start(callee: Callee) -> Self {
        let Callee { port, backend, method } = callee;
        let span = tracing::debug_span!("backend_call", port, backend, method);
        Self { callee, start: Instant::now(), retries: 0, outcome: "abandoned", span }
    }

    /// The span that the call runs in.
    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    /// Counts a try after the first.
    pub(crate) fn retried(&mut self) {
        self.retries += 1;
    }

    /// Counts what a layer refused.
    pub(crate) fn refused(&self, by: &'static str) {
        let Callee { port, backend, .. } = self.callee;
        metrics::counter!(REFUSALS, "port" => port, "backend" => backend, "by" => by).increment(1);
    }

    /// Tells whether the breaker keeps calls away.
    pub(crate) fn down(&self, down: bool) {
        let Callee { port, backend, .. } = self.callee;
        metrics::gauge!(DOWN, "port" => port, "backend" => backend).set(if down { 1.0 } else { 0.0 });
    }

    /// Ends the call.
    pub(crate) fn end<T>(mut self, result: &Result<T>) {
        self.outcome = result.as_ref().map_err(Error::kind).map_or_else(ErrorKind::as_str, |_| "ok");
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Callee { port, backend, method } = self.callee;
        let (outcome, retries, elapsed) = (self.outcome, self.retries, self.start.elapsed());
        metrics::counter!(CALLS, "port" => port, "backend" => backend, "method" => method, "outcome" => outcome)
            .increment(1);
        metrics::histogram!(SECONDS, "port" => port, "backend" => backend, "method" => method, "outcome" => outcome)
            .record(elapsed.as_secs_f64());
        if retries > 0 {
            metrics::counter!(RETRIES, "port" => port, "backend" => backend, "method" => method)
                .increment(u64::from(retries));
        }
        let _entered = self.span.enter();
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        if is_trouble(outcome) {
            tracing::warn!(outcome, retries, millis, "a backend could not be used");
        } else {
            tracing::debug!(outcome, retries, millis, "a backend was called");
        }
    }
}

/// Whether somebody who runs the system should look at it, as opposed to somebody who calls it.
fn is_trouble(outcome: &str) -> bool {
    [
        ErrorKind::Unavailable,
        ErrorKind::RateLimited,
        ErrorKind::Denied,
        ErrorKind::InvalidConfig,
        ErrorKind::Corrupted,
        ErrorKind::Bug,
    ]
    .iter()
    .any(|kind| kind.as_str() == outcome)
}

#[cfg(test)]
#[path = "observe_tests.rs"]
mod tests;
