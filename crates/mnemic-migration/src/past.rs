//! Reading commits out of a ledger, with everything that is still known of them. Not here: what was erased of commits that were read
//! before (`removed`).

use std::collections::{BTreeMap, HashMap, HashSet};

use mnemic_core::{
    ChainedEvent, Change, ChangeSeq, Changed, Error, ErrorKind, MemoryRecord, Namespace, Object, OutboxItem,
    PageRequest, PastChange, PastCommit, PastWrite, RecordId, Removed, Result, Retry, Revision, RevisionKind, Sequence,
    StoredRecord, ThreadId, Value, Version, limits,
    ports::{Embeddings, EventRange, Ledger, Read, SlotsRevision},
};

/// How often a page is read anew because something was erased while it was read.
const TRIES: usize = 20;
/// Changes that are looked up at once.
const STRETCH: usize = 100;
/// Bytes after which a page ends, so that memory does not grow with what records hold.
const BYTES: usize = 8 << 20;

/// The commits after a position: at most `limit` changes of them, and fewer where they are large. Empty at the end of the feed.
///
/// What is erased while the page is read makes it be read again: a page tells of one moment.
///
/// # Errors
/// What the ledger gives, and `Unavailable` if it is erased from faster than it can be read.
pub async fn past(
    ledger: &dyn Ledger,
    namespace: &Namespace,
    after: ChangeSeq,
    limit: usize,
) -> Result<Vec<PastCommit>> {
    for _ in 0..TRIES {
        let before = ledger.head(namespace).await?;
        let mut changes = ledger.changes(namespace, after, limit).await?;
        let (known, covered) = Known::gather(ledger, namespace, &changes).await?;
        changes.truncate(covered);
        if !erased_since(ledger, namespace, before).await? {
            return Ok(commits(&changes, known));
        }
    }
    let message = "the memory is erased from faster than it can be read";
    Err(Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Soon))
}

/// Whether something was erased after a position.
async fn erased_since(ledger: &dyn Ledger, namespace: &Namespace, mut after: ChangeSeq) -> Result<bool> {
    loop {
        let changes = ledger.changes(namespace, after, limits::BATCH).await?;
        let Some(last) = changes.last() else { return Ok(false) };
        if changes.iter().any(|change| tells_of_erasure(&change.what)) {
            return Ok(true);
        }
        after = last.seq;
    }
}

/// Every erasure leaves such a change, or an event in the journal.
pub(crate) fn tells_of_erasure(what: &Changed) -> bool {
    matches!(what, Changed::Erased(_) | Changed::EventErased(_) | Changed::Slots(None, _))
}

/// What the ledger still knows of some changes.
#[derive(Default)]
struct Known {
    current: HashMap<RecordId, StoredRecord>,
    histories: HashMap<RecordId, Vec<Revision>>,
    tasks: HashMap<RecordId, Vec<OutboxItem>>,
    events: BTreeMap<Sequence, ChainedEvent>,
    slots: HashMap<ThreadId, Vec<SlotsRevision>>,
    /// Records that were asked for, whether they are there or not.
    looked_up: HashSet<RecordId>,
    /// About how many bytes all of this takes.
    bytes: usize,
}

/// About how many bytes a record takes.
fn weight(record: &MemoryRecord) -> usize {
    256 + record.text.len() + weight_of(&record.metadata)
}

fn of_revision(revision: &Revision) -> usize {
    match &revision.what {
        RevisionKind::Written(record) => weight(record),
        RevisionKind::Deleted(_) => 64,
    }
}

fn weight_of(object: &Object) -> usize {
    object.iter().map(|(key, value)| 64 + key.len() + of_value(value)).sum()
}

fn of_value(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 32,
        Value::String(text) => 32 + text.len(),
        Value::Array(values) => 32 + values.iter().map(of_value).sum::<usize>(),
        Value::Object(object) => 32 + weight_of(object),
    }
}

impl Known {
    /// Looks changes up until that makes too many bytes, and tells how many it covered.
    async fn gather(ledger: &dyn Ledger, namespace: &Namespace, changes: &[Change]) -> Result<(Self, usize)> {
        let (mut known, mut covered) = (Self::default(), 0);
        for stretch in changes.chunks(STRETCH) {
            known.gather_records(ledger, namespace, stretch).await?;
            known.gather_events(ledger, namespace, stretch).await?;
            known.gather_slots(ledger, namespace, stretch).await?;
            covered += stretch.len();
            if known.bytes >= BYTES {
                break;
            }
        }
        if changes.iter().take(covered).any(|change| matches!(change.what, Changed::Written(..))) {
            for item in ledger.outbox(namespace, usize::MAX).await? {
                known.tasks.entry(item.record_id.clone()).or_default().push(item);
            }
        }
        Ok((known, covered))
    }

