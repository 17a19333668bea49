//! Holds a guarded ledger to the contract of ledgers, with every layer at work. Not here: the cases (`mnemic-conformance`).

use std::{process::ExitCode, sync::Arc};

use mnemic_conformance::ledger::{self, Durability, LedgerHarness, Opened};
use mnemic_core::ports::Ledger;
use mnemic_layers::{Backend, Guarded, Profile, RateConfig};
use mnemic_ledgers::InMemoryLedger;

struct GuardedLedger;

#[async_trait::async_trait]
impl LedgerHarness for GuardedLedger {
    fn durability(&self) -> Durability {
        Durability::Volatile
    }

    async fn open(&self) -> Opened {
        let rate = RateConfig { requests: Some(u32::MAX), tokens: None };
        let inner: Arc<dyn Ledger> = Arc::new(InMemoryLedger::new());
        Opened::new(Arc::new(Guarded::new(inner, Backend::new("memory", Profile::ledger().limited(rate)))))
    }

    async fn reopen(&self, opened: Opened) -> Opened {
        opened.close::<()>();
        self.open().await
    }
}

fn main() -> ExitCode {
    ledger::main(GuardedLedger)
}
