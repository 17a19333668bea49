//! What each batch of a group does, decided from what is known and what the batches before it in the group did. A batch is refused
//! before it changes anything, so that it happens whole or not at all. Not here: reading (`known`), writing (`save`).

use std::collections::BTreeMap;

use mnemic_core::{
    AppendOutcome, Appended, AuditEvent, Batch, ChangeSeq, Embedding, EmbeddingModel, EmbeddingWrite, EventId,
    Idempotency, OutboxId, Receipt, RecordDelete, RecordId, RecordWrite, Result, Salt, Sequence, SlotWrite, Slots,
    Task, ThreadId, Timestamp, Version, Written, ids::quoted, policy::audit,
};

use super::{
    error::whole,
    known::{Held, Kept, Known, Line},
    rows::{Columns, EventRow, RecordRow, RevisionRow, Vector},
    save::{OutboxRow, Writes},
};
use crate::{
    feed_form::{self, Kind},
    rules,
    stored::{self, RecordColumns},
};

/// A group of batches that become one transaction.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) known: Known,
    pub(super) writes: Writes,
}

/// What one batch would do. Nothing of the group is changed before it is complete.
struct Draft<'b> {
    at: i64,
    /// The position before the batch, and after what was drafted so far.
    before: u64,
    head: u64,
    packed: Vec<u8>,
    steps: Vec<Step<'b>>,
    /// Versions of what the batch itself writes and deletes.
    versions: BTreeMap<&'b RecordId, Version>,
    receipt: Receipt,
}

enum Step<'b> {
    Write { row: Box<RecordRow>, embedding: Option<&'b Embedding>, tasks: &'b [Task] },
    Delete(&'b RecordId, i64),
    Embed(&'b RecordId, &'b Embedding),
    Append(Box<EventRow>),
    Slots { thread: &'b ThreadId, held: Held, seq: i64, body: Vec<u8> },
}

impl Draft<'_> {
    /// Adds a change to the feed and tells its position.
    fn publish(&mut self, kind: Kind, subject: u64, version: u64) -> u64 {
        feed_form::encode(&mut self.packed, kind, subject, version);
        self.head += 1;
        self.head
    }

    /// The position that the next change gets.
    fn next(&self) -> u64 {
        self.head + 1
    }
}

impl Group {
    /// Decides a batch: its receipt, or why it is refused. A refused batch leaves the group as it was.
    pub(super) fn commit(&mut self, batch: &Batch) -> Result<Receipt> {
        if let Some(request) = &batch.idempotency
            && let Some(receipt) = self.replay(request)?
        {
            return Ok(receipt);
        }
        self.known.assignment.check_serving()?;
        rules::check_batch(batch)?;
        for write in &batch.writes {
            write.expect.check(rules::named(&write.record.id), self.version(&write.record.id))?;
        }
        for delete in &batch.deletes {
            delete.expect.check(rules::named(&delete.id), self.version(&delete.id))?;
        }
        let before = self.known.position.head;
        let mut draft = Draft {
            at: batch.at.as_micros(),
            before,
            head: before,
            packed: Vec::new(),
            steps: Vec::new(),
            versions: BTreeMap::new(),
            receipt: Receipt::default(),
        };
        for write in &batch.writes {
            self.draft_write(&mut draft, write)?;
        }
        for delete in &batch.deletes {
            self.draft_delete(&mut draft, delete)?;
        }
        for write in &batch.embeddings {
            self.draft_embedding(&mut draft, write);
        }
        self.draft_events(&mut draft, &batch.events, batch.at)?;
        self.draft_slots(&mut draft, &batch.slots)?;
        self.finish(draft, batch)
    }

    /// Removes finished work; what is not there needs none.
    pub(super) fn settle(&mut self, ids: &[OutboxId]) {
        for id in ids.iter().filter_map(|id| i64::try_from(id.0).ok()) {
            self.writes.outbox.remove(&id);
            self.writes.settled.insert(id);
        }
    }

