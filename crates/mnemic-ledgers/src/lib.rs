//! Ledgers of Mnemic: the adapters that hold what is true. Not here: what may be searched (`mnemic-indexes`).
//!
//! `in_memory` is the shortest true implementation of the contract and the first to read; `sqlite` keeps the same promises on disk,
//! `postgres` in a database that many programs share.

mod feed_form;
pub mod in_memory;
pub mod postgres;
mod repeating;
mod role_form;
mod rules;
pub mod sqlite;
mod stored;

pub use in_memory::InMemoryLedger;
pub use postgres::PostgresLedger;
pub use sqlite::{SqliteConfig, SqliteLedger};
