//! Consolidation: performs a plan in one commit and writes down how to undo it. Not here: the plan (`policy::consolidation`), undoing (`undo`).

use std::collections::{BTreeMap, HashMap};

use mnemic_core::{
    AuditEvent, Batch, Embedding, EventId, Filter, MemoryRecord, Object, Precondition, RecordDelete, RecordId,
    RecordWrite, Result, StoredRecord, Task, ThreadId, Timestamp, UserId, Value,
    policy::consolidation::{ConsolidationPlan, ConsolidationPolicy, plan},
    ports::{Embeddings, Read},
};

use super::{MemoryManager, write::stored};

/// Record ids that one undo note holds at most, so that its payload stays within the limits of events.
const NOTE_IDS: usize = 100;

/// Whether to do it or only to say what would be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trial {
    /// Do it.
    #[default]
    Real,
    /// Only say it.
    Dry,
}

/// What to consolidate, and how.
#[derive(Clone, Debug, Default)]
pub struct Consolidation {
    /// Only records that pass.
    pub filter: Filter,
    /// What may be done.
    pub policy: ConsolidationPolicy,
    /// Whether to do it.
    pub trial: Trial,
}

/// What a consolidation did or would do.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsolidationReport {
    /// Names this consolidation for undoing; `None` if nothing was changed.
    pub id: Option<String>,
    /// What was decided.
    pub plan: ConsolidationPlan,
    /// How many records memory holds after it (or would hold).
    pub remaining: usize,
}

impl MemoryManager {
    /// See [`MemoryManager::consolidate`].
    pub(crate) async fn consolidate_here(&self, how: &Consolidation) -> Result<ConsolidationReport> {
        how.filter.check()?;
        let now = self.now();
        let records = self.read_all(&how.filter).await?;
        let plan = plan(&records, &how.policy, now)?;
        let gone: usize = plan.merges.iter().map(|merge| merge.dropped.len()).sum::<usize>() + plan.prunes.len();
        let remaining = records.len() - gone;
        if how.trial == Trial::Dry || gone == 0 {
            return Ok(ConsolidationReport { id: None, plan, remaining });
        }
        let id = Self::mint(now);
        self.apply_plan(&id, &plan, &records, now).await?;
        Ok(ConsolidationReport { id: Some(id), plan, remaining })
    }

    /// Every record that passes, expired or not.
    pub(super) async fn read_all(&self, filter: &Filter) -> Result<Vec<MemoryRecord>> {
        let mut records = Vec::new();
        self.each_record(filter, Read::default(), |stored| records.push(stored.record)).await?;
        Ok(records)
    }

    async fn apply_plan(
        &self,
        id: &str,
        plan: &ConsolidationPlan,
        records: &[MemoryRecord],
        now: Timestamp,
    ) -> Result<()> {
        let by_id: HashMap<&RecordId, &MemoryRecord> = records.iter().map(|record| (&record.id, record)).collect();
        let version = |id: &RecordId| by_id.get(id).map(|record| record.version).unwrap_or_default();
        let mut batch = Batch::new(now);
        let mut notes = Notes::default();
        let mut embeddings = self.kept_embeddings(plan).await?;
        for merge in &plan.merges {
            let kept = MemoryRecord { updated_at: now, ..merge.kept.clone() };
            notes.add(kept.user_id.as_ref(), "kept", &kept.id, version(&kept.id).0);
            let embedding = embeddings.remove(&kept.id);
            let expect = Precondition::Version(version(&kept.id));
            for id in &merge.dropped {
                notes.add(kept.user_id.as_ref(), "dropped", id, version(id).0);
                batch.deletes.push(RecordDelete { id: id.clone(), expect: Precondition::Version(version(id)) });
            }
            // The new revision inherits the wait of the old one, whose own task ends with it.
            let waits = embedding.is_none() && self.engine.embedder.model().is_some();
            let tasks = if waits { vec![Task::Embed] } else { Vec::new() };
            batch.writes.push(RecordWrite { record: kept, embedding, expect, tasks });
        }
        for prune in &plan.prunes {
            notes.add(prune.user_id.as_ref(), "dropped", &prune.id, version(&prune.id).0);
            batch
                .deletes
                .push(RecordDelete { id: prune.id.clone(), expect: Precondition::Version(version(&prune.id)) });
        }
        batch.events.push(Self::journal("records.consolidated", batch.writes.len() + batch.deletes.len(), now)?);
        for (user_id, payload) in notes.into_payloads() {
            batch.events.push(Self::note(id, "consolidation.applied", user_id, payload, now)?);
        }
        self.commit_changes(batch).await
    }

