//! The model: what a namespace ought to hold, in the plainest form. Not here: reading a real ledger (`compare`).

use std::collections::{BTreeMap, BTreeSet};

use mnemic_core::{
    AuditEvent, Batch, Changed, Embedding, ErrorKind, EventId, Idempotency, MemoryRecord, OutboxId, Precondition,
    RecordId, Sequence, Slots, Task, ThreadId, Timestamp, UserId, Version,
};

use super::ops::user_name;

/// One revision: what the record became, or that it was removed.
#[derive(Clone, Debug)]
pub(super) struct Revision {
    pub(super) commit: usize,
    pub(super) at: Timestamp,
    pub(super) record: Option<MemoryRecord>,
    pub(super) version: Version,
}

/// Everything that one id ever was, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    pub(super) revisions: Vec<Revision>,
    pub(super) embedding: Option<Embedding>,
}

impl Line {
    /// What it was after a commit.
    pub(super) fn after(&self, commit: usize) -> Option<&MemoryRecord> {
        self.revisions.iter().rev().find(|revision| revision.commit <= commit)?.record.as_ref()
    }

    pub(super) fn now(&self) -> Option<&MemoryRecord> {
        self.after(usize::MAX)
    }
}

/// One version of a thread's slots.
#[derive(Clone, Debug)]
pub(super) struct SlotsVersion {
    pub(super) commit: usize,
    pub(super) at: Timestamp,
    pub(super) version: Version,
    pub(super) slots: Slots,
}

/// One task that waits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Waiting {
    pub(super) commit: usize,
    pub(super) record_id: RecordId,
    pub(super) version: Version,
    pub(super) task: Task,
    pub(super) since: Timestamp,
}

/// What a commit ought to answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Answer {
    pub(super) writes: Vec<(Version, Timestamp)>,
    pub(super) deletes: Vec<Option<Version>>,
    pub(super) embeddings: Vec<bool>,
    pub(super) events: Vec<(Sequence, bool)>,
    pub(super) slots: Vec<Version>,
    pub(super) replayed: bool,
}

/// What a namespace ought to hold.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// When each commit was made.
    pub(super) commits: Vec<Timestamp>,
    /// In order of first insertion.
    pub(super) records: Vec<(RecordId, Line)>,
    /// The chain: when, and what unless it was erased.
    pub(super) events: Vec<(Timestamp, Option<AuditEvent>)>,
    pub(super) slots: BTreeMap<ThreadId, Vec<SlotsVersion>>,
    pub(super) outbox: Vec<Waiting>,
    /// What each commit added to the feed, since the last erasure.
    pub(super) feed: Vec<(Timestamp, Vec<Changed>)>,
    answers: BTreeMap<String, (Idempotency, Answer)>,
    pub(super) erasures: usize,
    /// Which of its threads each user is at; another one after an erasure.
    threads: BTreeMap<u8, usize>,
    /// The ids that the ledger gave to what waits, for settling; refreshed from the ledger.
    pub(super) task_ids: Vec<(OutboxId, RecordId, Version, Task)>,
}

impl State {
    pub(super) fn line(&self, id: &str) -> Option<&Line> {
        self.records.iter().find(|(known, _)| known.as_str() == id).map(|(_, line)| line)
    }

    pub(super) fn version(&self, id: &str) -> Version {
        self.line(id).and_then(Line::now).map_or(Version::NONE, |record| record.version)
    }

    pub(super) fn slots_version(&self, thread: &ThreadId) -> Version {
        self.slots.get(thread).and_then(|all| all.last()).map_or(Version::NONE, |last| last.version)
    }

    pub(super) fn thread_name(&self, user: u8) -> String {
        format!("t{user}-{}", self.threads.get(&user).copied().unwrap_or(0))
    }

    pub(super) fn oldest_task(&self) -> Option<OutboxId> {
        self.task_ids.first().map(|(id, ..)| *id)
    }

