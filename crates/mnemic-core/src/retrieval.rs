//! What a retrieval answers: a record, its score, and why it is where it is. Not here: how scores come about (`policy`).

use std::fmt;

use crate::MemoryRecord;

/// One way of searching.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Leg {
    /// By embedding.
    Dense,
    /// By words.
    Lexical,
}

impl Leg {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::Lexical => "lexical",
        }
    }
}

impl fmt::Display for Leg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What one leg thought of a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LegScore {
    /// Which leg.
    pub leg: Leg,
    /// The position in that leg's list, from 1.
    pub rank: u32,
    /// The leg's own score: cosine in [-1, 1] or BM25 above 0.
    pub raw: f32,
    /// What it adds to the fused score.
    pub contribution: f64,
}

/// A factor in (0, 1] that the fused score was multiplied with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PriorFactor {
    /// `salience`, `confidence` or `recency`.
    pub name: &'static str,
    /// The factor.
    pub factor: f64,
}

/// Why a hit is where it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Explanation {
    /// What each leg that found it thought.
    pub legs: Vec<LegScore>,
    /// The fused score before priors, 0 to 1.
    pub fused: f64,
    /// The factors applied to it.
    pub priors: Vec<PriorFactor>,
    /// The second opinion, where one was asked.
    pub rerank: Option<f32>,
    /// The hit above with nearly the same text, because of which this one was moved down.
    pub repeats: Option<crate::RecordId>,
}

/// One record that a retrieval found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// The record.
    pub record: MemoryRecord,
    /// The final score, 0 to 1, higher is better. It orders the hits of one retrieval: each leg's best hit counts in full, whatever it is
    /// about. How close a hit is by itself, `raw` of its legs tells.
    pub score: f64,
    /// Why.
    pub explanation: Explanation,
}
