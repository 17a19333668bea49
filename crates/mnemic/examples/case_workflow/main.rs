//! A legal case's workflow: log event → reflect → retrieve → update slots, with a model that decides what is worth keeping.
//! Not here: commands, roles and real models; `examples/agents` has them, in Python.

#![expect(clippy::print_stdout, reason = "an example shows its answer")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use async_trait::async_trait;
use mnemic::{
    Error, ErrorKind, EventId, Field, Filter, MemoryManager, MemoryRecord, NewEvent, NewRecord, Order, PageRequest,
    Precondition, Provenance, Query, RecordId, RecordKind, Result, SetSlots, SlotMode, Slots, ThreadId, Timestamp,
    UserId, VersionedSlots, WriteOptions,
};
use serde::Deserialize;

const ATTEMPTS: usize = 3;
const RECALLED: usize = 6;
const LINES: usize = 12;

/// What a model is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Task {
    /// Which facts a message holds, and which of the open loops they settle (numbers from 1).
    Reflect { message: String, open_loops: Vec<String> },
    /// The summary so far, with the message in it.
    Summarize { summary: String, message: String },
}

/// What answers such questions with a text.
#[async_trait]
trait Model: Send + Sync {
    async fn complete(&self, task: &Task) -> Result<String>;
}

/// One statement that a model found worth keeping.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fact {
    kind: String,
    text: String,
    #[serde(default)]
    closes: Vec<usize>,
}

/// A message about a case. The same event id and time are the same message, which is kept once.
#[derive(Clone, Debug)]
struct Message {
    event_id: EventId,
    at: Timestamp,
    case_id: String,
    user_id: UserId,
    text: String,
}

impl Message {
    fn thread(&self) -> Result<ThreadId> {
        ThreadId::new(format!("case/{}", self.case_id))
    }

    fn of_case(&self) -> Filter {
        Filter::equals(metadata("case_id"), &self.case_id).and(Filter::equals(Field::UserId, self.user_id.as_str()))
    }

    fn of_event(&self) -> Filter {
        Filter::equals(metadata("event_id"), self.event_id.as_str())
    }
}

/// What the steps made of a message.
#[derive(Debug)]
struct Outcome {
    learned: Vec<MemoryRecord>,
    recalled: Vec<MemoryRecord>,
    slots: VersionedSlots,
}

/// The steps, on the memory of one client. Each may be repeated.
struct CaseWorkflow {
    memory: MemoryManager,
    model: Arc<dyn Model>,
}

impl CaseWorkflow {
    async fn run(&self, message: &Message) -> Result<Outcome> {
        self.log_event(message).await?;
        let learned = self.reflect(message).await?;
        let recalled = self.retrieve(message).await?;
        let slots = self.update_slots(message, &learned, &recalled).await?;
        Ok(Outcome { learned, recalled, slots })
    }

    async fn log_event(&self, message: &Message) -> Result<()> {
        let event = NewEvent::new(message.thread()?, message.user_id.as_str(), "message")
            .with_event_id(message.event_id.clone())
            .with_timestamp(message.at)
            .with_user_id(message.user_id.clone())
            .with_payload("text", message.text.as_str());
        self.memory.log_audit(event).await.map(|_| ())
    }

