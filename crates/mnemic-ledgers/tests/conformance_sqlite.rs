//! Holds `SqliteLedger` to the contract of ledgers. Not here: the cases (`mnemic-conformance`).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{path::Path, process::ExitCode, sync::Arc};

use mnemic_conformance::ledger::{self, Durability, LedgerHarness, Opened};
use mnemic_ledgers::{SqliteConfig, SqliteLedger};
use tempfile::TempDir;

struct Sqlite;

fn open(place: &Path) -> Arc<SqliteLedger> {
    // A small budget, so that namespaces are closed and opened again under the suite.
    let config = SqliteConfig { max_open_namespaces: 2, ..SqliteConfig::new(place) };
    Arc::new(SqliteLedger::open(config).unwrap())
}

#[async_trait::async_trait]
impl LedgerHarness for Sqlite {
    fn durability(&self) -> Durability {
        Durability::Durable
    }

    async fn open(&self) -> Opened {
        let place = Arc::new(tempfile::tempdir().unwrap());
        Opened::new(open(place.path())).kept(place)
    }

    async fn reopen(&self, opened: Opened) -> Opened {
        let place = opened.close::<TempDir>();
        Opened::new(open(place.path())).kept(place)
    }
}

fn main() -> ExitCode {
    ledger::main(Sqlite)
}
