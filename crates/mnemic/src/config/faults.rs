//! Collecting faults, so that all of them are told at once. Not here: what a fault is (each source knows).

use std::fmt;

use mnemic_core::{Error, ErrorKind, Result};

/// The faults so far, one line each.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<String>);

impl Faults {
    /// Adds one fault found at `place`: a flag, a variable, a file or a line of it.
    pub(super) fn push(&mut self, place: impl fmt::Display, fault: impl fmt::Display) {
        // One line each: nothing that a file or a variable holds may begin a line of its own.
        let line = format!("{place}: {fault}");
        self.0.push(line.replace(|c: char| c.is_control(), "\u{fffd}"));
    }

    /// The value, or nothing and one more fault.
    pub(super) fn keep<T, E: fmt::Display>(
        &mut self,
        place: impl fmt::Display,
        result: std::result::Result<T, E>,
    ) -> Option<T> {
        result.map_err(|fault| self.push(place, fault)).ok()
    }

    /// One error for all of them.
    pub(super) fn error(self) -> Error {
        Error::new(ErrorKind::InvalidConfig, self.0.join("\n"))
    }

    /// The value if there was no fault.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(self.error()),
        }
    }
}
