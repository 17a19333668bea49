//! What a retrieval is asked and what it answers. Not here: how (`retrieve`).

use std::time::Duration;

use mnemic_core::{Filter, Hit, Leg, Timestamp, UserId};

/// Which ways of searching to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Every way that there is.
    #[default]
    Hybrid,
    /// By embedding only.
    Dense,
    /// By words only.
    Lexical,
}

/// Which records may be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shown {
    /// Those that hold: not expired, not superseded, valid at the time asked about.
    #[default]
    Live,
    /// All that memory holds.
    All,
}

/// What to retrieve.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// What it is about. Always literal text.
    pub text: String,
    /// Most hits, 1 to 1000.
    pub limit: Option<usize>,
    /// Only records of this user.
    pub user_id: Option<UserId>,
    /// Only records that pass.
    pub filter: Filter,
    /// Which ways of searching to use.
    pub mode: Mode,
    /// As memory stood at this instant.
    pub as_of: Option<Timestamp>,
    /// Which records may be shown.
    pub shown: Shown,
    /// The embedding of the query, if the caller made one with the memory's own model. The text may then be empty, and only
    /// search by embedding is done.
    pub embedding: Option<Vec<f32>>,
}

impl Query {
    /// Asks for the ten best records about `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// Hits when none were asked for by number.
    pub const DEFAULT_LIMIT: usize = 10;
}

/// What became of one way of searching.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LegOutcome {
    /// It answered.
    Ran {
        /// How many candidates it brought.
        found: usize,
    },
    /// It was not asked, for this reason.
    Skipped(String),
    /// It failed; the answer is degraded.
    Failed(String),
}

/// One way of searching in one retrieval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegReport {
    /// Which way.
    pub leg: Leg,
    /// Which index served it.
    pub index: &'static str,
    /// What became of it.
    pub outcome: LegOutcome,
    /// How long it took.
    pub took: Duration,
}

/// What a retrieval found, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Retrieval {
    /// The hits, best first.
    pub hits: Vec<Hit>,
    /// Every way of searching.
    pub legs: Vec<LegReport>,
    /// Why the answer may be less than it could be; empty if it is whole.
    pub degraded: Vec<String>,
    /// Candidates that the ledger no longer held in the revision that an index saw.
    pub stale: usize,
    /// How long it took.
    pub took: Duration,
}
