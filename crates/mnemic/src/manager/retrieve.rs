//! Retrieval: embed the query, search every leg, fuse. It never writes. Not here: from candidates to hits (`hydrate`).

use std::{collections::HashMap, sync::Arc, time::Instant};

use mnemic_core::{
    ChangeSeq, Comparison, Embedding, Error, ErrorKind, Field, Filter, Leg, MemoryRecord, Operand, PageRequest,
    RecordId, Result, StoredRecord, Timestamp,
    ids::check_text,
    limits,
    policy::fusion::{Candidate, LegList, fuse},
    ports::{Embeddings, Index, IndexChange, IndexHit, Purpose, Read},
};
use mnemic_indexes::{LocalIndex, LocalIndexConfig};

use crate::engine::Behind;

use super::{LegOutcome, LegReport, MemoryManager, Mode, Query, Retrieval, Shown, read::not_expired};

/// Candidates that each leg brings at least.
const LEG_CANDIDATES: usize = 200;

/// Where a retrieval looks: the memory as it is, or a copy of it as it was.
pub(super) struct Scene {
    dense: Option<Arc<dyn Index>>,
    lexical: Option<Arc<dyn Index>>,
    /// Records of a past, by id; `None` looks them up in the ledger.
    pub(super) past: Option<HashMap<RecordId, MemoryRecord>>,
    pub(super) now: Timestamp,
    /// Indexes that do not hold everything; what they would find is not the whole answer.
    behind: Vec<Behind>,
    /// Why it may show less than there is.
    degraded: Vec<String>,
}

impl MemoryManager {
    /// Finds the records that are about the query's text, with the reasons.
    ///
    /// # Errors
    /// `InvalidInput` naming the field, `Unsupported` for dense search without an embedding model, and what the ledger gives. A
    /// failing leg is no error while another one answers.
    pub async fn retrieve(&self, query: &Query) -> Result<Retrieval> {
        let started = Instant::now();
        let limit = self.check_query(query)?;
        let scene = match query.as_of {
            None => self.present().await?,
            Some(instant) => self.past(instant).await?,
        };
        query.filter.check()?;
        let filter = Self::whole_filter(query, scene.now);
        let depth = LEG_CANDIDATES.max(limit.saturating_mul(3)).min(limits::TOP_K * 3);
        let (dense, lexical) = self.search(query, &scene, &filter, depth).await;
        let mut degraded: Vec<String> = scene.degraded.clone();
        let mut lists: Vec<(Leg, Vec<IndexHit>)> = Vec::new();
        let (mut legs, mut failed) = (Vec::new(), false);
        for (report, hits) in [dense, lexical] {
            if let LegOutcome::Failed(reason) = &report.outcome {
                degraded.push(format!("{} search failed: {reason}", report.leg));
                failed = true;
            }
            lists.push((report.leg, hits));
            legs.push(report);
        }
        let any_ran = legs.iter().any(|report| matches!(report.outcome, LegOutcome::Ran { .. }));
        if !any_ran && failed {
            return Err(Error::new(ErrorKind::Unavailable, degraded.join("; ")));
        }
        if !any_ran {
            let skipped = legs.iter().filter_map(|report| match &report.outcome {
                LegOutcome::Skipped(reason) => Some(format!("no {} search: {reason}", report.leg)),
                LegOutcome::Ran { .. } | LegOutcome::Failed(_) => None,
            });
            degraded.extend(skipped);
        }
        let candidates = self.fuse_legs(&lists);
        let (hits, stale) = self.finish(candidates, &scene, query, limit, &mut degraded).await?;
        Ok(Retrieval { hits, legs, degraded, stale, took: started.elapsed() })
    }

