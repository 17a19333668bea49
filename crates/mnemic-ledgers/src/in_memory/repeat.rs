//! Repeating another ledger's commits in memory: first everything that can be refused, then the changes, which cannot fail.
//! Not here: what continues what (`repeating`).

use std::collections::{BTreeMap, BTreeSet};

use mnemic_core::{
    ChainedEvent, ChangeSeq, Changed, Digest, PastChange, PastCommit, PastWrite, RecordId, Removed, Result, Revision,
    RevisionKind, Sequence, ThreadId, Timestamp, Version, ports::SlotsRevision,
};

use super::Memory;
use crate::repeating::{self, Unseen};

impl Memory {
    pub(super) fn repeat(&mut self, commits: &[PastCommit]) -> Result<ChangeSeq> {
        let unseen = repeating::unseen(self.head(), commits)?;
        self.check_repeat(&unseen)?;
        for commit in unseen {
            self.remove(commit.removed);
            for change in commit.changes {
                self.repeat_change(change, commit.at);
            }
        }
        Ok(self.head())
    }

    fn check_repeat(&self, commits: &[Unseen<'_>]) -> Result<()> {
        let mut tail = self.events.last().map_or((Sequence(0), Digest::default()), |last| (last.sequence, last.hash));
        let mut versions: BTreeMap<&RecordId, Version> = BTreeMap::new();
        for commit in commits {
            versions.extend(commit.removed.records.iter().map(|id| (id, Version::NONE)));
            for change in commit.changes {
                let stored = |id| self.records.get(id).map_or(Version::NONE, super::records::Line::last_version);
                match change {
                    PastChange::Written(write) => {
                        let last = versions.get(&write.id).copied().unwrap_or_else(|| stored(&write.id));
                        repeating::check_follows(&write.id, last, write.version)?;
                        versions.insert(&write.id, write.version);
                    }
                    PastChange::Embedded { id, version, .. } | PastChange::Deleted { id, version } => {
                        let last = versions.get(id).copied().unwrap_or_else(|| stored(id));
                        repeating::check_last(id, last, *version)?;
                    }
                    PastChange::Appended(entry) => {
                        repeating::check_entry(tail, entry)?;
                        tail = (entry.sequence, entry.hash);
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn remove(&mut self, removed: &Removed) {
        if removed.is_empty() {
            return;
        }
        let records: BTreeSet<&RecordId> = removed.records.iter().collect();
        let threads: BTreeSet<&ThreadId> = removed.threads.iter().collect();
        let names: BTreeSet<&RecordId> = removed.names.iter().collect();
        for id in &removed.records {
            let Some(line) = self.records.remove(id) else { continue };
            self.order.remove(&line.ordinal);
            self.outbox.retain(|_, item| item.record_id != *id);
        }
        for (id, version) in &removed.revisions {
            let Some(line) = self.records.get_mut(id) else { continue };
            line.revisions.retain(|(_, revision)| match &revision.what {
                RevisionKind::Written(record) => record.version != *version,
                RevisionKind::Deleted(_) => true,
            });
        }
        for thread in &removed.threads {
            self.slots.remove(thread);
        }
        for change in &mut self.feed {
            match &mut change.what {
                Changed::Written(id, _) | Changed::Embedded(id, _) | Changed::Deleted(id, _)
                    if records.contains(id) =>
                {
                    change.what = Changed::Erased(None);
                }
                Changed::Erased(Some(id)) if names.contains(id) => change.what = Changed::Erased(None),
                Changed::Slots(thread, _) if thread.as_ref().is_some_and(|thread| threads.contains(thread)) => {
                    *thread = None;
                }
                _ => {}
            }
        }
    }

    fn repeat_change(&mut self, change: &PastChange, at: Timestamp) {
        let seq = self.publish(at, change.told());
        match change {
            PastChange::Written(write) => self.repeat_write(write, seq, at),
            PastChange::Embedded { id, embedding, .. } => {
                if let Some(line) = self.records.get_mut(id) {
                    line.embedding.clone_from(embedding);
                }
            }
            PastChange::Deleted { id, version } => {
                self.outbox.retain(|_, item| item.record_id != *id);
                if let Some(line) = self.records.get_mut(id) {
                    line.revisions.push((seq, Revision { at, what: RevisionKind::Deleted(*version) }));
                    line.embedding = None;
                }
            }
            PastChange::Appended(entry) => self.repeat_event(entry),
            PastChange::EventErased(sequence) => {
                let index = usize::try_from(sequence.0.saturating_sub(1)).unwrap_or(usize::MAX);
                if let Some(entry) = self.events.get_mut(index) {
                    entry.salt = None;
                    if let Some(erased) = entry.event.take() {
                        self.event_ids.remove(&erased.event_id);
                    }
                }
            }
            PastChange::Slots { thread_id, version, slots } => {
                let revision = SlotsRevision { version: *version, at, slots: slots.clone() };
                self.slots.entry(thread_id.clone()).or_default().push((seq, revision));
            }
            PastChange::SlotsErased(_) | PastChange::Erased(_) => {}
        }
    }

    fn repeat_write(&mut self, write: &PastWrite, seq: ChangeSeq, at: Timestamp) {
        self.outbox.retain(|_, item| item.record_id != write.id);
        if !self.records.contains_key(&write.id) {
            self.order.insert(seq.0, write.id.clone());
            self.records.entry(write.id.clone()).or_default().ordinal = seq.0;
        }
        let Some(line) = self.records.get_mut(&write.id) else { return };
        line.embedding.clone_from(&write.embedding);
        if let Some(record) = &write.record {
            line.revisions.push((seq, Revision { at, what: RevisionKind::Written(Box::new(record.clone())) }));
        }
        self.outbox.extend(write.tasks.iter().map(|item| (item.id, item.clone())));
    }

    fn repeat_event(&mut self, entry: &ChainedEvent) {
        if let Some(event) = &entry.event {
            self.event_ids.insert(event.event_id.clone(), entry.sequence);
        }
        self.events.push(entry.clone());
    }
}
