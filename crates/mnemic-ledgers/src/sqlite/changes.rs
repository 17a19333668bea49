//! What one write transaction has done so far: the feed, the chain, and vectors that are on their way to their files.
//! Not here: what a batch asks for (`commit`, `erase`) and when the transaction ends (`writer`).

use std::{path::Path, sync::Arc};

use mnemic_core::{
    AuditEvent, ChainedEvent, Digest, Embedding, EmbeddingModel, Error, Salt, Sequence, Timestamp, policy::audit,
};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    error::{Outcome, corrupted},
    feed, schema,
    vectors::{self, Location, VectorFile, VectorFiles},
};

use crate::{
    feed_form::{self, Kind},
    stored,
};

/// One write transaction. The caller has begun it and ends it.
pub(super) struct Changes<'c> {
    pub(super) connection: &'c Connection,
    pub(super) directory: &'c Path,
    files: &'c VectorFiles,
    /// Position of the last change.
    head: u64,
    /// The end of the chain, read when it is first needed.
    tail: Option<(u64, Digest)>,
    /// The models, read when they are first needed.
    models: Option<Vec<Growing>>,
    /// The changes of the commit that is being made.
    packed: Vec<u8>,
}

/// A vector file and the rows that this transaction adds to it.
struct Growing {
    no: i64,
    model: EmbeddingModel,
    /// Rows before this transaction.
    first: u64,
    /// Whether `first` has been compared with the file.
    measured: bool,
    added: Vec<u8>,
}

impl Growing {
    fn stride(&self) -> usize {
        self.model.dimension() as usize * size_of::<f32>()
    }

    fn rows(&self) -> u64 {
        self.first + (self.added.len() / self.stride()) as u64
    }
}

/// Where a transaction stood, to return to when one of its commits is refused.
pub(super) struct Mark {
    head: u64,
    tail: Option<(u64, Digest)>,
    models: Vec<usize>,
}

impl<'c> Changes<'c> {
    pub(super) fn new(connection: &'c Connection, directory: &'c Path, files: &'c VectorFiles) -> Outcome<Self> {
        let head = feed::head(connection)?;
        Ok(Self { connection, directory, files, head, tail: None, models: None, packed: Vec::new() })
    }

    /// Forgets what was read of a namespace that was emptied since.
    pub(super) fn begin_anew(&mut self) {
        (self.head, self.tail, self.models) = (0, None, None);
    }

    pub(super) fn head(&self) -> u64 {
        self.head
    }

    /// Where the transaction stands.
    pub(super) fn mark(&self) -> Mark {
        let models = self.models.iter().flatten().map(|growing| growing.added.len()).collect();
        Mark { head: self.head, tail: self.tail, models }
    }

    /// Forgets what was done since. The caller has rolled the database back to the same point.
    pub(super) fn return_to(&mut self, mark: &Mark) {
        (self.head, self.tail) = (mark.head, mark.tail);
        self.packed.clear();
        if let Some(models) = &mut self.models {
            models.truncate(mark.models.len());
            for (growing, length) in models.iter_mut().zip(&mark.models) {
                growing.added.truncate(*length);
            }
            if mark.models.is_empty() {
                self.models = None;
            }
        }
    }

    /// Adds a change to the feed and tells its position.
    pub(super) fn publish(&mut self, kind: Kind, subject: u64, version: u64) -> u64 {
        feed_form::encode(&mut self.packed, kind, subject, version);
        self.head += 1;
        self.head
    }

    /// Ends one commit: its changes become one row of the feed.
    pub(super) fn end_commit(&mut self, at: Timestamp) -> Outcome<()> {
        if !self.packed.is_empty() {
            let mut insert =
                self.connection.prepare_cached("INSERT INTO commits(last, at, changes) VALUES (?1, ?2, ?3)")?;
            let seal = feed_form::seal(self.head, at.as_micros(), &self.packed);
            self.packed.splice(..0, seal);
            insert.execute(params![self.head, at.as_micros(), self.packed])?;
            self.packed.clear();
        }
        Ok(())
    }

