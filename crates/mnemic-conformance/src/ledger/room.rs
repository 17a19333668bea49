//! A ledger and a namespace for one case, with a clock that moves on with every commit. Not here: any demand.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use mnemic_core::{
    AuditEvent, Batch, Embedding, EmbeddingWrite, EraseReceipt, EraseTarget, Erasure, Error, ErrorKind, MemoryRecord,
    Namespace, Precondition, Receipt, RecordDelete, RecordWrite, SlotMode, SlotWrite, StoredRecord, Task, Timestamp,
    Version, ports::Ledger,
};

use super::{
    LedgerHarness, Opened,
    snapshot::{Snapshot, WITH_EMBEDDINGS},
};
use crate::fixtures::{erasure_event, instant, namespace, record_id, thread};

/// A ledger, a namespace of its own, and the time there.
pub(super) struct Room {
    pub(super) opened: Opened,
    pub(super) ns: Namespace,
    clock: AtomicI64,
}

impl Room {
    /// A namespace that nothing was written to.
    pub(super) async fn new(harness: &dyn LedgerHarness) -> Self {
        Self { opened: harness.open().await, ns: namespace(), clock: AtomicI64::new(10_000) }
    }

    pub(super) fn ledger(&self) -> &dyn Ledger {
        &*self.opened.ledger
    }

    /// A handle for another task.
    pub(super) fn shared(&self) -> (Arc<dyn Ledger>, Namespace) {
        (Arc::clone(&self.opened.ledger), self.ns.clone())
    }

    /// The same namespace on a handle that was closed and opened again.
    pub(super) async fn reopened(self, harness: &dyn LedgerHarness) -> Self {
        Self { opened: harness.reopen(self.opened).await, ..self }
    }

    /// The instant after the last one.
    pub(super) fn tick(&self) -> Timestamp {
        instant(self.clock.fetch_add(10, Ordering::SeqCst) + 10)
    }

    /// A batch at the next instant.
    pub(super) fn batch(&self) -> Batch {
        Batch::new(self.tick())
    }

    /// A batch at the next instant that writes these records.
    pub(super) fn writes(&self, records: impl IntoIterator<Item = MemoryRecord>) -> Batch {
        let mut batch = self.batch();
        batch.writes = records.into_iter().map(write).collect();
        batch
    }

    /// Commits what must be accepted.
    pub(super) async fn commit(&self, batch: Batch) -> Receipt {
        self.ledger()
            .commit(&self.ns, batch)
            .await
            .unwrap_or_else(|e| panic!("a batch is refused that must be accepted: {e:?}"))
    }

    /// Commits what must be refused.
    pub(super) async fn refused(&self, batch: Batch, kind: ErrorKind) -> Error {
        let error = self.ledger().commit(&self.ns, batch).await.expect_err("the batch must be refused");
        assert_eq!(error.kind(), kind, "{error:?}");
        error
    }

    /// Writes one record.
    pub(super) async fn write(&self, record: MemoryRecord) -> Version {
        self.commit(self.writes([record])).await.writes[0].version
    }

    /// Writes one record with its embedding.
    pub(super) async fn write_embedded(&self, record: MemoryRecord, embedding: &Embedding) -> Version {
        let mut batch = self.writes([record]);
        batch.writes[0].embedding = Some(embedding.clone());
        self.commit(batch).await.writes[0].version
    }

    /// Deletes one record.
    pub(super) async fn delete(&self, id: &str) -> Option<Version> {
        let mut batch = self.batch();
        batch.deletes.push(delete(id));
        self.commit(batch).await.deletes[0]
    }

    /// Appends events in one batch.
    pub(super) async fn append(&self, events: impl IntoIterator<Item = AuditEvent>) -> Receipt {
        let mut batch = self.batch();
        batch.events = events.into_iter().collect();
        self.commit(batch).await
    }

