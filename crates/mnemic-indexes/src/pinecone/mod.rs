//! Dense search in Pinecone: one Pinecone index for each embedding model, one Pinecone namespace for each namespace of ours.
//! Not here: search by words, which Pinecone's vector indexes do not offer; retry, limits and deadlines (layers).
//!
//! Pinecone shows writes some time later and tells how far it is by positions in a log; [`Index::visible`] follows those. Filters are
//! narrowed by what metadata holds and decided again on what comes back; what metadata cannot hold stays for the caller to decide.
//! How far each namespace was fed is kept beside the data, in the namespace `mnemic.state`, whose name no namespace of ours can have.
//!
//! One process should feed a namespace at a time: Pinecone has no conditional writes, so of two that feed the same stretch the slower
//! one could bring back a revision that the faster one replaced. Hydration would drop it; a rebuild mends it.

mod config;
mod control;
mod digits;
mod error;
mod feed;
mod filter;
mod find;
mod held;
mod ids;
mod state;
mod wire;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use mnemic_core::{
    ChangeSeq, Embedding, EmbeddingModel, Error, ErrorKind, Filter, Namespace, Page, PageRequest, Result, Retry,
    ports::{Index, IndexCapabilities, IndexChange, IndexHit, IndexReport, IndexedId, Offer, Precision, Visibility},
};
use mnemic_http::{Answer, Client, ClientConfig};

pub use config::{PineconeApi, PineconeConfig, Progress};
use control::Control;
use state::Space;
use wire::Ask;

/// Dense search in Pinecone.
#[derive(Debug)]
pub struct PineconeIndex {
    control: Control,
    /// Indexes by the model that they are for. The lock is held while one is made, so that it is made once.
    opened: tokio::sync::Mutex<HashMap<EmbeddingModel, Arc<Opened>>>,
    spaces: Mutex<HashMap<Namespace, Arc<Space>>>,
}

/// An index whose host is known.
#[derive(Debug)]
struct Opened {
    model: EmbeddingModel,
    name: String,
    host: String,
    client: Client,
}

impl PineconeIndex {
    /// Takes the settings; nothing is asked of Pinecone yet.
    ///
    /// # Errors
    /// `InvalidConfig` for a key that cannot be sent or a prefix that no index name can begin with.
    pub fn new(config: PineconeConfig) -> Result<Self> {
        config.check()?;
        let client = Client::new(ClientConfig {
            service: "Pinecone",
            address: config.control_plane.clone(),
            secret_headers: vec![("api-key", config.api_key.clone())],
            headers: vec![("x-pinecone-api-version", config.api.as_str().to_owned())],
        })?;
        let control = Control { config, client };
        Ok(Self { control, opened: tokio::sync::Mutex::default(), spaces: Mutex::default() })
    }

    /// The index for `model`, found or made on first use.
    async fn open(&self, model: &EmbeddingModel) -> Result<Arc<Opened>> {
        let mut opened = self.opened.lock().await;
        if let Some(known) = opened.get(model) {
            return Ok(Arc::clone(known));
        }
        let found = self.control.open(model).await?;
        let host = found.host.unwrap_or_default();
        let client = self.control.at(&host)?;
        let new = Arc::new(Opened { model: model.clone(), name: found.name, host, client });
        opened.insert(model.clone(), Arc::clone(&new));
        Ok(new)
    }

    /// Asks an index something. Where it does not answer, or does not know the question, its place is looked up once more: an index
    /// that was removed or made anew holds nothing of what was fed, so everything known of it is forgotten and fed again.
    async fn ask(&self, index: &Opened, ask: Ask<'_>) -> Result<Answer> {
        let first = index.client.send(ask.call()).await;
        let lost = match &first {
            Ok(answer) => answer.status() == 404 && !error::is_missing_namespace(answer),
            Err(error) => error.kind() == ErrorKind::Unavailable,
        };
        if !lost {
            return first;
        }
        let what = match self.control.describe(&index.name).await {
            // Nothing answers at all: that is an outage, and tells nothing about the index.
            Err(_) => return first,
            Ok(Some(found)) if found.host.as_deref() == Some(&index.host) => {
                return first.and_then(|_| Err(error::moved(&index.name, "does not answer for its vectors yet")));
            }
            Ok(Some(_)) => "was made anew; it is fed again",
            Ok(None) => "vanished; it is made and fed again",
        };
        tracing::warn!(index = index.name, "a Pinecone index is not where it was");
        self.forget(index).await;
        Err(error::moved(&index.name, what))
    }

