//! From candidates to hits: read from the ledger, weigh by priors, ask for a second opinion, move repetitions down, cut.
//! Not here: where candidates come from (`retrieve`).

use std::{
    collections::{BTreeMap, HashMap},
    iter::Peekable,
    vec::IntoIter,
};

use mnemic_core::{
    Explanation, Hit, MemoryRecord, RecordId, Result, UserId,
    policy::{duplicates, fusion::Candidate},
    ports::Read,
};

use super::{MemoryManager, Query, Shown, retrieve::Scene};
use crate::engine::Wanted;

/// Above this word similarity a hit repeats the one above it and is moved down.
const REPEATS: f64 = 0.9;
/// Hits, as multiples of the limit, among which repetitions are looked for …
const SPREAD: usize = 3;
/// … and the part of the limit by which those are more that are looked at first: mostly few repeat, and reading takes time.
const FIRST_LOOK: usize = 4;
/// Candidates, as multiples of the hits wanted, that are read at once: among so many are the best in nine of ten retrievals of
/// conversations, after priors moved them.
const AT_ONCE: usize = 2;
/// Hits, as multiples of the limit, that are shown to a reranker.
const RERANKED: usize = 5;

/// Candidates on their way to hits.
struct Hydration<'a> {
    /// Not read yet, best first.
    waiting: Peekable<IntoIter<Candidate<'a>>>,
    /// Read and weighed, best first.
    hits: Vec<Hit>,
    /// How many the ledger did not confirm.
    stale: usize,
    /// Whether the ledger had another revision of one, or none any more.
    changed: bool,
    /// Whether one is not valid yet.
    early: bool,
}

/// The hits of a retrieval, best first.
pub(super) struct Finished {
    pub(super) hits: Vec<Hit>,
    /// How many candidates the ledger did not confirm.
    pub(super) stale: usize,
    /// Whether records changed since an index saw them.
    pub(super) changed: bool,
    /// Whether records were passed over that are not valid yet.
    pub(super) early: bool,
}

impl MemoryManager {
    /// The hits of a retrieval, best first.
    pub(super) async fn finish(
        &self,
        candidates: Vec<Candidate<'_>>,
        scene: &Scene,
        query: &Query,
        limit: usize,
        degraded: &mut Vec<String>,
    ) -> Result<Finished> {
        let waiting = candidates.into_iter().peekable();
        let mut reading = Hydration { waiting, hits: Vec::new(), stale: 0, changed: false, early: false };
        let (first_look, widest) = (limit.saturating_add(limit.div_ceil(FIRST_LOOK)), limit.saturating_mul(SPREAD));
        let mut repeats = HashMap::new();
        if self.engine.reranker.is_some() {
            let shown = limit.saturating_mul(RERANKED);
            self.hydrate(&mut reading, scene, query, shown).await?;
            reading.hits.truncate(shown);
            self.rerank(&query.text, &mut reading.hits, limit, degraded).await;
            repeats = repeating(reading.best(widest));
        } else {
            for depth in [first_look, widest] {
                self.hydrate(&mut reading, scene, query, depth).await?;
                repeats = repeating(reading.best(depth));
                if repeats.is_empty() || reading.best(depth).len() - repeats.len() >= limit {
                    break;
                }
            }
            // What comes after was not compared, so it does not go before what repeats.
            reading.hits.truncate(widest);
        }
        let mut hits = move_down(reading.hits, repeats);
        hits.truncate(limit);
        Ok(Finished { hits, stale: reading.stale, changed: reading.changed, early: reading.early })
    }

    /// Reads until the best `wanted` hits are known. Priors only lower a score, so once that many score at least what the next candidate
    /// was fused to, no candidate further down can come among them and none is read.
    async fn hydrate(&self, reading: &mut Hydration<'_>, scene: &Scene, query: &Query, wanted: usize) -> Result<()> {
        while let Some(next) = reading.waiting.peek() {
            if reading.hits.get(wanted.saturating_sub(1)).is_some_and(|last| last.score > next.fused) {
                break;
            }
            let chunk: Vec<Candidate<'_>> =
                reading.waiting.by_ref().take(wanted.saturating_mul(AT_ONCE).max(16)).collect();
            let records = self.records_of(&chunk, scene).await?;
            for (candidate, record) in chunk.into_iter().zip(records) {
                reading.changed |= record.as_ref().is_none_or(|record| record.version > candidate.version);
                // An index may be behind, coarse, or wrong: what is shown is decided here. Who searches again and meets a record that
                // was written anew once more takes it as it is now: a record that is always there is always found.
                let current = record.filter(|record| {
                    let newer = scene.wanted == Wanted::Committed && record.version > candidate.version;
                    newer || record.version == candidate.version
                });
                let hidden = |record: &MemoryRecord| query.shown == Shown::Live && !record.is_live(scene.now);
                if current.as_ref().is_some_and(|record| record.valid_from > scene.now && hidden(record)) {
                    reading.early = true;
                    continue;
                }
                let current = current.filter(|record| {
                    !hidden(record)
                        && (query.user_id.is_none() || record.user_id == query.user_id)
                        && query.filter.matches(record)
                });
                match current {
                    None => reading.stale += 1,
                    Some(record) => reading.hits.push(self.weigh(candidate, record, scene)),
                }
            }
            reading.hits.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.record.id.cmp(&b.record.id)));
        }
        Ok(())
    }

    async fn records_of(&self, candidates: &[Candidate<'_>], scene: &Scene) -> Result<Vec<Option<MemoryRecord>>> {
        if let Some(past) = &scene.past {
            return Ok(candidates.iter().map(|candidate| past.get(candidate.id).cloned()).collect());
        }
        let ids: Vec<RecordId> = candidates.iter().map(|candidate| candidate.id.clone()).collect();
        let stored = self.engine.ledger.fetch(&self.namespace, &ids, Read::default()).await?;
        Ok(stored.into_iter().map(|stored| stored.map(|stored| stored.record)).collect())
    }

    fn weigh(&self, candidate: Candidate<'_>, record: MemoryRecord, scene: &Scene) -> Hit {
        let priors = self.engine.policies.priors.factors(&record, scene.now);
        let score = priors.iter().fold(candidate.fused, |score, prior| score * prior.factor);
        let explanation =
            Explanation { legs: candidate.legs, fused: candidate.fused, priors, ..Explanation::default() };
        Hit { record, score, explanation }
    }

    /// Reorders the best hits by a second opinion, where one is configured.
    async fn rerank(&self, query: &str, hits: &mut [Hit], limit: usize, degraded: &mut Vec<String>) {
        let Some(reranker) = &self.engine.reranker else { return };
        let depth = hits.len().min(limit.saturating_mul(RERANKED));
        let Some(best) = hits.get_mut(..depth) else { return };
        let texts: Vec<&str> = best.iter().map(|hit| hit.record.text.as_str()).collect();
        match reranker.rerank(query, &texts).await {
            Ok(scores) if scores.len() == best.len() && scores.iter().all(|score| score.is_finite()) => {
                for (hit, score) in best.iter_mut().zip(scores) {
                    hit.explanation.rerank = Some(score);
                }
                best.sort_by(|a, b| {
                    let by_opinion = b.explanation.rerank.partial_cmp(&a.explanation.rerank);
                    by_opinion.unwrap_or(std::cmp::Ordering::Equal).then_with(|| a.record.id.cmp(&b.record.id))
                });
            }
            Ok(_) => degraded
                .push("rerank failed: the reranker did not answer with one finite score for each text".to_owned()),
            Err(error) => degraded.push(format!("rerank failed: {error}")),
        }
    }
}

