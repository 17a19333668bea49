//! The `qdrant` index: dense search on a Qdrant server over its REST interface. Not here: lexical search, and being the only copy of
//! anything.
//!
//! One collection holds the points of one embedding model, of every namespace; each namespace is a tenant that every request names.
//!
//! ```text
//! config      settings              collection   the collection of a model and its identity    feed     writing, and late writers
//! api, error  requests, refusals    point        what a point holds, and whether it is ours     search   asking, and asking for more
//! filter      conditions            tokens       metadata as words                             listing  everything, by id
//! ```

mod api;
mod collection;
mod config;
mod error;
mod feed;
mod filter;
mod listing;
mod point;
mod search;
mod tokens;

#[cfg(test)]
mod error_tests;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use mnemic_core::{
    ChangeSeq, Embedding, EmbeddingModel, Error, ErrorKind, Filter, Namespace, Page, PageRequest, Result,
    ports::{Index, IndexCapabilities, IndexChange, IndexHit, IndexReport, IndexedId, Offer, Precision, Visibility},
};
use mnemic_http::{Client, ClientConfig};

pub use config::{QdrantIndexConfig, Quantization};

use api::{Api, absent};
use filter::Scope;
use listing::Listings;
use search::Search;

/// Searches of a namespace between two looks at how many points it has.
const RECOUNT: u32 = 256;

/// Dense search on a Qdrant server of version 1.17 or newer.
///
/// What it shows at once is what a write acknowledged with `wait=true`, on one node or, with replicas, by a majority of them.
#[derive(Debug)]
pub struct QdrantIndex {
    config: QdrantIndexConfig,
    api: Api,
    /// Whether the server was seen to be new enough.
    checked: AtomicBool,
    /// The collections that were seen to be right, by model.
    collections: Mutex<HashMap<EmbeddingModel, String>>,
    namespaces: Mutex<HashMap<Namespace, Arc<Place>>>,
    listings: Listings,
    dropped: AtomicU64,
}

/// What is remembered of a namespace between calls.
#[derive(Debug, Default)]
struct Place {
    known: Mutex<Known>,
    /// Held while changes are applied, so that they are applied in order.
    feeding: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    model: Option<EmbeddingModel>,
    /// Whether no other collection was seen to hold the namespace.
    prepared: bool,
    /// The furthest place in the feed that the server told of.
    seen: ChangeSeq,
    /// The place in the feed where there is no model, and so nothing to hold.
    bare: ChangeSeq,
    /// How many points there were at the last look, and searches since.
    count: Option<(u64, u32)>,
}

impl QdrantIndex {
    /// An index on the server that the settings name. Nothing is asked before a namespace is used.
    ///
    /// # Errors
    /// `InvalidConfig`, naming the setting.
    pub fn new(config: QdrantIndexConfig) -> Result<Self> {
        config.check()?;
        let client = Client::new(ClientConfig {
            service: "Qdrant",
            address: config.address.clone(),
            secret_headers: config.api_key.iter().map(|key| ("api-key", key.clone())).collect(),
            headers: Vec::new(),
        })?;
        Ok(Self {
            config,
            api: Api::new(client),
            checked: AtomicBool::default(),
            collections: Mutex::default(),
            namespaces: Mutex::default(),
            listings: Listings::default(),
            dropped: AtomicU64::default(),
        })
    }

