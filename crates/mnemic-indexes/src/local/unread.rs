//! The texts of changes, read before the index is locked. Not here: reading one (`analyze`), which texts those are (`state`).

use crate::analyze::{Reading, read_all};

/// What has to be read to apply one change.
#[derive(Debug, Default)]
pub(crate) struct Unread<'c> {
    /// The record's text, unless the index holds it already.
    pub(crate) new: Option<&'c str>,
    /// The text that it replaces.
    pub(crate) old: Option<Box<str>>,
}

/// The same, read.
#[derive(Debug, Default)]
pub(crate) struct Readings {
    pub(crate) new: Option<Reading>,
    pub(crate) old: Option<(Box<str>, Reading)>,
}

impl Unread<'_> {
    /// Reads what many changes bring, on every processor.
    pub(crate) fn read(changes: Vec<Self>) -> Vec<Readings> {
        let texts: Vec<Option<&str>> = changes.iter().flat_map(|change| [change.new, change.old.as_deref()]).collect();
        let mut read = read_all(&texts).into_iter();
        changes
            .into_iter()
            .map(|change| Readings { new: read.next().flatten(), old: change.old.zip(read.next().flatten()) })
            .collect()
    }
}
