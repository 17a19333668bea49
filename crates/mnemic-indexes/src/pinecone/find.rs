//! Finding: queries, listings, counts. Not here: feeding (`feed`).

use std::{
    collections::HashSet,
    sync::atomic::{AtomicU64, Ordering},
};

use mnemic_core::{
    Cursor, Embedding, ErrorKind, Filter, Namespace, Page, PageRequest, RecordId, Result,
    ports::{IndexHit, IndexReport, IndexedId},
};
use mnemic_http::Answer;
use serde_json::Value;

use super::{
    Opened, PineconeIndex,
    filter::{Condition, translate},
    held::{self, Held},
    ids,
    state::Space,
    there,
    wire::{self, Ask, Counted, Fetched, Listed, Match, Matches, Query},
};

/// How much more is asked for when too little of what came back passes the filter.
const GROWTH: usize = 4;
/// Matches for which an answer is never too large.
const FEW: usize = 50;

impl PineconeIndex {
    /// The closest records that pass the filter, as far as metadata decides it.
    pub(super) async fn find(
        &self,
        namespace: &Namespace,
        vector: &Embedding,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<IndexHit>> {
        filter.check_composed()?;
        let space = self.space(namespace);
        let Some(model) = &space.model else { return Ok(Vec::new()) };
        model.check_same(vector.model())?;
        let condition = match translate(filter) {
            Condition::None => return Ok(Vec::new()),
            Condition::All => None,
            Condition::Is(condition) => Some(condition),
        };
        if limit == 0 {
            return Ok(Vec::new());
        }
        let index = self.open(model).await?;
        let mut query = Query {
            namespace: namespace.as_str(),
            top_k: limit.min(wire::MOST_MATCHES),
            filter: condition.as_ref(),
            include_values: false,
            include_metadata: true,
        };
        let (mut hits, mut ceiling) = (Vec::new(), wire::MOST_MATCHES);
        loop {
            match self.answer(&index, &space, &query, vector.components()).await {
                Ok(answer) => {
                    let matches = answer.as_ref().map(Answer::json::<Matches<'_>>).transpose()?;
                    let matches = matches.and_then(|found| found.matches).unwrap_or_default();
                    let exhausted = matches.len() < query.top_k || query.top_k >= ceiling;
                    hits = space.judged(matches, filter);
                    if exhausted || hits.len() >= limit {
                        break;
                    }
                    query.top_k = (query.top_k * GROWTH).min(ceiling);
                }
                // An answer that would be too large is refused; fewer matches may fit.
                Err(error) if error.kind() == ErrorKind::InvalidInput && query.top_k > FEW => {
                    if !hits.is_empty() {
                        break;
                    }
                    ceiling = query.top_k / 2;
                    query.top_k = ceiling;
                }
                Err(error) => return Err(error),
            }
        }
        hits.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.id.cmp(&b.id)));
        hits.truncate(limit);
        Ok(hits)
    }

    async fn answer(&self, index: &Opened, space: &Space, query: &Query<'_>, vector: &[f32]) -> Result<Option<Answer>> {
        let answer = there(self.ask(index, Ask::post("/query", query.body(vector)?)).await?)?;
        // Every query tells how far the log shows; nobody has to ask for it then.
        if let Some(answer) = &answer {
            space.observe(wire::indexed_lsn(answer), self.control.config.assume_visible_after);
        }
        Ok(answer)
    }

