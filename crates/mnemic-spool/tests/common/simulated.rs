//! A disk in memory whose power can go between any two operations: what was not synced is then there, or not, or in part.
//! Not here: what a spool does on it (the tests).

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Component, Path},
    sync::{Arc, Mutex, MutexGuard, Weak},
};

use mnemic_spool::disk::{Disk, DiskFile, Lock};

use super::Rng;

const SECTOR: usize = 512;

/// A file or directory: as programs see it, and as it would be after the power went.
#[derive(Clone, Debug)]
enum Node {
    File { live: Vec<u8>, safe: Vec<u8> },
    Dir { live: BTreeMap<String, usize>, safe: BTreeMap<String, usize> },
}

#[derive(Debug)]
struct State {
    nodes: Vec<Node>,
    locks: BTreeMap<usize, Weak<()>>,
    /// Operations that change or sync something, so far.
    operations: u64,
    /// The operation before which the power goes.
    cut: u64,
    /// What the next so many writes find: no room.
    full: bool,
    /// The sync that fails, from 1; counts down.
    failing_sync: Option<u64>,
    honest: Honesty,
}

/// Which syncs do what they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Honesty {
    All,
    NotFiles,
    NotDirectories,
}

/// The disk. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Simulated(Arc<Mutex<State>>);

#[derive(Debug)]
struct SimulatedFile(Simulated, usize);

