//! Keeps expected panics off the screen. Not here: panics of the tests themselves, which are told as always.

use std::{panic, sync::Once, thread};

use mnemic_conformance::CaseOutcome;

/// What a case that fails on purpose says is in its outcome; only what other threads say is printed.
pub(crate) fn expect_panics_in_cases() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let told = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if thread::current().name().is_none_or(|name| !name.starts_with("tokio")) {
                told(panic);
            }
        }));
    });
}

/// The cases that failed, and why.
pub(crate) fn failures(outcomes: &[CaseOutcome]) -> Vec<String> {
    outcomes.iter().filter_map(|o| Some(format!("{}: {}", o.name, o.failure.as_ref()?))).collect()
}
