//! The one place where errors of SQLite and of the file system become Mnemic's. Not here: retrying.

use std::{io, path::Path, path::PathBuf};

use mnemic_core::{Error, ErrorKind, Retry};
use rusqlite::ErrorCode;

/// What may go wrong inside this adapter, before it is classified.
#[derive(Debug)]
pub(super) enum Fault {
    Sqlite(rusqlite::Error),
    Io(io::Error, PathBuf),
    /// Already classified.
    Mnemic(Error),
    /// Already classified, and the operating system's refusal.
    System(Error),
}

pub(super) type Outcome<T> = std::result::Result<T, Fault>;

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Mnemic(error)
    }
}

/// Says which file an I/O error is about.
pub(super) trait At<T> {
    fn at(self, path: &Path) -> Outcome<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &Path) -> Outcome<T> {
        self.map_err(|error| Fault::Io(error, path.to_path_buf()))
    }
}

impl Fault {
    /// Makes the error that callers see. `file` is the database that an SQLite error is about.
    pub(super) fn classify(self, file: &Path) -> Error {
        match self {
            Self::Sqlite(error) => classify_sqlite(error, file),
            Self::Io(error, path) => classify_io(error, &path),
            Self::Mnemic(error) | Self::System(error) => error,
        }
    }

    /// Whether the operating system refused something, after which files are closed and opened again before they are trusted.
    pub(super) fn is_system(&self) -> bool {
        match self {
            Self::Io(..) | Self::System(_) => true,
            Self::Sqlite(error) => !matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::ConstraintViolation | ErrorCode::DatabaseBusy | ErrorCode::TooBig) | None
            ),
            Self::Mnemic(_) => false,
        }
    }
}

/// Stored data that cannot be what was written. Names the file and what to do.
pub(super) fn corrupted(file: &Path, what: impl std::fmt::Display) -> Error {
    let message = format!("{}: {what}; restore a backup with `mnemic restore`", file.display());
    Error::new(ErrorKind::Corrupted, message)
}

fn unavailable(message: String) -> Error {
    Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Soon)
}

fn classify_sqlite(error: rusqlite::Error, file: &Path) -> Error {
    let shown = file.display();
    let classified = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
            unavailable(format!("{shown} is in use by another process; try again"))
        }
        Some(ErrorCode::DiskFull) => {
            unavailable(format!("the disk of {shown} is full; nothing was stored, free some space"))
        }
        Some(ErrorCode::SystemIoFailure) => {
            unavailable(format!("the disk of {shown} failed; nothing was acknowledged"))
        }
        Some(ErrorCode::CannotOpen) => unavailable(format!(
            "{shown} cannot be opened; check that it may be read and that the limit of open files allows it"
        )),
        Some(ErrorCode::OutOfMemory) => unavailable("there is not enough memory".to_owned()),
        Some(ErrorCode::OperationInterrupted) => unavailable("the operation was interrupted".to_owned()),
        Some(ErrorCode::DatabaseCorrupt) => corrupted(file, "the database is damaged or cut short"),
        Some(ErrorCode::NotADatabase) => corrupted(file, "the file is not a database"),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied) => {
            Error::new(ErrorKind::Denied, format!("{shown} may not be written; check its owner and mode"))
        }
        Some(ErrorCode::TooBig) => Error::new(ErrorKind::InvalidInput, "the value is larger than the ledger can hold"),
        None if is_conversion(&error) => corrupted(file, "a stored value has another type than it was written with"),
        Some(_) | None => Error::bug(format!("the ledger met an unexpected answer of SQLite: {error}")),
    };
    classified.with_context("file", shown.to_string()).with_context("sqlite", error.to_string()).with_source(error)
}

fn is_conversion(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..)
            | rusqlite::Error::InvalidColumnType(..)
    )
}

