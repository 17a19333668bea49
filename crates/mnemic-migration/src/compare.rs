//! Whether two ledgers hold the same memory: every record, revision, embedding, event and slot by its content, never by counts.
//! Not here: indexes, which each side compares with its own ledger.

use std::collections::BTreeSet;

use mnemic_core::{
    ChangeSeq, Changed, EmbeddingModel, MemoryRecord, OutboxItem, PageRequest, RecordId, Result, Revision,
    RevisionKind, StoredRecord, Task, ThreadId,
    ids::quoted,
    limits,
    policy::audit::ChainVerifier,
    ports::{Embeddings, EventRange, Read},
    value::write_canonical_object,
};

use crate::removed::Side;

/// Differences that are told one by one.
const TOLD: usize = 1000;

/// What embeddings of a copy are held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected<'a> {
    /// The source's, bit for bit, and the source's outstanding work.
    Same,
    /// None but of this model. Which texts it can represent, and so which embeddings there should be, only the model knows
    /// ([`crate::missing`]); and work that waits for an embedding is each side's own.
    By(&'a EmbeddingModel),
}

/// What a comparison looked at, and what differs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Changes of the feed.
    pub changes: u64,
    /// Records, deleted ones too.
    pub records: u64,
    /// Revisions of them.
    pub revisions: u64,
    /// Embeddings.
    pub embeddings: u64,
    /// Events.
    pub events: u64,
    /// Threads with slots.
    pub threads: u64,
    /// Versions of their slots.
    pub slots: u64,
    /// How many differences there are.
    pub differing: u64,
    /// The first of them, in words; ids and positions, never contents.
    pub differences: Vec<String>,
}

impl Comparison {
    fn differ(&mut self, what: String) {
        self.differing += 1;
        if self.differences.len() < TOLD {
            self.differences.push(what);
        }
    }
}

/// Names that either feed tells.
#[derive(Default)]
struct Named {
    records: BTreeSet<RecordId>,
    threads: BTreeSet<ThreadId>,
}

impl Named {
    fn add(&mut self, what: &Changed) {
        match what {
            Changed::Written(id, _)
            | Changed::Embedded(id, _)
            | Changed::Deleted(id, _)
            | Changed::Erased(Some(id)) => {
                self.records.insert(id.clone());
            }
            Changed::Slots(Some(thread), _) => {
                self.threads.insert(thread.clone());
            }
            _ => {}
        }
    }
}

/// Compares two namespaces that nobody writes to meanwhile. What is written to the source while this runs shows as a difference.
///
/// # Errors
/// What either ledger gives; differences are in the answer.
pub async fn compare(source: Side<'_>, target: Side<'_>) -> Result<Comparison> {
    compare_expecting(source, target, Expected::Same).await
}

/// The same for a copy whose embeddings may be its own.
///
/// # Errors
/// What either ledger gives; differences are in the answer.
pub async fn compare_expecting(source: Side<'_>, target: Side<'_>, expected: Expected<'_>) -> Result<Comparison> {
    let mut found = Comparison::default();
    let named = feeds(source, target, &mut found).await?;
    let ids: Vec<RecordId> = named.records.into_iter().collect();
    for ids in ids.chunks(limits::BATCH) {
        records(source, target, ids, expected, &mut found).await?;
    }
    order(source, target, &mut found).await?;
    events(source, target, &mut found).await?;
    for thread in &named.threads {
        slots(source, target, thread, &mut found).await?;
    }
    outboxes(source, target, expected, &mut found).await?;
    Ok(found)
}

