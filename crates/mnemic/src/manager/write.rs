//! Writing records and events: validate, embed, commit, index. Not here: embeddings that were pending (`outbox`).

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write,
};

use mnemic_core::{
    Appended, AuditEvent, Batch, ChainedEvent, Embedding, Error, ErrorKind, EventId, Idempotency, MemoryRecord,
    RecordId, RecordWrite, Result, StoredRecord, Task, Timestamp, Version, limits,
    policy::{audit, duplicates},
    ports::{EventRange, Purpose},
    value::write_canonical_object,
};

use super::MemoryManager;
use crate::{
    NewEvent, NewRecord,
    engine::{Kept, LEDGER, is_away},
    wire,
};

/// Keys of Mnemic itself begin like this.
const RESERVED_KEY_PREFIX: &str = "mnemic.";

/// How to write records.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// Makes a repetition of the same call answer the same and change nothing, for at least 24 hours.
    pub idempotency_key: Option<String>,
    /// Whether records without an id get one from their content.
    pub dedupe: Dedupe,
}

/// Whether the same content written twice is one record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dedupe {
    /// Every record without an id is a new one.
    #[default]
    Never,
    /// A record without an id gets one from its user, kind and normalized text, so that writing it again replaces it; in one call the last
    /// of those that say the same is kept.
    ByContent,
}

/// What became of one written record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordOutcome {
    /// Kept, and found by every way of searching that the memory has.
    Indexed,
    /// Kept and found by words; its embedding or a remote index follows.
    Pending,
    /// Kept on this machine while the ledger cannot be reached, and committed later in order. Its version is 0 until then.
    Spooled,
}

/// One written record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenRecord {
    /// Its id, minted where none was given.
    pub id: RecordId,
    /// Its version now.
    pub version: Version,
    /// When its first revision was made.
    pub created_at: Timestamp,
    /// What became of it.
    pub outcome: RecordOutcome,
}

/// What a write did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteReport {
    /// For each record, in the order given.
    pub records: Vec<WrittenRecord>,
    /// Whether this is the kept answer to an earlier, identical call.
    pub replayed: bool,
    /// Why records are pending, in words; empty if none is.
    pub warnings: Vec<String>,
}

/// What writing an event did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenEvent {
    /// The event's id, minted where none was given.
    pub event_id: EventId,
    /// Its place in the chain.
    pub appended: Appended,
    /// The records that it was reflected into.
    pub report: WriteReport,
}

/// How records that have no id get one.
#[derive(Clone, Copy, Debug, Default)]
struct Minting<'a> {
    dedupe: Dedupe,
    /// The request, where its repetition may have to answer the same ids before the ledger can tell them.
    once: Option<&'a Idempotency>,
}

impl Minting<'_> {
    fn mint(self, i: usize, now: Timestamp) -> Result<RecordId> {
        let Some(once) = self.once else { return MemoryManager::mint_record_id(now) };
        let name = format!("{}\0{}\0{i}", once.key, once.fingerprint);
        RecordId::new(uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, name.as_bytes()).to_string())
    }
}

/// Records that are ready to commit.
struct Prepared {
    writes: Vec<RecordWrite>,
    /// For each draft, which of the writes it became.
    places: Vec<usize>,
    warnings: Vec<String>,
}

impl MemoryManager {
    /// See [`MemoryManager::write`].
    pub(crate) async fn write_here(&self, records: Vec<NewRecord>, options: &WriteOptions) -> Result<WriteReport> {
        if records.is_empty() || records.len() > limits::BATCH {
            return Err(Error::invalid(
                "records",
                format!("1 to {} records", limits::BATCH),
                format!("{} records", records.len()),
            ));
        }
        let now = self.now();
        let mut batch = Batch::new(now);
        if let Some(key) = &options.idempotency_key {
            if key.starts_with(RESERVED_KEY_PREFIX) {
                return Err(Error::invalid(
                    "idempotency_key",
                    "a key that does not begin with mnemic.",
                    mnemic_core::ids::quoted(key),
                ));
            }
            batch.idempotency = Some(Idempotency::new(key, fingerprint(&records, options.dedupe)?)?);
        }
        let ids = Minting {
            dedupe: options.dedupe,
            once: batch.idempotency.as_ref().filter(|_| self.engine.spool.is_some()),
        };
        let mut prepared = self.prepare_writes(records, ids, now).await?;
        let places = std::mem::take(&mut prepared.places);
        batch.events.push(Self::journal("records.written", prepared.writes.len(), now)?);
        let (report, _) = self.commit_records(batch, prepared).await?;
        let records = places.into_iter().filter_map(|place| report.records.get(place).cloned()).collect();
        Ok(WriteReport { records, ..report })
    }

