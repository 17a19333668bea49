//! Keeps the best few of many scored rows. Not here: scoring (`postings`, `dense`).

use std::cmp::Ordering;

use super::rows::{Ordinal, Rows};

/// The best `limit` rows so far: highest score first, ties by record id.
#[derive(Debug)]
pub(crate) struct Top<'a> {
    limit: usize,
    rows: &'a Rows,
    kept: Vec<(f32, Ordinal)>,
    /// A row that scores less cannot enter.
    floor: f32,
}

impl<'a> Top<'a> {
    pub(crate) fn new(limit: usize, rows: &'a Rows) -> Self {
        Self { limit, rows, kept: Vec::new(), floor: if limit == 0 { f32::INFINITY } else { f32::NEG_INFINITY } }
    }

    /// Whether a row with this score could still enter.
    #[inline]
    pub(crate) fn admits(&self, score: f32) -> bool {
        score >= self.floor
    }

    pub(crate) fn offer(&mut self, score: f32, row: Ordinal) {
        if self.limit == 0 || !self.admits(score) {
            return;
        }
        self.kept.push((score, row));
        if self.kept.len() >= 2 * self.limit + 64 {
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        if self.kept.len() > self.limit {
            let rows = self.rows;
            let (_, last, _) = self.kept.select_nth_unstable_by(self.limit - 1, |a, b| order(rows, *a, *b));
            self.floor = last.0;
            self.kept.truncate(self.limit);
        }
    }

    /// The rows, best first.
    pub(crate) fn into_sorted(mut self) -> Vec<(f32, Ordinal)> {
        self.shrink();
        let rows = self.rows;
        self.kept.sort_unstable_by(|a, b| order(rows, *a, *b));
        self.kept
    }
}

fn order(rows: &Rows, a: (f32, Ordinal), b: (f32, Ordinal)) -> Ordering {
    b.0.total_cmp(&a.0).then_with(|| rows.id(a.1).cmp(&rows.id(b.1)))
}
