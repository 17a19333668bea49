//! Indexes of Mnemic: what can be searched, derived from a ledger and always rebuildable. Not here: what is true (ledgers).

mod analyze;
mod bm25;
pub mod local;
pub mod pgvector;
pub mod pinecone;
mod postgres;
pub mod postgres_text;
pub mod qdrant;

pub use bm25::Bm25Config;
pub use local::{LocalIndex, LocalIndexConfig};
pub use pgvector::{PgvectorConfig, PgvectorIndex};
pub use pinecone::{PineconeApi, PineconeConfig, PineconeIndex};
pub use postgres_text::{PostgresTextConfig, PostgresTextIndex};
pub use qdrant::{QdrantIndex, QdrantIndexConfig, Quantization};
