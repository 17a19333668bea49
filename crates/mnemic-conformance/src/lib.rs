//! The suite that every ledger, index, embedder and reranker of Mnemic must pass whole, in this repository or outside of it.
//! Not here: any adapter. The suite knows the ports of `mnemic-core` and nothing else.
//!
//! # Running it on a backend of your own
//!
//! 1. Depend on this crate in `[dev-dependencies]` and declare one test without the standard harness:
//!
//!    ```toml
//!    [[test]]
//!    name = "conformance_foo"
//!    harness = false
//!    ```
//!
//! 2. Write `tests/conformance_foo.rs`: a harness that opens a store, and one line that runs the whole table.
//!
//!    ```ignore
//!    //! Holds `FooLedger` to the contract of ledgers.
//!    use std::{process::ExitCode, sync::Arc};
//!    use mnemic_conformance::ledger::{self, Durability, LedgerHarness, Opened};
//!
//!    struct Foo;
//!
//!    #[async_trait::async_trait]
//!    impl LedgerHarness for Foo {
//!        fn durability(&self) -> Durability { Durability::Durable }
//!        async fn open(&self) -> Opened {
//!            let place = Arc::new(tempfile::tempdir().unwrap());
//!            Opened::new(Arc::new(FooLedger::open(place.path()).unwrap())).kept(place)
//!        }
//!        async fn reopen(&self, opened: Opened) -> Opened {
//!            let place = opened.close::<tempfile::TempDir>();
//!            Opened::new(Arc::new(FooLedger::open(place.path()).unwrap())).kept(place)
//!        }
//!    }
//!
//!    fn main() -> ExitCode { ledger::main(Foo) }
//!    ```
//!
//! 3. `cargo test --test conformance_foo` (or nextest) shows every case under its own name; `-- l07` runs the cases of one clause.
//!
//! A store that cannot be had fresh for each case (a hosted one) is fine: every case works in random namespaces of its own.
//! Where a service may be absent, end `main` with [`ledger::main_or_ignore`]: the cases show as ignored with the reason, and
//! fail where `MNEMIC_REQUIRE` names the service.
//!
//! # What it demands
//!
//! Every clause of a port's contract carries a tag such as `[L4]`, and every tag has at least one case whose name begins with it.
//! A capability is never a reason to skip: what an adapter declares is asserted, and what it does not declare must be
//! `Unsupported`. A ledger that is not durable must be empty after reopening.
//!
//! Beside the cases: [`faulty::Faulty`] makes any adapter fail at a chosen call, [`fixtures`] generates data of every shape, and
//! [`registry`] lets an adapter crate prove that each of its folders runs the suite.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "this crate is test code: a case fails by panicking, and says where and why"
)]

pub mod embedder;
pub mod faulty;
pub mod fixtures;
pub mod index;
pub mod ledger;
pub mod registry;
pub mod reranker;
mod run;
mod walk;

pub use run::{Case, CaseFuture, CaseOutcome};
