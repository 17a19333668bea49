//! Making indexes anew, and taking out of them what was erased. Not here: erasing (the ledger), following the feed (`follow`).

use std::{collections::BTreeSet, sync::PoisonError};

use mnemic_core::{
    ChangeSeq, Changed, EmbeddingModel, Namespace, RecordId, Result,
    ports::{Embeddings, Index, Read},
};

use super::{
    Engine, Follower, Place,
    follow::{FEED_PAGE, Stretch, change, part},
};

impl Engine {
    /// Rebuilds every index of a namespace from the ledger.
    pub(crate) async fn rebuild_indexes(&self, namespace: &Namespace) -> Result<()> {
        let model = self.indexed_model(namespace).await?;
        let state = self.state(namespace);
        for (placed, follower) in self.indexes.iter().zip(&state.followers) {
            self.start_over(namespace, placed.index.as_ref(), follower, model.as_ref()).await?;
        }
        Ok(())
    }

    /// Takes a namespace out of every index, and lets go of what is known of it.
    pub(crate) async fn drop_indexes(&self, namespace: &Namespace) -> Result<()> {
        let state = self.state(namespace);
        for (placed, follower) in self.indexes.iter().zip(&state.followers) {
            let mut feed = follower.feed.lock().await;
            self.note_emptied(namespace);
            placed.index.drop_namespace(namespace).await?;
            *feed = super::Feed::default();
        }
        self.begin_anew(namespace, false);
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
        *follower.shown.lock().unwrap_or_else(PoisonError::into_inner) = None;
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
}
