//! A comparison names every lie: each is planted alone in a copy that is otherwise true. Counting alone would find few of them.
//! Not here: copies over real backends (`mnemic`).
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::collections::BTreeSet;

use mnemic_core::{
    AuditEvent, Batch, ChangeSeq, Embedding, EmbeddingModel, EventId, MemoryRecord, Metric, Namespace, Number, Object,
    PastChange, PastCommit, PastWrite, Precondition, Provenance, Ratio, RecordDelete, RecordId, RecordKind,
    RecordWrite, SlotMode, SlotWrite, Task, ThreadId, Timestamp, UserId, Value, Version, policy::audit, ports::Ledger,
};
use mnemic_ledgers::InMemoryLedger;
use mnemic_migration::{Comparison, compare, past};

fn namespace() -> Namespace {
    Namespace::new("n").unwrap()
}

fn at(n: i64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000 + n).unwrap()
}

fn record(id: &str, text: &str) -> MemoryRecord {
    MemoryRecord {
        id: RecordId::new(id).unwrap(),
        user_id: Some(UserId::new("anna").unwrap()),
        thread_id: Some(ThreadId::new("talk").unwrap()),
        kind: RecordKind::default(),
        text: text.to_owned(),
        path: vec!["a".to_owned(), "b".to_owned()],
        tags: BTreeSet::from(["fee".to_owned()]),
        metadata: Object::from([
            ("page".to_owned(), Value::from(3_u64)),
            ("ratio".to_owned(), Value::Number(Number::from_f64(0.1 + 0.2).unwrap())),
        ]),
        source: "test".to_owned(),
        salience: Some(Ratio::new("salience", 0.3).unwrap()),
        confidence: Some(Ratio::new("confidence", 0.7).unwrap()),
        created_at: at(0),
        updated_at: at(1),
        valid_from: at(2),
        valid_to: Some(at(1_000_000)),
        expires_at: Some(at(2_000_000)),
        superseded_by: Some(RecordId::new("other").unwrap()),
        provenance: Provenance { events: [EventId::new("e0").unwrap()].into(), records: BTreeSet::new() },
        version: Version::NONE,
    }
}

fn embedding(first: f32) -> Embedding {
    let model = EmbeddingModel::new("test", "model", 3, Metric::Cosine).unwrap();
    Embedding::new(&model, vec![first, 0.5, -0.25]).unwrap()
}

fn event(id: &str) -> AuditEvent {
    AuditEvent {
        event_id: EventId::new(id).unwrap(),
        timestamp: at(5),
        user_id: None,
        thread_id: ThreadId::new("talk").unwrap(),
        source: "test".to_owned(),
        action: "said".to_owned(),
        payload: Object::from([("text".to_owned(), Value::from("hello"))]),
        tags: BTreeSet::new(),
    }
}

/// A ledger that has lived a little, and its commits.
async fn lived() -> (InMemoryLedger, Vec<PastCommit>) {
    let ledger = InMemoryLedger::new();
    let mut clock = 10;
    let mut commit = async |fill: &dyn Fn(&mut Batch)| {
        clock += 10;
        let mut batch = Batch::new(at(clock));
        fill(&mut batch);
        ledger.commit(&namespace(), batch).await.unwrap();
    };
    let write = |id: &'static str, text: &'static str, tasks: Vec<Task>| {
        move |batch: &mut Batch| {
            let embedding = tasks.is_empty().then(|| embedding(1.0));
            let expect = Precondition::Any;
            batch.writes.push(RecordWrite { record: record(id, text), embedding, expect, tasks: tasks.clone() });
        }
    };
    commit(&write("a", "The fee is 405.", Vec::new())).await;
    commit(&write("b", "Anna lives in Austin.", Vec::new())).await;
    commit(&write("a", "The fee is 2805.", Vec::new())).await;
    commit(&write("gone", "Taken back.", Vec::new())).await;
    commit(&write("waits", "Not embedded yet.", vec![Task::Embed])).await;
    commit(&|batch| {
        batch.deletes.push(RecordDelete { id: RecordId::new("gone").unwrap(), expect: Precondition::Any });
    })
    .await;
    for id in ["e1", "e2", "e3"] {
        commit(&|batch| batch.events.push(event(id))).await;
    }
    for persona in ["paralegal", "attorney"] {
        commit(&|batch| {
            batch.slots.push(SlotWrite {
                thread_id: ThreadId::new("talk").unwrap(),
                changes: [("persona".to_owned(), Some(persona.to_owned()))].into(),
                mode: SlotMode::Merge,
                expect: Precondition::Any,
            });
        })
        .await;
    }
    let commits = past(&ledger, &namespace(), ChangeSeq(0), 1000).await.unwrap();
    (ledger, commits)
}

