//! Holds `PgvectorIndex` to the contract of indexes, once comparing every record and once asking its graph. Not here: the cases
//! (`mnemic-conformance`).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{process::ExitCode, sync::Arc};

use mnemic_conformance::index::{self, IndexHarness};
use mnemic_core::ports::Index;
use mnemic_indexes::{PgvectorConfig, PgvectorIndex};
use mnemic_postgres::{
    Pool,
    testing::{TestDatabase, TestServer},
};
use tokio::sync::OnceCell;

/// One database for all cases; each opens a handle of its own.
struct Pgvector {
    server: TestServer,
    made: OnceCell<(Pool, TestDatabase)>,
}

#[async_trait::async_trait]
impl IndexHarness for Pgvector {
    async fn open(&self) -> Arc<dyn Index> {
        let make = async || {
            let database = self.server.database().await;
            (Pool::connect(database.config()).await.unwrap(), database)
        };
        let (pool, _) = self.made.get_or_init(make).await;
        let records = std::env::var("MNEMIC_TEST_EXACT_RECORDS").ok().and_then(|set| set.parse().ok());
        let exact_records = records.unwrap_or(PgvectorConfig::default().exact_records);
        let config = PgvectorConfig { exact_records, ..PgvectorConfig::default() };
        Arc::new(PgvectorIndex::new(pool.clone(), config).unwrap())
    }
}

fn main() -> ExitCode {
    let server = TestServer::of("postgres-18");
    index::main_or_ignore("postgres-18", server.map(|server| Pgvector { server, made: OnceCell::new() }))
}
