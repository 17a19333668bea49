//! Holds `VoyageReranker` to the contract of rerankers, against the stand-in. Not here: the cases (`mnemic-conformance`).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{process::ExitCode, sync::Arc};

use mnemic_conformance::reranker::{self, RerankerHarness};
use mnemic_core::ports::Reranker;
use mnemic_embedders::{VoyageReranker, VoyageRerankerConfig};
use mnemic_http::Address;
use mnemic_stand_ins::{vectors::StandIn, voyage};

struct Voyage(StandIn);

#[async_trait::async_trait]
impl RerankerHarness for Voyage {
    async fn open(&self) -> Arc<dyn Reranker> {
        let address = Address::new("test", &format!("{}/v1", self.0.url())).unwrap();
        let own = VoyageRerankerConfig::new("pa-test".to_owned().into());
        Arc::new(VoyageReranker::new(VoyageRerankerConfig { address: Some(address), ..own }).unwrap())
    }
}

fn main() -> ExitCode {
    reranker::main(Voyage(voyage::start(voyage::Options::default()).unwrap()))
}
