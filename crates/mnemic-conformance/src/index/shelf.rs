//! An index and a namespace for one case, fed as a ledger would feed it. Not here: any demand.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mnemic_core::{
    ChangeSeq, Embedding, EmbeddingModel, ErrorKind, Filter, MemoryRecord, Namespace, RecordId, Result, StoredRecord,
    Version,
    ports::{Index, IndexChange, IndexHit, IndexedId, Offer, Precision, Visibility},
};

use super::IndexHarness;
use crate::{
    fixtures::{model, namespace, record_id},
    walk::{Walk, everything},
};

/// How often, and how many times, an eventually consistent index is asked whether it shows what was applied.
const POLL: Duration = Duration::from_millis(250);
const POLLS: usize = 400;

/// What the feed has told so far.
#[derive(Debug, Default)]
pub(super) struct Feed {
    pub(super) seq: u64,
    versions: BTreeMap<RecordId, Version>,
    pub(super) held: BTreeMap<RecordId, StoredRecord>,
}

/// An index, a namespace of its own, and the ledger's side of the feed.
pub(super) struct Shelf {
    pub(super) index: Arc<dyn Index>,
    pub(super) ns: Namespace,
    feed: Mutex<Feed>,
}

impl Shelf {
    /// An empty namespace, ready for embeddings of the small model.
    pub(super) async fn new(harness: &dyn IndexHarness) -> Self {
        Self::of(harness.open().await, &model()).await
    }

    /// An empty namespace of this index, ready for embeddings of `model` if it offers dense search.
    pub(super) async fn of(index: Arc<dyn Index>, model: &EmbeddingModel) -> Self {
        let shelf = Self { index, ns: namespace(), feed: Mutex::default() };
        shelf.index.prepare(&shelf.ns, shelf.dense().then_some(model)).await.unwrap();
        shelf
    }

    pub(super) fn dense(&self) -> bool {
        self.index.capabilities().dense == Offer::Yes
    }

    pub(super) fn lexical(&self) -> bool {
        self.index.capabilities().lexical == Offer::Yes
    }

    pub(super) fn immediate(&self) -> bool {
        self.index.capabilities().visibility == Visibility::Immediate
    }

    pub(super) fn exact(&self) -> bool {
        self.index.capabilities().filters == Precision::Exact
    }

    pub(super) fn feed(&self) -> MutexGuard<'_, Feed> {
        self.feed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The changes that writing these records makes. An index without dense search is fed no embeddings.
    pub(super) fn writes(&self, records: Vec<(MemoryRecord, Option<Embedding>)>) -> Vec<IndexChange> {
        let dense = self.dense();
        let mut feed = self.feed();
        let write = |(mut record, embedding): (MemoryRecord, Option<Embedding>)| {
            let version = feed.versions.entry(record.id.clone()).or_default();
            *version = version.next();
            record.version = *version;
            let stored = StoredRecord { record, embedding: embedding.filter(|_| dense) };
            feed.tell(stored.record.id.clone(), Some(stored))
        };
        records.into_iter().map(write).collect()
    }

    /// The changes that removing these records makes.
    pub(super) fn removals(&self, ids: &[&str]) -> Vec<IndexChange> {
        let mut feed = self.feed();
        ids.iter().map(|id| feed.tell(record_id(id), None)).collect()
    }

    /// The change that a late embedding makes; `None` takes it away.
    pub(super) fn embeds(&self, id: &str, embedding: Option<Embedding>) -> IndexChange {
        let dense = self.dense();
        let mut feed = self.feed();
        let id = record_id(id);
        let mut stored = feed.held[&id].clone();
        stored.embedding = embedding.filter(|_| dense);
        feed.tell(id, Some(stored))
    }

    /// Applies changes through the last of them, and waits until they show.
    pub(super) async fn apply(&self, changes: &[IndexChange]) {
        let through = ChangeSeq(self.feed().seq);
        self.index.apply(&self.ns, changes, through).await.unwrap();
        self.shows().await;
    }

