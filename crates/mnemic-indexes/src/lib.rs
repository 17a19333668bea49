//! Indexes of Mnemic: what can be searched, derived from a ledger and always rebuildable. Not here: what is true (ledgers).

pub mod local;
pub mod pinecone;
pub mod qdrant;

pub use local::{Bm25Config, LocalIndex, LocalIndexConfig};
pub use pinecone::{PineconeApi, PineconeConfig, PineconeIndex};
pub use qdrant::{QdrantIndex, QdrantIndexConfig, Quantization};
