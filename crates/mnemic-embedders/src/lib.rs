//! Embedders of Mnemic, text to vectors of one model, and rerankers; one folder per adapter.
//! Not here: caching and retry, which are layers around the ports.

mod gemini;
mod hosted;
mod none;
mod openai;
mod price;
#[cfg(feature = "static")]
mod static_model;
mod tei;
mod voyage;

pub use gemini::{GeminiConfig, GeminiEmbedder};
pub use none::NoneEmbedder;
pub use openai::{OpenAiConfig, OpenAiEmbedder, OpenAiProfile};
pub use price::{Price, estimated_tokens, list_price};
#[cfg(feature = "static")]
pub use static_model::StaticEmbedder;
pub use tei::{TeiConfig, TeiEmbedder, TeiReranker, TeiRerankerConfig, TeiRoute};
pub use voyage::{VoyageConfig, VoyageEmbedder, VoyageReranker, VoyageRerankerConfig};
