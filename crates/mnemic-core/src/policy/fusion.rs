//! Fusion: several ranked lists into one. Not here: priors, diversity, hydration.
//!
//! `Weighted` adds each leg's min-max normalized scores (convex combination; Bruch et al., 2023, "An Analysis of Fusion
//! Functions for Hybrid Retrieval"); `ReciprocalRank` adds `1 / (k + rank)` (Cormack et al., 2009). Weighted is the default:
//! where one leg is blind to a language it degrades gently, reciprocal ranks do not.

use std::collections::{HashMap, hash_map::Entry};

use crate::{Leg, LegScore, RecordId, Version, ports::IndexHit};

/// How lists are fused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fusion {
    /// The weighted sum of normalized scores.
    #[default]
    Weighted,
    /// The weighted sum of reciprocal ranks, scaled to [0, 1].
    ReciprocalRank {
        /// How slowly the weight falls with the rank; 60 in the literature.
        k: u32,
    },
}

/// One leg's answer.
#[derive(Clone, Copy, Debug)]
pub struct LegList<'a> {
    /// Which leg.
    pub leg: Leg,
    /// How much it counts, above 0.
    pub weight: f64,
    /// Its hits, best first.
    pub hits: &'a [IndexHit],
}

impl<'a> LegList<'a> {
    /// The hits whose score is a number; a remote index may answer otherwise.
    fn finite(&self) -> impl Iterator<Item = &'a IndexHit> + use<'a> {
        self.hits.iter().filter(|hit| hit.score.is_finite())
    }
}

/// A record that some leg found.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate<'a> {
    /// Which record.
    pub id: &'a RecordId,
    /// The newest revision that a leg saw.
    pub version: Version,
    /// The fused score, 0 to 1.
    pub fused: f64,
    /// What each leg thought.
    pub legs: Vec<LegScore>,
}

/// Fuses lists into candidates, best first, ties by id. A leg that found a record several times counts its best.
pub fn fuse<'a>(fusion: Fusion, lists: &[LegList<'a>]) -> Vec<Candidate<'a>> {
    let total = lists.iter().map(|list| list.weight).sum::<f64>().max(f64::MIN_POSITIVE);
    let most = lists.iter().map(|list| list.hits.len()).sum();
    let mut places: HashMap<&RecordId, usize> = HashMap::with_capacity(most);
    let mut candidates: Vec<Candidate<'_>> = Vec::with_capacity(most);
    for list in lists {
        let normalize = Normalizer::of(fusion, list);
        for (position, hit) in list.finite().enumerate() {
            let place = match places.entry(&hit.id) {
                Entry::Occupied(place) => *place.get(),
                Entry::Vacant(place) => {
                    candidates.push(Candidate { id: &hit.id, version: hit.version, fused: 0.0, legs: Vec::new() });
                    *place.insert(candidates.len() - 1)
                }
            };
            let Some(candidate) = candidates.get_mut(place) else { continue };
            if candidate.legs.iter().any(|score| score.leg == list.leg) {
                continue;
            }
            let rank = position as u32 + 1;
            let contribution = normalize.score(rank, hit.score) * list.weight / total;
            candidate.version = candidate.version.max(hit.version);
            candidate.fused += contribution;
            candidate.legs.push(LegScore { leg: list.leg, rank, raw: hit.score, contribution });
        }
    }
    for candidate in &mut candidates {
        candidate.legs.sort_by_key(|score| score.leg);
        candidate.fused = candidate.legs.iter().map(|score| score.contribution).sum::<f64>().clamp(0.0, 1.0);
    }
    candidates.sort_unstable_by(|a, b| b.fused.total_cmp(&a.fused).then_with(|| a.id.cmp(b.id)));
    candidates
}

enum Normalizer {
    MinMax { floor: f64, range: f64 },
    Reciprocal { k: f64 },
}

