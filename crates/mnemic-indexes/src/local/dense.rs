//! Exact nearest rows by cosine over full-precision embeddings. Not here: the arithmetic (`kernel`).
//!
//! A first pass scores every candidate in single precision. The few that could be among the best, given how far that arithmetic may be
//! off, are scored again exactly as `Embedding::cosine` defines it, so the answer is that of a comparison with every row.

use mnemic_core::{Embedding, EmbeddingModel, Result, inner_product};
use roaring::RoaringBitmap;

use super::{
    kernel::{inner_products, rounding},
    rows::{Ordinal, Rows},
    top::Top,
};

/// Rows that are scored between two looks at the scores: their products stay in the first-level cache.
const BLOCK: usize = 256;

/// The dense half of one namespace's index.
#[derive(Debug, Default)]
pub(crate) struct DenseIndex {
    model: Option<EmbeddingModel>,
    dimension: usize,
    /// One stride per ordinal, as given, not normalized; zeros where there is no embedding.
    vectors: Vec<f32>,
    /// One over the length of each vector; zero where there is none.
    inverse_lengths: Vec<f32>,
    held: RoaringBitmap,
}

impl DenseIndex {
    /// The space of the embeddings, once it is known.
    pub(crate) fn model(&self) -> Option<&EmbeddingModel> {
        self.model.as_ref()
    }

    /// Rows with an embedding.
    pub(crate) fn held(&self) -> &RoaringBitmap {
        &self.held
    }

    /// Components of one embedding; zero if the model is not known.
    pub(crate) fn dimension(&self) -> usize {
        self.dimension
    }

    /// Refuses another space than that of the embeddings that are here.
    pub(crate) fn check(&self, model: &EmbeddingModel) -> Result<()> {
        self.model.as_ref().map_or(Ok(()), |own| own.check_same(model))
    }

    /// Fixes the space. While nothing is held, it can still be changed.
    pub(crate) fn adopt(&mut self, model: &EmbeddingModel) -> Result<()> {
        if !self.held.is_empty() {
            return self.check(model);
        }
        if self.model.as_ref() != Some(model) {
            self.model = Some(model.clone());
            self.dimension = model.dimension() as usize;
            self.vectors = Vec::new();
            self.inverse_lengths = Vec::new();
        }
        Ok(())
    }

    /// Makes room for embeddings of so many rows, so that they are not moved while they arrive.
    pub(crate) fn reserve(&mut self, rows: usize) {
        self.inverse_lengths.reserve_exact(rows);
        self.vectors.reserve_exact(rows * self.dimension);
    }

    /// Sets a row's embedding, whose model has been adopted. Refuses what no [`Embedding`] can be.
    pub(crate) fn set(&mut self, row: Ordinal, components: &[f32]) -> bool {
        let at = row as usize;
        if components.is_empty() || components.len() != self.dimension {
            return false;
        }
        let inverse = inverse_length(components);
        if !(inverse > 0.0 && inverse.is_finite()) {
            return false;
        }
        if self.inverse_lengths.len() <= at {
            self.inverse_lengths.resize(at + 1, 0.0);
            self.vectors.resize((at + 1) * self.dimension, 0.0);
        }
        let place = at * self.dimension..(at + 1) * self.dimension;
        if let (Some(vector), Some(length)) = (self.vectors.get_mut(place), self.inverse_lengths.get_mut(at)) {
            vector.copy_from_slice(components);
            *length = inverse;
            self.held.insert(row);
        }
        true
    }

    /// Takes a row's embedding out.
    pub(crate) fn remove(&mut self, row: Ordinal) {
        if self.held.remove(row) {
            let at = row as usize;
            if let Some(vector) = self.vectors.get_mut(at * self.dimension..(at + 1) * self.dimension) {
                vector.fill(0.0);
            }
            if let Some(inverse) = self.inverse_lengths.get_mut(at) {
                *inverse = 0.0;
            }
        }
    }

    /// A row's embedding as it was given.
    pub(crate) fn vector(&self, row: Ordinal) -> Option<&[f32]> {
        let at = row as usize;
        if self.held.contains(row) { self.vectors.get(at * self.dimension..(at + 1) * self.dimension) } else { None }
    }

    /// Takes over new ordinals. The rows move towards the front and keep their order.
    pub(crate) fn compact(&mut self, moved: &[Option<Ordinal>]) {
        if self.dimension == 0 {
            return;
        }
        let mut held = RoaringBitmap::new();
        let mut end = 0;
        for (from, to) in moved.iter().enumerate().take(self.inverse_lengths.len()) {
            let Some(to) = to.map(|to| to as usize) else { continue };
            self.vectors.copy_within(from * self.dimension..(from + 1) * self.dimension, to * self.dimension);
            self.inverse_lengths.copy_within(from..=from, to);
            if self.held.contains(from as Ordinal) {
                held.insert(to as Ordinal);
            }
            end = to + 1;
        }
        self.vectors.truncate(end * self.dimension);
        self.inverse_lengths.truncate(end);
        self.vectors.shrink_to_fit();
        self.held = held;
    }

