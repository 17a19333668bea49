//! Holds `PineconeIndex` to the contract of indexes, against a stand-in whose writes show later. Not here: the cases (`mnemic-conformance`).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{process::ExitCode, sync::Arc, time::Duration};

use mnemic_conformance::index::{self, IndexHarness};
use mnemic_core::ports::Index;
use mnemic_http::Address;
use mnemic_indexes::{PineconeApi, PineconeConfig, PineconeIndex};
use mnemic_stand_ins::{Knobs, pinecone::StandIn};

/// Every case works in namespaces of its own of one project.
struct Pinecone(StandIn);

#[async_trait::async_trait]
impl IndexHarness for Pinecone {
    async fn open(&self) -> Arc<dyn Index> {
        let config = PineconeConfig {
            control_plane: Address::new("pinecone_url", &self.0.url()).unwrap(),
            api: PineconeApi::V2026_07,
            ..PineconeConfig::new("stand-in".to_owned().into()).unwrap()
        };
        Arc::new(PineconeIndex::new(config).unwrap())
    }
}

fn main() -> ExitCode {
    let stand_in = StandIn::start(Knobs::new()).unwrap();
    stand_in.habits().lag(Duration::from_millis(40)).preparing(Duration::from_millis(150));
    index::main(Pinecone(stand_in))
}
