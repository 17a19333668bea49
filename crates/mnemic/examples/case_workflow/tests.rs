//! The workflow on a memory in this process and on one in a directory. Not here: the example's own story (`main`).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use mnemic::ports::EventRange;

use super::*;

/// The memories that every test runs on, and what keeps their directories.
fn memories() -> (tempfile::TempDir, [MemoryManager; 2]) {
    let place = tempfile::tempdir().unwrap();
    let embedded = MemoryManager::embedded(place.path().join("memory")).unwrap();
    (place, [MemoryManager::dev().unwrap(), embedded])
}

fn first() -> Message {
    message("evt-1", "2026-03-02T09:00:00Z", FIRST).unwrap()
}

fn second() -> Message {
    message("evt-2", "2026-03-04T16:30:00Z", SECOND).unwrap()
}

fn texts(records: &[MemoryRecord]) -> Vec<&str> {
    records.iter().map(|record| record.text.as_str()).collect()
}

async fn events(memory: &MemoryManager) -> usize {
    let range = EventRange { thread_id: Some(first().thread().unwrap()), ..EventRange::default() };
    memory.events(&range, &PageRequest::largest()).await.unwrap().items.len()
}

/// Answers in order, whatever it is asked, and keeps what it was asked.
#[derive(Default)]
struct InOrder {
    answers: Mutex<Vec<&'static str>>,
    asked: Mutex<Vec<Task>>,
}

