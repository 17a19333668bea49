//! A guarded embedder. Not here: what guards it (`backend`), and remembering (`cached`).

use async_trait::async_trait;
use mnemic_core::{
    Embedding, EmbeddingModel, Result,
    ports::{Embedder, Purpose},
};

use super::{Guarded, guard};

#[async_trait]
impl<P: Embedder + ?Sized> Embedder for Guarded<P> {
    fn model(&self) -> Option<&EmbeddingModel> {
        self.inner.model()
    }

    async fn embed(&self, purpose: Purpose, texts: &[&str]) -> Result<Vec<Option<Embedding>>> {
        let tokens = self.backend.cost(texts.iter().copied());
        match purpose {
            Purpose::Query => guard!(self, "embedder", Read, Always, tokens, embed(purpose, texts)),
            Purpose::Document => guard!(self, "embedder", Write, Always, tokens, embed(purpose, texts)),
        }
    }
}
