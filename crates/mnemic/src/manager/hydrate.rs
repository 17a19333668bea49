//! From candidates to hits: read from the ledger, weigh by priors, ask for a second opinion, move repetitions down, cut.
//! Not here: where candidates come from (`retrieve`).

use std::collections::{BTreeMap, HashMap};

use mnemic_core::{
    Explanation, Hit, MemoryRecord, RecordId, Result, UserId,
    policy::{duplicates, fusion::Candidate},
    ports::Read,
};

use super::{MemoryManager, Query, Shown, retrieve::Scene};

/// Above this word similarity a hit repeats the one above it and is moved down.
const REPEATS: f64 = 0.9;
/// Hits, as multiples of the limit, among which repetitions are looked for.
const SPREAD: usize = 3;
/// Hits, as multiples of the limit, that are shown to a reranker.
const RERANKED: usize = 5;

impl MemoryManager {
    /// The hits of a retrieval, best first, and how many candidates the ledger did not confirm.
    pub(super) async fn finish(
        &self,
        candidates: Vec<Candidate>,
        scene: &Scene,
        query: &Query,
        limit: usize,
        degraded: &mut Vec<String>,
    ) -> Result<(Vec<Hit>, usize)> {
        let depth = if self.engine.reranker.is_some() { RERANKED } else { SPREAD };
        let (mut hits, stale) = self.hydrate(candidates, scene, query, limit.saturating_mul(depth)).await?;
        self.rerank(&query.text, &mut hits, limit, degraded).await;
        spread(&mut hits, limit);
        hits.truncate(limit);
        Ok((hits, stale))
    }

    /// The best `wanted` hits. Priors only lower a score, so once that many score at least what the next candidate was fused
    /// to, no candidate further down can come among them and none is read.
    async fn hydrate(
        &self,
        candidates: Vec<Candidate>,
        scene: &Scene,
        query: &Query,
        wanted: usize,
    ) -> Result<(Vec<Hit>, usize)> {
        let (mut hits, mut stale): (Vec<Hit>, usize) = (Vec::new(), 0);
        let mut waiting = candidates.into_iter().peekable();
        while let Some(next) = waiting.peek() {
            if hits.get(wanted.saturating_sub(1)).is_some_and(|last| last.score > next.fused) {
                break;
            }
            let chunk: Vec<Candidate> = waiting.by_ref().take(wanted.max(16)).collect();
            let records = self.records_of(&chunk, scene).await?;
            for (candidate, record) in chunk.into_iter().zip(records) {
                // An index may be behind, coarse, or wrong: what is shown is decided here.
                let current = record.filter(|record| {
                    record.version == candidate.version
                        && (query.shown == Shown::All || record.is_live(scene.now))
                        && (query.user_id.is_none() || record.user_id == query.user_id)
                        && query.filter.matches(record)
                });
                match current {
                    None => stale += 1,
                    Some(record) => hits.push(self.weigh(candidate, record, scene)),
                }
            }
            hits.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.record.id.cmp(&b.record.id)));
        }
        hits.truncate(wanted);
        Ok((hits, stale))
    }

    async fn records_of(&self, candidates: &[Candidate], scene: &Scene) -> Result<Vec<Option<MemoryRecord>>> {
        if let Some(past) = &scene.past {
            return Ok(candidates.iter().map(|candidate| past.get(&candidate.id).cloned()).collect());
        }
        let ids: Vec<RecordId> = candidates.iter().map(|candidate| candidate.id.clone()).collect();
        let stored = self.engine.ledger.fetch(&self.namespace, &ids, Read::default()).await?;
        Ok(stored.into_iter().map(|stored| stored.map(|stored| stored.record)).collect())
    }

    fn weigh(&self, candidate: Candidate, record: MemoryRecord, scene: &Scene) -> Hit {
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

/// Moves hits that repeat a better one of the same user behind all others, keeping the order otherwise, so that a page is not one
/// fact ten times.
fn spread(hits: &mut Vec<Hit>, limit: usize) {
    let considered = hits.len().min(limit.saturating_mul(SPREAD));
    let mut of_user: BTreeMap<Option<&UserId>, Vec<(usize, &MemoryRecord)>> = BTreeMap::new();
    for (position, hit) in hits.iter().enumerate().take(considered) {
        of_user.entry(hit.record.user_id.as_ref()).or_default().push((position, &hit.record));
    }
    let mut repeats: HashMap<usize, RecordId> = HashMap::new();
    for theirs in of_user.values() {
        let texts: Vec<&str> = theirs.iter().map(|(_, record)| record.text.as_str()).collect();
        for (better, worse, _) in duplicates::repetitions(&texts, REPEATS) {
            if let (Some((_, first)), Some((position, _))) = (theirs.get(better), theirs.get(worse)) {
                repeats.insert(*position, first.id.clone());
            }
        }
    }
    let (mut fresh, mut repeating) = (Vec::with_capacity(hits.len()), Vec::new());
    for (position, mut hit) in hits.drain(..).enumerate() {
        hit.explanation.repeats = repeats.remove(&position);
        if hit.explanation.repeats.is_some() { repeating.push(hit) } else { fresh.push(hit) }
    }
    fresh.append(&mut repeating);
    *hits = fresh;
}
