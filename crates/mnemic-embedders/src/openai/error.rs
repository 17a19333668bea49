//! What refusals over `OpenAI`'s protocol mean, in the forms of `OpenAI`, Ollama and `vLLM`. Not here: failures on the way there.

use mnemic_core::{Error, ErrorKind};
use mnemic_http::{Answer, from_status};
use serde::Deserialize;
use serde_json::Value;

use crate::hosted::{Refusal, said};

/// Either form: `{"error": {…}}` of `OpenAI` and Ollama, or the same members at the top, as `vLLM` had them.
#[derive(Default, Deserialize)]
struct Body {
    #[serde(default)]
    error: Value,
    #[serde(default)]
    message: Value,
    #[serde(default)]
    code: Value,
}

#[derive(Debug, Default)]
struct Said {
    message: String,
    code: String,
    param: String,
}

fn read(answer: &Answer) -> Said {
    let body: Body = serde_json::from_slice(answer.body()).unwrap_or_default();
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    match &body.error {
        // Old servers answer `{"error": "text"}`.
        Value::String(message) => Said { message: message.clone(), ..Said::default() },
        Value::Object(error) => Said {
            message: text(error.get("message")),
            // `insufficient_quota` stands in either place.
            code: match text(error.get("code")) {
                code if code.is_empty() => text(error.get("type")),
                code => code,
            },
            param: text(error.get("param")),
        },
        _ => Said { message: text(Some(&body.message)), code: text(Some(&body.code)), ..Said::default() },
    }
}

/// The only place where an answer over this protocol becomes an error.
pub(super) fn classify(answer: &Answer, (service, model): (&str, &str), texts: &[&str]) -> Refusal {
    let told = read(answer);
    let (low, code) = (told.message.to_lowercase(), told.code.to_lowercase());
    let message = said(&told.message, texts);
    let error = |kind: ErrorKind, what: &str| {
        Error::new(kind, format!("{service} {what} (status {}): {message}", answer.status()))
            .with_context("status", answer.status().to_string())
            .with_context("code", said(&told.code, texts))
    };
    match answer.status() {
        // Money does not come back by waiting.
        429 if code == "insufficient_quota" || low.contains("exceeded your current quota") => {
            error(ErrorKind::Denied, "reports a quota that is used up").into()
        }
        401 | 403 => from_status(answer, "").into(),
        404 => error(ErrorKind::InvalidConfig, &format!("does not know the model {model:?}")).into(),
        400 | 413 | 422 if answer.status() == 413 || too_much(&low, &code) => {
            Refusal::TooMuch(error(ErrorKind::InvalidInput, "finds a request too large"))
        }
        400 if told.param == "dimensions" || low.contains("dimensions") || low.contains("matryoshka") => {
            error(ErrorKind::InvalidConfig, "refused the dimension").into()
        }
        400 if told.param == "model" || code == "model_not_found" => {
            error(ErrorKind::InvalidConfig, "refused the model").into()
        }
        _ => from_status(answer, &message).into(),
    }
}

fn too_much(low: &str, code: &str) -> bool {
    ["context_length_exceeded", "max_tokens_per_request", "array_above_max_length", "string_above_max_length"]
        .contains(&code)
        || low.contains("maximum context length")
        || low.contains("exceeds the context length")
        || low.contains("maximum request size")
        || low.contains("array too long")
        || low.contains("string too long")
        || low.contains("longer than the maximum model length")
        || (low.contains("token") && (low.contains("exceed") || low.contains("too long")))
        || low.contains("batch size")
}
