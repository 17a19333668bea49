//! Holds `OpenAiEmbedder` to the contract of embedders, against the stand-in. Not here: the cases (`mnemic-conformance`).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{process::ExitCode, sync::Arc};

use mnemic_conformance::embedder::{self, EmbedderHarness};
use mnemic_core::ports::Embedder;
use mnemic_embedders::{OpenAiConfig, OpenAiEmbedder};
use mnemic_http::Address;
use mnemic_stand_ins::{openai, vectors::StandIn};

struct OpenAi(StandIn);

#[async_trait::async_trait]
impl EmbedderHarness for OpenAi {
    async fn open(&self) -> Arc<dyn Embedder> {
        let address = Address::new("test", &format!("{}/v1", self.0.url())).unwrap();
        let config = OpenAiConfig { address: Some(address), ..OpenAiConfig::new("sk-test".to_owned().into()) };
        Arc::new(OpenAiEmbedder::new(config).unwrap())
    }
}

fn main() -> ExitCode {
    embedder::main(OpenAi(openai::start(openai::Options::of(openai::Flavour::OpenAi)).unwrap()))
}