    /// Merging leaves the text of the kept record as it is, so its embedding stays valid and must come along.
    async fn kept_embeddings(&self, plan: &ConsolidationPlan) -> Result<HashMap<RecordId, Embedding>> {
        let ids: Vec<RecordId> = plan.merges.iter().map(|merge| merge.kept.id.clone()).collect();
        let read = Read { as_of: None, embeddings: Embeddings::Include };
        let stored = self.engine.ledger.fetch(&self.namespace, &ids, read).await?;
        Ok(ids.into_iter().zip(stored).filter_map(|(id, stored)| Some((id, stored?.embedding?))).collect())
    }

    /// An event in a consolidation's own thread. It belongs to the user whose records it names, so that erasing them erases it.
    pub(super) fn note(
        consolidation: &str,
        action: &str,
        user_id: Option<UserId>,
        payload: Object,
        now: Timestamp,
    ) -> Result<AuditEvent> {
        Ok(AuditEvent {
            event_id: EventId::new(Self::mint(now))?,
            timestamp: now,
            user_id,
            thread_id: ThreadId::consolidation(consolidation),
            source: "mnemic".to_owned(),
            action: action.to_owned(),
            payload,
            tags: std::collections::BTreeSet::new(),
        })
    }

    /// Commits writes and deletes and brings the indexes up to date with them.
    pub(super) async fn commit_changes(&self, batch: Batch) -> Result<()> {
        let (writes, deletes) = (batch.writes.clone(), batch.deletes.clone());
        let intent = self.engine.intend(&self.namespace);
        let receipt = self.engine.commit_now(&self.namespace, batch).await?;
        let _under_way = intent.committed(receipt.changes);
        let mut known: Vec<(RecordId, Option<StoredRecord>)> = stored(&writes, &receipt.writes);
        known.extend(deletes.into_iter().map(|delete| (delete.id, None)));
        // What is committed is done; an index that is behind catches up from the feed.
        for behind in self.engine.sync_with(&self.namespace, &known, receipt.changes).await? {
            tracing::warn!(index = behind.index, error = %behind.why, "an index is behind and catches up later");
            self.engine.note_pending(&self.namespace);
        }
        Ok(())
    }
}

/// What undoing needs: which revision each record had, by user.
#[derive(Default)]
struct Notes(BTreeMap<Option<UserId>, Vec<(&'static str, RecordId, u64)>>);

impl Notes {
    fn add(&mut self, user_id: Option<&UserId>, role: &'static str, id: &RecordId, version: u64) {
        self.0.entry(user_id.cloned()).or_default().push((role, id.clone(), version));
    }

    fn into_payloads(self) -> Vec<(Option<UserId>, Object)> {
        let mut payloads = Vec::new();
        for (user_id, notes) in self.0 {
            for chunk in notes.chunks(NOTE_IDS) {
                let records = chunk.iter().map(|(role, id, version)| {
                    Value::Array(vec![Value::from(*role), Value::from(id.as_str()), Value::from(*version)])
                });
                payloads
                    .push((user_id.clone(), Object::from([("records".to_owned(), Value::Array(records.collect()))])));
            }
        }
        payloads
    }
}