async fn compared(source: &InMemoryLedger, commits: &[PastCommit]) -> Comparison {
    let target = InMemoryLedger::new();
    target.repeat(&namespace(), commits).await.unwrap();
    compare((source, &namespace()), (&target, &namespace())).await.unwrap()
}

/// The write that made a version of a record.
fn written<'a>(commits: &'a mut [PastCommit], id: &str, version: u64) -> &'a mut PastWrite {
    let all = commits.iter_mut().flat_map(|commit| &mut commit.changes);
    let found = all.filter_map(|change| match change {
        PastChange::Written(write) if write.id.as_str() == id && write.version == Version(version) => Some(write),
        _ => None,
    });
    found.last().unwrap()
}

fn revision<'a>(commits: &'a mut [PastCommit], id: &str, version: u64) -> &'a mut MemoryRecord {
    written(commits, id, version).record.as_mut().unwrap()
}

/// Makes the chain hold together again after an event was changed: a lie that verifies.
fn relink(commits: &mut [PastCommit]) {
    let mut previous = None;
    for change in commits.iter_mut().flat_map(|commit| &mut commit.changes) {
        let PastChange::Appended(entry) = change else { continue };
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

fn each_event(commits: &mut [PastCommit], mut change: impl FnMut(&mut AuditEvent)) {
    for entry in commits.iter_mut().flat_map(|commit| &mut commit.changes) {
        if let PastChange::Appended(entry) = entry
            && let Some(event) = entry.event.as_mut().filter(|event| event.event_id.as_str() == "e2")
        {
            change(event);
        }
    }
    relink(commits);
}

fn slots(commits: &mut [PastCommit], version: u64, text: &str) {
    for change in commits.iter_mut().flat_map(|commit| &mut commit.changes) {
        if let PastChange::Slots { slots, version: made, .. } = change
            && *made == Version(version)
        {
            slots.insert("persona".to_owned(), text.to_owned());
        }
    }
}

type Lie = (&'static str, &'static str, fn(&mut Vec<PastCommit>));

/// What each lie is about, what the comparison must say, and the lie.
const LIES: &[Lie] = &[
    ("a character of the text", "\"a\" differs in text", |c| revision(c, "a", 2).text.clear_and("The fee is 2806.")),
    ("a space at the end", "\"b\" differs in text", |c| revision(c, "b", 1).text.push(' ')),
    ("a superseded text", "revision 2 of record \"a\"", |c| revision(c, "a", 1).text.push('!')),
    ("the text of a deleted record", "record \"gone\"", |c| revision(c, "gone", 1).text.clear_and("x")),
    ("a rounded float", "\"a\" differs in metadata", |c| {
        let rounded = Value::Number(Number::from_f64(0.3).unwrap());
        revision(c, "a", 2).metadata.insert("ratio".to_owned(), rounded);
    }),
    ("a number of another form", "\"a\" differs in metadata", |c| {
        let double = Value::Number(Number::from_f64(3.0).unwrap());
        revision(c, "a", 2).metadata.insert("page".to_owned(), double);
    }),
    ("a number as text", "\"b\" differs in metadata", |c| {
        revision(c, "b", 1).metadata.insert("page".to_owned(), Value::from("3"));
    }),
    ("a lost key", "\"b\" differs in metadata", |c| drop(revision(c, "b", 1).metadata.remove("page"))),
    ("a lost tag", "\"b\" differs in tags", |c| revision(c, "b", 1).tags.clear()),
    ("a turned path", "\"b\" differs in path", |c| revision(c, "b", 1).path.reverse()),
    ("another user", "\"b\" differs in user_id", |c| revision(c, "b", 1).user_id = None),
    ("another thread", "\"b\" differs in thread_id", |c| revision(c, "b", 1).thread_id = None),
    ("another kind", "\"b\" differs in kind", |c| revision(c, "b", 1).kind = "persona".parse().unwrap()),
    ("another source", "\"b\" differs in source", |c| revision(c, "b", 1).source.push('x')),
    ("a salience off by one bit", "\"b\" differs in salience", |c| {
        let off = f64::from_bits(0.3f64.to_bits() + 1);
        revision(c, "b", 1).salience = Ratio::new("salience", off).ok();
    }),
    ("a lost confidence", "\"b\" differs in confidence", |c| revision(c, "b", 1).confidence = None),
    ("a creation a microsecond off", "\"b\" differs in created_at", |c| revision(c, "b", 1).created_at = at(1)),
    ("another time of update", "\"b\" differs in updated_at", |c| revision(c, "b", 1).updated_at = at(9)),
    ("another beginning", "\"b\" differs in valid_from", |c| revision(c, "b", 1).valid_from = at(9)),
    ("a lost end", "\"b\" differs in valid_to", |c| revision(c, "b", 1).valid_to = None),
    ("a lost expiry", "\"b\" differs in expires_at", |c| revision(c, "b", 1).expires_at = None),
    ("a lost successor", "\"b\" differs in superseded_by", |c| revision(c, "b", 1).superseded_by = None),
    ("a lost origin", "\"b\" differs in provenance", |c| revision(c, "b", 1).provenance.events.clear()),
    ("a missing embedding", "embedding of record \"b\"", |c| written(c, "b", 1).embedding = None),
    ("an embedding off by one bit", "embedding of record \"b\"", |c| {
        written(c, "b", 1).embedding = Some(embedding(f32::from_bits(1.0f32.to_bits() + 1)));
    }),
    ("an embedding of another model", "embedding of record \"b\"", |c| {
        let other = EmbeddingModel::new("test", "another", 3, Metric::Cosine).unwrap();
        written(c, "b", 1).embedding = Embedding::new(&other, vec![1.0, 0.5, -0.25]).ok();
    }),
    ("an embedding that was none", "embedding of record \"waits\"", |c| {
        written(c, "waits", 1).embedding = Some(embedding(1.0));
    }),
    ("swapped embeddings", "embedding of record \"a\"", |c| written(c, "a", 2).embedding = Some(embedding(-1.0))),
    ("a revision that is gone", "record \"a\" has 2 revisions", |c| written(c, "a", 1).record = None),
    ("forgotten work", "outstanding work", |c| written(c, "waits", 1).tasks.clear()),
    ("an event's word", "event 2 differs", |c| each_event(c, |event| event.action.push('x'))),
    ("an event's particulars", "event 2 differs", |c| {
        each_event(c, |event| drop(event.payload.insert("text".to_owned(), Value::from("hallo"))));
    }),
    ("an event's time", "event 2 differs", |c| each_event(c, |event| event.timestamp = at(6))),
    ("an event's person", "event 2 differs", |c| {
        each_event(c, |event| event.user_id = Some(UserId::new("boris").unwrap()));
    }),
    ("a salt", "event 1 differs", |c| {
        for change in c.iter_mut().flat_map(|commit| &mut commit.changes) {
            if let PastChange::Appended(entry) = change {
                entry.salt.as_mut().unwrap().0[0] ^= 1;
            }
        }
        relink(c);
    }),
    ("an erased event", "event 2 differs", |c| {
        for change in c.iter_mut().flat_map(|commit| &mut commit.changes) {
            if let PastChange::Appended(entry) = change
                && entry.sequence.0 == 2
            {
                (entry.event, entry.salt) = (None, None);
            }
        }
    }),
    ("a dropped last event", "another length", |c| {
        let last = c.iter().rposition(|commit| matches!(commit.changes[0], PastChange::Appended(_))).unwrap();
        c.truncate(last);
    }),
    ("a slot's text", "version 2 of the slots", |c| slots(c, 2, "judge")),
    ("a swapped slot version", "version 1 of the slots", |c| {
        slots(c, 1, "attorney");
        slots(c, 2, "paralegal");
    }),
    ("a slot that was never there", "version 2 of the slots", |c| {
        for change in c.iter_mut().flat_map(|commit| &mut commit.changes) {
            if let PastChange::Slots { slots, version, .. } = change
                && *version == Version(2)
            {
                slots.insert("extra".to_owned(), "x".to_owned());
            }
        }
    }),
    ("the time of a commit", "change 2:", |c| c[1].at = at(21)),
    ("a missing end", "the feed reaches position", |c| drop(c.pop())),
    ("an equal count with another record", "is only in the target", |c| {
        for change in c.iter_mut().flat_map(|commit| &mut commit.changes) {
            if let PastChange::Written(write) = change
                && write.id.as_str() == "b"
            {
                write.id = RecordId::new("c").unwrap();
                write.record.as_mut().unwrap().id = RecordId::new("c").unwrap();
            }
        }
    }),
    ("a deletion that did not happen", "record \"gone\" is only in the target", |c| {
        for commit in c.iter_mut() {
            if matches!(commit.changes[0], PastChange::Deleted { .. }) {
                let PastChange::Deleted { id, version } = commit.changes[0].clone() else { continue };
                commit.changes[0] = PastChange::Embedded { id, version, embedding: Some(embedding(1.0)) };
            }
        }
    }),
];

/// Replaces a text.
trait Replace {
    fn clear_and(&mut self, text: &str);
}

impl Replace for String {
    fn clear_and(&mut self, text: &str) {
        text.clone_into(self);
    }
}

#[tokio::test]
async fn a_true_copy_differs_in_nothing() {
    let (source, commits) = lived().await;
    let found = compared(&source, &commits).await;
    assert_eq!(found.differences, [""; 0]);
    assert_eq!((found.records, found.revisions, found.embeddings), (4, 6, 2), "{found:?}");
    assert_eq!((found.events, found.threads, found.slots, found.changes), (3, 1, 2, 11), "{found:?}");
}

#[tokio::test]
async fn every_lie_is_named() {
    let (source, commits) = lived().await;
    for (what, told, lie) in LIES {
        let mut bent = commits.clone();
        lie(&mut bent);
        // By letter: numbers of different forms are equal.
        assert!(format!("{bent:?}") != format!("{commits:?}"), "{what}: the lie changed nothing");
        let found = compared(&source, &bent).await;
        assert!(
            found.differences.iter().any(|difference| difference.contains(told)),
            "{what}: {:?}",
            found.differences
        );
        assert!(found.differing >= 1, "{what}");
    }
}

/// What a comparison that only counts would say: it misses nearly all of them.
#[tokio::test]
async fn counting_finds_few_of_them() {
    let (source, commits) = lived().await;
    let counts = async |ledger: &InMemoryLedger| {
        let report = ledger.report(&namespace()).await.unwrap();
        (report.records, report.embeddings, report.revisions, report.events, report.threads_with_slots)
    };
    let mut missed = 0;
    for (.., lie) in LIES {
        let mut bent = commits.clone();
        lie(&mut bent);
        let target = InMemoryLedger::new();
        target.repeat(&namespace(), &bent).await.unwrap();
        missed += usize::from(counts(&source).await == counts(&target).await);
    }
    assert!(missed > LIES.len() * 3 / 4, "{missed} of {}", LIES.len());
}
