//! What Qdrant's refusals mean. The only place that reads them. Not here: retrying (layers).

use mnemic_core::{Error, ErrorKind, Retry};
use mnemic_http::{Answer, from_status};
use serde_json::Value;

/// The error for an answer that is no success. What the server says may hold what was sent, so it goes to the context only.
pub(super) fn refused(answer: &Answer) -> Error {
    let said = said(answer);
    let known = |kind, message: &str| Error::new(kind, message).with_context("status", answer.status().to_string());
    let error = match answer.status() {
        400 if said.contains("Vector dimension error") || said.contains("Not existing vector name") => {
            known(ErrorKind::ModelMismatch, "the Qdrant collection holds vectors of another size than the model makes")
        }
        400 if said.contains("Index required but not found") => known(
            ErrorKind::InvalidConfig,
            "Qdrant's strict mode refuses a filter because the collection lacks a payload index",
        ),
        400 if said.contains("larger than allowed") => {
            known(ErrorKind::InvalidInput, "Qdrant reads no request of that size (its max_request_size_mb)")
        }
        404 if said.contains("Collection") => known(ErrorKind::NotFound, "Qdrant holds no such collection"),
        404 if said.contains("Point with id") => known(ErrorKind::NotFound, "Qdrant holds no such point"),
        404 | 405 => known(ErrorKind::InvalidConfig, "what answers at the address of Qdrant is not Qdrant"),
        // A node that is locked against writes (full disk, snapshot under way) says Forbidden as a wrong key does.
        403 if said.contains("locked") => {
            known(ErrorKind::Unavailable, "Qdrant is locked against this at the moment").with_retry(Retry::Soon)
        }
        507 => known(ErrorKind::Unavailable, "Qdrant has no room left").with_retry(Retry::Soon),
        _ => from_status(answer, ""),
    };
    error.with_context("said", said)
}

/// The message of an error in the envelope, or the beginning of the body where there is no envelope.
fn said(answer: &Answer) -> String {
    let body: Option<Value> = serde_json::from_slice(answer.body()).ok();
    let message = body.as_ref().and_then(|body| body.pointer("/status/error")).and_then(Value::as_str);
    message.map_or_else(|| answer.excerpt(), |text| text.chars().take(300).collect())
}

/// The error for a collection that is there and is not the one of this model.
pub(super) fn other_space(held: &str, model: &mnemic_core::EmbeddingModel) -> Error {
    Error::new(ErrorKind::ModelMismatch, format!("the data was embedded with {held}, not with {model}"))
}

/// The error for an index that was started over while this process fed it.
pub(super) fn started_over() -> Error {
    Error::new(ErrorKind::Unavailable, "the Qdrant collection lost what it held; it is fed again from its position")
        .with_retry(Retry::Soon)
}
