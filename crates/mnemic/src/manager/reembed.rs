//! Giving a memory embeddings of another model: a copy whose embeddings are made anew while the memory is used.
//! Not here: how commits are carried (`mnemic-migration`), and the switch to the copy.

use mnemic_core::{ChangeSeq, EmbeddingModel, Error, ErrorKind, Result};
use mnemic_migration::Followed;

use super::MemoryManager;

impl MemoryManager {
    /// Brings `target`, a memory or namespace with another embedder, to where this namespace stands: everything becomes the same as in
    /// [`Self::migrate_to`], and every text is embedded by the target's embedder. Tells each position of the feed that is reached.
    ///
    /// It may be stopped anywhere and called again. This memory is only read, and may be used meanwhile; what is written then is
    /// brought over by the next call. The target must not be written to.
    ///
    /// # Errors
    /// `Unsupported` for a target without an embedder, `Conflict` if the target holds something else, and what either ledger or the
    /// embedder gives.
    pub async fn reembed_to(&self, target: &Self, reached: impl FnMut(ChangeSeq) + Send) -> Result<Followed> {
        self.check_apart(target)?;
        Self::model_of(target)?;
        let followed = self.bring(target, reached).await?;
        target.engine.sync_all(&target.namespace).await?;
        Ok(followed)
    }

    fn model_of(target: &Self) -> Result<&EmbeddingModel> {
        target.engine.embedder.model().ok_or_else(|| {
            let message = "target: expected a memory with an embedder to embed anew with, found one without";
            Error::new(ErrorKind::Unsupported, message).with_field("target")
        })
    }
}
