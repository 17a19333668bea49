//! Finishing what was left pending: embeddings that could not be made when their record was written. Not here: queueing it (`write`).

use std::collections::HashMap;

use mnemic_core::{
    Batch, EmbeddingWrite, MemoryRecord, OutboxItem, RecordId, Result, Task,
    ports::{Purpose, Read},
};

use super::MemoryManager;

/// Outbox items taken at once.
const DRAIN_PAGE: usize = 256;

impl MemoryManager {
    /// Makes pending embeddings until none is left, and answers how many were made. Safe to call at any time, by anybody.
    ///
    /// # Errors
    /// What the embedder or the ledger gives; what was finished before stays finished.
    pub async fn drain(&self) -> Result<usize> {
        let mut made = 0;
        loop {
            let items = self.engine.ledger.outbox(&self.namespace, DRAIN_PAGE).await?;
            let items: Vec<OutboxItem> = items.into_iter().filter(|item| item.task == Task::Embed).collect();
            if items.is_empty() {
                return Ok(made);
            }
            made += self.embed_pending(items).await?;
        }
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
        let texts: Vec<&str> = current.iter().map(|record| record.text.as_str()).collect();
        let embeddings = self.engine.embed(Purpose::Document, &texts).await?;
        let mut batch = Batch::new(self.now());
        for (record, embedding) in current.iter().zip(embeddings) {
            if let Some(embedding) = embedding {
                batch.embeddings.push(EmbeddingWrite { id: record.id.clone(), version: record.version, embedding });
            }
        }
        batch.settle = items.iter().map(|item| item.id).collect();
        let receipt = self.engine.ledger.commit(&self.namespace, batch).await?;
        for behind in self.engine.sync(&self.namespace).await? {
            tracing::warn!(index = behind.index, error = %behind.why, "an index is behind and catches up later");
        }
        Ok(receipt.embeddings.into_iter().filter(|taken| *taken).count())
    }
}
