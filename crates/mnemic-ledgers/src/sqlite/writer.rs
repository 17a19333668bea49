//! The writer of one namespace: one thread, one connection, and group commit: what waits is committed together, and only then answered.
//! Not here: what a batch does (`commit`), what an erasure does (`erase`).

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use mnemic_core::{
    Assignment, Batch, ChangeSeq, EraseReceipt, Erasure, Error, ErrorKind, OutboxId, PastCommit, Receipt, Result,
    Retry, Role,
};
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{
    changes::Changes,
    commit, directory, erase,
    error::{Fault, Outcome},
    schema::{self, Access},
    snapshot::Pool,
    vectors::VectorFiles,
};

/// Most records and events of one group, so that the vectors that wait in memory are bounded.
const GROUP: usize = 4000;
/// After so many records and events, or groups, the log is copied into the database.
const CHECKPOINT_WEIGHT: usize = 8000;
const CHECKPOINT_GROUPS: usize = 1000;
/// How long an erasure waits for readers before it reports a residue.
const CLEAN_WAIT: Duration = Duration::from_millis(250);

type Reply<T> = oneshot::Sender<Result<T>>;

/// One piece of work for the writer.
pub(super) enum Job {
    Commit(Box<Batch>, Reply<Receipt>),
    Settle(Vec<OutboxId>, Reply<()>),
    Erase(Box<Erasure>, Reply<EraseReceipt>),
    Repeat(Vec<PastCommit>, Reply<ChangeSeq>),
    /// Gives the role, or clears the namespace if there is none to give.
    Assign(u64, Option<Role>, Reply<Assignment>),
}

impl Job {
    /// How much of a group it takes.
    fn weight(&self) -> usize {
        match self {
            Self::Commit(batch, _) => 1 + batch.writes.len() + batch.embeddings.len() + batch.events.len(),
            Self::Settle(ids, _) => 1 + ids.len(),
            Self::Erase(..) | Self::Assign(..) => 1,
            Self::Repeat(commits, _) => 1 + commits.iter().map(|commit| commit.changes.len()).sum::<usize>(),
        }
    }

    fn refused(self, error: Error) -> Answer {
        match self {
            Self::Commit(_, reply) => Answer::Commit(reply, Err(error)),
            Self::Settle(_, reply) => Answer::Settle(reply, Err(error)),
            Self::Erase(_, reply) => Answer::Erase(reply, Err(error)),
            Self::Repeat(_, reply) => Answer::Repeat(reply, Err(error)),
            Self::Assign(_, _, reply) => Answer::Assign(reply, Err(error)),
        }
    }
}

/// What a job answers once its transaction has committed.
enum Answer {
    Commit(Reply<Receipt>, Result<Receipt>),
    Settle(Reply<()>, Result<()>),
    Erase(Reply<EraseReceipt>, Result<EraseReceipt>),
    Repeat(Reply<ChangeSeq>, Result<ChangeSeq>),
    Assign(Reply<Assignment>, Result<Assignment>),
}

impl Answer {
    /// Answers. A caller that is gone does not mind.
    fn send(self) {
        let _gone = match self {
            Self::Commit(reply, result) => reply.send(result).map_err(drop),
            Self::Settle(reply, result) => reply.send(result).map_err(drop),
            Self::Erase(reply, result) => reply.send(result).map_err(drop),
            Self::Repeat(reply, result) => reply.send(result).map_err(drop),
            Self::Assign(reply, result) => reply.send(result).map_err(drop),
        };
    }

    /// Replaces what was done by what went wrong since; a refusal stays a refusal.
    fn undone(self, error: &Error) -> Self {
        match self {
            Self::Commit(reply, Ok(_)) => Self::Commit(reply, Err(copy(error))),
            Self::Settle(reply, Ok(())) => Self::Settle(reply, Err(copy(error))),
            Self::Erase(reply, Ok(_)) => Self::Erase(reply, Err(copy(error))),
            Self::Repeat(reply, Ok(_)) => Self::Repeat(reply, Err(copy(error))),
            Self::Assign(reply, Ok(_)) => Self::Assign(reply, Err(copy(error))),
            refused => refused,
        }
    }
}

/// The same error for another caller.
fn copy(error: &Error) -> Error {
    let copied = Error::new(error.kind(), error.message()).with_retry(error.retry());
    error.context().iter().fold(copied, |copied, (key, value)| copied.with_context(key, value.clone()))
}

