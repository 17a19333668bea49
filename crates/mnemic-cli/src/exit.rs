//! How a command fails: what it says, and the exit code that scripts read. Not here: how failures are shown (`output`).

use std::{fmt, io, path::Path};

use mnemic::ErrorKind;

/// The documented exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It failed, for no reason that a script could act on.
    Failure = 1,
    /// The command line or a value is wrong.
    Usage = 2,
    /// A named thing does not exist.
    NotFound = 3,
    /// The configuration is wrong, or access was refused.
    Config = 4,
    /// A backend cannot be reached now; the same command may succeed later.
    Unavailable = 5,
    /// Somebody else changed it first.
    Conflict = 6,
    /// Stored data is not what it should be.
    Verification = 7,
    /// The user pressed Ctrl-C.
    Interrupted = 130,
}

/// Said at the end of `--help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done                      4  wrong configuration or no access
  1  failed                    5  a backend is unavailable, try again
  2  wrong usage or input      6  conflict with another change
  3  not found                 7  verification failed
  130  interrupted (Ctrl-C); what was acknowledged is kept";

impl Exit {
    /// The code for a kind of error.
    pub(crate) const fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::Conflict => Self::Conflict,
            ErrorKind::InvalidInput => Self::Usage,
            ErrorKind::InvalidConfig | ErrorKind::ModelMismatch | ErrorKind::Denied => Self::Config,
            ErrorKind::RateLimited | ErrorKind::Unavailable => Self::Unavailable,
            ErrorKind::Corrupted => Self::Verification,
            ErrorKind::Unsupported | ErrorKind::Bug => Self::Failure,
        }
    }
}

/// A command that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    /// The stable name that machines read.
    pub(crate) code: &'static str,
    /// What was expected and what came.
    pub(crate) message: String,
    /// The field of the input that is wrong.
    pub(crate) field: Option<String>,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

/// The result of everything that a command does.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    fn new(exit: Exit, code: &'static str, message: impl Into<String>) -> Self {
        Self { exit, code, message: message.into(), field: None, hint: None }
    }

    /// The command line is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message)
    }

    /// A named thing does not exist.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Exit::NotFound, ErrorKind::NotFound.as_str(), message)
    }

    /// Something did not verify.
    pub(crate) fn verification(message: impl Into<String>) -> Self {
        Self::new(Exit::Verification, "verification_failed", message)
    }

    /// It failed without a more telling code.
    pub(crate) fn other(message: impl Into<String>) -> Self {
        Self::new(Exit::Failure, "failed", message)
    }

    /// Ctrl-C.
    pub(crate) fn interrupted() -> Self {
        Self::new(Exit::Interrupted, "interrupted", "interrupted; what was acknowledged is kept")
    }

    /// The operating system refused: `action` says what was tried, such as `read`.
    pub(crate) fn io(action: &str, path: &Path, error: &io::Error) -> Self {
        let (exit, code) = match error.kind() {
            io::ErrorKind::NotFound => (Exit::NotFound, "not_found"),
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => (Exit::Config, "denied"),
            _ => (Exit::Failure, "io"),
        };
        Self::new(exit, code, format!("cannot {action} {}: {error}", path.display()))
    }

    /// Adds what to do about it.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<mnemic::Error> for Failure {
    fn from(error: mnemic::Error) -> Self {
        tracing::debug!(?error, "failed");
        Self {
            exit: Exit::of(error.kind()),
            code: error.kind().as_str(),
            message: error.message().to_owned(),
            field: error.field().map(str::to_owned),
            hint: hint_for(error.kind()),
        }
    }
}

fn hint_for(kind: ErrorKind) -> Option<String> {
    let hint = match kind {
        ErrorKind::Corrupted => "mnemic doctor says what is damaged; mnemic restore brings a backup back",
        ErrorKind::ModelMismatch => "choose the embedder that the data was written with (--embedder)",
        ErrorKind::Bug => "this is a fault of Mnemic; please report it with the output of -vv",
        ErrorKind::NotFound
        | ErrorKind::Conflict
        | ErrorKind::InvalidInput
        | ErrorKind::InvalidConfig
        | ErrorKind::Unsupported
        | ErrorKind::Denied
        | ErrorKind::RateLimited
        | ErrorKind::Unavailable => return None,
    };
    Some(hint.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_error_has_a_documented_code_above_zero() {
        for kind in ErrorKind::ALL {
            let code = Exit::of(kind) as u8;
            assert!((1..=7).contains(&code), "{kind}: {code}");
            assert!(EXIT_CODES.contains(&format!("  {code}  ")), "{kind}: {code} is not in the help");
        }
    }
}
