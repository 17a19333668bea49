//! One dense search: what is asked, how answers are checked, and how far to go on asking. Not here: what a filter becomes (`filter`).
//!
//! A server answers its `limit` best points. They are enough if `limit` of them are ours, pass the rest of the filter, and score above
//! the last one that was told, since an equal one may have been left out. Otherwise more are asked for; and where few of many
//! pass, they are found by listing and then scored by name, so that no answer grows with the namespace.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicU64, Ordering},
};

use mnemic_core::{Namespace, Result, ports::IndexHit};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    api::{Api, Found},
    filter::Scope,
    point::{FIELDS, IDENTITY, Seen, VECTOR},
};

/// Points of one answer at most, unless more are asked for.
const MOST: usize = 4096;
/// Points that are scored by name in one request.
const NAMED: usize = 2048;

/// A search under way.
pub(super) struct Search<'a> {
    pub(super) api: &'a Api,
    pub(super) collection: &'a str,
    pub(super) namespace: &'a Namespace,
    /// Of length one.
    pub(super) vector: &'a [f32],
    /// How the server is to search.
    pub(super) params: Value,
    /// Counts answers that were not ours or not understood.
    pub(super) dropped: &'a AtomicU64,
}

/// How the server is to search: whole, or by graph with the first choice by small vectors checked against whole ones.
pub(super) fn params(whole: bool, quantized: bool, limit: usize) -> Value {
    let mut params = Map::new();
    if whole {
        params.insert("exact".to_owned(), true.into());
        if quantized {
            params.insert("quantization".to_owned(), json!({ "ignore": true }));
        }
    } else {
        params.insert("hnsw_ef".to_owned(), limit.clamp(128, MOST).into());
        if quantized {
            params.insert("quantization".to_owned(), json!({ "rescore": true, "oversampling": 2.0 }));
        }
    }
    params.into()
}

#[derive(Serialize)]
struct Body<'a> {
    query: &'a [f32],
    using: &'static str,
    filter: Value,
    limit: usize,
    with_payload: &'a [&'static str],
    params: &'a Value,
}

/// A point that is ours, with its score.
struct Scored {
    seen: Seen,
    score: f32,
}

impl Search<'_> {
    /// The best `limit` points of a scope, best first, equals by id.
    pub(super) async fn run(&self, scope: &Scope, limit: usize) -> Result<Vec<IndexHit>> {
        let most = MOST.max(limit.saturating_mul(2));
        // One more than is wanted shows whether the last one has equals.
        let mut asked =
            if scope.rest.is_some() { limit.saturating_mul(3) } else { limit.saturating_add(1) }.clamp(8, most);
        loop {
            let (told, mut kept) = self.ask(scope, asked).await?;
            let last = kept.last().map(|scored| scored.score);
            if let Some(rest) = &scope.rest {
                kept.retain(|scored| rest.matches(&scored.seen));
            }
            let enough = limit.checked_sub(1).and_then(|at| kept.get(at)).map(|scored| scored.score);
            if told < asked || enough > last && enough.is_some() {
                return Ok(hits(kept, limit));
            }
            if asked >= most {
                // More equals than that are told apart by nobody.
                return if enough.is_some() { Ok(hits(kept, limit)) } else { self.by_listing(scope, limit).await };
            }
            asked = asked.saturating_mul(4).min(most);
        }
    }

    /// How many points were told, and those of them that are ours, each once, best first.
    async fn ask(&self, scope: &Scope, limit: usize) -> Result<(usize, Vec<Scored>)> {
        let with_payload = if scope.rest.is_some() { FIELDS.as_slice() } else { &IDENTITY };
        let filter = scope.to_json();
        let body = Body { query: self.vector, using: VECTOR, filter, limit, with_payload, params: &self.params };
        let found = self.api.query(self.collection, serde_json::to_vec(&body).unwrap_or_default()).await?;
        let told = found.len();
        let mut points = HashSet::new();
        let mut kept: Vec<Scored> = found.into_iter().filter_map(|found| self.scored(found)).collect();
        kept.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.seen.id.cmp(&b.seen.id)));
        let before = kept.len();
        kept.retain(|scored| points.insert(scored.seen.point.clone()));
        self.dropped(before - kept.len());
        Ok((told, kept))
    }

    fn scored(&self, found: Found) -> Option<Scored> {
        // JSON has no NaN: a server that means one says null, or something else that is no number.
        let score = found.score.as_f64().filter(|score| score.is_finite()).map(|score| score.clamp(-1.0, 1.0) as f32);
        let seen = Seen::of(self.namespace, &found.id, found.payload.unwrap_or_default());
        let scored = seen.zip(score).map(|(seen, score)| Scored { seen, score });
        self.dropped(usize::from(scored.is_none()));
        scored
    }

    fn dropped(&self, count: usize) {
        if count > 0 {
            self.dropped.fetch_add(count as u64, Ordering::Relaxed);
            tracing::warn!(namespace = %self.namespace, count, "Qdrant answered points that are foreign, broken or repeated; they are dropped");
        }
    }

    /// Finds what passes by listing everything that may, and scores it by name.
    async fn by_listing(&self, scope: &Scope, limit: usize) -> Result<Vec<IndexHit>> {
        let (filter, mut passing, mut offset) = (scope.to_json(), Vec::new(), None::<String>);
        loop {
            let (page, next) = self.api.scroll(self.collection, &filter, &FIELDS, offset.as_deref()).await?;
            for found in page {
                match Seen::of(self.namespace, &found.id, found.payload.unwrap_or_default()) {
                    Some(seen) if scope.rest.as_ref().is_none_or(|rest| rest.matches(&seen)) => {
                        passing.push(seen.point);
                    }
                    Some(_) => {}
                    None => self.dropped(1),
                }
            }
            match next {
                Some(next) => offset = Some(next),
                None => break,
            }
        }
        let mut best: Vec<Scored> = Vec::new();
        let decided = scope.decided();
        for named in passing.chunks(NAMED) {
            let (_, scored) = self.ask(&decided.clone().among(named), named.len()).await?;
            best.extend(scored);
        }
        best.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.seen.id.cmp(&b.seen.id)));
        Ok(hits(best, limit))
    }
}

fn hits(scored: Vec<Scored>, limit: usize) -> Vec<IndexHit> {
    let hit = |Scored { seen, score }: Scored| IndexHit { id: seen.id, version: seen.version, score };
    scored.into_iter().take(limit).map(hit).collect()
}
