//! Mnemic's own export: canonical JSON Lines, one part (header, records, events, slots, trailer) for each namespace.
//! Not here: walking a memory to export it (`commands::export`), the objects inside a line (`mnemic::wire`).
//!
//! A line is an object with one leading key that says what it is: `mnemic` (header), `record` (with `embedding` beside),
//! `event`, `slot`, `end` (trailer). Nothing in it depends on when or where it was exported.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mnemic::{
    ChainedEvent, Embedding, Error, ErrorKind, Namespace, NewEvent, NewRecord, Object, RecordId, Result, StoredRecord,
    ThreadId, Value, VersionedSlots,
    ids::quoted,
    policy::audit::{self, ChainVerifier},
    wire,
};
use sha2::{Digest as _, Sha256};

use super::{
    Item, What,
    fields::{Keys, shown},
    load::Onto,
};

/// The key of the header line.
pub(crate) const HEADER: &str = "mnemic";

/// An embedding as a file holds it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FileEmbedding {
    /// The model's full name.
    pub model: String,
    /// The components.
    pub components: Vec<f32>,
}

/// How many of each sort a part holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub records: u64,
    pub events: u64,
    pub slots: u64,
}

/// Writes the lines of one part and keeps its counts and digest.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    hasher: Sha256,
    pub(crate) counts: Counts,
}

impl Writer {
    /// The first line of a part.
    pub(crate) fn header(&mut self, namespace: &Namespace) -> String {
        let about = Object::from([
            ("namespace".to_owned(), Value::from(namespace.as_str())),
            ("wire".to_owned(), Value::from(wire::VERSION)),
        ]);
        self.line(&Object::from([(HEADER.to_owned(), about.into())]))
    }

    pub(crate) fn record(&mut self, stored: &StoredRecord) -> String {
        self.counts.records += 1;
        let mut object = Object::from([("record".to_owned(), wire::record_object(&stored.record).into())]);
        if let Some(embedding) = &stored.embedding {
            object.insert("embedding".to_owned(), embedding_object(embedding).into());
        }
        self.line(&object)
    }

    pub(crate) fn event(&mut self, entry: &ChainedEvent) -> String {
        self.counts.events += 1;
        self.line(&Object::from([("event".to_owned(), wire::chained_event_object(entry).into())]))
    }

    /// One line a slot, so that no line grows with the number of slots.
    pub(crate) fn slots(&mut self, thread: &ThreadId, slots: &VersionedSlots) -> Vec<String> {
        let mut lines = Vec::with_capacity(slots.slots.len());
        for (name, text) in &slots.slots {
            self.counts.slots += 1;
            let mut slot = Object::from([
                ("thread_id".to_owned(), Value::from(thread.as_str())),
                ("name".to_owned(), Value::from(name.as_str())),
                ("text".to_owned(), Value::from(text.as_str())),
                ("version".to_owned(), Value::from(slots.version.0)),
            ]);
            if let Some(at) = slots.updated_at {
                slot.insert("updated_at".to_owned(), Value::from(at.to_string()));
            }
            lines.push(self.line(&Object::from([("slot".to_owned(), slot.into())])));
        }
        lines
    }

    /// The last line: what the part holds, and the digest of all lines before.
    pub(crate) fn trailer(self) -> String {
        let digest = mnemic::Digest(self.hasher.finalize().into());
        let end = Object::from([
            ("records".to_owned(), Value::from(self.counts.records)),
            ("events".to_owned(), Value::from(self.counts.events)),
            ("slots".to_owned(), Value::from(self.counts.slots)),
            ("sha256".to_owned(), Value::from(digest.to_string())),
        ]);
        let mut line = wire::to_line(&Object::from([("end".to_owned(), end.into())]));
        line.push('\n');
        line
    }

    fn line(&mut self, object: &Object) -> String {
        let mut line = wire::to_line(object);
        line.push('\n');
        self.hasher.update(line.as_bytes());
        line
    }
}

fn embedding_object(embedding: &Embedding) -> Object {
    let bytes: Vec<u8> = embedding.components().iter().flat_map(|component| component.to_le_bytes()).collect();
    Object::from([
        ("model".to_owned(), Value::from(embedding.model().to_string())),
        ("f32".to_owned(), Value::from(STANDARD.encode(bytes))),
    ])
}

fn embedding_from_object(object: &Object) -> Result<FileEmbedding> {
    let keys = Keys::new(object, &["model", "f32"])?;
    let encoded = keys.needed("f32")?;
    let refused = |found: String| Error::invalid("f32", "base64 of 4-byte floats", found);
    let bytes = STANDARD.decode(encoded).map_err(|source| refused(quoted(encoded)).with_source(source))?;
    let (parts, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(refused(format!("{} bytes", bytes.len())));
    }
    Ok(FileEmbedding {
        model: keys.needed("model")?.to_owned(),
        components: parts.iter().copied().map(f32::from_le_bytes).collect(),
    })
}

/// Reads an export line by line, checking the chain and the trailer of each part.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    place: Option<String>,
    hasher: Sha256,
    counts: Counts,
    chain: ChainVerifier,
    /// Slots of one thread so far.
    slots: Option<(ThreadId, BTreeMap<String, String>)>,
    /// Inside a part that has a header and no trailer yet.
    open: bool,
}