impl Hydration<'_> {
    /// The best of what is known.
    fn best(&self, wanted: usize) -> &[Hit] {
        self.hits.get(..wanted).unwrap_or(&self.hits)
    }
}

/// Moves hits that repeat a better one of the same user behind all others, keeping the order otherwise, so that a page is not one
/// fact ten times.
fn move_down(hits: Vec<Hit>, mut repeats: HashMap<usize, RecordId>) -> Vec<Hit> {
    let (mut fresh, mut repeating) = (Vec::with_capacity(hits.len()), Vec::new());
    for (position, mut hit) in hits.into_iter().enumerate() {
        hit.explanation.repeats = repeats.remove(&position);
        if hit.explanation.repeats.is_some() { repeating.push(hit) } else { fresh.push(hit) }
    }
    fresh.append(&mut repeating);
    fresh
}

/// The hits, by position, that repeat a better one of the same user, and which.
fn repeating(hits: &[Hit]) -> HashMap<usize, RecordId> {
    let mut of_user: BTreeMap<Option<&UserId>, Vec<(usize, &MemoryRecord)>> = BTreeMap::new();
    for (position, hit) in hits.iter().enumerate() {
        of_user.entry(hit.record.user_id.as_ref()).or_default().push((position, &hit.record));
    }
    let mut repeats = HashMap::new();
    for theirs in of_user.values() {
        let texts: Vec<&str> = theirs.iter().map(|(_, record)| record.text.as_str()).collect();
        for (better, worse, _) in duplicates::repetitions(&texts, REPEATS) {
            if let (Some((_, first)), Some((position, _))) = (theirs.get(better), theirs.get(worse)) {
                repeats.insert(*position, first.id.clone());
            }
        }
    }
    repeats
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Mode, NewRecord, WriteOptions};

    /// Writes records in the order in which they are found; those of the same letter say the same. Answers the letters of the first
    /// `limit` that are found, in capitals where they say that they repeat another.
    async fn found(said: &str, limit: usize) -> String {
        let memory = MemoryManager::dev().unwrap();
        let record = |(position, letter): (usize, char)| {
            // The fewer words beside the one that is asked for, the better the match.
            let beside: String = (0..position_of_first(said, letter))
                .map(|n| [" ", &letter.to_string(), &n.to_string()].concat())
                .collect();
            let id = Some(RecordId::new(format!("{position:03}{letter}")).unwrap());
            NewRecord { id, ..NewRecord::new(format!("wanted {letter}{beside}")) }
        };
        let records = said.chars().enumerate().map(record).collect();
        memory.write(records, &WriteOptions::default()).await.unwrap();
        let query = Query { mode: Mode::Lexical, limit: Some(limit), ..Query::new("wanted") };
        let letter = |hit: &Hit| {
            let letter = hit.record.id.as_str().chars().last().unwrap();
            if hit.explanation.repeats.is_some() { letter.to_ascii_uppercase() } else { letter }
        };
        memory.retrieve(&query).await.unwrap().hits.iter().map(letter).collect()
    }

    fn position_of_first(said: &str, letter: char) -> usize {
        said.chars().position(|other| other == letter).unwrap()
    }

    #[tokio::test]
    async fn what_repeats_a_better_hit_comes_after_all_others_and_says_so() {
        assert_eq!(found("abcdefgh", 4).await, "abcd");
        assert_eq!(found("aabcdefgh", 4).await, "abcd");
        assert_eq!(found("aaabbbcde", 4).await, "abcd", "more than the first look holds has to be read");
        assert_eq!(found(&format!("{}bcd", "a".repeat(11)), 4).await, "abAA", "only so many are looked at");
        assert_eq!(found(&format!("{}bcd", "a".repeat(40)), 4).await, "aAAA");
        assert_eq!(found("aabb", 4).await, "abAB");
        assert_eq!(found("aa", 4).await, "aA");
    }
}
