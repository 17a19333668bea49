//! Voyage AI over HTTP: embeddings, and reranking (`rerank`). Not here: keys from the environment (the facade's configuration).

mod error;
mod rerank;

use async_trait::async_trait;
use mnemic_core::{
    Embedding, EmbeddingModel, Metric, Result,
    ports::{Embedder, Purpose},
};
use mnemic_http::{Address, Call, Client, ClientConfig, SecretString};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use crate::hosted::{
    Ask, Indexed, Limits, Refusal, Values, answer_texts, ask_in_parts, bearer, by_index, check_key, check_model,
    embedding, encoded, read, wrong_setting,
};

pub use rerank::{VoyageReranker, VoyageRerankerConfig};

const SERVICE: &str = "Voyage";
const ADDRESS: &str = "https://api.voyageai.com/v1";
/// Keys of `MongoDB` Atlas work only there.
const ATLAS_ADDRESS: &str = "https://ai.mongodb.com/v1";
const ATLAS_KEY: &str = "al-";

/// Tokens that one request may hold, and tokens of one text that the model reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ceilings {
    batch: usize,
    window: usize,
}

/// By model; what is not listed is held to the smallest.
const CEILINGS: [(&str, Ceilings); 11] = [
    ("voyage-4-large", Ceilings { batch: 120_000, window: 32_000 }),
    ("voyage-4", Ceilings { batch: 320_000, window: 32_000 }),
    ("voyage-4-lite", Ceilings { batch: 1_000_000, window: 32_000 }),
    ("voyage-3-large", Ceilings { batch: 120_000, window: 32_000 }),
    ("voyage-3.5", Ceilings { batch: 320_000, window: 32_000 }),
    ("voyage-3.5-lite", Ceilings { batch: 1_000_000, window: 32_000 }),
    ("voyage-code-3", Ceilings { batch: 120_000, window: 32_000 }),
    ("voyage-finance-2", Ceilings { batch: 120_000, window: 32_000 }),
    ("voyage-law-2", Ceilings { batch: 120_000, window: 16_000 }),
    ("voyage-2", Ceilings { batch: 320_000, window: 4_000 }),
    ("", Ceilings { batch: 120_000, window: 32_000 }),
];

/// The dimensions that models with a choice offer.
const DIMENSIONS: [u32; 4] = [256, 512, 1024, 2048];
const FLEXIBLE: [&str; 8] = [
    "voyage-4-large",
    "voyage-4",
    "voyage-4-lite",
    "voyage-3-large",
    "voyage-3.5",
    "voyage-3.5-lite",
    "voyage-code-3",
    "voyage-code-4",
];
/// Models of one dimension, which refuse to be asked for it.
const FIXED: [(&str, u32); 3] = [("voyage-finance-2", 1024), ("voyage-law-2", 1024), ("voyage-2", 1024)];

/// What an embedder by Voyage is made of.
#[derive(Clone, Debug)]
pub struct VoyageConfig {
    /// The key; one that begins with `al-` belongs to `MongoDB` Atlas.
    pub key: SecretString,
    /// The base address with its version, or `None` for the one that the key belongs to.
    pub address: Option<Address>,
    /// The model, for example `voyage-3-large`.
    pub model: String,
    /// Components of one embedding: 256, 512, 1024 or 2048 with the current models.
    pub dimension: u32,
}

impl VoyageConfig {
    /// `voyage-3-large` with 2,048 dimensions where this key belongs.
    pub fn new(key: SecretString) -> Self {
        Self { key, address: None, model: "voyage-3-large".to_owned(), dimension: 2048 }
    }
}

/// Embeds with a model of Voyage AI.
#[derive(Clone, Debug)]
pub struct VoyageEmbedder {
    client: Client,
    model: EmbeddingModel,
    limits: Limits,
}

impl VoyageEmbedder {
    /// Makes it. Nothing is asked yet.
    ///
    /// # Errors
    /// `InvalidConfig`, naming the field.
    pub fn new(config: VoyageConfig) -> Result<Self> {
        check_model("voyage.model", &config.model, false)?;
        if FLEXIBLE.contains(&config.model.as_str()) && !DIMENSIONS.contains(&config.dimension) {
            let expected = format!("256, 512, 1024 or 2048 (model {})", config.model);
            return Err(wrong_setting("voyage.dimension", &expected, config.dimension));
        }
        if let Some((name, own)) = FIXED.iter().find(|(name, own)| *name == config.model && *own != config.dimension) {
            return Err(wrong_setting("voyage.dimension", &format!("{own} (model {name})"), config.dimension));
        }
        let model = EmbeddingModel::new("voyage", config.model, config.dimension, Metric::Cosine)
            .map_err(|error| wrong_setting("voyage.dimension", "one that a model can have", error))?;
        let limits = limits(model.name(), config.dimension);
        Ok(Self { client: client(&config.key, config.address)?, model, limits })
    }

