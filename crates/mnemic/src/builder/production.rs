//! The parts that settings ask for beside the embedded ones. Not here: finding settings (`config`).

use std::sync::Arc;

use mnemic_core::{
    Error, ErrorKind, Result,
    ports::{Embedder, Reranker},
};
use mnemic_embedders::{NoneEmbedder, StaticEmbedder};
use mnemic_layers::Cached;

use super::Builder;
use crate::config::{EmbedderChoice, Settings};

/// What makes embeddings, with what is remembered of them.
#[expect(dead_code, reason = "hosted embedders follow with the ledger that they serve")]
pub(super) enum Making {
    /// In this process.
    Here(Arc<dyn Embedder>),
    /// On a server.
    There(Arc<Cached<dyn Embedder>>),
}

/// The parts that settings of the production profile ask for.
pub(super) fn parts(_settings: &Settings) -> Result<Builder> {
    let message = "profile: expected dev or embedded, since no server is supported yet, found production";
    Err(Error::new(ErrorKind::InvalidConfig, message).with_field("profile"))
}

/// What makes embeddings, by settings of any profile.
pub(super) fn embedder(settings: &Settings) -> Result<Making> {
    match settings.embedder.value {
        EmbedderChoice::None => Ok(Making::Here(Arc::new(NoneEmbedder))),
        EmbedderChoice::Static => Ok(Making::Here(Arc::new(StaticEmbedder::new()?))),
        hosted => {
            let message =
                format!("embedder: expected none or static, since no server is supported yet, found {hosted}");
            Err(Error::new(ErrorKind::InvalidConfig, message).with_field("embedder"))
        }
    }
}

/// What gives a second opinion, by settings of any profile.
#[expect(clippy::unnecessary_wraps, reason = "a hosted one may be misconfigured")]
pub(super) fn reranker(_settings: &Settings) -> Result<Option<Arc<dyn Reranker>>> {
    Ok(None)
}