    /// See [`MemoryManager::log_audit`].
    pub(crate) async fn log_audit_here(&self, event: NewEvent) -> Result<(EventId, Appended)> {
        let now = self.now();
        let event = self.timed(event).await?;
        let untimed = self.engine.spool.is_some() && event.event_id.is_some() && event.timestamp.is_none();
        let event = Self::accept_event(event, now)?;
        let event_id = event.event_id.clone();
        let mut batch = Batch::new(now);
        batch.events.push(event);
        if untimed {
            batch.idempotency = Some(Self::once_for(&event_id, batch.events.first())?);
        }
        let appended = match self.engine.commit(&self.namespace, batch).await? {
            Kept::Committed(receipt) => receipt.events.first().copied(),
            Kept::Spooled => Some(SPOOLED),
        };
        Ok((event_id, appended.ok_or_else(|| Error::bug("a commit lost its event"))?))
    }

    /// See [`MemoryManager::write_event`].
    pub(crate) async fn write_event_here(&self, event: NewEvent) -> Result<WrittenEvent> {
        let now = self.now();
        let event = self.timed(event).await?;
        let untimed = event.event_id.is_some() && event.timestamp.is_none();
        let event = Self::accept_event(event, now)?;
        let event_id = event.event_id.clone();
        if let Some(seen) = self.seen_event(&event).await? {
            return Ok(seen);
        }
        let records = self.engine.policies.reflection.reflect(&event, now)?;
        if records.len() > limits::BATCH {
            let expected = format!("an event that makes at most {} records", limits::BATCH);
            return Err(Error::invalid("payload", expected, format!("{} records", records.len())));
        }
        let mut prepared =
            self.prepare_writes(records.into_iter().map(NewRecord::from).collect(), Minting::default(), now).await?;
        let mut batch = Batch::new(now);
        // Two racers that both saw no event yet commit one effect: the key answers the second with the first's receipt.
        let mut object = audit::event_object(&event);
        if untimed {
            // The same event again, while the ledger cannot tell the first's time, is the same request.
            object.remove("timestamp");
        }
        let mut canonical = String::new();
        write_canonical_object(&object, &mut canonical);
        let key = format!("{RESERVED_KEY_PREFIX}event.{}", audit::digest(event_id.as_str().as_bytes()));
        batch.idempotency = Some(Idempotency::new(key, audit::digest(canonical.as_bytes()))?);
        batch.events.push(event);
        prepared.warnings.dedup();
        let (report, appended) = self.commit_records(batch, prepared).await?;
        let appended = appended.first().copied().ok_or_else(|| Error::bug("a commit lost its event"))?;
        Ok(WrittenEvent { event_id, appended, report })
    }

    /// A draft without a time that repeats a stored event means that event, at its time.
    async fn timed(&self, mut event: NewEvent) -> Result<NewEvent> {
        if let (Some(id), None) = (&event.event_id, event.timestamp) {
            let stored = self.known(self.stored_event(id).await)?;
            event.timestamp = stored.flatten().and_then(|entry| entry.event).map(|stored| stored.timestamp);
        }
        Ok(event)
    }

    async fn stored_event(&self, id: &EventId) -> Result<Option<ChainedEvent>> {
        let range = EventRange { event_id: Some(id.clone()), ..EventRange::default() };
        let page = mnemic_core::PageRequest::first(1)?;
        Ok(self.engine.ledger.events(&self.namespace, &range, &page).await?.items.into_iter().next())
    }

