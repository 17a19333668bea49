//! A guarded index. Every method may be repeated: `apply` follows positions, and the rest sets or reads. Not here: what guards it.

use async_trait::async_trait;
use mnemic_core::{
    ChangeSeq, Embedding, EmbeddingModel, Filter, Namespace, Page, PageRequest, Result,
    ports::{Index, IndexCapabilities, IndexChange, IndexHit, IndexReport, IndexedId},
};

use super::{Guarded, guard};

#[async_trait]
impl<P: Index + ?Sized> Index for Guarded<P> {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn capabilities(&self) -> IndexCapabilities {
        self.inner.capabilities()
    }

    async fn prepare(&self, namespace: &Namespace, model: Option<&EmbeddingModel>) -> Result<()> {
        guard!(self, "index", Bulk, prepare(namespace, model))
    }

    async fn position(&self, namespace: &Namespace) -> Result<ChangeSeq> {
        guard!(self, "index", Read, position(namespace))
    }

    async fn visible(&self, namespace: &Namespace) -> Result<ChangeSeq> {
        guard!(self, "index", Read, visible(namespace))
    }

    async fn apply(&self, namespace: &Namespace, changes: &[IndexChange], through: ChangeSeq) -> Result<()> {
        guard!(self, "index", Write, apply(namespace, changes, through))
    }

    async fn search_dense(
        &self,
        namespace: &Namespace,
        vector: &Embedding,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<IndexHit>> {
        guard!(self, "index", Read, search_dense(namespace, vector, filter, limit))
    }

    async fn search_text(
        &self,
        namespace: &Namespace,
        query: &str,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<IndexHit>> {
        guard!(self, "index", Read, search_text(namespace, query, filter, limit))
    }

    async fn ids(&self, namespace: &Namespace, page: &PageRequest) -> Result<Page<IndexedId>> {
        guard!(self, "index", Bulk, ids(namespace, page))
    }

    async fn drop_namespace(&self, namespace: &Namespace) -> Result<()> {
        guard!(self, "index", Bulk, drop_namespace(namespace))
    }

    async fn check(&self, namespace: &Namespace) -> Result<IndexReport> {
        guard!(self, "index", Bulk, check(namespace))
    }
}
