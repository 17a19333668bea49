//! The `local` index: dense and lexical search in this process over one row-ordinal space, exact, rebuilt from the change feed whenever its
//! snapshot does not hold up. Not here: when it is fed and saved (the manager).
//!
//! ```text
//! config   LocalIndexConfig            shards     which namespaces are in memory      state     one namespace
//! rows     ordinals, compact fields    labels, columns -> filter -> bitmap
//! lexicon, postings   BM25             dense, kernel   exact cosine                   snapshot, codec, files
//! ```

mod codec;
mod columns;
mod config;
mod dense;
mod error;
mod files;
mod filter;
mod kernel;
mod labels;
mod lexicon;
mod postings;
mod rows;
mod shards;
mod snapshot;
mod state;
mod top;
mod unread;

use std::sync::Arc;

use async_trait::async_trait;
use mnemic_core::{
    ChangeSeq, Embedding, EmbeddingModel, Filter, Namespace, Page, PageRequest, Result,
    ports::{Index, IndexCapabilities, IndexChange, IndexHit, IndexReport, IndexedId, Offer, Precision, Visibility},
};

pub use config::LocalIndexConfig;
use shards::{Shard, Shards, Weight, offload};
use unread::Unread;

/// Changes whose texts are read before other tasks of this thread get their turn.
const STRIDE: usize = 128;

/// Dense and lexical search in this process.
#[derive(Debug)]
pub struct LocalIndex {
    config: LocalIndexConfig,
    shards: Shards,
}

impl LocalIndex {
    /// An index that finds its snapshots in the configured directory. Nothing is read before a namespace is used.
    ///
    /// # Errors
    /// `InvalidConfig`, naming the setting.
    pub fn new(config: LocalIndexConfig) -> Result<Self> {
        config.check()?;
        Ok(Self { config, shards: Shards::default() })
    }

    /// Writes the namespace's snapshot, so that the next opening need not read the feed from its beginning. Atomic; an unchanged
    /// namespace is not written again. Without a directory there is nothing to write.
    ///
    /// Call it after an erasure too: the snapshot before still holds what was erased.
    ///
    /// # Errors
    /// `Denied`, `InvalidConfig` or `Unavailable` from the file system. The snapshot before stays.
    pub async fn persist(&self, namespace: &Namespace) -> Result<()> {
        self.save(self.shard(namespace).await?).await
    }

    /// Writes the snapshots of every namespace in memory.
    ///
    /// # Errors
    /// The first failure, after the others were tried.
    pub async fn persist_all(&self) -> Result<()> {
        let mut first = Ok(());
        for (_, shard) in self.shards.all() {
            let saved = self.save(shard).await;
            first = first.and(saved);
        }
        first
    }

    /// Where more namespaces are in memory than the configuration says, one that is to be persisted, which lets it go when it is not used.
    pub fn crowding(&self) -> Option<Namespace> {
        self.shards.crowding(&self.config)
    }

    /// Removes the namespace's snapshot; what is in memory stays.
    ///
    /// # Errors
    /// `Denied`, `InvalidConfig` or `Unavailable` from the file system.
    pub async fn discard(&self, namespace: &Namespace) -> Result<()> {
        let shard = self.shard(namespace).await?;
        let _feed = shard.feed.lock().await;
        let discarded = Arc::clone(&shard);
        offload(Weight::Heavy, move || discarded.discard()).await?
    }

    /// How many records it holds.
    ///
    /// # Errors
    /// Those of opening the namespace.
    pub async fn records(&self, namespace: &Namespace) -> Result<u64> {
        self.shard(namespace).await?.read(|state| state.rows.len() as u64)
    }

    async fn save(&self, shard: Arc<Shard>) -> Result<()> {
        let _feed = shard.feed.lock().await;
        let saved = Arc::clone(&shard);
        offload(Weight::Heavy, move || saved.save()).await?
    }

    async fn shard(&self, namespace: &Namespace) -> Result<Arc<Shard>> {
        self.shards.get(namespace, &self.config).await
    }
}

