//! Records and their revisions as objects. Not here: embeddings on output; they belong to a model and are made anew from the text.

use mnemic_core::{
    Error, EventId, MemoryRecord, Number, Object, Precondition, Provenance, Ratio, RecordId, Result, Revision,
    RevisionKind, ThreadId, UserId, Value, Version, limits,
};

use super::{
    fields::{Fields, required, shown},
    put, put_some, strings,
};
use crate::NewRecord;

const RECORD_KEYS: [&str; 19] = [
    "id",
    "user_id",
    "thread_id",
    "kind",
    "text",
    "path",
    "tags",
    "metadata",
    "source",
    "salience",
    "confidence",
    "created_at",
    "updated_at",
    "valid_from",
    "valid_to",
    "expires_at",
    "superseded_by",
    "provenance",
    "version",
];

/// A record as an object. `path`, `tags` and `metadata` are always there; `provenance` is left out if nothing is known.
pub fn record_object(record: &MemoryRecord) -> Object {
    let ratio = |ratio: Option<Ratio>| ratio.and_then(|ratio| super::double(ratio.get()));
    let mut object = Object::new();
    put(&mut object, "id", record.id.as_str());
    put_some(&mut object, "user_id", record.user_id.as_ref().map(UserId::as_str));
    put_some(&mut object, "thread_id", record.thread_id.as_ref().map(ThreadId::as_str));
    put(&mut object, "kind", record.kind.as_str());
    put(&mut object, "text", record.text.as_str());
    put(&mut object, "path", strings(&record.path));
    put(&mut object, "tags", strings(&record.tags));
    put(&mut object, "metadata", record.metadata.clone());
    put(&mut object, "source", record.source.as_str());
    put_some(&mut object, "salience", ratio(record.salience));
    put_some(&mut object, "confidence", ratio(record.confidence));
    put(&mut object, "created_at", record.created_at.to_string());
    put(&mut object, "updated_at", record.updated_at.to_string());
    put(&mut object, "valid_from", record.valid_from.to_string());
    put_some(&mut object, "valid_to", record.valid_to.map(|at| at.to_string()));
    put_some(&mut object, "expires_at", record.expires_at.map(|at| at.to_string()));
    put_some(&mut object, "superseded_by", record.superseded_by.as_ref().map(RecordId::as_str));
    if !record.provenance.is_empty() {
        let Provenance { events, records } = &record.provenance;
        let mut provenance = Object::new();
        put(&mut provenance, "events", strings(events));
        put(&mut provenance, "records", strings(records));
        put(&mut object, "provenance", provenance);
    }
    put(&mut object, "version", record.version.0);
    object
}

/// Reads a whole record, as [`record_object`] writes it, and checks it.
///
/// # Errors
/// `InvalidInput`, naming the field, what was expected and what came. Id, text, source, kind, version and the times that every
/// record has must be there.
pub fn record_from_object(object: &Object) -> Result<MemoryRecord> {
    let fields = Fields::new(object, &RECORD_KEYS)?;
    let draft = read_draft(&fields)?;
    let time = "an RFC 3339 time";
    required("kind", "one of semantic, episodic, persona, open_loop", draft.kind)?;
    required("source", "a string", draft.source.as_ref())?;
    required("updated_at", time, draft.updated_at)?;
    required("valid_from", time, draft.valid_from)?;
    let created_at = required("created_at", time, draft.created_at)?;
    let version = Version(required("version", "a whole number from 0", fields.count("version")?)?);
    let id = required("id", "a string", draft.id.clone())?;
    let record = MemoryRecord { version, ..draft.into_record(id, created_at) };
    record.check()?;
    Ok(record)
}

/// Reads a record to write: `text` is needed, everything else may be absent. Besides a record's keys it may have `embedding` (a
/// list of numbers) and `expect_version` (the version that must be stored; 0 for none). `version` is accepted, so that a record
/// that was read can be written back, and means nothing.
///
/// # Errors
/// `InvalidInput`, naming the field, what was expected and what came.
pub fn new_record_from_object(object: &Object) -> Result<NewRecord> {
    let mut known = RECORD_KEYS.to_vec();
    known.extend(["embedding", "expect_version"]);
    let fields = Fields::new(object, &known)?;
    fields.count("version")?;
    let mut draft = read_draft(&fields)?;
    draft.embedding = read_embedding(&fields)?;
    draft.expect = read_expect(&fields)?;
    Ok(draft)
}

pub(super) fn read_expect(fields: &Fields<'_>) -> Result<Precondition> {
    Ok(fields.count("expect_version")?.map_or(Precondition::Any, |version| Precondition::Version(Version(version))))
}

