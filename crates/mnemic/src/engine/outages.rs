//! Since when a part is down, as this process saw it. Not here: asking the parts (`manager/health`).

use std::sync::PoisonError;

use mnemic_core::{Error, ErrorKind, Result, Timestamp};

use super::Engine;

/// A part that does not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outage {
    /// When this process saw the first failure of the present row.
    pub(crate) since: Timestamp,
    /// When it saw the last one.
    pub(crate) last: Timestamp,
    /// The last failure.
    pub(crate) why: String,
}

/// Whether an error says that a backend is away rather than that a request was wrong.
pub(crate) fn is_away(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::RateLimited)
}

impl Engine {
    /// Passes an outcome on and remembers what it tells about `part`.
    pub(crate) fn noted<T>(&self, part: &str, outcome: Result<T>) -> Result<T> {
        match &outcome {
            Ok(_) => self.note_up(part),
            Err(error) if is_away(error) || error.kind() == ErrorKind::Denied => self.note_down(part, error),
            Err(_) => {}
        }
        outcome
    }

    pub(crate) fn note_up(&self, part: &str) {
        let mut outages = self.outages.lock().unwrap_or_else(PoisonError::into_inner);
        if outages.remove(part).is_some() {
            tracing::info!(part, "serves again");
        }
    }

    pub(crate) fn note_down(&self, part: &str, error: &Error) {
        let since = self.clock.now();
        let mut outages = self.outages.lock().unwrap_or_else(PoisonError::into_inner);
        let why = error.to_string();
        let again = |outage: &mut Outage| (outage.why, outage.last) = (why.clone(), since);
        outages.entry(part.to_owned()).and_modify(again).or_insert_with(|| {
            tracing::warn!(part, %error, "does not serve");
            Outage { since, last: since, why: why.clone() }
        });
    }

    /// Since when a part is down, if it is.
    pub(crate) fn outage(&self, part: &str) -> Option<Outage> {
        self.outages.lock().unwrap_or_else(PoisonError::into_inner).get(part).cloned()
    }
}
