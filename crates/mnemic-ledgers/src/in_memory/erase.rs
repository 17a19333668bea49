//! Erasure in memory: what of a record or of a subject goes, and what of the chain and the feed stays.
//! Not here: overwriting bytes (memory is given back, and a durable ledger has files to clean).

use std::collections::BTreeSet;

use mnemic_core::{
    Changed, EraseReceipt, EraseTarget, Erasure, EventId, RecordId, Result, RevisionKind, Sequence, ThreadId, UserId,
};

use super::{Memory, records::Line};
use crate::rules;

/// What an erasure reaches.
#[derive(Default)]
struct Reach {
    records: Vec<RecordId>,
    /// Superseded revisions that were the subject's, of records that are another's by now.
    revisions: u64,
    events: BTreeSet<Sequence>,
    threads: BTreeSet<ThreadId>,
}

impl Memory {
    pub(super) fn erase(&mut self, erasure: Erasure) -> Result<EraseReceipt> {
        self.assignment.check_serving()?;
        let Erasure { at, target, event } = erasure;
        let known = self.plan_events(std::slice::from_ref(&event))?;
        let salt = rules::salts(1)?;
        let (reach, names_records) = match target {
            EraseTarget::Records(ids) => (self.reach_records(&ids), true),
            EraseTarget::Subject(user) => (self.reach_subject(&user), false),
        };

        let mut receipt = EraseReceipt { revisions: reach.revisions, ..EraseReceipt::default() };
        self.forget_receipts(&reach);
        self.forget_references(&reach, names_records);
        for id in reach.records {
            let Some(line) = self.records.remove(&id) else { continue };
            self.order.remove(&line.ordinal);
            self.outbox.retain(|_, item| item.record_id != id);
            receipt.revisions += line.revisions.len() as u64;
            self.publish(at, Changed::Erased(names_records.then(|| id.clone())));
            receipt.records.push(id);
        }
        for sequence in reach.events {
            let index = usize::try_from(sequence.0.saturating_sub(1)).unwrap_or(usize::MAX);
            let Some(entry) = self.events.get_mut(index) else { continue };
            let Some(erased) = entry.event.take() else { continue };
            entry.salt = None;
            self.event_ids.remove(&erased.event_id);
            self.publish(at, Changed::EventErased(sequence));
            receipt.events += 1;
        }
        for thread in reach.threads {
            let Some((_, last)) = self.slots.remove(&thread).and_then(|mut revisions| revisions.pop()) else {
                continue;
            };
            self.publish(at, Changed::Slots(None, last.version));
            receipt.threads += 1;
        }
        receipt.sequence = match (known.first().copied().flatten(), salt.first()) {
            (Some(sequence), _) => sequence,
            (None, Some(salt)) => self.append(event, *salt, at),
            (None, None) => return Err(mnemic_core::Error::bug("an event without a salt")),
        };
        Ok(receipt)
    }

    fn reach_records(&self, ids: &[RecordId]) -> Reach {
        let mut reach = Reach::default();
        let mut sources: BTreeSet<&EventId> = BTreeSet::new();
        let mut seen = BTreeSet::new();
        for id in ids.iter().filter(|id| seen.insert(*id)) {
            let Some(line) = self.records.get(id) else { continue };
            reach.records.push(id.clone());
            sources.extend(line.written().flat_map(|record| &record.provenance.events));
        }
        reach.events = sources.into_iter().filter_map(|id| self.event_ids.get(id).copied()).collect();
        reach
    }

    /// A record is whoever's its last revision is. Its earlier revisions of the subject go in any case.
    fn reach_subject(&mut self, user: &UserId) -> Reach {
        let mut reach = Reach::default();
        let mut sources: BTreeSet<EventId> = BTreeSet::new();
        let theirs = |owner: &Option<UserId>| owner.as_ref() == Some(user);
        for id in self.order.values() {
            let Some(line) = self.records.get_mut(id) else { continue };
            let owned = line.written().last().is_some_and(|last| theirs(&last.user_id));
            for record in line.written().filter(|record| owned || theirs(&record.user_id)) {
                sources.extend(record.provenance.events.iter().cloned());
                reach.threads.extend(record.thread_id.clone());
            }
            if owned {
                reach.records.push(id.clone());
            } else {
                reach.revisions += drop_revisions(line, user);
            }
        }
        for entry in &self.events {
            let Some(event) = &entry.event else { continue };
            if theirs(&event.user_id) {
                reach.threads.insert(event.thread_id.clone());
                reach.events.insert(entry.sequence);
            } else if event.user_id.is_none() && sources.contains(&event.event_id) {
                reach.events.insert(entry.sequence);
            }
        }
        reach
    }

    /// Lets go of kept answers that name what is erased.
    fn forget_receipts(&mut self, reach: &Reach) {
        let records: BTreeSet<&RecordId> = reach.records.iter().collect();
        self.receipts.retain(|_, kept| {
            !kept.receipt.writes.iter().any(|written| records.contains(&written.id))
                && !kept.receipt.events.iter().any(|appended| reach.events.contains(&appended.sequence))
                && (reach.threads.is_empty() || kept.receipt.slots.is_empty())
        });
        self.receipt_ages.retain(|(_, key)| self.receipts.contains_key(key));
    }

    /// Takes the names of what is erased out of the feed. Positions stay.
    fn forget_references(&mut self, reach: &Reach, keep_earlier_erasures: bool) {
        let records: BTreeSet<&RecordId> = reach.records.iter().collect();
        for change in &mut self.feed {
            let erased = match &change.what {
                Changed::Written(id, _) | Changed::Embedded(id, _) | Changed::Deleted(id, _) => records.contains(id),
                Changed::Erased(Some(id)) => !keep_earlier_erasures && records.contains(id),
                Changed::Erased(None) | Changed::Appended(_) | Changed::EventErased(_) | Changed::Slots(..) => false,
            };
            if erased {
                change.what = Changed::Erased(None);
            } else if let Changed::Slots(thread, _) = &mut change.what
                && thread.as_ref().is_some_and(|thread| reach.threads.contains(thread))
            {
                *thread = None;
            }
        }
    }
}

/// Drops the revisions that were the subject's, and says how many.
fn drop_revisions(line: &mut Line, user: &UserId) -> u64 {
    let before = line.revisions.len();
    line.revisions.retain(|(_, revision)| match &revision.what {
        RevisionKind::Written(record) => record.user_id.as_ref() != Some(user),
        RevisionKind::Deleted(_) => true,
    });
    (before - line.revisions.len()) as u64
}
