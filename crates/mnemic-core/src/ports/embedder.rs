//! The port for text to vectors. Not here: caching, batching limits, retry (layers).

use std::fmt::Debug;

use async_trait::async_trait;

use crate::{Embedding, EmbeddingModel, Result};

/// What a text is embedded for. Several models embed the two differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// To be found.
    Document,
    /// To find.
    Query,
}

/// Turns text into vectors of one model.
///
/// # Contract
/// - `[E1]` *There is one entry for each text, in the same order; no text, no entry.*
/// - `[E2]` *Every embedding belongs to `model()`.*
/// - `[E3]` *An entry is `None` only where the model cannot represent the text (none of it is in its vocabulary); never a zero or junk vector.*
/// - `[E4]` *Without a model, `embed` of any text is `Unsupported`.*
/// - `[E5]` *Similar texts are closer than unrelated ones.* (Only with a model.)
/// - `[E6]` *The same text gives the same embedding, alone or in a batch.* (Within 1e-5 per component.)
/// - `[E7]` *Any text is accepted: empty, very long, any script, control characters.*
#[async_trait]
pub trait Embedder: Debug + Send + Sync + 'static {
    /// The space of its embeddings, or `None` if it makes none; retrieval is then lexical.
    fn model(&self) -> Option<&EmbeddingModel>;

    /// Embeds `texts`.
    async fn embed(&self, purpose: Purpose, texts: &[&str]) -> Result<Vec<Option<Embedding>>>;
}
