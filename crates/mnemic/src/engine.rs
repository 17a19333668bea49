//! The parts of a memory and what keeps them in step: index catch-up from the change feed, model guard, embedding.
//! Not here: the verbs (`manager`).

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use mnemic_core::{
    ChangeSeq, Changed, Embedding, EmbeddingModel, Error, ErrorKind, Filter, Namespace, PageRequest, RecordId, Result,
    StoredRecord,
    ports::{Clock, Embedder, Embeddings, Index, IndexChange, Ledger, Offer, Purpose, Read, Reranker},
};
use mnemic_indexes::LocalIndex;
use mnemic_ledgers::SqliteLedger;

use crate::builder::Policies;

/// Changes read from the feed at once.
const FEED_PAGE: usize = 1000;
/// Changes after which the local index is saved, so that the next start does not replay them.
const PERSIST_EVERY: u64 = 2000;

/// The concrete parts of the embedded mode, for what only it can do: backup, verification of files, saving the index.
#[derive(Clone, Debug)]
pub(crate) struct Embedded {
    pub(crate) ledger: Arc<SqliteLedger>,
    pub(crate) index: Arc<LocalIndex>,
}

/// The parts of a memory.
pub(crate) struct Engine {
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) indexes: Vec<Arc<dyn Index>>,
    pub(crate) embedder: Arc<dyn Embedder>,
    pub(crate) reranker: Option<Arc<dyn Reranker>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) policies: Policies,
    pub(crate) embedded: Option<Embedded>,
    states: Mutex<HashMap<Namespace, Arc<NamespaceState>>>,
}

/// An index that could not be brought up to date, and why.
#[derive(Debug)]
pub(crate) struct Behind {
    pub(crate) index: &'static str,
    pub(crate) why: Error,
}

/// How following the feed went.
#[derive(Debug, Default)]
struct Followed {
    /// Whether something was erased on the way.
    erased: bool,
    behind: Vec<Behind>,
}

/// A change for an index that holds embeddings of `model`. Another model's embedding (two processes may have begun a namespace with
/// different ones) stays out, so that its record is still found by words.
fn change(seq: ChangeSeq, id: RecordId, record: Option<StoredRecord>, model: Option<&EmbeddingModel>) -> IndexChange {
    let record = record.map(|stored| {
        let embedding = stored.embedding.filter(|embedding| Some(embedding.model()) == model);
        StoredRecord { record: stored.record, embedding }
    });
    IndexChange { seq, id, record }
}

/// What is remembered about a namespace between calls.
#[derive(Default)]
struct NamespaceState {
    /// Held while indexes catch up, so that changes reach them in the order of the feed.
    sync: tokio::sync::Mutex<SyncState>,
}

#[derive(Default)]
struct SyncState {
    prepared: bool,
    /// A stored model that the embedder's differs from; dense search and writing are refused while it does.
    foreign_model: Option<EmbeddingModel>,
    persisted_at: ChangeSeq,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("ledger", &self.ledger)
            .field("indexes", &self.indexes)
            .field("embedder", &self.embedder)
            .finish_non_exhaustive()
    }
}

impl Engine {
    pub(crate) fn new(
        ledger: Arc<dyn Ledger>,
        indexes: Vec<Arc<dyn Index>>,
        embedder: Arc<dyn Embedder>,
        reranker: Option<Arc<dyn Reranker>>,
        clock: Arc<dyn Clock>,
        (policies, embedded): (Policies, Option<Embedded>),
    ) -> Self {
        Self { ledger, indexes, embedder, reranker, clock, policies, embedded, states: Mutex::default() }
    }

