//! Verifying the audit chain. Not here: how it is hashed (`policy::audit`).

use mnemic_core::{
    Result,
    policy::audit::{ChainVerifier, Checkpoint},
    ports::EventRange,
};

use super::MemoryManager;

/// A chain that verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditReport {
    /// Where it ends: keep this elsewhere to detect a cut tail or a rewritten chain later.
    pub checkpoint: Checkpoint,
    /// How many of its entries are erased.
    pub erased: u64,
}

impl MemoryManager {
    /// See [`MemoryManager::verify_audit`].
    pub(crate) async fn verify_audit_here(&self, anchor: Option<Checkpoint>) -> Result<AuditReport> {
        let mut verifier = ChainVerifier::new(anchor);
        self.each_event(&EventRange::default(), |entry| verifier.push(&entry)).await?;
        let (checkpoint, erased) = verifier.finish()?;
        Ok(AuditReport { checkpoint, erased })
    }
}
