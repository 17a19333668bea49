//! Embeddings of Google Gemini over HTTP. Not here: Vertex AI, which has other hosts, keys and limits.

mod error;

use async_trait::async_trait;
use mnemic_core::{
    Embedding, EmbeddingModel, Metric, Result,
    ports::{Embedder, Purpose},
};
use mnemic_http::{Address, Call, Client, ClientConfig, SecretString};
use serde::{Deserialize, Serialize};

use crate::hosted::{
    Ask, Limits, Refusal, Values, answer_texts, ask_in_parts, check_key, check_model, embedding, encoded, prefixed,
    read, wrong_setting,
};

const SERVICE: &str = "Gemini";
const ADDRESS: &str = "https://generativelanguage.googleapis.com";

/// Requests of one batch.
const BATCH: usize = 100;
/// Bytes of one body, with room for what is around the texts.
const BODY_BYTES: usize = 4_000_000;
const DIMENSIONS: std::ops::RangeInclusive<u32> = 128..=3072;

/// How a model is told what a text is embedded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// By `taskType`.
    TaskType,
    /// By words before the text. They make the vectors what they are: other words would be another space.
    Instruction,
}

/// What an embedder by Gemini is made of.
#[derive(Clone, Debug)]
pub struct GeminiConfig {
    /// The key.
    pub key: SecretString,
    /// The base address without a version, or `None` for Google's.
    pub address: Option<Address>,
    /// The version in the path: `v1beta` or `v1`.
    pub version: String,
    /// The model, for example `gemini-embedding-001`; a leading `models/` is dropped.
    pub model: String,
    /// Components of one embedding, 128 to 3072.
    pub dimension: u32,
}

impl GeminiConfig {
    /// `gemini-embedding-001` with 2,048 dimensions.
    pub fn new(key: SecretString) -> Self {
        Self {
            key,
            address: None,
            version: "v1beta".to_owned(),
            model: "gemini-embedding-001".to_owned(),
            dimension: 2048,
        }
    }
}

/// Embeds with a model of Google Gemini. Vectors are of unit length, also those that the service cuts and leaves shorter.
#[derive(Clone, Debug)]
pub struct GeminiEmbedder {
    client: Client,
    model: EmbeddingModel,
    /// `models/` and the name, as requests want it.
    resource: String,
    path: String,
    told: Told,
    limits: Limits,
}

impl GeminiEmbedder {
    /// Makes it. Nothing is asked yet.
    ///
    /// # Errors
    /// `InvalidConfig`, naming the field.
    pub fn new(config: GeminiConfig) -> Result<Self> {
        check_key("gemini.key", &config.key)?;
        let name = config.model.strip_prefix("models/").unwrap_or(&config.model);
        check_model("gemini.model", name, true)?;
        if !DIMENSIONS.contains(&config.dimension) {
            return Err(wrong_setting("gemini.dimension", "128 to 3072", config.dimension));
        }
        if config.version.is_empty() || !config.version.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Err(wrong_setting("gemini.version", "v1beta or v1", format!("{:?}", config.version)));
        }
        let model = EmbeddingModel::new("gemini", name, config.dimension, Metric::Cosine)
            .map_err(|error| wrong_setting("gemini.model", "a model name", error))?;
        let address = config.address.map_or_else(|| Address::new("gemini.address", ADDRESS), Ok)?;
        let secret_headers = vec![("x-goog-api-key", config.key)];
        let client = Client::new(ClientConfig { service: SERVICE, address, secret_headers, headers: Vec::new() })?;
        Ok(Self {
            client,
            resource: format!("models/{name}"),
            path: format!("/{}/models/{name}:batchEmbedContents", config.version),
            told: told(name),
            limits: limits(name, config.dimension),
            model,
        })
    }

    async fn request(&self, purpose: Purpose, texts: &[&str]) -> Result<Vec<Embedding>, Refusal> {
        let (instruction, task_type) = match self.told {
            Told::TaskType => ("", Some(task_type(purpose))),
            Told::Instruction => (instruction(purpose), None),
        };
        let told = prefixed(instruction, texts);
        let one = |text| EmbedContent {
            model: &self.resource,
            content: Content { parts: [Part { text }] },
            task_type,
            output_dimensionality: self.model.dimension(),
        };
        // One request a text: several parts of one content would become one vector.
        let body = Batch { requests: told.iter().map(|text| one(text)).collect() };
        let answer = self.client.send(Call::post(&self.path, encoded(&body)?)).await?;
        if !answer.is_success() {
            return Err(error::classify(&answer, texts));
        }
        let found: Embeddings = read(&answer)?;
        if found.embeddings.len() != texts.len() {
            let what = format!("{} embeddings for {} texts", found.embeddings.len(), texts.len());
            return Err(answer.unreadable(&what).into());
        }
        let vectors = found.embeddings.into_iter().map(|vector| vector.values.0);
        vectors.map(|values| embedding(SERVICE, &self.model, &values).map_err(Refusal::from)).collect()
    }
}

