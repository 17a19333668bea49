//! Holds `LocalIndex` to the contract of indexes. Not here: the cases (`mnemic-conformance`).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{
    process::ExitCode,
    sync::{Arc, Mutex},
};

use mnemic_conformance::index::{self, IndexHarness};
use mnemic_core::ports::Index;
use mnemic_indexes::{LocalIndex, LocalIndexConfig};
use tempfile::TempDir;

/// Keeps the directories until every case has run.
#[derive(Default)]
struct Local(Mutex<Vec<TempDir>>);

#[async_trait::async_trait]
impl IndexHarness for Local {
    async fn open(&self) -> Arc<dyn Index> {
        let place = tempfile::tempdir().unwrap();
        // Room for one namespace only, so that cases with two go through snapshots all the time.
        let directory = Some(place.path().to_owned());
        let config = LocalIndexConfig { directory, max_open_namespaces: 1, ..LocalIndexConfig::default() };
        self.0.lock().unwrap().push(place);
        Arc::new(LocalIndex::new(config).unwrap())
    }
}

fn main() -> ExitCode {
    index::main(Local::default())
}
