//! What differs between two nouns, in words, to the letter. Not here: which ones are compared (`compare`).

use mnemic_core::{
    ChainedEvent, Changed, Embedding, MemoryRecord, OutboxItem, Ratio, Revision, RevisionKind, StoredRecord, Task,
    ids::quoted, value::write_canonical_object,
};

use crate::compare::Expected;

/// A change of the feed.
pub(crate) fn told(what: &Changed) -> String {
    match what {
        Changed::Written(id, version) => format!("record {} written as version {version}", quoted(id.as_str())),
        Changed::Embedded(id, version) => format!("version {version} of record {} embedded", quoted(id.as_str())),
        Changed::Deleted(id, version) => format!("record {} deleted at version {version}", quoted(id.as_str())),
        Changed::Erased(Some(id)) => format!("record {} erased", quoted(id.as_str())),
        Changed::Erased(None) => "a record erased".to_owned(),
        Changed::Appended(sequence) => format!("event {sequence} appended"),
        Changed::EventErased(sequence) => format!("event {sequence} erased"),
        Changed::Slots(Some(thread), version) => {
            format!("slots of thread {} at version {version}", quoted(thread.as_str()))
        }
        Changed::Slots(None, version) => format!("slots of an erased thread at version {version}"),
    }
}

/// A piece of outstanding work.
pub(crate) fn told_work(item: &OutboxItem) -> String {
    let task = match &item.task {
        Task::Embed => "an embedding".to_owned(),
        Task::Index(name) => format!("the index {name}"),
    };
    let (id, record, version) = (item.id.0, quoted(item.record_id.as_str()), item.version);
    format!("{id} ({task} for version {version} of record {record}, since {})", item.since)
}

/// How an embedding is not as it is expected.
pub(crate) fn differing_embedding(
    theirs: &StoredRecord,
    ours: &StoredRecord,
    expected: Expected<'_>,
) -> Option<String> {
    match expected {
        Expected::Same => (!same_embedding(theirs, ours)).then(|| "differs".to_owned()),
        Expected::By(model) => {
            let found = ours.embedding.as_ref().map(Embedding::model)?;
            (found != model).then(|| format!("is by {found}, expected {model}"))
        }
    }
}

fn same_embedding(theirs: &StoredRecord, ours: &StoredRecord) -> bool {
    match (&theirs.embedding, &ours.embedding) {
        (None, None) => true,
        (Some(theirs), Some(ours)) => {
            theirs.model() == ours.model()
                && theirs.components().len() == ours.components().len()
                && theirs.components().iter().zip(ours.components()).all(|(a, b)| a.to_bits() == b.to_bits())
        }
        _ => false,
    }
}

/// What differs between two revisions.
pub(crate) fn differing_revision(theirs: &Revision, ours: &Revision) -> Option<&'static str> {
    if theirs.at != ours.at {
        return Some("its time");
    }
    match (&theirs.what, &ours.what) {
        (RevisionKind::Written(theirs), RevisionKind::Written(ours)) => differing_field(theirs, ours),
        (RevisionKind::Deleted(theirs), RevisionKind::Deleted(ours)) => (theirs != ours).then_some("its version"),
        _ => Some("what it did"),
    }
}

/// The first field that differs, to the letter: equal numbers of another form and ratios of other bits differ too.
pub(crate) fn differing_field(theirs: &MemoryRecord, ours: &MemoryRecord) -> Option<&'static str> {
    let canonical = |record: &MemoryRecord| {
        let mut text = String::new();
        write_canonical_object(&record.metadata, &mut text);
        text
    };
    let bits = |ratio: Option<Ratio>| ratio.map(|ratio| ratio.get().to_bits());
    let fields: [(&'static str, bool); 19] = [
        ("id", theirs.id == ours.id),
        ("version", theirs.version == ours.version),
        ("text", theirs.text == ours.text),
        ("user_id", theirs.user_id == ours.user_id),
        ("thread_id", theirs.thread_id == ours.thread_id),
        ("kind", theirs.kind == ours.kind),
        ("path", theirs.path == ours.path),
        ("tags", theirs.tags == ours.tags),
        ("metadata", canonical(theirs) == canonical(ours)),
        ("source", theirs.source == ours.source),
        ("salience", bits(theirs.salience) == bits(ours.salience)),
        ("confidence", bits(theirs.confidence) == bits(ours.confidence)),
        ("created_at", theirs.created_at == ours.created_at),
        ("updated_at", theirs.updated_at == ours.updated_at),
        ("valid_from", theirs.valid_from == ours.valid_from),
        ("valid_to", theirs.valid_to == ours.valid_to),
        ("expires_at", theirs.expires_at == ours.expires_at),
        ("superseded_by", theirs.superseded_by == ours.superseded_by),
        ("provenance", theirs.provenance == ours.provenance),
    ];
    fields.into_iter().find(|(_, same)| !same).map(|(name, _)| name)
}

/// An event's payload to the letter: equal numbers of another form differ.
pub(crate) fn canonical_payloads(entry: &ChainedEvent) -> Option<String> {
    entry.event.as_ref().map(|event| {
        let mut text = String::new();
        write_canonical_object(&event.payload, &mut text);
        text
    })
}
