//! The embedder that makes no embeddings, so that retrieval is lexical. Not a stub for tests: it is the `none` choice of the configuration.

use async_trait::async_trait;
use mnemic_core::{
    Embedding, EmbeddingModel, Error, ErrorKind, Result,
    ports::{Embedder, Purpose},
};

/// Makes no embeddings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoneEmbedder;

#[async_trait]
impl Embedder for NoneEmbedder {
    fn model(&self) -> Option<&EmbeddingModel> {
        None
    }

    async fn embed(&self, _purpose: Purpose, texts: &[&str]) -> Result<Vec<Option<Embedding>>> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        Err(Error::new(
            ErrorKind::Unsupported,
            "the embedder `none` makes no embeddings; configure another one to embed",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_text_is_no_entry_and_any_text_is_unsupported() {
        assert!(NoneEmbedder.model().is_none());
        assert!(NoneEmbedder.embed(Purpose::Query, &[]).await.unwrap().is_empty());
        let error = NoneEmbedder.embed(Purpose::Document, &["a"]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}