impl Normalizer {
    fn of(fusion: Fusion, list: &LegList<'_>) -> Self {
        match fusion {
            Fusion::ReciprocalRank { k } => Self::Reciprocal { k: f64::from(k) },
            Fusion::Weighted => {
                let scores = || list.finite().map(|hit| f64::from(hit.score));
                let best = scores().fold(f64::NEG_INFINITY, f64::max);
                // A BM25 score has a natural zero; a cosine's lies wherever unrelated texts happen to lie.
                let floor = match list.leg {
                    Leg::Lexical => 0.0,
                    Leg::Dense => scores().fold(f64::INFINITY, f64::min).min(best),
                };
                Self::MinMax { floor, range: best - floor }
            }
        }
    }

    fn score(&self, rank: u32, raw: f32) -> f64 {
        match *self {
            Self::Reciprocal { k } => (k + 1.0) / (k + f64::from(rank)),
            Self::MinMax { floor, range } if range > 0.0 => ((f64::from(raw) - floor) / range).clamp(0.0, 1.0),
            Self::MinMax { .. } => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(scores: &[(&str, f32)]) -> Vec<IndexHit> {
        scores
            .iter()
            .map(|(id, score)| IndexHit { id: RecordId::new(id).unwrap(), version: Version(1), score: *score })
            .collect()
    }

    fn order<'a>(candidates: &[Candidate<'a>]) -> Vec<&'a str> {
        candidates.iter().map(|candidate| candidate.id.as_str()).collect()
    }

    #[test]
    fn fusing_is_bounded_and_does_not_depend_on_the_order_of_legs() {
        let dense = hits(&[("a", 0.9), ("b", 0.5), ("c", 0.1)]);
        let lexical = hits(&[("b", 12.0), ("d", 3.0)]);
        let a = LegList { leg: Leg::Dense, weight: 0.5, hits: &dense };
        let b = LegList { leg: Leg::Lexical, weight: 0.5, hits: &lexical };
        for fusion in [Fusion::Weighted, Fusion::ReciprocalRank { k: 60 }] {
            let fused = fuse(fusion, &[a, b]);
            assert_eq!(fused, fuse(fusion, &[b, a]));
            assert!(fused.iter().all(|candidate| (0.0..=1.0).contains(&candidate.fused)));
            assert_eq!(order(&fused)[0], "b");
        }
    }

    #[test]
    fn a_single_list_keeps_its_order_and_ties_break_by_id() {
        let list = hits(&[("z", 2.0), ("a", 2.0), ("m", 1.0)]);
        let fused = fuse(Fusion::Weighted, &[LegList { leg: Leg::Lexical, weight: 1.0, hits: &list }]);
        assert_eq!(order(&fused), ["a", "z", "m"]);
        assert!((fused[0].fused - 1.0).abs() < 1e-12);
        assert!(fuse(Fusion::Weighted, &[]).is_empty());
    }

    #[test]
    fn a_score_that_is_no_number_is_no_hit_and_weights_of_zero_rank_by_id() {
        let list = hits(&[("x", f32::NAN), ("b", 2.0), ("a", 1.0), ("y", f32::INFINITY)]);
        let weighted = |weight| fuse(Fusion::Weighted, &[LegList { leg: Leg::Dense, weight, hits: &list }]);
        assert_eq!(order(&weighted(1.0)), ["b", "a"]);
        assert_eq!(order(&weighted(0.0)), ["a", "b"]);
    }

    #[test]
    fn raising_a_score_never_lowers_a_candidate() {
        let lower = hits(&[("a", 5.0), ("b", 4.0), ("c", 1.0)]);
        let higher = hits(&[("a", 5.0), ("b", 4.9), ("c", 1.0)]);
        let score = |list: &[IndexHit]| {
            let fused = fuse(Fusion::Weighted, &[LegList { leg: Leg::Lexical, weight: 1.0, hits: list }]);
            fused.iter().find(|candidate| candidate.id.as_str() == "b").unwrap().fused
        };
        assert!(score(&higher) > score(&lower));
    }
}
