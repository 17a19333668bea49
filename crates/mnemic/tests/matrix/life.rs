//! A memory with every kind of thing, made of conversations. Not here: moving it.

use std::path::Path;

use mnemic::{
    EventId, MemoryManager, NewEvent, NewRecord, Number, Object, Provenance, Ratio, RecordId, RecordKind, Selector,
    SetSlots, ThreadId, Timestamp, Trial, UserId, Value, WriteOptions, wire::json,
};
use mnemic_core::{Batch, MemoryRecord, Precondition, RecordDelete, RecordWrite, Task, ports::Ledger};
use mnemic_ledgers::{SqliteConfig, SqliteLedger};

/// Records of one write.
const WRITE: usize = 40;

/// One turn of a conversation.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    id: String,
    session: u64,
    speaker: String,
    text: String,
}

impl Turn {
    pub(crate) fn parse(line: &str) -> Self {
        let object = json::parse_object(line).unwrap();
        let text = |key: &str| object[key].as_str().unwrap().to_owned();
        let session = match &object["session"] {
            Value::Number(number) => number.as_u64().unwrap(),
            other => panic!("a session: {other:?}"),
        };
        Self { id: text("id"), session, speaker: text("speaker"), text: text("text") }
    }

    fn thread(&self) -> ThreadId {
        ThreadId::new(format!("session-{}", self.session)).unwrap()
    }

    fn record(&self, number: usize) -> NewRecord {
        let float = |value: f64| Value::Number(Number::from_f64(value).unwrap());
        let metadata = [
            ("number", Value::from(number as u64)),
            ("third", float(number as f64 / 3.0)),
            ("below zero", float(-0.0)),
            ("large", Value::from(9_007_199_254_740_993_u64 + number as u64)),
            ("nested", Value::from(Object::from([("list".to_owned(), Value::from(vec![Value::Null, float(1e-308)]))]))),
        ];
        let at = |seconds: u64| Timestamp::from_micros(1_680_000_000_000_000 + 1_000_000 * seconds as i64 + 1).unwrap();
        let number = number as u64;
        NewRecord {
            id: RecordId::new(&self.id).ok(),
            user_id: UserId::new(&self.speaker).ok(),
            thread_id: Some(self.thread()),
            kind: Some(if number.is_multiple_of(3) { RecordKind::Episodic } else { RecordKind::Semantic }),
            path: vec!["conversations".to_owned(), format!("{}", self.session % 7)],
            tags: [format!("tag-{}", number % 11), "turn".to_owned()].into(),
            metadata: metadata.map(|(key, value)| (key.to_owned(), value)).into(),
            salience: number.is_multiple_of(2).then(|| Ratio::new("salience", (number % 97) as f64 / 97.0).unwrap()),
            confidence: number.is_multiple_of(5).then(|| Ratio::new("confidence", 1.0 / 3.0).unwrap()),
            created_at: Some(at(number)),
            // Some are over, some were replaced by another.
            expires_at: number.is_multiple_of(17).then(|| at(1000)),
            superseded_by: number.is_multiple_of(19).then(|| RecordId::new("another").unwrap()),
            provenance: Provenance {
                events: [EventId::new(format!("event-{}", self.id)).unwrap()].into(),
                ..Provenance::default()
            },
            ..NewRecord::new(self.text.clone())
        }
    }

    fn event(&self) -> NewEvent {
        NewEvent {
            event_id: EventId::new(format!("event-{}", self.id)).ok(),
            timestamp: None,
            user_id: UserId::new(&self.speaker).ok(),
            thread_id: self.thread(),
            source: self.speaker.clone(),
            action: "message".to_owned(),
            payload: Object::from([("text".to_owned(), Value::from(self.text.as_str()))]),
            tags: ["turn".to_owned()].into(),
        }
    }
}

/// Fills a memory: events, records, rewrites, slots with versions, deletions, work that waits, and what is forgotten.
pub(crate) async fn furnish(memory: &MemoryManager, directory: &Path, turns: &[Turn]) {
    let numbered: Vec<(usize, &Turn)> = turns.iter().enumerate().collect();
    for part in numbered.chunks(WRITE) {
        // Together, so that the ledger groups them.
        let logged = part.iter().map(|(_, turn)| memory.log_audit(turn.event()));
        futures::future::try_join_all(logged).await.unwrap();
        let records = part.iter().map(|(number, turn)| turn.record(*number)).collect();
        memory.write(records, &WriteOptions::default()).await.unwrap();
        let (number, turn) = part[0];
        for persona in ["asks", "answers", "asks again"] {
            let slots =
                [("who".to_owned(), Some(format!("{persona} {number}"))), ("last".to_owned(), Some(turn.text.clone()))];
            memory.set_slots(&turn.thread(), slots.into(), SetSlots::default()).await.unwrap();
        }
        let rewritten = part.iter().filter(|(number, _)| number.is_multiple_of(7));
        let again = rewritten
            .map(|(number, turn)| NewRecord { text: format!("{} Indeed.", turn.text), ..turn.record(*number) });
        memory.write(again.collect(), &WriteOptions::default()).await.unwrap();
    }
    below(memory, directory, turns).await;
    let every =
        |step: usize, from: usize| turns.iter().skip(from).step_by(step).map(|turn| RecordId::new(&turn.id).unwrap());
    for ids in every(41, 3).collect::<Vec<_>>().chunks(100) {
        memory.forget(&Selector::Ids(ids.to_vec()), Trial::Real).await.unwrap();
    }
    let private = NewRecord { user_id: UserId::new("somebody").ok(), ..NewRecord::new("Somebody's secret.") };
    memory.write(vec![private], &WriteOptions::default()).await.unwrap();
    memory.forget(&Selector::Subject(UserId::new("somebody").unwrap()), Trial::Real).await.unwrap();
}

/// What no verb leaves behind at will: deletions by themselves, and work that waits.
async fn below(memory: &MemoryManager, directory: &Path, turns: &[Turn]) {
    let ledger = SqliteLedger::open(SqliteConfig::new(directory)).unwrap();
    let mut batch = Batch::new(memory.now());
    for turn in turns.iter().skip(1).step_by(13).take(900) {
        batch.deletes.push(RecordDelete { id: RecordId::new(&turn.id).unwrap(), expect: Precondition::Any });
    }
    ledger.commit(memory.namespace(), batch).await.unwrap();
    let mut batch = Batch::new(memory.now());
    for number in 0..10 {
        let tasks = if number % 2 == 0 { vec![Task::Embed] } else { vec![Task::Embed, Task::Index("far".to_owned())] };
        let id = RecordId::new(format!("waits-{number}")).unwrap();
        let record = MemoryRecord::new(id, format!("Not embedded yet, number {number}."), memory.now());
        batch.writes.push(RecordWrite { record, embedding: None, expect: Precondition::Any, tasks });
    }
    ledger.commit(memory.namespace(), batch).await.unwrap();
}

/// Fails unless there is a bit of everything.
pub(crate) async fn check(memory: &MemoryManager, turns: usize) {
    let held = memory.stats().await.unwrap().ledger;
    let least = turns as u64 * 8 / 10;
    assert!(held.records > least && held.revisions > held.records && held.embeddings > least, "{held:?}");
    assert!(held.events as usize > turns && held.threads_with_slots > 0 && held.outbox == 15, "{held:?}");
}
