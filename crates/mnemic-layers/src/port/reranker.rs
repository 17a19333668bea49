//! A guarded reranker. Not here: what guards it (`backend`).

use async_trait::async_trait;
use mnemic_core::{Result, ports::Reranker};

use super::{Guarded, guard};

#[async_trait]
impl<P: Reranker + ?Sized> Reranker for Guarded<P> {
    async fn rerank(&self, query: &str, texts: &[&str]) -> Result<Vec<f32>> {
        // Vendors count the query once for each text.
        let tokens = self.backend.cost(texts.iter().flat_map(|text| [query, *text]));
        guard!(self, "reranker", Read, Always, tokens, rerank(query, texts))
    }
}
