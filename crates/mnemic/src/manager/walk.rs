//! Walks over everything that a range or a filter names, page by page. Not here: what is done with what is met (the verbs).

use mnemic_core::{
    ChainedEvent, Filter, PageRequest, Result, StoredRecord,
    ports::{EventRange, Read},
};

use super::MemoryManager;

impl MemoryManager {
    /// Meets every entry of the chain that is in range, in chain order, until `meet` fails.
    pub(super) async fn each_event(
        &self,
        range: &EventRange,
        mut meet: impl FnMut(ChainedEvent) -> Result<()> + Send,
    ) -> Result<()> {
        let mut page = PageRequest::largest();
        loop {
            let found = self.engine.ledger.events(&self.namespace, range, &page).await?;
            found.items.into_iter().try_for_each(&mut meet)?;
            if found.next.is_none() {
                return Ok(());
            }
            page = page.after(found.next);
        }
    }

    /// Meets every record that passes, expired or not, in order of first insertion.
    pub(super) async fn each_record(
        &self,
        filter: &Filter,
        read: Read,
        mut meet: impl FnMut(StoredRecord) + Send,
    ) -> Result<()> {
        let mut page = PageRequest::largest();
        loop {
            let found = self.engine.ledger.scan(&self.namespace, filter, read, &page).await?;
            found.items.into_iter().for_each(&mut meet);
            if found.next.is_none() {
                return Ok(());
            }
            page = page.after(found.next);
        }
    }
}
