//! Holds `VoyageEmbedder` to the contract of embedders, against the stand-in. Not here: the cases (`mnemic-conformance`).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{process::ExitCode, sync::Arc};

use mnemic_conformance::embedder::{self, EmbedderHarness};
use mnemic_core::ports::Embedder;
use mnemic_embedders::{VoyageConfig, VoyageEmbedder};
use mnemic_http::Address;
use mnemic_stand_ins::{vectors::StandIn, voyage};

struct Voyage(StandIn);

#[async_trait::async_trait]
impl EmbedderHarness for Voyage {
    async fn open(&self) -> Arc<dyn Embedder> {
        let address = Address::new("test", &format!("{}/v1", self.0.url())).unwrap();
        let config = VoyageConfig { address: Some(address), ..VoyageConfig::new("pa-test".to_owned().into()) };
        Arc::new(VoyageEmbedder::new(config).unwrap())
    }
}

fn main() -> ExitCode {
    embedder::main(Voyage(voyage::start(voyage::Options::default()).unwrap()))
}
