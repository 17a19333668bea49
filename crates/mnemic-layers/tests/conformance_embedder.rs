//! Holds a cached, guarded embedder to the contract of embedders. Not here: the cases (`mnemic-conformance`).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{process::ExitCode, sync::Arc};

use mnemic_conformance::embedder::{self, EmbedderHarness};
use mnemic_core::ports::Embedder;
use mnemic_embedders::StaticEmbedder;
use mnemic_layers::{Backend, CacheConfig, Cached, Guarded, Profile, RateConfig};

struct CachedEmbedder;

#[async_trait::async_trait]
impl EmbedderHarness for CachedEmbedder {
    async fn open(&self) -> Arc<dyn Embedder> {
        let inner: Arc<dyn Embedder> = Arc::new(StaticEmbedder::new().unwrap());
        let rate = RateConfig { requests: None, tokens: Some(u32::MAX) };
        let guarded = Guarded::new(inner, Backend::new("static", Profile::embedder().limited(rate)));
        Arc::new(Cached::new(Arc::new(guarded), CacheConfig::default()))
    }
}

fn main() -> ExitCode {
    embedder::main(CachedEmbedder)
}