    /// Forgets an index and what was known of the namespaces in it.
    async fn forget(&self, index: &Opened) {
        let mut opened = self.opened.lock().await;
        if opened.get(&index.model).is_some_and(|known| known.host == index.host) {
            opened.remove(&index.model);
        }
        let fresh = |space: &mut Arc<Space>| {
            if space.model.as_ref() == Some(&index.model) {
                *space = Arc::new(Space::new(Some(index.model.clone())));
            }
        };
        self.spaces().values_mut().for_each(fresh);
    }

    /// What is known of a namespace.
    fn space(&self, namespace: &Namespace) -> Arc<Space> {
        let mut spaces = self.spaces();
        Arc::clone(spaces.entry(namespace.clone()).or_insert_with(|| Arc::new(Space::new(None))))
    }

    /// Another model means another index, which was fed on its own.
    fn prepared(&self, namespace: &Namespace, model: &EmbeddingModel) {
        let mut spaces = self.spaces();
        if spaces.get(namespace).is_none_or(|space| space.model.as_ref() != Some(model)) {
            spaces.insert(namespace.clone(), Arc::new(Space::new(Some(model.clone()))));
        }
    }

    fn spaces(&self) -> MutexGuard<'_, HashMap<Namespace, Arc<Space>>> {
        self.spaces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bodies that write the records of these changes into a Pinecone namespace, as [`Index::apply`] sends them. For measuring what
/// writing them costs.
///
/// # Errors
/// `Bug` if a body cannot be written.
pub fn upsert_bodies(namespace: &str, changes: &[IndexChange]) -> Result<Vec<bytes::Bytes>> {
    let batches = wire::upserts(namespace, &changes.iter().filter_map(feed::vector).collect::<Vec<_>>())?;
    Ok(batches.iter().map(wire::Batch::body).collect())
}

/// The answer, if it tells of success; `None` if the namespace is not there, which is as good as empty.
fn there(answer: Answer) -> Result<Option<Answer>> {
    if answer.is_success() {
        Ok(Some(answer))
    } else if error::is_missing_namespace(&answer) {
        Ok(None)
    } else {
        Err(error::refused(&answer))
    }
}

#[async_trait]
impl Index for PineconeIndex {
    fn name(&self) -> &'static str {
        "pinecone"
    }

    fn capabilities(&self) -> IndexCapabilities {
        IndexCapabilities {
            dense: Offer::Yes,
            lexical: Offer::No,
            visibility: Visibility::Eventual,
            filters: Precision::Coarse,
        }
    }

    async fn prepare(&self, namespace: &Namespace, model: Option<&EmbeddingModel>) -> Result<()> {
        let Some(model) = model else { return Ok(()) };
        self.prepared(namespace, model);
        self.open(model).await.map(drop)
    }

    async fn position(&self, namespace: &Namespace) -> Result<ChangeSeq> {
        self.load(&self.space(namespace), namespace).await
    }

    async fn visible(&self, namespace: &Namespace) -> Result<ChangeSeq> {
        self.look(namespace).await
    }

    async fn apply(&self, namespace: &Namespace, changes: &[IndexChange], through: ChangeSeq) -> Result<()> {
        self.feed(namespace, changes, through).await
    }

    async fn search_dense(
        &self,
        namespace: &Namespace,
        vector: &Embedding,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<IndexHit>> {
        self.find(namespace, vector, filter, limit).await
    }

    async fn search_text(&self, _: &Namespace, _: &str, _: &Filter, _: usize) -> Result<Vec<IndexHit>> {
        Err(Error::new(ErrorKind::Unsupported, "the Pinecone index offers no search by words").with_retry(Retry::Never))
    }

    async fn ids(&self, namespace: &Namespace, page: &PageRequest) -> Result<Page<IndexedId>> {
        self.list(namespace, page).await
    }

    async fn drop_namespace(&self, namespace: &Namespace) -> Result<()> {
        self.remove(namespace).await
    }

    async fn check(&self, namespace: &Namespace) -> Result<IndexReport> {
        self.report(namespace).await
    }
}
