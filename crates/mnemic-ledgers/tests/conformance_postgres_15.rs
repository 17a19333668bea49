//! Holds `PostgresLedger` to the contract of ledgers on PostgreSQL 15. Not here: the cases (`mnemic-conformance`).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::process::ExitCode;

use mnemic_conformance::ledger;

mod postgres_support;

fn main() -> ExitCode {
    ledger::main_or_ignore("postgres-15", postgres_support::Postgres::of("postgres-15"))
}