/// The handle to a writer. Dropping it lets the writer finish what waits, and closes its files.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(
        directory: PathBuf,
        busy_timeout: Duration,
        pool: Arc<Pool>,
        files: Arc<VectorFiles>,
    ) -> Result<Self> {
        let (jobs, waiting) = channel();
        let file = directory.join(schema::FILE);
        let worker =
            Worker { directory, file, busy_timeout, pool, files, connection: None, owes: false, weight: 0, groups: 0 };
        let thread = std::thread::Builder::new().name("mnemic-ledger".to_owned()).spawn(move || worker.run(&waiting));
        let thread = thread.map_err(|source| {
            Error::new(ErrorKind::Unavailable, "no thread could be started").with_retry(Retry::Soon).with_source(source)
        })?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Queues a job; gives it back if the writer is gone.
    pub(super) fn submit(&self, job: Job) -> std::result::Result<(), Job> {
        match &self.jobs {
            Some(jobs) => jobs.send(job).map_err(|refused| refused.0),
            None => Err(job),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has reached its callers as a lost answer.
            let _panicked = thread.join();
        }
    }
}

struct Worker {
    directory: PathBuf,
    file: PathBuf,
    busy_timeout: Duration,
    pool: Arc<Pool>,
    files: Arc<VectorFiles>,
    connection: Option<Connection>,
    /// Whether an erasure still owes cleaning.
    owes: bool,
    /// Since the last checkpoint.
    weight: usize,
    groups: usize,
}

impl Worker {
    fn run(mut self, waiting: &Receiver<Job>) {
        while let Ok(first) = waiting.recv() {
            let mut weight = first.weight();
            let mut group = vec![first];
            while weight < GROUP
                && let Ok(job) = waiting.try_recv()
            {
                weight += job.weight();
                group.push(job);
            }
            self.weight += weight;
            self.groups += 1;
            self.serve(group);
        }
    }

    fn serve(&mut self, group: Vec<Job>) {
        let mut answers = Vec::with_capacity(group.len());
        let mut jobs = group.into_iter();
        if let Err(fault) = self.open().and_then(|()| self.transact(&mut jobs, &mut answers)) {
            let system = fault.is_system();
            let error = fault.classify(&self.file);
            answers.extend(jobs.map(|job| job.refused(copy(&error))));
            answers = answers.into_iter().map(|answer| answer.undone(&error)).collect();
            if system {
                // What the operating system refused once is not trusted before the files were opened anew.
                self.connection = None;
                self.pool.clear();
                self.files.clear();
            }
        }
        if answers.iter().any(|answer| matches!(answer, Answer::Repeat(_, Ok(_)) | Answer::Assign(_, Ok(_)))) {
            // What cannot be read now is read at the next opening.
            self.owes = self.connection.as_ref().is_some_and(|connection| erase::owes(connection).unwrap_or(true));
        }
        let erased = answers.iter().any(|answer| matches!(answer, Answer::Erase(_, Ok(_))));
        let residue = if erased { self.clean(CLEAN_WAIT) } else { Vec::new() };
        for mut answer in answers {
            if let Answer::Erase(_, Ok(receipt)) = &mut answer {
                receipt.residue.clone_from(&residue);
            }
            answer.send();
        }
        if self.owes && !erased {
            self.clean(Duration::ZERO);
        }
        self.checkpoint();
    }

    /// Opens the database if it is not open; makes it if it is not there.
    fn open(&mut self) -> Outcome<()> {
        if self.connection.is_none() {
            if !directory::has_ledger(&self.directory)? {
                schema::create(&self.file)?;
            }
            let connection = schema::open(&self.file, Access::Write, self.busy_timeout)?;
            self.owes = erase::owes(&connection)?;
            self.connection = Some(connection);
        }
        Ok(())
    }

    /// Runs a group in one transaction. After an error nothing of it happened, whatever the answers say.
    fn transact(&mut self, jobs: &mut std::vec::IntoIter<Job>, answers: &mut Vec<Answer>) -> Outcome<()> {
        let Some(connection) = &self.connection else { return Err(Error::bug("a writer without a connection").into()) };
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute(())?;
        let group = Group { connection, alone: jobs.len() == 1, file: &self.file };
        let mut changes = Changes::new(connection, &self.directory, &self.files)?;
        let done = jobs.try_for_each(|job| group.run(job, &mut changes, answers)).and_then(|()| {
            changes.flush_vectors()?;
            if !connection.is_autocommit() {
                connection.prepare_cached("COMMIT")?.execute(())?;
            }
            Ok(())
        });
        if done.is_err() && !connection.is_autocommit() {
            connection.execute_batch("ROLLBACK")?;
        }
        done
    }

