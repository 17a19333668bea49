//! Finishing what was left pending: embeddings that could not be made when their record was written. Not here: queueing it (`write`).

use std::{collections::HashMap, sync::atomic::Ordering};

use mnemic_core::{
    Batch, Embedding, EmbeddingWrite, ErrorKind, MemoryRecord, OutboxItem, RecordId, Result, Role, Task,
    ports::{Purpose, Read},
};

use super::MemoryManager;
use crate::engine::worker::Left;

/// Outbox items taken at once, fewer while the embedder does not finish as many in time: what it finished of them would be lost.
const DRAIN_PAGE: usize = 256;
const SMALLEST_PAGE: usize = 4;

impl MemoryManager {
    /// See [`MemoryManager::drain`].
    pub(crate) async fn drain_here(&self) -> Result<usize> {
        self.engine.replay_own(&self.namespace).await?;
        let mut made = 0;
        loop {
            let (more, left) = self.drain_some().await?;
            made += more;
            if left == Left::Nothing {
                return Ok(made);
            }
        }
    }

    /// Makes one page of pending embeddings, and tells whether there are more.
    pub(crate) async fn drain_some(&self) -> Result<(usize, Left)> {
        if self.engine.embedder.model().is_none() {
            // They wait for a memory that has an embedder.
            return Ok((0, Left::Nothing));
        }
        if !matches!(self.engine.role(&self.namespace).await?, Role::Serving { .. }) {
            // Whoever serves makes them; a copy gets them from there.
            return Ok((0, Left::Nothing));
        }
        let page = self.engine.drained_at_once.load(Ordering::Relaxed).clamp(SMALLEST_PAGE, DRAIN_PAGE);
        let items = self.engine.ledger.outbox(&self.namespace, page).await?;
        let items: Vec<OutboxItem> = items.into_iter().filter(|item| item.task == Task::Embed).collect();
        if items.is_empty() {
            return Ok((0, Left::Nothing));
        }
        let made = self.embed_pending(items).await;
        let next = if made.is_ok() { page * 2 } else { page / 4 };
        self.engine.drained_at_once.store(next.clamp(SMALLEST_PAGE, DRAIN_PAGE), Ordering::Relaxed);
        Ok((made?, Left::Something))
    }

    async fn embed_pending(&self, items: Vec<OutboxItem>) -> Result<usize> {
        self.engine.check_model(&self.namespace).await?;
        let ids: Vec<RecordId> = items.iter().map(|item| item.record_id.clone()).collect();
        let stored = self.engine.ledger.fetch(&self.namespace, &ids, Read::default()).await?;
        let records: HashMap<RecordId, MemoryRecord> =
            stored.into_iter().flatten().map(|stored| (stored.record.id.clone(), stored.record)).collect();
        let current: Vec<&MemoryRecord> = items
            .iter()
            .filter_map(|item| records.get(&item.record_id).filter(|record| record.version == item.version))
            .collect();
        let mut batch = Batch::new(self.now());
        self.embed_each(&current, &mut batch.embeddings).await?;
        batch.settle = items.iter().map(|item| item.id).collect();
        let receipt = self.engine.commit_now(&self.namespace, batch).await?;
        for behind in self.engine.sync(&self.namespace).await? {
            tracing::warn!(index = behind.index, error = %behind.why, "an index is behind and catches up later");
            self.engine.note_pending(&self.namespace);
        }
        Ok(receipt.embeddings.into_iter().filter(|taken| *taken).count())
    }

    /// Embeds records. A text that the embedder refuses for good is left without an embedding, found by words, and does not keep the
    /// others from theirs: the part that holds it is halved until it stands alone.
    async fn embed_each(&self, records: &[&MemoryRecord], made: &mut Vec<EmbeddingWrite>) -> Result<()> {
        let mut parts = vec![records];
        while let Some(part) = parts.pop() {
            let texts: Vec<&str> = part.iter().map(|record| record.text.as_str()).collect();
            match self.engine.embed(Purpose::Document, &texts).await {
                Ok(embeddings) => {
                    let write = |(record, embedding): (&&MemoryRecord, Option<Embedding>)| {
                        let (id, version) = (record.id.clone(), record.version);
                        Some(EmbeddingWrite { id, version, embedding: embedding? })
                    };
                    made.extend(part.iter().zip(embeddings).filter_map(write));
                }
                Err(error) if error.kind() != ErrorKind::InvalidInput => return Err(error),
                Err(error) => match (part, part.split_at(part.len() / 2)) {
                    ([], _) => {}
                    ([alone], _) => {
                        tracing::error!(namespace = %self.namespace, version = %alone.version, %error, "a text cannot be embedded and is found by words only");
                    }
                    (_, (left, right)) => parts.extend([right, left]),
                },
            }
        }
        Ok(())
    }
}
