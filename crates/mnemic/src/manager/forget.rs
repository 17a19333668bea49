//! Forgetting: removal everywhere, with a receipt. Not here: removal that can be undone (`consolidate`).

use std::collections::{BTreeMap, BTreeSet};

use mnemic_core::{
    ChainedEvent, EraseTarget, Erasure, Error, Field, Filter, MemoryRecord, RecordId, Result, RevisionKind, Sequence,
    ThreadId, UserId, limits,
    ports::{EventRange, Read},
};

use super::{MemoryManager, Trial};

/// What to forget.
#[derive(Clone, Debug, PartialEq)]
pub enum Selector {
    /// These records, with their history and the events that they came from.
    Ids(Vec<RecordId>),
    /// Every record that passes, likewise. A filter that everything passes is refused.
    Filter(Filter),
    /// Everything of one user: records, history, events, and the slots of threads that they took part in.
    Subject(UserId),
}

/// What forgetting removed, or would remove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Records.
    pub records: Vec<RecordId>,
    /// Their revisions, the current ones counted.
    pub revisions: u64,
    /// Events reduced to their commitment.
    pub events: u64,
    /// Threads that lost their slots.
    pub threads: u64,
}

/// Proof of a forgetting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForgetReceipt {
    /// What was removed; with a dry run, what would be (revisions are not counted then).
    pub forgotten: Forgotten,
    /// The position of the event that tells of it; `None` for a dry run or if there was nothing.
    pub sequence: Option<Sequence>,
    /// What could not be overwritten yet and why; empty if nothing readable is left.
    pub residue: Vec<String>,
}

impl MemoryManager {
    /// See [`MemoryManager::forget`].
    pub(crate) async fn forget_here(&self, selector: &Selector, trial: Trial) -> Result<ForgetReceipt> {
        // What waits in the spool may hold what is to be forgotten: it could not be found there, and would come back.
        if trial == Trial::Real {
            self.engine.replay_own(&self.namespace).await?;
        }
        let target = match selector {
            Selector::Ids(ids) => {
                if ids.is_empty() || ids.len() > limits::BATCH {
                    return Err(Error::invalid(
                        "ids",
                        format!("1 to {} ids", limits::BATCH),
                        format!("{} ids", ids.len()),
                    ));
                }
                EraseTarget::Records(self.with_merged(ids.clone()).await?)
            }
            Selector::Filter(filter) => {
                filter.check()?;
                if filter.is_all() {
                    return Err(Error::invalid(
                        "filter",
                        "a condition (forgetting everything needs one that says so)",
                        "none",
                    ));
                }
                let ids = self.read_all(filter).await?.into_iter().map(|record| record.id).collect();
                EraseTarget::Records(self.with_merged(ids).await?)
            }
            Selector::Subject(user_id) => EraseTarget::Subject(user_id.clone()),
        };
        if trial == Trial::Dry {
            return self.would_forget(&target).await;
        }
        if matches!(&target, EraseTarget::Records(ids) if ids.is_empty()) {
            return Ok(ForgetReceipt::default());
        }
        let now = self.now();
        let event = Self::journal("erased", 1, now)?;
        // What came since.
        self.engine.replay_own(&self.namespace).await?;
        let receipt = self.engine.ledger.erase(&self.namespace, Erasure { at: now, target, event }).await?;
        let mut residue = receipt.residue;
        residue.extend(self.forget_outside(selector, &receipt.records).await);
        let forgotten = Forgotten {
            records: receipt.records,
            revisions: receipt.revisions,
            events: receipt.events,
            threads: receipt.threads,
        };
        Ok(ForgetReceipt { forgotten, sequence: Some(receipt.sequence), residue })
    }

    /// Removes what was erased from everything beside the ledger, and tells what may still be there.
    async fn forget_outside(&self, selector: &Selector, erased: &[RecordId]) -> Vec<String> {
        let mut residue = Vec::new();
        if let Some(cache) = &self.engine.cache {
            cache.clear();
        }
        if let Err(error) = self.drop_from_indexes(erased).await {
            self.engine.note_pending(&self.namespace);
            residue.push(format!("an index still holds what was erased and is brought up to date later: {error}"));
        }
        // What the ledger refused once is not in it, and still to be forgotten.
        let (named, subject) = match selector {
            Selector::Ids(ids) => (ids.as_slice(), None),
            Selector::Filter(_) => (erased, None),
            Selector::Subject(user_id) => (erased, Some(user_id)),
        };
        if let Err(error) = self.engine.scrub_spool(&self.namespace, named, subject).await {
            residue.push(format!("the spool may still hold what was erased: {error}"));
        }
        residue
    }

