//! The event chain in memory. Not here: how it is hashed (`mnemic_core::policy::audit`).

use std::collections::{BTreeMap, btree_map::Entry};

use mnemic_core::{
    AuditEvent, ChainedEvent, Changed, Digest, Page, PageRequest, Result, Salt, Sequence, ThreadSummary, Timestamp,
    policy::audit, ports::EventRange,
};

use super::Memory;
use crate::rules;

impl Memory {
    pub(super) fn event(&self, sequence: Sequence) -> Option<&ChainedEvent> {
        self.events.get(usize::try_from(sequence.0).ok()?.checked_sub(1)?)
    }

    /// Decides for each event whether it is new (`None`) or where the same event stands already. Changes nothing.
    pub(super) fn plan_events(&self, events: &[AuditEvent]) -> Result<Vec<Option<Sequence>>> {
        let mut next = self.events.len() as u64 + 1;
        let mut fresh: BTreeMap<_, (Sequence, &AuditEvent)> = BTreeMap::new();
        let mut plan = Vec::with_capacity(events.len());
        for event in events {
            let stored = self.event_ids.get(&event.event_id).copied();
            let known = match (stored, fresh.entry(&event.event_id)) {
                (Some(at), _) => Some((at, self.event(at).and_then(|entry| entry.event.as_ref()))),
                (None, Entry::Occupied(earlier)) => Some((earlier.get().0, Some(earlier.get().1))),
                (None, Entry::Vacant(vacant)) => {
                    vacant.insert((Sequence(next), event));
                    next += 1;
                    None
                }
            };
            match known {
                Some((_, held)) if held != Some(event) => return Err(rules::event_conflict(event)),
                Some((at, _)) => plan.push(Some(at)),
                None => plan.push(None),
            }
        }
        Ok(plan)
    }

    /// Appends one event to the chain and to the feed.
    pub(super) fn append(&mut self, event: AuditEvent, salt: Salt, at: Timestamp) -> Sequence {
        let sequence = Sequence(self.events.len() as u64 + 1);
        let previous = self.events.last().map_or(Digest::default(), |entry| entry.hash);
        let commitment = audit::commitment(&salt, &event);
        let hash = audit::link(&previous, sequence, at, &commitment);
        self.event_ids.insert(event.event_id.clone(), sequence);
        let (event, salt) = (Some(event), Some(salt));
        self.events.push(ChainedEvent { sequence, recorded_at: at, event, salt, commitment, previous, hash });
        self.publish(at, Changed::Appended(sequence));
        sequence
    }

    pub(super) fn chain(&self, range: &EventRange, page: &PageRequest) -> Result<Page<ChainedEvent>> {
        let asks_for_content = range.thread_id.is_some() || range.user_id.is_some() || range.event_id.is_some();
        let passes = |entry: &&ChainedEvent| {
            entry.sequence > range.after
                && range.as_of.is_none_or(|instant| entry.recorded_at <= instant)
                && entry.event.as_ref().map_or(!asks_for_content, |event| {
                    range.thread_id.as_ref().is_none_or(|thread| *thread == event.thread_id)
                        && (range.user_id.is_none() || range.user_id == event.user_id)
                        && range.event_id.as_ref().is_none_or(|id| *id == event.event_id)
                })
        };
        let entries = self.events.iter().filter(passes).map(|entry| (entry.sequence.0, entry.clone()));
        rules::walk(entries, rules::cursor(page)?, page)
    }

    pub(super) fn threads(&self, page: &PageRequest) -> Result<Page<ThreadSummary>> {
        let mut threads: BTreeMap<_, ThreadSummary> = BTreeMap::new();
        for entry in &self.events {
            let Some(thread) = entry.event.as_ref().map(|event| &event.thread_id).filter(|id| !id.is_reserved()) else {
                continue;
            };
            let (first, last, last_at) = (entry.sequence, entry.sequence, entry.recorded_at);
            let summary = threads.entry(thread);
            let summary =
                summary.or_insert_with(|| ThreadSummary { thread_id: thread.clone(), events: 0, first, last, last_at });
            summary.events += 1;
            (summary.last, summary.last_at) = (last, last_at);
        }
        let ordered: BTreeMap<u64, _> = threads.into_values().map(|summary| (summary.first.0, summary)).collect();
        rules::walk(ordered.into_iter(), rules::cursor(page)?, page)
    }
}