    /// Does what erasures owe, as far as readers allow.
    fn clean(&mut self, wait: Duration) -> Vec<String> {
        let Some(connection) = &self.connection else { return vec!["the ledger was closed by an error".to_owned()] };
        let cleaned = connection.busy_timeout(wait).map_err(Fault::from);
        let cleaned = cleaned.and_then(|()| erase::clean(connection, &self.directory, &self.files));
        let restored = connection.busy_timeout(self.busy_timeout).map_err(Fault::from);
        match cleaned.and_then(|residue| restored.map(|()| residue)) {
            Ok(residue) => {
                self.owes = !residue.is_empty();
                residue
            }
            Err(fault) => {
                self.owes = true;
                vec![fault.classify(&self.file).to_string()]
            }
        }
    }

    /// Copies the log into the database once it is long. Nobody waits for this but the next group.
    fn checkpoint(&mut self) {
        if let Some(connection) = &self.connection
            && (self.weight > CHECKPOINT_WEIGHT || self.groups > CHECKPOINT_GROUPS)
        {
            (self.weight, self.groups) = (0, 0);
            // A checkpoint that a reader keeps from finishing goes on next time; one that fails is found by the next commit.
            let _tried = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |_| Ok(()));
        }
    }
}

/// The transaction that the jobs of one group share.
struct Group<'c> {
    connection: &'c Connection,
    /// With one job, undoing it is undoing the transaction.
    alone: bool,
    file: &'c Path,
}

impl Group<'_> {
    fn run(&self, job: Job, changes: &mut Changes<'_>, answers: &mut Vec<Answer>) -> Outcome<()> {
        match job {
            Job::Commit(batch, reply) => {
                let result = self.isolated(changes, |changes| changes.commit(&batch));
                self.answer(result, answers, |result| Answer::Commit(reply, result))
            }
            Job::Settle(ids, reply) => {
                let result = self.isolated(changes, |changes| commit::settle(changes.connection, &ids));
                self.answer(result, answers, |result| Answer::Settle(reply, result))
            }
            Job::Erase(erasure, reply) => {
                let result = self.isolated(changes, |changes| changes.erase(&erasure));
                self.answer(result, answers, |result| Answer::Erase(reply, result))
            }
            Job::Assign(seen, role, reply) => {
                let result = self.isolated(changes, |changes| match role {
                    Some(role) => changes.assign(seen, role),
                    None => changes.clear(seen),
                });
                self.answer(result, answers, |result| Answer::Assign(reply, result))
            }
            Job::Repeat(commits, reply) => {
                let result = self.isolated(changes, |changes| changes.repeat(&commits));
                self.answer(result, answers, |result| Answer::Repeat(reply, result))
            }
        }
    }

    /// Runs one job so that its refusal undoes it alone.
    fn isolated<'c, T>(
        &self,
        changes: &mut Changes<'c>,
        job: impl FnOnce(&mut Changes<'c>) -> Outcome<T>,
    ) -> Outcome<T> {
        if !self.alone {
            self.connection.prepare_cached("SAVEPOINT job")?.execute(())?;
        }
        let mark = changes.mark();
        let result = job(changes);
        if result.is_err() {
            changes.return_to(&mark);
        }
        match (&result, self.alone) {
            // The transaction ends with an error, or SQLite has ended it already.
            (Err(fault), _) if fault.is_system() || self.connection.is_autocommit() => {}
            (Err(_), true) => self.connection.execute_batch("ROLLBACK")?,
            (Err(_), false) => self.connection.execute_batch("ROLLBACK TO job; RELEASE job")?,
            (Ok(_), true) => {}
            (Ok(_), false) => drop(self.connection.prepare_cached("RELEASE job")?.execute(())?),
        }
        result
    }

    /// Keeps a job's answer. Only what breaks the whole transaction is an error here.
    fn answer<T>(
        &self,
        result: Outcome<T>,
        answers: &mut Vec<Answer>,
        make: impl FnOnce(Result<T>) -> Answer,
    ) -> Outcome<()> {
        match result {
            Ok(value) => answers.push(make(Ok(value))),
            Err(fault) => {
                let broken = fault.is_system() || (!self.alone && self.connection.is_autocommit());
                let error = fault.classify(self.file);
                let kept = copy(&error);
                answers.push(make(Err(error)));
                if broken {
                    return Err(Fault::System(kept));
                }
            }
        }
        Ok(())
    }
}
