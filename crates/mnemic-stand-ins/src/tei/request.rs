//! Bodies of requests. Not here: what is answered.

use axum::http::StatusCode;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::Refusal;

#[derive(Deserialize)]
pub(super) struct Embed {
    inputs: Value,
    #[serde(default)]
    pub(super) normalize: Option<bool>,
    #[serde(default)]
    pub(super) truncate: Option<bool>,
    #[serde(default)]
    pub(super) dimensions: Option<usize>,
    #[serde(default, rename = "truncation_direction")]
    direction: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct OpenAi {
    input: Value,
    #[serde(default)]
    encoding_format: Option<String>,
    #[serde(default)]
    pub(super) dimensions: Option<usize>,
}

#[derive(Deserialize)]
pub(super) struct Rerank {
    pub(super) query: String,
    pub(super) texts: Vec<String>,
    #[serde(default)]
    pub(super) truncate: Option<bool>,
    #[serde(default)]
    pub(super) raw_scores: bool,
    #[serde(default)]
    pub(super) return_text: bool,
}

pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| unprocessable(error.to_string()))
}

fn unprocessable(message: String) -> Refusal {
    Refusal { status: StatusCode::UNPROCESSABLE_ENTITY, kind: "Tokenizer", message }
}

impl Embed {
    pub(super) fn inputs(&self) -> Result<Vec<String>, Refusal> {
        if !matches!(self.direction.as_deref(), None | Some("Left" | "Right")) {
            return Err(unprocessable("unknown variant of truncation_direction".to_owned()));
        }
        inputs(&self.inputs)
    }
}

impl OpenAi {
    pub(super) fn inputs(&self) -> Result<Vec<String>, Refusal> {
        if !matches!(self.encoding_format.as_deref(), None | Some("float" | "base64")) {
            return Err(unprocessable("unknown variant of encoding_format".to_owned()));
        }
        inputs(&self.input)
    }

    pub(super) fn base64(&self) -> bool {
        self.encoding_format.as_deref() == Some("base64")
    }
}

fn inputs(inputs: &Value) -> Result<Vec<String>, Refusal> {
    match inputs {
        Value::String(text) => Ok(vec![text.clone()]),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            Ok(items.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        }
        _ => Err(unprocessable("this stand-in has no tokenizer for token arrays".to_owned())),
    }
}