    async fn gather_records(&mut self, ledger: &dyn Ledger, namespace: &Namespace, changes: &[Change]) -> Result<()> {
        let named = |change: &Change| match &change.what {
            Changed::Written(id, version) | Changed::Embedded(id, version) => Some((id.clone(), *version)),
            _ => None,
        };
        let written: Vec<(RecordId, Version)> = changes.iter().filter_map(named).collect();
        // What was looked up after the feed was read is as good as what would be now: nothing that the feed told is newer.
        let unknown = |(id, _): &&(RecordId, Version)| !self.looked_up.contains(id);
        let mut ids: Vec<RecordId> = written.iter().filter(unknown).map(|(id, _)| id.clone()).collect();
        ids.sort();
        ids.dedup();
        let read = Read { as_of: None, embeddings: Embeddings::Include };
        for stored in ledger.fetch(namespace, &ids, read).await?.into_iter().flatten() {
            self.bytes += weight(&stored.record);
            self.bytes += stored.embedding.as_ref().map_or(0, |made| size_of_val(made.components()));
            self.current.insert(stored.record.id.clone(), stored);
        }
        self.looked_up.extend(ids);
        for (id, version) in &written {
            let current = self.current.get(id).is_some_and(|stored| stored.record.version == *version);
            if !current && !self.histories.contains_key(id) {
                let history = ledger.history(namespace, id).await?;
                self.bytes += history.iter().map(of_revision).sum::<usize>();
                self.histories.insert(id.clone(), history);
            }
        }
        Ok(())
    }

    async fn gather_slots(&mut self, ledger: &dyn Ledger, namespace: &Namespace, changes: &[Change]) -> Result<()> {
        for change in changes {
            let Changed::Slots(Some(thread), _) = &change.what else { continue };
            if !self.slots.contains_key(thread) {
                let history = ledger.slots_history(namespace, thread).await?;
                let texts = history.iter().flat_map(|revision| revision.slots.values());
                self.bytes += texts.map(String::len).sum::<usize>();
                self.slots.insert(thread.clone(), history);
            }
        }
        Ok(())
    }

    async fn gather_events(&mut self, ledger: &dyn Ledger, namespace: &Namespace, changes: &[Change]) -> Result<()> {
        let appended = |change: &Change| match change.what {
            Changed::Appended(sequence) => Some(sequence),
            _ => None,
        };
        let (Some(first), Some(last)) =
            (changes.iter().filter_map(appended).min(), changes.iter().filter_map(appended).max())
        else {
            return Ok(());
        };
        let range = EventRange { after: Sequence(first.0.saturating_sub(1)), ..EventRange::default() };
        let mut page = PageRequest::first(STRETCH)?;
        loop {
            let found = ledger.events(namespace, &range, &page).await?;
            let reached = found.items.last().is_none_or(|entry| entry.sequence >= last);
            for entry in found.items {
                self.bytes += entry.event.as_ref().map_or(0, |event| weight_of(&event.payload));
                self.events.insert(entry.sequence, entry);
            }
            if reached || found.next.is_none() {
                return Ok(());
            }
            page = page.after(found.next);
        }
    }

    fn change(&mut self, what: &Changed) -> PastChange {
        match what {
            Changed::Written(id, version) => self.written(id, *version),
            Changed::Embedded(id, version) => {
                let embedding = self.stored(id, *version).and_then(|stored| stored.embedding.clone());
                PastChange::Embedded { id: id.clone(), version: *version, embedding }
            }
            Changed::Deleted(id, version) => PastChange::Deleted { id: id.clone(), version: *version },
            Changed::Erased(id) => PastChange::Erased(id.clone()),
            Changed::Appended(sequence) => match self.events.remove(sequence) {
                Some(entry) => PastChange::Appended(Box::new(entry)),
                // A chain has no gaps, so this is a fault of the ledger; the target's check of the chain tells of it.
                None => PastChange::EventErased(*sequence),
            },
            Changed::EventErased(sequence) => PastChange::EventErased(*sequence),
            Changed::Slots(thread, version) => self.slots(thread.as_ref(), *version),
        }
    }

    /// The record, if this is its last revision.
    fn stored(&self, id: &RecordId, version: Version) -> Option<&StoredRecord> {
        self.current.get(id).filter(|stored| stored.record.version == version)
    }

    fn written(&self, id: &RecordId, version: Version) -> PastChange {
        let stored = self.stored(id, version);
        let superseded = || {
            self.histories.get(id)?.iter().find_map(|revision| match &revision.what {
                RevisionKind::Written(record) if record.version == version => Some((**record).clone()),
                _ => None,
            })
        };
        let tasks = self.tasks.get(id).into_iter().flatten().filter(|item| item.version == version);
        PastChange::Written(Box::new(PastWrite {
            id: id.clone(),
            version,
            record: stored.map(|stored| stored.record.clone()).or_else(superseded),
            embedding: stored.and_then(|stored| stored.embedding.clone()),
            tasks: tasks.cloned().collect(),
        }))
    }

    fn slots(&self, thread: Option<&ThreadId>, version: Version) -> PastChange {
        let Some(thread_id) = thread else { return PastChange::SlotsErased(version) };
        let revision = self.slots.get(thread_id).into_iter().flatten().find(|revision| revision.version == version);
        match revision {
            Some(revision) => {
                PastChange::Slots { thread_id: thread_id.clone(), version, slots: revision.slots.clone() }
            }
            None => PastChange::SlotsErased(version),
        }
    }
}

/// Changes of one instant that follow each other are one commit.
fn commits(changes: &[Change], mut known: Known) -> Vec<PastCommit> {
    let groups = changes.chunk_by(|a, b| a.at == b.at);
    let commit = |group: &[Change]| {
        let first = group.first()?;
        Some(PastCommit {
            first: first.seq,
            at: first.at,
            changes: group.iter().map(|change| known.change(&change.what)).collect(),
            removed: Removed::default(),
        })
    };
    groups.filter_map(commit).collect()
}
