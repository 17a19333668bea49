//! The one place where an error becomes a Python exception. Not here: the classes (`mnemic.exceptions`).

use mnemic::{Error, ErrorKind, Retry};
use pyo3::{prelude::*, types::PyDict};

/// The class in `mnemic.exceptions` for a kind of error.
const fn class(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFound => "NotFoundError",
        ErrorKind::Conflict => "ConflictError",
        ErrorKind::InvalidInput => "InvalidInputError",
        ErrorKind::InvalidConfig => "ConfigError",
        ErrorKind::Unsupported => "UnsupportedError",
        ErrorKind::ModelMismatch => "ModelMismatchError",
        ErrorKind::Denied => "DeniedError",
        ErrorKind::RateLimited => "RateLimitedError",
        ErrorKind::Unavailable => "UnavailableError",
        ErrorKind::Corrupted => "CorruptedError",
        ErrorKind::Bug => "InternalError",
    }
}

/// The exception for an error: its message, and `field`, `retryable` and `retry_after` (seconds) as attributes.
pub(crate) fn exception(py: Python<'_>, error: &Error) -> PyErr {
    make(py, error).unwrap_or_else(|failed| failed)
}

fn make(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let class = py.import("mnemic.exceptions")?.getattr(class(error.kind()))?;
    let details = PyDict::new(py);
    details.set_item("field", error.field())?;
    details.set_item("retryable", error.retry() != Retry::Never)?;
    let wait = match error.retry() {
        Retry::After(wait) => Some(wait.as_secs_f64()),
        Retry::Never | Retry::Soon => None,
    };
    details.set_item("retry_after", wait)?;
    Ok(PyErr::from_value(class.call((error.message(),), Some(&details))?))
}
