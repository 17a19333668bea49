//! Copying a ledger: to a backup while it runs, and from a backup to a new directory. The marker is written last, so that what was
//! interrupted is never taken for whole. Not here: exports that other ledgers can read (the facade).

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use mnemic_core::{EmbeddingModel, Error, ErrorKind, Namespace, Result};
use rusqlite::{Connection, OpenFlags, backup::Backup};

use super::{
    SqliteLedger, blocking,
    directory::{self, FILE_MODE},
    error::{At, Fault, Outcome, corrupted},
    schema::{self, Access},
    vectors::{self, HEADER},
    verify,
};

/// How often a namespace is copied again because an erasure overwrote vectors meanwhile.
const ATTEMPTS: usize = 3;

/// What a copy is made from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// A ledger that others are writing to.
    Running,
    /// A backup that nobody writes to.
    Backup,
}

impl SqliteLedger {
    /// Copies everything to `target` while the ledger runs. Each namespace is copied as it stood at one moment.
    ///
    /// # Errors
    /// `InvalidInput` if `target` is not empty or lies inside the ledger; `Unavailable`, `Denied`, `Corrupted`.
    pub async fn backup(&self, target: &Path) -> Result<()> {
        let (source, target) = (self.config.directory.clone(), target.to_path_buf());
        let busy_timeout = self.config.busy_timeout;
        blocking(move || copy(&source, &target, Source::Running, busy_timeout).map_err(|fault| fault.classify(&target)))
            .await
    }

    /// Copies a backup to `target`, which becomes a ledger only after everything in it was verified.
    ///
    /// # Errors
    /// `InvalidInput` if `target` is not empty; `InvalidConfig` if `source` is no backup or of a newer Mnemic; `Corrupted`, naming the file.
    pub async fn restore(source: &Path, target: &Path) -> Result<()> {
        let (source, target) = (source.to_path_buf(), target.to_path_buf());
        blocking(move || {
            let copied = copy(&source, &target, Source::Backup, Duration::from_secs(5));
            copied.map_err(|fault| fault.classify(&target))
        })
        .await
    }
}

fn copy(source: &Path, target: &Path, kind: Source, busy_timeout: Duration) -> Outcome<()> {
    directory::check_marker(source)?;
    refuse_inside(source, target)?;
    let was_there = target.is_dir();
    directory::make_empty(target)?;
    let filled = fill(source, target, kind, busy_timeout);
    if filled.is_err() {
        // Nothing but what this call made: another try finds what this one found. What cannot be removed is told by that one.
        drop(fs::remove_dir_all(target.join("namespaces")));
        if !was_there {
            drop(fs::remove_dir(target));
        }
    }
    filled
}

fn fill(source: &Path, target: &Path, kind: Source, busy_timeout: Duration) -> Outcome<()> {
    for namespace in directory::namespaces(source)? {
        let (from, to) = (directory::of_namespace(source, &namespace), directory::of_namespace(target, &namespace));
        if directory::has_ledger(&from)? {
            copy_namespace(&namespace, &from, &to, kind, busy_timeout)?;
        }
    }
    // The marker says that the copy is whole, so everything else is durable before it.
    let namespaces = target.join("namespaces");
    if namespaces.is_dir() {
        directory::sync(&namespaces)?;
    }
    directory::mark(target)
}

/// A copy inside its own source would be copied too.
fn refuse_inside(source: &Path, target: &Path) -> Outcome<()> {
    let source = source.canonicalize().at(source)?;
    let absolute = std::path::absolute(target).at(target)?;
    let above = absolute.ancestors().find_map(|above| above.canonicalize().ok());
    if above.is_some_and(|above| above.starts_with(&source)) {
        let message =
            format!("{} lies inside {}; choose a directory outside of it", target.display(), source.display());
        return Err(Error::new(ErrorKind::InvalidInput, message).with_field("target").into());
    }
    Ok(())
}

