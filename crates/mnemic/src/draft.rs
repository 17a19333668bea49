//! Drafts: records and events as a caller gives them, before the manager adds ids and times.
//! Not here: checking them (the nouns check themselves) and reading them from JSON (`wire`).

use std::collections::BTreeSet;

use mnemic_core::{
    AuditEvent, EventId, MemoryRecord, Object, Precondition, Provenance, Ratio, RecordId, RecordKind, ThreadId,
    Timestamp, UserId, Value,
};

/// A record to write. Only the text is needed; what is left out gets the default that each field names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewRecord {
    /// Its identity; minted if absent. An id that exists is replaced.
    pub id: Option<RecordId>,
    /// Whom it is about.
    pub user_id: Option<UserId>,
    /// The conversation or run that it belongs to.
    pub thread_id: Option<ThreadId>,
    /// What sort of statement it is; semantic if absent.
    pub kind: Option<RecordKind>,
    /// The statement.
    pub text: String,
    /// Label segments, outermost first.
    pub path: Vec<String>,
    /// Labels without order.
    pub tags: BTreeSet<String>,
    /// Anything else.
    pub metadata: Object,
    /// Who or what said it; `user` if absent.
    pub source: Option<String>,
    /// How much it matters.
    pub salience: Option<Ratio>,
    /// How sure we are.
    pub confidence: Option<Ratio>,
    /// When it was first made; now if absent.
    pub created_at: Option<Timestamp>,
    /// When this revision was made; now if absent.
    pub updated_at: Option<Timestamp>,
    /// From when on it holds; from its creation if absent.
    pub valid_from: Option<Timestamp>,
    /// Until when it holds; exclusive.
    pub valid_to: Option<Timestamp>,
    /// When it stops being memory.
    pub expires_at: Option<Timestamp>,
    /// The newer record that replaces it.
    pub superseded_by: Option<RecordId>,
    /// Where it came from.
    pub provenance: Provenance,
    /// Its embedding, if the caller made one with the memory's own model.
    pub embedding: Option<Vec<f32>>,
    /// What must hold of the stored version.
    pub expect: Precondition,
}

impl NewRecord {
    /// A draft with this text and nothing else.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// Sets the identity.
    #[must_use]
    pub fn with_id(mut self, id: RecordId) -> Self {
        self.id = Some(id);
        self
    }

    /// Says whom it is about.
    #[must_use]
    pub fn with_user_id(mut self, user_id: UserId) -> Self {
        self.user_id = Some(user_id);
        self
    }

    /// Says which conversation it belongs to.
    #[must_use]
    pub fn with_thread_id(mut self, thread_id: ThreadId) -> Self {
        self.thread_id = Some(thread_id);
        self
    }

