//! Holds `InMemoryLedger` to the contract of ledgers. Not here: the cases (`mnemic-conformance`).

use std::{process::ExitCode, sync::Arc};

use mnemic_conformance::ledger::{self, Durability, LedgerHarness, Opened};
use mnemic_ledgers::InMemoryLedger;

struct InMemory;

#[async_trait::async_trait]
impl LedgerHarness for InMemory {
    fn durability(&self) -> Durability {
        Durability::Volatile
    }

    async fn open(&self) -> Opened {
        Opened::new(Arc::new(InMemoryLedger::new()))
    }

    async fn reopen(&self, opened: Opened) -> Opened {
        opened.close::<()>();
        self.open().await
    }
}

fn main() -> ExitCode {
    ledger::main(InMemory)
}
