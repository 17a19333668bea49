//! Upkeep: verification of indexes against the ledger, rebuilding, backup, closing. Not here: the audit chain (`audit`).

use std::{collections::BTreeMap, path::Path};

use mnemic_core::{
    Error, ErrorKind, Filter, PageRequest, RecordId, Result, StoredRecord, Version,
    ports::{Embeddings, Index, Offer, Read},
};

use super::MemoryManager;

/// Whether the indexes hold what the ledger holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Records that were compared.
    pub records: usize,
    /// What differs or is damaged, in words; empty if nothing is.
    pub faults: Vec<String>,
}

/// What is told of each fault's kind before it is cut.
const SHOWN_FAULTS: usize = 20;

impl MemoryManager {
    /// See [`MemoryManager::verify`].
    pub(crate) async fn verify_here(&self) -> Result<VerifyReport> {
        let mut faults = Vec::new();
        if let Some(embedded) = &self.engine.embedded {
            faults.extend(embedded.ledger.verify(&self.namespace).await?);
        }
        self.engine.sync_all(&self.namespace).await?;
        let truth = self.truth().await?;
        for placed in &self.engine.indexes {
            self.compare(placed.index.as_ref(), &truth, &mut faults).await?;
        }
        Ok(VerifyReport { records: truth.len(), faults })
    }

    async fn truth(&self) -> Result<BTreeMap<RecordId, (Version, bool)>> {
        let read = Read { as_of: None, embeddings: Embeddings::Include };
        let mut truth = BTreeMap::new();
        let note = |stored: StoredRecord| {
            truth.insert(stored.record.id, (stored.record.version, stored.embedding.is_some()));
        };
        self.each_record(&Filter::all(), read, note).await?;
        Ok(truth)
    }

    async fn compare(
        &self,
        index: &dyn Index,
        truth: &BTreeMap<RecordId, (Version, bool)>,
        faults: &mut Vec<String>,
    ) -> Result<()> {
        let offers = index.capabilities();
        let mut missing = truth.clone();
        if offers.lexical == Offer::No {
            // Dense search alone has no use for a record without an embedding.
            missing.retain(|_, (_, embedded)| *embedded);
        }
        let mut told = 0;
        let mut tell = |fault: String| {
            told += 1;
            if told <= SHOWN_FAULTS {
                faults.push(fault);
            }
        };
        let dense = offers.dense == Offer::Yes;
        let mut page = PageRequest::largest();
        loop {
            let found = index.ids(&self.namespace, &page).await?;
            for held in found.items {
                let id = mnemic_core::ids::quoted(held.id.as_str());
                match missing.remove(&held.id) {
                    None => tell(format!("index {} holds record {id}, which the ledger does not", index.name())),
                    Some((version, _)) if version != held.version => {
                        tell(format!(
                            "index {} holds version {} of record {id}, the ledger {version}",
                            index.name(),
                            held.version
                        ));
                    }
                    Some((_, embedded)) if dense && embedded != held.embedded => {
                        tell(format!(
                            "index {} and the ledger differ in whether record {id} is embedded",
                            index.name()
                        ));
                    }
                    Some(_) => {}
                }
            }
            if found.next.is_none() {
                break;
            }
            page = page.after(found.next);
        }
        for id in missing.keys() {
            tell(format!("index {} lacks record {}", index.name(), mnemic_core::ids::quoted(id.as_str())));
        }
        if told > SHOWN_FAULTS {
            faults.push(format!("index {}: {} more differences", index.name(), told - SHOWN_FAULTS));
        }
        Ok(())
    }

    /// See [`MemoryManager::reindex`].
    pub(crate) async fn reindex_here(&self) -> Result<()> {
        self.engine.rebuild_indexes(&self.namespace).await?;
        self.engine.persist(&self.namespace).await
    }

    /// Saves what makes the next start fast. Nothing is lost without it.
    ///
    /// # Errors
    /// What writing the index's copy gives.
    pub async fn close(&self) -> Result<()> {
        let mut first = Ok(());
        // One namespace that cannot be saved does not keep the others from it.
        for namespace in self.engine.touched() {
            let saved = self.engine.persist(&namespace).await;
            first = first.and(saved);
        }
        first
    }

    /// Copies the whole directory, consistently, while it is in use, into `target`, which must be absent or empty.
    ///
    /// # Errors
    /// `Unsupported` for a memory that is not a directory, `InvalidInput` for a target that holds something.
    pub async fn backup(&self, target: &Path) -> Result<()> {
        match &self.engine.embedded {
            Some(embedded) => embedded.ledger.backup(target).await,
            None => Err(Error::new(
                ErrorKind::Unsupported,
                "backup copies a directory, and this memory is not in one; use export",
            )),
        }
    }
}
