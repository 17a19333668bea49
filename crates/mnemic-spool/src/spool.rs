//! The handle: every operation is sent to one thread that owns the files, so nothing here blocks and appends at once share a sync.
//! Not here: the work (`worker`).

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use mnemic_core::{Error, ErrorKind, Result, Retry, Timestamp, ids::check_label, limits};
use tokio::sync::{mpsc, oneshot};

use crate::{
    Quarantined, SpoolConfig, SpoolEntry, SpoolId, SpoolReport,
    disk::{Disk, RealDisk},
    worker::{Append, Command, Worker},
};

/// Operations that may wait for the thread before callers wait to hand theirs over.
const QUEUE: usize = 1_024;
/// The largest payload: more than any request may hold, and far less than a length field can.
const PAYLOAD_BYTES: usize = 64 << 20;

/// A durable queue. Clones are the same handle; the last one to go ends the thread and frees the stream for others.
#[derive(Clone, Debug)]
pub struct Spool {
    commands: mpsc::Sender<Command>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Spool {
    /// Opens a spool and takes over what ended processes left. Reads all that once, in little memory.
    ///
    /// # Errors
    /// `Unavailable` or `Denied` if the directory cannot be used.
    pub async fn open(config: SpoolConfig) -> Result<Self> {
        Self::open_on(Arc::new(RealDisk), config).await
    }

    /// The same on another disk, for tests of what a disk can do.
    pub async fn open_on(disk: Arc<dyn Disk>, config: SpoolConfig) -> Result<Self> {
        let (commands, mut queue) = mpsc::channel(QUEUE);
        let (opened, open) = oneshot::channel();
        let thread = std::thread::Builder::new().name("mnemic-spool".to_owned()).spawn(move || {
            let (worker, answer) = match Worker::open(disk, config) {
                Ok(worker) => (Some(worker), Ok(())),
                Err(error) => (None, Err(error)),
            };
            // Whoever asked may have gone; then the channel is closed and the work ends at once.
            drop(opened.send(answer));
            if let Some(worker) = worker {
                serve(worker, &mut queue);
            }
        });
        let thread = thread.map_err(|error| {
            Error::new(ErrorKind::Unavailable, "the spool cannot start its thread")
                .with_retry(Retry::Soon)
                .with_source(error)
        })?;
        open.await.map_err(|_gone| ended())??;
        Ok(Self { commands, thread: Arc::new(Mutex::new(Some(thread))) })
    }

    /// Appends an entry of a lane and answers after it is durable. Appends made at once share one sync. A future that is dropped before
    /// its answer leaves open whether the entry is there.
    ///
    /// # Errors
    /// `InvalidInput` for a lane that is no label of at most 255 bytes or a payload above 64 MiB. `RateLimited`, naming the bound, if the spool
    /// is full or its oldest entry too old. `Unavailable` if the disk refuses; after a failed sync, until the spool is opened anew.
    pub async fn append(&self, at: Timestamp, lane: &str, payload: &[u8]) -> Result<SpoolId> {
        check_label("lane", lane, limits::LABEL_BYTES)?;
        if payload.len() > PAYLOAD_BYTES {
            return Err(Error::invalid(
                "payload",
                format!("at most {PAYLOAD_BYTES} bytes"),
                format!("{} bytes", payload.len()),
            ));
        }
        let append = Append { at, lane: lane.to_owned(), payload: payload.to_vec() };
        self.ask(|answer| Command::Append(append, answer)).await
    }

    /// The first entries that wait, at most `max` and about 8 MiB (but one, however large). Asking again answers the same until they
    /// are settled. Entries come in the order of their streams, and of several streams the one whose next entry is older goes first.
    pub async fn peek(&self, max: usize) -> Result<Vec<SpoolEntry>> {
        self.peek_past(max, &BTreeSet::new()).await
    }

    /// The same without the entries of some lanes, for going on beside a lane that is stuck.
    pub async fn peek_past(&self, max: usize, stuck: &BTreeSet<String>) -> Result<Vec<SpoolEntry>> {
        let stuck = stuck.clone();
        self.ask(|answer| Command::Peek { max, stuck, answer }).await
    }

    /// Takes an entry out of the queue, durably, after its effect. One that is gone already is fine.
    pub async fn settle(&self, id: SpoolId) -> Result<()> {
        self.settle_all(&[id]).await
    }

    /// Takes several entries out of the queue with one sync for each stream.
    pub async fn settle_all(&self, ids: &[SpoolId]) -> Result<()> {
        let ids = ids.to_vec();
        self.ask(|answer| Command::Settle(ids, answer)).await
    }

    /// Moves an entry that can never be delivered aside, durably, with a reason of at most 4 KiB; later entries go on. One that is gone
    /// already is fine.
    pub async fn quarantine(&self, id: SpoolId, reason: &str) -> Result<()> {
        let end = reason.floor_char_boundary(4_096);
        let reason = reason.get(..end).unwrap_or_default().to_owned();
        self.ask(|answer| Command::Quarantine { id, reason, answer }).await
    }

    /// Entries in quarantine after `after`, ordered by id, at most `max`.
    pub async fn quarantined(&self, after: Option<SpoolId>, max: usize) -> Result<Vec<Quarantined>> {
        self.ask(|answer| Command::Quarantined { after, max, answer }).await
    }

    /// Removes an entry from quarantine for good. One that is not there is fine.
    pub async fn discard(&self, id: SpoolId) -> Result<()> {
        self.ask(|answer| Command::Discard(Some(id), answer)).await
    }

    /// Removes all damaged bytes that were kept aside, after somebody has looked at them or where content has to be gone.
    pub async fn discard_damaged(&self) -> Result<()> {
        self.ask(|answer| Command::Discard(None, answer)).await
    }

    /// Overwrites the content of settled entries that is still in segments. Reads and writes all of them.
    pub async fn scrub(&self) -> Result<()> {
        self.ask(Command::Scrub).await
    }

    /// Tells its state.
    pub async fn report(&self) -> Result<SpoolReport> {
        self.ask(Command::Report).await
    }

    /// Ends the thread after all operations before, also for other clones, and returns when the directory is free for others.
    pub async fn close(self) -> Result<()> {
        self.ask(Command::Close).await?;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(self.commands);
        match thread {
            Some(thread) => tokio::task::spawn_blocking(move || thread.join())
                .await
                .map_or(Err(ended()), |joined| joined.map_err(|_panic| ended())),
            None => Ok(()),
        }
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<Result<T>>) -> Command) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(command(answer)).await.map_err(|_closed| ended())?;
        answered.await.map_err(|_gone| ended())?
    }
}

/// The thread: takes all that waits at a time, so that it can share syncs, until nobody is left to ask or it is told to end.
fn serve(mut worker: Worker, queue: &mut mpsc::Receiver<Command>) {
    while !worker.is_closed()
        && let Some(first) = queue.blocking_recv()
    {
        let more = std::iter::from_fn(|| queue.try_recv().ok()).take(QUEUE);
        let batch = std::iter::once(first).chain(more).collect();
        worker.work(batch);
    }
    worker.close();
}

fn ended() -> Error {
    Error::new(ErrorKind::Unavailable, "the spool was closed")
}
