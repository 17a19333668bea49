//! What refusals of Text Embeddings Inference mean. Not here: failures on the way there (`mnemic-http`).

use mnemic_core::{Error, ErrorKind, Retry};
use mnemic_http::{Answer, from_status};
use serde::Deserialize;

use crate::hosted::{Refusal, said};

use super::SERVICE;

/// Its own form has `error`, the `OpenAI`-like one `message`.
#[derive(Default, Deserialize)]
struct Body {
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default, alias = "type")]
    error_type: Option<String>,
}

/// The only place where an answer of this server becomes an error.
pub(super) fn classify(answer: &Answer, texts: &[&str]) -> Refusal {
    let body: Body = serde_json::from_slice(answer.body()).unwrap_or_default();
    let told = body.error.or(body.message).unwrap_or_default();
    let low = told.to_lowercase();
    let message = said(&told, texts);
    let error = |kind: ErrorKind, what: &str| {
        Error::new(kind, format!("{SERVICE} {what} (status {}): {message}", answer.status()))
            .with_context("status", answer.status().to_string())
            .with_context("error_type", said(body.error_type.as_deref().unwrap_or_default(), texts))
    };
    match answer.status() {
        // Which model a server was started with; no other text would change it.
        400..=499 if low.contains("is not a re-ranker model") || low.contains("is not an embedding model") => {
            error(ErrorKind::InvalidConfig, "serves a model that cannot do this").into()
        }
        // The answer to whatever its validation refuses, and to a body above its payload limit.
        413 if low.contains("dimensions") => error(ErrorKind::InvalidConfig, "refused the dimension").into(),
        413 => Refusal::TooMuch(error(ErrorKind::InvalidInput, "finds a request too large")),
        422 if low.contains("must have less than") => {
            Refusal::TooMuch(error(ErrorKind::InvalidInput, "finds a request too large"))
        }
        401 | 403 => from_status(answer, "").into(),
        404 => error(ErrorKind::InvalidConfig, "is not what answers at this address").into(),
        424 => error(ErrorKind::Unavailable, "failed to run its model").with_retry(Retry::Soon).into(),
        _ => from_status(answer, &message).into(),
    }
}
