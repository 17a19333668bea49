//! Embedders of Mnemic: text to vectors of one model, one folder and one feature per adapter.
//! Not here: caching, batching limits and retry, which are layers around the port.

mod none;
#[cfg(feature = "static")]
mod static_model;

pub use none::NoneEmbedder;
#[cfg(feature = "static")]
pub use static_model::StaticEmbedder;
