//! Holds `NoneEmbedder` to the contract of embedders. Not here: the cases (`mnemic-conformance`).

use std::{process::ExitCode, sync::Arc};

use mnemic_conformance::embedder::{self, EmbedderHarness};
use mnemic_core::ports::Embedder;
use mnemic_embedders::NoneEmbedder;

struct Nothing;

#[async_trait::async_trait]
impl EmbedderHarness for Nothing {
    async fn open(&self) -> Arc<dyn Embedder> {
        Arc::new(NoneEmbedder)
    }
}

fn main() -> ExitCode {
    embedder::main(Nothing)
}