    /// Sets the kind.
    #[must_use]
    pub fn with_kind(mut self, kind: RecordKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Sets the label segments.
    #[must_use]
    pub fn with_path<S: Into<String>>(mut self, path: impl IntoIterator<Item = S>) -> Self {
        self.path = path.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the labels.
    #[must_use]
    pub fn with_tags<S: Into<String>>(mut self, tags: impl IntoIterator<Item = S>) -> Self {
        self.tags = tags.into_iter().map(Into::into).collect();
        self
    }

    /// Sets one entry of the metadata.
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Says who or what said it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<String>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Says how much it matters.
    #[must_use]
    pub fn with_salience(mut self, salience: Ratio) -> Self {
        self.salience = Some(salience);
        self
    }

    /// Says how sure we are.
    #[must_use]
    pub fn with_confidence(mut self, confidence: Ratio) -> Self {
        self.confidence = Some(confidence);
        self
    }

    /// Says when it was first made.
    #[must_use]
    pub fn with_created_at(mut self, created_at: Timestamp) -> Self {
        self.created_at = Some(created_at);
        self
    }

    /// Says from when and until when it holds.
    #[must_use]
    pub fn with_validity(mut self, from: Timestamp, to: Option<Timestamp>) -> Self {
        self.valid_from = Some(from);
        self.valid_to = to;
        self
    }

    /// Says when it stops being memory.
    #[must_use]
    pub fn with_expires_at(mut self, expires_at: Timestamp) -> Self {
        self.expires_at = Some(expires_at);
        self
    }

    /// Says where it came from.
    #[must_use]
    pub fn with_provenance(mut self, provenance: Provenance) -> Self {
        self.provenance = provenance;
        self
    }

    /// Brings an embedding along.
    #[must_use]
    pub fn with_embedding(mut self, embedding: Vec<f32>) -> Self {
        self.embedding = Some(embedding);
        self
    }

    /// Says what must hold of the stored version.
    #[must_use]
    pub fn with_expect(mut self, expect: Precondition) -> Self {
        self.expect = expect;
        self
    }

    /// The record, with `id` and `now` where the draft says nothing itself. Not checked yet.
    #[must_use]
    pub fn into_record(self, id: RecordId, now: Timestamp) -> MemoryRecord {
        let created_at = self.created_at.unwrap_or(now);
        MemoryRecord {
            id: self.id.unwrap_or(id),
            user_id: self.user_id,
            thread_id: self.thread_id,
            kind: self.kind.unwrap_or_default(),
            path: self.path,
            tags: self.tags,
            metadata: self.metadata,
            source: self.source.unwrap_or_else(|| "user".to_owned()),
            salience: self.salience,
            confidence: self.confidence,
            created_at,
            updated_at: self.updated_at.unwrap_or(now),
            valid_from: self.valid_from.unwrap_or(created_at),
            valid_to: self.valid_to,
            expires_at: self.expires_at,
            superseded_by: self.superseded_by,
            provenance: self.provenance,
            version: mnemic_core::Version::NONE,
            text: self.text,
        }
    }
}

impl From<MemoryRecord> for NewRecord {
    /// Everything but the version, which the ledger sets.
    fn from(record: MemoryRecord) -> Self {
        Self {
            id: Some(record.id),
            user_id: record.user_id,
            thread_id: record.thread_id,
            kind: Some(record.kind),
            text: record.text,
            path: record.path,
            tags: record.tags,
            metadata: record.metadata,
            source: Some(record.source),
            salience: record.salience,
            confidence: record.confidence,
            created_at: Some(record.created_at),
            updated_at: Some(record.updated_at),
            valid_from: Some(record.valid_from),
            valid_to: record.valid_to,
            expires_at: record.expires_at,
            superseded_by: record.superseded_by,
            provenance: record.provenance,
            embedding: None,
            expect: Precondition::Any,
        }
    }
}

/// An event to append. What is left out gets the default that each field names.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// Its identity; minted if absent. Appending the same event again changes nothing.
    pub event_id: Option<EventId>,
    /// When it happened; now if absent.
    pub timestamp: Option<Timestamp>,
    /// Whom it is about.
    pub user_id: Option<UserId>,
    /// The conversation or run.
    pub thread_id: ThreadId,
    /// Who or what reports it.
    pub source: String,
    /// What happened.
    pub action: String,
    /// The particulars.
    pub payload: Object,
    /// Labels without order.
    pub tags: BTreeSet<String>,
}

impl NewEvent {
    /// A draft of what `source` did in a thread, without particulars.
    pub fn new(thread_id: ThreadId, source: impl Into<String>, action: impl Into<String>) -> Self {
        Self {
            event_id: None,
            timestamp: None,
            user_id: None,
            thread_id,
            source: source.into(),
            action: action.into(),
            payload: Object::new(),
            tags: BTreeSet::new(),
        }
    }

    /// Sets the identity.
    #[must_use]
    pub fn with_event_id(mut self, event_id: EventId) -> Self {
        self.event_id = Some(event_id);
        self
    }

    /// Says when it happened.
    #[must_use]
    pub fn with_timestamp(mut self, timestamp: Timestamp) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// Says whom it is about.
    #[must_use]
    pub fn with_user_id(mut self, user_id: UserId) -> Self {
        self.user_id = Some(user_id);
        self
    }

    /// Sets one entry of the payload.
    #[must_use]
    pub fn with_payload(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.payload.insert(key.into(), value.into());
        self
    }

    /// Sets the labels.
    #[must_use]
    pub fn with_tags<S: Into<String>>(mut self, tags: impl IntoIterator<Item = S>) -> Self {
        self.tags = tags.into_iter().map(Into::into).collect();
        self
    }

    /// The event, with `event_id` and `now` where the draft says nothing itself. Not checked yet.
    #[must_use]
    pub fn into_event(self, event_id: EventId, now: Timestamp) -> AuditEvent {
        AuditEvent {
            event_id: self.event_id.unwrap_or(event_id),
            timestamp: self.timestamp.unwrap_or(now),
            user_id: self.user_id,
            thread_id: self.thread_id,
            source: self.source,
            action: self.action,
            payload: self.payload,
            tags: self.tags,
        }
    }
}

impl From<AuditEvent> for NewEvent {
    fn from(event: AuditEvent) -> Self {
        Self {
            event_id: Some(event.event_id),
            timestamp: Some(event.timestamp),
            user_id: event.user_id,
            thread_id: event.thread_id,
            source: event.source,
            action: event.action,
            payload: event.payload,
            tags: event.tags,
        }
    }
}
