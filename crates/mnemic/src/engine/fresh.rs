//! What an index on a server does not show yet, searchable here: a small index of the newest changes, fed from the ledger.
//! Not here: bringing the server's index up to date (`follow`).

use std::{collections::HashSet, sync::Arc};

use mnemic_core::{
    ChangeSeq, Embedding, EmbeddingModel, Filter, Namespace, RecordId, Result,
    ports::{Index, IndexHit},
};
use mnemic_indexes::{LocalIndex, LocalIndexConfig};

use super::{Engine, Follower};

/// Changes beyond which reading them for one question costs more than it is worth.
const MOST: u64 = 5000;

/// The newest changes, as an index.
pub(super) struct Fresh {
    /// The life of the namespace that it was read in.
    life: u64,
    index: Arc<LocalIndex>,
    /// Every record that changed after `from`, also those that are gone.
    touched: Arc<HashSet<RecordId>>,
    /// It holds what changed after this position …
    from: ChangeSeq,
    /// … up to this one.
    to: ChangeSeq,
}

/// The newest changes as one retrieval sees them.
#[derive(Clone, Debug)]
pub(crate) struct FreshView {
    index: Arc<LocalIndex>,
    touched: Arc<HashSet<RecordId>>,
}

impl FreshView {
    /// Puts what the server found and what it does not show yet into one list. Of a record that changed since, only the change
    /// counts.
    pub(crate) fn merge(&self, shown: Vec<IndexHit>, fresh: Vec<IndexHit>, limit: usize) -> Vec<IndexHit> {
        let mut hits: Vec<IndexHit> = shown.into_iter().filter(|hit| !self.touched.contains(&hit.id)).collect();
        hits.extend(fresh);
        hits.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.id.cmp(&b.id)));
        hits.truncate(limit);
        hits
    }

    pub(crate) async fn search_dense(
        &self,
        namespace: &Namespace,
        vector: &Embedding,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<IndexHit>> {
        self.index.search_dense(namespace, vector, filter, limit).await
    }

    pub(crate) async fn search_text(
        &self,
        namespace: &Namespace,
        query: &str,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<IndexHit>> {
        self.index.search_text(namespace, query, filter, limit).await
    }
}

impl Engine {
    /// What lies between the two positions as an index; `None` if it is too much.
    pub(super) async fn fresh_view(
        &self,
        namespace: &Namespace,
        (life, follower): (u64, &Follower),
        (visible, head): (ChangeSeq, ChangeSeq),
        model: Option<&EmbeddingModel>,
    ) -> Result<Option<FreshView>> {
        if head.0.saturating_sub(visible.0) > MOST {
            return Ok(None);
        }
        let mut held = follower.fresh.lock().await;
        // What it began with shows by now, and what it still holds of that is dead weight.
        let outgrown = |fresh: &Fresh| {
            let (from, to) = (fresh.from, fresh.to);
            fresh.life != life || visible >= to || from > visible || to.0 - from.0 > 2 * MOST
        };
        if held.as_ref().is_none_or(outgrown) {
            *held = Some(Fresh::new(namespace, (life, visible), model).await?);
        }
        let Some(fresh) = held.as_mut() else { return Ok(None) };
        while fresh.to < head {
            let Some(stretch) = self.stretch(namespace, fresh.to, model).await? else { break };
            fresh.take(namespace, &stretch.changes, stretch.last).await?;
        }
        Ok(Some(FreshView { index: Arc::clone(&fresh.index), touched: Arc::clone(&fresh.touched) }))
    }
}

impl Fresh {
    async fn new(
        namespace: &Namespace,
        (life, from): (u64, ChangeSeq),
        model: Option<&EmbeddingModel>,
    ) -> Result<Self> {
        let index = Arc::new(LocalIndex::new(LocalIndexConfig::default())?);
        index.prepare(namespace, model).await?;
        Ok(Self { life, index, touched: Arc::default(), from, to: from })
    }

    async fn take(
        &mut self,
        namespace: &Namespace,
        changes: &[mnemic_core::ports::IndexChange],
        last: ChangeSeq,
    ) -> Result<()> {
        self.index.apply(namespace, changes, last).await?;
        let touched = Arc::make_mut(&mut self.touched);
        touched.extend(changes.iter().map(|change| change.id.clone()));
        self.to = last;
        Ok(())
    }
}