fn weight(is_long: bool) -> Weight {
    if is_long { Weight::Heavy } else { Weight::Light }
}

#[async_trait]
impl Index for LocalIndex {
    fn name(&self) -> &'static str {
        "local"
    }

    fn capabilities(&self) -> IndexCapabilities {
        IndexCapabilities {
            dense: Offer::Yes,
            lexical: Offer::Yes,
            visibility: Visibility::Immediate,
            filters: Precision::Exact,
        }
    }

    async fn prepare(&self, namespace: &Namespace, model: Option<&EmbeddingModel>) -> Result<()> {
        let shard = self.shard(namespace).await?;
        model.map_or(Ok(()), |model| shard.write(|state| state.prepare(model))?)
    }

    async fn position(&self, namespace: &Namespace) -> Result<ChangeSeq> {
        self.shard(namespace).await?.read(|state| state.position)
    }

    async fn visible(&self, namespace: &Namespace) -> Result<ChangeSeq> {
        self.position(namespace).await
    }

    async fn apply(&self, namespace: &Namespace, changes: &[IndexChange], through: ChangeSeq) -> Result<()> {
        let shard = self.shard(namespace).await?;
        let _feed = shard.feed.lock().await;
        shard.read(|state| state.check_models(changes))??;
        // Reading takes most of the time and happens before the lock, which searches wait for.
        let mut readings = Vec::with_capacity(changes.len());
        for stride in changes.chunks(STRIDE) {
            let unread = shard.read(|state| state.unread(stride))?;
            readings.extend(Unread::read(unread));
            tokio::task::yield_now().await;
        }
        // At once, so that a search finds all of a commit or nothing, and so that who is interrupted has changed nothing.
        shard.write(|state| {
            state.apply(changes, readings)?;
            state.advance(through);
            Ok(())
        })?
    }

    async fn search_dense(
        &self,
        namespace: &Namespace,
        vector: &Embedding,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<IndexHit>> {
        filter.check_composed()?;
        let shard = self.shard(namespace).await?;
        let long = shard.read(|state| state.is_long(filter, vector.components().len() * 2))?;
        if !long {
            return shard.read(|state| state.search_dense(vector, filter, limit))?;
        }
        let (vector, filter) = (vector.clone(), filter.clone());
        offload(Weight::Heavy, move || shard.read(|state| state.search_dense(&vector, &filter, limit))).await??
    }

    async fn search_text(
        &self,
        namespace: &Namespace,
        query: &str,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<IndexHit>> {
        filter.check_composed()?;
        let shard = self.shard(namespace).await?;
        let bm25 = self.config.bm25;
        let long = shard.read(|state| state.is_long(filter, 64))? || query.len() > 1 << 15;
        if !long {
            return shard.read(|state| state.search_text(query, bm25, filter, limit));
        }
        let (query, filter) = (query.to_owned(), filter.clone());
        offload(Weight::Heavy, move || shard.read(|state| state.search_text(&query, bm25, &filter, limit))).await?
    }

    async fn ids(&self, namespace: &Namespace, page: &PageRequest) -> Result<Page<IndexedId>> {
        self.shard(namespace).await?.read(|state| state.ids(page))
    }

    async fn drop_namespace(&self, namespace: &Namespace) -> Result<()> {
        let shard = self.shard(namespace).await?;
        let _feed = shard.feed.lock().await;
        if let Some(file) = shard.file.clone() {
            offload(Weight::Heavy, move || file.remove()).await??;
        }
        shard.reset();
        Ok(())
    }

    async fn check(&self, namespace: &Namespace) -> Result<IndexReport> {
        let shard = self.shard(namespace).await?;
        let long = shard.read(|state| state.is_long(&Filter::all(), 64))?;
        offload(weight(long), move || {
            let on_disk = shard.file.as_ref().map_or(0, files::SnapshotFile::bytes);
            shard.read(|state| {
                let report = state.report();
                IndexReport { bytes: report.bytes + on_disk, ..report }
            })
        })
        .await?
    }
}
