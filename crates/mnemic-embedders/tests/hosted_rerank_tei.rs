//! Holds `TeiReranker` to the contract of rerankers, against the stand-in. Not here: the cases (`mnemic-conformance`).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{process::ExitCode, sync::Arc};

use mnemic_conformance::reranker::{self, RerankerHarness};
use mnemic_core::ports::Reranker;
use mnemic_embedders::{TeiReranker, TeiRerankerConfig};
use mnemic_http::Address;
use mnemic_stand_ins::{tei, vectors::StandIn};

struct Tei(StandIn);

#[async_trait::async_trait]
impl RerankerHarness for Tei {
    async fn open(&self) -> Arc<dyn Reranker> {
        let address = Address::new("test", &self.0.url()).unwrap();
        Arc::new(TeiReranker::connect(TeiRerankerConfig::new(address)).await.unwrap())
    }
}

fn main() -> ExitCode {
    reranker::main(Tei(tei::start(tei::Options { reranks: true, ..tei::Options::default() }).unwrap()))
}
