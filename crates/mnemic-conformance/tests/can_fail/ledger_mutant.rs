//! A true ledger with one promise broken. Not here: which case must notice (`can_fail_ledger`).

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use mnemic_core::{
    Address, Assignment, Batch, ChainedEvent, Change, ChangeSeq, Embedding, EraseReceipt, EraseTarget, Erasure,
    ErrorKind, Field, Filter, MemoryRecord, Namespace, Order, OutboxId, OutboxItem, Page, PageRequest, PastChange,
    PastCommit, Precondition, Receipt, RecordDelete, RecordId, RecordWrite, Result, Revision, Role, StoredRecord,
    ThreadId, ThreadSummary, Timestamp, VersionedSlots,
    ports::{EventRange, Ledger, LedgerReport, NamespaceReport, Read, SlotsRevision},
};
use mnemic_ledgers::InMemoryLedger;

/// The promise that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breach {
    RoundsEmbeddings,
    AcknowledgesWithoutStoring,
    CreatesAnewOnReplace,
    CommitsPartOfARefusedBatch,
    IgnoresPreconditions,
    MixesNamespaces,
    AnswersOncePerId,
    ScansInWrongOrder,
    IgnoresFilters,
    RepeatsAtPageBoundary,
    LosesHistoryOnDelete,
    KeepsNewestRevisionOnly,
    IgnoresAsOf,
    TakesStaleEmbeddings,
    TakesAnIdTwice,
    RewritesCommitTimes,
    SwallowsEventConflicts,
    IgnoresThreads,
    IgnoresSlotPreconditions,
    ListsSlotsOldestFirst,
    RepeatsChanges,
    NeverSettles,
    IgnoresIdempotency,
    LeaksErasedHistory,
    ErasesRecordsOnly,
    RemembersErasedVersions,
    ListsNamespacesBackwards,
    ForgetsOnClose,
    LosesRacingWrites,
    RepeatsWithoutHistory,
    RepeatsAgain,
    TakesAnyEpoch,
    ForgetsTheRole,
    CommitsWhileMoving,
    ClearsAMemory,
    KeepsTheHistoryOfWhatIsCleared,
}

#[derive(Debug)]
pub(crate) struct Mutant {
    breach: Breach,
    inner: InMemoryLedger,
    /// What acknowledges writes that are then lost.
    scratch: InMemoryLedger,
    busy: AtomicBool,
    erased: Mutex<Vec<(Namespace, RecordId, Vec<Revision>)>>,
}

impl Mutant {
    pub(crate) fn new(breach: Breach) -> Self {
        Self {
            breach,
            inner: InMemoryLedger::new(),
            scratch: InMemoryLedger::new(),
            busy: AtomicBool::new(false),
            erased: Mutex::new(Vec::new()),
        }
    }

    fn is(&self, breach: Breach) -> bool {
        self.breach == breach
    }

    fn place(&self, namespace: &Namespace) -> Namespace {
        if self.is(Breach::MixesNamespaces) { Namespace::new("one-for-all").unwrap() } else { namespace.clone() }
    }

    fn read(&self, mut read: Read) -> Read {
        if self.is(Breach::IgnoresAsOf) {
            read.as_of = None;
        }
        read
    }

    fn shown(&self, mut stored: StoredRecord) -> StoredRecord {
        if self.is(Breach::RoundsEmbeddings)
            && let Some(embedding) = &stored.embedding
        {
            let rounded: Vec<f32> =
                embedding.components().iter().map(|x| f32::from_bits(x.to_bits() & !0xfff)).collect();
            stored.embedding = Some(Embedding::new(embedding.model(), rounded).unwrap());
        }
        stored
    }

    async fn version(&self, ns: &Namespace, id: &RecordId) -> mnemic_core::Version {
        let found = self.inner.fetch(ns, std::slice::from_ref(id), Read::default()).await.unwrap().remove(0);
        found.map(|stored| stored.record.version).unwrap_or_default()
    }

