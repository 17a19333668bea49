//! The ledger in one directory on disk: per namespace one SQLite database, and one file of vectors per embedding model beside it.
//! Several processes may use a directory at once. Not here: searching (`mnemic-indexes` keeps its own files there).

mod backup;
mod changes;
mod commit;
mod directory;
mod erase;
mod error;
mod events;
mod feed;
mod namespace;
mod records;
mod repeat;
mod role;
mod schema;
mod slots;
mod snapshot;
mod vectors;
mod verify;
mod writer;

use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use lru::LruCache;
use mnemic_core::{
    Assignment, Batch, ChainedEvent, Change, ChangeSeq, EmbeddingModel, EraseReceipt, Erasure, Error, ErrorKind,
    Filter, Namespace, Order, OutboxId, OutboxItem, Page, PageRequest, PastCommit, Receipt, RecordId, Result, Revision,
    Role, StoredRecord, ThreadId, ThreadSummary, Timestamp, VersionedSlots,
    ports::{EventRange, Ledger, LedgerReport, NamespaceReport, Read, SlotsRevision},
};

use self::{error::Outcome, namespace::OpenNamespace, snapshot::Snapshot, writer::Job};
use crate::rules;

/// As many records of the usual size are read in about the time that another thread takes to be woken.
const LITTLE: usize = 64;
/// Before this release, a checkpoint could lose a commit of another connection.
const OLDEST_SQLITE: i32 = 3_051_003;

/// Where and how the ledger lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteConfig {
    /// The directory; made if it does not exist.
    pub directory: PathBuf,
    /// How many namespaces are kept open; each takes about six file descriptors. Those in use are never closed. Usually 128, fewer where
    /// the process may open few files.
    pub max_open_namespaces: usize,
    /// How long a write waits for a write of another process.
    pub busy_timeout: Duration,
}

impl SqliteConfig {
    /// The usual configuration.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        let most_files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        Self {
            directory: directory.into(),
            max_open_namespaces: open_namespaces(most_files),
            busy_timeout: Duration::from_secs(5),
        }
    }
}

/// How many namespaces are kept open where a process may open so many files: a good third of them, so that a second directory and the
/// rest of the program have theirs.
fn open_namespaces(most_files: Option<u64>) -> usize {
    const MOST: usize = 128;
    most_files.and_then(|files| usize::try_from(files / 16).ok()).unwrap_or(MOST).clamp(4, MOST)
}

/// A ledger in one directory.
pub struct SqliteLedger {
    config: SqliteConfig,
    open: Mutex<LruCache<Namespace, Arc<OpenNamespace>>>,
    /// Namespaces that were seen to hold something, which is for good unless they are cleared.
    held: Mutex<BTreeSet<Namespace>>,
}

impl fmt::Debug for SqliteLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteLedger").field("config", &self.config).finish_non_exhaustive()
    }
}

impl SqliteLedger {
    /// Opens a directory, and makes a new one where there is nothing.
    ///
    /// # Errors
    /// `InvalidConfig` for a directory that is another's or of a newer Mnemic, `Denied`, `Unavailable`, `Corrupted`.
    pub fn open(config: SqliteConfig) -> Result<Self> {
        if rusqlite::version_number() < OLDEST_SQLITE {
            let message =
                format!("SQLite {} is linked, which can lose commits; 3.51.3 or newer is needed", rusqlite::version());
            return Err(Error::new(ErrorKind::InvalidConfig, message));
        }
        directory::open(&config.directory).map_err(|fault| fault.classify(&config.directory))?;
        Ok(Self { config, open: Mutex::new(LruCache::unbounded()), held: Mutex::default() })
    }

    /// Where the data lies.
    pub fn directory(&self) -> &Path {
        &self.config.directory
    }

