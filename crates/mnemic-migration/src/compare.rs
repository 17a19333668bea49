//! Whether two ledgers hold the same memory: every record, revision, embedding, event and slot by its content, never by counts.
//! Not here: what differs between two nouns (`fields`), and indexes, which each side compares with its own ledger.
//!
//! It walks both feeds and compares a record or a thread where its first write stands, so that it never holds more than a page of either.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt as _, TryStreamExt as _, future::try_join, stream};
use mnemic_core::{
    ChainedEvent, Change, ChangeSeq, Changed, EmbeddingModel, ErrorKind, Filter, OutboxItem, Page, PageRequest,
    RecordId, Result, Revision, StoredRecord, Task, ThreadId, ThreadSummary, Version,
    ids::quoted,
    limits,
    policy::audit::ChainVerifier,
    ports::{Embeddings, EventRange, Read, SlotsRevision},
};

use crate::{
    fields::{canonical_payloads, differing_embedding, differing_field, differing_revision, told, told_work},
    removed::Side,
};

/// Differences that are told one by one.
const TOLD: usize = 1000;
/// Records that are read at once, since each may be long.
const RECORDS: usize = 100;
/// Events that are read at once, for the same reason.
const EVENTS: usize = 100;
/// Histories that are read at once.
pub(crate) const AT_ONCE: usize = 8;

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

/// What one page of the feeds writes first. A version 1 that the feed tells is the first write of a record or a thread that was not
/// erased since, so that each is named once.
#[derive(Default)]
struct Begun {
    records: BTreeSet<RecordId>,
    threads: BTreeSet<ThreadId>,
}

