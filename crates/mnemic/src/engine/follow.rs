//! Keeping indexes in step with the ledger's feed. Not here: what an index does not show yet (`fresh`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures::future::join_all;
use mnemic_core::{
    ChangeSeq, Changed, EmbeddingModel, Error, ErrorKind, Filter, Namespace, PageRequest, RecordId, Result,
    StoredRecord,
    ports::{Embeddings, Index, IndexChange, Read, Visibility},
};

use super::{Engine, Feed, Follower, FreshView, LEDGER, Place};

/// Changes read from the feed at once.
pub(super) const FEED_PAGE: usize = 1000;
/// Changes after which the local index is saved, so that the next start does not replay them.
const PERSIST_EVERY: u64 = 2000;
/// How long a retrieval waits for a server's index to catch up before it is searched as it is.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a commit changed, so that it need not be read back.
pub(crate) type Known = [(RecordId, Option<StoredRecord>)];

/// How far an index is to be brought.
#[derive(Clone, Copy, Debug)]
enum Goal {
    /// Over what a commit changed, which is known.
    Commit(ChangeSeq, ChangeSeq),
    /// To this head.
    Head(ChangeSeq),
    /// To the head, which is not known yet.
    Unknown,
}

/// An index that could not be brought up to date, and why.
#[derive(Debug)]
pub(crate) struct Behind {
    pub(crate) index: &'static str,
    pub(crate) why: Error,
}

/// How an index stands when it is about to be searched.
#[derive(Clone, Debug)]
pub(crate) enum Standing {
    /// It shows everything.
    Current,
    /// It does not show everything yet; the rest is here.
    Fresh(FreshView),
    /// It does not show everything, and the rest is too much or cannot be read.
    Lags(String),
    /// It must not be searched: what it would find might be a part of the answer, or gone.
    Refused(String),
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

/// A stretch of the feed, read and looked up.
pub(super) struct Stretch {
    pub(super) changes: Vec<IndexChange>,
    /// The last position of the stretch.
    pub(super) last: ChangeSeq,
    /// Whether something was erased in it.
    pub(super) erased: bool,
    /// Whether something was erased that the feed no longer names.
    pub(super) nameless: bool,
}

impl Engine {
    /// The next changes after `position`; `None` at the head.
    pub(super) async fn stretch(
        &self,
        namespace: &Namespace,
        position: ChangeSeq,
        model: Option<&EmbeddingModel>,
    ) -> Result<Option<Stretch>> {
        let feed = self.ledger.changes(namespace, position, FEED_PAGE).await?;
        let Some(last) = feed.last().map(|change| change.seq) else { return Ok(None) };
        let (mut erased, mut nameless) = (false, false);
        let mut ids: BTreeMap<RecordId, ChangeSeq> = BTreeMap::new();
        for change in feed {
            erased |= matches!(change.what, Changed::Erased(_));
            match change.what {
                Changed::Written(id, _)
                | Changed::Embedded(id, _)
                | Changed::Deleted(id, _)
                | Changed::Erased(Some(id)) => {
                    ids.insert(id, change.seq);
                }
                Changed::Erased(None) => nameless = true,
                Changed::Appended(_) | Changed::EventErased(_) | Changed::Slots(..) => {}
            }
        }
        let wanted: Vec<RecordId> = ids.keys().cloned().collect();
        let read = Read { as_of: None, embeddings: Embeddings::Include };
        let records = if wanted.is_empty() { Vec::new() } else { self.ledger.fetch(namespace, &wanted, read).await? };
        let changes = ids.into_iter().zip(records).map(|((id, seq), record)| change(seq, id, record, model)).collect();
        Ok(Some(Stretch { changes, last, erased, nameless }))
    }

    /// Brings every index up to the head of the feed, also with what other processes committed, and tells which are behind.
    pub(crate) async fn sync(&self, namespace: &Namespace) -> Result<Vec<Behind>> {
        self.sync_with(namespace, &[], None).await
    }

    /// The same where an index that is behind is of no use.
    pub(crate) async fn sync_all(&self, namespace: &Namespace) -> Result<()> {
        self.sync(namespace).await?.into_iter().next().map_or(Ok(()), |behind| Err(behind.why))
    }

