//! Places beside the queue for what must not stay in it and must not be lost: entries in quarantine, and damaged bytes for a human.
//! Not here: when something goes there (`stream`, `worker`).

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    SpoolEntry, SpoolId,
    disk::{Disk, DiskFile},
    frame,
    walk::{Step, Walk},
};

const CHUNK: u64 = 64 * 1024;
/// The lane of the frame that holds the reason. Real lanes are not empty.
const REASON: &str = "";

/// One entry that was taken out of the queue because it can never be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Which.
    pub id: SpoolId,
    /// The entry, or `None` if its file does not hold up.
    pub entry: Option<SpoolEntry>,
    /// Why, in the words of whoever put it there.
    pub reason: String,
}

/// One directory of files that are written whole or not at all.
#[derive(Debug)]
pub(crate) struct Aside {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    made: bool,
}

impl Aside {
    pub(crate) fn new(disk: Arc<dyn Disk>, directory: PathBuf) -> Self {
        Self { disk, directory, made: false }
    }

    /// The names in it, sorted, without what was being written when a process ended.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = match self.disk.list(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            names => names?,
        };
        names.retain(|name| !name.contains('.'));
        names.sort();
        Ok(names)
    }

    /// How many files it holds, and their bytes.
    pub(crate) fn size(&self) -> io::Result<(u64, u64)> {
        let (mut files, mut bytes) = (0, 0);
        for name in self.names()? {
            files += 1;
            bytes += self.open(&name)?.length()?;
        }
        Ok((files, bytes))
    }

    pub(crate) fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open(&self.directory.join(name))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Makes a file durable under a name, in place of one that is there. `fill` writes it.
    fn put(&mut self, name: &str, fill: impl FnOnce(&dyn DiskFile) -> io::Result<()>) -> io::Result<()> {
        if !self.made {
            self.disk.create_dirs(&self.directory)?;
            self.made = true;
        }
        let new = self.path(&format!("{name}.new"));
        let remove = || match self.disk.remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        remove()?;
        let file = self.disk.create(&new)?;
        if let Err(error) = fill(&*file).and_then(|()| file.sync()) {
            // A half-written file holds content and helps nobody.
            remove()?;
            return Err(error);
        }
        self.disk.rename(&new, &self.path(name))?;
        self.disk.sync_dir(&self.directory)
    }

    /// Copies a stretch of a segment, unless it is here already.
    pub(crate) fn copy(&mut self, name: &str, from: &dyn DiskFile, (mut at, to): (u64, u64)) -> io::Result<()> {
        if self.open(name).is_ok() {
            return Ok(());
        }
        self.put(name, |file| {
            let mut chunk = vec![0; usize::try_from(CHUNK).unwrap_or(1)];
            let mut written = 0;
            while at < to {
                let wanted = usize::try_from((to - at).min(CHUNK)).unwrap_or(1);
                let read = from.read_at(at, chunk.get_mut(..wanted).unwrap_or_default())?;
                if read == 0 {
                    break;
                }
                file.write_at(written, chunk.get(..read).unwrap_or_default())?;
                (at, written) = (at + read as u64, written + read as u64);
            }
            Ok(())
        })
    }

    /// Keeps an entry with a reason. Answers the bytes that it takes.
    pub(crate) fn keep(&mut self, entry: &SpoolEntry, reason: &str) -> io::Result<u64> {
        let SpoolId { stream, sequence } = entry.id;
        let mut bytes = Vec::new();
        frame::write(&mut bytes, stream, sequence, entry.at, &entry.lane, &entry.payload);
        frame::write(&mut bytes, stream, sequence.saturating_add(1), entry.at, REASON, reason.as_bytes());
        self.put(&entry.id.to_string(), |file| file.write_at(0, &bytes))?;
        Ok(bytes.len() as u64)
    }

    /// Reads an entry that was kept.
    pub(crate) fn read(&self, id: SpoolId) -> io::Result<Quarantined> {
        let file = self.open(&id.to_string())?;
        let mut walk = Walk::new(&*file, id.stream, (0, 0), file.length()?);
        let mut parts = Vec::new();
        while let Step::Entry { offset, head } = walk.next(|_| false)? {
            parts.push(read_entry(&*file, id.stream, offset, &head)?);
        }
        let mut parts = parts.into_iter();
        let (entry, reason) = (parts.next(), parts.next());
        let reason = reason.map(|reason| String::from_utf8_lossy(&reason.payload).into_owned());
        Ok(Quarantined {
            id,
            entry,
            reason: reason.unwrap_or_else(|| "unknown, for its file does not hold up".to_owned()),
        })
    }

    /// Removes a file for good. One that is not there is fine. Answers its bytes.
    pub(crate) fn remove(&mut self, name: &str) -> io::Result<Option<u64>> {
        let bytes = match self.open(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?.length()?,
        };
        self.disk.remove_file(&self.path(name))?;
        self.disk.sync_dir(&self.directory)?;
        Ok(Some(bytes))
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }
}

/// Reads an entry whose checksum was found right.
pub(crate) fn read_entry(file: &dyn DiskFile, stream: u64, offset: u64, head: &frame::Head) -> io::Result<SpoolEntry> {
    let lane_bytes = usize::from(head.lane_bytes);
    let mut lane = vec![0; lane_bytes + usize::try_from(head.payload_bytes).unwrap_or_default()];
    if file.read_at(offset + frame::HEAD_BYTES as u64, &mut lane)? < lane.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let payload = lane.split_off(lane_bytes);
    let lane = String::from_utf8_lossy(&lane).into_owned();
    Ok(SpoolEntry { id: SpoolId { stream, sequence: head.sequence }, at: head.at, lane, payload })
}
