//! The one error type: a kind for programs, a retry verdict for layers, a message for people.
//! Not here: how a door renders it (each door has one exhaustive mapping) nor how a driver's error is classified (each adapter has one).

use std::{error::Error as StdError, fmt, time::Duration};

/// The result of every fallible operation of Mnemic.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as a closed set that programs match on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ErrorKind {
    /// A named thing is absent where absence is an error.
    NotFound,
    /// A version or uniqueness precondition failed.
    Conflict,
    /// The caller's value is wrong.
    InvalidInput,
    /// The deployment is wrong.
    InvalidConfig,
    /// The backend does not offer this.
    Unsupported,
    /// The embedding model differs from the one that the data was written with.
    ModelMismatch,
    /// A backend refused our credentials or the operating system refused access.
    Denied,
    /// A backend asks us to slow down.
    RateLimited,
    /// A backend cannot be reached or did not answer in time.
    Unavailable,
    /// Stored data breaks an invariant.
    Corrupted,
    /// An invariant of Mnemic itself broke.
    Bug,
}

impl ErrorKind {
    /// Every kind, in declaration order.
    pub const ALL: [Self; 11] = [
        Self::NotFound,
        Self::Conflict,
        Self::InvalidInput,
        Self::InvalidConfig,
        Self::Unsupported,
        Self::ModelMismatch,
        Self::Denied,
        Self::RateLimited,
        Self::Unavailable,
        Self::Corrupted,
        Self::Bug,
    ];

    /// The stable name that machines read, for example `invalid_input`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::InvalidInput => "invalid_input",
            Self::InvalidConfig => "invalid_config",
            Self::Unsupported => "unsupported",
            Self::ModelMismatch => "model_mismatch",
            Self::Denied => "denied",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::Corrupted => "corrupted",
            Self::Bug => "bug",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether and when the same call may be tried again. Only adapters decide this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same call fails again.
    Never,
    /// The same call may succeed after a short, jittered wait.
    Soon,
    /// The backend named the wait.
    After(Duration),
}

/// An error of Mnemic. One word wide; `Display` shows this error only and is safe to show to a client.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    retry: Retry,
    message: String,
    field: Option<String>,
    context: Vec<(&'static str, String)>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Makes an error that is never worth retrying. `message` says what was expected and what came, without secrets.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            retry: Retry::Never,
            message: message.into(),
            field: None,
            context: Vec::new(),
            source: None,
        }))
    }

    /// The caller's value of `field` is wrong.
    pub fn invalid(field: impl Into<String>, expected: impl fmt::Display, found: impl fmt::Display) -> Self {
        let field = field.into();
        let mut error = Self::new(ErrorKind::InvalidInput, format!("{field}: expected {expected}, found {found}"));
        error.0.field = Some(field);
        error
    }

    /// A named thing is absent.
    pub fn not_found(what: impl fmt::Display) -> Self {
        Self::new(ErrorKind::NotFound, format!("{what} does not exist"))
    }

    /// An invariant of Mnemic broke.
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Bug, message)
    }

    /// Sets the retry verdict.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    /// Names the field of the caller's input that is wrong.
    #[must_use]
    pub fn with_field(mut self, field: impl Into<String>) -> Self {
        self.0.field = Some(field.into());
        self
    }

    /// Puts `prefix` before the field and the message, for an error found inside a larger input such as a batch.
    #[must_use]
    pub fn within(mut self, prefix: impl fmt::Display) -> Self {
        self.0.field = self.0.field.map(|field| format!("{prefix}.{field}"));
        self.0.message = format!("{prefix}.{}", self.0.message);
        self
    }

    /// Adds a detail for logs (a path, a host, an SQL state). Never shown by `Display`.
    #[must_use]
    pub fn with_context(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.0.context.push((key, value.into()));
        self
    }

    /// Keeps the cause, reachable through [`std::error::Error::source`].
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the same call may be tried again.
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// The message, safe to show.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The field of the caller's input that is wrong, where there is one.
    pub fn field(&self) -> Option<&str> {
        self.0.field.as_deref()
    }

    /// Details for logs only.
    pub fn context(&self) -> &[(&'static str, String)] {
        &self.0.context
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("retry", &self.0.retry)
            .field("message", &self.0.message)
            .field("field", &self.0.field)
            .field("context", &self.0.context)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_value_names_the_field_the_expectation_and_what_came() {
        let error = Error::invalid("limit", "1 to 1000", 0).within("queries[3]");
        assert_eq!(error.to_string(), "queries[3].limit: expected 1 to 1000, found 0");
        assert_eq!(error.field(), Some("queries[3].limit"));
        assert_eq!(error.retry(), Retry::Never);
    }

    #[test]
    fn the_message_never_shows_context_or_cause() {
        let error = Error::new(ErrorKind::Unavailable, "the ledger did not answer")
            .with_context("dsn", "postgresql://user:secret@host/db")
            .with_source(std::io::Error::other("secret"));
        assert_eq!(error.to_string(), "the ledger did not answer");
        assert!(StdError::source(&error).is_some());
    }

    #[test]
    fn an_error_is_one_word_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }
}