    async fn request(&self, purpose: Purpose, texts: &[&str]) -> Result<Vec<Embedding>, Refusal> {
        let body = EmbedBody {
            input: texts,
            model: self.model.name(),
            input_type: match purpose {
                Purpose::Document => "document",
                Purpose::Query => "query",
            },
            truncation: true,
            output_dimension: Some(self.model.dimension()).filter(|_| !is_fixed(self.model.name())),
            output_dtype: "float",
            encoding_format: "base64",
        };
        let answer = self.client.send(Call::post("/embeddings", encoded(&body)?)).await?;
        if !answer.is_success() {
            return Err(error::classify(&answer, texts));
        }
        let list: List<EmbedEntry> = read(&answer)?;
        let entries =
            list.data.into_iter().map(|entry| Indexed { index: entry.index, entry: entry.embedding.0 }).collect();
        let vectors = by_index(&answer, texts.len(), entries)?;
        vectors.into_iter().map(|values| embedding(SERVICE, &self.model, &values).map_err(Refusal::from)).collect()
    }
}

fn client(key: &SecretString, address: Option<Address>) -> Result<Client> {
    check_key("voyage.key", key)?;
    let own = if key.expose_secret().starts_with(ATLAS_KEY) { ATLAS_ADDRESS } else { ADDRESS };
    let address = address.map_or_else(|| Address::new("voyage.address", own), Ok)?;
    Client::new(ClientConfig { service: SERVICE, address, secret_headers: vec![bearer(key)], headers: Vec::new() })
}

fn is_fixed(model: &str) -> bool {
    FIXED.iter().any(|(name, _)| *name == model)
}

fn ceilings(model: &str) -> Ceilings {
    let listed = CEILINGS.iter().find(|(name, _)| *name == model || name.is_empty());
    listed.map_or(Ceilings { batch: 120_000, window: 16_000 }, |(_, ceilings)| *ceilings)
}

fn limits(model: &str, dimension: u32) -> Limits {
    let Ceilings { batch, window } = ceilings(model);
    Limits {
        texts: 1000.min(answer_texts(dimension, true)),
        tokens: batch,
        bytes: 8 * 1024 * 1024,
        // The vendor cuts a text where its own tokenizer says and counts what is left. No text is sent of which it could
        // not read a good part: eight bytes a token are more than any prose has.
        text_tokens: usize::MAX,
        text_bytes: window * 8,
        counted: window,
        // The prompts that `input_type` puts before a text, and the marks around it.
        extra_tokens: 12,
        extra_bytes: 3,
    }
}

#[derive(Serialize)]
struct EmbedBody<'a> {
    input: &'a [&'a str],
    model: &'a str,
    input_type: &'static str,
    truncation: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimension: Option<u32>,
    output_dtype: &'static str,
    encoding_format: &'static str,
}

#[derive(Deserialize)]
struct List<T> {
    data: Vec<T>,
}

#[derive(Deserialize)]
struct EmbedEntry {
    embedding: Values,
    index: Option<u64>,
}

struct Asking<'a> {
    embedder: &'a VoyageEmbedder,
    purpose: Purpose,
}

impl Ask for Asking<'_> {
    type Entry = Embedding;

    async fn ask(&self, texts: &[&str]) -> Result<Vec<Embedding>, Refusal> {
        self.embedder.request(self.purpose, texts).await
    }
}

#[async_trait]
impl Embedder for VoyageEmbedder {
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

    fn config() -> VoyageConfig {
        VoyageConfig::new("pa-hush".to_owned().into())
    }

    #[test]
    fn the_key_chooses_the_host_and_an_address_overrides_it() {
        let host = |key: &str, address: Option<&str>| {
            let address = address.map(|address| Address::new("a", address).unwrap());
            client(&key.to_owned().into(), address).unwrap().address().host().to_owned()
        };
        assert_eq!(host("pa-x", None), "api.voyageai.com");
        assert_eq!(host("al-x", None), "ai.mongodb.com");
        assert_eq!(host("al-x", Some("http://127.0.0.1:1/v1")), "127.0.0.1");
    }

    #[test]
    fn settings_that_cannot_work_are_refused_and_no_key_is_shown() {
        let made = VoyageEmbedder::new(config()).unwrap();
        assert_eq!(made.model().unwrap().to_string(), "voyage/voyage-3-large@2048-cosine");
        assert!(!format!("{:?} {made:?}", config()).contains("hush"));
        for (bad, field) in [
            (VoyageConfig { dimension: 1000, ..config() }, "voyage.dimension"),
            (VoyageConfig { model: "voyage-law-2".to_owned(), ..config() }, "voyage.dimension"),
            (VoyageConfig { dimension: 0, model: "voyage-9".to_owned(), ..config() }, "voyage.dimension"),
            (VoyageConfig { model: " ".to_owned(), ..config() }, "voyage.model"),
            (VoyageConfig { key: "hush hush".to_owned().into(), ..config() }, "voyage.key"),
            (VoyageConfig { key: String::new().into(), ..config() }, "voyage.key"),
        ] {
            let error = VoyageEmbedder::new(bad).unwrap_err();
            assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidConfig, Some(field)), "{error}");
            assert!(!format!("{error:?}").contains("hush"), "{error:?}");
        }
    }

    #[test]
    fn every_model_has_its_ceilings_and_an_unknown_one_the_smallest() {
        assert_eq!(ceilings("voyage-3-large").batch, 120_000);
        assert_eq!(ceilings("voyage-3.5").batch, 320_000);
        assert_eq!(ceilings("voyage-4-lite").batch, 1_000_000);
        assert_eq!(ceilings("voyage-9").batch, 120_000);
        assert_eq!(limits("voyage-3-large", 2048).texts, 1000);
    }
}
