//! Holds `TeiEmbedder` to the contract of embedders, against the stand-in. Not here: the cases (`mnemic-conformance`).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{process::ExitCode, sync::Arc};

use mnemic_conformance::embedder::{self, EmbedderHarness};
use mnemic_core::ports::Embedder;
use mnemic_embedders::{TeiConfig, TeiEmbedder};
use mnemic_http::Address;
use mnemic_stand_ins::{tei, vectors::StandIn};

struct Tei(StandIn);

#[async_trait::async_trait]
impl EmbedderHarness for Tei {
    async fn open(&self) -> Arc<dyn Embedder> {
        let address = Address::new("test", &self.0.url()).unwrap();
        Arc::new(TeiEmbedder::connect(TeiConfig::new(address)).await.unwrap())
    }
}

fn main() -> ExitCode {
    embedder::main(Tei(tei::start(tei::Options::default()).unwrap()))
}
