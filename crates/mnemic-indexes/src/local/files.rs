//! Snapshot files: read with distrust, replaced whole or not at all. Not here: what is in them (`snapshot`).

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use mnemic_core::{Namespace, Result};

use super::{
    codec::Malformed,
    error::classify,
    snapshot::{self, HEADER},
    state::State,
};

const FILE: &str = "index.local";
const TEMPORARY: &str = ".tmp";

/// Where one namespace's snapshot lies.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotFile {
    pub(crate) namespace: Namespace,
    folder: PathBuf,
    file: PathBuf,
}

impl SnapshotFile {
    pub(crate) fn new(directory: &Path, namespace: &Namespace) -> Self {
        // A namespace's name is a safe path segment by construction.
        let folder = directory.join("namespaces").join(namespace.as_str());
        Self { namespace: namespace.clone(), file: folder.join(FILE), folder }
    }

    /// The last state that was written, or an empty one if there is none that holds up. What does not hold up is removed.
    pub(crate) fn load(&self) -> State {
        self.sweep();
        match self.read() {
            Ok(Some(state)) => state,
            Ok(None) => State::default(),
            Err(reason) => {
                tracing::warn!(namespace = %self.namespace, reason, "the index snapshot is discarded and will be rebuilt");
                if let Err(error) = self.remove() {
                    tracing::warn!(namespace = %self.namespace, %error, "the discarded index snapshot stays");
                }
                State::default()
            }
        }
    }

    fn read(&self) -> std::result::Result<Option<State>, &'static str> {
        let mut file = match File::open(&self.file) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(_) => return Err("it cannot be opened"),
        };
        let length = file.metadata().map_err(|_unknown| "its length cannot be read")?.len();
        let mut header = [0; HEADER];
        file.read_exact(&mut header).map_err(|_short| "it ends too early")?;
        let body = snapshot::body_length(&header).map_err(|Malformed(reason)| reason)?;
        // Compared before the rest is read, so that a wrong length costs no memory.
        if body.checked_add(HEADER as u64) != Some(length) {
            return Err("it is longer or shorter than it says");
        }
        let mut bytes = Vec::with_capacity(usize::try_from(length).map_err(|_large| "it is too large")?);
        bytes.extend_from_slice(&header);
        file.read_to_end(&mut bytes).map_err(|_unreadable| "it cannot be read")?;
        snapshot::decode(&self.namespace, &bytes).map(Some).map_err(|Malformed(reason)| reason)
    }

    /// Replaces the snapshot by these bytes. A crash leaves the one or the other; two processes leave either's, whole.
    pub(crate) fn replace(&self, bytes: &[u8]) -> Result<()> {
        self.create_folder().map_err(|error| classify(&self.folder, "create", error))?;
        for again in [true, false] {
            match self.try_replace(bytes) {
                Ok(()) => break,
                // Another process swept the temporary file in the instant before it was locked.
                Err(error) if again && error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(classify(&self.file, "write", error)),
            }
        }
        Ok(())
    }

    fn try_replace(&self, bytes: &[u8]) -> io::Result<()> {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let temporary = self.folder.join(format!("{FILE}.{}-{serial}{TEMPORARY}", std::process::id()));
        let written = self.write_and_rename(&temporary, bytes);
        if written.is_err() {
            // The error at hand is the one to report; a leftover is swept at the next opening.
            drop(fs::remove_file(&temporary));
        }
        written
    }

    fn write_and_rename(&self, temporary: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = private(OpenOptions::new().write(true).create(true).truncate(true)).open(temporary)?;
        // Held while writing, so that other processes can tell a leftover from work in progress.
        file.lock()?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(temporary, &self.file)?;
        sync_folder(&self.folder)
    }

    /// Removes the snapshot, and what a process left that was killed while it wrote one. No snapshot is fine.
    pub(crate) fn remove(&self) -> Result<()> {
        self.sweep();
        match fs::remove_file(&self.file) {
            Ok(()) => sync_folder(&self.folder).map_err(|error| classify(&self.folder, "sync", error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(classify(&self.file, "remove", error)),
        }
    }

    /// Bytes on disk.
    pub(crate) fn bytes(&self) -> u64 {
        fs::metadata(&self.file).map_or(0, |metadata| metadata.len())
    }

    /// Removes temporary files that nobody is writing. Failure is no reason not to start.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.starts_with(FILE) && name.ends_with(TEMPORARY) {
                let abandoned = File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
                if abandoned && let Err(error) = fs::remove_file(entry.path()) {
                    tracing::warn!(namespace = %self.namespace, %error, "a leftover of an index snapshot stays");
                }
            }
        }
    }

    fn create_folder(&self) -> io::Result<()> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.folder)
    }
}

/// Snapshots hold texts and embeddings: nobody else may read them.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Makes a rename or removal last. Only Unix lets a directory be synced.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}
