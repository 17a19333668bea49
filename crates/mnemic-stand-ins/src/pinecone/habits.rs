//! What Pinecone does where its description leaves a choice, or only time tells. Not here: plain faults (`knobs`).

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// What becomes of `null` in metadata.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nulls {
    /// The batch is refused.
    #[default]
    Strict,
    /// The field is left out.
    Strip,
}

/// Which headers tell of log positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LsnHeaders {
    /// `x-pinecone-request-lsn` and `x-pinecone-max-indexed-lsn`.
    #[default]
    New,
    /// `x-pinecone-lsn-committed` and `x-pinecone-lsn-reconciled`.
    Old,
    /// None.
    Absent,
}

/// How `values` look that nobody asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnusedValues {
    /// An empty list.
    #[default]
    Empty,
    /// No member.
    Absent,
    /// `null`.
    Null,
}

/// The habits of one stand-in. Clones change the same habits.
#[derive(Clone, Debug, Default)]
pub struct Habits(Arc<Mutex<Set>>);

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each habit is there or not, whatever the others are")]
pub(super) struct Set {
    pub(super) lag: Duration,
    pub(super) held: bool,
    pub(super) fetch_lags: bool,
    pub(super) preparing: Duration,
    pub(super) nulls: Nulls,
    pub(super) lsn: LsnHeaders,
    pub(super) unused_values: UnusedValues,
    pub(super) default_namespace: &'static str,
    pub(super) missing_namespace_everywhere: bool,
    pub(super) too_large_is_413: bool,
    pub(super) missing_is_other: bool,
    pub(super) key: Option<String>,
    pub(super) most_indexes: usize,
}

impl Default for Set {
    fn default() -> Self {
        Self {
            lag: Duration::ZERO,
            held: false,
            fetch_lags: false,
            preparing: Duration::ZERO,
            nulls: Nulls::default(),
            lsn: LsnHeaders::default(),
            unused_values: UnusedValues::default(),
            default_namespace: "__default__",
            missing_namespace_everywhere: false,
            too_large_is_413: false,
            missing_is_other: false,
            key: None,
            most_indexes: 20,
        }
    }
}

impl Habits {
    /// Writes show in queries and listings this much later.
    pub fn lag(&self, lag: Duration) -> &Self {
        self.change(|set| set.lag = lag)
    }

    /// While held, no write shows in queries and listings; those that wait show when it is released and their lag is over.
    pub fn hold(&self, held: bool) -> &Self {
        self.change(|set| set.held = held)
    }

    /// Whether fetching by id lags as queries do.
    pub fn fetch_lags(&self, lags: bool) -> &Self {
        self.change(|set| set.fetch_lags = lags)
    }

    /// New indexes are ready this much later.
    pub fn preparing(&self, preparing: Duration) -> &Self {
        self.change(|set| set.preparing = preparing)
    }

    /// What becomes of `null` in metadata.
    pub fn nulls(&self, nulls: Nulls) -> &Self {
        self.change(|set| set.nulls = nulls)
    }

    /// Which headers tell of log positions.
    pub fn lsn(&self, lsn: LsnHeaders) -> &Self {
        self.change(|set| set.lsn = lsn)
    }

    /// How `values` look that nobody asked for.
    pub fn unused_values(&self, unused_values: UnusedValues) -> &Self {
        self.change(|set| set.unused_values = unused_values)
    }

    /// What answers call the default namespace: `__default__` or the empty string.
    pub fn default_namespace(&self, name: &'static str) -> &Self {
        self.change(|set| set.default_namespace = name)
    }

    /// Whether queries, fetches and listings of a missing namespace are 404 too, and not empty.
    pub fn missing_namespace_everywhere(&self, refused: bool) -> &Self {
        self.change(|set| set.missing_namespace_everywhere = refused)
    }

    /// Whether a body that is too large is 413 instead of 400.
    pub fn too_large_is_413(&self, is_413: bool) -> &Self {
        self.change(|set| set.too_large_is_413 = is_413)
    }

    /// Whether `$ne` and `$nin` pass where the field is missing, which no document says.
    pub fn missing_is_other(&self, passes: bool) -> &Self {
        self.change(|set| set.missing_is_other = passes)
    }

    /// The only key that is accepted; every key is, unless this was called.
    pub fn key(&self, key: &str) -> &Self {
        self.change(|set| set.key = Some(key.to_owned()))
    }

    /// How many indexes the plan allows.
    pub fn most_indexes(&self, most: usize) -> &Self {
        self.change(|set| set.most_indexes = most)
    }

    pub(super) fn now(&self) -> Set {
        self.set().clone()
    }

    fn change(&self, change: impl FnOnce(&mut Set)) -> &Self {
        change(&mut self.set());
        self
    }

    fn set(&self) -> MutexGuard<'_, Set> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