    /// The records, and those that consolidation merged into them: their history still says what is to be forgotten. Records that
    /// are in memory by themselves stay.
    async fn with_merged(&self, ids: Vec<RecordId>) -> Result<Vec<RecordId>> {
        let mut reached: BTreeSet<RecordId> = ids.iter().cloned().collect();
        let mut all = ids.clone();
        let mut frontier = ids;
        while !frontier.is_empty() {
            let mut claims: BTreeMap<RecordId, Option<UserId>> = BTreeMap::new();
            for record in self.revisions_of(&frontier).await? {
                let fresh = record.provenance.records.into_iter().filter(|id| !reached.contains(id));
                claims.extend(fresh.map(|id| (id, record.user_id.clone())));
            }
            let origins: Vec<RecordId> = claims.keys().cloned().collect();
            let stored = self.engine.ledger.fetch(&self.namespace, &origins, Read::default()).await?;
            let gone = origins.into_iter().zip(stored).filter(|(_, stored)| stored.is_none()).map(|(id, _)| id);
            // Provenance is what a caller says; only a merge of the same user's records is believed.
            let merged = self.revisions_of(&gone.collect::<Vec<_>>()).await?.into_iter();
            frontier = merged.filter(|old| claims.get(&old.id) == Some(&old.user_id)).map(|old| old.id).collect();
            reached.extend(frontier.iter().cloned());
            all.extend(frontier.iter().cloned());
        }
        Ok(all)
    }

    /// What the records are, or were when they were last in memory.
    async fn revisions_of(&self, ids: &[RecordId]) -> Result<Vec<MemoryRecord>> {
        let stored = self.engine.ledger.fetch(&self.namespace, ids, Read::default()).await?;
        let mut found = Vec::with_capacity(ids.len());
        for (id, stored) in ids.iter().zip(stored) {
            if let Some(stored) = stored {
                found.push(stored.record);
                continue;
            }
            let history = self.engine.ledger.history(&self.namespace, id).await?;
            found.extend(history.into_iter().find_map(|revision| match revision.what {
                RevisionKind::Written(record) => Some(*record),
                RevisionKind::Deleted(_) => None,
            }));
        }
        Ok(found)
    }

    /// Takes it out of every index, so that no code, posting or statistic of what was erased stays in memory or in a saved copy.
    async fn drop_from_indexes(&self, erased: &[RecordId]) -> Result<()> {
        self.engine.drop_erased(&self.namespace, erased).await?;
        self.engine.persist(&self.namespace).await
    }

    async fn would_forget(&self, target: &EraseTarget) -> Result<ForgetReceipt> {
        let (records, events, threads) = match target {
            EraseTarget::Records(ids) => {
                let stored = self.engine.ledger.fetch(&self.namespace, ids, Read::default()).await?;
                let found: Vec<_> = stored.into_iter().flatten().map(|stored| stored.record).collect();
                let events: BTreeSet<_> = found.iter().flat_map(|record| record.provenance.events.iter()).collect();
                (found.iter().map(|record| record.id.clone()).collect(), events.len() as u64, 0)
            }
            EraseTarget::Subject(user_id) => {
                let records = self.read_all(&Filter::equals(Field::UserId, user_id.as_str())).await?;
                let mut threads: BTreeSet<ThreadId> =
                    records.iter().filter_map(|record| record.thread_id.clone()).collect();
                let range = EventRange { user_id: Some(user_id.clone()), ..EventRange::default() };
                let mut events = 0;
                let add = |entry: ChainedEvent| {
                    events += 1;
                    threads.extend(entry.event.map(|event| event.thread_id));
                    Ok(())
                };
                self.each_event(&range, add).await?;
                let ids = records.into_iter().map(|record| record.id).collect();
                (ids, events, self.count_with_slots(threads).await?)
            }
        };
        let forgotten = Forgotten { records, events, threads, ..Forgotten::default() };
        Ok(ForgetReceipt { forgotten, ..ForgetReceipt::default() })
    }

    async fn count_with_slots(&self, threads: BTreeSet<ThreadId>) -> Result<u64> {
        let mut count = 0;
        for thread in threads {
            let history = self.engine.ledger.slots_history(&self.namespace, &thread).await?;
            count += u64::from(!history.is_empty());
        }
        Ok(count)
    }
}
