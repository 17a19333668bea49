//! What a server of Text Embeddings Inference says about itself. Not here: what is asked of its model.

use mnemic_core::{Error, ErrorKind, Result};
use mnemic_http::{Call, Client};
use serde::Deserialize;
use serde_json::Value;

use crate::hosted::{Refusal, read, wrong_setting};

use super::{SERVICE, error};

/// The parts of `/info` that matter here. Without an answer: what a server does by default.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(super) struct Info {
    #[serde(default)]
    pub(super) model_id: String,
    #[serde(default)]
    pub(super) served_model_name: Option<String>,
    #[serde(default)]
    pub(super) model_type: Value,
    #[serde(default = "default_batch")]
    pub(super) max_client_batch_size: usize,
    #[serde(default = "default_window")]
    pub(super) max_input_length: usize,
    #[serde(default)]
    pub(super) auto_truncate: bool,
}

fn default_batch() -> usize {
    32
}

fn default_window() -> usize {
    512
}

impl Default for Info {
    fn default() -> Self {
        Self {
            model_id: String::new(),
            served_model_name: None,
            model_type: Value::Null,
            max_client_batch_size: default_batch(),
            max_input_length: default_window(),
            auto_truncate: false,
        }
    }
}

impl Info {
    /// Asks the server.
    pub(super) async fn ask(client: &Client) -> Result<Self> {
        let answer = client.send(Call::get("/info")).await?;
        if answer.is_success() {
            return read(&answer);
        }
        match error::classify(&answer, &[]) {
            Refusal::TooMuch(error) | Refusal::Failed(error) => Err(error),
        }
    }

    /// The model's name, which must be the wanted one if there is one.
    pub(super) fn must_serve(&self, wanted: Option<&str>) -> Result<String> {
        let Some(wanted) = wanted else { return Ok(self.model_id.clone()) };
        if wanted == self.model_id || Some(wanted) == self.served_model_name.as_deref() {
            return Ok(wanted.to_owned());
        }
        Err(wrong_setting("tei.model", &format!("{wanted:?}"), format!("a server of {:?}", self.model_id)))
    }

    pub(super) fn must_embed(&self) -> Result<()> {
        self.must_be("embedding", "embeds")
    }

    pub(super) fn must_rerank(&self) -> Result<()> {
        self.must_be("reranker", "reranks")
    }

    fn must_be(&self, kind: &str, what: &str) -> Result<()> {
        let Some(kinds) = self.model_type.as_object() else { return Ok(()) };
        if kinds.contains_key(kind) {
            return Ok(());
        }
        let found = kinds.keys().next().map_or("none", String::as_str);
        let message = format!("{SERVICE}: expected a model that {what}, found a model of type {found:?}");
        Err(Error::new(ErrorKind::InvalidConfig, message).with_field("tei.model"))
    }
}