    fn accept_event(event: NewEvent, now: Timestamp) -> Result<AuditEvent> {
        let event_id = match &event.event_id {
            Some(id) => id.clone(),
            None => EventId::new(Self::mint(now))?,
        };
        let event = event.into_event(event_id, now);
        if event.thread_id.is_reserved() {
            let expected = format!("a thread id that does not begin with {}", mnemic_core::ThreadId::RESERVED_PREFIX);
            return Err(Error::invalid("thread_id", expected, mnemic_core::ids::quoted(event.thread_id.as_str())));
        }
        event.check()?;
        Ok(event)
    }

    /// The answer for an event that was written before, with the records that still exist.
    async fn seen_event(&self, event: &AuditEvent) -> Result<Option<WrittenEvent>> {
        let Some(entry) = self.known(self.stored_event(&event.event_id).await)?.flatten() else { return Ok(None) };
        if entry.event.as_ref().is_some_and(|stored| stored != event) {
            let message = format!(
                "event_id: expected a new id or the same event, found another event with id {}",
                event.event_id
            );
            return Err(Error::new(ErrorKind::Conflict, message).with_field("event_id"));
        }
        let records = self.engine.policies.reflection.reflect(event, self.now())?;
        let ids: Vec<RecordId> = records.into_iter().map(|record| record.id).collect();
        let stored = self.engine.ledger.fetch(&self.namespace, &ids, mnemic_core::ports::Read::default()).await?;
        // Logged, but never reflected: nothing was made of it yet, not even what is only in history now.
        if !ids.is_empty() && stored.iter().all(Option::is_none) && self.have_no_history(&ids).await? {
            return Ok(None);
        }
        let waiting = self.waiting().await?;
        let outcome =
            |id: &RecordId| if waiting.contains(id) { RecordOutcome::Pending } else { RecordOutcome::Indexed };
        let records = stored
            .into_iter()
            .flatten()
            .map(|stored| WrittenRecord {
                outcome: outcome(&stored.record.id),
                id: stored.record.id,
                version: stored.record.version,
                created_at: stored.record.created_at,
            })
            .collect();
        let appended = Appended { sequence: entry.sequence, outcome: mnemic_core::AppendOutcome::Duplicate };
        let report = WriteReport { records, replayed: true, warnings: Vec::new() };
        Ok(Some(WrittenEvent { event_id: event.event_id.clone(), appended, report }))
    }