    /// What the namespace holds, in the order of ids, which is the order of vector ids.
    pub(super) async fn list(&self, namespace: &Namespace, page: &PageRequest) -> Result<Page<IndexedId>> {
        let space = self.space(namespace);
        let Some(model) = &space.model else { return Ok(Page { items: Vec::new(), next: None }) };
        let index = self.open(model).await?;
        let mut items = Vec::new();
        let mut token = page.after.as_ref().map(|cursor| cursor.0.clone());
        loop {
            let limit = (page.limit() - items.len()).min(wire::MOST_LISTED).to_string();
            let mut query = vec![("namespace", namespace.as_str()), ("limit", limit.as_str())];
            query.extend(token.as_deref().map(|token| ("paginationToken", token)));
            let Some(answer) = there(self.ask(&index, Ask::get("/vectors/list", &query)).await?)? else {
                return Ok(Page { items, next: None });
            };
            let listed: Listed = answer.json()?;
            let ids: Vec<String> = listed.vectors.unwrap_or_default().into_iter().map(|listed| listed.id).collect();
            items.extend(self.versions(&index, &space, namespace, &ids).await?);
            let next = listed.pagination.and_then(|page| page.next).filter(|next| !next.is_empty());
            if next.is_none() || next == token || items.len() >= page.limit() {
                return Ok(Page { items, next: next.filter(|next| Some(next) != token.as_ref()).map(Cursor) });
            }
            token = next;
        }
    }

    /// The versions of listed vectors. One that was removed meanwhile is left out.
    async fn versions(
        &self,
        index: &Opened,
        space: &Space,
        namespace: &Namespace,
        ids: &[String],
    ) -> Result<Vec<IndexedId>> {
        let mut found = Vec::with_capacity(ids.len());
        for group in wire::fetchable(ids) {
            let mut query = vec![("namespace", namespace.as_str())];
            query.extend(group.iter().map(|id| ("ids", id.as_str())));
            let Some(answer) = there(self.ask(index, Ask::get("/vectors/fetch", &query)).await?)? else { continue };
            let mut vectors = answer.json::<Fetched>()?.vectors.unwrap_or_default();
            for id in group {
                let Some(vector) = vectors.remove(id) else { continue };
                match known(id, Held::read(vector.metadata.unwrap_or_default())) {
                    Some((id, held)) => {
                        let version = held.version().unwrap_or_default();
                        found.push(IndexedId { id, version, embedded: true });
                    }
                    None => count(&space.foreign),
                }
            }
        }
        Ok(found)
    }

    /// How much the service counts, and what was dropped of its answers.
    pub(super) async fn report(&self, namespace: &Namespace) -> Result<IndexReport> {
        let space = self.space(namespace);
        let Some(model) = &space.model else { return Ok(IndexReport::default()) };
        let index = self.open(model).await?;
        let answer = there(self.ask(&index, Ask::get(format!("/namespaces/{namespace}"), &[])).await?)?;
        let mut faults = space.faults();
        let (mut records, mut bytes) = (0, 0);
        if let Some(answer) = answer {
            let counted: Counted = answer.json()?;
            match wire::count(&counted.record_count) {
                Some(count) => records = count,
                None => faults.push("Pinecone does not tell how many vectors it holds".to_owned()),
            }
            bytes = wire::count(&counted.size_bytes).unwrap_or_default();
        }
        Ok(IndexReport { records, embeddings: records, bytes, faults })
    }
}

impl Space {
    /// The matches that may pass the filter, each record once; what this adapter cannot have written is dropped and counted.
    fn judged(&self, matches: Vec<Match<'_>>, filter: &Filter) -> Vec<IndexHit> {
        let mut hits = Vec::with_capacity(matches.len());
        let wanted = held::wanted(filter);
        let mut seen = HashSet::new();
        for found in matches {
            let Some((id, held)) = found.id.and_then(|id| known(&id, Held::part(found.metadata?, &wanted)?)) else {
                count(&self.foreign);
                continue;
            };
            let Some(version) = held.version() else {
                count(&self.foreign);
                continue;
            };
            let score = found.score.as_ref().and_then(Value::as_f64).filter(|score| score.is_finite());
            let Some(score) = score else {
                count(&self.senseless);
                continue;
            };
            if held.may_pass(filter) && seen.insert(id.clone()) {
                // Sums of the service go a little over the ends of the scale.
                hits.push(IndexHit { id, version, score: (score as f32).clamp(-1.0, 1.0) });
            }
        }
        hits
    }
}

/// The record of a vector that this adapter wrote: its id and its metadata agree.
fn known(id: &str, held: Held) -> Option<(RecordId, Held)> {
    let record = ids::decode(id)?;
    (held.id() == Some(record.as_str())).then_some((record, held))
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
