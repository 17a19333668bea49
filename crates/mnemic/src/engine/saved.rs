//! Saving the local index, so that the next start is fast. Not here: feeding it (`follow`), its files (`mnemic-indexes`).

use std::sync::Arc;

use mnemic_core::{ChangeSeq, Namespace, Result, ports::Index};

use super::{Engine, Feed, follow::Goal};

/// Changes after which the local index is saved, so that the next start does not replay them; in a larger index a part of its records, since
/// saving writes them all.
const PERSIST_EVERY: u64 = 2000;
const PERSIST_PART: u64 = 8;

impl Engine {
    /// Whether this is the index that is saved beside the embedded ledger.
    pub(super) fn is_saved(&self, index: &dyn Index) -> bool {
        self.embedded.as_ref().is_some_and(|embedded| std::ptr::addr_eq(Arc::as_ptr(&embedded.index), index))
    }

    /// Saves after many changes, and at once after an erasure, since an older copy still holds what was erased.
    pub(super) async fn persist_when_due(&self, namespace: &Namespace, feed: &mut Feed, erased: bool) -> Result<()> {
        let Some(embedded) = &self.embedded else { return Ok(()) };
        let position = embedded.index.position(namespace).await?;
        let unsaved = position.0.saturating_sub(feed.persisted_at.0);
        // Every retrieval comes here, so the size is asked for only where it can decide.
        let due = unsaved >= PERSIST_EVERY && unsaved >= embedded.index.records(namespace).await? / PERSIST_PART;
        if !erased && !due {
            return Ok(());
        }
        let Err(error) = self.save(namespace, feed).await else { return Ok(()) };
        // The index in memory is whole: that it cannot be saved keeps nobody from searching it. Tried again after as many changes.
        tracing::warn!(%namespace, %error, "the index is not saved, so the next start reads more of the feed");
        feed.persisted_at = position;
        // The copy that is there may hold what was erased; whoever erased it is told.
        if erased && let Err(error) = embedded.index.discard(namespace).await {
            tracing::warn!(%namespace, %error, "an older copy of the index stays");
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

    /// Saves an index that was not used for long where too many are in memory. Not with the feed of another one in hand.
    pub(super) async fn make_room(&self) {
        let Some(namespace) = self.embedded.as_ref().and_then(|embedded| embedded.index.crowding()) else { return };
        if let Err(error) = self.persist(&namespace).await {
            tracing::warn!(%namespace, %error, "an index stays in memory because it cannot be saved");
        }
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
}
