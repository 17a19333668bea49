//! One open namespace: its writer, its readers, its vector files. Not here: how many are open (`mod`).

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use mnemic_core::{Error, ErrorKind, Result, Retry};
use rusqlite::Connection;
use tokio::sync::{Semaphore, oneshot};

use super::{
    directory,
    error::{Fault, Outcome},
    schema,
    snapshot::{Pool, Snapshot},
    vectors::VectorFiles,
    writer::{Job, Writer},
};

/// Most reads of one namespace at a time, each with a connection of its own.
const READERS: usize = 8;

/// One open namespace.
#[derive(Debug)]
pub(super) struct OpenNamespace {
    directory: PathBuf,
    file: PathBuf,
    busy_timeout: Duration,
    pool: Arc<Pool>,
    files: Arc<VectorFiles>,
    /// Started by the first write.
    writer: Mutex<Option<Arc<Writer>>>,
    /// Whether the database has been seen.
    seen: AtomicBool,
    readers: Semaphore,
}

impl OpenNamespace {
    pub(super) fn new(directory: PathBuf, busy_timeout: Duration) -> Self {
        let file = directory.join(schema::FILE);
        Self {
            pool: Arc::new(Pool::new(file.clone(), busy_timeout)),
            files: Arc::default(),
            writer: Mutex::default(),
            seen: AtomicBool::new(false),
            readers: Semaphore::new(READERS),
            directory,
            file,
            busy_timeout,
        }
    }

    /// Whether there is a database. What was there once stays.
    pub(super) fn exists(&self) -> Result<bool> {
        if self.seen.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let exists = directory::has_ledger(&self.directory).map_err(|fault| fault.classify(&self.file))?;
        self.seen.store(exists, Ordering::Relaxed);
        Ok(exists)
    }

    /// Hands a job to the writer and waits for its answer. The job is done also if nobody waits any more.
    pub(super) async fn write<T>(&self, job: impl FnOnce(oneshot::Sender<Result<T>>) -> Job) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.submit(job(reply))?;
        let lost = |_| {
            Error::new(
                ErrorKind::Unavailable,
                "the writer of the ledger ended without an answer; what it did is unknown",
            )
        };
        answer.await.map_err(lost)?
    }

    fn submit(&self, mut job: Job) -> Result<()> {
        for _ in 0..2 {
            let writer = self.writer()?;
            match writer.submit(job) {
                Ok(()) => return Ok(()),
                Err(refused) => job = refused,
            }
            *self.writer.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        Err(Error::new(ErrorKind::Unavailable, "the writer of the ledger does not run").with_retry(Retry::Soon))
    }

    fn writer(&self) -> Result<Arc<Writer>> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = &*writer {
            return Ok(Arc::clone(running));
        }
        let (pool, files) = (Arc::clone(&self.pool), Arc::clone(&self.files));
        let started = Arc::new(Writer::start(self.directory.clone(), self.busy_timeout, pool, files)?);
        *writer = Some(Arc::clone(&started));
        Ok(started)
    }

    /// Reads through one snapshot, on a thread that may block. `None` if the namespace does not exist.
    pub(super) async fn read<T: Send + 'static>(
        self: Arc<Self>,
        read: impl Fn(&Snapshot<'_>) -> Outcome<T> + Send + 'static,
    ) -> Result<Option<T>> {
        let open = Arc::clone(&self);
        let _permit = open.readers.acquire().await.map_err(|closed| Error::bug(closed.to_string()))?;
        let done = tokio::task::spawn_blocking(move || self.read_now(read)).await;
        done.map_err(|failed| Error::bug("a read of the ledger panicked").with_source(failed))?
    }

    fn read_now<T>(&self, read: impl Fn(&Snapshot<'_>) -> Outcome<T>) -> Result<Option<T>> {
        if !self.exists()? {
            return Ok(None);
        }
        let attempt = || {
            self.pool.with(|connection| {
                let _transaction = connection.unchecked_transaction()?;
                read(&Snapshot::new(connection, &self.directory, &self.files))
            })
        };
        let outcome = match attempt() {
            // An erasure may have overwritten a vector that this snapshot still names. The next snapshot knows.
            Err(Fault::Mnemic(error)) if error.kind() == ErrorKind::Corrupted => attempt(),
            outcome => outcome,
        };
        outcome.map(Some).map_err(|fault| fault.classify(&self.file))
    }

    /// Reads through one snapshot what takes no longer than handing it to a thread would, if a connection is idle. `None` where it has to
    /// be read as anything else is, which also tells what is wrong with it.
    pub(super) fn read_little<T>(&self, read: impl FnOnce(&Snapshot<'_>) -> Outcome<T>) -> Option<T> {
        if !self.seen.load(Ordering::Relaxed) {
            return None;
        }
        let found = self.pool.with_idle(|connection| {
            let _transaction = connection.unchecked_transaction()?;
            read(&Snapshot::new(connection, &self.directory, &self.files))
        });
        found?.ok()
    }

    /// Reads one row, without a thread if a connection is idle: this is asked before every call.
    pub(super) fn read_short<T>(&self, read: impl FnOnce(&Connection) -> Outcome<T>) -> Option<Result<T>> {
        if !self.seen.load(Ordering::Relaxed) {
            return None;
        }
        let read = self.pool.with_idle(read)?;
        Some(read.map_err(|fault| fault.classify(&self.file)))
    }
}
