//! A Pinecone index on a stand-in, and what a ledger would feed it. Not here: any demand.
#![allow(dead_code, clippy::unwrap_used, reason = "each test uses what it needs and fails by panicking")]

use std::time::Duration;

use mnemic_conformance::fixtures::{Rng, embedding, model, namespace, record};
use mnemic_core::{
    ChangeSeq, Embedding, EmbeddingModel, Filter, MemoryRecord, Namespace, PageRequest, RecordId, StoredRecord,
    Version,
    ports::{Index, IndexChange},
};
use mnemic_http::{Address, Call, Client, ClientConfig, Method};
use mnemic_indexes::{PineconeConfig, PineconeIndex};
use mnemic_stand_ins::{Exchange, Knobs, pinecone::StandIn};

/// A stand-in and an index on it, prepared for one namespace.
pub(crate) struct Bench {
    pub(crate) stand_in: StandIn,
    config: PineconeConfig,
    pub(crate) index: PineconeIndex,
    pub(crate) ns: Namespace,
    pub(crate) model: EmbeddingModel,
}

impl Bench {
    /// Ready for embeddings of the small model.
    pub(crate) async fn new() -> Self {
        Self::with(model(), |config| config).await
    }

    pub(crate) async fn with(model: EmbeddingModel, change: impl FnOnce(PineconeConfig) -> PineconeConfig) -> Self {
        let stand_in = StandIn::start(Knobs::new()).unwrap();
        let config = change(config(&stand_in));
        let index = PineconeIndex::new(config.clone()).unwrap();
        let ns = namespace();
        index.prepare(&ns, Some(&model)).await.unwrap();
        Self { stand_in, config, index, ns, model }
    }

    /// Another handle on the same data, as another process would have it.
    pub(crate) async fn another(&self) -> PineconeIndex {
        let other = PineconeIndex::new(self.config.clone()).unwrap();
        other.prepare(&self.ns, Some(&self.model)).await.unwrap();
        other
    }

    pub(crate) async fn apply(&self, changes: &[IndexChange]) -> mnemic_core::Result<()> {
        let through = changes.last().map_or(ChangeSeq(0), |change| change.seq);
        self.index.apply(&self.ns, changes, through).await
    }

    pub(crate) async fn find(&self, filter: &Filter, limit: usize) -> mnemic_core::Result<Vec<String>> {
        let query = embedding(&mut Rng::new(1), &self.model);
        let hits = self.index.search_dense(&self.ns, &query, filter, limit).await?;
        Ok(hits.iter().map(|hit| hit.id.to_string()).collect())
    }

    pub(crate) async fn listed(&self) -> Vec<(String, u64)> {
        let page = self.index.ids(&self.ns, &PageRequest::largest()).await.unwrap();
        assert_eq!(page.next, None);
        page.items.iter().map(|held| (held.id.to_string(), held.version.0)).collect()
    }

    pub(crate) async fn position(&self) -> u64 {
        self.index.position(&self.ns).await.unwrap().0
    }

    /// The requests to a path, oldest first.
    pub(crate) fn asked(&self, method: &str, path: &str) -> Vec<Exchange> {
        let all = self.stand_in.requests();
        all.into_iter().filter(|asked| asked.method == method && asked.path.starts_with(path)).collect()
    }

    /// Asks the control plane something behind the index's back.
    pub(crate) async fn control(
        &self,
        method: Method,
        path: &str,
        body: Option<serde_json::Value>,
    ) -> serde_json::Value {
        let config = ClientConfig {
            service: "Pinecone",
            address: Address::new("url", &self.stand_in.url()).unwrap(),
            secret_headers: vec![("api-key", "stand-in".to_owned().into())],
            headers: vec![("x-pinecone-api-version", "2026-07".to_owned())],
        };
        let json = body.map(|body| serde_json::to_vec(&body).unwrap().into());
        let answer = Client::new(config).unwrap().send(Call { method, path, query: &[], json }).await.unwrap();
        assert!(answer.is_success(), "{method:?} {path}: {}", answer.excerpt());
        serde_json::from_slice(answer.body()).unwrap_or_default()
    }

    /// The name of the only Pinecone index.
    pub(crate) async fn index_name(&self) -> String {
        let listed = self.control(Method::Get, "/indexes", None).await;
        listed["indexes"][0]["name"].as_str().unwrap().to_owned()
    }
}

pub(crate) fn config(stand_in: &StandIn) -> PineconeConfig {
    PineconeConfig {
        control_plane: Address::new("pinecone_url", &stand_in.url()).unwrap(),
        deletion_protection: false,
        settle_within: Duration::from_secs(20),
        ..PineconeConfig::new("stand-in".to_owned().into()).unwrap()
    }
}

/// The change that writes a record.
pub(crate) fn write(seq: u64, record: MemoryRecord, embedding: Embedding) -> IndexChange {
    let mut record = record;
    record.version = Version(seq);
    IndexChange {
        seq: ChangeSeq(seq),
        id: record.id.clone(),
        record: Some(StoredRecord { record, embedding: Some(embedding) }),
    }
}

/// The change that removes a record.
pub(crate) fn removal(seq: u64, id: &str) -> IndexChange {
    IndexChange { seq: ChangeSeq(seq), id: RecordId::new(id).unwrap(), record: None }
}

/// Changes 1 to `count`, which write `r001`, `r002` …
pub(crate) fn writes(count: u64, model: &EmbeddingModel) -> Vec<IndexChange> {
    let mut rng = Rng::new(count);
    (1..=count).map(|n| write(n, record(&format!("r{n:03}"), "text"), embedding(&mut rng, model))).collect()
}
