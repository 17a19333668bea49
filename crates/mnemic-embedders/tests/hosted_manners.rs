//! Holds every manner of the hosted adapters to the contract of embedders: other models, other servers, other routes than those of
//! `conformance_*`. Not here: the cases (`mnemic-conformance`).
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod hosted_common;

use std::sync::Arc;

use hosted_common::{VENDORS, Vendor};
use mnemic_conformance::embedder::{EMBEDDER_CASES, EmbedderHarness, run_all};
use mnemic_core::ports::Embedder;
use mnemic_stand_ins::vectors::StandIn;

struct Manner(Vendor, StandIn);

#[async_trait::async_trait]
impl EmbedderHarness for Manner {
    async fn open(&self) -> Arc<dyn Embedder> {
        self.0.at(&self.1.url())
    }
}

#[test]
fn every_manner_keeps_the_whole_contract() {
    for vendor in VENDORS {
        let outcomes = run_all(Manner(vendor, vendor.stand_in()));
        assert_eq!(outcomes.len(), EMBEDDER_CASES.len());
        for outcome in outcomes {
            assert_eq!(outcome.failure, None, "{vendor:?}, {}", outcome.name);
        }
    }
}
