//! Reflection: what an event says that is worth remembering. Not here: committing event and records together (the manager).

use std::fmt::Debug;

use super::audit::digest;
use crate::{
    AuditEvent, MemoryRecord, Object, Ratio, RecordId, RecordKind, Result, Timestamp, Value, value::check_object,
};

/// Turns an event into records. Must be a function of the event alone, so that writing the same event again changes nothing.
pub trait ReflectionPolicy: Debug + Send + Sync + 'static {
    /// The records that the event gives rise to, with their provenance set.
    ///
    /// # Errors
    /// `InvalidInput` if the event holds something that no record can.
    fn reflect(&self, event: &AuditEvent, now: Timestamp) -> Result<Vec<MemoryRecord>>;
}

/// The default: the payload's text becomes one record, each of its `facts` another.
///
/// The text is the first of `text`, `content`, `message`, `summary`, `fact`, `note`, `description` that is a string; without
/// one, the payload's strings and numbers in order of their keys. The kind is the payload's `kind`, else it follows from the
/// action. What else the payload holds becomes metadata.
#[derive(Clone, Copy, Debug, Default)]
pub struct TextReflection;

const TEXT_KEYS: [&str; 7] = ["text", "content", "message", "summary", "fact", "note", "description"];

impl ReflectionPolicy for TextReflection {
    fn reflect(&self, event: &AuditEvent, now: Timestamp) -> Result<Vec<MemoryRecord>> {
        let text_key = TEXT_KEYS.into_iter().find(|key| event.payload.get(*key).and_then(Value::as_str).is_some());
        let text = match text_key.and_then(|key| event.payload.get(key)).and_then(Value::as_str) {
            Some(text) => text.to_owned(),
            None => scalars(event),
        };
        let mut records = Vec::new();
        if !text.trim().is_empty() {
            let kind = stated_kind(event).unwrap_or_else(|| kind_of(&event.action));
            records.push(record(event, records.len(), text, kind, now)?);
        }
        if let Some(Value::Array(facts)) = event.payload.get("facts") {
            for fact in facts.iter().filter_map(Value::as_str).filter(|fact| !fact.trim().is_empty()) {
                records.push(record(event, records.len(), fact.to_owned(), RecordKind::Semantic, now)?);
            }
        }
        let stated = stated_kind(event).is_some();
        let left = |key: &String| {
            text_key != Some(key.as_str())
                && key != "facts"
                && !(stated && key == "kind")
                && key != "salience"
                && key != "confidence"
        };
        let metadata: Object = event
            .payload
            .iter()
            .filter(|(key, _)| left(key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        for record in &mut records {
            record.metadata = metadata.clone();
            // The payload's own words come first, and a payload at its limits leaves no room for another key.
            if !record.metadata.contains_key("action") {
                record.metadata.insert("action".to_owned(), Value::from(event.action.as_str()));
                if check_object("metadata", &record.metadata).is_err() {
                    record.metadata.remove("action");
                }
            }
        }
        Ok(records)
    }
}

/// The payload's strings and numbers as `key: value`, in order of their keys; empty if there are none.
fn scalars(event: &AuditEvent) -> String {
    let parts: Vec<String> = event
        .payload
        .iter()
        .filter_map(|(key, value)| match value {
            Value::String(text) => Some(format!("{key}: {text}")),
            Value::Number(number) => Some(format!("{key}: {number}")),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        })
        .collect();
    parts.join("; ")
}

/// The kind that the payload states. Another use of the word (a visa's kind, say) is no statement.
fn stated_kind(event: &AuditEvent) -> Option<RecordKind> {
    event.payload.get("kind").and_then(Value::as_str)?.parse().ok()
}

fn kind_of(action: &str) -> RecordKind {
    let action = action.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| action.contains(word));
    if says(&["preference", "persona", "style"]) {
        RecordKind::Persona
    } else if says(&["deadline", "todo", "task", "open", "request", "question"]) {
        RecordKind::OpenLoop
    } else if says(&["fact", "correct", "profile", "decision", "update"]) {
        RecordKind::Semantic
    } else {
        RecordKind::Episodic
    }
}

fn record(event: &AuditEvent, position: usize, text: String, kind: RecordKind, now: Timestamp) -> Result<MemoryRecord> {
    let ratio = |field: &str| match event.payload.get(field) {
        Some(Value::Number(number)) => {
            Ratio::new(field, number.as_f64()).map(Some).map_err(|error| error.within("payload"))
        }
        _ => Ok(None),
    };
    // Derived from the event, so that the same event always makes the same records.
    let mark = digest(format!("mnemic.reflection.v1\0{}\0{position}", event.event_id).as_bytes()).to_string();
    let id = RecordId::new(format!("r-{}", mark.get(..32).unwrap_or(&mark)))?;
    let mut record = MemoryRecord::new(id, text, now);
    record.user_id.clone_from(&event.user_id);
    record.thread_id = Some(event.thread_id.clone());
    record.kind = kind;
    record.tags.clone_from(&event.tags);
    record.source.clone_from(&event.source);
    record.salience = ratio("salience")?;
    record.confidence = ratio("confidence")?;
    // What happened is known to hold from when it happened; an event from the future starts to hold then.
    record.created_at = event.timestamp.min(now);
    record.valid_from = event.timestamp;
    record.provenance.events.insert(event.event_id.clone());
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EventId, ThreadId};

    fn event(action: &str, payload: &[(&str, Value)]) -> AuditEvent {
        AuditEvent {
            event_id: EventId::new("e1").unwrap(),
            timestamp: "2026-01-05T10:00:00Z".parse().unwrap(),
            user_id: None,
            thread_id: ThreadId::new("t").unwrap(),
            source: "attorney".into(),
            action: action.into(),
            payload: payload.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
            tags: ["fee".to_owned()].into(),
        }
    }

    fn reflect(event: &AuditEvent) -> Vec<MemoryRecord> {
        TextReflection.reflect(event, "2026-02-01T00:00:00Z".parse().unwrap()).unwrap()
    }

    #[test]
    fn the_text_and_each_fact_become_records_that_name_the_event() {
        let facts = Value::Array(vec!["The fee is 1055".into(), "  ".into(), "It is paid by check".into()]);
        let records = reflect(&event(
            "message",
            &[("text", "We talked about fees".into()), ("facts", facts), ("form", "I-129".into())],
        ));
        assert_eq!(records.len(), 3);
        assert_eq!((records[0].kind, records[1].kind), (RecordKind::Episodic, RecordKind::Semantic));
        assert!(records.iter().all(|r| r.provenance.events.contains("e1") && r.metadata.contains_key("form")));
        assert_eq!(records[0].created_at, "2026-01-05T10:00:00Z".parse().unwrap());
    }

    #[test]
    fn the_same_event_always_makes_the_same_records() {
        let event = event("fact_corrected", &[("text", "The hearing moved".into())]);
        assert_eq!(reflect(&event), reflect(&event));
        assert_eq!(reflect(&event)[0].kind, RecordKind::Semantic);
    }

    #[test]
    fn an_event_without_text_is_told_by_its_values_and_an_empty_one_not_at_all() {
        assert_eq!(
            reflect(&event("test_action", &[("data", "test".into()), ("n", 2i64.into())]))[0].text,
            "data: test; n: 2"
        );
        assert!(reflect(&event("ping", &[])).is_empty());
    }
}
