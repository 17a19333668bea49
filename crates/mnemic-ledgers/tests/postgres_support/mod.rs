//! The PostgreSQL ledger as the conformance suite opens it. Not here: the cases (`mnemic-conformance`) and the servers.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses a part")]

use std::sync::Arc;

use mnemic_conformance::ledger::{Durability, LedgerHarness, Opened};
use mnemic_ledgers::PostgresLedger;
use mnemic_postgres::testing::{TestDatabase, TestServer};
use tokio::sync::OnceCell;

/// One database for all cases, so that what leaks from one namespace into another has somewhere to go.
pub struct Postgres {
    server: TestServer,
    database: OnceCell<Arc<TestDatabase>>,
}

impl Postgres {
    /// The server of a service.
    ///
    /// # Errors
    /// Why it is absent.
    pub fn of(service: &str) -> Result<Self, String> {
        Ok(Self { server: TestServer::of(service)?, database: OnceCell::new() })
    }
}

pub async fn open(database: &TestDatabase) -> Arc<PostgresLedger> {
    Arc::new(PostgresLedger::connect(database.config()).await.unwrap())
}

#[async_trait::async_trait]
impl LedgerHarness for Postgres {
    fn durability(&self) -> Durability {
        Durability::Durable
    }

    async fn open(&self) -> Opened {
        let database = self.database.get_or_init(|| async { Arc::new(self.server.database().await) }).await;
        Opened::new(open(database).await).kept(Arc::clone(database))
    }

    async fn reopen(&self, opened: Opened) -> Opened {
        let database = opened.close::<TestDatabase>();
        Opened::new(open(&database).await).kept(database)
    }
}