fn copy_namespace(namespace: &Namespace, from: &Path, to: &Path, kind: Source, busy_timeout: Duration) -> Outcome<()> {
    let mut faults = Vec::new();
    for _ in 0..ATTEMPTS {
        directory::make(to)?;
        copy_database(from, to, kind, busy_timeout)?;
        let file = to.join(schema::FILE);
        let copied =
            schema::open_still(&file).map_err(|fault| Fault::Mnemic(fault.classify(&from.join(schema::FILE))))?;
        for row in vectors::models(&copied)?.into_iter().filter(|row| row.rows > 0) {
            copy_vectors(from, to, &row.model, row.rows)?;
        }
        faults = match kind {
            Source::Running => verify::inspect_vectors(&copied, to)?,
            Source::Backup => verify::inspect(&copied, to)?,
        };
        if faults.is_empty() {
            drop(copied);
            return directory::sync(to);
        }
        if kind == Source::Backup {
            break;
        }
    }
    let shown = faults.into_iter().take(3).collect::<Vec<_>>().join("; ");
    Err(corrupted(&from.join(schema::FILE), format_args!("namespace {namespace} is damaged: {shown}")).into())
}

fn copy_database(from: &Path, to: &Path, kind: Source, busy_timeout: Duration) -> Outcome<()> {
    let (source_file, target_file) = (from.join(schema::FILE), to.join(schema::FILE));
    refuse_link(&source_file)?;
    let log = from.join(format!("{}-wal", schema::FILE));
    let still = kind == Source::Backup && fs::metadata(&log).map_or(0, |metadata| metadata.len()) == 0;
    let source =
        if still { schema::open_still(&source_file) } else { schema::open(&source_file, Access::Read, busy_timeout) };
    let source = source.map_err(|fault| Fault::Mnemic(fault.classify(&source_file)))?;
    // A second attempt starts from nothing.
    for old in fs::read_dir(to).at(to)? {
        let old = old.at(to)?.path();
        fs::remove_file(&old).at(&old)?;
    }
    OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&target_file).at(&target_file)?;
    let mut target =
        Connection::open_with_flags(&target_file, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    target.pragma_update(None, "synchronous", "full")?;
    let backup = Backup::new(&source, &mut target)?;
    // All pages in one step are one snapshot of the source; its writers go on meanwhile. Whose disk is full it does not say, but only the
    // target is written to.
    let step = backup.step(-1).map_err(|error| {
        let full = error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull);
        Fault::Mnemic(Fault::from(error).classify(if full { &target_file } else { &source_file }))
    })?;
    drop(backup);
    if step != rusqlite::backup::StepResult::Done {
        return Err(corrupted(&source_file, "it could not be copied in one step").into());
    }
    target.close().map_err(|(_, error)| error)?;
    Ok(())
}

/// Copies the rows that the copied database vouches for. They were durable before it named them, and are only ever appended to.
fn copy_vectors(from: &Path, to: &Path, model: &EmbeddingModel, rows: u64) -> Outcome<()> {
    let name = vectors::file_name(model);
    let (source, target): (PathBuf, PathBuf) = (from.join(&name), to.join(&name));
    refuse_link(&source)?;
    let length = HEADER as u64 + rows * u64::from(model.dimension()) * size_of::<f32>() as u64;
    let mut input = File::open(&source).at(&source)?.take(length);
    let mut output = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&target).at(&target)?;
    if io::copy(&mut input, &mut output).at(&target)? < length {
        return Err(corrupted(&source, format_args!("it is shorter than its {rows} rows")).into());
    }
    output.flush().and_then(|()| output.sync_all()).at(&target)
}

/// A backup is copied from its own files only, whatever somebody put in their place.
fn refuse_link(file: &Path) -> Outcome<()> {
    let metadata = fs::symlink_metadata(file).at(file)?;
    if metadata.is_file() {
        return Ok(());
    }
    let message = format!("{} is not a regular file; it is not followed", file.display());
    Err(Error::new(ErrorKind::InvalidInput, message).with_field("source").into())
}