    async fn have_no_history(&self, ids: &[RecordId]) -> Result<bool> {
        for id in ids {
            if !self.engine.ledger.history(&self.namespace, id).await?.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What the ledger said, or nothing where it is away and the write can wait for it.
    fn known<T>(&self, answer: Result<T>) -> Result<Option<T>> {
        match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if self.engine.spool.is_some() && is_away(&error) => {
                self.engine.note_down(LEDGER, &error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes a repetition of an event that named no time the same request, also where the ledger cannot be asked for the first's.
    fn once_for(event_id: &EventId, event: Option<&AuditEvent>) -> Result<Idempotency> {
        let mut object = event.map(audit::event_object).unwrap_or_default();
        object.remove("timestamp");
        let mut canonical = String::new();
        write_canonical_object(&object, &mut canonical);
        let key = format!("{RESERVED_KEY_PREFIX}log.{}", audit::digest(event_id.as_str().as_bytes()));
        Idempotency::new(key, audit::digest(canonical.as_bytes()))
    }

    async fn prepare_writes(&self, drafts: Vec<NewRecord>, ids: Minting<'_>, now: Timestamp) -> Result<Prepared> {
        self.known(self.engine.check_model(&self.namespace).await)?;
        let (mut writes, mut places) = (Vec::with_capacity(drafts.len()), Vec::with_capacity(drafts.len()));
        let mut seen: HashMap<RecordId, usize> = HashMap::with_capacity(drafts.len());
        for (i, draft) in drafts.into_iter().enumerate() {
            let by_content = draft.id.is_none() && ids.dedupe == Dedupe::ByContent;
            let write =
                self.accept_record(draft, (ids, i), now).map_err(|error| error.within(format!("records[{i}]")))?;
            match seen.get(&write.record.id).copied() {
                Some(place) if by_content => {
                    places.push(place);
                    if let Some(earlier) = writes.get_mut(place) {
                        *earlier = write;
                    }
                }
                Some(place) => {
                    let earlier = places.iter().position(|of| *of == place).unwrap_or(place);
                    let found =
                        format!("{} also at records[{earlier}]", mnemic_core::ids::quoted(write.record.id.as_str()));
                    return Err(Error::invalid(format!("records[{i}].id"), "an id that occurs once", found));
                }
                None => {
                    seen.insert(write.record.id.clone(), writes.len());
                    places.push(writes.len());
                    writes.push(write);
                }
            }
        }
        let warnings = self.embed_writes(&mut writes).await;
        Ok(Prepared { writes, places, warnings })
    }

    fn accept_record(&self, draft: NewRecord, (ids, i): (Minting<'_>, usize), now: Timestamp) -> Result<RecordWrite> {
        let id = match (&draft.id, ids.dedupe) {
            (Some(id), _) => id.clone(),
            (None, Dedupe::Never) => ids.mint(i, now)?,
            (None, Dedupe::ByContent) => content_id(&draft)?,
        };
        let embedding = match (&draft.embedding, self.engine.embedder.model()) {
            (None, _) => None,
            (Some(components), Some(model)) => Some(Embedding::new(model, components.clone())?),
            (Some(_), None) => {
                let message = "embedding: expected none, since this memory has no embedding model, found one";
                return Err(Error::new(ErrorKind::Unsupported, message).with_field("embedding"));
            }
        };
        let expect = draft.expect;
        let record = draft.into_record(id, now);
        record.check()?;
        Ok(RecordWrite { record, embedding, expect, tasks: Vec::new() })
    }

    /// Embeds what has no embedding yet. A failing embedder never loses a record: it stays pending.
    async fn embed_writes(&self, writes: &mut [RecordWrite]) -> Vec<String> {
        let wanting: Vec<usize> =
            writes.iter().enumerate().filter(|(_, write)| write.embedding.is_none()).map(|(i, _)| i).collect();
        let texts: Vec<&str> =
            wanting.iter().filter_map(|i| writes.get(*i)).map(|write| write.record.text.as_str()).collect();
        let embedded = self.engine.embed(Purpose::Document, &texts).await;
        let (embeddings, warnings) = match embedded {
            Ok(embeddings) => (embeddings.into_iter().map(|e| (e, false)).collect::<Vec<_>>(), Vec::new()),
            Err(error) => (vec![(None, true); wanting.len()], vec![format!("embeddings are pending: {error}")]),
        };
        for (i, (embedding, pending)) in wanting.into_iter().zip(embeddings) {
            if let Some(write) = writes.get_mut(i) {
                write.embedding = embedding;
                if pending {
                    write.tasks.push(Task::Embed);
                }
            }
        }
        warnings
    }

    /// Commits and brings the indexes up to date. A failing index never fails a commit: it catches up from the feed.
    async fn commit_records(&self, mut batch: Batch, prepared: Prepared) -> Result<(WriteReport, Vec<Appended>)> {
        let Prepared { writes, mut warnings, places: _ } = prepared;
        batch.writes.clone_from(&writes);
        let events = batch.events.len();
        let intent = self.engine.intend(&self.namespace);
        let receipt = match self.engine.commit(&self.namespace, batch).await? {
            Kept::Committed(receipt) => receipt,
            Kept::Spooled => return Ok((spooled_report(writes, warnings), vec![SPOOLED; events])),
        };
        let committed = receipt.changes.filter(|_| !receipt.replayed);
        let _under_way = intent.committed(committed);
        // Told before anything else is waited for, so that a caller who gives up leaves nothing undone.
        if writes.iter().any(|write| !write.tasks.is_empty()) {
            self.engine.note_pending(&self.namespace);
        }
        let known: Vec<(RecordId, Option<StoredRecord>)> =
            if receipt.replayed { Vec::new() } else { stored(&writes, &receipt.writes) };
        let behind: Vec<String> = match self.engine.sync_with(&self.namespace, &known, committed).await {
            Ok(behind) => behind.into_iter().map(|b| format!("index {} is behind: {}", b.index, b.why)).collect(),
            Err(error) => vec![format!("an index is behind: {error}")],
        };
        for warning in &behind {
            tracing::warn!(namespace = %self.namespace, warning, "it catches up later");
        }
        let whole = behind.is_empty();
        if !whole {
            self.engine.note_pending(&self.namespace);
        }
        warnings.extend(behind);
        // A kept answer tells what became of the records since.
        let waiting = if receipt.replayed { self.waiting().await? } else { BTreeSet::new() };
        let records = receipt
            .writes
            .into_iter()
            .enumerate()
            .map(|(i, written)| {
                let waits = if receipt.replayed {
                    waiting.contains(&written.id)
                } else {
                    writes.get(i).is_some_and(|write| !write.tasks.is_empty())
                };
                let outcome = if whole && !waits { RecordOutcome::Indexed } else { RecordOutcome::Pending };
                WrittenRecord { id: written.id, version: written.version, created_at: written.created_at, outcome }
            })
            .collect();
        Ok((WriteReport { records, replayed: receipt.replayed, warnings }, receipt.events))
    }
}

impl MemoryManager {
    /// Records whose embedding is outstanding.
    async fn waiting(&self) -> Result<BTreeSet<RecordId>> {
        let items = self.engine.ledger.outbox(&self.namespace, limits::BATCH).await?;
        Ok(items.into_iter().map(|item| item.record_id).collect())
    }
}

/// The place of an event that waits in the spool.
const SPOOLED: Appended = Appended { sequence: mnemic_core::Sequence(0), outcome: mnemic_core::AppendOutcome::Spooled };

fn spooled_report(writes: Vec<RecordWrite>, mut warnings: Vec<String>) -> WriteReport {
    warnings.push("the ledger cannot be reached: the write is kept on this machine and committed later".to_owned());
    let records = writes.into_iter().map(|write| WrittenRecord {
        id: write.record.id,
        version: Version::NONE,
        created_at: write.record.created_at,
        outcome: RecordOutcome::Spooled,
    });
    WriteReport { records: records.collect(), replayed: false, warnings }
}

/// What the ledger holds after a commit, from what it was given and what it answered.
pub(super) fn stored(
    writes: &[RecordWrite],
    written: &[mnemic_core::Written],
) -> Vec<(RecordId, Option<StoredRecord>)> {
    writes
        .iter()
        .zip(written)
        .map(|(write, written)| {
            let record =
                MemoryRecord { version: written.version, created_at: written.created_at, ..write.record.clone() };
            (record.id.clone(), Some(StoredRecord { record, embedding: write.embedding.clone() }))
        })
        .collect()
}

/// The id of a record by what it says: the same for the same user, kind and words.
fn content_id(draft: &NewRecord) -> Result<RecordId> {
    let user = draft.user_id.as_ref().map_or("", |user| user.as_str());
    let kind = draft.kind.unwrap_or_default();
    let content = format!("mnemic.content.v1\0{user}\0{kind}\0{}", duplicates::normalized(&draft.text));
    let mark = audit::digest(content.as_bytes()).to_string();
    RecordId::new(format!("c-{}", mark.get(..32).unwrap_or(&mark)))
}

/// The digest of what the caller gave, without what the manager adds (minted ids, times).
fn fingerprint(drafts: &[NewRecord], dedupe: Dedupe) -> Result<mnemic_core::Digest> {
    let (nowhere, never) = (RecordId::new("-")?, Timestamp::from_micros(0)?);
    let mut canonical = String::new();
    for draft in drafts {
        let record = draft.clone().into_record(draft.id.clone().unwrap_or_else(|| nowhere.clone()), never);
        write_canonical_object(&wire::record_object(&record), &mut canonical);
        // Writing to a String cannot fail.
        let _infallible =
            writeln!(canonical, "{:?}", (dedupe, draft.expect, &draft.embedding, draft.created_at, draft.valid_from));
    }
    Ok(audit::digest(canonical.as_bytes()))
}
