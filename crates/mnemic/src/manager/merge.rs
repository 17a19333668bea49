//! Bringing a memory into another one that goes on by itself: what it holds now is written there, by rule, and may be brought again.
//! Not here: moving a memory with its history and chain (`migrate`), which only an empty place can take.

use std::collections::{BTreeMap, BTreeSet};

use mnemic_core::{
    AppendOutcome, AuditEvent, Error, ErrorKind, Filter, MemoryRecord, PageRequest, Precondition, RecordId, Result,
    SlotMode, StoredRecord, ThreadId, Version, VersionedSlots,
    ids::quoted,
    limits,
    ports::{EventRange, Read},
};

use super::{MemoryManager, SetSlots, WriteOptions};
use crate::{NewEvent, NewRecord};

/// How often a page is looked at again because somebody else wrote there meanwhile.
const TRIES: usize = 10;

/// How names of one memory become names of another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MergeRule {
    /// What stands before the id of a record where the target has another record of that id; the source's namespace and a slash
    /// if absent.
    pub id_prefix: Option<String>,
    /// What stands before the id of every thread; nothing if absent.
    pub thread_prefix: Option<String>,
}

/// How many of a kind were brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Written now.
    pub written: u64,
    /// There already, as they are.
    pub same: u64,
}

/// What was brought into another memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MergeReport {
    /// Records.
    pub records: Merged,
    /// Events.
    pub events: Merged,
    /// Threads with slots.
    pub threads: Merged,
    /// Records that got a prefix, by the id that they have in the source.
    pub renamed: BTreeMap<RecordId, RecordId>,
    /// What was not brought, and why; ids, never contents.
    pub skipped: Vec<String>,
}

/// What becomes of one record.
enum Decided {
    Write(Box<NewRecord>),
    Same,
    Skip(String),
}

/// One merge under way: both places as they serve, and the rule.
struct Merge<'a> {
    source: MemoryManager,
    target: MemoryManager,
    rule: &'a MergeRule,
    report: MergeReport,
}

impl MemoryManager {
    /// Writes what this memory holds now into `target`, a memory that goes on serving. Records keep their times, and their embeddings
    /// where both have one model; one whose id means another record there gets a prefix. Events keep ids and payloads, and get places
    /// in the target's chain. Slots are brought for threads that have none there. History, deleted records and the source's own journal
    /// stay behind. The source is only read.
    ///
    /// It may be stopped anywhere and called again with the same rule: what is there is left as it is. A record or slots that were
    /// changed in the target since are kept as they are there; what was deleted there is brought again.
    ///
    /// # Errors
    /// `Conflict`, before anything is written, if a thread has other slots in the target and no prefix tells them apart;
    /// `InvalidInput` for a prefix that makes an id too long; and what either memory gives.
    pub async fn merge_into(&self, target: &Self, rule: &MergeRule) -> Result<MergeReport> {
        let (source, target) = (self.home().await?, target.home().await?);
        source.check_apart(&target)?;
        let mut merge = Merge { source, target, rule, report: MergeReport::default() };
        let threads = merge.slots_to_bring().await?;
        merge.name_records().await?;
        merge.bring_records().await?;
        merge.bring_events().await?;
        merge.bring_slots(threads).await?;
        Ok(merge.report)
    }
}

