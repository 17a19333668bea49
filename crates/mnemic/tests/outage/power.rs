//! The disk of the machine that the memory runs on, and its power. Each life of the machine has its own handle; after it ended, nothing
//! of it reaches the disk any more. Not here: the simulated disk itself (the spool's own tests have it).

use std::{
    io,
    path::Path,
    sync::{Arc, RwLock, RwLockReadGuard},
};

use mnemic_spool::disk::{Disk, DiskFile, Lock};

use super::{Rng, simulated::Simulated};

pub use super::simulated::Honesty;

/// A disk and its power.
#[derive(Clone, Debug)]
pub struct Machine {
    disk: Simulated,
}

/// The disk as one life of the machine sees it.
#[derive(Clone, Debug)]
pub struct Life {
    disk: Simulated,
    /// Held while an operation is under way, so that none outlasts its life.
    over: Arc<RwLock<bool>>,
}

#[derive(Debug)]
struct LifeFile(Box<dyn DiskFile>, Life);

impl Machine {
    pub fn new(honest: Honesty) -> Self {
        Self { disk: Simulated::new(honest) }
    }

    /// The power is on.
    pub fn live(&self) -> Life {
        Life { disk: self.disk.clone(), over: Arc::default() }
    }

    /// The power comes back after a life has ended: of what was not synced, chance decides.
    pub fn power_on(&self, rng: &mut Rng) {
        self.disk.power_on(rng);
    }
}

impl Life {
    /// The power is lost.
    pub fn end(&self) {
        *self.over.write().unwrap() = true;
    }

    fn on(&self) -> io::Result<RwLockReadGuard<'_, bool>> {
        let over = self.over.read().unwrap();
        if *over { Err(io::Error::other("the power is off")) } else { Ok(over) }
    }
}

impl Disk for Life {
    fn create_dirs(&self, path: &Path) -> io::Result<()> {
        let _on = self.on()?;
        self.disk.create_dirs(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let _on = self.on()?;
        self.disk.list(path)
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let _on = self.on()?;
        Ok(Box::new(LifeFile(self.disk.create(path)?, self.clone())))
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let _on = self.on()?;
        Ok(Box::new(LifeFile(self.disk.open(path)?, self.clone())))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let _on = self.on()?;
        self.disk.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let _on = self.on()?;
        self.disk.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let _on = self.on()?;
        self.disk.remove_dir(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let _on = self.on()?;
        self.disk.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        let _on = self.on()?;
        self.disk.lock(path)
    }
}

impl DiskFile for LifeFile {
    fn length(&self) -> io::Result<u64> {
        let _on = self.1.on()?;
        self.0.length()
    }
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let _on = self.1.on()?;
        self.0.read_at(offset, into)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let _on = self.1.on()?;
        self.0.write_at(offset, bytes)
    }
    fn set_length(&self, length: u64) -> io::Result<()> {
        let _on = self.1.on()?;
        self.0.set_length(length)
    }
    fn sync(&self) -> io::Result<()> {
        let _on = self.1.on()?;
        self.0.sync()
    }
}
