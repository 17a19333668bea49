//! What mem0 answers (`Memory.get_all()`, the platform's `get_all` and exports): one JSON document with a list of memories.
//! Not here: its history database (`mem0_history`).

use std::{io::Read, vec};

use mnemic::{Digest, Error, NewRecord, Object, Result, Timestamp, Value, wire::json};

use super::{
    Fault, Format, Item, What, dates,
    fields::{Keys, shown},
    load::Onto,
    rows::{About, Defaults, Row, Rows, imported_from, kept_id, thread, user},
};
use crate::exit::{self, Failure};

const SYSTEM: &str = "mem0";
/// Bytes of one document, which is read whole.
const DOCUMENT_BYTES: u64 = 1024 * 1024 * 1024;
/// The keys of a memory that become fields of the record; all others become metadata.
const FIELDS: [&str; 8] =
    ["id", "memory", "user_id", "run_id", "created_at", "updated_at", "expiration_date", "metadata"];
/// The keys under which documents hold the list.
const LISTS: [&str; 2] = ["results", "memories"];

/// The memories of a document.
pub(super) struct MemoryRows {
    memories: vec::IntoIter<Value>,
    defaults: Defaults,
    number: u64,
    digest: Digest,
}

impl MemoryRows {
    /// Reads the document.
    pub(super) fn new(source: &mut dyn Read, defaults: Defaults) -> exit::Result<Self> {
        let mut bytes = Vec::new();
        let failed = |error| Failure::other(format!("cannot read on: {error}"));
        source.take(DOCUMENT_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > DOCUMENT_BYTES {
            let expected = format!("a document of at most {DOCUMENT_BYTES} bytes");
            return Err(Error::invalid("file", expected, "a longer one").into());
        }
        let digest = mnemic::policy::audit::digest(&bytes);
        let memories = memories(json::parse(&bytes)?)?;
        Ok(Self { memories: memories.into_iter(), defaults, number: 0, digest })
    }
}

impl Rows for MemoryRows {
    fn next(&mut self) -> exit::Result<Option<Row>> {
        let Some(memory) = self.memories.next() else { return Ok(None) };
        self.number += 1;
        let read = read(memory, &self.defaults).map(|item| vec![item]).map_err(Fault::Line);
        let bytes = read.as_ref().map_or(0, |_| 1024);
        Ok(Some(Row { number: self.number, bytes, read }))
    }

    fn position(&self) -> u64 {
        self.number
    }

    fn about(&self) -> About {
        About { format: Some(Format::Mem0), digest: Some(self.digest) }
    }
}

/// Whether the beginning of a file is that of such a document. It may be cut anywhere.
pub(super) fn is_one(start: &str) -> bool {
    let squeezed: String = start.chars().filter(|c| !c.is_whitespace()).take(4096).collect();
    let of_object = LISTS.iter().any(|list| squeezed.starts_with(&format!("{{\"{list}\":[")));
    let of_list = squeezed.starts_with("[{\"id\":") && squeezed.contains("\"memory\":");
    of_object || of_list
}

fn memories(document: Value) -> Result<Vec<Value>> {
    let expected = "a list of memories, or an object with one as results or memories";
    match document {
        Value::Array(memories) => Ok(memories),
        Value::Object(mut object) => match LISTS.iter().find_map(|list| object.remove(*list)) {
            Some(Value::Array(memories)) => Ok(memories),
            Some(other) => Err(Error::invalid("file", expected, shown(&other))),
            None => {
                let keys: Vec<&str> = object.keys().map(String::as_str).take(8).collect();
                let found = format!("an object with the keys {}", mnemic::ids::quoted(&keys.join(", ")));
                Err(Error::invalid("file", expected, found))
            }
        },
        other => Err(Error::invalid("file", expected, shown(&other))),
    }
}

fn read(memory: Value, defaults: &Defaults) -> Result<Item> {
    let Value::Object(object) = memory else { return Err(Error::invalid("memory", "an object", shown(&memory))) };
    let keys = Keys::any(&object);
    let id = keys.needed("id")?;
    let mut draft = NewRecord::new(keys.needed("memory")?).with_id(kept_id(SYSTEM, id)?).with_source(SYSTEM);
    draft.user_id = keys.string("user_id")?.map(|id| user("user_id", id)).transpose()?;
    draft.thread_id = keys.string("run_id")?.map(|id| thread("run_id", id)).transpose()?;
    let time = |field: &str| keys.string(field).and_then(|at| at.map(|at| dates::parse(field, at)).transpose());
    draft.created_at = time("created_at")?;
    draft.updated_at = time("updated_at")?.or(draft.created_at);
    draft.expires_at = keys.string("expiration_date")?.map(end_of_day).transpose()?;
    draft.metadata = metadata(&keys, &object)?;
    imported_from(&mut draft, SYSTEM, [("id", Value::from(id))]);
    let mut item = defaults.item(draft, None, None);
    if let What::Record { onto, .. } = &mut item.what {
        // The links to the history stay, in whichever order the two are imported.
        *onto = Onto::KeepEvents;
    }
    Ok(item)
}

/// A memory is shown through the whole of its last day, which is one in UTC.
fn end_of_day(date: &str) -> Result<Timestamp> {
    const DAY: std::time::Duration = std::time::Duration::from_hours(24);
    let start = dates::parse("expiration_date", date)?;
    Ok(if date.trim().len() <= "2023-05-08".len() { start.plus(DAY) } else { start })
}

/// The metadata, whole, and beside it whatever else the memory says. Where both have a key, the metadata has it.
fn metadata(keys: &Keys<'_>, object: &Object) -> Result<Object> {
    let mut metadata = match keys.get("metadata") {
        None => Object::new(),
        Some(Value::Object(metadata)) => metadata.clone(),
        Some(other) => return Err(Error::invalid("metadata", "an object", shown(other))),
    };
    for (key, value) in object {
        let says = !matches!(value, Value::Null);
        if says && !FIELDS.contains(&key.as_str()) && !metadata.contains_key(key) {
            metadata.insert(key.clone(), value.clone());
        }
    }
    Ok(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drafts(document: &str) -> Vec<Result<NewRecord>> {
        let mut rows = MemoryRows::new(&mut document.as_bytes(), Defaults::default()).unwrap();
        let mut found = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            found.push(match row.read {
                Ok(mut items) => match items.pop().unwrap().what {
                    What::Record { draft, .. } => Ok(*draft),
                    other => panic!("expected a record, found {other:?}"),
                },
                Err(Fault::Line(error)) => Err(error),
                Err(Fault::File(error)) => panic!("{error}"),
            });
        }
        found
    }

    const MEMORY: &str = r#"{"id":"7b1e","memory":"Likes tea","hash":"ab","metadata":{"topic":"drinks"},
        "created_at":"2024-07-20T01:30:36.275141-07:00","updated_at":null,"user_id":"ann","run_id":"r1","agent_id":"bot"}"#;

