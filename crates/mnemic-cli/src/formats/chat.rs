//! Chat transcripts: JSON Lines with `role` and `content`, optionally `timestamp`, `name`, `thread`, `id`, `metadata`.
//! Not here: deciding what of a chat is worth keeping; every message becomes one episodic record.

use mnemic::{
    Error, NewRecord, Object, RecordId, RecordKind, Result, ThreadId, Timestamp, UserId, Value, policy::audit,
};

use super::{
    Item, What, dates,
    fields::{Keys, shown},
};

/// What the command line says about every message of a file.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChatDefaults {
    /// The thread of messages that name none.
    pub thread: Option<ThreadId>,
    /// The user whom all messages are about; without it, the `name` of the one who says it.
    pub user: Option<UserId>,
}

/// Reads the message at position `line`.
pub(super) fn read(object: &Object, line: u64, defaults: &ChatDefaults) -> Result<Option<Item>> {
    // Transcripts of every tool carry keys of their own (tool calls, model names), which say nothing to remember.
    let keys = Keys::any(object);
    let role = keys.needed("role")?;
    let words = content(keys.get("content"))?;
    if words.trim().is_empty() {
        return Ok(None);
    }
    let name = keys.string("name")?;
    let thread = match keys.string("thread")? {
        Some(thread) => Some(
            ThreadId::new(thread).map_err(|error| Error::new(error.kind(), error.message()).with_field("thread"))?,
        ),
        None => defaults.thread.clone(),
    };
    let id = match keys.string("id")? {
        Some(id) => RecordId::new(id)?,
        None => message_id(line, role, &words, (thread.as_ref(), defaults.user.as_ref()))?,
    };
    let mut draft = NewRecord::new(format!("{}: {words}", name.unwrap_or(role)))
        .with_id(id)
        .with_kind(RecordKind::Episodic)
        .with_source(name.unwrap_or(role))
        .with_metadata("role", role);
    draft.thread_id = thread;
    draft.user_id = match (&defaults.user, name) {
        (Some(user), _) => Some(user.clone()),
        (None, Some(name)) => Some(UserId::new(name)?),
        (None, None) => None,
    };
    if let Some(at) = timestamp(keys.get("timestamp"))? {
        (draft.created_at, draft.updated_at, draft.valid_from) = (Some(at), Some(at), Some(at));
    }
    Ok(Some(Item { place: None, what: What::record(draft) }))
}

/// The words of a message: a string, or a list of parts of which those with `text` count.
fn content(value: Option<&Value>) -> Result<String> {
    match value {
        None => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Array(parts)) => {
            let text = |part: &Value| match part {
                Value::String(text) => Some(text.clone()),
                part => part.as_object()?.get("text")?.as_str().map(str::to_owned),
            };
            Ok(parts.iter().filter_map(text).collect::<Vec<_>>().join("\n"))
        }
        Some(other) => Err(Error::invalid("content", "a string or a list of parts", shown(other))),
    }
}

/// An RFC 3339 time or another known form, or seconds (or milliseconds) since 1970.
fn timestamp(value: Option<&Value>) -> Result<Option<Timestamp>> {
    match value {
        None => Ok(None),
        Some(Value::String(text)) => dates::parse("timestamp", text).map(Some),
        Some(Value::Number(number)) => dates::from_number("timestamp", number).map(Some),
        Some(other) => Err(Error::invalid("timestamp", "a time", shown(other))),
    }
}

/// The same message at the same place has the same id, so that importing a file again, or a longer version of it, adds only
/// what is new. The place counts because people repeat themselves.
fn message_id(
    line: u64,
    role: &str,
    words: &str,
    (thread, user): (Option<&ThreadId>, Option<&UserId>),
) -> Result<RecordId> {
    let thread = thread.map_or("", |thread| thread.as_str());
    let user = user.map_or("", |user| user.as_str());
    let said = format!("mnemic.chat.v1\0{thread}\0{user}\0{line}\0{role}\0{words}");
    let mark = audit::digest(said.as_bytes()).to_string();
    RecordId::new(format!("chat-{}", mark.get(..32).unwrap_or(&mark)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(line: &str) -> Result<Option<NewRecord>> {
        let defaults = ChatDefaults { thread: Some(ThreadId::new("support").unwrap()), user: None };
        let item = read(&mnemic::wire::json::parse_object(line).unwrap(), 3, &defaults)?;
        Ok(item.map(|item| match item.what {
            What::Record { draft, .. } => *draft,
            other => panic!("expected a record, found {other:?}"),
        }))
    }

    #[test]
    fn a_message_becomes_a_record_in_its_thread_at_its_time() {
        let line = r#"{"role":"user","name":"Ann","content":"I moved to Riga","timestamp":1700000000,"thread":"t-1","model":"x"}"#;
        let record = draft(line).unwrap().unwrap();
        assert_eq!(record.text, "Ann: I moved to Riga");
        assert_eq!(record.thread_id.unwrap().as_str(), "t-1");
        assert_eq!(record.user_id.unwrap().as_str(), "Ann");
        assert_eq!(record.created_at.unwrap().to_string(), "2023-11-14T22:13:20Z");
    }

    #[test]
    fn parts_are_joined_and_a_message_without_words_is_passed_over() {
        let record = draft(
            r#"{"role":"user","content":[{"type":"text","text":"a"},{"type":"image"},{"type":"text","text":"b"}]}"#,
        );
        assert_eq!(record.unwrap().unwrap().text, "user: a\nb");
        assert_eq!(draft(r#"{"role":"assistant","content":null,"tool_calls":[]}"#).unwrap(), None);
    }

    #[test]
    fn seconds_and_finer_units_are_told_apart() {
        let at = |stamp: &str| {
            let line = format!(r#"{{"role":"user","content":"x","timestamp":{stamp}}}"#);
            draft(&line).unwrap().unwrap().created_at.unwrap().to_string()
        };
        for finer in ["1700000000000", "1700000000000000", "1700000000000000000"] {
            assert_eq!(at("1700000000"), at(finer));
        }
        assert_eq!(at("1700000000.5"), "2023-11-14T22:13:20.5Z");
    }

    #[test]
    fn ids_are_stable_and_differ_by_place() {
        let object = mnemic::wire::json::parse_object(r#"{"role":"user","content":"ok"}"#).unwrap();
        let id = |line| match read(&object, line, &ChatDefaults::default()).unwrap().unwrap().what {
            What::Record { draft, .. } => draft.id.unwrap(),
            other => panic!("expected a record, found {other:?}"),
        };
        assert_eq!(id(1), id(1));
        assert_ne!(id(1), id(2));
    }

    #[test]
    fn a_wrong_message_is_refused_by_field() {
        for (field, line) in [
            ("role", r#"{"content":"x"}"#),
            ("content", r#"{"role":"user","content":7}"#),
            ("timestamp", r#"{"role":"user","content":"x","timestamp":"soon"}"#),
            ("timestamp", r#"{"role":"user","content":"x","timestamp":1e300}"#),
            ("thread", r#"{"role":"user","content":"x","thread":""}"#),
        ] {
            assert_eq!(draft(line).unwrap_err().field(), Some(field), "{line}");
        }
    }
}
