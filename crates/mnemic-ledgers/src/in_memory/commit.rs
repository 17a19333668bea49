//! One commit in memory: first everything that can be refused, then the change, which cannot fail.
//! Not here: erasure (`erase`).

use mnemic_core::{
    AppendOutcome, Appended, Batch, Changed, EmbeddingWrite, Receipt, RecordDelete, RecordWrite, Result, Revision,
    RevisionKind, Timestamp, Version, Written, ports::SlotsRevision,
};

use super::Memory;
use crate::rules;

impl Memory {
    pub(super) fn commit(&mut self, batch: Batch) -> Result<Receipt> {
        if let Some(request) = &batch.idempotency
            && let Some(receipt) = self.replay(request)?
        {
            return Ok(receipt);
        }
        self.assignment.check_serving()?;
        rules::check_batch(&batch)?;
        for write in &batch.writes {
            write.expect.check(rules::named(&write.record.id), self.version(&write.record.id))?;
        }
        for delete in &batch.deletes {
            delete.expect.check(rules::named(&delete.id), self.version(&delete.id))?;
        }
        let events = self.plan_events(&batch.events)?;
        let salts = rules::salts(batch.events.len())?;
        let slots = self.plan_slots(&batch.slots)?;

        // Nothing below can fail, so the batch is applied whole.
        let (at, before) = (batch.at, self.head());
        let mut receipt = Receipt {
            writes: batch.writes.into_iter().map(|write| self.apply_write(write, at)).collect(),
            deletes: batch.deletes.into_iter().map(|delete| self.apply_delete(&delete, at)).collect(),
            embeddings: batch.embeddings.into_iter().map(|embedding| self.apply_embedding(embedding, at)).collect(),
            ..Receipt::default()
        };
        for ((event, known), salt) in batch.events.into_iter().zip(events).zip(salts) {
            receipt.events.push(match known {
                Some(sequence) => Appended { sequence, outcome: AppendOutcome::Duplicate },
                None => Appended { sequence: self.append(event, salt, at), outcome: AppendOutcome::New },
            });
        }
        for (thread, version, slots) in slots {
            let seq = self.publish(at, Changed::Slots(Some(thread.clone()), version));
            self.slots.entry(thread).or_default().push((seq, SlotsRevision { version, at, slots }));
            receipt.slots.push(version);
        }
        self.settle(&batch.settle);
        receipt.changes = (self.head() > before).then(|| (mnemic_core::ChangeSeq(before.0 + 1), self.head()));
        if let Some(request) = batch.idempotency {
            self.keep(request, at, receipt.clone());
        }
        Ok(receipt)
    }

    fn apply_write(&mut self, write: RecordWrite, at: Timestamp) -> Written {
        let RecordWrite { mut record, embedding, expect: _, tasks } = write;
        let id = record.id.clone();
        self.outbox.retain(|_, item| item.record_id != id);
        let line = self.records.entry(id.clone()).or_default();
        record.version = line.last_version().next();
        record.created_at = line.current().map_or(record.created_at, |old| old.created_at.min(record.created_at));
        let (version, created_at) = (record.version, record.created_at);
        let seq = self.publish(at, Changed::Written(id.clone(), version));
        self.enqueue(tasks, seq, &id, version, at);
        let line = self.records.entry(id.clone()).or_default();
        if line.revisions.is_empty() {
            line.ordinal = seq.0;
            self.order.insert(seq.0, id.clone());
        }
        line.revisions.push((seq, Revision { at, what: RevisionKind::Written(Box::new(record)) }));
        line.embedding = embedding;
        Written { id, version, created_at }
    }

    fn apply_delete(&mut self, delete: &RecordDelete, at: Timestamp) -> Option<Version> {
        let id = &delete.id;
        let version = self.records.get(id)?.current()?.version;
        self.outbox.retain(|_, item| item.record_id != *id);
        let seq = self.publish(at, Changed::Deleted(id.clone(), version));
        let line = self.records.get_mut(id)?;
        line.revisions.push((seq, Revision { at, what: RevisionKind::Deleted(version) }));
        line.embedding = None;
        Some(version)
    }

    fn apply_embedding(&mut self, write: EmbeddingWrite, at: Timestamp) -> bool {
        if write.version == Version::NONE || self.version(&write.id) != write.version {
            return false;
        }
        let Some(line) = self.records.get_mut(&write.id) else { return false };
        line.embedding = Some(write.embedding);
        self.publish(at, Changed::Embedded(write.id, write.version));
        true
    }
}
