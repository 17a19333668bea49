//! Verifying the audit chain. Not here: how it is hashed (`policy::audit`).

use mnemic_core::{
    PageRequest, Result,
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
    /// Recomputes every hash of the namespace's chain, and that it still holds `anchor` if one is given.
    ///
    /// # Errors
    /// `Corrupted`, naming the first position that does not hold.
    pub async fn verify_audit(&self, anchor: Option<Checkpoint>) -> Result<AuditReport> {
        let mut verifier = ChainVerifier::new(anchor);
        let mut page = PageRequest::largest();
        loop {
            let found = self.engine.ledger.events(&self.namespace, &EventRange::default(), &page).await?;
            found.items.iter().try_for_each(|entry| verifier.push(entry))?;
            if found.next.is_none() {
                let (checkpoint, erased) = verifier.finish()?;
                return Ok(AuditReport { checkpoint, erased });
            }
            page = page.after(found.next);
        }
    }
}
