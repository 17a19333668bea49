//! Retrieval: embed the query, search every leg, fuse. It never writes. Not here: from candidates to hits (`hydrate`).

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use mnemic_core::{
    ChangeSeq, Comparison, Embedding, Error, ErrorKind, Field, Filter, Leg, MemoryRecord, Operand, PageRequest,
    RecordId, Result, Retry, StoredRecord, Timestamp,
    ids::check_text,
    limits,
    policy::fusion::{Candidate, LegList, fuse},
    ports::{Embeddings, Index, IndexChange, IndexHit, Purpose, Read},
};
use mnemic_indexes::{LocalIndex, LocalIndexConfig};

use crate::engine::{FreshView, LEDGER, Standing, Wanted, is_away};

use super::{
    LegOutcome, LegReport, MemoryManager, Mode, Query, Retrieval, Shown,
    hydrate::Finished,
    read::{not_expired, take_turns},
};

/// Candidates that each leg brings at least.
const LEG_CANDIDATES: usize = 200;
/// How far apart clocks may be: who wrote a record that is valid from then on may have been that much ahead.
const CLOCKS_APART: Duration = Duration::from_hours(24);
/// How often an index is searched that is made anew meanwhile.
const LOOKS: u32 = 50;

/// An index that a retrieval searches, and how it stands.
struct Seat {
    index: Arc<dyn Index>,
    standing: Standing,
}

/// What one search found.
struct Found {
    retrieval: Retrieval,
    /// Whether an index showed a record as it was before somebody wrote it anew, at this moment.
    outdated: bool,
    /// Whether records that are not valid yet took the place of others.
    crowded: bool,
}

/// How a retrieval searches.
#[derive(Clone, Copy)]
struct Search {
    depth: usize,
    wanted: Wanted,
    /// How much later than now a record may be valid from to be looked at.
    ahead: Duration,
}

/// Where a retrieval looks: the memory as it is, or a copy of it as it was.
pub(super) struct Scene {
    dense: Option<Seat>,
    lexical: Option<Seat>,
    /// Records of a past, by id; `None` looks them up in the ledger.
    pub(super) past: Option<HashMap<RecordId, MemoryRecord>>,
    pub(super) now: Timestamp,
    /// What of it had to be there.
    pub(super) wanted: Wanted,
    /// Why it may show less than there is.
    degraded: Vec<String>,
}

impl MemoryManager {
    /// See [`MemoryManager::retrieve`].
    pub(crate) async fn retrieve_here(&self, query: &Query) -> Result<Retrieval> {
        let started = Instant::now();
        let limit = self.check_query(query)?;
        query.filter.check()?;
        take_turns().await;
        let depth = LEG_CANDIDATES.max(limit.saturating_mul(3)).min(limits::TOP_K * 3);
        let mut search = Search { depth, wanted: Wanted::Acknowledged, ahead: CLOCKS_APART };
        let mut found = self.retrieve_once(query, limit, search).await?;
        if found.outdated {
            search.wanted = Wanted::Committed;
            found = self.retrieve_once(query, limit, search).await?;
        }
        if found.crowded {
            let again = self.retrieve_once(query, limit, Search { ahead: Duration::ZERO, ..search }).await?;
            found = if again.retrieval.hits.len() > found.retrieval.hits.len() { again } else { found };
        }
        Ok(Retrieval { took: started.elapsed(), ..found.retrieval })
    }

    async fn retrieve_once(&self, query: &Query, limit: usize, search: Search) -> Result<Found> {
        let (scene, searched) = self.look(query, search).await?;
        let mut degraded: Vec<String> = scene.degraded.clone();
        let mut lists: Vec<(Leg, Vec<IndexHit>)> = Vec::new();
        let (mut legs, mut failed) = (Vec::new(), false);
        for (report, searched) in searched {
            if let LegOutcome::Failed(reason) = &report.outcome {
                degraded.push(format!("{} search failed: {reason}", report.leg));
                failed = true;
            }
            degraded.extend(searched.lag.map(|lag| format!("{} search: {lag}", report.leg)));
            lists.push((report.leg, searched.hits));
            legs.push(report);
        }
        let any_ran = legs.iter().any(|report| matches!(report.outcome, LegOutcome::Ran { .. }));
        if !any_ran && failed && lists.iter().all(|(_, hits)| hits.is_empty()) {
            return Err(Error::new(ErrorKind::Unavailable, degraded.join("; ")).with_retry(Retry::Soon));
        }
        if !any_ran {
            let skipped = legs.iter().filter_map(|report| match &report.outcome {
                LegOutcome::Skipped(reason) => Some(format!("no {} search: {reason}", report.leg)),
                LegOutcome::Ran { .. } | LegOutcome::Failed(_) => None,
            });
            degraded.extend(skipped);
        }
        let candidates = self.fuse_legs(&lists);
        // Searching again is of no use where it is known that an index lags.
        let whole = degraded.is_empty();
        let finished = self.finish(candidates, &scene, query, limit, &mut degraded).await?;
        let Finished { hits, stale, changed, early } = finished;
        Ok(Found {
            crowded: early && hits.len() < limit,
            retrieval: Retrieval { hits, legs, degraded, stale, took: Duration::ZERO },
            outdated: whole && changed,
        })
    }

