//! What a place of a memory is made of, what part it plays and what it holds: what a move is decided by. Not here: moving.

use mnemic_core::{Address, Assignment, EmbeddingModel, Result, Role, ports::NamespaceReport};

use super::MemoryManager;

/// One place of a memory, as it is by itself: pointers that moves left behind are told and not followed.
#[derive(Clone, Debug, PartialEq)]
pub struct PlaceReport {
    /// In the words in which other processes find it.
    pub address: Address,
    /// Its role, and how often that changed.
    pub assignment: Assignment,
    /// Product and version of its ledger.
    pub ledger: String,
    /// The names of its indexes.
    pub indexes: Vec<&'static str>,
    /// What its embedder makes; `None` if it has none.
    pub model: Option<EmbeddingModel>,
    /// Counts of what its ledger holds.
    pub holds: NamespaceReport,
}

impl PlaceReport {
    /// Whether a process with other settings can open the address.
    pub fn can_be_followed(&self) -> bool {
        ["dir:", "env:"].iter().any(|known| self.address.ledger().starts_with(known))
    }
}

impl MemoryManager {
    /// Looks at the place that this handle was opened on, wherever the memory has moved since.
    ///
    /// # Errors
    /// What the ledger gives.
    pub async fn place(&self) -> Result<PlaceReport> {
        let ledger = &self.engine.ledger;
        Ok(PlaceReport {
            address: self.address()?,
            assignment: ledger.assignment(&self.namespace).await?,
            ledger: ledger.check().await?.backend,
            indexes: self.engine.indexes.iter().map(|placed| placed.index.name()).collect(),
            model: self.engine.embedder.model().cloned(),
            holds: ledger.report(&self.namespace).await?,
        })
    }

    /// Whether the place that this one handed its memory over to can be reached and serves it.
    ///
    /// # Errors
    /// What this place's ledger gives.
    pub async fn successor_serves(&self) -> Result<bool> {
        let role = self.engine.ledger.assignment(&self.namespace).await?.role;
        let (Role::Moving { to } | Role::Moved { to }) = role else { return Ok(false) };
        let Ok(there) = self.engine.elsewhere(&to) else { return Ok(false) };
        let found = there.engine.ledger.assignment(&there.namespace).await;
        Ok(matches!(found.map(|found| found.role), Ok(Role::Serving { .. } | Role::Moved { .. } | Role::Moving { .. })))
    }
}
