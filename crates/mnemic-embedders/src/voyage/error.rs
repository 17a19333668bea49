//! What Voyage's refusals mean. Not here: failures on the way there (`mnemic-http`).

use std::time::Duration;

use mnemic_core::{Error, ErrorKind, Retry};
use mnemic_http::{Answer, from_status};
use serde::Deserialize;
use serde_json::Value;

use crate::hosted::{Refusal, said};

use super::SERVICE;

/// Three requests a minute are allowed without a payment method, and no `Retry-After` says so.
const FREE_TIER_WAIT: Duration = Duration::from_secs(20);

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    detail: Value,
}

/// The only place where an answer of Voyage becomes an error.
pub(super) fn classify(answer: &Answer, texts: &[&str]) -> Refusal {
    let detail = detail(answer);
    let low = detail.to_lowercase();
    let has = |parts: &[&str]| parts.iter().all(|part| low.contains(part));
    let message = said(&detail, texts);
    let error = |kind: ErrorKind, what: &str| {
        Error::new(kind, format!("{SERVICE} {what} (status {}): {message}", answer.status()))
            .with_context("status", answer.status().to_string())
    };
    match answer.status() {
        400 | 413 if answer.status() == 413 || too_much(&has) => {
            Refusal::TooMuch(error(ErrorKind::InvalidInput, "finds a request too large"))
        }
        // Settings of ours, which no other text would change.
        400 if has(&["model", "not supported"]) || has(&["output_dimension"]) || has(&["output dimension"]) => {
            error(ErrorKind::InvalidConfig, "refused the settings").into()
        }
        401..=403 => from_status(answer, "").into(),
        404 => error(ErrorKind::InvalidConfig, "does not know the address or the model").into(),
        429 if answer.retry_after().is_none() && has(&["payment method"]) => {
            from_status(answer, &message).with_retry(Retry::After(FREE_TIER_WAIT)).into()
        }
        _ => from_status(answer, &message).into(),
    }
}

fn too_much(has: &impl Fn(&[&str]) -> bool) -> bool {
    has(&["max allowed tokens"])
        || has(&["batch size limit"])
        || has(&["exceeds", "tokens"])
        || has(&["exceed", "number of documents"])
        || has(&["too many tokens"])
        || has(&["too long"])
}

/// The message, without the values that a validator repeats beside it.
fn detail(answer: &Answer) -> String {
    let Ok(body) = serde_json::from_slice::<Body>(answer.body()) else { return String::new() };
    match body.detail {
        Value::String(text) => text,
        Value::Array(faults) => {
            let messages = faults.iter().filter_map(|fault| fault.get("msg").and_then(Value::as_str));
            messages.collect::<Vec<_>>().join("; ")
        }
        _ => String::new(),
    }
}
