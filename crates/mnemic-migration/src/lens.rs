//! What becomes of commits on their way from a source to a copy. Not here: embedding them anew (`reembed`).

use async_trait::async_trait;
use mnemic_core::{OutboxItem, PastCommit, Result};

use crate::removed::Side;

/// What commits are carried through. Whatever it does, every change stays at its position and tells the same: only what belongs to
/// one side alone (embeddings, and the work that waits for them) may differ.
#[async_trait]
pub trait Lens: Send + Sync {
    /// The commits as the copy repeats them.
    async fn carry(&self, source: Side<'_>, commits: Vec<PastCommit>) -> Result<Vec<PastCommit>>;

    /// Of the copy's outstanding work that is none of the source's any more, what the copy has finished too.
    async fn finished(&self, target: Side<'_>, work: Vec<OutboxItem>) -> Result<Vec<OutboxItem>>;
}

/// Changes nothing: the copy is the same memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsIs;

#[async_trait]
impl Lens for AsIs {
    async fn carry(&self, _source: Side<'_>, commits: Vec<PastCommit>) -> Result<Vec<PastCommit>> {
        Ok(commits)
    }

    async fn finished(&self, _target: Side<'_>, work: Vec<OutboxItem>) -> Result<Vec<OutboxItem>> {
        Ok(work)
    }
}
