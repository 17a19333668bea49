//! What the facade's tests share: both ready-made memories, each fresh. Not a test itself.
#![allow(
    dead_code,
    unreachable_pub,
    missing_debug_implementations,
    clippy::unwrap_used,
    reason = "each test file uses a part; tests fail by panicking"
)]

use std::sync::Arc;

use mnemic::ports::ManualClock;
use mnemic::{
    Builder, MemoryManager, Namespace, NewEvent, NewRecord, Object, RecordId, ThreadId, Timestamp, UserId, Value,
};

/// A memory with a clock that the test moves.
pub struct Memory {
    pub name: &'static str,
    pub manager: MemoryManager,
    pub clock: Arc<ManualClock>,
    /// Kept so that the directory lives as long as the memory.
    pub directory: Option<tempfile::TempDir>,
}

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub fn id(text: &str) -> RecordId {
    RecordId::new(text).unwrap()
}

pub fn user(text: &str) -> UserId {
    UserId::new(text).unwrap()
}

pub fn thread(text: &str) -> ThreadId {
    ThreadId::new(text).unwrap()
}

pub fn namespace(text: &str) -> Namespace {
    Namespace::new(text).unwrap()
}

/// The development and the embedded memory, empty, at the same time of day.
pub fn memories() -> Vec<Memory> {
    vec![dev(), embedded()]
}

pub fn dev() -> Memory {
    let clock = Arc::new(ManualClock::new(at("2026-03-01T12:00:00Z")));
    let manager = Builder::default().clock(Arc::<ManualClock>::clone(&clock)).build(namespace("default")).unwrap();
    Memory { name: "dev", manager, clock, directory: None }
}

pub fn embedded() -> Memory {
    let clock = Arc::new(ManualClock::new(at("2026-03-01T12:00:00Z")));
    let directory = tempfile::tempdir().unwrap();
    let builder = Builder::embedded(directory.path().join("memory")).unwrap();
    let manager = builder.clock(Arc::<ManualClock>::clone(&clock)).build(namespace("default")).unwrap();
    Memory { name: "embedded", manager, clock, directory: Some(directory) }
}

pub fn record(id: &str, text: &str) -> NewRecord {
    NewRecord { id: Some(RecordId::new(id).unwrap()), ..NewRecord::new(text) }
}

pub fn event(event_id: &str, thread_id: &str, text: &str) -> NewEvent {
    NewEvent {
        event_id: Some(mnemic::EventId::new(event_id).unwrap()),
        timestamp: None,
        user_id: None,
        thread_id: thread(thread_id),
        source: "attorney".to_owned(),
        action: "message".to_owned(),
        payload: Object::from([("text".to_owned(), Value::from(text))]),
        tags: std::collections::BTreeSet::new(),
    }
}

/// Ids of a retrieval's hits, best first.
pub fn found(retrieval: &mnemic::Retrieval) -> Vec<&str> {
    retrieval.hits.iter().map(|hit| hit.record.id.as_str()).collect()
}