impl InOrder {
    fn new(answers: &[&'static str]) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers.to_vec()), asked: Mutex::default() })
    }
}

#[async_trait]
impl Model for InOrder {
    async fn complete(&self, task: &Task) -> Result<String> {
        self.asked.lock().unwrap().push(task.clone());
        let mut answers = self.answers.lock().unwrap();
        if answers.is_empty() {
            return Err(Error::new(ErrorKind::Unavailable, "the script is at its end"));
        }
        Ok(answers.remove(0).to_owned())
    }
}

type Disturbance = Box<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// A model during whose first answer something else happens.
struct Disturbed {
    inner: Arc<InOrder>,
    disturb: Disturbance,
    done: AtomicBool,
}

#[async_trait]
impl Model for Disturbed {
    async fn complete(&self, task: &Task) -> Result<String> {
        let answer = self.inner.complete(task).await;
        if !self.done.swap(true, Ordering::SeqCst) {
            (self.disturb)().await;
        }
        answer
    }
}

#[tokio::test]
async fn a_message_becomes_an_event_records_with_provenance_and_slots() {
    let (_place, memories) = memories();
    for memory in memories {
        let workflow = CaseWorkflow { memory, model: Arc::new(script()) };
        let outcome = workflow.run(&first()).await.unwrap();
        assert_eq!(events(&workflow.memory).await, 1);
        let kinds: Vec<_> = outcome.learned.iter().map(|record| record.kind).collect();
        assert_eq!(kinds, [RecordKind::Persona, RecordKind::Semantic, RecordKind::OpenLoop]);
        for record in &outcome.learned {
            assert_eq!(record.provenance.events, BTreeSet::from([first().event_id]));
            assert_eq!(record.thread_id, Some(first().thread().unwrap()));
        }
        assert!(outcome.recalled.is_empty());
        let slots = Slots::from([
            ("persona".into(), "Anna prefers Russian.".into()),
            ("long_term_facts".into(), "Anna's OPT ends on June 30, 2026.".into()),
            ("open_loops".into(), "Anna sends her passport copy.".into()),
            ("recent_summary".into(), "Anna's OPT ends in June; her passport copy is missing.".into()),
        ]);
        assert_eq!(outcome.slots.slots, slots);
        assert_eq!(workflow.memory.slots(&first().thread().unwrap(), None).await.unwrap(), outcome.slots);
    }
}

#[tokio::test]
async fn a_later_message_recalls_closes_loops_and_carries_the_summary_on() {
    let (_place, memories) = memories();
    for memory in memories {
        let model = InOrder::new(&[script().0[0].1, "Summary one.", script().0[1].1, "Summary two."]);
        let workflow = CaseWorkflow { memory, model: Arc::clone(&model) as Arc<dyn Model> };
        let begun = workflow.run(&first()).await.unwrap();
        let outcome = workflow.run(&second()).await.unwrap();
        {
            let asked = model.asked.lock().unwrap();
            let open_loops = vec!["Anna sends her passport copy.".to_owned()];
            assert_eq!(asked[2], Task::Reflect { message: SECOND.into(), open_loops });
            assert_eq!(asked[3], Task::Summarize { summary: "Summary one.".into(), message: SECOND.into() });
        }
        assert_eq!(texts(&outcome.recalled), ["Anna's OPT ends on June 30, 2026."]);
        assert_eq!(outcome.slots.slots["open_loops"], "");
        assert_eq!(
            outcome.slots.slots["long_term_facts"],
            "Anna sent her passport copy.\nAnna's OPT ends on June 30, 2026."
        );
        let closed = workflow.memory.get(&[begun.learned[2].id.clone()], None).await.unwrap();
        let closed = closed[0].as_ref().unwrap();
        assert_eq!(closed.superseded_by, Some(outcome.learned[0].id.clone()));
        assert_eq!(closed.provenance.events, BTreeSet::from([first().event_id]));
    }
}

#[tokio::test]
async fn the_same_message_again_is_kept_once() {
    let (_place, memories) = memories();
    for memory in memories {
        let workflow = CaseWorkflow { memory, model: Arc::new(script()) };
        let once = workflow.run(&first()).await.unwrap();
        let twice = workflow.run(&first()).await.unwrap();
        assert_eq!(once.learned, twice.learned);
        assert_eq!(once.slots.slots, twice.slots.slots);
        assert_eq!(events(&workflow.memory).await, 1);
    }
}

#[tokio::test]
async fn another_case_and_another_client_stay_out() {
    let (_place, memories) = memories();
    for memory in memories {
        let workflow = CaseWorkflow { memory, model: Arc::new(script()) };
        workflow.run(&first()).await.unwrap();
        let other_case = Message { case_id: "i485".into(), event_id: "evt-3".parse().unwrap(), ..second() };
        let model = InOrder::new(&["[]", "S.", "[]", "S."]);
        let workflow = CaseWorkflow { model, ..workflow };
        let outcome = workflow.run(&other_case).await.unwrap();
        assert!(outcome.recalled.is_empty());
        assert_eq!(outcome.slots.slots["open_loops"], "");
        assert_eq!(outcome.slots.slots["persona"], "Anna prefers Russian.");
        let memory = workflow.memory.in_namespace("client-tobenna".parse().unwrap());
        let outcome = CaseWorkflow { memory, ..workflow }.run(&second()).await.unwrap();
        assert!(outcome.recalled.is_empty());
        assert_eq!(outcome.slots.slots["persona"], "");
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_used_keeps_the_event_and_nothing_else() {
    for (answer, told) in [
        ("Sorry?", "facts: expected a list"),
        (r#"[{"kind": "rumor", "text": "x"}]"#, "kind: expected one of"),
        (r#"[{"kind": "semantic", "text": "x", "closes": [1]}]"#, "facts[0].closes: expected numbers of 0 open loops"),
    ] {
        let (_place, memories) = memories();
        for memory in memories {
            let workflow = CaseWorkflow { memory, model: InOrder::new(&[answer]) };
            let error = workflow.run(&first()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(told), "{error}");
            assert_eq!(events(&workflow.memory).await, 1);
            let kept = workflow.memory.list(&Filter::all(), None, &PageRequest::largest()).await.unwrap();
            assert!(kept.items.is_empty());
            // The same message again goes on from there.
            let workflow = CaseWorkflow { model: Arc::new(script()), ..workflow };
            assert_eq!(workflow.run(&first()).await.unwrap().learned.len(), 3);
            assert_eq!(events(&workflow.memory).await, 1);
        }
    }
}

#[tokio::test]
async fn a_loop_that_another_message_closed_meanwhile_is_decided_on_again() {
    let (_place, memories) = memories();
    for memory in memories {
        let workflow = CaseWorkflow { memory: memory.clone(), model: Arc::new(script()) };
        let passport = workflow.run(&first()).await.unwrap().learned[2].clone();
        let inner = InOrder::new(&[script().0[1].1, r#"[{"kind": "semantic", "text": "It came again."}]"#, "S."]);
        let (elsewhere, id) = (memory.clone(), passport.id.clone());
        let disturb: Disturbance = Box::new(move || {
            let (elsewhere, passport) = (elsewhere.clone(), passport.clone());
            Box::pin(async move {
                let by = Some("theirs".parse().unwrap());
                let closed = NewRecord { superseded_by: by, ..NewRecord::from(passport) };
                elsewhere.write(vec![closed], &WriteOptions::default()).await.unwrap();
            })
        });
        let model = Disturbed { inner: Arc::clone(&inner), disturb, done: AtomicBool::new(false) };
        let outcome = CaseWorkflow { model: Arc::new(model), ..workflow }.run(&second()).await.unwrap();
        assert_eq!(inner.asked.lock().unwrap()[1], Task::Reflect { message: SECOND.into(), open_loops: vec![] });
        assert_eq!(texts(&outcome.learned), ["It came again."]);
        let closed = memory.get(&[id], None).await.unwrap();
        assert_eq!(closed[0].as_ref().unwrap().superseded_by, Some("theirs".parse().unwrap()));
    }
}

#[tokio::test]
async fn slots_that_another_message_set_meanwhile_are_built_upon() {
    let (_place, memories) = memories();
    for memory in memories {
        let elsewhere = memory.clone();
        let disturb: Disturbance = Box::new(move || {
            let elsewhere = elsewhere.clone();
            Box::pin(async move {
                let theirs = BTreeMap::from([("recent_summary".to_owned(), Some("Theirs.".to_owned()))]);
                elsewhere.set_slots(&first().thread().unwrap(), theirs, SetSlots::default()).await.unwrap();
            })
        });
        let inner = InOrder::new(&["Ours.", "Theirs and ours."]);
        let model = Disturbed { inner: Arc::clone(&inner), disturb, done: AtomicBool::new(false) };
        let workflow = CaseWorkflow { memory, model: Arc::new(model) };
        let slots = workflow.update_slots(&first(), &[], &[]).await.unwrap();
        let carried = Task::Summarize { summary: "Theirs.".into(), message: FIRST.into() };
        assert_eq!(inner.asked.lock().unwrap()[1], carried);
        assert_eq!(slots.slots["recent_summary"], "Theirs and ours.");
        assert_eq!(slots.version.0, 2);
    }
}

#[tokio::test]
async fn the_story_is_told_twice_and_the_second_time_adds_nothing() {
    let place = tempfile::tempdir().unwrap();
    let once = tell(&place.path().join("memory")).await.unwrap();
    // Another process would see the same: everything comes from the directory.
    let twice = tell(&place.path().join("memory")).await.unwrap();
    for (once, twice) in once.iter().zip(&twice) {
        assert_eq!(texts(&once.learned), texts(&twice.learned));
    }
    assert_eq!(once[1].slots.slots, twice[1].slots.slots);
    assert_eq!(once[1].slots.slots["open_loops"], "");
    let memory = MemoryManager::embedded(place.path().join("memory")).unwrap();
    let memory = memory.in_namespace("client-anna".parse().unwrap());
    assert_eq!(events(&memory).await, 2);
    let kept = memory.list(&Filter::all(), None, &PageRequest::largest()).await.unwrap();
    assert_eq!(kept.items.len(), 4);
}
