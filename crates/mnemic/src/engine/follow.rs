//! Keeping indexes in step with the ledger's feed. Not here: how one stands when it is searched (`standing`), and taking out what was
//! erased (`erased`).

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures::future::join_all;
use mnemic_core::{
    ChangeSeq, Changed, EmbeddingModel, Error, ErrorKind, Filter, Namespace, PageRequest, RecordId, Result,
    StoredRecord,
    ports::{Embeddings, Index, IndexChange, Read},
};
use tokio::time::{Instant, timeout_at};

use super::{Engine, Feed, Follower, Place, Placed};

/// Changes read from the feed at once.
pub(super) const FEED_PAGE: usize = 1000;
/// How long a write waits for a server's index before it is answered without it.
const WRITER_PATIENCE: Duration = Duration::from_secs(5);

/// What a commit changed, so that it need not be read back.
pub(crate) type Known = [(RecordId, Option<StoredRecord>)];

/// How far an index is to be brought.
#[derive(Clone, Copy, Debug)]
pub(super) enum Goal {
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

/// A change for an index that holds embeddings of `model`. Another model's embedding (two processes may have begun a namespace with
/// different ones) stays out, so that its record is still found by words.
pub(super) fn change(
    seq: ChangeSeq,
    id: RecordId,
    record: Option<StoredRecord>,
    model: Option<&EmbeddingModel>,
) -> IndexChange {
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
    pub(crate) async fn sync(self: &Arc<Self>, namespace: &Namespace) -> Result<Vec<Behind>> {
        self.sync_with(namespace, &[], None).await
    }

    /// The same where an index that is behind is of no use: waits for as long as it takes.
    pub(crate) async fn sync_all(&self, namespace: &Namespace) -> Result<()> {
        let state = self.state(namespace);
        let one = async |(placed, follower): (&Placed, &Follower)| {
            let mut feed = follower.feed.lock().await;
            self.bring(namespace, placed, &mut feed, &[], Goal::Unknown).await
        };
        let outcomes = join_all(self.indexes.iter().zip(&state.followers).map(one)).await;
        outcomes.into_iter().collect()
    }

    /// The same, knowing what the last commit changed. One index that fails or is slow does not keep the others from it, and a server
    /// that takes long (making an index takes minutes) does not keep the caller: its work goes on and it is told as behind.
    pub(crate) async fn sync_with(
        self: &Arc<Self>,
        namespace: &Namespace,
        known: &Known,
        committed: Option<(ChangeSeq, ChangeSeq)>,
    ) -> Result<Vec<Behind>> {
        let goal = committed.map_or(Goal::Unknown, |(first, last)| Goal::Commit(first, last));
        let state = self.state(namespace);
        let one = async |(place, (placed, follower)): (usize, (&Placed, &Follower))| match placed.place {
            Place::Near => {
                let mut feed = follower.feed.lock().await;
                self.bring(namespace, placed, &mut feed, known, goal).await
            }
            Place::Far => self.bring_soon(namespace, place, known, goal, WRITER_PATIENCE).await,
        };
        let outcomes = join_all(self.indexes.iter().zip(&state.followers).enumerate().map(one)).await;
        self.make_room().await;
        let behind = self.indexes.iter().zip(outcomes);
        Ok(behind.filter_map(|(placed, done)| Some(Behind { index: placed.index.name(), why: done.err()? })).collect())
    }

    /// Brings one index towards its goal, with its feed in hand.
    pub(super) async fn bring(
        &self,
        namespace: &Namespace,
        placed: &Placed,
        feed: &mut Feed,
        known: &Known,
        goal: Goal,
    ) -> Result<()> {
        let index = placed.index.as_ref();
        let model = self.indexed_model(namespace).await?;
        let done = async {
            let erased = self.follow(namespace, (index, feed), model.as_ref(), known, goal).await?;
            if placed.place == Place::Near {
                self.persist_when_due(namespace, feed, erased).await?;
            }
            Ok(())
        };
        let done = done.await;
        self.noted(&part(index), done)
    }

    /// The same in the background, for as long as the caller has patience. The work goes on if the caller does not; nothing is begun
    /// while somebody else's work is under way.
    pub(super) async fn bring_soon(
        self: &Arc<Self>,
        namespace: &Namespace,
        place: usize,
        known: &Known,
        goal: Goal,
        patience: Duration,
    ) -> Result<()> {
        let until = Instant::now() + patience;
        let state = self.state(namespace);
        let Some(follower) = state.followers.get(place) else { return Ok(()) };
        let slow = || Error::new(ErrorKind::Unavailable, "it takes long and goes on in the background");
        let Ok(mut feed) = timeout_at(until, Arc::clone(&follower.feed).lock_owned()).await else { return Err(slow()) };
        let (engine, namespace, known) = (Arc::clone(self), namespace.clone(), known.to_vec());
        let work = tokio::spawn(async move {
            let Some(placed) = engine.indexes.get(place) else { return Ok(()) };
            engine.bring(&namespace, placed, &mut feed, &known, goal).await
        });
        match timeout_at(until, work).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Error::bug("bringing an index up to date ended early")),
            Err(_) => Err(slow()),
        }
    }

    /// Brings one index up to the head; `true` if something was erased on the way.
    pub(super) async fn follow(
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

    pub(super) async fn prepare(
        &self,
        namespace: &Namespace,
        index: &dyn Index,
        feed: &mut Feed,
        model: Option<&EmbeddingModel>,
    ) -> Result<()> {
        // Asked before anything is read: what changes on the way is prepared for once more.
        let state = self.state(namespace);
        let life = state.life();
        if feed.prepared == life {
            return Ok(());
        }
        if feed.prepared < state.emptied_for.load(Ordering::SeqCst) && self.is_near(index) {
            self.note_emptied(namespace);
            index.drop_namespace(namespace).await?;
        }
        match index.prepare(namespace, model).await {
            Ok(()) => {}
            // The index holds another space than the ledger says: it is derived, so it is made anew.
            Err(error) if error.kind() == ErrorKind::ModelMismatch => {
                tracing::warn!(index = index.name(), %namespace, %error, "index is rebuilt");
                self.note_emptied(namespace);
                index.drop_namespace(namespace).await?;
                index.prepare(namespace, model).await?;
            }
            Err(error) => return Err(error),
        }
        if self.is_saved(index) {
            feed.persisted_at = index.position(namespace).await?;
        }
        feed.prepared = life;
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
        if position > head {
            return self.rebuild(namespace, index, model, head).await.map(|()| true);
        }
        if position.0 == 0 && head.0 > FEED_PAGE as u64 {
            let begun = !index.ids(namespace, &PageRequest::first(1)?).await?.items.is_empty();
            // Nobody else fills an index in this process: what it holds is left by a filling that was interrupted, and may be gone since.
            if begun && self.is_near(index) {
                return self.rebuild(namespace, index, model, head).await.map(|()| true);
            }
            // Not emptied before: another process may be filling it at this moment, and what both bring is the same.
            return self.fill(namespace, index, model, head, begun).await.map(|()| true);
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
    pub(super) async fn rebuild(
        &self,
        namespace: &Namespace,
        index: &dyn Index,
        model: Option<&EmbeddingModel>,
        head: ChangeSeq,
    ) -> Result<()> {
        self.note_emptied(namespace);
        index.drop_namespace(namespace).await?;
        index.prepare(namespace, model).await?;
        self.fill(namespace, index, model, head, false).await
    }

    /// Feeds an index that is at the beginning, or whose filling was `begun` before, with everything that there is.
    async fn fill(
        &self,
        namespace: &Namespace,
        index: &dyn Index,
        model: Option<&EmbeddingModel>,
        head: ChangeSeq,
        begun: bool,
    ) -> Result<()> {
        let read = Read { as_of: None, embeddings: Embeddings::Include };
        let mut page = PageRequest::largest();
        loop {
            let found = self.ledger.scan(namespace, &Filter::all(), read, &page).await?;
            let changes: Vec<IndexChange> = found
                .items
                .into_iter()
                .map(|stored| change(head, stored.record.id.clone(), Some(stored), model))
                .collect();
            index.apply(namespace, &changes, ChangeSeq(0)).await?;
            if found.next.is_none() {
                break;
            }
            page = page.after(found.next);
        }
        if begun {
            self.remove_ghosts(namespace, index, head).await?;
        }
        index.apply(namespace, &[], head).await
    }

    /// Takes out what an index holds of records that are gone: who filled it before was interrupted, and they went since.
    async fn remove_ghosts(&self, namespace: &Namespace, index: &dyn Index, head: ChangeSeq) -> Result<()> {
        let mut page = PageRequest::largest();
        loop {
            let held = index.ids(namespace, &page).await?;
            let ids: Vec<RecordId> = held.items.into_iter().map(|held| held.id).collect();
            let stored = self.ledger.fetch(namespace, &ids, Read::default()).await?;
            let gone = ids.into_iter().zip(stored).filter(|(_, stored)| stored.is_none());
            let changes: Vec<IndexChange> = gone.map(|(id, _)| change(head, id, None, None)).collect();
            if !changes.is_empty() {
                index.apply(namespace, &changes, ChangeSeq(0)).await?;
            }
            if held.next.is_none() {
                return Ok(());
            }
            page = page.after(held.next);
        }
    }

    fn is_near(&self, index: &dyn Index) -> bool {
        let same = |placed: &&Placed| std::ptr::addr_eq(Arc::as_ptr(&placed.index), index);
        self.indexes.iter().find(same).is_some_and(|placed| placed.place == Place::Near)
    }
}

/// What an index is called among the parts.
pub(crate) fn part(index: &dyn Index) -> String {
    format!("index:{}", index.name())
}