fn told(model: &str) -> Told {
    if model.starts_with("gemini-embedding-2") { Told::Instruction } else { Told::TaskType }
}

fn task_type(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Document => "RETRIEVAL_DOCUMENT",
        Purpose::Query => "RETRIEVAL_QUERY",
    }
}

fn instruction(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Document => "title: none | text: ",
        Purpose::Query => "task: search result | query: ",
    }
}

fn limits(model: &str, dimension: u32) -> Limits {
    let (window, extra_tokens) = match told(model) {
        Told::TaskType => (2_048, 0),
        Told::Instruction => (8_192, 10),
    };
    Limits {
        texts: BATCH.min(answer_texts(dimension, false)),
        // Nothing is published about the tokens of a whole batch; the body's size bounds them.
        tokens: usize::MAX,
        bytes: BODY_BYTES,
        text_tokens: window - extra_tokens,
        text_bytes: BODY_BYTES / 2,
        counted: window,
        extra_tokens,
        // The request around a text, with names of up to 200 bytes.
        extra_bytes: 400,
    }
}

#[derive(Serialize)]
struct Batch<'a> {
    requests: Vec<EmbedContent<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EmbedContent<'a> {
    model: &'a str,
    content: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_type: Option<&'static str>,
    output_dimensionality: u32,
}

#[derive(Serialize)]
struct Content<'a> {
    parts: [Part<'a>; 1],
}

#[derive(Serialize)]
struct Part<'a> {
    text: &'a str,
}

#[derive(Deserialize)]
struct Embeddings {
    // An answer to nothing is `{}` in the protocol's JSON; the count is checked anyway.
    #[serde(default)]
    embeddings: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    values: Values,
}

struct Asking<'a> {
    embedder: &'a GeminiEmbedder,
    purpose: Purpose,
}

impl Ask for Asking<'_> {
    type Entry = Embedding;

    async fn ask(&self, texts: &[&str]) -> Result<Vec<Embedding>, Refusal> {
        self.embedder.request(self.purpose, texts).await
    }
}

#[async_trait]
impl Embedder for GeminiEmbedder {
    fn model(&self) -> Option<&EmbeddingModel> {
        Some(&self.model)
    }

    async fn embed(&self, purpose: Purpose, texts: &[&str]) -> Result<Vec<Option<Embedding>>> {
        ask_in_parts(&Asking { embedder: self, purpose }, &self.limits, texts).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use mnemic_core::ErrorKind;

    use super::*;

    fn config() -> GeminiConfig {
        GeminiConfig::new("hush".to_owned().into())
    }

    #[test]
    fn settings_that_cannot_work_are_refused_and_no_key_is_shown() {
        let made = GeminiEmbedder::new(GeminiConfig { model: "models/gemini-embedding-2".to_owned(), ..config() });
        let made = made.unwrap();
        assert_eq!(made.model().unwrap().to_string(), "gemini/gemini-embedding-2@2048-cosine");
        assert_eq!(made.path, "/v1beta/models/gemini-embedding-2:batchEmbedContents");
        assert!(!format!("{:?} {made:?}", config()).contains("hush"));
        for (bad, field) in [
            (GeminiConfig { dimension: 127, ..config() }, "gemini.dimension"),
            (GeminiConfig { dimension: 3073, ..config() }, "gemini.dimension"),
            (GeminiConfig { model: "../files".to_owned(), ..config() }, "gemini.model"),
            (GeminiConfig { version: "v1/x".to_owned(), ..config() }, "gemini.version"),
            (GeminiConfig { key: " hush\n".to_owned().into(), ..config() }, "gemini.key"),
        ] {
            let error = GeminiEmbedder::new(bad).unwrap_err();
            assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidConfig, Some(field)), "{error}");
            assert!(!format!("{error:?}").contains("hush"), "{error:?}");
        }
    }

    #[test]
    fn the_first_model_is_told_by_task_type_and_the_second_by_words() {
        assert_eq!(told("gemini-embedding-001"), Told::TaskType);
        assert_eq!(told("gemini-embedding-2"), Told::Instruction);
        assert_eq!(told("gemini-embedding-2-preview"), Told::Instruction);
    }
}
