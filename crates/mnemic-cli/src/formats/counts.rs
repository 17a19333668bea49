//! What became of the rows of a source, counted. Not here: the rows that were refused (`import`).

use mnemic::{Object, Value};

/// What became of one namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Loaded {
    /// Records that were not there.
    pub new: u64,
    /// Records that were there and said something else.
    pub replaced: u64,
    /// Records that were there already, and repetitions inside the file.
    pub unchanged: u64,
    /// Records whose embedding follows.
    pub pending: u64,
    /// Records whose embedding in the file is of another model than the memory's, or of one that nobody names.
    pub not_taken: u64,
    /// Events appended.
    pub events: u64,
    /// Threads whose slots were set.
    pub slots: u64,
    /// Journal entries and erased events, which only their own memory can hold.
    pub passed: u64,
}

impl Loaded {
    /// Whether memory changed.
    pub(crate) fn changed(&self) -> bool {
        self.new + self.replaced + self.events + self.slots > 0
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.new += other.new;
        self.replaced += other.replaced;
        self.unchanged += other.unchanged;
        self.pending += other.pending;
        self.not_taken += other.not_taken;
        self.events += other.events;
        self.slots += other.slots;
        self.passed += other.passed;
    }

    /// The counts as an object, without those that are zero, except for records.
    pub(crate) fn object(&self) -> Object {
        let always = [("new", self.new), ("replaced", self.replaced), ("unchanged", self.unchanged)];
        let some = [
            ("pending", self.pending),
            ("embeddings_not_taken", self.not_taken),
            ("events", self.events),
            ("slots", self.slots),
            ("passed", self.passed),
        ];
        let counts = always.into_iter().chain(some.into_iter().filter(|(_, count)| *count > 0));
        counts.map(|(name, count)| (name.to_owned(), Value::from(count))).collect()
    }
}
