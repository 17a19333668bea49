//! What a disk's error means to whoever writes. Not here: bounds (`worker`).

use std::{io, path::Path};

use mnemic_core::{Error, ErrorKind, Retry};

/// Turns a disk's error into ours. `doing` says what failed, in words; the path goes into the context for logs.
pub(crate) fn disk(error: io::Error, doing: &str, path: &Path) -> Error {
    use io::ErrorKind as Io;
    let (kind, retry, why) = match error.kind() {
        Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => {
            (ErrorKind::Unavailable, Retry::Soon, "the disk is full")
        }
        Io::PermissionDenied | Io::ReadOnlyFilesystem => (ErrorKind::Denied, Retry::Never, "access is refused"),
        _ => (ErrorKind::Unavailable, Retry::Soon, "the disk does not answer as it should"),
    };
    Error::new(kind, format!("the spool cannot {doing}: {why}"))
        .with_retry(retry)
        .with_context("path", path.display().to_string())
        .with_source(error)
}

/// The error after a failed sync: what the disk holds is unknown until it is read again.
pub(crate) fn failed(doing: &str) -> Error {
    let message = format!("the spool takes nothing more until it is opened anew, because it could not {doing}");
    Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Never)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_codes_are_told_apart_and_the_path_is_for_logs_only() {
        const ENOSPC: i32 = 28;
        const EDQUOT: i32 = 122;
        const EFBIG: i32 = 27;
        const EACCES: i32 = 13;
        const EROFS: i32 = 30;
        const EIO: i32 = 5;
        const EMFILE: i32 = 24;
        let of = |code| disk(io::Error::from_raw_os_error(code), "append", Path::new("/secret/place"));
        for code in [ENOSPC, EDQUOT, EFBIG] {
            assert_eq!((of(code).kind(), of(code).retry()), (ErrorKind::Unavailable, Retry::Soon));
            assert_eq!(of(code).to_string(), "the spool cannot append: the disk is full");
        }
        for code in [EACCES, EROFS] {
            assert_eq!((of(code).kind(), of(code).retry()), (ErrorKind::Denied, Retry::Never));
        }
        for code in [EIO, EMFILE] {
            assert_eq!((of(code).kind(), of(code).retry()), (ErrorKind::Unavailable, Retry::Soon));
            assert!(!of(code).to_string().contains("full") && !of(code).to_string().contains("secret"));
        }
    }
}
