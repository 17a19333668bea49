//! The directory of a ledger: its marker, its layout, its modes. Not here: what is inside a namespace's files.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use mnemic_core::{Error, ErrorKind, Namespace};

use super::{
    error::{At, Fault, Outcome, corrupted},
    schema, vectors,
};

pub(super) const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;
const MARKER: &str = "mnemic.format";
const MAGIC: &str = "mnemic directory, format ";
const FORMAT: u32 = 1;
const NAMESPACES: &str = "namespaces";

/// Makes a directory (and those above it), for us alone, and makes its name durable.
pub(super) fn make(path: &Path) -> Outcome<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path).at(path)?;
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), sync)
}

/// Makes the names in a directory durable.
pub(super) fn sync(path: &Path) -> Outcome<()> {
    File::open(path).and_then(|directory| directory.sync_all()).at(path)
}

/// Where a namespace lies. Its name is safe as a path by construction.
pub(super) fn of_namespace(root: &Path, namespace: &Namespace) -> PathBuf {
    root.join(NAMESPACES).join(namespace.as_str())
}

/// Opens a ledger's directory: makes a new one where there is nothing, refuses one that is not ours.
pub(super) fn open(root: &Path) -> Outcome<()> {
    match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(root)?,
        Err(error) => return Err(Fault::Io(error, root.to_path_buf())),
        Ok(_) => {}
    }
    let marked = || root.join(MARKER).try_exists().at(root);
    if !marked()? {
        if is_empty(root)? {
            mark(root)?;
        } else if !marked()? {
            let message = format!(
                "{} is neither empty nor a directory of Mnemic ({MARKER} is missing); choose another directory, or remove what an interrupted backup or restore left",
                root.display()
            );
            return Err(Error::new(ErrorKind::InvalidConfig, message).into());
        }
    }
    check_marker(root)
}

/// Refuses a directory whose marker is missing, foreign or newer.
pub(super) fn check_marker(root: &Path) -> Outcome<()> {
    let path = root.join(MARKER);
    let mut text = String::new();
    let read = File::open(&path).and_then(|file| file.take(256).read_to_string(&mut text));
    match read {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let message = format!("{} is not a directory of Mnemic ({MARKER} is missing)", root.display());
            return Err(Error::new(ErrorKind::InvalidConfig, message).into());
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
        Err(error) => return Err(Fault::Io(error, path)),
    }
    let format = text.strip_prefix(MAGIC).and_then(|rest| rest.trim_end().parse::<u32>().ok());
    match format {
        Some(FORMAT) => Ok(()),
        Some(newer) if newer > FORMAT => {
            let message = format!(
                "{} has format {newer} and this Mnemic knows up to {FORMAT}; upgrade Mnemic to open it",
                root.display()
            );
            Err(Error::new(ErrorKind::InvalidConfig, message).into())
        }
        Some(_) | None => Err(corrupted(&path, "the marker is damaged").into()),
    }
}

/// Says that the directory is complete and ours. The marker appears whole or not at all.
pub(super) fn mark(root: &Path) -> Outcome<()> {
    let temporary = root.join(format!(".{MARKER}.new-{}", std::process::id()));
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(&temporary)?;
        writeln!(file, "{MAGIC}{FORMAT}")?;
        file.sync_all()
    };
    write().at(&temporary)?;
    let path = root.join(MARKER);
    fs::rename(&temporary, &path).at(&path)?;
    sync(root)
}

/// Whether nothing of anybody's is in a directory. What an interrupted `mark` or a file system leaves does not count.
fn is_empty(root: &Path) -> Outcome<bool> {
    for entry in fs::read_dir(root).at(root)? {
        let name = entry.at(root)?.file_name();
        let ours =
            name.to_str().is_some_and(|name| name == "lost+found" || name.starts_with(&format!(".{MARKER}.new-")));
        if !ours {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Demands a directory that does not exist yet or is empty, and makes it.
pub(super) fn make_empty(root: &Path) -> Outcome<()> {
    let refused = |what: &str| {
        let message = format!("{} {what}; choose a directory that is empty or does not exist", root.display());
        Err(Error::new(ErrorKind::InvalidInput, message).with_field("target").into())
    };
    match fs::symlink_metadata(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(root),
        Err(error) => Err(Fault::Io(error, root.to_path_buf())),
        Ok(metadata) if metadata.is_symlink() => refused("is a symbolic link"),
        Ok(metadata) if !metadata.is_dir() => refused("is not a directory"),
        Ok(_) if !is_empty(root)? => refused("is not empty"),
        Ok(_) => Ok(()),
    }
}

/// The namespaces that have a directory, in order. Files and directories of others are passed over.
pub(super) fn namespaces(root: &Path) -> Outcome<Vec<Namespace>> {
    let path = root.join(NAMESPACES);
    if path.is_symlink() {
        let message = format!("{} is a symbolic link; it is not followed", path.display());
        return Err(Error::new(ErrorKind::InvalidConfig, message).into());
    }
    let entries = match fs::read_dir(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.at(&path)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.at(&path)?;
        let name = entry.file_name().to_str().and_then(|name| Namespace::new(name).ok());
        if let Some(namespace) = name
            && entry.file_type().at(&path)?.is_dir()
        {
            found.push(namespace);
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a namespace has a database. One that is missing beside what belongs to it is damage, not absence.
pub(super) fn has_ledger(directory: &Path) -> Outcome<bool> {
    let file = directory.join(schema::FILE);
    let exists = || match fs::symlink_metadata(&file) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Fault::Io(error, file.clone())),
    };
    if exists()? {
        return Ok(true);
    }
    let leftover = leftover(directory)?;
    // Another process may have made the database and more between the two looks.
    match leftover {
        Some(name) if !exists()? => {
            Err(corrupted(&file, format_args!("it is missing, but {name} beside it is not")).into())
        }
        Some(_) => Ok(true),
        None => Ok(false),
    }
}

/// A file that only a database can have brought about.
fn leftover(directory: &Path) -> Outcome<Option<String>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        entries => entries.at(directory)?,
    };
    for entry in entries {
        let entry = entry.at(directory)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let telling = if name == format!("{}-wal", schema::FILE) {
            has_frames(&entry.path()).at(directory)?
        } else {
            vectors::is_vector_file(&name)
        };
        if telling {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Whether a write-ahead log holds anything. An empty or foreign one does not matter.
fn has_frames(log: &Path) -> io::Result<bool> {
    const HEADER: u64 = 32;
    let mut file = File::open(log)?;
    let mut magic = [0; 4];
    let long = file.metadata()?.len() > HEADER;
    Ok(long && file.read_exact(&mut magic).is_ok() && matches!(u32::from_be_bytes(magic), 0x377f_0682 | 0x377f_0683))
}

/// Bytes of a namespace's own files.
pub(super) fn bytes(directory: &Path) -> Outcome<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(directory).at(directory)? {
        let entry = entry.at(directory)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if (name.starts_with(schema::FILE) || vectors::is_vector_file(&name))
            && let Ok(metadata) = entry.metadata()
        {
            sum += metadata.len();
        }
    }
    Ok(sum)
}