    /// The namespace, opened if it was not, while the least recently used idle ones are closed.
    fn namespace(&self, namespace: &Namespace) -> Arc<OpenNamespace> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = open.get(namespace) {
            return Arc::clone(found);
        }
        let directory = directory::of_namespace(&self.config.directory, namespace);
        let opened = Arc::new(OpenNamespace::new(directory, self.config.busy_timeout));
        open.put(namespace.clone(), Arc::clone(&opened));
        let mut closing = Vec::new();
        let surplus = open.len().saturating_sub(self.config.max_open_namespaces);
        let idle: Vec<Namespace> =
            open.iter().rev().filter(|(_, held)| Arc::strong_count(held) == 1).map(|(name, _)| name.clone()).collect();
        for name in idle.iter().take(surplus) {
            closing.extend(open.pop(name));
        }
        drop(open);
        // Closing waits for the writer and may copy its log, so it happens outside of the lock and not on this thread.
        if !closing.is_empty() {
            match tokio::runtime::Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn_blocking(move || drop(closing))),
                Err(_no_runtime) => drop(closing),
            }
        }
        opened
    }

    async fn read<T: Send + 'static>(
        &self,
        namespace: &Namespace,
        absent: T,
        read: impl Fn(&Snapshot<'_>) -> Outcome<T> + Send + 'static,
    ) -> Result<T> {
        let read = self.namespace(namespace).read(read).await?;
        Ok(read.unwrap_or(absent))
    }

    /// Whether a namespace holds anything. One that cannot be read holds what cannot be read.
    async fn holds(&self, namespace: &Namespace) -> bool {
        let held = || self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held().contains(namespace) {
            return true;
        }
        let holds = !matches!(self.head(namespace).await, Ok(ChangeSeq(0)));
        if holds {
            held().insert(namespace.clone());
        }
        holds
    }
}

fn empty<T>() -> Page<T> {
    Page { items: Vec::new(), next: None }
}

