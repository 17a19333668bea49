//! Reading commits out of a ledger, with everything that is still known of them. Not here: what was erased of commits that were read
//! before (`removed`).

use std::collections::{BTreeMap, HashMap};

use mnemic_core::{
    ChainedEvent, Change, ChangeSeq, Changed, Error, ErrorKind, Namespace, OutboxItem, PageRequest, PastChange,
    PastCommit, PastWrite, RecordId, Removed, Result, Retry, Revision, RevisionKind, Sequence, StoredRecord, ThreadId,
    Version, limits,
    ports::{Embeddings, EventRange, Ledger, Read, SlotsRevision},
};

/// How often a page is read anew because something was erased while it was read.
const TRIES: usize = 20;

/// The commits after a position, at most `limit` changes of them. Empty at the end of the feed.
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
        let changes = ledger.changes(namespace, after, limit).await?;
        let known = Known::gather(ledger, namespace, &changes).await?;
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
}

impl Known {
    async fn gather(ledger: &dyn Ledger, namespace: &Namespace, changes: &[Change]) -> Result<Self> {
        let mut known = Self::default();
        known.gather_records(ledger, namespace, changes).await?;
        known.gather_events(ledger, namespace, changes).await?;
        for change in changes {
            let Changed::Slots(Some(thread), _) = &change.what else { continue };
            if !known.slots.contains_key(thread) {
                known.slots.insert(thread.clone(), ledger.slots_history(namespace, thread).await?);
            }
        }
        Ok(known)
    }

    async fn gather_records(&mut self, ledger: &dyn Ledger, namespace: &Namespace, changes: &[Change]) -> Result<()> {
        let named = |change: &Change| match &change.what {
            Changed::Written(id, version) | Changed::Embedded(id, version) => Some((id.clone(), *version)),
            _ => None,
        };
        let written: Vec<(RecordId, Version)> = changes.iter().filter_map(named).collect();
        let mut ids: Vec<RecordId> = written.iter().map(|(id, _)| id.clone()).collect();
        ids.sort();
        ids.dedup();
        let read = Read { as_of: None, embeddings: Embeddings::Include };
        for ids in ids.chunks(limits::BATCH) {
            let found = ledger.fetch(namespace, ids, read).await?;
            self.current.extend(found.into_iter().flatten().map(|stored| (stored.record.id.clone(), stored)));
        }
        for (id, version) in &written {
            let current = self.current.get(id).is_some_and(|stored| stored.record.version == *version);
            if !current && !self.histories.contains_key(id) {
                self.histories.insert(id.clone(), ledger.history(namespace, id).await?);
            }
        }
        if !written.is_empty() {
            for item in ledger.outbox(namespace, usize::MAX).await? {
                self.tasks.entry(item.record_id.clone()).or_default().push(item);
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
        let mut page = PageRequest::largest();
        loop {
            let found = ledger.events(namespace, &range, &page).await?;
            let reached = found.items.last().is_none_or(|entry| entry.sequence >= last);
            self.events.extend(found.items.into_iter().map(|entry| (entry.sequence, entry)));
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
