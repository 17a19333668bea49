//! One consistent view of a namespace for one read, and the connections that reads use. Not here: what is read.

use std::{
    cell::OnceCell,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use mnemic_core::{Embedding, EmbeddingModel, Timestamp};
use rusqlite::{Connection, OptionalExtension as _};

use super::{
    error::{Outcome, corrupted},
    schema::{self, Access},
    vectors::{self, Location, VectorFile, VectorFiles},
};

/// Most idle read connections that a namespace keeps; each takes two descriptors.
const IDLE: usize = 2;

/// Read connections to one database.
#[derive(Debug)]
pub(super) struct Pool {
    file: PathBuf,
    busy_timeout: Duration,
    idle: Mutex<Vec<Connection>>,
}

impl Pool {
    pub(super) fn new(file: PathBuf, busy_timeout: Duration) -> Self {
        Self { file, busy_timeout, idle: Mutex::default() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lends a connection, opened if none is idle.
    pub(super) fn with<T>(&self, read: impl FnOnce(&Connection) -> Outcome<T>) -> Outcome<T> {
        let idle = self.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => schema::open(&self.file, Access::Read, self.busy_timeout)?,
        };
        self.give_back(read(&connection), connection)
    }

    /// Lends a connection only if one is idle: opening takes long, a short read does not.
    pub(super) fn with_idle<T>(&self, read: impl FnOnce(&Connection) -> Outcome<T>) -> Option<Outcome<T>> {
        let connection = self.lock().pop()?;
        Some(self.give_back(read(&connection), connection))
    }

    fn give_back<T>(&self, outcome: Outcome<T>, connection: Connection) -> Outcome<T> {
        let sound = !matches!(&outcome, Err(fault) if fault.is_system());
        let mut idle = self.lock();
        if sound && idle.len() < IDLE {
            idle.push(connection);
        }
        outcome
    }

    /// Closes what is idle.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }
}

/// One view of a namespace: everything read through it belongs to the same moment.
pub(super) struct Snapshot<'a> {
    pub(super) connection: &'a Connection,
    pub(super) directory: &'a Path,
    vectors: &'a VectorFiles,
    models: OnceCell<Vec<vectors::ModelRow>>,
}

impl<'a> Snapshot<'a> {
    /// The caller holds a transaction on `connection` for as long as the snapshot lives.
    pub(super) fn new(connection: &'a Connection, directory: &'a Path, vectors: &'a VectorFiles) -> Self {
        Self { connection, directory, vectors, models: OnceCell::new() }
    }

    /// The embedding at a location, compared with its checksum.
    pub(super) fn embedding(&self, location: Location, record: &str) -> Outcome<Embedding> {
        let model = self.model(location.model)?;
        let file = self.vectors.get(model, || VectorFile::open(self.directory, model))?;
        file.read(location, record)
    }

    /// The model with a number.
    pub(super) fn model(&self, no: i64) -> Outcome<&EmbeddingModel> {
        if self.models.get().is_none() {
            let read = vectors::models(self.connection)?;
            self.models.get_or_init(|| read);
        }
        let models = self.models.get().map_or(&[][..], Vec::as_slice);
        let found = models.iter().find(|row| row.no == no).map(|row| &row.model);
        found.ok_or_else(|| {
            corrupted(&self.file(), format_args!("a record names the unknown embedding model {no}")).into()
        })
    }

    /// The database, for messages.
    pub(super) fn file(&self) -> PathBuf {
        self.directory.join(schema::FILE)
    }

    /// The last change of the last commit at or before an instant; `None` asks for now.
    pub(super) fn position(&self, as_of: Option<Timestamp>) -> Outcome<Option<u64>> {
        as_of.map(|instant| position(self.connection, instant)).transpose()
    }
}

/// Clocks may run backwards; the order of commit decides.
fn position(connection: &Connection, instant: Timestamp) -> Outcome<u64> {
    let mut statement =
        connection.prepare_cached("SELECT last FROM commits WHERE at <= ?1 ORDER BY last DESC LIMIT 1")?;
    Ok(statement.query_row([instant.as_micros()], |row| row.get(0)).optional()?.unwrap_or(0))
}
