//! The body of a request: members that a server knows, and texts in any of the forms it takes. Not here: limits in tokens (`flavour`).

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Flavour, Refusal};

const MOST_TEXTS: usize = 2048;

#[derive(Deserialize)]
pub(super) struct Request {
    #[serde(default)]
    input: Value,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    encoding_format: Option<String>,
    #[serde(default)]
    pub(super) dimensions: Option<usize>,
    #[serde(default)]
    user: Option<String>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Request {
    pub(super) fn read(body: &[u8], flavour: Flavour) -> Result<Self, Refusal> {
        let malformed = |error: serde_json::Error| {
            Refusal::bad(format!("We could not parse the JSON body of your request. ({error})"))
        };
        let value: Value = serde_json::from_slice(body).map_err(malformed)?;
        let request: Self = serde_json::from_value(value).map_err(malformed)?;
        if let (Flavour::OpenAi, Some(name)) = (flavour, request.others.keys().next()) {
            return Err(Refusal::bad(format!("Unrecognized request argument supplied: {name}")));
        }
        if request.model.is_none() && flavour != Flavour::Vllm {
            return Err(Refusal::bad("you must provide a model parameter").about("model"));
        }
        if !matches!(request.encoding_format.as_deref(), None | Some("float" | "base64")) {
            return Err(Refusal::bad("Invalid value for 'encoding_format': expected one of 'float', 'base64'.")
                .about("encoding_format"));
        }
        if flavour == Flavour::OpenAi && request.user.as_ref().is_some_and(String::is_empty) {
            return Err(Refusal::bad("Invalid 'user': empty string.").about("user"));
        }
        Ok(request)
    }

    /// The model; `vLLM` serves its only one where none is named.
    pub(super) fn model(&self) -> &str {
        self.model.as_deref().unwrap_or("intfloat/e5-small")
    }

    pub(super) fn base64(&self) -> bool {
        self.encoding_format.as_deref() == Some("base64")
    }

    /// Whether `vLLM` was asked to cut a text to the model's window.
    pub(super) fn truncates(&self) -> bool {
        self.others.get("truncate_prompt_tokens").and_then(Value::as_i64) == Some(-1)
    }

    /// The texts; tokens are written out as numbers, which is as good a text as any for a stand-in.
    pub(super) fn texts(&self, flavour: Flavour) -> Result<Vec<String>, Refusal> {
        let refused = |message: &str| Err(Refusal::bad(message).about("input"));
        let texts = match &self.input {
            Value::String(text) => vec![text.clone()],
            Value::Array(items) if items.iter().all(Value::is_string) => {
                items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
            }
            Value::Array(items) if flavour != Flavour::Ollama => match tokens(items) {
                Some(texts) => texts,
                None => return refused("'$.input' is invalid. Please check the API reference."),
            },
            _ => return refused("invalid input"),
        };
        if texts.is_empty() {
            return refused(
                "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference.",
            );
        }
        if flavour == Flavour::OpenAi && texts.iter().any(String::is_empty) {
            return refused(
                "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference.",
            );
        }
        if flavour == Flavour::OpenAi && texts.len() > MOST_TEXTS {
            let found = texts.len();
            let message = format!(
                "Invalid 'input': array too long. Expected an array with maximum length {MOST_TEXTS}, but got an array with length {found} instead."
            );
            return Err(Refusal::bad(message).about("input").coded("array_above_max_length"));
        }
        Ok(texts)
    }
}

fn tokens(items: &[Value]) -> Option<Vec<String>> {
    let written = |tokens: &[Value]| {
        let words: Option<Vec<String>> = tokens.iter().map(|token| token.as_u64().map(|n| n.to_string())).collect();
        words.filter(|words| !words.is_empty()).map(|words| words.join(" "))
    };
    if items.iter().all(Value::is_number) {
        return written(items).map(|text| vec![text]);
    }
    items.iter().map(|item| item.as_array().and_then(|tokens| written(tokens))).collect()
}