    #[test]
    fn a_memory_becomes_a_record_with_everything_that_it_says() {
        let record = drafts(&format!("{{\"results\":[{MEMORY}]}}")).remove(0).unwrap();
        assert_eq!((record.text.as_str(), record.id.unwrap().as_str()), ("Likes tea", "7b1e"));
        assert_eq!((record.user_id.unwrap().as_str(), record.thread_id.unwrap().as_str()), ("ann", "r1"));
        assert_eq!(record.created_at.unwrap().to_string(), "2024-07-20T08:30:36.275141Z");
        assert_eq!(record.updated_at, record.created_at);
        assert_eq!(
            mnemic::wire::to_line(&record.metadata),
            r#"{"agent_id":"bot","hash":"ab","imported_from":{"id":"7b1e","system":"mem0"},"topic":"drinks"}"#
        );
    }

    #[test]
    fn every_form_of_the_document_is_read_and_recognized() {
        for document in
            [format!("[{MEMORY}]"), format!("{{\"results\":[{MEMORY}]}}"), format!("{{\n  \"memories\": [{MEMORY}]}}")]
        {
            assert!(is_one(&document), "{document}");
            assert_eq!(drafts(&document).len(), 1);
        }
        for other in [r#"[{"role":"user"}]"#, r#"{"text":"results"}"#, "", r#"[{"id":1}]"#] {
            assert!(!is_one(other), "{other}");
        }
    }

    #[test]
    fn a_memory_is_shown_through_its_last_day() {
        let record = drafts(r#"[{"id":"a","memory":"x","expiration_date":"2030-01-31"}]"#).remove(0).unwrap();
        assert_eq!(record.expires_at.unwrap().to_string(), "2030-02-01T00:00:00Z");
    }

    #[test]
    fn a_wrong_memory_is_refused_by_field_and_the_next_is_read() {
        let found = drafts(
            r#"[{"memory":"x"},{"id":"a"},{"id":"a","memory":"x","created_at":"soon"},7,
                {"id":"a","memory":"x","metadata":[]},{"id":"a","memory":"good"}]"#,
        );
        let fields: Vec<Option<&str>> =
            found.iter().map(|read| read.as_ref().err().and_then(|error| error.field())).collect();
        assert_eq!(fields, [Some("id"), Some("memory"), Some("created_at"), Some("memory"), Some("metadata"), None]);
    }

    #[test]
    fn what_is_no_document_of_mem0_is_refused_as_a_whole() {
        for document in [r#"{"notes":[]}"#, r#"{"results":7}"#, "7", "{"] {
            assert!(MemoryRows::new(&mut document.as_bytes(), Defaults::default()).is_err(), "{document}");
        }
    }
}