    /// Points that searches and listings dropped since the start because they were foreign, broken or repeated.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn place(&self, namespace: &Namespace) -> Arc<Place> {
        let mut namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(namespaces.entry(namespace.clone()).or_default())
    }

    /// The collection of a model, which is made if it is not there.
    async fn collection(&self, model: &EmbeddingModel) -> Result<String> {
        let known = || self.collections.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = known().get(model).cloned() {
            return Ok(name);
        }
        if !self.checked.load(Ordering::Relaxed) {
            self.api.check_version().await?;
            self.checked.store(true, Ordering::Relaxed);
        }
        let name = collection::ensure(&self.api, &self.config, model).await?;
        known().insert(model.clone(), name.clone());
        Ok(name)
    }

    /// Forgets that a collection is right, after the server knew nothing of it.
    fn forget(&self, model: &EmbeddingModel) {
        self.collections.lock().unwrap_or_else(PoisonError::into_inner).remove(model);
    }

    /// Notices what an answer tells about the collection.
    fn noticed<T>(&self, model: &EmbeddingModel, outcome: Result<T>) -> Result<T> {
        if let Err(error) = &outcome
            && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidConfig | ErrorKind::ModelMismatch)
        {
            self.forget(model);
        }
        outcome
    }

    /// The same for whoever needs what the collection held.
    fn needed<T>(&self, model: &EmbeddingModel, outcome: Result<T>) -> Result<T> {
        self.noticed(model, outcome).map_err(|error| match error.kind() {
            ErrorKind::NotFound => error::started_over().with_source(error),
            _ => error,
        })
    }

    /// The collections of this deployment.
    async fn ours(&self) -> Result<Vec<String>> {
        let names = self.api.collections().await?;
        Ok(names.into_iter().filter(|name| collection::is_ours(&self.config.prefix, name)).collect())
    }

    /// Refuses a namespace that lies in the collection of another model.
    async fn check_elsewhere(&self, namespace: &Namespace, model: &EmbeddingModel, own: &str) -> Result<()> {
        for name in self.ours().await?.into_iter().filter(|name| name != own) {
            let held = absent(feed::position(&self.api, &name, namespace).await)?;
            if held.is_some_and(|position| position > ChangeSeq::default()) {
                let info = self.api.info(&name).await?;
                let held = info.as_ref().and_then(collection::identity).unwrap_or("an unknown model");
                return Err(error::other_space(held, model));
            }
        }
        Ok(())
    }

    /// The model of a namespace, which an embedding must be of too.
    fn model(&self, namespace: &Namespace, vector: &Embedding) -> Result<EmbeddingModel> {
        let known = self.place(namespace).read(|known| known.model.clone());
        let model = known.unwrap_or_else(|| vector.model().clone());
        model.check_same(vector.model()).map(|()| model)
    }

    /// The model whose collection holds a namespace; `None` if nothing was prepared.
    fn prepared_model(&self, namespace: &Namespace) -> Option<EmbeddingModel> {
        self.place(namespace).read(|known| known.model.clone())
    }

    /// How many points a namespace has, roughly.
    async fn roughly(&self, namespace: &Namespace, collection: &str) -> Result<u64> {
        let place = self.place(namespace);
        let fresh = place.read(|known| match &mut known.count {
            Some((count, searches)) if *searches < RECOUNT => {
                *searches += 1;
                Some(*count)
            }
            _ => None,
        });
        if let Some(count) = fresh {
            return Ok(count);
        }
        let count = self.api.count(collection, &Scope::new(namespace, &Filter::all()).to_json()).await?;
        place.read(|known| known.count = Some((count, 0)));
        Ok(count)
    }

    /// The place in the feed that the server holds; zero where the collection is gone.
    async fn stored_position(&self, namespace: &Namespace, model: &EmbeddingModel) -> Result<ChangeSeq> {
        let name = collection::name(&self.config.prefix, model);
        let position = absent(self.noticed(model, feed::position(&self.api, &name, namespace).await))?;
        Ok(position.unwrap_or_default())
    }

    async fn feed(
        &self,
        namespace: &Namespace,
        model: &EmbeddingModel,
        changes: &[IndexChange],
        through: ChangeSeq,
    ) -> Result<()> {
        let place = self.place(namespace);
        let collection = self.collection(model).await?;
        let mut before = absent(self.noticed(model, feed::position(&self.api, &collection, namespace).await))?;
        if before.is_none() {
            // It vanished since it was seen; what it held comes again by the feed.
            self.collection(model).await?;
            before = Some(ChangeSeq::default());
        }
        let before = before.unwrap_or_default();
        // Changes begin where this process last saw the index. If it lies further back by now, some are missing.
        if before < place.read(|known| std::mem::replace(&mut known.seen, before)) {
            return Err(error::started_over());
        }
        let applied = feed::apply(&self.api, &collection, namespace, changes, (before, through)).await;
        self.needed(model, applied)?;
        place.read(|known| {
            known.seen = known.seen.max(through);
            if let Some((count, _)) = &mut known.count {
                *count = count.saturating_add(changes.len() as u64);
            }
        });
        self.listings.forget(namespace);
        Ok(())
    }
}