    /// Searches where the query looks. An index that an erasure makes anew is empty for a moment, so who searched it then does it again.
    async fn look(&self, query: &Query, search: Search) -> Result<(Scene, [(LegReport, Searched); 2])> {
        let mut tries = 0;
        loop {
            let emptied = self.engine.emptied(&self.namespace);
            let mut scene = match query.as_of {
                None => self.present(search.wanted).await?,
                Some(instant) => self.past(instant).await?,
            };
            let filter = Self::whole_filter(query, scene.now, search.ahead);
            let searched = self.search(query, &scene, &filter, search.depth).await;
            if query.as_of.is_some() || self.engine.emptied(&self.namespace) == emptied {
                return Ok((scene, searched));
            }
            tries += 1;
            if tries == LOOKS {
                scene.degraded.push("an index is made anew again and again and may show less than there is".to_owned());
                return Ok((scene, searched));
            }
        }
    }

    fn check_query(&self, query: &Query) -> Result<usize> {
        check_text("query", &query.text, limits::QUERY_BYTES)?;
        if query.text.trim().is_empty() && query.embedding.is_none() {
            return Err(Error::invalid("query", "some text to look for", "only white space"));
        }
        let limit = query.limit.unwrap_or(Query::DEFAULT_LIMIT);
        if !(1..=limits::TOP_K).contains(&limit) {
            return Err(Error::invalid("limit", format!("1 to {}", limits::TOP_K), limit));
        }
        let dense = query.mode == Mode::Dense || query.embedding.is_some();
        if dense && self.engine.embedder.model().is_none() {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "mode: expected hybrid or lexical without an embedding, since this memory has no embedding model, found dense",
            )
            .with_field("mode"));
        }
        if let (Some(components), Some(model)) = (&query.embedding, self.engine.embedder.model()) {
            Embedding::new(model, components.as_slice())?;
        }
        Ok(limit)
    }

    /// Memory as it is. While the ledger is away, what waits for it on this machine, and the answer says so.
    async fn present(&self, wanted: Wanted) -> Result<Scene> {
        // Asked before the ledger is: what is committed in between would otherwise be neither waiting nor seen.
        let waiting = self.engine.spooled(&self.namespace).await;
        match self.seats(wanted).await {
            Ok((dense, lexical)) => {
                let degraded = if waiting == 0 {
                    Vec::new()
                } else {
                    self.engine.work.notify_one();
                    vec![format!("writes that wait for the ledger are not found yet: {waiting}")]
                };
                Ok(Scene { dense, lexical, past: None, now: self.now(), wanted, degraded })
            }
            Err(error) if is_away(&error) && waiting.max(self.engine.spooled(&self.namespace).await) > 0 => {
                self.engine.note_down(LEDGER, &error);
                self.spooled_scene(&error).await
            }
            Err(error) => {
                self.engine.note_down(LEDGER, &error);
                Err(error)
            }
        }
    }

    async fn seats(&self, wanted: Wanted) -> Result<(Option<Seat>, Option<Seat>)> {
        let engine = &self.engine;
        let dense = engine.index_for(|index| index.capabilities().dense);
        let lexical = engine.index_for(|index| index.capabilities().lexical);
        if dense == lexical {
            let Some(seat) = self.seat(dense, wanted).await? else { return Ok((None, None)) };
            // One index serves both ways and is brought up to date once.
            let other = Seat { index: Arc::clone(&seat.index), standing: seat.standing.clone() };
            return Ok((Some(seat), Some(other)));
        }
        tokio::try_join!(self.seat(dense, wanted), self.seat(lexical, wanted))
    }

    async fn seat(&self, place: Option<usize>, wanted: Wanted) -> Result<Option<Seat>> {
        let Some((place, placed)) = place.and_then(|place| Some((place, self.engine.indexes.get(place)?))) else {
            return Ok(None);
        };
        let standing = self.engine.standing(&self.namespace, place, wanted).await?;
        Ok(Some(Seat { index: Arc::clone(&placed.index), standing }))
    }

    /// What waits in the spool, as a memory of its own.
    async fn spooled_scene(&self, why: &Error) -> Result<Scene> {
        let index: Arc<dyn Index> = Arc::new(LocalIndex::new(LocalIndexConfig::default())?);
        let waiting = self.engine.spooled_records(&self.namespace).await?;
        let ours = |embedding: &Embedding| Some(embedding.model()) == self.engine.embedder.model();
        index.prepare(&self.namespace, self.engine.embedder.model()).await?;
        let degraded =
            vec![format!("{why}; only what waits for the ledger on this machine is shown: {} records", waiting.len())];
        let mut records = HashMap::with_capacity(waiting.len());
        let mut changes = Vec::with_capacity(waiting.len());
        for (record, embedding) in waiting {
            records.insert(record.id.clone(), record.clone());
            let stored = StoredRecord { record, embedding: embedding.filter(ours) };
            changes.push(IndexChange { seq: ChangeSeq(1), id: stored.record.id.clone(), record: Some(stored) });
        }
        index.apply(&self.namespace, &changes, ChangeSeq(0)).await?;
        Ok(Scene::alone(index, records, self.now(), degraded))
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
        Ok(Scene::alone(index, records, instant, degraded))
    }

    fn whole_filter(query: &Query, now: Timestamp, ahead: Duration) -> Filter {
        let mut filter = query.filter.clone();
        if let Some(user_id) = &query.user_id {
            filter = filter.and(Filter::equals(Field::UserId, user_id.as_str()));
        }
        match query.shown {
            Shown::All => filter,
            Shown::Live => filter.and(live_filter(now, ahead)),
        }
    }

    /// Both ways of searching at once, and how long each took.
    async fn search(&self, query: &Query, scene: &Scene, filter: &Filter, depth: usize) -> [(LegReport, Searched); 2] {
        let dense = async {
            let started = Instant::now();
            leg(Leg::Dense, self.search_dense(query, scene, filter, depth).await, started)
        };
        let lexical = async {
            let started = Instant::now();
            leg(Leg::Lexical, self.search_text(query, scene, filter, depth).await, started)
        };
        let (dense, lexical) = tokio::join!(dense, lexical);
        [dense, lexical]
    }

    async fn search_text(&self, query: &Query, scene: &Scene, filter: &Filter, depth: usize) -> Searched {
        let Some(seat) = &scene.lexical else { return Searched::skipped("", "no index offers it") };
        let name = seat.index.name();
        if query.mode == Mode::Dense {
            return Searched::skipped(name, "dense mode");
        }
        if query.text.trim().is_empty() {
            return Searched::skipped(name, "no words in the query");
        }
        let (namespace, text) = (&self.namespace, query.text.as_str());
        let shown = async || {
            let outcome = seat.index.search_text(namespace, text, filter, depth).await;
            self.engine.searched(namespace, seat.index.as_ref(), outcome)
        };
        let fresh = async |view: &FreshView| view.search_text(namespace, text, filter, depth).await;
        seat.search(shown, fresh, depth).await
    }

    async fn search_dense(&self, query: &Query, scene: &Scene, filter: &Filter, depth: usize) -> Searched {
        let Some(seat) = &scene.dense else { return Searched::skipped("", "no index offers it") };
        let name = seat.index.name();
        if query.mode == Mode::Lexical {
            return Searched::skipped(name, "lexical mode");
        }
        if self.engine.embedder.model().is_none() {
            return Searched::skipped(name, "no embedding model");
        }
        if let Standing::Refused(why) = &seat.standing {
            return Searched::failed(name, why.clone());
        }
        let vector = match self.embed_query(query).await {
            Ok(Some(vector)) => vector,
            Ok(None) => return Searched::skipped(name, "the embedding model cannot represent the query"),
            Err(error) => return Searched::failed(name, error.to_string()),
        };
        let namespace = &self.namespace;
        let shown = async || {
            let outcome = seat.index.search_dense(namespace, &vector, filter, depth).await;
            self.engine.searched(namespace, seat.index.as_ref(), outcome)
        };
        let fresh = async |view: &FreshView| view.search_dense(namespace, &vector, filter, depth).await;
        seat.search(shown, fresh, depth).await
    }

    async fn embed_query(&self, query: &Query) -> Result<Option<Embedding>> {
        self.engine.check_model_lately(&self.namespace).await?;
        if let (Some(components), Some(model)) = (&query.embedding, self.engine.embedder.model()) {
            return Embedding::new(model, components.as_slice()).map(Some);
        }
        Ok(self.engine.embed(Purpose::Query, &[&query.text]).await?.into_iter().next().flatten())
    }

    fn fuse_legs<'a>(&self, lists: &'a [(Leg, Vec<IndexHit>)]) -> Vec<Candidate<'a>> {
        let policies = &self.engine.policies;
        let lists: Vec<LegList<'a>> = lists
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

