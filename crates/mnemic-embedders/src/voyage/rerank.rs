//! Reranking by Voyage AI. Not here: when it is asked (the manager).

use async_trait::async_trait;
use mnemic_core::{Result, ports::Reranker};
use mnemic_http::{Address, Call, Client, SecretString};
use serde::{Deserialize, Serialize};

use crate::hosted::{Ask, Indexed, Pairs, Refusal, by_index, check_model, encoded, finite, read, score_in_parts};

use super::{List, SERVICE, client, error};

/// By the beginning of the model's name: tokens of a query, of a query with one text, and of all pairs of a request.
const CEILINGS: [(&str, [usize; 3]); 5] = [
    ("rerank-2.5", [8_000, 32_000, 600_000]),
    ("rerank-2-lite", [2_000, 8_000, 600_000]),
    ("rerank-2", [4_000, 16_000, 600_000]),
    ("rerank-1", [2_000, 8_000, 300_000]),
    ("", [1_000, 4_000, 300_000]),
];

/// What a reranker by Voyage is made of.
#[derive(Clone, Debug)]
pub struct VoyageRerankerConfig {
    /// The key; one that begins with `al-` belongs to `MongoDB` Atlas.
    pub key: SecretString,
    /// The base address with its version, or `None` for the one that the key belongs to.
    pub address: Option<Address>,
    /// The model, for example `rerank-2.5`.
    pub model: String,
}

impl VoyageRerankerConfig {
    /// `rerank-2.5` where this key belongs.
    pub fn new(key: SecretString) -> Self {
        Self { key, address: None, model: "rerank-2.5".to_owned() }
    }
}

/// Scores texts with a reranker of Voyage AI, 0 to 1.
#[derive(Clone, Debug)]
pub struct VoyageReranker {
    client: Client,
    model: String,
    limits: Pairs,
}

impl VoyageReranker {
    /// Makes it. Nothing is asked yet.
    ///
    /// # Errors
    /// `InvalidConfig`, naming the field.
    pub fn new(config: VoyageRerankerConfig) -> Result<Self> {
        check_model("voyage.rerank_model", &config.model, false)?;
        let limits = limits(&config.model);
        Ok(Self { client: client(&config.key, config.address)?, model: config.model, limits })
    }

    async fn request(&self, query: &str, texts: &[&str]) -> Result<Vec<f32>, Refusal> {
        let body =
            RerankBody { query, documents: texts, model: &self.model, return_documents: false, truncation: true };
        let answer = self.client.send(Call::post("/rerank", encoded(&body)?)).await?;
        if !answer.is_success() {
            let mut sent = vec![query];
            sent.extend(texts);
            return Err(error::classify(&answer, &sent));
        }
        let list: List<RerankEntry> = read(&answer)?;
        let entries =
            list.data.into_iter().map(|entry| Indexed { index: entry.index, entry: entry.relevance_score }).collect();
        let scores = by_index(&answer, texts.len(), entries)?;
        scores.into_iter().map(|score| finite(SERVICE, score)).collect()
    }
}

fn limits(model: &str) -> Pairs {
    let listed = CEILINGS.iter().find(|(name, _)| model.starts_with(name));
    let [query_tokens, pair_tokens, tokens] = listed.map_or([1_000, 4_000, 300_000], |(_, ceilings)| *ceilings);
    Pairs { texts: 1000, query_tokens, pair_tokens, tokens, bytes: 8 * 1024 * 1024 }
}

#[derive(Serialize)]
struct RerankBody<'a> {
    query: &'a str,
    documents: &'a [&'a str],
    model: &'a str,
    return_documents: bool,
    truncation: bool,
}

#[derive(Deserialize)]
struct RerankEntry {
    relevance_score: f32,
    index: Option<u64>,
}

struct Asking<'a> {
    reranker: &'a VoyageReranker,
    query: String,
}

impl Ask for Asking<'_> {
    type Entry = f32;

    async fn ask(&self, texts: &[&str]) -> Result<Vec<f32>, Refusal> {
        self.reranker.request(&self.query, texts).await
    }
}

#[async_trait]
impl Reranker for VoyageReranker {
    async fn rerank(&self, query: &str, texts: &[&str]) -> Result<Vec<f32>> {
        score_in_parts(&self.limits, query, texts, |query| Asking { reranker: self, query }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_has_its_ceilings() {
        assert_eq!(limits("rerank-2.5-lite").query_tokens, 8_000);
        assert_eq!(limits("rerank-2-lite").query_tokens, 2_000);
        assert_eq!(limits("rerank-2").pair_tokens, 16_000);
        assert_eq!(limits("rerank-lite-1").tokens, 300_000);
    }
}
