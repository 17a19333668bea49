//! Ledgers of Mnemic: the adapters that hold what is true. Not here: what may be searched (`mnemic-indexes`).
//!
//! `in_memory` is the shortest true implementation of the contract and the first to read; `sqlite` keeps the same promises on disk.

pub mod in_memory;
mod rules;
pub mod sqlite;

pub use in_memory::InMemoryLedger;
pub use sqlite::{SqliteConfig, SqliteLedger};