    /// Takes a vector; it is written to its file before the transaction commits.
    pub(super) fn add_vector(&mut self, embedding: &Embedding) -> Outcome<Location> {
        if self.models.is_none() {
            let growing = |row: vectors::ModelRow| Growing {
                no: row.no,
                model: row.model,
                first: row.rows,
                measured: false,
                added: Vec::new(),
            };
            self.models = Some(vectors::models(self.connection)?.into_iter().map(growing).collect());
        }
        let models = self.models.get_or_insert_default();
        if !models.iter().any(|growing| growing.model == *embedding.model()) {
            let no = insert_model(self.connection, embedding.model())?;
            models.push(Growing { no, model: embedding.model().clone(), first: 0, measured: false, added: Vec::new() });
        }
        let growing = models.iter_mut().find(|growing| growing.model == *embedding.model());
        let Some(growing) = growing else { return Err(Error::bug("a model was not added").into()) };
        if !growing.measured {
            // Another process may have been killed after its commit reached the log and before anybody could see it. Recovery can
            // still bring that commit back, so rows that lie beyond what is vouched for are never written over.
            let open = || VectorFile::open_or_create(self.directory, &growing.model, growing.first);
            let file = self.files.get(&growing.model, open)?;
            growing.first = growing.first.max(file.rows()?);
            growing.measured = true;
        }
        let slot = growing.rows();
        let start = growing.added.len();
        growing.added.extend(vectors::bytes_of(embedding));
        let crc = crc32fast::hash(growing.added.get(start..).unwrap_or_default());
        Ok(Location { model: growing.no, slot, crc })
    }

    /// Brings every added vector to disk and vouches for it, before the rows that name it commit: so a crash leaves a vector that
    /// no row names, never a row without its vector.
    pub(super) fn flush_vectors(&mut self) -> Outcome<()> {
        for growing in self.models.iter().flatten().filter(|growing| !growing.added.is_empty()) {
            let open = || VectorFile::open_or_create(self.directory, &growing.model, growing.first);
            let file: Arc<VectorFile> = self.files.get(&growing.model, open)?;
            file.write(growing.first, &growing.added)?;
            file.sync()?;
            let mut vouch = self.connection.prepare_cached("UPDATE models SET rows = ?2 WHERE no = ?1")?;
            vouch.execute(params![growing.no, growing.rows()])?;
        }
        Ok(())
    }

    /// Appends an event to the chain and to the feed.
    pub(super) fn append(&mut self, event: &AuditEvent, salt: &Salt, at: Timestamp) -> Outcome<Sequence> {
        let (last, previous) = self.tail()?;
        let sequence = Sequence(last.0 + 1);
        let commitment = audit::commitment(salt, event);
        let hash = audit::link(&previous, sequence, at, &commitment);
        let entry = ChainedEvent {
            sequence,
            recorded_at: at,
            event: Some(event.clone()),
            salt: Some(*salt),
            commitment,
            previous,
            hash,
        };
        self.append_entry(&entry)?;
        Ok(sequence)
    }

    /// Where the chain ends.
    pub(super) fn tail(&self) -> Outcome<(Sequence, Digest)> {
        let (last, hash) = match self.tail {
            Some(tail) => tail,
            None => tail(self.connection, self.directory)?,
        };
        Ok((Sequence(last), hash))
    }

    /// Adds an entry that continues the chain to it and to the feed.
    pub(super) fn append_entry(&mut self, entry: &ChainedEvent) -> Outcome<()> {
        let event = entry.event.as_ref();
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO events(sequence, recorded_at, event_id, thread, user, body, salt, commitment, previous, hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?;
        insert.execute(params![
            entry.sequence.0,
            entry.recorded_at.as_micros(),
            event.map(|event| event.event_id.as_str()),
            event.map(|event| event.thread_id.as_str()),
            event.and_then(|event| event.user_id.as_ref()).map(mnemic_core::UserId::as_str),
            event.map(stored::pack_event).transpose()?,
            entry.salt.map(|salt| salt.0),
            entry.commitment.0,
            entry.previous.0,
            entry.hash.0
        ])?;
        self.tail = Some((entry.sequence.0, entry.hash));
        self.publish(Kind::Appended, entry.sequence.0, 0);
        Ok(())
    }
}

fn tail(connection: &Connection, directory: &Path) -> Outcome<(u64, Digest)> {
    let mut last = connection.prepare_cached("SELECT sequence, hash FROM events ORDER BY sequence DESC LIMIT 1")?;
    let found: Option<(u64, Vec<u8>)> = last.query_row((), |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let Some((sequence, hash)) = found else { return Ok((0, Digest::default())) };
    let wrong = |_| corrupted(&directory.join(schema::FILE), "the chain holds a digest of a wrong length");
    Ok((sequence, Digest(hash.try_into().map_err(wrong)?)))
}

fn insert_model(connection: &Connection, model: &EmbeddingModel) -> Outcome<i64> {
    let mut insert = connection
        .prepare_cached("INSERT INTO models(provider, name, dimension, metric, rows) VALUES (?1, ?2, ?3, ?4, 0)")?;
    Ok(insert.insert(params![model.provider(), model.name(), model.dimension(), model.metric().as_str()])?)
}