#[derive(Debug)]
struct SimulatedLock(#[expect(dead_code, reason = "held for its drop")] Arc<()>);

impl Lock for SimulatedLock {}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Simulated {
    pub fn new(honest: Honesty) -> Self {
        let root = Node::Dir { live: BTreeMap::new(), safe: BTreeMap::new() };
        let (locks, operations, cut, full, failing_sync) = (BTreeMap::new(), 0, u64::MAX, false, None);
        Self(Arc::new(Mutex::new(State { nodes: vec![root], locks, operations, cut, full, failing_sync, honest })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Lets the power go before the `n`-th operation from now, from 0.
    pub fn cut_after(&self, n: u64) {
        let mut state = self.state();
        state.cut = state.operations + n;
    }

    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    pub fn set_full(&self, full: bool) {
        self.state().full = full;
    }

    /// Lets the `n`-th sync from now fail, from 1.
    pub fn fail_sync(&self, n: u64) {
        self.state().failing_sync = Some(n);
    }

    /// The power comes back: for everything that was not synced, chance decides.
    pub fn power_on(&self, rng: &mut Rng) {
        let mut state = self.state();
        (state.cut, state.locks, state.failing_sync) = (u64::MAX, BTreeMap::new(), None);
        state.nodes.iter_mut().for_each(|node| node.power_on(rng));
    }
}

impl Node {
    fn power_on(&mut self, rng: &mut Rng) {
        let mut is_live = || rng.below(2) == 0;
        match self {
            Self::File { live, safe } => {
                let mut left = vec![0; if is_live() { live.len() } else { safe.len() }];
                for (n, sector) in left.chunks_mut(SECTOR).enumerate() {
                    let from = if is_live() { &*live } else { &*safe };
                    let old = from.get(n * SECTOR..).unwrap_or_default();
                    let known = old.len().min(sector.len());
                    sector[..known].copy_from_slice(&old[..known]);
                }
                (*live, *safe) = (left.clone(), left);
            }
            Self::Dir { live, safe } => {
                let names: BTreeSet<String> = live.keys().chain(safe.keys()).cloned().collect();
                let mut left = BTreeMap::new();
                for name in names {
                    let from = if is_live() { &*live } else { &*safe };
                    if let Some(node) = from.get(&name) {
                        left.insert(name, *node);
                    }
                }
                (*live, *safe) = (left.clone(), left);
            }
        }
    }
}

impl State {
    /// Counts an operation, unless the power is off.
    fn operate(&mut self) -> io::Result<()> {
        if self.operations >= self.cut {
            return Err(io::Error::other("the power is off"));
        }
        self.operations += 1;
        Ok(())
    }

    fn room(&self) -> io::Result<()> {
        if self.full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.operate()?;
        if let Some(left) = &mut self.failing_sync {
            *left -= 1;
            if *left == 0 {
                self.failing_sync = None;
                return Err(io::Error::from_raw_os_error(5));
            }
        }
        Ok(())
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        let mut at = 0;
        for part in path.components() {
            let Component::Normal(name) = part else { continue };
            let Node::Dir { live, .. } = &self.nodes[at] else { return Err(not_found()) };
            at = *live.get(name.to_str().unwrap()).ok_or_else(not_found)?;
        }
        Ok(at)
    }

    /// The names in the directory of a path, and the path's own.
    fn around(&mut self, path: &Path) -> io::Result<(&mut BTreeMap<String, usize>, String)> {
        let at = self.find(path.parent().unwrap())?;
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        match &mut self.nodes[at] {
            Node::Dir { live, .. } => Ok((live, name)),
            Node::File { .. } => Err(not_found()),
        }
    }

    fn add(&mut self, path: &Path, node: Node) -> io::Result<usize> {
        self.room()?;
        let new = self.nodes.len();
        let (names, name) = self.around(path)?;
        if names.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        names.insert(name, new);
        self.nodes.push(node);
        Ok(new)
    }
}

impl Disk for Simulated {
    fn create_dirs(&self, path: &Path) -> io::Result<()> {
        for directory in path.ancestors().collect::<Vec<_>>().into_iter().rev() {
            let mut state = self.state();
            if state.find(directory).is_err() {
                state.operate()?;
                state.add(directory, Node::Dir { live: BTreeMap::new(), safe: BTreeMap::new() })?;
                drop(state);
                self.sync_dir(directory.parent().unwrap())?;
            }
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        match &state.nodes[state.find(path)?] {
            Node::Dir { live, .. } => Ok(live.keys().cloned().collect()),
            Node::File { .. } => Err(not_found()),
        }
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.operate()?;
        let new = state.add(path, Node::File { live: Vec::new(), safe: Vec::new() })?;
        Ok(Box::new(SimulatedFile(self.clone(), new)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(SimulatedFile(self.clone(), self.state().find(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.operate()?;
        let (names, name) = state.around(from)?;
        let node = names.remove(&name).ok_or_else(not_found)?;
        let (names, name) = state.around(to)?;
        names.insert(name, node);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.find(path)?;
        state.operate()?;
        let (names, name) = state.around(path)?;
        names.remove(&name).map(drop).ok_or_else(not_found)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        if self.list(path)?.is_empty() { self.remove_file(path) } else { Err(io::ErrorKind::DirectoryNotEmpty.into()) }
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.sync()?;
        let (at, honest) = (state.find(path)?, state.honest);
        if let Node::Dir { live, safe } = &mut state.nodes[at]
            && honest != Honesty::NotDirectories
        {
            safe.clone_from(live);
        }
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        let mut state = self.state();
        let node = match state.find(path) {
            Ok(node) => node,
            Err(_absent) => {
                state.operate()?;
                state.add(path, Node::File { live: Vec::new(), safe: Vec::new() })?
            }
        };
        if state.locks.get(&node).is_some_and(|lock| lock.strong_count() > 0) {
            return Ok(None);
        }
        let lock = Arc::new(());
        state.locks.insert(node, Arc::downgrade(&lock));
        Ok(Some(Box::new(SimulatedLock(lock))))
    }
}

impl SimulatedFile {
    fn change<T>(&self, change: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>) -> T) -> T {
        match &mut self.0.state().nodes[self.1] {
            Node::File { live, safe } => change(live, safe),
            Node::Dir { .. } => panic!("a directory was opened"),
        }
    }
}

impl DiskFile for SimulatedFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.change(|live, _| live.len() as u64))
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        Ok(self.change(|live, _| {
            let from = live.get(offset as usize..).unwrap_or_default();
            let read = from.len().min(into.len());
            into[..read].copy_from_slice(&from[..read]);
            read
        }))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.state().operate()?;
        let full = self.0.state().room();
        self.change(|live, _| {
            let (from, to) = (offset as usize, offset as usize + bytes.len());
            // On a full disk, what has its place already can still be written; of the rest a part.
            let place = live.len();
            let to = if full.is_err() { to.min(place.max(from + (bytes.len() / 2).min(10))) } else { to };
            if live.len() < to {
                live.resize(to, 0);
            }
            live[from..to].copy_from_slice(&bytes[..to - from]);
            if to - from < bytes.len() { full } else { Ok(()) }
        })
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.0.state().operate()?;
        self.change(|live, _| live.resize(length as usize, 0));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let honest = {
            let mut state = self.0.state();
            state.sync()?;
            state.honest
        };
        if honest != Honesty::NotFiles {
            self.change(|live, safe| safe.clone_from(live));
        }
        Ok(())
    }
}
