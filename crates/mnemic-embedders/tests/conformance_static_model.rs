//! Holds `StaticEmbedder` to the contract of embedders. Not here: the cases (`mnemic-conformance`).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{process::ExitCode, sync::Arc};

use mnemic_conformance::embedder::{self, EmbedderHarness};
use mnemic_core::ports::Embedder;
use mnemic_embedders::StaticEmbedder;

struct Static;

#[async_trait::async_trait]
impl EmbedderHarness for Static {
    async fn open(&self) -> Arc<dyn Embedder> {
        Arc::new(StaticEmbedder::new().unwrap())
    }
}

fn main() -> ExitCode {
    embedder::main(Static)
}