    /// Changes a batch before it is committed.
    async fn bend(&self, ns: &Namespace, batch: &mut Batch) {
        match self.breach {
            Breach::IgnoresPreconditions => {
                batch.writes.iter_mut().for_each(|write| write.expect = Precondition::Any);
                batch.deletes.iter_mut().for_each(|delete| delete.expect = Precondition::Any);
            }
            Breach::IgnoresSlotPreconditions => batch.slots.iter_mut().for_each(|s| s.expect = Precondition::Any),
            Breach::IgnoresIdempotency => batch.idempotency = None,
            Breach::TakesAnIdTwice => {
                let mut seen = std::collections::BTreeSet::new();
                batch.writes.retain(|write| seen.insert(write.record.id.clone()));
                batch.deletes.retain(|delete| seen.insert(delete.id.clone()));
            }
            Breach::TakesStaleEmbeddings => {
                for late in &mut batch.embeddings {
                    late.version = self.version(ns, &late.id).await;
                }
            }
            Breach::CreatesAnewOnReplace => {
                let mut first = Batch::new(batch.at);
                let ids = batch.writes.iter().map(|write| write.record.id.clone());
                first.deletes = ids.map(|id| RecordDelete { id, expect: Precondition::Any }).collect();
                // A batch that names an id twice is refused below.
                let _refused = self.inner.commit(ns, first).await;
            }
            _ => {}
        }
    }
}

#[async_trait]
impl Ledger for Mutant {
    async fn commit(&self, namespace: &Namespace, mut batch: Batch) -> Result<Receipt> {
        let ns = &self.place(namespace);
        self.bend(ns, &mut batch).await;
        match self.breach {
            Breach::CommitsWhileMoving if matches!(self.inner.assignment(ns).await?.role, Role::Moving { .. }) => {
                let moving = self.inner.assignment(ns).await?;
                let serving = self.inner.assign(ns, moving.epoch, Role::default()).await?;
                let receipt = self.inner.commit(ns, batch).await;
                self.inner.assign(ns, serving.epoch, moving.role).await?;
                receipt
            }
            Breach::AcknowledgesWithoutStoring => self.scratch.commit(ns, batch).await,
            Breach::LosesRacingWrites => {
                if self.busy.swap(true, Ordering::SeqCst) {
                    return self.scratch.commit(ns, batch).await;
                }
                tokio::task::yield_now().await;
                let receipt = self.inner.commit(ns, batch).await;
                self.busy.store(false, Ordering::SeqCst);
                receipt
            }
            Breach::CommitsPartOfARefusedBatch => {
                let mut part = Batch::new(batch.at);
                part.events = batch.events.iter().take(1).cloned().collect();
                let receipt = self.inner.commit(ns, batch).await;
                if receipt.is_err() {
                    self.inner.commit(ns, part).await?;
                }
                receipt
            }
            Breach::SwallowsEventConflicts => match self.inner.commit(ns, batch.clone()).await {
                Err(error) if error.kind() == ErrorKind::Conflict && !batch.events.is_empty() => {
                    batch.events.clear();
                    self.inner.commit(ns, batch).await
                }
                outcome => outcome,
            },
            _ => self.inner.commit(ns, batch).await,
        }
    }

    async fn fetch(&self, namespace: &Namespace, ids: &[RecordId], read: Read) -> Result<Vec<Option<StoredRecord>>> {
        let mut asked = ids.to_vec();
        if self.is(Breach::AnswersOncePerId) {
            asked.sort();
            asked.dedup();
        }
        let found = self.inner.fetch(&self.place(namespace), &asked, self.read(read)).await?;
        Ok(found.into_iter().map(|stored| stored.map(|stored| self.shown(stored))).collect())
    }

