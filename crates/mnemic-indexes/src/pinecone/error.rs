//! What Pinecone's answers other than success mean: the one place where they become errors. Not here: statuses in general (`mnemic-http`).

use std::borrow::Cow;

use mnemic_core::{Error, ErrorKind, Retry};
use mnemic_http::{Answer, from_status};
use serde::Deserialize;

/// Characters of the service's words that a message repeats at most.
const SHOWN: usize = 300;

#[derive(Default, Deserialize)]
struct Body {
    error: Option<Inner>,
    message: Option<String>,
}

#[derive(Deserialize)]
struct Inner {
    code: Option<String>,
    message: Option<String>,
}

/// What the service said, wherever it said it.
struct Said<'a> {
    code: String,
    words: Cow<'a, str>,
}

fn said(answer: &Answer) -> Said<'_> {
    // A gateway's page, or a refusal in plain text, is no JSON.
    let body: Body = serde_json::from_slice(answer.body()).unwrap_or_default();
    let (code, inner) = body.error.map_or((None, None), |error| (error.code, error.message));
    let words = inner.or(body.message).map_or_else(|| Cow::Owned(answer.excerpt()), Cow::Owned);
    Said { code: code.unwrap_or_default(), words }
}

/// The words without what they repeat of the request, which may be somebody's secret.
fn cleaned(words: &str) -> String {
    let own = words.split(", got '").next().unwrap_or_default();
    own.chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}

/// The error for an answer that is no success.
pub(super) fn refused(answer: &Answer) -> Error {
    let said = said(answer);
    let words = cleaned(&said.words);
    let lower = words.to_lowercase();
    let quota = said.code == "QUOTA_EXCEEDED" || lower.contains("quota") || lower.contains("maximum per project");
    match answer.status() {
        403 if quota => told(answer, ErrorKind::Denied, "reached the limit of its plan", &words),
        403 if lower.contains("deletion protection") => {
            told(answer, ErrorKind::Conflict, "protects the index from deletion", &words)
        }
        413 => told(answer, ErrorKind::InvalidInput, "takes no request of this size", &words),
        // Waiting until next month is nobody's retry.
        429 if lower.contains("for the current month") => {
            told(answer, ErrorKind::RateLimited, "used up what its plan allows for this month", &words)
        }
        _ => from_status(answer, &words),
    }
}

fn told(answer: &Answer, kind: ErrorKind, what: &str, words: &str) -> Error {
    let status = answer.status();
    Error::new(kind, format!("Pinecone {what} (status {status}): {words}"))
        .with_context("service", "Pinecone")
        .with_context("status", status.to_string())
        .with_context("request_id", answer.header("x-pinecone-request-id").unwrap_or_default())
}

/// Whether the answer says that the namespace is not there, which is as good as empty.
pub(super) fn is_missing_namespace(answer: &Answer) -> bool {
    answer.status() == 404 && said(answer).words.to_lowercase().contains("namespace")
}

/// Whether the request was too large, and its halves may do.
pub(super) fn is_too_large(answer: &Answer) -> bool {
    answer.status() == 413
        || (answer.status() == 400 && said(answer).words.contains("exceeds the maximum supported size"))
}

/// The error for an index that is not where it was.
pub(super) fn moved(name: &str, what: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the Pinecone index {name} {what}")).with_retry(Retry::Soon)
}