/// Runs what may block on a thread for it.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|failed| Error::bug("a task of the ledger panicked").with_source(failed))?
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn commit(&self, namespace: &Namespace, batch: Batch) -> Result<Receipt> {
        self.namespace(namespace).write(|reply| Job::Commit(Box::new(batch), reply)).await
    }

    async fn fetch(&self, namespace: &Namespace, ids: &[RecordId], read: Read) -> Result<Vec<Option<StoredRecord>>> {
        rules::check_read(read)?;
        let little = ids.len() <= LITTLE && read == Read::default();
        if little && let Some(found) = self.namespace(namespace).read_little(|snapshot| snapshot.fetch(ids, read)) {
            return Ok(found);
        }
        let ids = ids.to_vec();
        self.read(namespace, vec![None; ids.len()], move |snapshot| snapshot.fetch(&ids, read)).await
    }

    async fn scan(
        &self,
        namespace: &Namespace,
        filter: &Filter,
        read: Read,
        page: &PageRequest,
    ) -> Result<Page<StoredRecord>> {
        rules::check_read(read)?;
        let (filter, page) = (filter.clone(), page.clone());
        self.read(namespace, empty(), move |snapshot| snapshot.scan(&filter, read, &page)).await
    }

    async fn history(&self, namespace: &Namespace, id: &RecordId) -> Result<Vec<Revision>> {
        let id = id.clone();
        self.read(namespace, Vec::new(), move |snapshot| snapshot.history(&id)).await
    }

    async fn events(
        &self,
        namespace: &Namespace,
        range: &EventRange,
        page: &PageRequest,
    ) -> Result<Page<ChainedEvent>> {
        let (range, page) = (range.clone(), page.clone());
        self.read(namespace, empty(), move |snapshot| snapshot.events(&range, &page)).await
    }

    async fn threads(&self, namespace: &Namespace, page: &PageRequest) -> Result<Page<ThreadSummary>> {
        let page = page.clone();
        self.read(namespace, empty(), move |snapshot| snapshot.threads(&page)).await
    }

    async fn slots(
        &self,
        namespace: &Namespace,
        thread: &ThreadId,
        as_of: Option<Timestamp>,
    ) -> Result<VersionedSlots> {
        let little = as_of.is_none().then(|| self.namespace(namespace));
        if let Some(found) = little.and_then(|open| open.read_little(|snapshot| snapshot.slots(thread, None))) {
            return Ok(found);
        }
        let thread = thread.clone();
        self.read(namespace, VersionedSlots::default(), move |snapshot| snapshot.slots(&thread, as_of)).await
    }

    async fn slots_history(&self, namespace: &Namespace, thread: &ThreadId) -> Result<Vec<SlotsRevision>> {
        let thread = thread.clone();
        self.read(namespace, Vec::new(), move |snapshot| snapshot.slots_history(&thread)).await
    }

    async fn slot_threads(&self, namespace: &Namespace, page: &PageRequest) -> Result<Page<ThreadId>> {
        let page = page.clone();
        self.read(namespace, empty(), move |snapshot| snapshot.slot_threads(&page)).await
    }

    async fn head(&self, namespace: &Namespace) -> Result<ChangeSeq> {
        if let Some(head) = self.namespace(namespace).read_short(feed::head) {
            return head.map(ChangeSeq);
        }
        let head = |snapshot: &Snapshot<'_>| feed::head(snapshot.connection).map(ChangeSeq);
        self.read(namespace, ChangeSeq(0), head).await
    }

    async fn changes(&self, namespace: &Namespace, after: ChangeSeq, limit: usize) -> Result<Vec<Change>> {
        self.read(namespace, Vec::new(), move |snapshot| snapshot.changes(after, limit)).await
    }

    async fn outbox(&self, namespace: &Namespace, limit: usize) -> Result<Vec<OutboxItem>> {
        self.read(namespace, Vec::new(), move |snapshot| snapshot.outbox(limit)).await
    }

    async fn settle(&self, namespace: &Namespace, ids: &[OutboxId]) -> Result<()> {
        let open = self.namespace(namespace);
        if ids.is_empty() || !open.exists()? {
            return Ok(());
        }
        open.write(|reply| Job::Settle(ids.to_vec(), reply)).await
    }

    async fn namespaces(&self, page: &PageRequest) -> Result<Page<Namespace>> {
        let after: Option<Namespace> = rules::cursor(page)?;
        let root = self.config.directory.clone();
        let mut names = blocking(move || directory::namespaces(&root).map_err(|fault| fault.classify(&root))).await?;
        match page.order {
            Order::Oldest => names.retain(|name| after.as_ref().is_none_or(|after| name > after)),
            Order::Newest => {
                names.retain(|name| after.as_ref().is_none_or(|after| name < after));
                names.reverse();
            }
        }
        let mut held = Vec::new();
        for name in names {
            if held.len() <= page.limit() && self.holds(&name).await {
                held.push(Ok((name.clone(), name)));
            }
        }
        rules::page(held.into_iter(), page)
    }

    async fn repeat(&self, namespace: &Namespace, commits: &[PastCommit]) -> Result<ChangeSeq> {
        self.namespace(namespace).write(|reply| Job::Repeat(commits.to_vec(), reply)).await
    }

    async fn assignment(&self, namespace: &Namespace) -> Result<Assignment> {
        if let Some(assignment) = self.namespace(namespace).read_short(role::assignment) {
            return assignment;
        }
        self.read(namespace, Assignment::default(), |snapshot| role::assignment(snapshot.connection)).await
    }

    async fn assign(&self, namespace: &Namespace, seen: u64, role: Role) -> Result<Assignment> {
        self.namespace(namespace).write(|reply| Job::Assign(seen, Some(role), reply)).await
    }

    async fn clear(&self, namespace: &Namespace, seen: u64) -> Result<Assignment> {
        let cleared = self.namespace(namespace).write(|reply| Job::Assign(seen, None, reply)).await;
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(namespace);
        cleared
    }

    async fn erase(&self, namespace: &Namespace, erasure: Erasure) -> Result<EraseReceipt> {
        self.namespace(namespace).write(|reply| Job::Erase(Box::new(erasure), reply)).await
    }

    async fn models(&self, namespace: &Namespace) -> Result<Vec<EmbeddingModel>> {
        self.read(namespace, Vec::new(), feed::models).await
    }

    async fn report(&self, namespace: &Namespace) -> Result<NamespaceReport> {
        self.read(namespace, NamespaceReport::default(), feed::report).await
    }

    async fn check(&self) -> Result<LedgerReport> {
        let config = self.config.clone();
        blocking(move || Ok(verify::check(&config))).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_may_open_few_files_keeps_few_namespaces_open() {
        let kept = [None, Some(u64::MAX), Some(1 << 20), Some(1024), Some(256), Some(0)].map(open_namespaces);
        assert_eq!(kept, [128, 128, 128, 64, 16, 4]);
    }
}
