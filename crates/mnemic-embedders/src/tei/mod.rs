//! Text Embeddings Inference, a server of one's own: embeddings by its own protocol or `OpenAI`'s, and reranking (`rerank`).
//! Not here: other servers that speak `OpenAI`'s protocol (`openai`).

mod error;
mod info;
mod rerank;

use async_trait::async_trait;
use mnemic_core::{
    Embedding, EmbeddingModel, Metric, Result,
    ports::{Embedder, Purpose},
};
use mnemic_http::{Address, Answer, Call, Client, ClientConfig, SecretString};
use serde::{Deserialize, Serialize};

use crate::hosted::{
    Ask, Indexed, Limits, Refusal, Values, answer_texts, ask_in_parts, bearer, by_index, check_key, check_model,
    discovered, embedding, encoded, fingerprinted, prefixed, read, tokens, wrong_setting,
};

use info::Info;

pub use rerank::{TeiReranker, TeiRerankerConfig};

const SERVICE: &str = "Text Embeddings Inference";
/// Bytes of one body, below the server's `--payload-limit` of 2,000,000.
const BODY_BYTES: usize = 1_900_000;
/// What is embedded to learn a model's dimension.
const PROBE: &str = "dimension";

/// Which of its protocols a server is asked by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TeiRoute {
    /// `/embed`, by which a text is cut to the model's window whatever the server's settings are.
    #[default]
    Native,
    /// `/v1/embeddings`, for gateways that pass nothing else.
    OpenAi,
}

/// What an embedder by Text Embeddings Inference is made of.
#[derive(Clone, Debug)]
pub struct TeiConfig {
    /// The key, where the server wants one.
    pub key: Option<SecretString>,
    /// Where it is.
    pub address: Address,
    /// The model that it must serve; `None` for whichever it serves.
    pub model: Option<String>,
    /// Components of one embedding; `None` where the server is to be asked.
    pub dimension: Option<u32>,
    /// Whether `dimension` is asked for, which only models with a choice of dimensions take well.
    pub send_dimension: bool,
    /// Which protocol.
    pub route: TeiRoute,
    /// Put before every query, for models that want it.
    pub query_prefix: String,
    /// Put before every document, for models that want it; it marks the space's name.
    pub document_prefix: String,
}

impl TeiConfig {
    /// Whatever the server at this address serves.
    pub fn new(address: Address) -> Self {
        Self {
            key: None,
            address,
            model: None,
            dimension: None,
            send_dimension: false,
            route: TeiRoute::Native,
            query_prefix: String::new(),
            document_prefix: String::new(),
        }
    }
}

/// Embeds with the model that a server of Text Embeddings Inference serves.
#[derive(Clone, Debug)]
pub struct TeiEmbedder {
    wire: Wire,
    model: EmbeddingModel,
    limits: Limits,
}

impl TeiEmbedder {
    /// Makes it without asking the server; its limits are assumed to be the defaults of a server.
    ///
    /// # Errors
    /// `InvalidConfig`, naming the field; also where the model or the dimension is not given.
    pub fn new(config: TeiConfig) -> Result<Self> {
        let missing = |field: &str| wrong_setting(field, "one, since the server is not asked", "none");
        let dimension = config.dimension.ok_or_else(|| missing("tei.dimension"))?;
        let name = config.model.clone().ok_or_else(|| missing("tei.model"))?;
        Self::with(Wire::new(config)?, &name, dimension, &Info::default())
    }

    /// Asks the server once for its model and limits, and where the dimension is not given, for the embedding of one word.
    ///
    /// # Errors
    /// Those of [`Self::new`], `InvalidConfig` for a server of another model or of none that embeds, and what the server answers.
    pub async fn connect(config: TeiConfig) -> Result<Self> {
        let (wanted, given) = (config.model.clone(), config.dimension);
        let wire = Wire::new(config)?;
        let info = Info::ask(&wire.client).await?;
        info.must_embed()?;
        let name = info.must_serve(wanted.as_deref())?;
        let dimension = match given {
            Some(dimension) => dimension,
            None => wire.dimension().await?,
        };
        Self::with(wire, &name, dimension, &info)
    }

    fn with(wire: Wire, name: &str, dimension: u32, info: &Info) -> Result<Self> {
        check_model("tei.model", name, false)?;
        let name = fingerprinted(name, &[&wire.document_prefix]);
        let model = EmbeddingModel::new("tei", name, dimension, Metric::Cosine)
            .map_err(|error| wrong_setting("tei.dimension", "one that a model can have", error))?;
        let limits = wire.limits(info, dimension);
        Ok(Self { wire, model, limits })
    }
}

/// How the server is asked.
#[derive(Clone, Debug)]
struct Wire {
    client: Client,
    name: Option<String>,
    dimension: Option<u32>,
    route: TeiRoute,
    query_prefix: String,
    document_prefix: String,
}

