//! A ledger that has lived a little, and its commits, to be bent. Not here: the lies.

use std::collections::BTreeSet;

use mnemic_core::{
    AuditEvent, Batch, ChainedEvent, ChangeSeq, Embedding, EmbeddingModel, EraseTarget, Erasure, EventId, MemoryRecord,
    Metric, Namespace, Number, Object, PastChange, PastCommit, PastWrite, Precondition, Provenance, Ratio,
    RecordDelete, RecordId, RecordKind, RecordWrite, SlotMode, SlotWrite, Slots, Task, ThreadId, Timestamp, UserId,
    Value, Version, policy::audit, ports::Ledger,
};
use mnemic_ledgers::InMemoryLedger;
use mnemic_migration::{past, removed};

pub(crate) fn namespace() -> Namespace {
    Namespace::new("n").unwrap()
}

pub(crate) fn at(n: i64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000 + n).unwrap()
}

pub(crate) fn id(text: &str) -> RecordId {
    RecordId::new(text).unwrap()
}

pub(crate) fn number(value: f64) -> Value {
    Value::Number(Number::from_f64(value).unwrap())
}

fn record(name: &str, text: &str) -> MemoryRecord {
    let metadata = [
        ("page", Value::from(3_u64)),
        ("ratio", number(0.1 + 0.2)),
        ("zero", number(0.0)),
        ("long", Value::from(9_007_199_254_740_993_u64)),
        ("list", Value::from(vec![Value::from(1_u64), Value::from(2_u64)])),
        ("nothing", Value::Null),
        ("sure", Value::from(true)),
    ];
    MemoryRecord {
        id: id(name),
        user_id: Some(UserId::new("anna").unwrap()),
        thread_id: Some(ThreadId::new("talk").unwrap()),
        kind: RecordKind::default(),
        text: text.to_owned(),
        path: vec!["a".to_owned(), "b".to_owned()],
        tags: BTreeSet::from(["fee".to_owned()]),
        metadata: metadata.map(|(key, value)| (key.to_owned(), value)).into(),
        source: "test".to_owned(),
        salience: Some(Ratio::new("salience", 0.3).unwrap()),
        confidence: Some(Ratio::new("confidence", 0.7).unwrap()),
        created_at: at(0),
        updated_at: at(1),
        valid_from: at(2),
        valid_to: Some(at(1_000_000)),
        expires_at: Some(at(2_000_000)),
        superseded_by: Some(id("other")),
        provenance: Provenance { events: [EventId::new("e0").unwrap()].into(), records: [id("r0")].into() },
        version: Version::NONE,
    }
}

/// An embedding that begins with a number of its own.
pub(crate) fn embedding(first: f32) -> Embedding {
    of_components(vec![first, 0.5, -0.25, 0.0])
}

pub(crate) fn of_components(components: Vec<f32>) -> Embedding {
    let dimension = u32::try_from(components.len()).unwrap();
    let model = EmbeddingModel::new("test", "model", dimension, Metric::Cosine).unwrap();
    Embedding::new(&model, components).unwrap()
}

fn event(name: &str, thread: &str, user: Option<&str>) -> AuditEvent {
    AuditEvent {
        event_id: EventId::new(name).unwrap(),
        timestamp: at(5),
        user_id: user.map(|user| UserId::new(user).unwrap()),
        thread_id: ThreadId::new(thread).unwrap(),
        source: "test".to_owned(),
        action: "said".to_owned(),
        payload: Object::from([("text".to_owned(), Value::from("hello")), ("count".to_owned(), Value::from(1_u64))]),
        tags: BTreeSet::from(["said".to_owned()]),
    }
}

/// A source, its commits, and the same as a copy heard of them that was begun before something was erased.
pub(crate) struct Lived {
    pub(crate) source: InMemoryLedger,
    pub(crate) commits: Vec<PastCommit>,
    pub(crate) late: Vec<PastCommit>,
}

struct Life {
    ledger: InMemoryLedger,
    clock: i64,
}

impl Life {
    async fn commit(&mut self, fill: impl FnOnce(&mut Batch)) {
        self.clock += 10;
        let mut batch = Batch::new(at(self.clock));
        fill(&mut batch);
        self.ledger.commit(&namespace(), batch).await.unwrap();
    }

    async fn write(&mut self, record: MemoryRecord, embedding: Option<Embedding>, tasks: Vec<Task>) {
        let expect = Precondition::Any;
        self.commit(|batch| batch.writes.push(RecordWrite { record, embedding, expect, tasks })).await;
    }

    async fn slots(&mut self, thread: &str, persona: &str) {
        let thread_id = ThreadId::new(thread).unwrap();
        let changes = [("persona".to_owned(), Some(persona.to_owned()))].into();
        let (mode, expect) = (SlotMode::Merge, Precondition::Any);
        self.commit(|batch| batch.slots.push(SlotWrite { thread_id, changes, mode, expect })).await;
    }

    async fn erase(&mut self, target: EraseTarget) {
        self.clock += 10;
        let event = event(&format!("erased at {}", self.clock), "journal", None);
        self.ledger.erase(&namespace(), Erasure { at: at(self.clock), target, event }).await.unwrap();
    }
}

/// Whoever is erased at the end: a record, an event and slots of theirs, and an earlier revision of a record that is another's by now.
const ERASED: &str = "boris";