impl Merge<'_> {
    fn thread(&self, thread: &ThreadId) -> Result<ThreadId> {
        match &self.rule.thread_prefix {
            Some(prefix) => ThreadId::new(format!("{prefix}{thread}")),
            None => Ok(thread.clone()),
        }
    }

    fn prefixed(&self, id: &RecordId) -> Result<RecordId> {
        let prefix = match &self.rule.id_prefix {
            Some(prefix) => prefix.clone(),
            None => format!("{}/", self.source.namespace),
        };
        RecordId::new(format!("{prefix}{id}"))
    }

    fn named(&self, id: &RecordId) -> RecordId {
        self.report.renamed.get(id).unwrap_or(id).clone()
    }

    /// Refuses slots that would have to replace others, and answers those that are missing.
    async fn slots_to_bring(&mut self) -> Result<Vec<(ThreadId, VersionedSlots)>> {
        let (mut bring, mut page) = (Vec::new(), PageRequest::largest());
        loop {
            let found = self.source.slot_threads(&page).await?;
            for thread in &found.items {
                let (ours, to) = (self.source.slots(thread, None).await?, self.thread(thread)?);
                let theirs = self.target.slots(&to, None).await?;
                if theirs.version == Version::NONE {
                    bring.push((to, ours));
                } else if theirs.slots == ours.slots {
                    self.report.threads.same += 1;
                } else {
                    let message = format!(
                        "thread_prefix: expected a prefix that tells threads apart, found other slots of thread {} in the target",
                        quoted(to.as_str())
                    );
                    return Err(Error::new(ErrorKind::Conflict, message).with_field("thread_prefix"));
                }
            }
            if found.next.is_none() {
                return Ok(bring);
            }
            page = page.after(found.next);
        }
    }

    /// Decides the names of all records before one is written, since they name each other.
    async fn name_records(&mut self) -> Result<()> {
        let mut page = PageRequest::largest();
        loop {
            let found = self.source.list_stored(&Filter::all(), &page).await?;
            let plain: Vec<RecordId> = found.items.iter().map(|stored| stored.record.id.clone()).collect();
            let held = self.held(&plain).await?;
            let mut open = Vec::new();
            for (stored, held) in found.items.iter().zip(held) {
                let taken = held.is_some();
                if !held.is_some_and(|held| is_one(&stored.record, &held)) {
                    open.push((&stored.record, taken));
                }
            }
            self.name_open(&open).await?;
            if found.next.is_none() {
                return Ok(());
            }
            page = page.after(found.next);
        }
    }

    /// Names records that the target does not hold under their own id, of which `true` says that another record does. One that got a
    /// prefix keeps it, also where the other record has gone since.
    async fn name_open(&mut self, open: &[(&MemoryRecord, bool)]) -> Result<()> {
        let mut asked = Vec::new();
        for (record, taken) in open {
            match self.prefixed(&record.id) {
                Ok(prefixed) => asked.push((*record, *taken, prefixed)),
                Err(error) if *taken => return Err(error),
                // Its id is too long for a prefix, so it never got one.
                Err(_) => {}
            }
        }
        let ids: Vec<RecordId> = asked.iter().map(|(.., prefixed)| prefixed.clone()).collect();
        for ((record, taken, prefixed), held) in asked.into_iter().zip(self.held(&ids).await?) {
            if taken || held.is_some_and(|held| is_one(record, &held)) {
                self.report.renamed.insert(record.id.clone(), prefixed);
            }
        }
        Ok(())
    }

    /// What the target holds, expired or not.
    async fn held(&self, ids: &[RecordId]) -> Result<Vec<Option<MemoryRecord>>> {
        let mut held = Vec::with_capacity(ids.len());
        for ids in ids.chunks(limits::BATCH) {
            let found = self.target.engine.ledger.fetch(&self.target.namespace, ids, Read::default()).await?;
            held.extend(found.into_iter().map(|stored| stored.map(|stored| stored.record)));
        }
        Ok(held)
    }

    async fn bring_records(&mut self) -> Result<()> {
        let mut page = PageRequest::largest();
        loop {
            let found = self.source.list_stored(&Filter::all(), &page).await?;
            self.bring_page(&found.items).await?;
            if found.next.is_none() {
                return Ok(());
            }
            page = page.after(found.next);
        }
    }

    /// What somebody else writes between the look and the write is looked at again, also the end of a merge that was cut off.
    async fn bring_page(&mut self, stored: &[StoredRecord]) -> Result<()> {
        let ids: Vec<RecordId> = stored.iter().map(|stored| self.named(&stored.record.id)).collect();
        let mut tries = 0;
        loop {
            let held = self.held(&ids).await?;
            let (mut drafts, mut same, mut skipped) = (Vec::new(), 0, Vec::new());
            for (stored, held) in stored.iter().zip(held) {
                match self.decide(stored, held)? {
                    Decided::Write(draft) => drafts.push(*draft),
                    Decided::Same => same += 1,
                    Decided::Skip(why) => skipped.push(why),
                }
            }
            let count = drafts.len() as u64;
            tries += 1;
            let mut written = Ok(());
            if !drafts.is_empty() {
                written = self.target.write(drafts, &WriteOptions::default()).await.map(drop);
            }
            match written {
                Err(error) if error.kind() == ErrorKind::Conflict && tries < TRIES => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    self.report.records.written += count;
                    self.report.records.same += same;
                    self.report.skipped.append(&mut skipped);
                    return Ok(());
                }
            }
        }
    }

    /// What becomes of a record, by what the target holds under its name.
    fn decide(&self, stored: &StoredRecord, held: Option<MemoryRecord>) -> Result<Decided> {
        let mut record = stored.record.clone();
        record.id = self.named(&record.id);
        record.thread_id = record.thread_id.as_ref().map(|thread| self.thread(thread)).transpose()?;
        record.superseded_by = record.superseded_by.as_ref().map(|id| self.named(id));
        record.provenance.records = record.provenance.records.iter().map(|id| self.named(id)).collect::<BTreeSet<_>>();
        let expected = held.as_ref().map_or(Version::NONE, |held| held.version);
        if let Some(held) = held {
            record.version = held.version;
            if record == held {
                return Ok(Decided::Same);
            }
            let (ours, theirs) = (quoted(stored.record.id.as_str()), quoted(held.id.as_str()));
            if !is_one(&record, &held) {
                return Ok(Decided::Skip(format!("record {ours}: {theirs} is another record there")));
            }
            if held.updated_at >= record.updated_at {
                return Ok(Decided::Skip(format!("record {ours}: {theirs} was changed in the target")));
            }
        }
        let model = self.target.engine.embedder.model();
        let embedding = stored.embedding.as_ref().filter(|made| Some(made.model()) == model);
        let mut draft = NewRecord::from(record);
        draft.embedding = embedding.map(|made| made.components().to_vec());
        draft.expect = Precondition::Version(expected);
        Ok(Decided::Write(Box::new(draft)))
    }

    async fn bring_events(&mut self) -> Result<()> {
        let mut page = PageRequest::largest();
        loop {
            let found = self.source.events(&EventRange::default(), &page).await?;
            for entry in found.items {
                match entry.event {
                    Some(event) if event.thread_id.is_reserved() => {}
                    Some(event) => self.bring_event(event).await?,
                    None => self.report.skipped.push(format!("event at position {}: it was erased", entry.sequence)),
                }
            }
            if found.next.is_none() {
                return Ok(());
            }
            page = page.after(found.next);
        }
    }

    async fn bring_event(&mut self, event: AuditEvent) -> Result<()> {
        let id = event.event_id.clone();
        let mut event = NewEvent::from(event);
        event.thread_id = self.thread(&event.thread_id)?;
        match self.target.log_audit(event).await {
            Ok((_, appended)) if appended.outcome == AppendOutcome::Duplicate => self.report.events.same += 1,
            Ok(_) => self.report.events.written += 1,
            Err(error) if error.kind() == ErrorKind::Conflict => {
                self.report.skipped.push(format!("event {}: another event has this id there", quoted(id.as_str())));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn bring_slots(&mut self, threads: Vec<(ThreadId, VersionedSlots)>) -> Result<()> {
        let how = SetSlots { mode: SlotMode::Replace, expect: Precondition::Version(Version::NONE) };
        for (thread, held) in threads {
            let slots = held.slots.clone().into_iter().map(|(name, text)| (name, Some(text))).collect();
            match self.target.set_slots(&thread, slots, how).await {
                Ok(_) => self.report.threads.written += 1,
                // Somebody was faster: the end of a merge that was cut off, or a program that uses the thread.
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    if self.target.slots(&thread, None).await?.slots != held.slots {
                        return Err(error);
                    }
                    self.report.threads.same += 1;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Whether two records of one id are one: nobody makes two in the same microsecond by chance.
fn is_one(ours: &MemoryRecord, theirs: &MemoryRecord) -> bool {
    ours.created_at == theirs.created_at
}