    async fn scan(
        &self,
        namespace: &Namespace,
        filter: &Filter,
        read: Read,
        page: &PageRequest,
    ) -> Result<Page<StoredRecord>> {
        let everything = Filter::all();
        let filter = if self.is(Breach::IgnoresFilters) { &everything } else { filter };
        let mut page = page.clone();
        if self.is(Breach::ScansInWrongOrder) {
            page.order = Order::Newest;
        }
        let mut found = self.inner.scan(&self.place(namespace), filter, self.read(read), &page).await?;
        if self.is(Breach::RepeatsAtPageBoundary) && page.after.is_some() && found.items.len() < page.limit() {
            found.items.extend(found.items.first().cloned());
        }
        found.items = found.items.into_iter().map(|stored| self.shown(stored)).collect();
        Ok(found)
    }

    async fn history(&self, namespace: &Namespace, id: &RecordId) -> Result<Vec<Revision>> {
        let ns = &self.place(namespace);
        let mut history = self.inner.history(ns, id).await?;
        match self.breach {
            Breach::KeepsNewestRevisionOnly => history.truncate(1),
            Breach::LosesHistoryOnDelete if self.version(ns, id).await == mnemic_core::Version::NONE => history.clear(),
            Breach::LeaksErasedHistory if history.is_empty() => {
                let erased = self.erased.lock().unwrap();
                let kept = erased.iter().find(|(n, i, _)| (n, i) == (ns, id));
                history = kept.map(|(_, _, history)| history.clone()).unwrap_or_default();
            }
            _ => {}
        }
        Ok(history)
    }

    async fn events(
        &self,
        namespace: &Namespace,
        range: &EventRange,
        page: &PageRequest,
    ) -> Result<Page<ChainedEvent>> {
        let mut range = range.clone();
        if self.is(Breach::IgnoresThreads) {
            range.thread_id = None;
        }
        let mut found = self.inner.events(&self.place(namespace), &range, page).await?;
        if self.is(Breach::RewritesCommitTimes) {
            found.items.iter_mut().for_each(|entry| entry.recorded_at = Timestamp::from_micros(0).unwrap());
        }
        Ok(found)
    }

    async fn threads(&self, namespace: &Namespace, page: &PageRequest) -> Result<Page<ThreadSummary>> {
        self.inner.threads(&self.place(namespace), page).await
    }

    async fn slots(
        &self,
        namespace: &Namespace,
        thread: &ThreadId,
        as_of: Option<Timestamp>,
    ) -> Result<VersionedSlots> {
        self.inner.slots(&self.place(namespace), thread, as_of).await
    }

    async fn slots_history(&self, namespace: &Namespace, thread: &ThreadId) -> Result<Vec<SlotsRevision>> {
        let mut history = self.inner.slots_history(&self.place(namespace), thread).await?;
        if self.is(Breach::ListsSlotsOldestFirst) {
            history.reverse();
        }
        Ok(history)
    }

    async fn slot_threads(&self, namespace: &Namespace, page: &PageRequest) -> Result<Page<ThreadId>> {
        self.inner.slot_threads(&self.place(namespace), page).await
    }

    async fn head(&self, namespace: &Namespace) -> Result<ChangeSeq> {
        self.inner.head(&self.place(namespace)).await
    }

    async fn changes(&self, namespace: &Namespace, after: ChangeSeq, limit: usize) -> Result<Vec<Change>> {
        let after = if self.is(Breach::RepeatsChanges) { ChangeSeq(after.0.saturating_sub(1)) } else { after };
        self.inner.changes(&self.place(namespace), after, limit).await
    }

    async fn outbox(&self, namespace: &Namespace, limit: usize) -> Result<Vec<OutboxItem>> {
        self.inner.outbox(&self.place(namespace), limit).await
    }

    async fn settle(&self, namespace: &Namespace, ids: &[OutboxId]) -> Result<()> {
        if self.is(Breach::NeverSettles) {
            return Ok(());
        }
        self.inner.settle(&self.place(namespace), ids).await
    }

    async fn namespaces(&self, page: &PageRequest) -> Result<Page<Namespace>> {
        let mut page = page.clone();
        if self.is(Breach::ListsNamespacesBackwards) {
            page.order = Order::Newest;
        }
        self.inner.namespaces(&page).await
    }