fn read_draft(fields: &Fields<'_>) -> Result<NewRecord> {
    let text = required("text", "a string", fields.text("text")?)?;
    if text.trim().is_empty() {
        return Err(Error::invalid("text", "something to remember", "only white space"));
    }
    Ok(NewRecord {
        id: fields.parsed("id")?,
        user_id: fields.parsed("user_id")?,
        thread_id: fields.parsed("thread_id")?,
        kind: fields.parsed("kind")?,
        text,
        path: fields.labels("path", limits::PATH_SEGMENTS)?,
        tags: fields.tags()?,
        metadata: fields.free_object("metadata")?,
        source: fields.label("source")?,
        salience: read_ratio(fields, "salience")?,
        confidence: read_ratio(fields, "confidence")?,
        created_at: fields.timestamp("created_at")?,
        updated_at: fields.timestamp("updated_at")?,
        valid_from: fields.timestamp("valid_from")?,
        valid_to: fields.timestamp("valid_to")?,
        expires_at: fields.timestamp("expires_at")?,
        superseded_by: fields.made("superseded_by", |id| RecordId::new(id).map_err(|e| e.within("superseded_by")))?,
        provenance: read_provenance(fields)?,
        embedding: None,
        expect: Precondition::Any,
    })
}

fn read_ratio(fields: &Fields<'_>, field: &str) -> Result<Option<Ratio>> {
    fields.number(field)?.map(|number| Ratio::new(field, number.as_f64())).transpose()
}

fn read_provenance(fields: &Fields<'_>) -> Result<Provenance> {
    let Some(object) = fields.object("provenance")? else { return Ok(Provenance::default()) };
    let read = || {
        let links = Fields::new(object, &["events", "records"])?;
        let most = limits::PROVENANCE_LINKS;
        Ok(Provenance {
            events: links.made_list("events", most, |at, id| EventId::new(id).map_err(|e| e.within(at)))?,
            records: links.made_list("records", most, |at, id| RecordId::new(id).map_err(|e| e.within(at)))?,
        })
    };
    read().map_err(|error: Error| error.within("provenance"))
}

/// The components, each finite also in single precision. Length and direction are checked against the memory's model.
pub(super) fn read_embedding(fields: &Fields<'_>) -> Result<Option<Vec<f32>>> {
    if fields.get("embedding").is_none() {
        return Ok(None);
    }
    let items = fields.list("embedding")?;
    let most = limits::DIMENSIONS as usize;
    if items.is_empty() || items.len() > most {
        return Err(Error::invalid("embedding", format!("1 to {most} numbers"), format!("{} numbers", items.len())));
    }
    let component = |(i, item): (usize, &Value)| {
        let field = format!("embedding[{i}]");
        let Value::Number(number) = item else {
            return Err(Error::invalid(field, "a number", shown(item)));
        };
        let component = number.as_f64() as f32;
        if component.is_finite() {
            Ok(component)
        } else {
            Err(Error::invalid(field, "a number that is finite in single precision", number))
        }
    };
    let components: Vec<f32> = items.iter().enumerate().map(component).collect::<Result<_>>()?;
    if components.iter().all(|component| *component == 0.0) {
        return Err(Error::invalid("embedding", "a vector with a direction", "only zeros"));
    }
    Ok(Some(components))
}

/// A revision as an object: `at`, and `record` or the `deleted` version.
pub fn revision_object(revision: &Revision) -> Object {
    let mut object = Object::new();
    put(&mut object, "at", revision.at.to_string());
    match &revision.what {
        RevisionKind::Written(record) => put(&mut object, "record", record_object(record)),
        RevisionKind::Deleted(version) => put(&mut object, "deleted", Value::Number(Number::from(version.0))),
    }
    object
}

/// Reads a revision, as [`revision_object`] writes it.
///
/// # Errors
/// `InvalidInput`, naming the field, what was expected and what came.
pub fn revision_from_object(object: &Object) -> Result<Revision> {
    let fields = Fields::new(object, &["at", "record", "deleted"])?;
    let at = required("at", "an RFC 3339 time", fields.timestamp("at")?)?;
    let what = match (fields.object("record")?, fields.count("deleted")?) {
        (Some(record), None) => {
            RevisionKind::Written(Box::new(record_from_object(record).map_err(|e| e.within("record"))?))
        }
        (None, Some(version)) => RevisionKind::Deleted(Version(version)),
        (Some(_), Some(_)) => return Err(Error::invalid("deleted", "nothing beside record", "both")),
        (None, None) => return Err(Error::invalid("record", "a record or deleted", "nothing")),
    };
    Ok(Revision { at, what })
}