impl Begun {
    fn of(feeds: [&[Change]; 2]) -> Self {
        let mut begun = Self::default();
        for change in feeds.into_iter().flatten() {
            match &change.what {
                Changed::Written(id, Version(1)) => drop(begun.records.insert(id.clone())),
                Changed::Slots(Some(thread), Version(1)) => drop(begun.threads.insert(thread.clone())),
                _ => {}
            }
        }
        begun
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
    let (mut found, mut after) = (Comparison::default(), ChangeSeq(0));
    loop {
        let theirs = source.0.changes(source.1, after, limits::BATCH);
        let (theirs, ours) = try_join(theirs, target.0.changes(target.1, after, limits::BATCH)).await?;
        let Some(reached) = theirs.last().into_iter().chain(ours.last()).map(|change| change.seq).max() else { break };
        feeds(&theirs, &ours, after, &mut found);
        let begun = Begun::of([&theirs, &ours]);
        let ids: Vec<RecordId> = begun.records.into_iter().collect();
        for ids in ids.chunks(RECORDS) {
            let read = records(source, target, ids, expected, &mut found).await;
            damage(read, &mut found)?;
        }
        let read = threads(source, target, begun.threads, &mut found).await;
        damage(read, &mut found)?;
        after = reached;
    }
    let read = listed_records(source, target, &mut found).await;
    damage(read, &mut found)?;
    let read = events(source, target, &mut found).await;
    damage(read, &mut found)?;
    let read = listed_threads(source, target, &mut found).await;
    damage(read, &mut found)?;
    outboxes(source, target, expected, &mut found).await?;
    Ok(found)
}

/// What cannot be read is a difference, and keeps nothing else from being compared.
fn damage(read: Result<()>, found: &mut Comparison) -> Result<()> {
    match read {
        Err(error) if error.kind() == ErrorKind::Corrupted => {
            found.differ(error.message().to_owned());
            Ok(())
        }
        other => other,
    }
}

/// One page of both feeds.
fn feeds(theirs: &[Change], ours: &[Change], after: ChangeSeq, found: &mut Comparison) {
    for (theirs, ours) in theirs.iter().zip(ours).filter(|(theirs, ours)| theirs != ours) {
        let what = [told(&theirs.what), told(&ours.what)];
        let seq = theirs.seq.0;
        if theirs.what == ours.what && theirs.seq == ours.seq {
            found
                .differ(format!("change {seq}: {} at {} in the source, {} in the target", what[0], theirs.at, ours.at));
        } else {
            found.differ(format!("change {seq}: {} in the source, {} in the target", what[0], what[1]));
        }
    }
    found.changes += theirs.len() as u64;
    if theirs.len() != ours.len() {
        let reached = [theirs, ours].map(|feed| feed.last().map_or(after, |last| last.seq).0);
        found.differ(format!("the feed reaches position {} in the source, {} in the target", reached[0], reached[1]));
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
    let (theirs, ours) = try_join(source.0.fetch(source.1, ids, read), target.0.fetch(target.1, ids, read)).await?;
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
    }
    // Made before they are awaited: a closure in the stream would tie them to one lifetime.
    let read: Vec<_> =
        ids.iter().map(|id| try_join(source.0.history(source.1, id), target.0.history(target.1, id))).collect();
    let mut read = stream::iter(read).buffered(AT_ONCE);
    for id in ids {
        let Some((theirs, ours)) = read.try_next().await? else { break };
        revisions(id, &theirs, &ours, found);
    }
    Ok(())
}

fn revisions(id: &RecordId, theirs: &[Revision], ours: &[Revision], found: &mut Comparison) {
    let name = quoted(id.as_str());
    if theirs.len() != ours.len() {
        let (theirs, ours) = (theirs.len(), ours.len());
        found.differ(format!("record {name} has {theirs} revisions in the source, {ours} in the target"));
    }
    for (position, (theirs, ours)) in theirs.iter().zip(ours).enumerate() {
        if let Some(field) = differing_revision(theirs, ours) {
            found.differ(format!("revision {} of record {name}, newest first, differs in {field}", position + 1));
        }
    }
    found.records += 1;
    found.revisions += theirs.len() as u64;
}

async fn threads(
    source: Side<'_>,
    target: Side<'_>,
    threads: BTreeSet<ThreadId>,
    found: &mut Comparison,
) -> Result<()> {
    let both = |thread| try_join(source.0.slots_history(source.1, thread), target.0.slots_history(target.1, thread));
    let read: Vec<_> = threads.iter().map(both).collect();
    let mut read = stream::iter(read).buffered(AT_ONCE);
    for thread in &threads {
        let Some((theirs, ours)) = read.try_next().await? else { break };
        slots(thread, &theirs, &ours, found);
    }
    Ok(())
}

fn slots(thread: &ThreadId, theirs: &[SlotsRevision], ours: &[SlotsRevision], found: &mut Comparison) {
    let name = quoted(thread.as_str());
    if theirs.len() != ours.len() {
        let (theirs, ours) = (theirs.len(), ours.len());
        found.differ(format!("thread {name} has {theirs} versions of slots in the source, {ours} in the target"));
    }
    for (theirs, ours) in theirs.iter().zip(ours).filter(|(theirs, ours)| theirs != ours) {
        found.differ(format!("version {} of the slots of thread {name} differs ({})", theirs.version, ours.version));
    }
    found.threads += 1;
    found.slots += theirs.len() as u64;
}

/// Compares a page of two lists. Tells the first place where they differ, by name, and answers whether both go on.
fn page<T>(
    what: &str,
    theirs: &Page<T>,
    ours: &Page<T>,
    (name, same): (impl Fn(&T) -> String, impl Fn(&T, &T) -> bool),
    found: &mut Comparison,
) -> bool {
    let common = theirs.items.len().min(ours.items.len());
    let differing = theirs.items.iter().zip(&ours.items).find(|(theirs, ours)| !same(theirs, ours));
    if let Some((theirs, ours)) = differing {
        let (theirs, ours) = (name(theirs), name(ours));
        found.differ(format!("the list of {what} differs: {theirs} in the source, {ours} in the target"));
    } else if let Some(lacking) = theirs.items.get(common) {
        found.differ(format!("the list of {what} ends before {} in the target", name(lacking)));
    } else if let Some(beyond) = ours.items.get(common) {
        found.differ(format!("the list of {what} holds {} in the target beyond the source's end", name(beyond)));
    } else if theirs.next.is_none() != ours.next.is_none() {
        found.differ(format!("the list of {what} has another length in the target"));
    } else {
        return theirs.next.is_some();
    }
    false
}

/// The order in which records are listed, and that no other is.
async fn listed_records(source: Side<'_>, target: Side<'_>, found: &mut Comparison) -> Result<()> {
    let (mut theirs, mut ours) = (PageRequest::first(RECORDS)?, PageRequest::first(RECORDS)?);
    let (filter, read) = (Filter::all(), Read::default());
    loop {
        let left = source.0.scan(source.1, &filter, read, &theirs);
        let (left, right) = try_join(left, target.0.scan(target.1, &filter, read, &ours)).await?;
        let name = |stored: &StoredRecord| format!("record {}", quoted(stored.record.id.as_str()));
        let same = |theirs: &StoredRecord, ours: &StoredRecord| theirs.record.id == ours.record.id;
        if !page("records", &left, &right, (name, same), found) {
            return Ok(());
        }
        (theirs, ours) = (theirs.after(left.next), ours.after(right.next));
    }
}

async fn events(source: Side<'_>, target: Side<'_>, found: &mut Comparison) -> Result<()> {
    let (mut theirs, mut ours) = (PageRequest::first(EVENTS)?, PageRequest::first(EVENTS)?);
    let (range, mut verifier) = (EventRange::default(), Some(ChainVerifier::new(None)));
    loop {
        let left = source.0.events(source.1, &range, &theirs);
        let (left, right) = try_join(left, target.0.events(target.1, &range, &ours)).await?;
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
        let name = |entry: &ChainedEvent| format!("event {}", entry.sequence);
        if !page("events", &left, &right, (name, |_: &ChainedEvent, _: &ChainedEvent| true), found) {
            return Ok(());
        }
        (theirs, ours) = (theirs.after(left.next), ours.after(right.next));
    }
}

/// Threads with events, and threads with slots.
async fn listed_threads(source: Side<'_>, target: Side<'_>, found: &mut Comparison) -> Result<()> {
    let (mut theirs, mut ours) = (PageRequest::largest(), PageRequest::largest());
    loop {
        let (left, right) = try_join(source.0.threads(source.1, &theirs), target.0.threads(target.1, &ours)).await?;
        let name = |thread: &ThreadSummary| {
            let (id, last) = (quoted(thread.thread_id.as_str()), thread.last_at);
            format!("thread {id} with {} events from {} to {} at {last}", thread.events, thread.first, thread.last)
        };
        if !page("threads", &left, &right, (name, |a: &ThreadSummary, b: &ThreadSummary| a == b), found) {
            break;
        }
        (theirs, ours) = (theirs.after(left.next), ours.after(right.next));
    }
    let (mut theirs, mut ours) = (PageRequest::largest(), PageRequest::largest());
    loop {
        let (left, right) =
            try_join(source.0.slot_threads(source.1, &theirs), target.0.slot_threads(target.1, &ours)).await?;
        let name = |thread: &ThreadId| format!("thread {}", quoted(thread.as_str()));
        if !page("threads with slots", &left, &right, (name, |a: &ThreadId, b: &ThreadId| a == b), found) {
            return Ok(());
        }
        (theirs, ours) = (theirs.after(left.next), ours.after(right.next));
    }
}

async fn outboxes(source: Side<'_>, target: Side<'_>, expected: Expected<'_>, found: &mut Comparison) -> Result<()> {
    let compared = |items: Vec<OutboxItem>| -> Vec<OutboxItem> {
        items.into_iter().filter(|item| expected == Expected::Same || item.task != Task::Embed).collect()
    };
    let theirs = compared(source.0.outbox(source.1, usize::MAX).await?);
    let ours = compared(target.0.outbox(target.1, usize::MAX).await?);
    let by_id = |items: &[OutboxItem]| items.iter().map(|item| (item.id, item.clone())).collect::<BTreeMap<_, _>>();
    for (items, other, how) in
        [(&theirs, by_id(&ours), "is not in the target"), (&ours, by_id(&theirs), "is only in the target")]
    {
        for item in items.iter().filter(|item| other.get(&item.id) != Some(item)) {
            found.differ(format!("outstanding work {} {how}", told_work(item)));
        }
    }
    Ok(())
}