    async fn assignment(&self, namespace: &Namespace) -> Result<Assignment> {
        self.inner.assignment(&self.place(namespace)).await
    }

    async fn assign(&self, namespace: &Namespace, seen: u64, role: Role) -> Result<Assignment> {
        let ns = &self.place(namespace);
        let role = if self.is(Breach::ForgetsTheRole) { Role::default() } else { role };
        let seen = if self.is(Breach::TakesAnyEpoch) { self.inner.assignment(ns).await?.epoch } else { seen };
        self.inner.assign(ns, seen, role).await
    }

    async fn clear(&self, namespace: &Namespace, seen: u64) -> Result<Assignment> {
        let ns = &self.place(namespace);
        let before = self.inner.assignment(ns).await?;
        match self.breach {
            Breach::ClearsAMemory if !matches!(before.role, Role::Copy { .. } | Role::Moved { .. }) => {
                let of = Address::new("dir:/nowhere", ns.clone())?;
                let copy = self.inner.assign(ns, seen, Role::Copy { of }).await?;
                self.inner.clear(ns, copy.epoch).await
            }
            Breach::KeepsTheHistoryOfWhatIsCleared => self.inner.assign(ns, seen, before.emptied(seen)?.role).await,
            _ => self.inner.clear(ns, seen).await,
        }
    }

    async fn repeat(&self, namespace: &Namespace, commits: &[PastCommit]) -> Result<ChangeSeq> {
        let ns = &self.place(namespace);
        let mut commits = commits.to_vec();
        if self.is(Breach::RepeatsWithoutHistory) {
            for write in commits.iter_mut().flat_map(|commit| &mut commit.changes) {
                if let PastChange::Written(write) = write
                    && write.embedding.is_none()
                {
                    write.record = None;
                }
            }
        }
        if self.is(Breach::RepeatsAgain) {
            let head = self.inner.head(ns).await?.0;
            for (i, commit) in (head + 1..).zip(&mut commits) {
                commit.first = ChangeSeq(i);
            }
        }
        self.inner.repeat(ns, &commits).await
    }

    async fn erase(&self, namespace: &Namespace, mut erasure: Erasure) -> Result<EraseReceipt> {
        let ns = &self.place(namespace);
        if let EraseTarget::Subject(user) = &erasure.target
            && self.is(Breach::ErasesRecordsOnly)
        {
            let theirs = Filter::equals(Field::UserId, user.as_str());
            let found = self.inner.scan(ns, &theirs, Read::default(), &PageRequest::largest()).await?;
            erasure.target = EraseTarget::Records(found.items.into_iter().map(|stored| stored.record.id).collect());
        }
        let mut ids = Vec::new();
        if let EraseTarget::Records(named) = &erasure.target {
            ids.clone_from(named);
        }
        for id in &ids {
            let history = self.inner.history(ns, id).await?;
            self.erased.lock().unwrap().push((ns.clone(), id.clone(), history));
        }
        let at = erasure.at;
        let receipt = self.inner.erase(ns, erasure).await?;
        if self.is(Breach::RemembersErasedVersions) {
            for id in ids {
                let mut blank = Batch::new(at);
                let record = MemoryRecord::new(id.clone(), "x", at);
                blank.writes = vec![RecordWrite { record, embedding: None, expect: Precondition::Any, tasks: vec![] }];
                self.inner.commit(ns, blank).await?;
                let mut gone = Batch::new(at);
                gone.deletes = vec![RecordDelete { id, expect: Precondition::Any }];
                self.inner.commit(ns, gone).await?;
            }
        }
        Ok(receipt)
    }

    async fn report(&self, namespace: &Namespace) -> Result<NamespaceReport> {
        self.inner.report(&self.place(namespace)).await
    }

    async fn check(&self) -> Result<LedgerReport> {
        self.inner.check().await
    }
}