    /// Writes records without embeddings.
    pub(super) async fn put(&self, records: impl IntoIterator<Item = MemoryRecord>) {
        let changes = self.writes(records.into_iter().map(|record| (record, None)).collect());
        self.apply(&changes).await;
    }

    /// Writes records with embeddings.
    pub(super) async fn put_embedded(&self, records: impl IntoIterator<Item = (MemoryRecord, Embedding)>) {
        let records = records.into_iter().map(|(record, embedding)| (record, Some(embedding)));
        let changes = self.writes(records.collect());
        self.apply(&changes).await;
    }

    /// What `ids` must list.
    pub(super) fn expected(&self) -> Vec<IndexedId> {
        let indexed = |stored: &StoredRecord| IndexedId {
            id: stored.record.id.clone(),
            version: stored.record.version,
            embedded: stored.embedding.is_some(),
        };
        let lexical = self.lexical();
        // Dense search alone has no use for a record without an embedding.
        self.feed().held.values().map(indexed).filter(|indexed| lexical || indexed.embedded).collect()
    }

    /// Returns when the index lists what the feed has told; an immediate one must do so at once.
    pub(super) async fn shows(&self) {
        if self.immediate() {
            return;
        }
        let position = self.index.position(&self.ns).await.unwrap();
        for _ in 0..POLLS {
            if self.index.visible(&self.ns).await.unwrap() == position {
                break;
            }
            tokio::time::sleep(POLL).await;
        }
        assert_eq!(self.listed(Walk::LARGEST).await, self.expected(), "what was applied shows some time later");
    }

    pub(super) async fn listed(&self, walk: Walk) -> Vec<IndexedId> {
        everything!(walk, |page| self.index.ids(&self.ns, page))
    }

    /// Searches by words; `None` where that is not offered, after having seen the refusal.
    pub(super) async fn text(&self, query: &str, filter: &Filter, limit: usize) -> Option<Vec<IndexHit>> {
        let outcome = self.index.search_text(&self.ns, query, filter, limit).await;
        self.judge(self.lexical(), outcome, limit)
    }

    /// Searches by vector; `None` where that is not offered, after having seen the refusal.
    pub(super) async fn vector(&self, vector: &Embedding, filter: &Filter, limit: usize) -> Option<Vec<IndexHit>> {
        let outcome = self.index.search_dense(&self.ns, vector, filter, limit).await;
        self.judge(self.dense(), outcome, limit)
    }

    fn judge(&self, offered: bool, outcome: Result<Vec<IndexHit>>, limit: usize) -> Option<Vec<IndexHit>> {
        if !offered {
            let error = outcome.expect_err("what is not offered is refused");
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
            return None;
        }
        let hits = outcome.unwrap();
        assert!(hits.len() <= limit, "{} hits, at most {limit} were asked for", hits.len());
        let in_order =
            |a: &IndexHit, b: &IndexHit| a.score > b.score || (a.score.total_cmp(&b.score).is_eq() && a.id < b.id);
        assert!(hits.is_sorted_by(in_order), "by score, then by id: {hits:?}");
        let feed = self.feed();
        for hit in &hits {
            let held = feed.held.get(&hit.id).unwrap_or_else(|| panic!("{} is not there", hit.id));
            assert_eq!(hit.version, held.record.version, "{}", hit.id);
        }
        Some(hits)
    }

    /// The ids that a search by words finds.
    pub(super) async fn words(&self, query: &str) -> Option<Vec<String>> {
        Some(ids(&self.text(query, &Filter::all(), 1000).await?))
    }
}

impl Feed {
    fn tell(&mut self, id: RecordId, record: Option<StoredRecord>) -> IndexChange {
        self.seq += 1;
        match &record {
            Some(stored) => drop(self.held.insert(id.clone(), stored.clone())),
            None => drop(self.held.remove(&id)),
        }
        IndexChange { seq: ChangeSeq(self.seq), id, record }
    }
}

/// The ids of hits, in order.
pub(super) fn ids(hits: &[IndexHit]) -> Vec<String> {
    hits.iter().map(|hit| hit.id.to_string()).collect()
}