    /// The same, knowing what the last commit changed. One index that fails or is slow does not keep the others from it.
    pub(crate) async fn sync_with(
        &self,
        namespace: &Namespace,
        known: &Known,
        committed: Option<(ChangeSeq, ChangeSeq)>,
    ) -> Result<Vec<Behind>> {
        let model = self.indexed_model(namespace).await?;
        let goal = committed.map_or(Goal::Unknown, |(first, last)| Goal::Commit(first, last));
        let one = async |place: usize| self.sync_one(namespace, place, model.as_ref(), known, goal).await.err();
        let outcomes = join_all((0..self.indexes.len()).map(one)).await;
        let behind = self.indexes.iter().zip(outcomes);
        Ok(behind.filter_map(|(placed, why)| Some(Behind { index: placed.index.name(), why: why? })).collect())
    }

    async fn sync_one(
        &self,
        namespace: &Namespace,
        place: usize,
        model: Option<&EmbeddingModel>,
        known: &Known,
        goal: Goal,
    ) -> Result<()> {
        let state = self.state(namespace);
        let (Some(placed), Some(follower)) = (self.indexes.get(place), state.followers.get(place)) else {
            return Ok(());
        };
        let index = placed.index.as_ref();
        let mut feed = follower.feed.lock().await;
        let done = async {
            let erased = self.follow(namespace, (index, &mut feed), model, known, goal).await?;
            if placed.place == Place::Near {
                self.persist_when_due(namespace, &mut feed, erased).await?;
            }
            Ok(())
        };
        let done = done.await;
        self.noted(&part(index), done)
    }

    /// Brings one index up to the head; `true` if something was erased on the way.
    async fn follow(
        &self,
        namespace: &Namespace,
        (index, feed): (&dyn Index, &mut Feed),
        model: Option<&EmbeddingModel>,
        known: &Known,
        goal: Goal,
    ) -> Result<bool> {
        self.prepare(namespace, index, feed, model).await?;
        let position = index.position(namespace).await?;
        match goal {
            // Somebody who came first has brought it along.
            Goal::Commit(_, last) if position >= last => Ok(false),
            Goal::Commit(first, last) if position.0 + 1 == first.0 => {
                let changes = known.iter().map(|(id, record)| change(last, id.clone(), record.clone(), model));
                index.apply(namespace, &changes.collect::<Vec<_>>(), last).await.map(|()| false)
            }
            Goal::Head(head) if position == head => Ok(false),
            // A head that was read before the position was may be older than it.
            Goal::Head(head) if position < head => self.catch_up(namespace, index, model, position, head).await,
            Goal::Head(_) | Goal::Commit(..) | Goal::Unknown => {
                let head = self.ledger.head(namespace).await?;
                self.catch_up(namespace, index, model, position, head).await
            }
        }
    }

