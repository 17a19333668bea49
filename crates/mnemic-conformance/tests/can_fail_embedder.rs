//! Shows that the embedder and reranker suites can fail: true ones pass every case, and ones that break a single promise fail a case
//! of that clause. Not here: how good embeddings are.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

#[path = "can_fail/quiet.rs"]
mod quiet;

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use mnemic_conformance::{
    embedder::{self, EMBEDDER_CASES, EmbedderHarness},
    fixtures::{self, Rng},
    reranker::{self, RerankerHarness},
};
use mnemic_core::{
    Embedding, EmbeddingModel, Error, ErrorKind, Result,
    ports::{Embedder, Purpose, Reranker},
};
use mnemic_embedders::{NoneEmbedder, StaticEmbedder};

use quiet::{expect_panics_in_cases, failures};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Breach {
    SkipsEmptyTexts,
    TellsAnotherModel,
    EmbedsNothingAsSomething,
    EmbedsWithoutAModel,
    EmbedsAtRandom,
    MixesTheBatch,
    RefusesEmptyTexts,
}

const BREACHES: [(&str, Breach); 7] = [
    ("E1", Breach::SkipsEmptyTexts),
    ("E2", Breach::TellsAnotherModel),
    ("E3", Breach::EmbedsNothingAsSomething),
    ("E4", Breach::EmbedsWithoutAModel),
    ("E5", Breach::EmbedsAtRandom),
    ("E6", Breach::MixesTheBatch),
    ("E7", Breach::RefusesEmptyTexts),
];

/// A true embedder with one promise broken.
#[derive(Debug)]
struct Mutant(Breach, StaticEmbedder, EmbeddingModel);

impl Mutant {
    fn bend(&self, texts: &[&str], entries: &mut Vec<Option<Embedding>>) {
        let model = self.1.model().unwrap();
        let first = Embedding::new(model, vec![1.0; model.dimension() as usize]).unwrap();
        match self.0 {
            Breach::SkipsEmptyTexts => entries.retain(Option::is_some),
            Breach::EmbedsNothingAsSomething => {
                for entry in entries.iter_mut() {
                    entry.get_or_insert_with(|| first.clone());
                }
            }
            Breach::EmbedsAtRandom => {
                let seed = |text: &str| text.bytes().fold(7u64, |hash, byte| hash.wrapping_mul(31) + u64::from(byte));
                *entries = texts.iter().map(|t| Some(fixtures::embedding(&mut Rng::new(seed(t)), model))).collect();
            }
            Breach::MixesTheBatch => {
                for embedding in entries.iter_mut().flatten() {
                    let mut components = embedding.components().to_vec();
                    components[0] += texts.len() as f32 * 1e-4;
                    *embedding = Embedding::new(model, components).unwrap();
                }
            }
            Breach::TellsAnotherModel | Breach::EmbedsWithoutAModel | Breach::RefusesEmptyTexts => {}
        }
    }
}

#[async_trait]
impl Embedder for Mutant {
    fn model(&self) -> Option<&EmbeddingModel> {
        match self.0 {
            Breach::TellsAnotherModel => Some(&self.2),
            Breach::EmbedsWithoutAModel => None,
            _ => self.1.model(),
        }
    }

    async fn embed(&self, purpose: Purpose, texts: &[&str]) -> Result<Vec<Option<Embedding>>> {
        if self.0 == Breach::RefusesEmptyTexts && texts.iter().any(|text| text.is_empty()) {
            return Err(Error::new(ErrorKind::InvalidInput, "texts: expected text, found nothing"));
        }
        let mut entries = self.1.embed(purpose, texts).await?;
        self.bend(texts, &mut entries);
        Ok(entries)
    }
}

struct True;

#[async_trait]
impl EmbedderHarness for True {
    async fn open(&self) -> Arc<dyn Embedder> {
        Arc::new(StaticEmbedder::new().unwrap())
    }
}

struct WithoutModel;

#[async_trait]
impl EmbedderHarness for WithoutModel {
    async fn open(&self) -> Arc<dyn Embedder> {
        Arc::new(NoneEmbedder)
    }
}

struct Broken(Breach);

#[async_trait]
impl EmbedderHarness for Broken {
    async fn open(&self) -> Arc<dyn Embedder> {
        Arc::new(Mutant(self.0, StaticEmbedder::new().unwrap(), fixtures::model()))
    }
}

#[test]
fn true_embedders_pass_every_case_with_a_model_and_without() {
    let outcomes = [embedder::run_all(True), embedder::run_all(WithoutModel)].concat();
    assert_eq!(outcomes.len(), 2 * EMBEDDER_CASES.len());
    assert_eq!(failures(&outcomes), [""; 0]);
}

#[test]
fn every_broken_promise_fails_a_case_of_its_clause() {
    expect_panics_in_cases();
    for (tag, breach) in BREACHES {
        let outcomes = embedder::run_where(Broken(breach), |case| case.tag == tag);
        assert!(!failures(&outcomes).is_empty(), "{breach:?} passes every case of [{tag}]");
    }
    let broken: BTreeSet<&str> = BREACHES.iter().map(|(tag, _)| *tag).collect();
    assert_eq!(broken, EMBEDDER_CASES.iter().map(|case| case.tag).collect());
}

/// Counts the letters that a text shares with the query. The broken one forgets empty texts.
#[derive(Clone, Copy, Debug)]
struct Letters {
    forgetful: bool,
}

#[async_trait]
impl Reranker for Letters {
    async fn rerank(&self, query: &str, texts: &[&str]) -> Result<Vec<f32>> {
        let kept = texts.iter().filter(|text| !self.forgetful || !text.is_empty());
        Ok(kept.map(|text| text.chars().filter(|c| query.contains(*c)).count() as f32).collect())
    }
}

#[async_trait]
impl RerankerHarness for Letters {
    async fn open(&self) -> Arc<dyn Reranker> {
        Arc::new(*self)
    }
}

#[test]
fn a_reranker_passes_unless_it_forgets_a_text() {
    expect_panics_in_cases();
    assert_eq!(failures(&reranker::run_all(Letters { forgetful: false })), [""; 0]);
    assert!(!failures(&reranker::run_all(Letters { forgetful: true })).is_empty());
}
