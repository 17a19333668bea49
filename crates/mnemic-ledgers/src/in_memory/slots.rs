//! Threads' slots in memory, every version of them. Not here: how a write combines with what is there (`SlotWrite`).

use std::collections::BTreeMap;

use mnemic_core::{
    Page, PageRequest, Result, SlotWrite, Slots, ThreadId, Timestamp, Version, VersionedSlots, ids::quoted,
    ports::SlotsRevision,
};

use super::Memory;
use crate::rules;

impl Memory {
    /// The slots that each write makes, or why one is refused. A thread may be written twice. Changes nothing.
    pub(super) fn plan_slots(&self, writes: &[SlotWrite]) -> Result<Vec<(ThreadId, Version, Slots)>> {
        let mut made: BTreeMap<&ThreadId, (Version, Slots)> = BTreeMap::new();
        let mut plan = Vec::with_capacity(writes.len());
        for write in writes {
            let thread = &write.thread_id;
            let (version, slots) = made.remove(thread).unwrap_or_else(|| {
                let now = self.slots(thread, None);
                (now.version, now.slots)
            });
            write.expect.check(format_args!("slots of thread {}", quoted(thread.as_str())), version)?;
            let (version, slots) = (version.next(), write.applied_to(&slots)?);
            plan.push((thread.clone(), version, slots.clone()));
            made.insert(thread, (version, slots));
        }
        Ok(plan)
    }

    pub(super) fn slots(&self, thread: &ThreadId, as_of: Option<Timestamp>) -> VersionedSlots {
        let position = self.position(as_of);
        let revisions = self.slots.get(thread).map_or(&[][..], Vec::as_slice);
        match revisions.iter().rev().find(|(seq, _)| *seq <= position) {
            None => VersionedSlots::default(),
            Some((_, SlotsRevision { version, at, slots })) => {
                VersionedSlots { slots: slots.clone(), version: *version, updated_at: Some(*at) }
            }
        }
    }

    pub(super) fn slots_history(&self, thread: &ThreadId) -> Vec<SlotsRevision> {
        self.slots.get(thread).into_iter().flatten().rev().map(|(_, revision)| revision.clone()).collect()
    }

    pub(super) fn slot_threads(&self, page: &PageRequest) -> Result<Page<ThreadId>> {
        let holding =
            self.slots.iter().filter(|(_, revisions)| revisions.last().is_some_and(|(_, last)| !last.slots.is_empty()));
        rules::walk(holding.map(|(thread, _)| (thread.clone(), thread.clone())), rules::cursor(page)?, page)
    }
}
