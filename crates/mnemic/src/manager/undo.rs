//! Undoing a consolidation: every record it changed becomes again what it was. Not here: consolidating.

use std::collections::HashMap;

use mnemic_core::{
    Batch, ChainedEvent, Embedding, Error, ErrorKind, MemoryRecord, Object, Precondition, RecordId, RecordWrite,
    Result, RevisionKind, ThreadId, Value, Version,
    ports::{EventRange, Purpose},
};

use super::MemoryManager;

/// What undoing a consolidation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undone {
    /// Records that are again what they were.
    pub restored: Vec<RecordId>,
}

/// One record that a consolidation changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollback {
    /// Which.
    pub id: RecordId,
    /// The revision to go back to.
    pub version: Version,
    /// Whether the consolidation removed it or changed it.
    pub removed: bool,
}

const APPLIED: &str = "consolidation.applied";
const UNDONE: &str = "consolidation.undone";

impl MemoryManager {
    /// See [`MemoryManager::undo_consolidation`].
    pub(crate) async fn undo_consolidation_here(&self, id: &str) -> Result<Undone> {
        let now = self.now();
        let steps = self.rollback_of(id).await?;
        let mut batch = Batch::new(now);
        for step in &steps {
            let record = self.revision(&step.id, step.version).await?;
            // After a removal the record must still be absent; after a change, the change must still be the newest revision.
            let expect = if step.removed { Version::NONE } else { step.version.next() };
            let record = MemoryRecord { updated_at: now, ..record };
            batch.writes.push(RecordWrite {
                record,
                embedding: None,
                expect: Precondition::Version(expect),
                tasks: Vec::new(),
            });
        }
        self.engine.check_model(&self.namespace).await?;
        let texts: Vec<&str> = batch.writes.iter().map(|write| write.record.text.as_str()).collect();
        let embeddings: Vec<Option<Embedding>> = self.engine.embed(Purpose::Document, &texts).await?;
        for (write, embedding) in batch.writes.iter_mut().zip(embeddings) {
            write.embedding = embedding;
        }
        batch.events.push(Self::journal("consolidation.undone", steps.len(), now)?);
        batch.events.push(Self::note(id, UNDONE, None, Object::new(), now)?);
        self.commit_changes(batch).await?;
        Ok(Undone { restored: steps.into_iter().map(|step| step.id).collect() })
    }

    async fn rollback_of(&self, id: &str) -> Result<Vec<Rollback>> {
        let unknown = || Error::not_found(format!("consolidation {}", mnemic_core::ids::quoted(id)));
        let thread_id =
            mnemic_core::ThreadId::new(ThreadId::consolidation(id).as_str()).map_err(|_invalid| unknown())?;
        let range = EventRange { thread_id: Some(thread_id), ..EventRange::default() };
        let (mut steps, mut found_any) = (Vec::new(), false);
        let take = |entry: ChainedEvent| {
            let Some(event) = entry.event else { return Ok(()) };
            found_any = true;
            match event.action.as_str() {
                UNDONE => Err(Error::new(ErrorKind::Conflict, format!("consolidation {id} was undone before"))),
                APPLIED => read_note(&event.payload).map(|noted| steps.extend(noted)),
                _ => Ok(()),
            }
        };
        self.each_event(&range, take).await?;
        if found_any { Ok(steps) } else { Err(unknown()) }
    }

    async fn revision(&self, id: &RecordId, version: Version) -> Result<MemoryRecord> {
        let mut versions: HashMap<Version, MemoryRecord> = HashMap::new();
        for revision in self.engine.ledger.history(&self.namespace, id).await? {
            if let RevisionKind::Written(record) = revision.what {
                versions.insert(record.version, *record);
            }
        }
        versions.remove(&version).ok_or_else(|| {
            let message = format!(
                "record {} no longer has version {version}; it was forgotten",
                mnemic_core::ids::quoted(id.as_str())
            );
            Error::new(ErrorKind::Conflict, message)
        })
    }
}

fn read_note(payload: &Object) -> Result<Vec<Rollback>> {
    let broken = || Error::new(ErrorKind::Corrupted, "a consolidation's note cannot be read");
    let Some(Value::Array(entries)) = payload.get("records") else { return Err(broken()) };
    entries
        .iter()
        .map(|entry| {
            let Value::Array(parts) = entry else { return Err(broken()) };
            let [Value::String(role), Value::String(id), Value::Number(version)] = parts.as_slice() else {
                return Err(broken());
            };
            let version = version.as_u64().map(Version).ok_or_else(broken)?;
            Ok(Rollback { id: RecordId::new(id)?, version, removed: role == "dropped" })
        })
        .collect()
}
