//! The conversation corpus: one turn (`conv`, `id`, `session`, `date`, `speaker`, `text`, `caption`) or one titled paragraph
//! (`id`, `title`, `text`) a line. Not here: chat transcripts (`chat`), questions about a corpus (`evaluation`).

use mnemic::{Error, NewRecord, Object, RecordId, RecordKind, Result, ThreadId, UserId, Value};

use super::{Item, What, dates, fields::Keys};

const KEYS: [&str; 8] = ["conv", "id", "session", "date", "speaker", "text", "caption", "title"];

/// Reads one line of a corpus.
pub(super) fn read(object: &Object) -> Result<Item> {
    let keys = Keys::new(object, &KEYS)?;
    let text = keys.needed("text")?;
    let id = keys.needed("id")?;
    let mut draft = NewRecord::new(text).with_id(RecordId::new(id)?);
    for key in ["speaker", "caption", "date", "title"] {
        if let Some(value) = keys.string(key)? {
            draft = draft.with_metadata(key, value);
        }
    }
    if let Some(speaker) = keys.string("speaker")? {
        draft = spoken(draft, speaker, keys.string("caption")?)?;
    }
    if let Some(thread) = thread(&keys, id)? {
        draft = draft.with_thread_id(thread);
    }
    if let Some(date) = keys.string("date")? {
        let date = dates::parse("date", date)?;
        draft.created_at = Some(date);
        draft.updated_at = Some(date);
        draft.valid_from = Some(date);
    }
    let place = keys.string("conv")?.map(str::to_owned);
    Ok(Item { place, what: What::record(draft) })
}

/// What was said, in the form that retrieval finds best: with the speaker before it and what a shared photo shows behind it.
/// The metadata holds both additions, so that cutting them off gives back the words as they were.
fn spoken(mut draft: NewRecord, speaker: &str, caption: Option<&str>) -> Result<NewRecord> {
    draft.text = match caption {
        Some(caption) => format!("{speaker}: {} [shared a photo: {caption}]", draft.text),
        None => format!("{speaker}: {}", draft.text),
    };
    Ok(draft.with_kind(RecordKind::Episodic).with_source(speaker).with_user_id(UserId::new(speaker)?))
}

/// The thread of a turn: what stands before `#` in its id, or else its session's number.
fn thread(keys: &Keys<'_>, id: &str) -> Result<Option<ThreadId>> {
    let named = |name: &dyn std::fmt::Display| ThreadId::new(format!("session-{name}")).map(Some);
    match (id.split_once('#'), keys.get("session")) {
        (Some((session, _)), _) => ThreadId::new(session).map(Some),
        (None, Some(Value::Number(number))) => named(number),
        (None, Some(Value::String(name))) => named(name),
        (None, None) => Ok(None),
        (None, Some(_)) => Err(Error::invalid("session", "a number or a string", "something else")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(line: &str) -> Result<Item> {
        read(&mnemic::wire::json::parse_object(line).unwrap())
    }

    fn record(item: Item) -> NewRecord {
        let What::Record { draft, .. } = item.what else { panic!("expected a record") };
        *draft
    }

    #[test]
    fn a_turn_becomes_an_episodic_record_of_its_speaker_with_the_words_recoverable() {
        let line = r#"{"conv":"conv-26","id":"D1:2","session":1,"date":"1:56 pm on 8 May, 2023","speaker":"Mel","text":"Look!","caption":"a sunrise"}"#;
        let item = item(line).unwrap();
        assert_eq!(item.place.as_deref(), Some("conv-26"));
        let record = record(item);
        assert_eq!(record.text, "Mel: Look! [shared a photo: a sunrise]");
        assert_eq!(record.user_id.as_ref().unwrap().as_str(), "Mel");
        assert_eq!(record.thread_id.as_ref().unwrap().as_str(), "session-1");
        assert_eq!(record.kind, Some(RecordKind::Episodic));
        assert_eq!(record.created_at.unwrap().to_string(), "2023-05-08T13:56:00Z");
        assert_eq!(record.valid_from, record.created_at);
        let said = |key: &str| record.metadata.get(key).and_then(Value::as_str).unwrap().to_owned();
        let raw = record.text.strip_prefix(&format!("{}: ", said("speaker"))).unwrap();
        assert_eq!(raw.strip_suffix(&format!(" [shared a photo: {}]", said("caption"))), Some("Look!"));
    }

    #[test]
    fn a_session_in_the_id_names_the_thread() {
        let line = r#"{"conv":"all","id":"answer_1#0","session":7,"date":"2023/04/10 (Mon) 17:50","speaker":"user","text":"x"}"#;
        assert_eq!(record(item(line).unwrap()).thread_id.unwrap().as_str(), "answer_1");
    }

    #[test]
    fn a_titled_paragraph_stays_as_it_is() {
        let record = record(item(r#"{"id":"p0","title":"Super_Bowl_50","text":"The Panthers."}"#).unwrap());
        assert_eq!(record.text, "The Panthers.");
        assert_eq!((record.kind, record.user_id, record.thread_id), (None, None, None));
        assert_eq!(record.metadata.get("title").and_then(Value::as_str), Some("Super_Bowl_50"));
    }

    #[test]
    fn a_wrong_line_is_refused_by_field() {
        for (field, line) in [
            ("text", r#"{"id":"a","speaker":"x"}"#),
            ("id", r#"{"text":"a","speaker":"x"}"#),
            ("id", r#"{"id":7,"text":"a"}"#),
            ("date", r#"{"id":"a","text":"a","date":"soon"}"#),
            ("speker", r#"{"id":"a","text":"a","speker":"x"}"#),
            ("session", r#"{"id":"a","text":"a","session":[]}"#),
        ] {
            assert_eq!(item(line).unwrap_err().field(), Some(field), "{line}");
        }
    }
}
