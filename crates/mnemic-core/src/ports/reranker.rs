//! The port for a second opinion on the order of candidates. Not here: when it is asked (the manager).

use std::fmt::Debug;

use async_trait::async_trait;

use crate::Result;

/// Scores texts against a query, higher is better.
///
/// # Contract
/// - `[R1]` *There is one finite score for each text, in the same order.*
#[async_trait]
pub trait Reranker: Debug + Send + Sync + 'static {
    /// Scores `texts`.
    async fn rerank(&self, query: &str, texts: &[&str]) -> Result<Vec<f32>>;
}