impl Place {
    fn read<T>(&self, work: impl FnOnce(&mut Known) -> T) -> T {
        work(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Index for QdrantIndex {
    fn name(&self) -> &'static str {
        "qdrant"
    }

    fn capabilities(&self) -> IndexCapabilities {
        IndexCapabilities {
            dense: Offer::Yes,
            lexical: Offer::No,
            visibility: Visibility::Immediate,
            // No text is held, so what a filter asks of it is left to the caller; everything else is exact.
            filters: Precision::Coarse,
        }
    }

    async fn prepare(&self, namespace: &Namespace, model: Option<&EmbeddingModel>) -> Result<()> {
        let Some(model) = model else { return Ok(()) };
        let place = self.place(namespace);
        let collection = self.collection(model).await?;
        if place.read(|known| known.prepared && known.model.as_ref() == Some(model)) {
            return Ok(());
        }
        self.check_elsewhere(namespace, model, &collection).await?;
        place.read(|known| {
            let bare = known.bare;
            *known = Known { model: Some(model.clone()), prepared: true, bare, ..Known::default() };
        });
        Ok(())
    }

    async fn position(&self, namespace: &Namespace) -> Result<ChangeSeq> {
        let place = self.place(namespace);
        let Some(model) = self.prepared_model(namespace) else { return Ok(place.read(|known| known.bare)) };
        let position = self.stored_position(namespace, &model).await?;
        place.read(|known| known.seen = position);
        Ok(position)
    }

    async fn visible(&self, namespace: &Namespace) -> Result<ChangeSeq> {
        self.position(namespace).await
    }

    async fn apply(&self, namespace: &Namespace, changes: &[IndexChange], through: ChangeSeq) -> Result<()> {
        let place = self.place(namespace);
        let _feeding = place.feeding.lock().await;
        let embeddings = || changes.iter().filter_map(|change| change.record.as_ref()?.embedding.as_ref());
        let known = self.prepared_model(namespace);
        let Some(model) = known.or_else(|| embeddings().next().map(|embedding| embedding.model().clone())) else {
            // Without embeddings there is nothing to hold.
            place.read(|known| known.bare = known.bare.max(through));
            return Ok(());
        };
        embeddings().try_for_each(|embedding| model.check_same(embedding.model()))?;
        self.prepare(namespace, Some(&model)).await?;
        self.feed(namespace, &model, changes, through).await
    }

    async fn search_dense(
        &self,
        namespace: &Namespace,
        vector: &Embedding,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<IndexHit>> {
        filter.check_composed()?;
        let model = self.model(namespace, vector)?;
        let scope = Scope::new(namespace, filter);
        if limit == 0 || scope.is_never() {
            return Ok(Vec::new());
        }
        let collection = collection::name(&self.config.prefix, &model);
        let count = match self.config.exact_below {
            0 => u64::MAX,
            _ => self.needed(&model, self.roughly(namespace, &collection).await)?,
        };
        let whole = count <= self.config.exact_below;
        let search = Search {
            api: &self.api,
            collection: &collection,
            namespace,
            vector: &point::unit(vector),
            params: search::params(whole, self.config.quantization != Quantization::Off, limit),
            dropped: &self.dropped,
        };
        self.needed(&model, search.run(&scope, limit).await)
    }

    async fn search_text(&self, _: &Namespace, _: &str, _: &Filter, _: usize) -> Result<Vec<IndexHit>> {
        Err(Error::new(ErrorKind::Unsupported, "the qdrant index does not search by words"))
    }

    async fn ids(&self, namespace: &Namespace, page: &PageRequest) -> Result<Page<IndexedId>> {
        let Some(model) = self.prepared_model(namespace) else { return Ok(Page { items: Vec::new(), next: None }) };
        let collection = collection::name(&self.config.prefix, &model);
        let listed = self.listings.page(&self.api, &collection, namespace, page, &self.dropped).await;
        self.needed(&model, listed)
    }

    async fn drop_namespace(&self, namespace: &Namespace) -> Result<()> {
        let place = self.place(namespace);
        let _feeding = place.feeding.lock().await;
        // Whatever model it was embedded with: nothing of it may stay anywhere.
        for name in self.ours().await? {
            absent(self.api.delete(&name, &filter::whole_namespace(namespace)).await)?;
        }
        place.read(|known| *known = Known { model: known.model.take(), ..Known::default() });
        self.listings.forget(namespace);
        Ok(())
    }

    async fn check(&self, namespace: &Namespace) -> Result<IndexReport> {
        let Some(model) = self.prepared_model(namespace) else { return Ok(IndexReport::default()) };
        let collection = collection::name(&self.config.prefix, &model);
        let Some(info) = self.api.info(&collection).await? else {
            self.forget(&model);
            let faults = vec!["the collection is gone; it is made and fed anew with the next change".to_owned()];
            return Ok(IndexReport { faults, ..IndexReport::default() });
        };
        let mut faults = collection::faults(&info);
        if collection::identity(&info) != Some(model.to_string().as_str()) {
            faults.push(format!("the collection is not of {model}"));
        }
        if self.dropped() > 0 {
            faults.push(format!(
                "{} points that were foreign, broken or repeated were dropped from answers",
                self.dropped()
            ));
        }
        let count =
            self.needed(&model, self.api.count(&collection, &Scope::new(namespace, &Filter::all()).to_json()).await)?;
        let quantized = u64::from(self.config.quantization != Quantization::Off);
        let bytes = count * u64::from(model.dimension()) * (4 + quantized);
        Ok(IndexReport { records: count, embeddings: count, bytes, faults })
    }
}