    fn state(&self, namespace: &Namespace) -> Arc<NamespaceState> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = states.get(namespace) {
            return Arc::clone(state);
        }
        Arc::clone(states.entry(namespace.clone()).or_default())
    }

    /// The first index that offers dense or lexical search.
    pub(crate) fn index_for(&self, offers: impl Fn(&dyn Index) -> Offer) -> Option<&Arc<dyn Index>> {
        self.indexes.iter().find(|index| offers(index.as_ref()) == Offer::Yes)
    }

    /// Refuses to mix embedding spaces.
    pub(crate) async fn check_model(&self, namespace: &Namespace) -> Result<()> {
        let state = self.state(namespace);
        let mut sync = state.sync.lock().await;
        self.prepare(namespace, &mut sync).await?;
        match (&sync.foreign_model, self.embedder.model()) {
            (Some(stored), Some(ours)) => stored.check_same(ours),
            _ => Ok(()),
        }
    }

    async fn prepare(&self, namespace: &Namespace, sync: &mut SyncState) -> Result<()> {
        if sync.prepared {
            return Ok(());
        }
        let model = self.embedder.model();
        if let Some(ours) = model {
            let stored = self.ledger.report(namespace).await?.models;
            sync.foreign_model = stored.into_iter().find(|stored| stored != ours);
        }
        let indexed_model = self.indexed_model(sync);
        for index in &self.indexes {
            match index.prepare(namespace, indexed_model).await {
                Ok(()) => {}
                // The index holds another space than the ledger says: it is derived, so it is made anew.
                Err(error) if error.kind() == ErrorKind::ModelMismatch => {
                    tracing::warn!(index = index.name(), %namespace, %error, "index is rebuilt");
                    index.drop_namespace(namespace).await?;
                    index.prepare(namespace, indexed_model).await?;
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(embedded) = &self.embedded {
            sync.persisted_at = embedded.index.position(namespace).await?;
        }
        sync.prepared = true;
        Ok(())
    }

    /// The model of what indexes hold: the stored one while it is another than the embedder's.
    fn indexed_model<'a>(&'a self, sync: &'a SyncState) -> Option<&'a EmbeddingModel> {
        sync.foreign_model.as_ref().or(self.embedder.model())
    }

    /// Brings every index up to the head of the feed, also with what other processes committed, and tells which are behind.
    pub(crate) async fn sync(&self, namespace: &Namespace) -> Result<Vec<Behind>> {
        self.sync_with(namespace, &[], None).await
    }

    /// The same where an index that is behind is of no use.
    pub(crate) async fn sync_all(&self, namespace: &Namespace) -> Result<()> {
        self.sync(namespace).await?.into_iter().next().map_or(Ok(()), |behind| Err(behind.why))
    }

    /// The same, knowing what the last commit changed, so that it need not be read back.
    pub(crate) async fn sync_with(
        &self,
        namespace: &Namespace,
        known: &[(RecordId, Option<StoredRecord>)],
        committed: Option<(ChangeSeq, ChangeSeq)>,
    ) -> Result<Vec<Behind>> {
        let state = self.state(namespace);
        let mut sync = state.sync.lock().await;
        let followed = self.follow(namespace, &mut sync, known, committed).await?;
        self.persist_when_due(namespace, &mut sync, followed.erased).await?;
        Ok(followed.behind)
    }

    /// Brings every index up to the head. One that fails does not keep the others from it.
    async fn follow(
        &self,
        namespace: &Namespace,
        sync: &mut SyncState,
        known: &[(RecordId, Option<StoredRecord>)],
        committed: Option<(ChangeSeq, ChangeSeq)>,
    ) -> Result<Followed> {
        self.prepare(namespace, sync).await?;
        let model = self.indexed_model(sync);
        let mut head: Option<ChangeSeq> = None;
        let mut followed = Followed::default();
        for index in &self.indexes {
            let done = match (index.position(namespace).await, committed) {
                (Err(error), _) => Err(error),
                (Ok(position), Some((first, last))) if position.0 + 1 == first.0 => {
                    let changes = known.iter().map(|(id, record)| change(last, id.clone(), record.clone(), model));
                    index.apply(namespace, &changes.collect::<Vec<_>>(), last).await.map(|()| false)
                }
                (Ok(position), _) => {
                    let head = match head {
                        Some(head) => head,
                        None => *head.insert(self.ledger.head(namespace).await?),
                    };
                    self.catch_up(namespace, index.as_ref(), model, position, head).await
                }
            };
            match done {
                Ok(erased) => followed.erased |= erased,
                Err(why) => followed.behind.push(Behind { index: index.name(), why }),
            }
        }
        Ok(followed)
    }

    async fn catch_up(
        &self,
        namespace: &Namespace,
        index: &dyn Index,
        model: Option<&EmbeddingModel>,
        position: ChangeSeq,
        head: ChangeSeq,
    ) -> Result<bool> {
        let (mut position, mut erased) = (position, false);
        // A feed shorter than what the index has seen means that the index was fed from another life of this directory.
        if position > head || (position.0 == 0 && head.0 > FEED_PAGE as u64) {
            return self.rebuild(namespace, index, model, head).await.map(|()| true);
        }
        while position < head {
            let changes = self.ledger.changes(namespace, position, FEED_PAGE).await?;
            let Some(last) = changes.last().map(|change| change.seq) else { break };
            let mut ids: BTreeMap<RecordId, ChangeSeq> = BTreeMap::new();
            for change in changes {
                erased |= matches!(change.what, Changed::Erased(_));
                match change.what {
                    Changed::Written(id, _)
                    | Changed::Embedded(id, _)
                    | Changed::Deleted(id, _)
                    | Changed::Erased(Some(id)) => {
                        ids.insert(id, change.seq);
                    }
                    // The feed no longer names what was erased, so an index that may hold it starts over.
                    Changed::Erased(None) => {
                        return self.rebuild(namespace, index, model, head).await.map(|()| true);
                    }
                    Changed::Appended(_) | Changed::EventErased(_) | Changed::Slots(..) => {}
                }
            }
            let wanted: Vec<RecordId> = ids.keys().cloned().collect();
            let read = Read { as_of: None, embeddings: Embeddings::Include };
            let records = self.ledger.fetch(namespace, &wanted, read).await?;
            let changes: Vec<IndexChange> =
                ids.into_iter().zip(records).map(|((id, seq), record)| change(seq, id, record, model)).collect();
            index.apply(namespace, &changes, last).await?;
            position = last;
        }
        Ok(erased)
    }

    /// Starts over by scanning, which reads each record once. Records written meanwhile come again by the feed after `head`.
    async fn rebuild(
        &self,
        namespace: &Namespace,
        index: &dyn Index,
        model: Option<&EmbeddingModel>,
        head: ChangeSeq,
    ) -> Result<()> {
        index.drop_namespace(namespace).await?;
        index.prepare(namespace, model).await?;
        let read = Read { as_of: None, embeddings: Embeddings::Include };
        let mut page = PageRequest::largest();
        loop {
            let found = self.ledger.scan(namespace, &Filter::all(), read, &page).await?;
            let changes: Vec<IndexChange> = found
                .items
                .into_iter()
                .map(|stored| change(head, stored.record.id.clone(), Some(stored), model))
                .collect();
            let done = found.next.is_none();
            index.apply(namespace, &changes, if done { head } else { ChangeSeq(0) }).await?;
            if done {
                return Ok(());
            }
            page = page.after(found.next);
        }
    }

    /// Saves after many changes, and at once after an erasure, since an older copy still holds what was erased.
    async fn persist_when_due(&self, namespace: &Namespace, sync: &mut SyncState, erased: bool) -> Result<()> {
        let Some(embedded) = &self.embedded else { return Ok(()) };
        let position = embedded.index.position(namespace).await?;
        if erased || position.0 >= sync.persisted_at.0.saturating_add(PERSIST_EVERY) {
            self.save(namespace, sync, embedded).await?;
        }
        Ok(())
    }

    /// Saves, again for as long as others erase meanwhile: a copy that lands after their erasure must not bring it back.
    async fn save(&self, namespace: &Namespace, sync: &mut SyncState, embedded: &Embedded) -> Result<()> {
        loop {
            embedded.index.persist(namespace).await?;
            sync.persisted_at = embedded.index.position(namespace).await?;
            if !self.follow(namespace, sync, &[], None).await?.erased {
                return Ok(());
            }
        }
    }

    /// Rebuilds every index of a namespace from the ledger.
    pub(crate) async fn rebuild_indexes(&self, namespace: &Namespace) -> Result<()> {
        let state = self.state(namespace);
        let mut sync = state.sync.lock().await;
        self.prepare(namespace, &mut sync).await?;
        let head = self.ledger.head(namespace).await?;
        for index in &self.indexes {
            self.rebuild(namespace, index.as_ref(), self.indexed_model(&sync), head).await?;
        }
        Ok(())
    }

    /// Saves the local index, so that the next start is fast and nothing erased stays in an older copy.
    pub(crate) async fn persist(&self, namespace: &Namespace) -> Result<()> {
        let Some(embedded) = &self.embedded else { return Ok(()) };
        let state = self.state(namespace);
        let mut sync = state.sync.lock().await;
        self.follow(namespace, &mut sync, &[], None).await?;
        // What holds nothing yet needs no file: looking into a namespace leaves no trace.
        if embedded.index.position(namespace).await? == ChangeSeq::default() {
            return Ok(());
        }
        self.save(namespace, &mut sync, embedded).await
    }

    /// Namespaces touched since the start.
    pub(crate) fn touched(&self) -> Vec<Namespace> {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let mut names: Vec<Namespace> = states.keys().cloned().collect();
        names.sort();
        names
    }

    /// Embeds texts and refuses an answer that does not fit the question.
    pub(crate) async fn embed(&self, purpose: Purpose, texts: &[&str]) -> Result<Vec<Option<Embedding>>> {
        let Some(model) = self.embedder.model() else { return Ok(vec![None; texts.len()]) };
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let embeddings = self.embedder.embed(purpose, texts).await?;
        if embeddings.len() != texts.len() {
            let message = format!("embedder {model}: expected {} embeddings, found {}", texts.len(), embeddings.len());
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        embeddings.iter().flatten().try_for_each(|embedding| model.check_same(embedding.model()))?;
        Ok(embeddings)
    }
}
