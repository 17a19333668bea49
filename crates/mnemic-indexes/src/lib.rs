//! Indexes of Mnemic: what can be searched, derived from a ledger and always rebuildable. Not here: what is true (ledgers).

pub mod local;

pub use local::{Bm25Config, LocalIndex, LocalIndexConfig};