impl Reader {
    /// Reads a line.
    pub(super) fn line(&mut self, object: &Object, text: &str) -> Result<Vec<Item>> {
        let Some((key, body)) = leading(object) else { return Ok(vec![self.bare(object)?]) };
        if key == HEADER {
            return self.header(body, text);
        }
        if key == "end" {
            return self.trailer(body);
        }
        self.count_line(text);
        // A line that cannot be read still counts: the trailer says how many lines there were, not how many were good.
        match key {
            "record" => self.counts.records += 1,
            "event" => self.counts.events += 1,
            _ => self.counts.slots += 1,
        }
        if key == "slot" {
            return self.slot(body).map_err(|error| error.within("slot"));
        }
        let mut items = self.finish_slots();
        items.push(match key {
            "record" => self.record(body, object)?,
            _ => self.event(body)?,
        });
        Ok(items)
    }

    /// The end of the file.
    pub(super) fn end(&mut self) -> Result<Vec<Item>> {
        let items = self.finish_slots();
        if self.open {
            let message = "file: expected a line with end, found the end of the file; the export was cut off";
            return Err(Error::new(ErrorKind::Corrupted, message).with_field("file"));
        }
        Ok(items)
    }

    fn count_line(&mut self, text: &str) {
        self.hasher.update(text.as_bytes());
        self.hasher.update(b"\n");
    }

    fn header(&mut self, body: &Object, text: &str) -> Result<Vec<Item>> {
        let items = self.finish_slots();
        let cut = self.open;
        let keys = Keys::new(body, &["namespace", "wire"])?;
        let (namespace, version) = (keys.needed("namespace")?, keys.count("wire")?);
        if version != wire::VERSION {
            let found = format!("{version}, which another version of Mnemic wrote");
            return Err(Error::invalid("wire", wire::VERSION, found));
        }
        *self = Self { place: Some(namespace.to_owned()), open: true, ..Self::default() };
        self.count_line(text);
        if cut {
            let message = "file: expected a line with end before the next part, found none; the export was cut off";
            return Err(Error::new(ErrorKind::Corrupted, message).with_field("file"));
        }
        Ok(items)
    }

    fn trailer(&mut self, body: &Object) -> Result<Vec<Item>> {
        let items = self.finish_slots();
        self.open = false;
        let keys = Keys::new(body, &["records", "events", "slots", "sha256"])?;
        let found =
            Counts { records: keys.count("records")?, events: keys.count("events")?, slots: keys.count("slots")? };
        let digest = mnemic::Digest(std::mem::take(&mut self.hasher).finalize().into()).to_string();
        let changed = |what: &str| {
            let message =
                format!("end: expected {what} of the lines before, found another; the file was changed or cut");
            Err(Error::new(ErrorKind::Corrupted, message).with_field("end"))
        };
        if found != self.counts {
            return changed("the counts");
        }
        if keys.needed("sha256")? != digest {
            return changed("the digest");
        }
        Ok(items)
    }

    fn record(&mut self, body: &Object, line: &Object) -> Result<Item> {
        let record = wire::record_from_object(body).map_err(|error| error.within("record"))?;
        let embedding = match line.get("embedding") {
            None | Some(Value::Null) => None,
            Some(Value::Object(object)) => {
                Some(embedding_from_object(object).map_err(|error| error.within("embedding"))?)
            }
            Some(other) => return Err(Error::invalid("embedding", "an object", shown(other))),
        };
        Ok(Item {
            place: self.place.clone(),
            what: What::Record { draft: Box::new(NewRecord::from(record)), embedding, onto: Onto::default() },
        })
    }

    fn event(&mut self, body: &Object) -> Result<Item> {
        let entry = wire::chained_event_from_object(body).map_err(|error| error.within("event"))?;
        self.chain.push(&entry).map_err(|error| error.with_field("event"))?;
        let what = match entry.event {
            Some(event) if !event.thread_id.is_reserved() => What::Event(Box::new(NewEvent::from(event))),
            Some(_) | None => What::Passed,
        };
        Ok(Item { place: self.place.clone(), what })
    }

    fn slot(&mut self, body: &Object) -> Result<Vec<Item>> {
        let keys = Keys::new(body, &["thread_id", "name", "text", "version", "updated_at"])?;
        let thread = ThreadId::new(keys.needed("thread_id")?)?;
        let (name, text) = (keys.needed("name")?.to_owned(), keys.needed("text")?.to_owned());
        match &mut self.slots {
            Some((current, slots)) if *current == thread => {
                slots.insert(name, text);
                Ok(Vec::new())
            }
            _ => {
                let items = self.finish_slots();
                self.slots = Some((thread, BTreeMap::from([(name, text)])));
                Ok(items)
            }
        }
    }

    fn finish_slots(&mut self) -> Vec<Item> {
        let place = self.place.clone();
        self.slots.take().map(|(thread, slots)| Item { place, what: What::Slots(thread, slots) }).into_iter().collect()
    }

    /// A record object that stands on its own. Without an id it gets one from what it says, so that importing it again changes
    /// nothing.
    fn bare(&self, object: &Object) -> Result<Item> {
        let mut draft = wire::new_record_from_object(object)?;
        if draft.id.is_none() {
            let mark = audit::digest(format!("mnemic.import.v1\0{}", wire::to_line(object)).as_bytes()).to_string();
            draft.id = Some(RecordId::new(format!("import-{}", mark.get(..32).unwrap_or(&mark)))?);
        }
        Ok(Item { place: self.place.clone(), what: What::record(draft) })
    }
}

/// The leading key of an export line and its object; `None` for a record that stands on its own.
fn leading(object: &Object) -> Option<(&'static str, &Object)> {
    [HEADER, "record", "event", "slot", "end"].into_iter().find_map(|key| Some((key, object.get(key)?.as_object()?)))
}
