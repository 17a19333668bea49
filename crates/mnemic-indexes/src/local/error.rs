//! The one place where the operating system's errors become Mnemic's. Not here: damaged snapshots, which are no errors (`files`).

use std::{io, path::Path};

use mnemic_core::{Error, ErrorKind, Retry};

/// Says what could not be done with the index's files. The path is for logs only.
pub(crate) fn classify(path: &Path, action: &str, error: io::Error) -> Error {
    let (kind, retry, why) = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            (ErrorKind::Denied, Retry::Never, "the operating system refuses access")
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            (ErrorKind::Unavailable, Retry::Soon, "the disk is full")
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory | io::ErrorKind::InvalidFilename => {
            (ErrorKind::InvalidConfig, Retry::Never, "the path is not a directory of Mnemic")
        }
        _ => (ErrorKind::Unavailable, Retry::Soon, "the file system failed"),
    };
    Error::new(kind, format!("cannot {action} the index snapshot: {why}"))
        .with_retry(retry)
        .with_context("path", path.display().to_string())
        .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_of_the_file_system_has_its_kind() {
        for (failure, kind) in [
            (io::ErrorKind::PermissionDenied, ErrorKind::Denied),
            (io::ErrorKind::ReadOnlyFilesystem, ErrorKind::Denied),
            (io::ErrorKind::StorageFull, ErrorKind::Unavailable),
            (io::ErrorKind::NotADirectory, ErrorKind::InvalidConfig),
            (io::ErrorKind::Other, ErrorKind::Unavailable),
        ] {
            let error = classify(Path::new("/secret/place"), "write", failure.into());
            assert_eq!(error.kind(), kind);
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
