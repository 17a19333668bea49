//! What a status means where the service does not say better: kind and retry verdict. Not here: retrying (layers).

use std::time::Duration;

use mnemic_core::{Error, ErrorKind, Retry};

use crate::Answer;

/// The error for an answer that is no success, from its status. `message` is what the service said, cleaned by the adapter.
/// An adapter whose service means something else by a status decides before it asks here.
pub fn from_status(answer: &Answer, message: &str) -> Error {
    let status = answer.status();
    let service = answer.service;
    let wait = || answer.retry_after().map_or(Retry::Soon, Retry::After);
    let (kind, retry, what) = match status {
        300..=399 => (ErrorKind::Unavailable, Retry::Never, "pointed elsewhere, which is not followed"),
        401 | 403 => (ErrorKind::Denied, Retry::Never, "refused the credentials"),
        402 => (ErrorKind::Denied, Retry::Never, "asks for payment"),
        404 => (ErrorKind::NotFound, Retry::Never, "does not know what was asked for"),
        409 | 412 => (ErrorKind::Conflict, Retry::Never, "reports a conflict"),
        408 | 425 => (ErrorKind::Unavailable, wait(), "did not answer in time"),
        429 => (ErrorKind::RateLimited, wait(), "asks to slow down"),
        400..=499 => (ErrorKind::InvalidInput, Retry::Never, "refused the request"),
        500..=599 => (ErrorKind::Unavailable, wait(), "failed"),
        _ => (ErrorKind::Unavailable, Retry::Soon, "answered out of turn"),
    };
    let said = if message.is_empty() { String::new() } else { format!(": {message}") };
    Error::new(kind, format!("{service} {what} (status {status}){said}"))
        .with_retry(retry)
        .with_context("service", service)
        .with_context("status", status.to_string())
}

/// The error for an answer that cannot be understood.
pub fn unreadable(service: &'static str, why: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("{service} answered what its description does not allow: {why}"))
        .with_retry(Retry::Soon)
        .with_context("service", service)
}

/// The error for a service that was not reached or broke off.
pub(crate) fn unreachable(service: &'static str, error: reqwest::Error) -> Error {
    // The URL may hold what is nobody's business in a log.
    let error = error.without_url();
    let what = if error.is_timeout() {
        "did not answer in time"
    } else if error.is_connect() {
        "cannot be reached"
    } else if error.is_builder() {
        "cannot be asked: the request is malformed"
    } else {
        "broke off its answer"
    };
    let retry = if error.is_builder() { Retry::Never } else { Retry::Soon };
    Error::new(ErrorKind::Unavailable, format!("{service} {what}"))
        .with_retry(retry)
        .with_context("service", service)
        .with_source(error)
}

/// The longest wait between two pieces of one answer.
pub(crate) const SILENCE: Duration = Duration::from_mins(1);