fn client(key: Option<&SecretString>, address: Address) -> Result<Client> {
    if let Some(key) = key {
        check_key("tei.key", key)?;
    }
    let secret_headers = key.map(bearer).into_iter().collect();
    Client::new(ClientConfig { service: SERVICE, address, secret_headers, headers: Vec::new() })
}

impl Wire {
    fn new(config: TeiConfig) -> Result<Self> {
        Ok(Self {
            client: client(config.key.as_ref(), config.address)?,
            name: config.model,
            dimension: config.dimension.filter(|_| config.send_dimension),
            route: config.route,
            query_prefix: config.query_prefix,
            document_prefix: config.document_prefix,
        })
    }

    fn limits(&self, info: &Info, dimension: u32) -> Limits {
        let prefix = tokens(&self.query_prefix).max(tokens(&self.document_prefix));
        let window = info.max_input_length.max(16);
        let server_cuts = self.route == TeiRoute::Native || info.auto_truncate;
        Limits {
            texts: info.max_client_batch_size.clamp(1, answer_texts(dimension, self.route == TeiRoute::OpenAi)),
            // The server makes its own batches of what it is given.
            tokens: usize::MAX,
            bytes: BODY_BYTES,
            text_tokens: if server_cuts { usize::MAX } else { window.saturating_sub(prefix + 2).max(1) },
            // Eight bytes a token are more than any prose has.
            text_bytes: (window * 8).clamp(1024, BODY_BYTES / 2),
            counted: window,
            extra_tokens: prefix + 2,
            extra_bytes: 3 + self.query_prefix.len().max(self.document_prefix.len()),
        }
    }

    async fn vectors(&self, purpose: Purpose, texts: &[&str]) -> Result<Vec<Vec<f32>>, Refusal> {
        let prefix = match purpose {
            Purpose::Document => &self.document_prefix,
            Purpose::Query => &self.query_prefix,
        };
        let inputs = prefixed(prefix, texts);
        match self.route {
            TeiRoute::Native => {
                let body = EmbedBody {
                    inputs: &inputs,
                    normalize: true,
                    truncate: true,
                    truncation_direction: "Right",
                    dimensions: self.dimension,
                };
                let answer = self.asked("/embed", encoded::<Vec<u8>>(&body)?, texts).await?;
                let vectors: Vec<Values> = read(&answer)?;
                if vectors.len() != texts.len() {
                    let what = format!("{} embeddings for {} texts", vectors.len(), texts.len());
                    return Err(answer.unreadable(&what).into());
                }
                Ok(vectors.into_iter().map(|vector| vector.0).collect())
            }
            TeiRoute::OpenAi => {
                let body = OpenAiBody {
                    input: &inputs,
                    model: self.name.as_deref(),
                    encoding_format: "base64",
                    dimensions: self.dimension,
                };
                let answer = self.asked("/v1/embeddings", encoded::<Vec<u8>>(&body)?, texts).await?;
                let list: List = read(&answer)?;
                let entries = list.data.into_iter();
                let entries = entries.map(|entry| Indexed { index: entry.index, entry: entry.embedding.0 }).collect();
                Ok(by_index(&answer, texts.len(), entries)?)
            }
        }
    }

    async fn asked(&self, path: &str, body: Vec<u8>, texts: &[&str]) -> Result<Answer, Refusal> {
        let answer = self.client.send(Call::post(path, body.into())).await?;
        if answer.is_success() { Ok(answer) } else { Err(error::classify(&answer, texts)) }
    }

    async fn dimension(&self) -> Result<u32> {
        let found = match self.vectors(Purpose::Document, &[PROBE]).await {
            Ok(vectors) => vectors.first().map_or(0, Vec::len),
            Err(Refusal::TooMuch(error) | Refusal::Failed(error)) => return Err(error),
        };
        discovered(SERVICE, found)
    }
}

#[derive(Serialize)]
struct EmbedBody<'a, T: Serialize> {
    inputs: &'a [T],
    normalize: bool,
    truncate: bool,
    truncation_direction: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<u32>,
}

#[derive(Serialize)]
struct OpenAiBody<'a, T: Serialize> {
    input: &'a [T],
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    encoding_format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<u32>,
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
    embedder: &'a TeiEmbedder,
    purpose: Purpose,
}

impl Ask for Asking<'_> {
    type Entry = Embedding;

    async fn ask(&self, texts: &[&str]) -> Result<Vec<Embedding>, Refusal> {
        let vectors = self.embedder.wire.vectors(self.purpose, texts).await?;
        let made = vectors.into_iter().map(|values| embedding(SERVICE, &self.embedder.model, &values));
        Ok(made.collect::<Result<_>>()?)
    }
}

#[async_trait]
impl Embedder for TeiEmbedder {
    fn model(&self) -> Option<&EmbeddingModel> {
        Some(&self.model)
    }

    async fn embed(&self, purpose: Purpose, texts: &[&str]) -> Result<Vec<Option<Embedding>>> {
        ask_in_parts(&Asking { embedder: self, purpose }, &self.limits, texts).await
    }
}
