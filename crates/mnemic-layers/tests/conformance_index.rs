//! Holds a guarded index to the contract of indexes, with every layer at work. Not here: the cases (`mnemic-conformance`).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{process::ExitCode, sync::Arc};

use mnemic_conformance::index::{self, IndexHarness};
use mnemic_core::ports::Index;
use mnemic_indexes::{LocalIndex, LocalIndexConfig};
use mnemic_layers::{Backend, Guarded, Profile};

struct GuardedIndex;

#[async_trait::async_trait]
impl IndexHarness for GuardedIndex {
    async fn open(&self) -> Arc<dyn Index> {
        let inner: Arc<dyn Index> = Arc::new(LocalIndex::new(LocalIndexConfig::default()).unwrap());
        Arc::new(Guarded::new(inner, Backend::new("local", Profile::index())))
    }
}

fn main() -> ExitCode {
    index::main(GuardedIndex)
}