    /// Sets slots of one thread.
    pub(super) async fn set_slots(&self, thread_id: &str, changes: &[(&str, Option<&str>)]) -> Version {
        let mut batch = self.batch();
        batch.slots.push(slot_write(thread_id, changes));
        self.commit(batch).await.slots[0]
    }

    /// Erases at the next instant.
    pub(super) async fn erase(&self, target: EraseTarget) -> EraseReceipt {
        let at = self.tick();
        let event = erasure_event(&format!("erasure-{}", at.as_micros()));
        self.ledger().erase(&self.ns, Erasure { at, target, event }).await.unwrap()
    }

    /// What is there under an id, with its embedding.
    pub(super) async fn get(&self, id: &str) -> Option<StoredRecord> {
        let mut found = self.ledger().fetch(&self.ns, &[record_id(id)], WITH_EMBEDDINGS).await.unwrap();
        assert_eq!(found.len(), 1, "one answer for one id");
        found.remove(0)
    }

    /// What is there under an id that must be there.
    pub(super) async fn got(&self, id: &str) -> StoredRecord {
        self.get(id).await.unwrap_or_else(|| panic!("{id} is there"))
    }

    pub(super) async fn snapshot(&self) -> Snapshot {
        Snapshot::take(self.ledger(), &self.ns).await
    }
}

/// A write without conditions.
pub(super) fn write(record: MemoryRecord) -> RecordWrite {
    RecordWrite { record, embedding: None, expect: Precondition::Any, tasks: Vec::new() }
}

/// A write without conditions that leaves work to be done.
pub(super) fn write_with_tasks(record: MemoryRecord, tasks: &[Task]) -> RecordWrite {
    RecordWrite { tasks: tasks.to_vec(), ..write(record) }
}

/// A delete without conditions.
pub(super) fn delete(id: &str) -> RecordDelete {
    RecordDelete { id: record_id(id), expect: Precondition::Any }
}

/// A late embedding.
pub(super) fn late(id: &str, version: u64, embedding: &Embedding) -> EmbeddingWrite {
    EmbeddingWrite { id: record_id(id), version: Version(version), embedding: embedding.clone() }
}

/// A merging write of slots without conditions.
pub(super) fn slot_write(thread_id: &str, changes: &[(&str, Option<&str>)]) -> SlotWrite {
    SlotWrite {
        thread_id: thread(thread_id),
        changes: changes.iter().map(|(name, text)| ((*name).to_owned(), text.map(str::to_owned))).collect(),
        mode: SlotMode::Merge,
        expect: Precondition::Any,
    }
}

/// The record as it must be read: at this version, created at this instant.
pub(super) fn stored(mut record: MemoryRecord, version: u64, created_at: Timestamp) -> MemoryRecord {
    record.version = Version(version);
    record.created_at = created_at;
    record
}

/// Fails unless both are the same to the letter: numbers by form and ratios by bits too, which `==` looks past.
#[track_caller]
pub(super) fn assert_exact(found: &MemoryRecord, expected: &MemoryRecord) {
    let canonical = |record: &MemoryRecord| {
        let mut text = String::new();
        mnemic_core::value::write_canonical_object(&record.metadata, &mut text);
        text
    };
    let bits =
        |record: &MemoryRecord| [record.salience, record.confidence].map(|r| r.map(|ratio| ratio.get().to_bits()));
    assert_eq!(found, expected);
    assert_eq!(canonical(found), canonical(expected), "metadata of {}", expected.id);
    assert_eq!(bits(found), bits(expected), "salience and confidence of {}", expected.id);
}

/// Fails unless both are the same bit for bit.
#[track_caller]
pub(super) fn assert_same_bits(found: Option<&Embedding>, expected: &Embedding) {
    let found = found.expect("the embedding is there");
    let bits = |embedding: &Embedding| embedding.components().iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!(found.model(), expected.model());
    assert_eq!(bits(found), bits(expected));
}
