//! The five ports: the smallest honest promises that adapters make. No default bodies, object-safe, namespace first.
//! Every clause of a contract carries a tag such as `[L4]`; the conformance suite has one case for each.

mod clock;
mod embedder;
mod index;
mod ledger;
mod reranker;

pub use clock::{Clock, ManualClock, SystemClock};
pub use embedder::{Embedder, Purpose};
pub use index::{
    Index, IndexCapabilities, IndexChange, IndexHit, IndexReport, IndexedId, Offer, Precision, Visibility,
};
pub use ledger::{Embeddings, EventRange, Ledger, LedgerReport, NamespaceReport, Read, SlotsRevision};
pub use reranker::Reranker;
