//! Holds `QdrantIndex` to the contract of indexes, against the stand-in. Not here: the cases (`mnemic-conformance`).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{process::ExitCode, sync::Arc};

use mnemic_conformance::index::{self, IndexHarness};
use mnemic_core::ports::Index;
use mnemic_http::Address;
use mnemic_indexes::{QdrantIndex, QdrantIndexConfig};
use mnemic_stand_ins::{Knobs, Running, qdrant::StandIn};
use serde_json::json;

/// One server for every case, in the strict mode that a cloud sets: no condition without an index.
struct Qdrant(Running);

#[async_trait::async_trait]
impl IndexHarness for Qdrant {
    async fn open(&self) -> Arc<dyn Index> {
        let address = Address::new("qdrant_url", &self.0.url()).unwrap();
        Arc::new(QdrantIndex::new(QdrantIndexConfig::new(address)).unwrap())
    }
}

fn main() -> ExitCode {
    let strict = json!({ "enabled": true, "unindexed_filtering_retrieve": false, "unindexed_filtering_update": false });
    let stand_in = StandIn { strict_mode: Some(strict), remembered: 0, ..StandIn::default() };
    index::main(Qdrant(stand_in.start(Knobs::new()).unwrap()))
}