pub(crate) async fn lived() -> Lived {
    let mut life = Life { ledger: InMemoryLedger::new(), clock: 10 };
    life.write(record("a", "The fee is 405."), Some(embedding(1.0)), Vec::new()).await;
    life.write(record("b", "Anna lives in Austin, and drinks café au lait."), Some(embedding(2.0)), Vec::new()).await;
    life.write(record("a", "The fee is 2805."), Some(embedding(3.0)), Vec::new()).await;
    life.write(record("gone", "Taken back."), Some(embedding(4.0)), Vec::new()).await;
    life.write(record("waits", "Not embedded yet."), None, vec![Task::Embed]).await;
    life.commit(|batch| batch.deletes.push(RecordDelete { id: id("gone"), expect: Precondition::Any })).await;
    for name in ["e1", "e2", "e3"] {
        life.commit(|batch| batch.events.push(event(name, "talk", None))).await;
    }
    for persona in ["paralegal", "attorney"] {
        life.slots("talk", persona).await;
    }
    let of_erased = |name: &str, text: &str| MemoryRecord {
        user_id: Some(UserId::new(ERASED).unwrap()),
        thread_id: Some(ThreadId::new("private").unwrap()),
        ..record(name, text)
    };
    life.write(of_erased("secret", "Boris has a house."), Some(embedding(5.0)), Vec::new()).await;
    life.write(of_erased("handed", "The case was Boris's."), Some(embedding(6.0)), Vec::new()).await;
    life.write(record("handed", "The case is Anna's."), Some(embedding(7.0)), Vec::new()).await;
    life.write(record("named", "Another one."), Some(embedding(8.0)), Vec::new()).await;
    life.commit(|batch| batch.events.push(event("private", "private", Some(ERASED)))).await;
    life.slots("private", "secretive").await;
    let ledger = &life.ledger;
    let mut late = past(ledger, &namespace(), ChangeSeq(0), 1000).await.unwrap();
    let head = ledger.head(&namespace()).await.unwrap();
    let copy = InMemoryLedger::new();
    copy.repeat(&namespace(), &late).await.unwrap();
    life.erase(EraseTarget::Subject(UserId::new(ERASED).unwrap())).await;
    life.erase(EraseTarget::Records(vec![id("named")])).await;
    let source = life.ledger;
    let mut rest = past(&source, &namespace(), head, 1000).await.unwrap();
    rest[0].removed = removed((&source, &namespace()), (&copy, &namespace())).await.unwrap();
    late.extend(rest);
    let commits = past(&source, &namespace(), ChangeSeq(0), 1000).await.unwrap();
    Lived { source, commits, late }
}

pub(crate) fn changes(commits: &mut [PastCommit]) -> impl Iterator<Item = &mut PastChange> {
    commits.iter_mut().flat_map(|commit| &mut commit.changes)
}

/// The write that made a version of a record.
pub(crate) fn written<'a>(commits: &'a mut [PastCommit], name: &str, version: u64) -> &'a mut PastWrite {
    let found = changes(commits).filter_map(|change| match change {
        PastChange::Written(write) if write.id.as_str() == name && write.version == Version(version) => Some(write),
        _ => None,
    });
    found.last().unwrap()
}

pub(crate) fn revision<'a>(commits: &'a mut [PastCommit], name: &str, version: u64) -> &'a mut MemoryRecord {
    written(commits, name, version).record.as_mut().unwrap()
}

pub(crate) fn metadata(commits: &mut [PastCommit], key: &str, value: Value) {
    revision(commits, "b", 1).metadata.insert(key.to_owned(), value);
}

pub(crate) fn entries(commits: &mut [PastCommit]) -> impl Iterator<Item = &mut ChainedEvent> {
    changes(commits).filter_map(|change| match change {
        PastChange::Appended(entry) => Some(&mut **entry),
        _ => None,
    })
}

/// Makes the chain hold together again after an event was changed: a lie that verifies.
pub(crate) fn relink(commits: &mut [PastCommit]) {
    let mut previous = None;
    for entry in entries(commits) {
        if let Some(previous) = previous {
            entry.previous = previous;
        }
        if let (Some(event), Some(salt)) = (&entry.event, &entry.salt) {
            entry.commitment = audit::commitment(salt, event);
        }
        entry.hash = audit::link(&entry.previous, entry.sequence, entry.recorded_at, &entry.commitment);
        previous = Some(entry.hash);
    }
}

/// Changes the second event.
pub(crate) fn second(commits: &mut [PastCommit], change: impl FnOnce(&mut AuditEvent)) {
    change(entries(commits).nth(1).and_then(|entry| entry.event.as_mut()).unwrap());
    relink(commits);
}

/// Changes the slots of the open thread at a version.
pub(crate) fn slots(commits: &mut [PastCommit], at: u64, change: impl FnOnce(&mut Slots)) {
    let found = changes(commits).find_map(|change| match change {
        PastChange::Slots { slots, version, .. } if *version == Version(at) => Some(slots),
        _ => None,
    });
    change(found.unwrap());
}

/// The place of a commit whose first change passes.
pub(crate) fn place(commits: &[PastCommit], passes: impl Fn(&PastChange) -> bool) -> usize {
    commits.iter().rposition(|commit| passes(&commit.changes[0])).unwrap()
}
