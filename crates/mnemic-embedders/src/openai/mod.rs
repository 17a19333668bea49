//! Embeddings over `OpenAI`'s protocol: `OpenAI` itself, Ollama, `vLLM` and others by profile.
//! Not here: Text Embeddings Inference, whose own protocol tells more (`tei`).

mod error;
mod profile;

use async_trait::async_trait;
use mnemic_core::{
    Embedding, EmbeddingModel, Metric, Result,
    ports::{Embedder, Purpose},
};
use mnemic_http::{Address, Call, Client, ClientConfig, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::hosted::{
    Ask, Indexed, Limits, Refusal, Values, answer_texts, ask_in_parts, bearer, by_index, check_key, check_model,
    discovered, embedding, encoded, fingerprinted, prefixed, read, tokens, wrong_setting,
};

pub use profile::OpenAiProfile;

const ADDRESS: &str = "https://api.openai.com/v1";
/// What the adapter sends itself.
const RESERVED: [&str; 4] = ["model", "input", "encoding_format", "dimensions"];
/// What is embedded to learn a model's dimension.
const PROBE: &str = "dimension";

/// What an embedder over `OpenAI`'s protocol is made of.
#[derive(Clone, Debug)]
pub struct OpenAiConfig {
    /// The key, where the server wants one.
    pub key: Option<SecretString>,
    /// The base address with its version, or `None` for `OpenAI`'s.
    pub address: Option<Address>,
    /// The model, for example `text-embedding-3-large`.
    pub model: String,
    /// Components of one embedding; `None` where the server is to be asked.
    pub dimension: Option<u32>,
    /// What the server accepts.
    pub profile: OpenAiProfile,
}

impl OpenAiConfig {
    /// `text-embedding-3-large` with 2,048 dimensions by `OpenAI`.
    pub fn new(key: SecretString) -> Self {
        Self {
            key: Some(key),
            address: None,
            model: "text-embedding-3-large".to_owned(),
            dimension: Some(2048),
            profile: OpenAiProfile::open_ai(),
        }
    }

    /// A server of one's own, whose dimension is asked for.
    pub fn at(address: Address, model: impl Into<String>, profile: OpenAiProfile) -> Self {
        Self { key: None, address: Some(address), model: model.into(), dimension: None, profile }
    }
}

/// Embeds with any model behind `OpenAI`'s protocol.
#[derive(Clone, Debug)]
pub struct OpenAiEmbedder {
    wire: Wire,
    model: EmbeddingModel,
    limits: Limits,
}

impl OpenAiEmbedder {
    /// Makes it. Nothing is asked yet.
    ///
    /// # Errors
    /// `InvalidConfig`, naming the field; also where the dimension is not given.
    pub fn new(config: OpenAiConfig) -> Result<Self> {
        let dimension = config.dimension;
        let dimension =
            dimension.ok_or_else(|| wrong_setting("openai.dimension", "the dimension of the model", "none"))?;
        Self::with(Wire::new(config)?, dimension)
    }

    /// Makes it; where the dimension is not given, one word is embedded to learn it.
    ///
    /// # Errors
    /// Those of [`Self::new`], and what the server answers.
    pub async fn discover(config: OpenAiConfig) -> Result<Self> {
        let given = config.dimension;
        let wire = Wire::new(config)?;
        let dimension = match given {
            Some(dimension) => dimension,
            None => wire.dimension().await?,
        };
        Self::with(wire, dimension)
    }

    fn with(wire: Wire, dimension: u32) -> Result<Self> {
        let marks = wire.profile.document_marks();
        let name = fingerprinted(&wire.name, &marks.each_ref().map(String::as_str));
        let model = EmbeddingModel::new(wire.profile.provider.clone(), name, dimension, Metric::Cosine)
            .map_err(|error| wrong_setting("openai.dimension", "one that a model can have", error))?;
        let limits = limits(&wire.profile, dimension);
        Ok(Self { wire, model, limits })
    }
}

fn limits(profile: &OpenAiProfile, dimension: u32) -> Limits {
    let prefix = tokens(&profile.query_prefix).max(tokens(&profile.document_prefix));
    // Marks around a text are counted by some servers.
    let extra_tokens = prefix + 4;
    let text_tokens = profile.text_tokens.saturating_sub(extra_tokens).max(1);
    Limits {
        texts: profile.batch_texts.clamp(1, answer_texts(dimension, profile.base64)),
        tokens: profile.batch_tokens,
        bytes: 8 * 1024 * 1024,
        text_tokens,
        text_bytes: 4 * 1024 * 1024,
        counted: text_tokens,
        extra_tokens,
        extra_bytes: 3 + profile.query_prefix.len().max(profile.document_prefix.len()),
    }
}

/// How the server is asked.
#[derive(Clone, Debug)]
struct Wire {
    client: Client,
    name: String,
    /// Sent with every request where it is there.
    dimension: Option<u32>,
    profile: OpenAiProfile,
}

impl Wire {
    fn new(config: OpenAiConfig) -> Result<Self> {
        check_model("openai.model", &config.model, false)?;
        if let Some(key) = &config.key {
            check_key("openai.key", key)?;
        }
        if let Some(reserved) = RESERVED.iter().find(|name| config.profile.extra.contains_key(**name)) {
            return Err(wrong_setting("openai.extra", "members that are not sent anyway", format!("`{reserved}`")));
        }
        let address = config.address.map_or_else(|| Address::new("openai.address", ADDRESS), Ok)?;
        let secret_headers = config.key.iter().map(bearer).collect();
        let service = config.profile.service;
        let client = Client::new(ClientConfig { service, address, secret_headers, headers: Vec::new() })?;
        // What was asked for is sent; what was discovered is what comes without asking.
        let dimension = config.dimension.filter(|_| config.profile.dimensions);
        Ok(Self { client, name: config.model, dimension, profile: config.profile })
    }

    async fn vectors(&self, purpose: Purpose, texts: &[&str]) -> Result<Vec<Vec<f32>>, Refusal> {
        let prefix = match purpose {
            Purpose::Document => &self.profile.document_prefix,
            Purpose::Query => &self.profile.query_prefix,
        };
        let input = prefixed(prefix, texts);
        let body = EmbedBody {
            input: &input,
            model: &self.name,
            encoding_format: self.profile.base64.then_some("base64"),
            dimensions: self.dimension,
            extra: &self.profile.extra,
        };
        let answer = self.client.send(Call::post("/embeddings", encoded(&body)?)).await?;
        if !answer.is_success() {
            return Err(error::classify(&answer, (self.profile.service, &self.name), texts));
        }
        let list: List = read(&answer)?;
        let entries =
            list.data.into_iter().map(|entry| Indexed { index: entry.index, entry: entry.embedding.0 }).collect();
        Ok(by_index(&answer, texts.len(), entries)?)
    }

    async fn dimension(&self) -> Result<u32> {
        let found = match self.vectors(Purpose::Document, &[PROBE]).await {
            Ok(vectors) => vectors.first().map_or(0, Vec::len),
            Err(Refusal::TooMuch(error) | Refusal::Failed(error)) => return Err(error),
        };
        discovered(self.profile.service, found)
    }
}

#[derive(Serialize)]
struct EmbedBody<'a, T: Serialize> {
    input: &'a [T],
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding_format: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<u32>,
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

#[derive(Deserialize)]
struct List {
    data: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    embedding: Values,
    index: Option<u64>,
}

struct Asking<'a> {
    embedder: &'a OpenAiEmbedder,
    purpose: Purpose,
}