    async fn prepare(
        &self,
        namespace: &Namespace,
        index: &dyn Index,
        feed: &mut Feed,
        model: Option<&EmbeddingModel>,
    ) -> Result<()> {
        if feed.prepared {
            return Ok(());
        }
        match index.prepare(namespace, model).await {
            Ok(()) => {}
            // The index holds another space than the ledger says: it is derived, so it is made anew.
            Err(error) if error.kind() == ErrorKind::ModelMismatch => {
                tracing::warn!(index = index.name(), %namespace, %error, "index is rebuilt");
                index.drop_namespace(namespace).await?;
                index.prepare(namespace, model).await?;
            }
            Err(error) => return Err(error),
        }
        if self.is_saved(index) {
            feed.persisted_at = index.position(namespace).await?;
        }
        feed.prepared = true;
        Ok(())
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
        // A feed shorter than what the index has seen means that the index was fed from another life of this ledger.
        if position > head || (position.0 == 0 && head.0 > FEED_PAGE as u64) {
            return self.rebuild(namespace, index, model, head).await.map(|()| true);
        }
        while position < head {
            let Some(stretch) = self.stretch(namespace, position, model).await? else { break };
            erased |= stretch.erased;
            // The feed no longer names what was erased, so an index that may hold it starts over.
            if stretch.nameless {
                return self.rebuild(namespace, index, model, head).await.map(|()| true);
            }
            index.apply(namespace, &stretch.changes, stretch.last).await?;
            position = stretch.last;
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

    /// Whether this is the index that is saved beside the embedded ledger.
    fn is_saved(&self, index: &dyn Index) -> bool {
        self.embedded.as_ref().is_some_and(|embedded| std::ptr::addr_eq(Arc::as_ptr(&embedded.index), index))
    }

    /// Saves after many changes, and at once after an erasure, since an older copy still holds what was erased.
    async fn persist_when_due(&self, namespace: &Namespace, feed: &mut Feed, erased: bool) -> Result<()> {
        let Some(embedded) = &self.embedded else { return Ok(()) };
        let position = embedded.index.position(namespace).await?;
        if erased || position.0 >= feed.persisted_at.0.saturating_add(PERSIST_EVERY) {
            self.save(namespace, feed).await?;
        }
        Ok(())
    }

    /// Saves, again for as long as others erase meanwhile: a copy that lands after their erasure must not bring it back.
    async fn save(&self, namespace: &Namespace, feed: &mut Feed) -> Result<()> {
        let Some(embedded) = &self.embedded else { return Ok(()) };
        let model = self.indexed_model(namespace).await?;
        loop {
            embedded.index.persist(namespace).await?;
            feed.persisted_at = embedded.index.position(namespace).await?;
            if !self.follow(namespace, (embedded.index.as_ref(), feed), model.as_ref(), &[], Goal::Unknown).await? {
                return Ok(());
            }
        }
    }

    /// Rebuilds every index of a namespace from the ledger.
    pub(crate) async fn rebuild_indexes(&self, namespace: &Namespace) -> Result<()> {
        let model = self.indexed_model(namespace).await?;
        let state = self.state(namespace);
        for (placed, follower) in self.indexes.iter().zip(&state.followers) {
            self.start_over(namespace, placed.index.as_ref(), follower, model.as_ref()).await?;
        }
        Ok(())
    }

    async fn start_over(
        &self,
        namespace: &Namespace,
        index: &dyn Index,
        follower: &Follower,
        model: Option<&EmbeddingModel>,
    ) -> Result<()> {
        let mut feed = follower.feed.lock().await;
        *follower.fresh.lock().await = None;
        follower.shown.store(0, Ordering::SeqCst);
        self.prepare(namespace, index, &mut feed, model).await?;
        let head = self.ledger.head(namespace).await?;
        self.rebuild(namespace, index, model, head).await
    }

    /// Takes what was erased out of every index. An index in this process starts over, so that no statistic of it remembers;
    /// one on a server removes the records, since making it anew could take hours.
    pub(crate) async fn drop_erased(&self, namespace: &Namespace, erased: &[RecordId]) -> Result<()> {
        let model = self.indexed_model(namespace).await?;
        let state = self.state(namespace);
        let mut first = Ok(());
        for (placed, follower) in self.indexes.iter().zip(&state.followers) {
            let index = placed.index.as_ref();
            let done = match placed.place {
                Place::Near => self.start_over(namespace, index, follower, model.as_ref()).await,
                Place::Far => self.remove(namespace, index, follower, model.as_ref(), erased).await,
            };
            first = first.and(self.noted(&part(index), done));
        }
        first
    }

    async fn remove(
        &self,
        namespace: &Namespace,
        index: &dyn Index,
        follower: &Follower,
        model: Option<&EmbeddingModel>,
        erased: &[RecordId],
    ) -> Result<()> {
        let mut feed = follower.feed.lock().await;
        *follower.fresh.lock().await = None;
        self.prepare(namespace, index, &mut feed, model).await?;
        let (mut position, head) = (index.position(namespace).await?, self.ledger.head(namespace).await?);
        let mut unnamed = erased.len();
        while position < head {
            let Some(mut stretch) = self.stretch(namespace, position, model).await? else { break };
            if stretch.nameless {
                let nameless = self.nameless(namespace, position, stretch.last).await?;
                // Somebody else's erasure lies on the way, and nobody here knows its records.
                if nameless > unnamed {
                    return self.rebuild(namespace, index, model, head).await;
                }
                unnamed -= nameless;
                self.name_erased(namespace, &mut stretch, model, erased).await?;
            }
            index.apply(namespace, &stretch.changes, stretch.last).await?;
            position = stretch.last;
        }
        Ok(())
    }

    /// Adds what became of the erased records, which the feed no longer names, to the stretch that erased them.
    async fn name_erased(
        &self,
        namespace: &Namespace,
        stretch: &mut Stretch,
        model: Option<&EmbeddingModel>,
        erased: &[RecordId],
    ) -> Result<()> {
        let named: BTreeSet<&RecordId> = stretch.changes.iter().map(|change| &change.id).collect();
        let missing: Vec<RecordId> = erased.iter().filter(|id| !named.contains(id)).cloned().collect();
        let read = Read { as_of: None, embeddings: Embeddings::Include };
        for ids in missing.chunks(FEED_PAGE) {
            // A record may have been written anew since; then it is what it is now.
            let records = self.ledger.fetch(namespace, ids, read).await?;
            let now = ids.iter().zip(records).map(|(id, record)| change(stretch.last, id.clone(), record, model));
            stretch.changes.extend(now);
        }
        Ok(())
    }

    async fn nameless(&self, namespace: &Namespace, after: ChangeSeq, last: ChangeSeq) -> Result<usize> {
        let feed = self.ledger.changes(namespace, after, FEED_PAGE).await?;
        Ok(feed.iter().filter(|change| change.seq <= last && change.what == Changed::Erased(None)).count())
    }

    /// Saves the local index, so that the next start is fast and nothing erased stays in an older copy.
    pub(crate) async fn persist(&self, namespace: &Namespace) -> Result<()> {
        let Some(embedded) = &self.embedded else { return Ok(()) };
        let Some(place) = self.indexes.iter().position(|placed| self.is_saved(placed.index.as_ref())) else {
            return Ok(());
        };
        let state = self.state(namespace);
        let Some(follower) = state.followers.get(place) else { return Ok(()) };
        let model = self.indexed_model(namespace).await?;
        let mut feed = follower.feed.lock().await;
        self.follow(namespace, (embedded.index.as_ref(), &mut feed), model.as_ref(), &[], Goal::Unknown).await?;
        // What holds nothing yet needs no file: looking into a namespace leaves no trace.
        if embedded.index.position(namespace).await? == ChangeSeq::default() {
            return Ok(());
        }
        self.save(namespace, &mut feed).await
    }

    /// How the index at `place` stands, after what can be done about it in the time that a reader has.
    pub(crate) async fn standing(self: &Arc<Self>, namespace: &Namespace, place: usize) -> Result<Standing> {
        let Some(placed) = self.indexes.get(place) else { return Ok(Standing::Current) };
        let (index, name) = (&placed.index, placed.index.name());
        let head = self.noted(LEDGER, self.ledger.head(namespace).await)?;
        if placed.place == Place::Near {
            let model = self.indexed_model(namespace).await?;
            return match self.sync_one(namespace, place, model.as_ref(), &[], Goal::Head(head)).await {
                Ok(()) => Ok(Standing::Current),
                Err(error) => Ok(Standing::Refused(format!("index {name} is behind: {error}"))),
            };
        }
        let state = self.state(namespace);
        let Some(follower) = state.followers.get(place) else { return Ok(Standing::Current) };
        let seen = ChangeSeq(follower.shown.load(Ordering::SeqCst));
        if seen >= head {
            return Ok(Standing::Current);
        }
        let caught_up = match index.capabilities().visibility {
            Visibility::Immediate => self.catch_up_soon(namespace, place).await,
            Visibility::Eventual => {
                self.work.notify_one();
                Ok(())
            }
        };
        let visible = match index.visible(namespace).await {
            Ok(visible) => visible,
            // What it showed when it was last asked, it still holds.
            Err(error) => {
                self.note_down(&part(index.as_ref()), &error);
                seen
            }
        };
        follower.shown.fetch_max(visible.0, Ordering::SeqCst);
        if visible >= head {
            return Ok(Standing::Current);
        }
        let model = self.indexed_model(namespace).await?;
        match self.fresh_view(namespace, follower, (visible, head), model.as_ref()).await {
            Ok(Some(view)) => Ok(Standing::Fresh(view)),
            Ok(None) => {
                let changes = head.0.saturating_sub(visible.0);
                let why = caught_up.err().map(|error: Error| format!(": {error}")).unwrap_or_default();
                Ok(Standing::Lags(format!("index {name} is {changes} changes behind and catches up later{why}")))
            }
            Err(error) => Ok(Standing::Lags(format!("index {name} is behind: {error}"))),
        }
    }

    /// Lets an index catch up in the background and waits a little for it. The work goes on if the reader does not.
    async fn catch_up_soon(self: &Arc<Self>, namespace: &Namespace, place: usize) -> Result<()> {
        let (engine, namespace) = (Arc::clone(self), namespace.clone());
        let work = tokio::spawn(async move {
            let model = engine.indexed_model(&namespace).await?;
            engine.sync_one(&namespace, place, model.as_ref(), &[], Goal::Unknown).await
        });
        match tokio::time::timeout(PATIENCE, work).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Error::bug("catching up ended early")),
            Err(_) => Err(Error::new(ErrorKind::Unavailable, "it takes long")),
        }
    }
}

/// What an index is called among the parts.
pub(crate) fn part(index: &dyn Index) -> String {
    format!("index:{}", index.name())
}
