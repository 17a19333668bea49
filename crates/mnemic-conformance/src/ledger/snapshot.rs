//! Everything that can be read of a namespace, to be compared as a whole. Not here: what it ought to be.

use std::collections::{BTreeMap, BTreeSet};

use mnemic_core::{
    ChainedEvent, Change, ChangeSeq, Changed, Filter, Namespace, OutboxItem, RecordId, Revision, StoredRecord,
    ThreadId, ThreadSummary, VersionedSlots, limits,
    policy::audit::ChainVerifier,
    ports::{Embeddings, EventRange, Ledger, NamespaceReport, Read, SlotsRevision},
};

use crate::walk::{Walk, everything};

/// Reads what is there now, with embeddings.
pub(super) const WITH_EMBEDDINGS: Read = Read { as_of: None, embeddings: Embeddings::Include };

/// Everything that can be read of a namespace.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Snapshot {
    pub(super) records: Vec<StoredRecord>,
    pub(super) histories: BTreeMap<RecordId, Vec<Revision>>,
    pub(super) events: Vec<ChainedEvent>,
    pub(super) threads: Vec<ThreadSummary>,
    pub(super) slots: BTreeMap<ThreadId, (VersionedSlots, Vec<SlotsRevision>)>,
    pub(super) head: ChangeSeq,
    pub(super) changes: Vec<Change>,
    pub(super) outbox: Vec<OutboxItem>,
    pub(super) report: NamespaceReport,
}

impl Snapshot {
    /// Reads everything, and verifies the chain.
    pub(super) async fn take(ledger: &dyn Ledger, ns: &Namespace) -> Self {
        let records = records(ledger, ns, &Filter::all(), WITH_EMBEDDINGS, Walk::LARGEST).await;
        let changes = changes(ledger, ns, ChangeSeq::default(), limits::BATCH).await;
        let named = changes.iter().filter_map(|change| match &change.what {
            Changed::Written(id, _)
            | Changed::Embedded(id, _)
            | Changed::Deleted(id, _)
            | Changed::Erased(Some(id)) => Some(id.clone()),
            Changed::Erased(None) | Changed::Appended(_) | Changed::EventErased(_) | Changed::Slots(..) => None,
        });
        let ids: BTreeSet<RecordId> = named.chain(records.iter().map(|stored| stored.record.id.clone())).collect();
        let mut histories = BTreeMap::new();
        for id in ids {
            let history = ledger.history(ns, &id).await.unwrap();
            histories.insert(id, history);
        }
        let events = events(ledger, ns, &EventRange::default()).await;
        verify(&events);
        let mut report = ledger.report(ns).await.unwrap();
        // Bytes on disk change by housekeeping too.
        report.bytes = 0;
        Self {
            records,
            histories,
            events,
            threads: threads(ledger, ns).await,
            slots: slots(ledger, ns).await,
            head: ledger.head(ns).await.unwrap(),
            changes,
            outbox: ledger.outbox(ns, limits::BATCH).await.unwrap(),
            report,
        }
    }

    /// Fails at the first part that differs.
    #[track_caller]
    pub(super) fn assert_same(&self, now: &Self, when: &str) {
        assert_eq!(self.records, now.records, "records, {when}");
        assert_eq!(self.histories, now.histories, "histories, {when}");
        assert_eq!(self.events, now.events, "events, {when}");
        assert_eq!(self.threads, now.threads, "threads, {when}");
        assert_eq!(self.slots, now.slots, "slots, {when}");
        assert_eq!(self.head, now.head, "head of the feed, {when}");
        assert_eq!(self.changes, now.changes, "changes, {when}");
        assert_eq!(self.outbox, now.outbox, "outbox, {when}");
        assert_eq!(self.report, now.report, "report, {when}");
    }

    /// Fails unless nothing at all is there.
    #[track_caller]
    pub(super) fn assert_empty(&self, when: &str) {
        let nothing = Self {
            records: Vec::new(),
            histories: BTreeMap::new(),
            events: Vec::new(),
            threads: Vec::new(),
            slots: BTreeMap::new(),
            head: ChangeSeq::default(),
            changes: Vec::new(),
            outbox: Vec::new(),
            report: NamespaceReport::default(),
        };
        nothing.assert_same(self, when);
    }
}

/// Fails unless the entries are a whole chain from its first one on.
#[track_caller]
pub(super) fn verify(entries: &[ChainedEvent]) {
    let mut verifier = ChainVerifier::new(None);
    for entry in entries {
        verifier.push(entry).unwrap();
    }
    let (end, _) = verifier.finish().unwrap();
    assert_eq!(end.sequence.0, entries.len() as u64, "the chain is read whole");
}

/// Every record that a walk visits.
pub(super) async fn records(
    ledger: &dyn Ledger,
    ns: &Namespace,
    filter: &Filter,
    read: Read,
    walk: Walk,
) -> Vec<StoredRecord> {
    everything!(walk, |page| ledger.scan(ns, filter, read, page))
}

/// Every event in the range.
pub(super) async fn events(ledger: &dyn Ledger, ns: &Namespace, range: &EventRange) -> Vec<ChainedEvent> {
    everything!(Walk::LARGEST, |page| ledger.events(ns, range, page))
}

/// Every thread that holds events.
pub(super) async fn threads(ledger: &dyn Ledger, ns: &Namespace) -> Vec<ThreadSummary> {
    everything!(Walk::LARGEST, |page| ledger.threads(ns, page))
}

/// Every thread's slots and their history.
pub(super) async fn slots(
    ledger: &dyn Ledger,
    ns: &Namespace,
) -> BTreeMap<ThreadId, (VersionedSlots, Vec<SlotsRevision>)> {
    let listed = everything!(Walk::LARGEST, |page| ledger.slot_threads(ns, page));
    assert!(listed.is_sorted_by(|a, b| a < b), "threads with slots are ordered by id, each once: {listed:?}");
    let mut slots = BTreeMap::new();
    for thread in listed {
        let now = ledger.slots(ns, &thread, None).await.unwrap();
        let history = ledger.slots_history(ns, &thread).await.unwrap();
        slots.insert(thread, (now, history));
    }
    slots
}

/// Every change after a position, read in pages of `limit`; each page is held to its promise.
pub(super) async fn changes(ledger: &dyn Ledger, ns: &Namespace, after: ChangeSeq, limit: usize) -> Vec<Change> {
    let (mut all, mut reached) = (Vec::new(), after);
    loop {
        let page = ledger.changes(ns, reached, limit).await.unwrap();
        assert!(page.len() <= limit, "{} changes, asked for {limit}", page.len());
        for change in &page {
            assert!(change.seq > reached, "position {:?} comes after {reached:?}", change.seq);
            reached = change.seq;
        }
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}
