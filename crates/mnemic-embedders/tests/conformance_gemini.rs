//! Holds `GeminiEmbedder` to the contract of embedders, against the stand-in. Not here: the cases (`mnemic-conformance`).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{process::ExitCode, sync::Arc};

use mnemic_conformance::embedder::{self, EmbedderHarness};
use mnemic_core::ports::Embedder;
use mnemic_embedders::{GeminiConfig, GeminiEmbedder};
use mnemic_http::Address;
use mnemic_stand_ins::{gemini, vectors::StandIn};

struct Gemini(StandIn);

#[async_trait::async_trait]
impl EmbedderHarness for Gemini {
    async fn open(&self) -> Arc<dyn Embedder> {
        let address = Address::new("test", &self.0.url()).unwrap();
        let config = GeminiConfig { address: Some(address), ..GeminiConfig::new("test".to_owned().into()) };
        Arc::new(GeminiEmbedder::new(config).unwrap())
    }
}

fn main() -> ExitCode {
    embedder::main(Gemini(gemini::start(gemini::Options::default()).unwrap()))
}