/// What one way of searching brought.
struct Searched {
    index: &'static str,
    outcome: LegOutcome,
    hits: Vec<IndexHit>,
    /// Why it may be less than there is.
    lag: Option<String>,
}

impl Searched {
    fn skipped(index: &'static str, reason: &str) -> Self {
        Self { index, outcome: LegOutcome::Skipped(reason.to_owned()), hits: Vec::new(), lag: None }
    }

    fn failed(index: &'static str, reason: String) -> Self {
        Self { index, outcome: LegOutcome::Failed(reason), hits: Vec::new(), lag: None }
    }
}

impl Seat {
    /// Searches the index and, beside it, what it does not show yet.
    async fn search(
        &self,
        shown: impl AsyncFnOnce() -> Result<Vec<IndexHit>>,
        fresh: impl AsyncFnOnce(&FreshView) -> Result<Vec<IndexHit>>,
        depth: usize,
    ) -> Searched {
        let index = self.index.name();
        let lag = match &self.standing {
            Standing::Refused(why) => return Searched::failed(index, why.clone()),
            Standing::Lags(why) => Some(why.clone()),
            Standing::Current | Standing::Fresh(_) => None,
        };
        let answer = shown().await;
        let (shown, failure) = match answer {
            Ok(hits) => (hits, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let hits = match &self.standing {
            Standing::Fresh(view) => match fresh(view).await {
                Ok(fresh) => view.merge(shown, fresh, depth),
                Err(error) => return Searched { lag: Some(error.to_string()), ..Searched::ran(index, shown, failure) },
            },
            _ => shown,
        };
        Searched { lag, ..Searched::ran(index, hits, failure) }
    }
}

impl Searched {
    /// What was searched on this machine counts also where the server failed.
    fn ran(index: &'static str, hits: Vec<IndexHit>, failure: Option<String>) -> Self {
        let outcome = failure.map_or(LegOutcome::Ran { found: hits.len() }, LegOutcome::Failed);
        Self { index, outcome, hits, lag: None }
    }
}

impl Scene {
    /// Records with an index of their own.
    fn alone(
        index: Arc<dyn Index>,
        records: HashMap<RecordId, MemoryRecord>,
        now: Timestamp,
        degraded: Vec<String>,
    ) -> Self {
        let seat = |index: Arc<dyn Index>| Some(Seat { index, standing: Standing::Current });
        Self {
            dense: seat(Arc::clone(&index)),
            lexical: seat(index),
            past: Some(records),
            now,
            wanted: Wanted::Acknowledged,
            degraded,
        }
    }
}

fn leg(leg: Leg, searched: Searched, started: Instant) -> (LegReport, Searched) {
    let report = LegReport { leg, index: searched.index, outcome: searched.outcome.clone(), took: started.elapsed() };
    (report, searched)
}

/// The filter form of [`MemoryRecord::is_live`], so that hidden records do not crowd out visible ones. It lets pass also what is valid
/// from later on, but not by more than `ahead`.
fn live_filter(now: Timestamp, ahead: Duration) -> Filter {
    let by = |field, instant| Filter::Compare(field, Comparison::Lte, Operand::Timestamp(instant));
    Filter::And(vec![
        not_expired(now),
        Filter::Not(Box::new(by(Field::ValidTo, now))),
        by(Field::ValidFrom, now.plus(ahead)),
        Filter::Not(Box::new(Filter::Exists(Field::SupersededBy))),
    ])
}
