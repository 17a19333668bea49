//! Holds `PgvectorIndex` to the contract of indexes as it is set up by default. Not here: the cases (`mnemic-conformance`).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "support/postgres.rs"]
mod support;

use std::process::ExitCode;

use mnemic_conformance::index;
use mnemic_indexes::PgvectorConfig;
use support::{Pgvector, Shared};

fn main() -> ExitCode {
    let shared = Shared::on("postgres-18");
    index::main_or_ignore("postgres-18", shared.map(|shared| Pgvector { shared, config: PgvectorConfig::default() }))
}