    /// The closest rows to `query`, among `passed` if given.
    pub(crate) fn search(
        &self,
        query: &Embedding,
        passed: Option<&RoaringBitmap>,
        rows: &Rows,
        limit: usize,
    ) -> Vec<(f32, Ordinal)> {
        if self.held.is_empty() || limit == 0 || query.components().len() != self.dimension {
            return Vec::new();
        }
        let scale = 1.0 / length(query.components());
        let unit: Vec<f32> = query.components().iter().map(|x| (f64::from(*x) * scale) as f32).collect();
        // Twice, because both the best and the candidate may be off; twice again for the rounding of the lengths.
        let mut nearest = Nearest::new(limit, 4.0 * rounding(self.dimension));
        match passed {
            None => self.score_all(&unit, &mut nearest),
            Some(passed) => self.score_some(&unit, &(passed & &self.held), &mut nearest),
        }
        let query_length = length(query.components());
        let mut top = Top::new(limit, rows);
        for row in nearest.into_rows() {
            if let Some(vector) = self.vector(row) {
                top.offer(cosine(query.components(), vector, query_length), row);
            }
        }
        top.into_sorted()
    }

    fn score_all(&self, unit: &[f32], nearest: &mut Nearest) {
        let mut products = [0.0; BLOCK];
        let mut first = 0;
        for (vectors, inverses) in self.vectors.chunks(BLOCK * self.dimension).zip(self.inverse_lengths.chunks(BLOCK)) {
            inner_products(unit, vectors, &mut products);
            for ((row, product), inverse) in (first..).zip(&products).zip(inverses) {
                let score = product * inverse;
                // A row without an embedding has an inverse length of zero and is no candidate, whatever the floor.
                if score >= nearest.floor && *inverse > 0.0 {
                    nearest.offer(score, row);
                }
            }
            first += BLOCK as Ordinal;
        }
    }

    fn score_some(&self, unit: &[f32], candidates: &RoaringBitmap, nearest: &mut Nearest) {
        let mut product = [0.0];
        for row in candidates {
            if let (Some(vector), Some(inverse)) = (self.vector(row), self.inverse_lengths.get(row as usize)) {
                inner_products(unit, vector, &mut product);
                nearest.offer(product[0] * inverse, row);
            }
        }
    }

    /// Bytes of memory, estimated.
    pub(crate) fn bytes(&self) -> u64 {
        ((self.vectors.capacity() + self.inverse_lengths.capacity()) * 4) as u64
    }
}

fn length(vector: &[f32]) -> f64 {
    inner_product(vector, vector).sqrt()
}

/// One over the length, in single precision where that is precise.
fn inverse_length(vector: &[f32]) -> f32 {
    let mut square = [0.0];
    inner_products(vector, vector, &mut square);
    if (1e-30..1e30).contains(&square[0]) { 1.0 / square[0].sqrt() } else { (1.0 / length(vector)) as f32 }
}

/// The same arithmetic, in the same order, as `Embedding::cosine`.
fn cosine(query: &[f32], vector: &[f32], query_length: f64) -> f32 {
    (inner_product(query, vector) / (query_length * length(vector))).clamp(-1.0, 1.0) as f32
}

/// The rows whose first score lies within `margin` of the best `limit`.
#[derive(Debug)]
struct Nearest {
    limit: usize,
    margin: f32,
    kept: Vec<(f32, Ordinal)>,
    /// A row that scores less cannot be among the best, however both scores are off.
    floor: f32,
    /// How many to keep before the next look.
    full: usize,
}

impl Nearest {
    fn new(limit: usize, margin: f32) -> Self {
        Self { limit, margin, kept: Vec::new(), floor: f32::NEG_INFINITY, full: 2 * limit + 64 }
    }

    fn offer(&mut self, score: f32, row: Ordinal) {
        if score < self.floor {
            return;
        }
        self.kept.push((score, row));
        if self.kept.len() >= self.full {
            self.shrink();
            self.full = 2 * self.kept.len() + 64;
        }
    }

    fn shrink(&mut self) {
        if self.kept.len() > self.limit {
            let (_, last, _) = self.kept.select_nth_unstable_by(self.limit - 1, |a, b| b.0.total_cmp(&a.0));
            let floor = last.0 - self.margin;
            self.floor = floor;
            self.kept.retain(|(score, _)| *score >= floor);
        }
    }

    fn into_rows(mut self) -> impl Iterator<Item = Ordinal> {
        self.shrink();
        self.kept.into_iter().map(|(_, row)| row)
    }
}