fn classify_io(error: io::Error, path: &Path) -> Error {
    let shown = path.display();
    let classified = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            unavailable(format!("the disk of {shown} is full; nothing was stored, free some space"))
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Error::new(ErrorKind::Denied, format!("{shown} may not be accessed ({error}); check its owner and mode"))
        }
        io::ErrorKind::NotADirectory => {
            Error::new(ErrorKind::InvalidConfig, format!("{shown} is not a directory; choose another one"))
        }
        io::ErrorKind::IsADirectory => {
            Error::new(ErrorKind::InvalidConfig, format!("{shown} is a directory where a file is expected"))
        }
        io::ErrorKind::InvalidFilename => {
            Error::new(ErrorKind::InvalidConfig, format!("{shown} cannot be a file name here ({error})"))
        }
        io::ErrorKind::UnexpectedEof => corrupted(path, "the file is cut short"),
        // ELOOP has no stable kind yet.
        _ if error.raw_os_error() == Some(40) => {
            Error::new(ErrorKind::InvalidConfig, format!("{shown} is a symbolic link that leads nowhere; remove it"))
        }
        _ => unavailable(format!("{shown} cannot be used: {error}")),
    };
    classified.with_source(error)
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn every_code_of_sqlite_has_one_kind() {
        let table = [
            (ffi::SQLITE_BUSY, ErrorKind::Unavailable, Retry::Soon),
            (ffi::SQLITE_BUSY_SNAPSHOT, ErrorKind::Unavailable, Retry::Soon),
            (ffi::SQLITE_LOCKED, ErrorKind::Unavailable, Retry::Soon),
            (ffi::SQLITE_FULL, ErrorKind::Unavailable, Retry::Soon),
            (ffi::SQLITE_IOERR, ErrorKind::Unavailable, Retry::Soon),
            (ffi::SQLITE_IOERR_FSYNC, ErrorKind::Unavailable, Retry::Soon),
            (ffi::SQLITE_CANTOPEN, ErrorKind::Unavailable, Retry::Soon),
            (ffi::SQLITE_NOMEM, ErrorKind::Unavailable, Retry::Soon),
            (ffi::SQLITE_CORRUPT, ErrorKind::Corrupted, Retry::Never),
            (ffi::SQLITE_NOTADB, ErrorKind::Corrupted, Retry::Never),
            (ffi::SQLITE_READONLY, ErrorKind::Denied, Retry::Never),
            (ffi::SQLITE_PERM, ErrorKind::Denied, Retry::Never),
            (ffi::SQLITE_TOOBIG, ErrorKind::InvalidInput, Retry::Never),
            (ffi::SQLITE_CONSTRAINT_UNIQUE, ErrorKind::Bug, Retry::Never),
            (ffi::SQLITE_MISUSE, ErrorKind::Bug, Retry::Never),
            (ffi::SQLITE_ERROR, ErrorKind::Bug, Retry::Never),
        ];
        for (code, kind, retry) in table {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            let classified = Fault::from(error).classify(Path::new("/d/ledger.sqlite"));
            assert_eq!((classified.kind(), classified.retry()), (kind, retry), "code {code}");
        }
    }

    #[test]
    fn every_refusal_of_the_file_system_has_one_kind_and_names_the_file() {
        let table = [
            (2, ErrorKind::Unavailable),
            (5, ErrorKind::Unavailable),
            (13, ErrorKind::Denied),
            (20, ErrorKind::InvalidConfig),
            (24, ErrorKind::Unavailable),
            (28, ErrorKind::Unavailable),
            (30, ErrorKind::Denied),
            (40, ErrorKind::InvalidConfig),
        ];
        for (errno, kind) in table {
            let fault = Err::<(), _>(io::Error::from_raw_os_error(errno)).at(Path::new("/d/f")).unwrap_err();
            let classified = fault.classify(Path::new("/d/ledger.sqlite"));
            assert_eq!(classified.kind(), kind, "errno {errno}");
            assert!(classified.to_string().contains("/d/f"), "{classified}");
        }
    }

    #[test]
    fn damage_names_the_file_and_the_command_that_helps() {
        let error = rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_NOTADB), None);
        let shown = Fault::from(error).classify(Path::new("/d/ledger.sqlite")).to_string();
        assert!(shown.contains("/d/ledger.sqlite") && shown.contains("mnemic restore"), "{shown}");
    }
}
