//! Reranking by a server of Text Embeddings Inference. Not here: when it is asked (the manager).

use async_trait::async_trait;
use mnemic_core::{Result, ports::Reranker};
use mnemic_http::{Address, Call, Client, SecretString};
use serde::{Deserialize, Serialize};

use crate::hosted::{Ask, Indexed, Pairs, Refusal, by_index, encoded, finite, read, score_in_parts};

use super::{BODY_BYTES, SERVICE, client, error, info::Info};

/// What a reranker by Text Embeddings Inference is made of.
#[derive(Clone, Debug)]
pub struct TeiRerankerConfig {
    /// The key, where the server wants one.
    pub key: Option<SecretString>,
    /// Where it is.
    pub address: Address,
    /// The model that it must serve; `None` for whichever it serves.
    pub model: Option<String>,
}

impl TeiRerankerConfig {
    /// Whatever the server at this address serves.
    pub fn new(address: Address) -> Self {
        Self { key: None, address, model: None }
    }
}

/// Scores texts with the model that a server of Text Embeddings Inference serves, 0 to 1.
#[derive(Clone, Debug)]
pub struct TeiReranker {
    client: Client,
    limits: Pairs,
}

impl TeiReranker {
    /// Makes it without asking the server; its limits are assumed to be the defaults of a server.
    ///
    /// # Errors
    /// `InvalidConfig`, naming the field.
    pub fn new(config: TeiRerankerConfig) -> Result<Self> {
        Ok(Self { client: client(config.key.as_ref(), config.address)?, limits: limits(&Info::default()) })
    }

    /// Asks the server once for its model and limits.
    ///
    /// # Errors
    /// Those of [`Self::new`], `InvalidConfig` for a server of another model or of none that reranks, and what the server answers.
    pub async fn connect(config: TeiRerankerConfig) -> Result<Self> {
        let client = client(config.key.as_ref(), config.address)?;
        let info = Info::ask(&client).await?;
        info.must_rerank()?;
        info.must_serve(config.model.as_deref())?;
        Ok(Self { client, limits: limits(&info) })
    }

    async fn request(&self, query: &str, texts: &[&str]) -> Result<Vec<f32>, Refusal> {
        let body = RerankBody {
            query,
            texts,
            raw_scores: false,
            return_text: false,
            truncate: true,
            truncation_direction: "Right",
        };
        let answer = self.client.send(Call::post("/rerank", encoded(&body)?)).await?;
        if !answer.is_success() {
            let mut sent = vec![query];
            sent.extend(texts);
            return Err(error::classify(&answer, &sent));
        }
        let ranks: Vec<Rank> = read(&answer)?;
        let entries = ranks.into_iter().map(|rank| Indexed { index: rank.index, entry: rank.score }).collect();
        let scores = by_index(&answer, texts.len(), entries)?;
        scores.into_iter().map(|score| finite(SERVICE, score)).collect()
    }
}

/// The server cuts a pair to its window, so only what it could not read at all is left out here: eight bytes a token are more
/// than any prose has, and a query may not take more than half of the window.
fn limits(info: &Info) -> Pairs {
    let window = info.max_input_length.max(16);
    Pairs {
        texts: info.max_client_batch_size.max(1),
        query_tokens: window / 2,
        pair_tokens: window.saturating_mul(4),
        tokens: usize::MAX,
        bytes: BODY_BYTES,
    }
}

#[derive(Serialize)]
struct RerankBody<'a> {
    query: &'a str,
    texts: &'a [&'a str],
    raw_scores: bool,
    return_text: bool,
    truncate: bool,
    truncation_direction: &'static str,
}

#[derive(Deserialize)]
struct Rank {
    index: Option<u64>,
    score: f32,
}

struct Asking<'a> {
    reranker: &'a TeiReranker,
    query: String,
}

impl Ask for Asking<'_> {
    type Entry = f32;

    async fn ask(&self, texts: &[&str]) -> Result<Vec<f32>, Refusal> {
        self.reranker.request(&self.query, texts).await
    }
}

#[async_trait]
impl Reranker for TeiReranker {
    async fn rerank(&self, query: &str, texts: &[&str]) -> Result<Vec<f32>> {
        score_in_parts(&self.limits, query, texts, |query| Asking { reranker: self, query }).await
    }
}
