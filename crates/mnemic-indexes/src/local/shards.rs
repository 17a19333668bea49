//! Which namespaces are in memory, and who may touch them when. Not here: what one holds (`state`), the port (`mod`).

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use mnemic_core::{Error, Namespace, Result};
use tokio::{runtime::Handle, sync::OnceCell, task};

use super::{LocalIndexConfig, files::SnapshotFile, snapshot, state::State};

/// A revision that no state reaches.
const NOT_SAVED: u64 = u64::MAX;

/// One namespace: a structure of its own, sharing nothing with any other.
#[derive(Debug)]
pub(crate) struct Shard {
    state: RwLock<State>,
    pub(crate) file: Option<SnapshotFile>,
    /// Held by whoever applies, saves or drops, so that a batch is never interleaved with another.
    pub(crate) feed: tokio::sync::Mutex<()>,
    opened: OnceCell<()>,
    /// The state's revision that the snapshot holds.
    saved: AtomicU64,
    /// When it was last asked for, in calls.
    used: AtomicU64,
}

impl Shard {
    fn new(file: Option<SnapshotFile>) -> Self {
        Self {
            state: RwLock::default(),
            file,
            feed: tokio::sync::Mutex::default(),
            opened: OnceCell::new(),
            saved: AtomicU64::new(0),
            used: AtomicU64::new(0),
        }
    }

    /// Looks at the state. Never held across an await, because it is only lent to a function.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> Result<T> {
        self.state.read().map(|state| look(&state)).map_err(|_panicked| broken())
    }

    /// Changes the state.
    pub(crate) fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> Result<T> {
        self.state.write().map(|mut state| change(&mut state)).map_err(|_panicked| broken())
    }

    /// Empties the state, also one that a panic left half changed.
    pub(crate) fn reset(&self) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        // Counting on, so that no later revision is taken for one that was saved.
        let revision = state.revision + 1;
        *state = State::default();
        state.revision = revision;
        self.state.clear_poison();
    }

    async fn open(self: &Arc<Self>) -> Result<()> {
        let shard = Arc::clone(self);
        let load = || async {
            match shard.file.clone() {
                Some(file) => {
                    let state = offload(Weight::Heavy, move || file.load()).await?;
                    shard.write(|place| *place = state)
                }
                None => Ok(()),
            }
        };
        self.opened.get_or_try_init(load).await.copied()
    }

    /// Writes the snapshot if it is not the current state already. The caller holds `feed`, or the only handle.
    pub(crate) fn save(&self) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let revision = self.read(|state| state.revision)?;
        if revision == self.saved.load(Ordering::Acquire) {
            return Ok(());
        }
        if self.read(State::is_blank)? {
            file.remove()?;
        } else {
            self.write(State::compact)?;
            let bytes = self.read(|state| snapshot::encode(&file.namespace, state))?;
            file.replace(&bytes)?;
        }
        self.saved.store(revision, Ordering::Release);
        Ok(())
    }

    /// Removes the snapshot. The caller holds `feed`.
    pub(crate) fn discard(&self) -> Result<()> {
        self.saved.store(NOT_SAVED, Ordering::Release);
        self.file.as_ref().map_or(Ok(()), SnapshotFile::remove)
    }

    /// Whether it can be let go without loss right now.
    fn is_spare(&self) -> bool {
        let saved = self.file.is_some().then(|| self.saved.load(Ordering::Acquire));
        self.read(|state| state.is_blank() || saved == Some(state.revision)).unwrap_or(false)
    }
}

fn broken() -> Error {
    Error::bug("the index of this namespace was left half changed by a panic; drop it so that it is rebuilt")
}

/// The namespaces in memory.
#[derive(Debug, Default)]
pub(crate) struct Shards {
    open: Mutex<HashMap<Namespace, Arc<Shard>>>,
    calls: AtomicU64,
}

impl Shards {
    /// The namespace's shard, loaded.
    pub(crate) async fn get(&self, namespace: &Namespace, config: &LocalIndexConfig) -> Result<Arc<Shard>> {
        let shard = self.enter(namespace, config);
        shard.open().await?;
        Ok(shard)
    }

    fn enter(&self, namespace: &Namespace, config: &LocalIndexConfig) -> Arc<Shard> {
        let now = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shard) = open.get(namespace) {
            shard.used.store(now, Ordering::Relaxed);
            return Arc::clone(shard);
        }
        while open.len() >= config.max_open_namespaces && let_one_go(&mut open) {}
        let file = config.directory.as_ref().map(|directory| SnapshotFile::new(directory, namespace));
        let shard = Arc::new(Shard::new(file));
        shard.used.store(now, Ordering::Relaxed);
        open.insert(namespace.clone(), Arc::clone(&shard));
        shard
    }

    /// Where more namespaces are in memory than there should be, the one that was not used for longest and has to be saved before it can
    /// be let go.
    pub(crate) fn crowding(&self, config: &LocalIndexConfig) -> Option<Namespace> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let crowded = config.directory.is_some() && open.len() > config.max_open_namespaces;
        crowded.then(|| least_used(&open, |shard| !shard.is_spare())).flatten()
    }

    /// Every namespace in memory, by name.
    pub(crate) fn all(&self) -> Vec<(Namespace, Arc<Shard>)> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = open.iter().map(|(namespace, shard)| (namespace.clone(), Arc::clone(shard))).collect();
        all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        all
    }
}

/// Removes the least recently used shard that nobody holds and that is saved. Not saved here: another process may have erased something
/// since it was fed last, and only who reads the ledger's feed first can tell.
fn let_one_go(open: &mut HashMap<Namespace, Arc<Shard>>) -> bool {
    let spare = least_used(open, Shard::is_spare);
    spare.is_some_and(|namespace| open.remove(&namespace).is_some())
}

fn least_used(open: &HashMap<Namespace, Arc<Shard>>, fits: impl Fn(&Shard) -> bool) -> Option<Namespace> {
    let idle = open.iter().filter(|(_, shard)| Arc::strong_count(shard) == 1 && fits(shard));
    let least = idle.min_by_key(|(_, shard)| shard.used.load(Ordering::Relaxed));
    least.map(|(namespace, _)| namespace.clone())
}

/// How much work a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// Under a millisecond: done at once.
    Light,
    /// Longer, or with files: done where it keeps no other task waiting.
    Heavy,
}

/// Does work where its weight allows.
pub(crate) async fn offload<T: Send + 'static>(weight: Weight, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    match (weight, Handle::try_current()) {
        (Weight::Heavy, Ok(runtime)) => runtime
            .spawn_blocking(work)
            .await
            .map_err(|error: task::JoinError| Error::bug("a search of the index did not end").with_source(error)),
        _ => Ok(work()),
    }
}
