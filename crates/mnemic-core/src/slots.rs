//! A thread's small current state: named strings with a version. Not here: composing them into a prompt (`policy::prompt`).

use std::collections::BTreeMap;

use crate::{
    Error, Result, ThreadId, Timestamp, Version,
    ids::{check_label, check_text},
    limits,
};

/// Named strings such as `persona`, `long_term_facts`, `open_loops`, `recent_summary`.
pub type Slots = BTreeMap<String, String>;

/// The slots of a thread at one version. A thread without slots is empty at version 0: absent and empty are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionedSlots {
    /// The named strings.
    pub slots: Slots,
    /// How often they were written.
    pub version: Version,
    /// When they were last written.
    pub updated_at: Option<Timestamp>,
}

/// What must hold of the stored version for a write to happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing.
    #[default]
    Any,
    /// The stored version is this one; `Version::NONE` means: must not exist yet.
    Version(Version),
}

impl Precondition {
    /// Checks the stored version.
    ///
    /// # Errors
    /// `Conflict`, naming `what` and both versions.
    pub fn check(self, what: impl std::fmt::Display, stored: Version) -> Result<()> {
        match self {
            Self::Any => Ok(()),
            Self::Version(expected) if expected == stored => Ok(()),
            Self::Version(expected) => {
                let message = format!("{what}: expected version {expected}, found version {stored}");
                Err(Error::new(crate::ErrorKind::Conflict, message))
            }
        }
    }
}

/// How a write combines with what is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlotMode {
    /// Named slots are set; others stay.
    #[default]
    Merge,
    /// The thread has exactly these slots afterwards.
    Replace,
}

/// A change of one thread's slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotWrite {
    /// The thread.
    pub thread_id: ThreadId,
    /// The new value of each named slot; `None` removes it.
    pub changes: BTreeMap<String, Option<String>>,
    /// How it combines with what is there.
    pub mode: SlotMode,
    /// What must hold for the write to happen.
    pub expect: Precondition,
}

impl SlotWrite {
    /// Checks names and values.
    ///
    /// # Errors
    /// `InvalidInput`, naming the slot.
    pub fn check(&self) -> Result<()> {
        for (name, value) in &self.changes {
            check_label("slots", name, limits::LABEL_BYTES)?;
            if let Some(text) = value {
                check_text(&format!("slots.{name}"), text, limits::TEXT_BYTES)?;
            }
        }
        Ok(())
    }

    /// The slots after this write.
    ///
    /// # Errors
    /// `InvalidInput` if there would be too many.
    pub fn applied_to(&self, before: &Slots) -> Result<Slots> {
        let mut after = match self.mode {
            SlotMode::Merge => before.clone(),
            SlotMode::Replace => Slots::new(),
        };
        for (name, value) in &self.changes {
            match value {
                Some(text) => drop(after.insert(name.clone(), text.clone())),
                None => drop(after.remove(name)),
            }
        }
        if after.len() > limits::SLOTS {
            return Err(Error::invalid("slots", format!("at most {} slots", limits::SLOTS), after.len()));
        }
        Ok(after)
    }
}