async fn feeds(source: Side<'_>, target: Side<'_>, found: &mut Comparison) -> Result<Named> {
    let (mut named, mut after) = (Named::default(), ChangeSeq(0));
    loop {
        let theirs = source.0.changes(source.1, after, limits::BATCH).await?;
        let ours = target.0.changes(target.1, after, limits::BATCH).await?;
        for change in theirs.iter().chain(&ours) {
            named.add(&change.what);
        }
        for (theirs, ours) in theirs.iter().zip(&ours).filter(|(theirs, ours)| theirs != ours) {
            found.differ(format!(
                "change {}: {} in the source, {} in the target",
                theirs.seq.0,
                told(&theirs.what),
                told(&ours.what)
            ));
        }
        found.changes += theirs.len() as u64;
        if theirs.len() != ours.len() {
            let (theirs, ours) =
                (theirs.last().map_or(after, |last| last.seq), ours.last().map_or(after, |last| last.seq));
            found.differ(format!("the feed reaches position {} in the source, {} in the target", theirs.0, ours.0));
        }
        let reached = theirs.last().into_iter().chain(ours.last()).map(|change| change.seq).max();
        match reached {
            Some(seq) => after = seq,
            None => return Ok(named),
        }
    }
}

fn told(what: &Changed) -> String {
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

async fn records(
    source: Side<'_>,
    target: Side<'_>,
    ids: &[RecordId],
    expected: Expected<'_>,
    found: &mut Comparison,
) -> Result<()> {
    let read = Read { as_of: None, embeddings: Embeddings::Include };
    let theirs = source.0.fetch(source.1, ids, read).await?;
    let ours = target.0.fetch(target.1, ids, read).await?;
    for ((id, theirs), ours) in ids.iter().zip(&theirs).zip(&ours) {
        let name = quoted(id.as_str());
        match (theirs, ours) {
            (None, None) => {}
            (Some(_), None) => found.differ(format!("record {name} is not in the target")),
            (None, Some(_)) => found.differ(format!("record {name} is only in the target")),
            (Some(theirs), Some(ours)) => {
                if let Some(field) = differing_field(&theirs.record, &ours.record) {
                    found.differ(format!("record {name} differs in {field}"));
                }
                if let Some(how) = differing_embedding(theirs, ours, expected) {
                    found.differ(format!("the embedding of record {name} {how}"));
                }
                found.embeddings += u64::from(ours.embedding.is_some());
            }
        }
        let theirs = source.0.history(source.1, id).await?;
        let ours = target.0.history(target.1, id).await?;
        if theirs.len() != ours.len() {
            found.differ(format!(
                "record {name} has {} revisions in the source, {} in the target",
                theirs.len(),
                ours.len()
            ));
        }
        for (position, (theirs, ours)) in theirs.iter().zip(&ours).enumerate() {
            if let Some(field) = differing_revision(theirs, ours) {
                found.differ(format!("revision {} of record {name}, newest first, differs in {field}", position + 1));
            }
        }
        found.records += 1;
        found.revisions += theirs.len() as u64;
    }
    Ok(())
}

fn differing_embedding(theirs: &StoredRecord, ours: &StoredRecord, expected: Expected<'_>) -> Option<String> {
    match expected {
        Expected::Same => (!same_embedding(theirs, ours)).then(|| "differs".to_owned()),
        Expected::By(model) => {
            let found = ours.embedding.as_ref().map(mnemic_core::Embedding::model)?;
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

fn differing_revision(theirs: &Revision, ours: &Revision) -> Option<&'static str> {
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
fn differing_field(theirs: &MemoryRecord, ours: &MemoryRecord) -> Option<&'static str> {
    let canonical = |record: &MemoryRecord| {
        let mut text = String::new();
        write_canonical_object(&record.metadata, &mut text);
        text
    };
    let bits = |ratio: Option<mnemic_core::Ratio>| ratio.map(|ratio| ratio.get().to_bits());
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

/// The order in which records are listed.
async fn order(source: Side<'_>, target: Side<'_>, found: &mut Comparison) -> Result<()> {
    let (mut theirs, mut ours) = (PageRequest::largest(), PageRequest::largest());
    let filter = mnemic_core::Filter::all();
    loop {
        let left = source.0.scan(source.1, &filter, Read::default(), &theirs).await?;
        let right = target.0.scan(target.1, &filter, Read::default(), &ours).await?;
        let differs = left.items.iter().zip(&right.items).find(|(a, b)| a.record.id != b.record.id);
        if let Some((theirs, ours)) = differs {
            let (theirs, ours) = (quoted(theirs.record.id.as_str()), quoted(ours.record.id.as_str()));
            found.differ(format!("the order of records differs: {theirs} in the source, {ours} in the target"));
            return Ok(());
        }
        if left.items.len() != right.items.len() || left.next.is_none() != right.next.is_none() {
            found.differ("the target lists another number of records than the source".to_owned());
            return Ok(());
        }
        if left.next.is_none() {
            return Ok(());
        }
        (theirs, ours) = (theirs.after(left.next), ours.after(right.next));
    }
}

async fn events(source: Side<'_>, target: Side<'_>, found: &mut Comparison) -> Result<()> {
    let (mut theirs, mut ours) = (PageRequest::largest(), PageRequest::largest());
    let mut verifier = Some(ChainVerifier::new(None));
    loop {
        let left = source.0.events(source.1, &EventRange::default(), &theirs).await?;
        let right = target.0.events(target.1, &EventRange::default(), &ours).await?;
        for (theirs, ours) in left.items.iter().zip(&right.items) {
            if theirs != ours || canonical_payloads(theirs) != canonical_payloads(ours) {
                found.differ(format!("event {} differs", theirs.sequence));
            }
            let broken = verifier.as_mut().and_then(|verifier| verifier.push(ours).err());
            if let Some(broken) = broken {
                found.differ(format!("the target's {}", broken.message()));
                verifier = None;
            }
        }
        found.events += left.items.len() as u64;
        if left.items.len() != right.items.len() || left.next.is_none() != right.next.is_none() {
            found.differ("the target's chain has another length than the source's".to_owned());
            return Ok(());
        }
        if left.next.is_none() {
            return Ok(());
        }
        (theirs, ours) = (theirs.after(left.next), ours.after(right.next));
    }
}

fn canonical_payloads(entry: &mnemic_core::ChainedEvent) -> Option<String> {
    entry.event.as_ref().map(|event| {
        let mut text = String::new();
        write_canonical_object(&event.payload, &mut text);
        text
    })
}

async fn slots(source: Side<'_>, target: Side<'_>, thread: &ThreadId, found: &mut Comparison) -> Result<()> {
    let theirs = source.0.slots_history(source.1, thread).await?;
    let ours = target.0.slots_history(target.1, thread).await?;
    let name = quoted(thread.as_str());
    if theirs.len() != ours.len() {
        let (theirs, ours) = (theirs.len(), ours.len());
        found.differ(format!("thread {name} has {theirs} versions of slots in the source, {ours} in the target"));
    }
    for (theirs, ours) in theirs.iter().zip(&ours).filter(|(theirs, ours)| theirs != ours) {
        found.differ(format!("version {} of the slots of thread {name} differs ({})", theirs.version, ours.version));
    }
    found.threads += 1;
    found.slots += theirs.len() as u64;
    Ok(())
}

async fn outboxes(source: Side<'_>, target: Side<'_>, expected: Expected<'_>, found: &mut Comparison) -> Result<()> {
    let compared = |items: Vec<OutboxItem>| -> Vec<OutboxItem> {
        items.into_iter().filter(|item| expected == Expected::Same || item.task != Task::Embed).collect()
    };
    let theirs = compared(source.0.outbox(source.1, usize::MAX).await?);
    let ours = compared(target.0.outbox(target.1, usize::MAX).await?);
    if theirs != ours {
        found.differ(format!(
            "outstanding work differs: {} items in the source, {} in the target",
            theirs.len(),
            ours.len()
        ));
    }
    Ok(())
}
