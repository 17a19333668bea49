//! The change feed, the outbox and the counts in memory. Not here: what is put there (`commit`, `erase`).

use std::collections::BTreeSet;

use mnemic_core::{
    Change, ChangeSeq, Changed, Error, Idempotency, OutboxId, OutboxItem, Receipt, RecordId, Result, Task, Timestamp,
    Version, ports::NamespaceReport,
};

use super::{KeptReceipt, Memory};
use crate::rules;

impl Memory {
    /// The last change.
    pub(super) fn head(&self) -> ChangeSeq {
        ChangeSeq(self.feed.len() as u64)
    }

    /// The last change of the last commit at or before an instant. Clocks may run backwards; the order of commit decides.
    pub(super) fn position(&self, as_of: Option<Timestamp>) -> ChangeSeq {
        let Some(instant) = as_of else { return self.head() };
        self.feed.iter().rev().find(|change| change.at <= instant).map_or(ChangeSeq(0), |change| change.seq)
    }

    /// Adds a change to the feed.
    pub(super) fn publish(&mut self, at: Timestamp, what: Changed) -> ChangeSeq {
        let seq = ChangeSeq(self.head().0 + 1);
        self.feed.push(Change { seq, at, what });
        seq
    }

    pub(super) fn changes(&self, after: ChangeSeq, limit: usize) -> Vec<Change> {
        let start = usize::try_from(after.0).unwrap_or(usize::MAX);
        self.feed.iter().skip(start).take(limit).cloned().collect()
    }

    /// Puts a revision's tasks into the outbox.
    pub(super) fn enqueue(
        &mut self,
        tasks: Vec<Task>,
        seq: ChangeSeq,
        record_id: &RecordId,
        version: Version,
        since: Timestamp,
    ) {
        for (i, task) in (0..).zip(tasks) {
            let id = OutboxId(seq.0 << rules::TASK_BITS | i);
            self.outbox.insert(id, OutboxItem { id, task, record_id: record_id.clone(), version, since });
        }
    }

    pub(super) fn settle(&mut self, ids: &[OutboxId]) {
        for id in ids {
            self.outbox.remove(id);
        }
    }

    /// The kept answer to a repeated request.
    pub(super) fn replay(&self, request: &Idempotency) -> Result<Option<Receipt>, Error> {
        match self.receipts.get(&request.key) {
            None => Ok(None),
            Some(kept) if kept.fingerprint != request.fingerprint => Err(Idempotency::conflict()),
            Some(kept) => Ok(Some(Receipt { replayed: true, ..kept.receipt.clone() })),
        }
    }

    /// Keeps an answer, and lets go of those that are too old.
    pub(super) fn keep(&mut self, request: Idempotency, at: Timestamp, receipt: Receipt) {
        // By age, since going through all of them would make every commit as long as the days before were busy.
        while let Some((oldest, key)) = self.receipt_ages.first()
            && oldest.until(at) > rules::RECEIPT_LIFE
        {
            self.receipts.remove(key);
            self.receipt_ages.pop_first();
        }
        self.receipt_ages.insert((at, request.key.clone()));
        self.receipts.insert(request.key, KeptReceipt { fingerprint: request.fingerprint, receipt });
    }

    pub(super) fn report(&self) -> NamespaceReport {
        let current = || self.records.values().filter(|line| line.current().is_some());
        let embeddings = || current().filter_map(|line| line.embedding.as_ref());
        let models: BTreeSet<_> = embeddings().map(|embedding| embedding.model().clone()).collect();
        NamespaceReport {
            records: current().count() as u64,
            embeddings: embeddings().count() as u64,
            revisions: self.records.values().map(|line| line.revisions.len() as u64).sum(),
            events: self.events.len() as u64,
            threads_with_slots: self
                .slots
                .values()
                .filter(|all| all.last().is_some_and(|(_, last)| !last.slots.is_empty()))
                .count() as u64,
            outbox: self.outbox.len() as u64,
            outbox_since: self.outbox.values().next().map(|item| item.since),
            head: self.head(),
            models: models.into_iter().collect(),
            bytes: 0,
        }
    }
}
