//! Holds `PostgresTextIndex` to the contract of indexes on PostgreSQL 18. Not here: the cases (`mnemic-conformance`).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "support/postgres.rs"]
mod support;

use std::process::ExitCode;

use mnemic_conformance::index;
use support::{PostgresText, Shared};

fn main() -> ExitCode {
    index::main_or_ignore("postgres-18", Shared::on("postgres-18").map(PostgresText))
}