    /// Applies a batch, or says why it ought to be refused.
    pub(super) fn commit(&mut self, batch: &Batch) -> Result<Answer, ErrorKind> {
        if let Some(request) = &batch.idempotency
            && let Some((first, answer)) = self.answers.get(&request.key)
        {
            let same = first.fingerprint == request.fingerprint;
            return if same { Ok(Answer { replayed: true, ..answer.clone() }) } else { Err(ErrorKind::Conflict) };
        }
        // The model is small: a copy is changed, and kept only if no part is refused.
        let mut next = self.clone();
        let answer = next.apply(batch)?;
        if let Some(request) = &batch.idempotency {
            next.answers.insert(request.key.clone(), (request.clone(), answer.clone()));
        }
        *self = next;
        Ok(answer)
    }

    fn apply(&mut self, batch: &Batch) -> Result<Answer, ErrorKind> {
        self.check(batch)?;
        let (at, commit) = (batch.at, self.commits.len());
        self.commits.push(at);
        let mut told = Vec::new();
        let mut answer = Answer::default();
        for write in &batch.writes {
            let record = self.write(&write.record, commit, at);
            told.push(Changed::Written(record.id.clone(), record.version));
            answer.writes.push((record.version, record.created_at));
            self.set_embedding(&record.id, write.embedding.clone());
            self.outbox.retain(|waiting| waiting.record_id != record.id);
            self.outbox.extend(write.tasks.iter().map(|task| Waiting {
                commit,
                record_id: record.id.clone(),
                version: record.version,
                task: task.clone(),
                since: at,
            }));
        }
        for delete in &batch.deletes {
            let version = self.delete(&delete.id, commit, at);
            told.extend(version.map(|version| Changed::Deleted(delete.id.clone(), version)));
            answer.deletes.push(version);
        }
        for late in &batch.embeddings {
            let taken = late.version != Version::NONE && self.version(late.id.as_str()) == late.version;
            if taken {
                self.set_embedding(&late.id, Some(late.embedding.clone()));
                told.push(Changed::Embedded(late.id.clone(), late.version));
            }
            answer.embeddings.push(taken);
        }
        for event in &batch.events {
            let (sequence, new) = self.append(event, at)?;
            told.extend(new.then_some(Changed::Appended(sequence)));
            answer.events.push((sequence, new));
        }
        for write in &batch.slots {
            let version = self.slots_version(&write.thread_id);
            check(write.expect, version)?;
            let all = self.slots.entry(write.thread_id.clone()).or_default();
            let before = all.last().map(|last| last.slots.clone()).unwrap_or_default();
            let slots = write.applied_to(&before).map_err(|error| error.kind())?;
            all.push(SlotsVersion { commit, at, version: version.next(), slots });
            told.push(Changed::Slots(Some(write.thread_id.clone()), version.next()));
            answer.slots.push(version.next());
        }
        self.settle(&batch.settle);
        if !told.is_empty() {
            self.feed.push((at, told));
        }
        Ok(answer)
    }

    fn check(&self, batch: &Batch) -> Result<(), ErrorKind> {
        let mut seen = BTreeSet::new();
        let ids = batch.writes.iter().map(|w| &w.record.id).chain(batch.deletes.iter().map(|d| &d.id));
        if !ids.into_iter().all(|id| seen.insert(id)) {
            return Err(ErrorKind::InvalidInput);
        }
        for write in &batch.writes {
            check(write.expect, self.version(write.record.id.as_str()))?;
        }
        batch.deletes.iter().try_for_each(|delete| check(delete.expect, self.version(delete.id.as_str())))
    }

    fn write(&mut self, given: &MemoryRecord, commit: usize, at: Timestamp) -> MemoryRecord {
        if self.line(given.id.as_str()).is_none() {
            self.records.push((given.id.clone(), Line::default()));
        }
        let line = self.line_mut(&given.id).unwrap();
        let mut record = given.clone();
        record.version = line.revisions.last().map_or(Version::NONE, |last| last.version).next();
        if let Some(old) = line.now() {
            record.created_at = record.created_at.min(old.created_at);
        }
        line.revisions.push(Revision { commit, at, version: record.version, record: Some(record.clone()) });
        record
    }

    fn delete(&mut self, id: &RecordId, commit: usize, at: Timestamp) -> Option<Version> {
        let line = self.line_mut(id)?;
        let version = line.now()?.version;
        line.revisions.push(Revision { commit, at, version, record: None });
        line.embedding = None;
        self.outbox.retain(|waiting| waiting.record_id != *id);
        Some(version)
    }