    /// Lets the model decide which facts the message holds, and keeps them together with the loops that they close.
    async fn reflect(&self, message: &Message) -> Result<Vec<MemoryRecord>> {
        let known = self.memory.list(&message.of_event(), None, &PageRequest::largest()).await?.items;
        if !known.is_empty() {
            return Ok(known);
        }
        let mut attempt = 1;
        loop {
            let loops = self.open_loops(message).await?;
            let open_loops = loops.iter().map(|open| open.text.clone()).collect();
            let answer = self.model.complete(&Task::Reflect { message: message.text.clone(), open_loops }).await?;
            let drafts = drafts(message, &read_facts(&answer)?, loops)?;
            if drafts.is_empty() {
                return Ok(Vec::new());
            }
            match self.memory.write(drafts, &WriteOptions::default()).await {
                Ok(_) => return Ok(self.memory.list(&message.of_event(), None, &PageRequest::largest()).await?.items),
                // Another message closed a loop in between: the model decides again on what is open now.
                Err(error) if error.kind() == ErrorKind::Conflict && attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Finds what was known of the case before and is about the message.
    async fn retrieve(&self, message: &Message) -> Result<Vec<MemoryRecord>> {
        let known = Filter::equals(Field::Kind, RecordKind::Semantic.as_str());
        let query = Query {
            limit: Some(RECALLED),
            filter: message.of_case().and(known).and(Filter::Not(Box::new(message.of_event()))),
            ..Query::new(message.text.as_str())
        };
        Ok(self.memory.retrieve(&query).await?.hits.into_iter().map(|hit| hit.record).collect())
    }

    /// Sets the case's slots on the version that was read; another message's summary is carried on, never lost.
    async fn update_slots(
        &self,
        message: &Message,
        learned: &[MemoryRecord],
        recalled: &[MemoryRecord],
    ) -> Result<VersionedSlots> {
        let thread = message.thread()?;
        let facts = learned.iter().filter(|record| record.kind == RecordKind::Semantic).chain(recalled);
        let facts = lines(facts);
        let mut attempt = 1;
        loop {
            let before = self.memory.slots(&thread, None).await?;
            let summary = before.slots.get("recent_summary").cloned().unwrap_or_default();
            let summary = self.model.complete(&Task::Summarize { summary, message: message.text.clone() }).await?;
            let changes = Slots::from([
                ("persona".to_owned(), lines(&self.persona(message).await?)),
                ("long_term_facts".to_owned(), facts.clone()),
                ("open_loops".to_owned(), lines(&self.open_loops(message).await?)),
                ("recent_summary".to_owned(), summary),
            ]);
            let changes = changes.into_iter().map(|(name, text)| (name, Some(text))).collect();
            let how = SetSlots { mode: SlotMode::Merge, expect: Precondition::Version(before.version) };
            match self.memory.set_slots(&thread, changes, how).await {
                Err(error) if error.kind() == ErrorKind::Conflict && attempt < ATTEMPTS => attempt += 1,
                settled => return settled,
            }
        }
    }

    async fn open_loops(&self, message: &Message) -> Result<Vec<MemoryRecord>> {
        self.standing(message.of_case(), RecordKind::OpenLoop).await
    }

    async fn persona(&self, message: &Message) -> Result<Vec<MemoryRecord>> {
        self.standing(Filter::equals(Field::UserId, message.user_id.as_str()), RecordKind::Persona).await
    }

    /// The newest records of a kind that nothing superseded.
    async fn standing(&self, whose: Filter, kind: RecordKind) -> Result<Vec<MemoryRecord>> {
        let standing = Filter::Not(Box::new(Filter::Exists(Field::SupersededBy)));
        let filter = whose.and(Filter::equals(Field::Kind, kind.as_str())).and(standing);
        let page = PageRequest::first(LINES)?.ordered(Order::Newest);
        Ok(self.memory.list(&filter, None, &page).await?.items)
    }
}

fn metadata(key: &str) -> Field {
    Field::Metadata(vec![key.to_owned()])
}

/// The texts as lines, each once and so many at most that a prompt stays short.
fn lines<'a>(records: impl IntoIterator<Item = &'a MemoryRecord>) -> String {
    let mut seen = BTreeSet::new();
    let texts = records.into_iter().map(|record| record.text.as_str()).filter(|text| seen.insert(*text));
    texts.take(LINES).collect::<Vec<_>>().join("\n")
}

fn read_facts(answer: &str) -> Result<Vec<Fact>> {
    serde_json::from_str(answer).map_err(|fault| {
        Error::invalid("facts", "a list of {kind, text, closes}", format!("a fault: {fault}")).with_source(fault)
    })
}

/// The records of the facts, and the loops that they settle, each pointing to the first fact that settles it.
fn drafts(message: &Message, facts: &[Fact], loops: Vec<MemoryRecord>) -> Result<Vec<NewRecord>> {
    let mut drafts = Vec::new();
    let mut closed = BTreeMap::new();
    for (position, fact) in facts.iter().enumerate() {
        // Derived from the event, so that a step that is repeated after a crash writes the same records.
        let id = RecordId::new(format!("{}/{position}", message.event_id))?;
        for number in &fact.closes {
            if !(1..=loops.len()).contains(number) {
                let expected = format!("numbers of {} open loops", loops.len());
                return Err(Error::invalid(format!("facts[{position}].closes"), expected, number));
            }
            closed.entry(*number).or_insert_with(|| id.clone());
        }
        let provenance = Provenance { events: BTreeSet::from([message.event_id.clone()]), ..Provenance::default() };
        drafts.push(
            NewRecord::new(fact.text.as_str())
                .with_id(id)
                .with_user_id(message.user_id.clone())
                .with_thread_id(message.thread()?)
                .with_kind(fact.kind.parse()?)
                .with_metadata("case_id", message.case_id.as_str())
                .with_metadata("event_id", message.event_id.as_str())
                .with_provenance(provenance),
        );
    }
    for (number, open) in (1..).zip(loops) {
        let Some(by) = closed.remove(&number) else { continue };
        let expect = Precondition::Version(open.version);
        let draft = NewRecord::from(open);
        drafts.push(NewRecord { superseded_by: Some(by), updated_at: None, ..draft.with_expect(expect) });
    }
    Ok(drafts)
}

/// A model that says what its script has for a message.
struct ScriptedModel(Vec<(&'static str, &'static str, &'static str)>);

#[async_trait]
impl Model for ScriptedModel {
    async fn complete(&self, task: &Task) -> Result<String> {
        let (Task::Reflect { message, .. } | Task::Summarize { message, .. }) = task;
        let (_, facts, summary) = self
            .0
            .iter()
            .find(|(about, ..)| about == message)
            .ok_or_else(|| Error::not_found("an answer of the script to this message"))?;
        Ok(match task {
            Task::Reflect { .. } => *facts,
            Task::Summarize { .. } => *summary,
        }
        .to_owned())
    }
}

const FIRST: &str = "I prefer Russian. My OPT ends on June 30, 2026. What do you need from me?";
const SECOND: &str = "Here is my passport copy. Does my OPT really end on June 30?";

fn script() -> ScriptedModel {
    ScriptedModel(vec![
        (
            FIRST,
            r#"[{"kind": "persona", "text": "Anna prefers Russian."},
                {"kind": "semantic", "text": "Anna's OPT ends on June 30, 2026."},
                {"kind": "open_loop", "text": "Anna sends her passport copy."}]"#,
            "Anna's OPT ends in June; her passport copy is missing.",
        ),
        (
            SECOND,
            r#"[{"kind": "semantic", "text": "Anna sent her passport copy.", "closes": [1]}]"#,
            "Anna's OPT ends in June; her passport copy is here.",
        ),
    ])
}

fn message(event_id: &str, at: &str, text: &str) -> Result<Message> {
    Ok(Message {
        event_id: EventId::new(event_id)?,
        at: Timestamp::parse("at", at)?,
        case_id: "o1a".to_owned(),
        user_id: UserId::new("anna")?,
        text: text.to_owned(),
    })
}

/// Two messages of a client; told again, they change nothing but the version of the slots.
async fn tell(directory: &Path) -> Result<Vec<Outcome>> {
    let memory = MemoryManager::embedded(directory)?.in_namespace("client-anna".parse()?);
    let workflow = CaseWorkflow { memory, model: Arc::new(script()) };
    let mut told = Vec::new();
    for given in [message("evt-1", "2026-03-02T09:00:00Z", FIRST)?, message("evt-2", "2026-03-04T16:30:00Z", SECOND)?] {
        told.push(workflow.run(&given).await?);
    }
    workflow.memory.close().await?;
    Ok(told)
}

#[tokio::main]
async fn main() -> Result<()> {
    for outcome in tell(Path::new("./memory")).await? {
        for record in &outcome.learned {
            println!("learned ({}): {}", record.kind.as_str(), record.text);
        }
        for record in &outcome.recalled {
            println!("recalled: {}", record.text);
        }
        for (name, text) in &outcome.slots.slots {
            println!("{name}: {}", text.replace('\n', " | "));
        }
        println!();
    }
    Ok(())
}

#[cfg(test)]
mod tests;
