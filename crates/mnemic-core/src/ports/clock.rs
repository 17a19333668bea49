//! Time as an argument. Not here: what time is used for.

use std::{
    fmt::Debug,
    sync::atomic::{AtomicI64, Ordering},
};

use crate::Timestamp;

/// Tells the time.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The instant now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        jiff::Timestamp::now().into()
    }
}

/// A clock that stands still until it is moved, for tests and for replaying a story at its own dates.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.as_micros()))
    }

    /// Moves the clock, in either direction.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_micros(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        // Only values that were timestamps are stored, so the fallback is never taken.
        Timestamp::from_micros(self.0.load(Ordering::SeqCst)).unwrap_or_else(|_| SystemClock.now())
    }
}