    fn append(&mut self, event: &AuditEvent, at: Timestamp) -> Result<(Sequence, bool), ErrorKind> {
        let known = self.events.iter().position(|(_, e)| e.as_ref().is_some_and(|e| e.event_id == event.event_id));
        match known {
            Some(n) if self.events[n].1.as_ref() == Some(event) => Ok((Sequence(n as u64 + 1), false)),
            Some(_) => Err(ErrorKind::Conflict),
            None => {
                self.events.push((at, Some(event.clone())));
                Ok((Sequence(self.events.len() as u64), true))
            }
        }
    }

    fn line_mut(&mut self, id: &RecordId) -> Option<&mut Line> {
        self.records.iter_mut().find(|(known, _)| known == id).map(|(_, line)| line)
    }

    fn set_embedding(&mut self, id: &RecordId, embedding: Option<Embedding>) {
        if let Some(line) = self.line_mut(id) {
            line.embedding = embedding;
        }
    }

    /// Removes what waits under these ids.
    pub(super) fn settle(&mut self, ids: &[OutboxId]) {
        let settled: Vec<_> = self.task_ids.iter().filter(|(id, ..)| ids.contains(id)).cloned().collect();
        self.outbox.retain(|waiting| {
            !settled.iter().any(|(_, record_id, version, task)| {
                (record_id, version, task) == (&waiting.record_id, &waiting.version, &waiting.task)
            })
        });
    }

    /// Erases records. Returns which there were and how many events went with them.
    pub(super) fn erase_records(&mut self, ids: &[RecordId]) -> (BTreeSet<RecordId>, usize) {
        let gone: BTreeSet<RecordId> =
            self.records.iter().map(|(id, _)| id).filter(|id| ids.contains(id)).cloned().collect();
        let lines = self.records.iter().filter(|(id, _)| gone.contains(id)).flat_map(|(_, line)| &line.revisions);
        let sources: BTreeSet<EventId> =
            lines.filter_map(|revision| revision.record.as_ref()).flat_map(|r| r.provenance.events.clone()).collect();
        self.records.retain(|(id, _)| !gone.contains(id));
        self.outbox.retain(|waiting| !gone.contains(&waiting.record_id));
        (gone, self.erase_events(|event| sources.contains(&event.event_id)))
    }

    /// Erases a user. Returns which records there were and how many events.
    pub(super) fn erase_subject(&mut self, number: u8) -> (BTreeSet<RecordId>, usize) {
        let Some(name) = user_name(number) else { return (BTreeSet::new(), 0) };
        let theirs = |owner: &Option<UserId>| owner.as_ref().is_some_and(|owner| owner.as_str() == name);
        // Whether slots of a thread go whose records and events were all gone before is not promised, so such a thread is
        // neither compared nor used any more.
        self.slots.retain(|thread, _| !thread.as_str().starts_with(&format!("t{number}-")));
        *self.threads.entry(number).or_default() += 1;
        let owned = |line: &Line| line.revisions.iter().any(|r| r.record.as_ref().is_some_and(|r| theirs(&r.user_id)));
        let ids: Vec<RecordId> =
            self.records.iter().filter(|(_, line)| owned(line)).map(|(id, _)| id.clone()).collect();
        let (gone, sources) = self.erase_records(&ids);
        (gone, sources + self.erase_events(|event| theirs(&event.user_id)))
    }

    fn erase_events(&mut self, wanted: impl Fn(&AuditEvent) -> bool) -> usize {
        let of_it = self.events.iter_mut().filter(|(_, event)| event.as_ref().is_some_and(&wanted));
        of_it.map(|(_, event)| *event = None).count()
    }

    /// Ends an erasure: its event, and a feed that is only followed from here on.
    pub(super) fn erased(&mut self, event: AuditEvent, at: Timestamp) {
        self.commits.push(at);
        self.events.push((at, Some(event)));
        self.feed.clear();
        self.answers.clear();
        self.erasures += 1;
    }

    /// The last commit at or before an instant, if there is one.
    pub(super) fn commit_at(&self, as_of: Option<Timestamp>) -> Option<usize> {
        match as_of {
            None => Some(usize::MAX),
            Some(as_of) => self.commits.iter().rposition(|at| *at <= as_of),
        }
    }
}

fn check(expect: Precondition, stored: Version) -> Result<(), ErrorKind> {
    expect.check("", stored).map_err(|error| error.kind())
}
