//! A batch as bytes, for the spool. Not here: the spool's files (`mnemic-spool`), and when it is used (`commit`).

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use mnemic_core::{
    Batch, Digest, Embedding, EmbeddingModel, Error, ErrorKind, Idempotency, Metric, Object, Precondition, RecordWrite,
    Result, SlotMode, SlotWrite, Task, Timestamp, Value,
};

use crate::wire;

/// The form of an entry. An entry of another form stays for a version of Mnemic that reads it.
const FORM: u64 = 1;

/// Whether the ledger must be there to decide about a batch: preconditions, removals and late embeddings speak of what is stored.
pub(super) fn can_wait(batch: &Batch) -> bool {
    batch.deletes.is_empty()
        && batch.embeddings.is_empty()
        && batch.settle.is_empty()
        && batch.writes.iter().all(|write| write.expect == Precondition::Any)
        && batch.slots.iter().all(|write| write.expect == Precondition::Any)
}

fn object<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Object(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// The bytes of a batch that [`can_wait`].
pub(super) fn encode(batch: &Batch) -> Vec<u8> {
    let mut entry = Object::new();
    let mut put = |key: &str, value: Value| entry.insert(key.to_owned(), value);
    put("form", Value::from(FORM));
    put("at", Value::from(batch.at.to_string()));
    if let Some(once) = &batch.idempotency {
        let fingerprint = Value::from(BASE64.encode(once.fingerprint.0));
        put("idempotency", object([("key", Value::from(once.key.as_str())), ("fingerprint", fingerprint)]));
    }
    put("writes", Value::Array(batch.writes.iter().map(encode_write).collect()));
    put("events", Value::Array(batch.events.iter().map(|event| Value::Object(wire::event_object(event))).collect()));
    put("slots", Value::Array(batch.slots.iter().map(encode_slots).collect()));
    wire::to_line(&entry).into_bytes()
}

fn encode_write(write: &RecordWrite) -> Value {
    let mut entry = Object::from([("record".to_owned(), Value::Object(wire::record_object(&write.record)))]);
    if let Some(embedding) = &write.embedding {
        let model = embedding.model();
        let bytes: Vec<u8> = embedding.components().iter().flat_map(|component| component.to_le_bytes()).collect();
        let embedding = object([
            ("provider", Value::from(model.provider())),
            ("model", Value::from(model.name())),
            ("components", Value::from(BASE64.encode(bytes))),
        ]);
        entry.insert("embedding".to_owned(), embedding);
    }
    entry.insert("embed_later".to_owned(), Value::from(write.tasks.contains(&Task::Embed)));
    Value::Object(entry)
}

fn encode_slots(write: &SlotWrite) -> Value {
    let text = |text: &Option<String>| text.as_deref().map_or(Value::Null, Value::from);
    let changes: Object = write.changes.iter().map(|(name, value)| (name.clone(), text(value))).collect();
    let mode = match write.mode {
        SlotMode::Merge => "merge",
        SlotMode::Replace => "replace",
    };
    object([
        ("thread_id", Value::from(write.thread_id.as_str())),
        ("slots", Value::Object(changes)),
        ("mode", Value::from(mode)),
    ])
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// `Corrupted` for anything else, without its content.
pub(super) fn decode(bytes: &[u8]) -> Result<Batch> {
    read(bytes).map_err(|error| {
        Error::new(ErrorKind::Corrupted, "the entry is none that this version of Mnemic can read").with_source(error)
    })
}

fn read(line: &[u8]) -> Result<Batch> {
    let entry = wire::json::parse_object(line)?;
    if entry.get("form") != Some(&Value::from(FORM)) {
        return Err(Error::invalid("form", FORM, "another"));
    }
    let mut batch = Batch::new(text(&entry, "at")?.parse::<Timestamp>()?);
    if let Some(once) = entry.get("idempotency").and_then(Value::as_object) {
        let fingerprint = bytes(once, "fingerprint")?.try_into().map_err(|_other: Vec<u8>| missing("fingerprint"))?;
        batch.idempotency = Some(Idempotency::new(text(once, "key")?, Digest(fingerprint))?);
    }
    batch.writes = list(&entry, "writes")?.iter().map(read_write).collect::<Result<_>>()?;
    for event in list(&entry, "events")? {
        batch.events.push(wire::audit_event_from_object(as_object(event)?)?);
    }
    for write in list(&entry, "slots")? {
        batch.slots.push(wire::slot_write_from_object(as_object(write)?)?);
    }
    Ok(batch)
}

fn read_write(value: &Value) -> Result<RecordWrite> {
    let entry = as_object(value)?;
    let record = wire::record_from_object(entry.get("record").map_or_else(|| Err(missing("record")), as_object)?)?;
    let embedding =
        entry.get("embedding").map(|embedding| as_object(embedding).and_then(read_embedding)).transpose()?;
    let later = entry.get("embed_later") == Some(&Value::from(true));
    let tasks = if later { vec![Task::Embed] } else { Vec::new() };
    Ok(RecordWrite { record, embedding, expect: Precondition::Any, tasks })
}

fn read_embedding(entry: &Object) -> Result<Embedding> {
    let bytes = bytes(entry, "components")?;
    let (words, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(missing("components"));
    }
    let components: Vec<f32> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
    let model =
        EmbeddingModel::new(text(entry, "provider")?, text(entry, "model")?, components.len() as u32, Metric::Cosine)?;
    Embedding::new(&model, components)
}

fn missing(key: &str) -> Error {
    Error::invalid(key, "what was spooled", "something else")
}

fn text<'a>(entry: &'a Object, key: &str) -> Result<&'a str> {
    entry.get(key).and_then(Value::as_str).ok_or_else(|| missing(key))
}

fn bytes(entry: &Object, key: &str) -> Result<Vec<u8>> {
    BASE64.decode(text(entry, key)?).map_err(|error| missing(key).with_source(error))
}

fn list<'a>(entry: &'a Object, key: &str) -> Result<&'a [Value]> {
    match entry.get(key) {
        Some(Value::Array(items)) => Ok(items),
        _ => Err(missing(key)),
    }
}

fn as_object(value: &Value) -> Result<&Object> {
    value.as_object().ok_or_else(|| missing("object"))
}