    fn check_query(&self, query: &Query) -> Result<usize> {
        check_text("query", &query.text, limits::QUERY_BYTES)?;
        if query.text.trim().is_empty() {
            return Err(Error::invalid("query", "some text to look for", "only white space"));
        }
        let limit = query.limit.unwrap_or(Query::DEFAULT_LIMIT);
        if !(1..=limits::TOP_K).contains(&limit) {
            return Err(Error::invalid("limit", format!("1 to {}", limits::TOP_K), limit));
        }
        if query.mode == Mode::Dense && self.engine.embedder.model().is_none() {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "mode: expected hybrid or lexical, since this memory has no embedding model, found dense",
            )
            .with_field("mode"));
        }
        Ok(limit)
    }

    async fn present(&self) -> Result<Scene> {
        let behind = self.engine.sync(&self.namespace).await?;
        Ok(Scene {
            dense: self.engine.index_for(|index| index.capabilities().dense).cloned(),
            lexical: self.engine.index_for(|index| index.capabilities().lexical).cloned(),
            past: None,
            behind,
            now: self.now(),
            degraded: Vec::new(),
        })
    }

    /// Memory as it stood, indexed for this one retrieval: exact on every backend, since indexes hold the present only.
    async fn past(&self, instant: Timestamp) -> Result<Scene> {
        let index: Arc<dyn Index> = Arc::new(LocalIndex::new(LocalIndexConfig::default())?);
        index.prepare(&self.namespace, self.engine.embedder.model()).await?;
        let read = Read { as_of: Some(instant), embeddings: Embeddings::Omit };
        let (mut records, mut degraded) = (HashMap::new(), Vec::new());
        let mut page = PageRequest::largest();
        loop {
            let found = self.engine.ledger.scan(&self.namespace, &Filter::all(), read, &page).await?;
            let texts: Vec<&str> = found.items.iter().map(|stored| stored.record.text.as_str()).collect();
            // A failing embedder leaves this past to be found by words.
            let embeddings = self.engine.embed(Purpose::Document, &texts).await.unwrap_or_else(|error| {
                degraded = vec![format!("records of the past are found by words only: {error}")];
                vec![None; texts.len()]
            });
            let mut changes = Vec::with_capacity(found.items.len());
            for (stored, embedding) in found.items.into_iter().zip(embeddings) {
                let record = stored.record;
                records.insert(record.id.clone(), record.clone());
                changes.push(IndexChange {
                    seq: ChangeSeq(1),
                    id: record.id.clone(),
                    record: Some(StoredRecord { record, embedding }),
                });
            }
            index.apply(&self.namespace, &changes, ChangeSeq(0)).await?;
            if found.next.is_none() {
                break;
            }
            page = page.after(found.next);
        }
        degraded.dedup();
        let (dense, lexical) = (Some(Arc::clone(&index)), Some(index));
        Ok(Scene { dense, lexical, past: Some(records), behind: Vec::new(), now: instant, degraded })
    }

    fn whole_filter(query: &Query, now: Timestamp) -> Filter {
        let mut filter = query.filter.clone();
        if let Some(user_id) = &query.user_id {
            filter = filter.and(Filter::equals(Field::UserId, user_id.as_str()));
        }
        match query.shown {
            Shown::All => filter,
            Shown::Live => filter.and(live_filter(now)),
        }
    }

    async fn search(
        &self,
        query: &Query,
        scene: &Scene,
        filter: &Filter,
        depth: usize,
    ) -> ((LegReport, Vec<IndexHit>), (LegReport, Vec<IndexHit>)) {
        let dense = async {
            let started = Instant::now();
            let (index, answer) = self.search_dense(query, scene, filter, depth).await;
            leg(Leg::Dense, index, answer, started)
        };
        let lexical = async {
            let started = Instant::now();
            let (index, answer) = self.search_text(query, scene, filter, depth).await;
            leg(Leg::Lexical, index, answer, started)
        };
        tokio::join!(dense, lexical)
    }

    async fn search_text(
        &self,
        query: &Query,
        scene: &Scene,
        filter: &Filter,
        depth: usize,
    ) -> (&'static str, Result<Vec<IndexHit>, Skip>) {
        let Some(index) = &scene.lexical else { return ("", Err(Skip::Because("no index offers it".to_owned()))) };
        let name = index.name();
        if query.mode == Mode::Dense {
            return (name, Err(Skip::Because("dense mode".to_owned())));
        }
        if let Err(behind) = scene.current(name) {
            return (name, Err(behind));
        }
        (name, index.search_text(&self.namespace, &query.text, filter, depth).await.map_err(Skip::failed))
    }

    async fn search_dense(
        &self,
        query: &Query,
        scene: &Scene,
        filter: &Filter,
        depth: usize,
    ) -> (&'static str, Result<Vec<IndexHit>, Skip>) {
        let Some(index) = &scene.dense else { return ("", Err(Skip::Because("no index offers it".to_owned()))) };
        let name = index.name();
        if query.mode == Mode::Lexical {
            return (name, Err(Skip::Because("lexical mode".to_owned())));
        }
        if self.engine.embedder.model().is_none() {
            return (name, Err(Skip::Because("no embedding model".to_owned())));
        }
        if let Err(behind) = scene.current(name) {
            return (name, Err(behind));
        }
        match self.embed_query(&query.text).await {
            Ok(Some(vector)) => {
                (name, index.search_dense(&self.namespace, &vector, filter, depth).await.map_err(Skip::failed))
            }
            Ok(None) => (name, Err(Skip::Because("the embedding model cannot represent the query".to_owned()))),
            Err(error) => (name, Err(Skip::failed(error))),
        }
    }

    async fn embed_query(&self, text: &str) -> Result<Option<Embedding>> {
        self.engine.check_model(&self.namespace).await?;
        Ok(self.engine.embed(Purpose::Query, &[text]).await?.into_iter().next().flatten())
    }

    fn fuse_legs(&self, lists: &[(Leg, Vec<IndexHit>)]) -> Vec<Candidate> {
        let policies = &self.engine.policies;
        let lists: Vec<LegList<'_>> = lists
            .iter()
            .filter(|(_, hits)| !hits.is_empty())
            .map(|(leg, hits)| {
                let weight = match leg {
                    Leg::Dense => policies.weights.dense,
                    Leg::Lexical => policies.weights.lexical,
                };
                LegList { leg: *leg, weight, hits }
            })
            .collect();
        fuse(policies.fusion, &lists)
    }
}