    fn replay(&self, request: &Idempotency) -> Result<Option<Receipt>> {
        match self.known.receipts.get(&request.key) {
            None => Ok(None),
            Some(kept) if kept.fingerprint != request.fingerprint => Err(Idempotency::conflict()),
            Some(kept) => Ok(Some(Receipt { replayed: true, ..kept.receipt.clone() })),
        }
    }

    fn version(&self, id: &RecordId) -> Version {
        self.known.lines.get(id).filter(|line| line.live).map_or(Version::NONE, |line| Version(line.version))
    }

    fn draft_write<'b>(&self, draft: &mut Draft<'b>, write: &'b RecordWrite) -> Result<()> {
        let record = &write.record;
        let line = self.known.lines.get(&record.id);
        let ordinal = line.map_or(draft.next(), |line| line.ordinal);
        let version = Version(line.map_or(0, |line| line.version)).next();
        let earliest = line.filter(|line| line.live).map_or(i64::MAX, |line| line.created_at);
        let created_at = record.created_at.as_micros().min(earliest);
        let seq = draft.publish(Kind::Written, ordinal, version.0);
        let user = record.user_id.as_ref().map(AsRef::as_ref);
        let columns = RecordColumns { id: record.id.as_str(), version: version.0, created_at, user };
        let row = RecordRow {
            ordinal: whole(ordinal)?,
            id: record.id.clone(),
            version: whole(version.0)?,
            seq: whole(seq)?,
            created_at,
            user: record.user_id.clone(),
            held: Some((stored::pack_record(record, &columns)?, Columns::of(record))),
            vector: None,
            new: line.is_none(),
        };
        let created_at = Timestamp::from_micros(created_at)?;
        draft.receipt.writes.push(Written { id: record.id.clone(), version, created_at });
        draft.versions.insert(&record.id, version);
        draft.steps.push(Step::Write { row: Box::new(row), embedding: write.embedding.as_ref(), tasks: &write.tasks });
        Ok(())
    }

    fn draft_delete<'b>(&self, draft: &mut Draft<'b>, delete: &'b RecordDelete) -> Result<()> {
        let live = self.known.lines.get(&delete.id).filter(|line| line.live);
        draft.receipt.deletes.push(live.map(|line| Version(line.version)));
        if let Some(line) = live {
            let seq = draft.publish(Kind::Deleted, line.ordinal, line.version);
            draft.versions.insert(&delete.id, Version::NONE);
            draft.steps.push(Step::Delete(&delete.id, whole(seq)?));
        }
        Ok(())
    }

    fn draft_embedding<'b>(&self, draft: &mut Draft<'b>, write: &'b EmbeddingWrite) {
        let current = draft.versions.get(&write.id).copied().unwrap_or_else(|| self.version(&write.id));
        let taken = write.version != Version::NONE && current == write.version;
        draft.receipt.embeddings.push(taken);
        if taken {
            let drafted = draft.steps.iter().find_map(|step| match step {
                Step::Write { row, .. } if row.id == write.id => u64::try_from(row.ordinal).ok(),
                _ => None,
            });
            let ordinal = drafted.or_else(|| self.known.lines.get(&write.id).map(|line| line.ordinal)).unwrap_or(0);
            draft.publish(Kind::Embedded, ordinal, write.version.0);
            draft.steps.push(Step::Embed(&write.id, &write.embedding));
        }
    }

    fn draft_events<'b>(&self, draft: &mut Draft<'b>, events: &'b [AuditEvent], at: Timestamp) -> Result<()> {
        let (mut sequence, mut tail) = (self.known.position.sequence, self.known.position.tail);
        let mut fresh: BTreeMap<&EventId, (Sequence, &AuditEvent)> = BTreeMap::new();
        for (event, Salt(salt)) in events.iter().zip(rules::salts(events.len())?) {
            let stored = self.known.events.get(&event.event_id).map(|(at, held)| (*at, held));
            let appended = match stored.or_else(|| fresh.get(&event.event_id).copied()) {
                Some((_, held)) if held != event => return Err(rules::event_conflict(event)),
                Some((sequence, _)) => Appended { sequence, outcome: AppendOutcome::Duplicate },
                None => {
                    sequence += 1;
                    let commitment = audit::commitment(&Salt(salt), event);
                    let hash = audit::link(&tail, Sequence(sequence), at, &commitment);
                    draft.steps.push(Step::Append(Box::new(EventRow {
                        sequence: whole(sequence)?,
                        recorded_at: at.as_micros(),
                        event: event.clone(),
                        body: stored::pack_event(event)?,
                        salt,
                        commitment: commitment.0,
                        previous: tail.0,
                        hash: hash.0,
                    })));
                    tail = hash;
                    draft.publish(Kind::Appended, sequence, 0);
                    fresh.insert(&event.event_id, (Sequence(sequence), event));
                    Appended { sequence: Sequence(sequence), outcome: AppendOutcome::New }
                }
            };
            draft.receipt.events.push(appended);
        }
        Ok(())
    }

    fn draft_slots<'b>(&self, draft: &mut Draft<'b>, writes: &'b [SlotWrite]) -> Result<()> {
        let mut made: BTreeMap<&ThreadId, Held> = BTreeMap::new();
        for write in writes {
            let thread = &write.thread_id;
            let new = || Held { ordinal: draft.next(), version: Version::NONE, slots: Slots::new() };
            let held = made.remove(thread).or_else(|| self.known.slots.get(thread).cloned()).unwrap_or_else(new);
            write.expect.check(format_args!("slots of thread {}", quoted(thread.as_str())), held.version)?;
            let held = Held { version: held.version.next(), slots: write.applied_to(&held.slots)?, ..held };
            let seq = whole(draft.publish(Kind::Slots, held.ordinal, held.version.0))?;
            let body = stored::pack_slots(&held.slots)?;
            draft.receipt.slots.push(held.version);
            draft.steps.push(Step::Slots { thread, held: held.clone(), seq, body });
            made.insert(thread, held);
        }
        Ok(())
    }

    /// Completes the draft and applies it, which cannot fail.
    fn finish(&mut self, mut draft: Draft<'_>, batch: &Batch) -> Result<Receipt> {
        let changed = draft.head > draft.before;
        draft.receipt.changes = changed.then(|| (ChangeSeq(draft.before + 1), ChangeSeq(draft.head)));
        let last = whole(draft.head)?;
        let kept = match &batch.idempotency {
            Some(request) => Some((request, stored::pack_receipt(&draft.receipt)?)),
            None => None,
        };
        // Nothing below can fail, so the batch is applied whole.
        if changed {
            let seal = feed_form::seal(draft.head, draft.at, &draft.packed);
            draft.packed.splice(..0, seal);
            self.writes.commits.push((last, draft.at, draft.packed));
            self.known.position.head = draft.head;
        }
        for step in draft.steps {
            self.apply(step, draft.at);
        }
        self.settle(&batch.settle);
        if let Some((request, body)) = kept {
            let life = i64::try_from(rules::RECEIPT_LIFE.as_micros()).unwrap_or(i64::MAX);
            let before = draft.at.saturating_sub(life);
            self.writes.receipts_before = Some(self.writes.receipts_before.map_or(before, |other| other.min(before)));
            self.writes.receipts.push((request.key.clone(), request.fingerprint.0, draft.at, body));
            let kept = Kept { fingerprint: request.fingerprint, receipt: draft.receipt.clone() };
            self.known.receipts.insert(request.key.clone(), kept);
        }
        Ok(draft.receipt)
    }

    fn apply(&mut self, step: Step<'_>, at: i64) {
        match step {
            Step::Write { mut row, embedding, tasks } => {
                self.supersede(&row.id);
                row.new = !self.known.lines.contains_key(&row.id)
                    || self.writes.records.get(&row.ordinal).is_some_and(|earlier| earlier.new);
                row.vector = embedding.map(|embedding| Vector::of(self.model_no(embedding.model()), embedding));
                for (i, task) in (0i64..).zip(tasks) {
                    let (task, version) = (feed_form::task_text(task), row.version);
                    let waiting = OutboxRow { task, ordinal: row.ordinal, version, since: at };
                    self.writes.outbox.insert(row.seq << rules::TASK_BITS | i, waiting);
                }
                let line = Line {
                    ordinal: row.ordinal as u64,
                    version: row.version as u64,
                    created_at: row.created_at,
                    user: row.user.clone(),
                    live: true,
                };
                self.known.lines.insert(row.id.clone(), line);
                self.writes.records.insert(row.ordinal, *row);
            }
            Step::Delete(id, seq) => self.apply_delete(id, seq),
            Step::Embed(id, embedding) => {
                let Some(ordinal) = self.known.lines.get(id).map(|line| line.ordinal as i64) else { return };
                let vector = Vector::of(self.model_no(embedding.model()), embedding);
                match self.writes.records.get_mut(&ordinal) {
                    Some(row) => row.vector = Some(vector),
                    None => drop(self.writes.vectors.insert(ordinal, vector)),
                }
            }
            Step::Append(row) => {
                let position = &mut self.known.position;
                (position.sequence, position.tail) = (row.sequence as u64, mnemic_core::Digest(row.hash));
                let known = (Sequence(position.sequence), row.event.clone());
                self.known.events.insert(row.event.event_id.clone(), known);
                self.writes.events.push(*row);
            }
            Step::Slots { thread, held, seq, body } => {
                let (ordinal, version) = (held.ordinal as i64, held.version.0 as i64);
                self.writes.slot_threads.insert(ordinal, (thread.clone(), held.slots.len() as i32));
                self.writes.slot_revisions.push((ordinal, seq, version, body));
                self.known.slots.insert(thread.clone(), held);
            }
        }
    }

    fn apply_delete(&mut self, id: &RecordId, seq: i64) {
        self.supersede(id);
        let Some(line) = self.known.lines.get_mut(id) else { return };
        line.live = false;
        let ordinal = line.ordinal as i64;
        let row = RecordRow {
            ordinal,
            id: id.clone(),
            version: line.version as i64,
            seq,
            created_at: line.created_at,
            user: line.user.clone(),
            held: None,
            vector: None,
            new: self.writes.records.get(&ordinal).is_some_and(|earlier| earlier.new),
        };
        self.writes.records.insert(ordinal, row);
    }

    /// Moves what a record is now into its history, and voids its outstanding work.
    pub(super) fn supersede(&mut self, id: &RecordId) {
        let Some(line) = self.known.lines.get(id) else { return };
        let ordinal = line.ordinal as i64;
        self.writes.outbox.retain(|_, waiting| waiting.ordinal != ordinal);
        self.writes.vectors.remove(&ordinal);
        let Some(row) = self.writes.records.get_mut(&ordinal) else {
            self.writes.superseded.push(ordinal);
            self.writes.voided.insert(ordinal);
            return;
        };
        let body = row.held.take().map(|(body, _)| body);
        let (seq, version, created_at) = (row.seq, row.version, row.created_at);
        let user = row.user.clone().filter(|_| body.is_some());
        self.writes.revisions.push(RevisionRow { ordinal, seq, version, created_at, user, body });
    }

    /// The number of a model, a new one if it has none.
    pub(super) fn model_no(&mut self, model: &EmbeddingModel) -> i32 {
        if let Some((no, _)) = self.known.models.iter().find(|(_, known)| known == model) {
            return *no;
        }
        let no = self.known.models.iter().map(|(no, _)| *no).max().unwrap_or(0) + 1;
        self.known.models.push((no, model.clone()));
        self.writes.models.push((no, model.clone()));
        no
    }
}