impl Ask for Asking<'_> {
    type Entry = Embedding;

    async fn ask(&self, texts: &[&str]) -> Result<Vec<Embedding>, Refusal> {
        let OpenAiEmbedder { wire, model, .. } = self.embedder;
        let vectors = wire.vectors(self.purpose, texts).await?;
        let made = vectors.into_iter().map(|values| embedding(wire.profile.service, model, &values));
        Ok(made.collect::<Result<_>>()?)
    }
}

#[async_trait]
impl Embedder for OpenAiEmbedder {
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

    fn config() -> OpenAiConfig {
        OpenAiConfig::new("hush".to_owned().into())
    }

    fn name(profile: OpenAiProfile) -> String {
        OpenAiEmbedder::new(OpenAiConfig { profile, ..config() }).unwrap().model().unwrap().to_string()
    }

    #[test]
    fn the_identity_names_no_host_and_changes_with_what_changes_vectors() {
        assert_eq!(name(OpenAiProfile::open_ai()), "openai/text-embedding-3-large@2048-cosine");
        assert_eq!(name(OpenAiProfile::vllm()), "vllm/text-embedding-3-large@2048-cosine", "cutting marks no space");
        let prefixed = OpenAiProfile { document_prefix: "passage: ".to_owned(), ..OpenAiProfile::ollama() };
        let queries = OpenAiProfile { query_prefix: "query: ".to_owned(), ..OpenAiProfile::ollama() };
        let extra = Map::from_iter([("task".to_owned(), "retrieval.passage".into())]);
        let task = OpenAiProfile { extra, ..OpenAiProfile::ollama() };
        let plain = name(OpenAiProfile::ollama());
        assert_eq!(name(queries), plain);
        assert!(name(prefixed.clone()) != plain && name(task.clone()) != plain && name(prefixed) != name(task));
    }

    #[test]
    fn settings_that_cannot_work_are_refused_and_no_key_is_shown() {
        assert!(!format!("{:?} {:?}", config(), OpenAiEmbedder::new(config()).unwrap()).contains("hush"));
        let extra = Map::from_iter([("input".to_owned(), 1.into())]);
        for (bad, field) in [
            (OpenAiConfig { dimension: None, ..config() }, "openai.dimension"),
            (OpenAiConfig { dimension: Some(0), ..config() }, "openai.dimension"),
            (OpenAiConfig { model: String::new(), ..config() }, "openai.model"),
            (OpenAiConfig { key: Some("hush\n".to_owned().into()), ..config() }, "openai.key"),
            (OpenAiConfig { profile: OpenAiProfile { extra, ..OpenAiProfile::generic() }, ..config() }, "openai.extra"),
        ] {
            let error = OpenAiEmbedder::new(bad).unwrap_err();
            assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidConfig, Some(field)), "{error}");
            assert!(!format!("{error:?}").contains("hush"), "{error:?}");
        }
    }

    #[test]
    fn nothing_is_sent_that_the_profile_does_not_allow() {
        let body = |profile: &OpenAiProfile, dimensions| {
            let body = EmbedBody {
                input: &["a"],
                model: "m",
                encoding_format: profile.base64.then_some("base64"),
                dimensions,
                extra: &profile.extra,
            };
            serde_json::to_string(&body).unwrap()
        };
        assert_eq!(body(&OpenAiProfile::generic(), None), r#"{"input":["a"],"model":"m"}"#);
        let all = body(&OpenAiProfile::vllm(), Some(8));
        let wanted =
            r#"{"input":["a"],"model":"m","encoding_format":"base64","dimensions":8,"truncate_prompt_tokens":-1}"#;
        assert_eq!(all, wanted);
    }
}
