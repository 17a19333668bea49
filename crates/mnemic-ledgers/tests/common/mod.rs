//! Material for tests of ledgers: records, events, batches. Not here: what is asserted.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses a part")]

use mnemic_core::{
    AuditEvent, Batch, ChainedEvent, Embedding, EmbeddingModel, EventId, MemoryRecord, Metric, Namespace, Object,
    PageRequest, Precondition, RecordDelete, RecordId, RecordWrite, SlotMode, SlotWrite, Task, ThreadId, Timestamp,
    UserId, Value,
    policy::audit::ChainVerifier,
    ports::{EventRange, Ledger},
};

pub fn ns(name: &str) -> Namespace {
    Namespace::new(name).unwrap()
}

pub fn id(id: &str) -> RecordId {
    RecordId::new(id).unwrap()
}

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000 + second * 1_000_000).unwrap()
}

pub fn record(name: &str, text: &str) -> MemoryRecord {
    MemoryRecord::new(id(name), text, at(0))
}

pub fn of_user(mut record: MemoryRecord, user: &str) -> MemoryRecord {
    record.user_id = Some(UserId::new(user).unwrap());
    record
}

/// A record with something in every field.
pub fn full_record(name: &str) -> MemoryRecord {
    let mut record = record(name, "Срок подачи — 5 марта; fee is $1,055 🙂");
    record.user_id = Some(UserId::new("u").unwrap());
    record.thread_id = Some(ThreadId::new("t").unwrap());
    record.kind = mnemic_core::RecordKind::OpenLoop;
    record.path = vec!["case".into(), "o1a".into()];
    record.tags = ["a".to_owned(), "б".to_owned()].into();
    record.metadata = Object::from([
        ("null".to_owned(), Value::Null),
        ("bool".to_owned(), true.into()),
        ("negative".to_owned(), Value::from(i64::MIN)),
        ("big".to_owned(), Value::from(u64::MAX)),
        ("float".to_owned(), Value::Number(mnemic_core::Number::from_f64(0.1).unwrap())),
        ("whole".to_owned(), Value::Number(mnemic_core::Number::from_f64(-0.0).unwrap())),
        ("list".to_owned(), vec![Value::from("x"), Value::Object(Object::from([(String::new(), Value::Null)]))].into()),
    ]);
    record.source = "import".into();
    record.salience = Some(mnemic_core::Ratio::new("salience", 0.1).unwrap());
    record.confidence = Some(mnemic_core::Ratio::ONE);
    record.valid_from = at(-5);
    record.valid_to = Some(at(50));
    record.expires_at = Some(at(60));
    record.superseded_by = Some(id("other"));
    record.provenance.events = [EventId::new("e1").unwrap()].into();
    record.provenance.records = [id("parent")].into();
    record
}

pub fn model(name: &str, dimension: u32) -> EmbeddingModel {
    EmbeddingModel::new("test", name, dimension, Metric::Cosine).unwrap()
}

/// A vector that tells its seed.
pub fn embedding(model: &EmbeddingModel, seed: u64) -> Embedding {
    let component = |i: u32| ((seed * 31 + u64::from(i) * 7) % 101) as f32 / 101.0 + 0.001;
    Embedding::new(model, (0..model.dimension()).map(component).collect::<Vec<_>>()).unwrap()
}

pub fn write(record: MemoryRecord) -> RecordWrite {
    RecordWrite { record, embedding: None, expect: Precondition::Any, tasks: Vec::new() }
}

pub fn embedded(record: MemoryRecord, embedding: Embedding) -> RecordWrite {
    RecordWrite { embedding: Some(embedding), ..write(record) }
}

pub fn with_tasks(record: MemoryRecord, tasks: Vec<Task>) -> RecordWrite {
    RecordWrite { tasks, ..write(record) }
}

pub fn writes(second: i64, writes: impl IntoIterator<Item = RecordWrite>) -> Batch {
    Batch { writes: writes.into_iter().collect(), ..Batch::new(at(second)) }
}

pub fn deletes(second: i64, name: &str) -> Batch {
    Batch { deletes: vec![RecordDelete { id: id(name), expect: Precondition::Any }], ..Batch::new(at(second)) }
}

pub fn event(name: &str, thread: &str, user: Option<&str>) -> AuditEvent {
    AuditEvent {
        event_id: EventId::new(name).unwrap(),
        timestamp: at(0),
        user_id: user.map(|user| UserId::new(user).unwrap()),
        thread_id: ThreadId::new(thread).unwrap(),
        source: "test".into(),
        action: "said".into(),
        payload: Object::from([("text".to_owned(), Value::from(format!("payload of {name}")))]),
        tags: ["tag".to_owned()].into(),
    }
}

pub fn events(second: i64, events: impl IntoIterator<Item = AuditEvent>) -> Batch {
    Batch { events: events.into_iter().collect(), ..Batch::new(at(second)) }
}

pub fn slot(thread: &str, name: &str, value: Option<&str>) -> SlotWrite {
    SlotWrite {
        thread_id: ThreadId::new(thread).unwrap(),
        changes: [(name.to_owned(), value.map(str::to_owned))].into(),
        mode: SlotMode::Merge,
        expect: Precondition::Any,
    }
}

pub fn slots(second: i64, slots: impl IntoIterator<Item = SlotWrite>) -> Batch {
    Batch { slots: slots.into_iter().collect(), ..Batch::new(at(second)) }
}

/// The whole chain.
pub async fn chain(ledger: &dyn Ledger, namespace: &Namespace) -> Vec<ChainedEvent> {
    let mut all = Vec::new();
    let mut page = PageRequest::first(100).unwrap();
    loop {
        let found = ledger.events(namespace, &EventRange::default(), &page).await.unwrap();
        all.extend(found.items);
        match found.next {
            Some(next) => page = page.after(Some(next)),
            None => return all,
        }
    }
}

/// Walks the chain, demands that it verifies, and tells how many entries it has and how many of them are erased.
pub async fn verified(ledger: &dyn Ledger, namespace: &Namespace) -> (u64, u64) {
    let mut verifier = ChainVerifier::new(None);
    for entry in chain(ledger, namespace).await {
        verifier.push(&entry).unwrap();
    }
    let (end, erased) = verifier.finish().unwrap();
    (end.sequence.0, erased)
}
