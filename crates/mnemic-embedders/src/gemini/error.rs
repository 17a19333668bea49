//! What Gemini's refusals mean. Not here: failures on the way there (`mnemic-http`).

use std::time::Duration;

use mnemic_core::{Error, ErrorKind, Retry};
use mnemic_http::{Answer, from_status};
use serde::Deserialize;

use crate::hosted::{Refusal, said};

use super::SERVICE;

/// The longest wait that is believed, as with `Retry-After`.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

#[derive(Default, Deserialize)]
struct Body {
    #[serde(default)]
    error: Status,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default)]
    message: String,
    #[serde(default, rename = "status")]
    name: String,
    #[serde(default)]
    details: Vec<Detail>,
}

/// The details of a `google.rpc.Status` that matter here; others are left alone.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    retry_delay: Option<String>,
}

/// The only place where an answer of Gemini becomes an error.
pub(super) fn classify(answer: &Answer, texts: &[&str]) -> Refusal {
    // Some gateways wrap the object in a list, which would otherwise be read as the object's members in order.
    let body = serde_json::from_slice::<[Body; 1]>(answer.body())
        .map(|[body]| body)
        .or_else(|_| serde_json::from_slice::<Body>(answer.body()))
        .unwrap_or_default();
    let status = body.error;
    let low = status.message.to_lowercase();
    let message = said(&status.message, texts);
    let error = |kind: ErrorKind, what: &str| {
        Error::new(kind, format!("{SERVICE} {what} (status {}): {message}", answer.status()))
            .with_context("status", answer.status().to_string())
            .with_context("code", said(&status.name, texts))
    };
    let reason = |wanted: &str| status.details.iter().any(|detail| detail.reason.as_deref() == Some(wanted));
    match answer.status() {
        400 if reason("API_KEY_INVALID") || reason("API_KEY_EXPIRED") || low.starts_with("api key") => {
            Error::new(ErrorKind::Denied, format!("{SERVICE} refused the credentials (status 400)"))
                .with_context("status", "400")
                .into()
        }
        // The country or the project, which no other text would change.
        400 if status.name == "FAILED_PRECONDITION" => error(ErrorKind::Denied, "refuses to serve").into(),
        400 | 413 if answer.status() == 413 || too_much(&low) => {
            Refusal::TooMuch(error(ErrorKind::InvalidInput, "finds a request too large"))
        }
        400 if low.contains("output_dimensionality") || low.contains("outputdimensionality") => {
            error(ErrorKind::InvalidConfig, "refused the settings").into()
        }
        401 | 403 => from_status(answer, "").into(),
        404 => error(ErrorKind::InvalidConfig, "does not know the model or the version").into(),
        code => {
            let delay = status.details.iter().find_map(|detail| seconds(detail.retry_delay.as_deref()?));
            let found = from_status(answer, &message);
            match delay {
                // Only where waiting helps at all.
                Some(delay) if code == 429 || code >= 500 => found.with_retry(Retry::After(delay)).into(),
                _ => found.into(),
            }
        }
    }
}

fn too_much(low: &str) -> bool {
    low.contains("requests can be in one batch")
        || low.contains("payload size exceeds")
        || (low.contains("token") && (low.contains("exceed") || low.contains("maximum") || low.contains("too long")))
}

/// A duration of the protocol's JSON: `34.07s`.
fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.strip_suffix('s')?.parse().ok()?;
    (seconds >= 0.0).then(|| Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_read_and_bounded() {
        assert_eq!(seconds("1s"), Some(Duration::from_secs(1)));
        assert_eq!(seconds("34.5s"), Some(Duration::from_millis(34_500)));
        assert_eq!(seconds("0s"), Some(Duration::ZERO));
        assert_eq!(seconds("1e300s"), Some(LONGEST_WAIT));
        for senseless in ["-1s", "NaNs", "soon", "", "5"] {
            assert_eq!(seconds(senseless), None, "{senseless}");
        }
    }
}