/// Why a leg brings nothing.
enum Skip {
    Because(String),
    Failed(String),
}

impl Skip {
    #[expect(clippy::needless_pass_by_value, reason = "it is what map_err hands over")]
    fn failed(error: Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Scene {
    /// Refuses an index that is behind: what it would find might be a part of the answer, or gone.
    fn current(&self, index: &str) -> Result<(), Skip> {
        match self.behind.iter().find(|behind| behind.index == index) {
            Some(behind) => Err(Skip::Failed(format!("index {index} is behind: {}", behind.why))),
            None => Ok(()),
        }
    }
}

fn leg(
    leg: Leg,
    index: &'static str,
    answer: Result<Vec<IndexHit>, Skip>,
    started: Instant,
) -> (LegReport, Vec<IndexHit>) {
    let (outcome, hits) = match answer {
        Ok(hits) => (LegOutcome::Ran { found: hits.len() }, hits),
        Err(Skip::Because(reason)) => (LegOutcome::Skipped(reason), Vec::new()),
        Err(Skip::Failed(reason)) => (LegOutcome::Failed(reason), Vec::new()),
    };
    (LegReport { leg, index, outcome, took: started.elapsed() }, hits)
}

/// The filter form of [`MemoryRecord::is_live`], so that hidden records do not crowd out visible ones.
fn live_filter(now: Timestamp) -> Filter {
    let passed = |field| Filter::Compare(field, Comparison::Lte, Operand::Timestamp(now));
    Filter::And(vec![
        not_expired(now),
        Filter::Not(Box::new(passed(Field::ValidTo))),
        passed(Field::ValidFrom),
        Filter::Not(Box::new(Filter::Exists(Field::SupersededBy))),
    ])
}
