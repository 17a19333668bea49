//! The port for what can be searched: derived from a ledger, rebuildable at any time. Not here: hydration and fusion (the manager).

use std::fmt::Debug;

use async_trait::async_trait;

use crate::{
    ChangeSeq, Embedding, EmbeddingModel, Filter, Namespace, Page, PageRequest, RecordId, Result, StoredRecord, Version,
};

/// Whether an index offers a way of searching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// It does.
    Yes,
    /// It answers `Unsupported`.
    No,
}

/// When a change that was applied can be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// When `apply` returns.
    Immediate,
    /// Some time later.
    Eventual,
}

/// How well an index decides filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// It finds exactly the records that pass.
    Exact,
    /// It may also find records that do not pass, where a filter asks for what it does not hold; the caller decides those.
    Coarse,
}

/// What an index declares about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexCapabilities {
    /// Search by embedding.
    pub dense: Offer,
    /// Search by words.
    pub lexical: Offer,
    /// When changes can be found.
    pub visibility: Visibility,
    /// How well it decides filters.
    pub filters: Precision,
}

/// One change to apply.
#[derive(Clone, Debug)]
pub struct IndexChange {
    /// Its position in the feed.
    pub seq: ChangeSeq,
    /// Which record.
    pub id: RecordId,
    /// What the record is now, or `None` if it is gone.
    pub record: Option<StoredRecord>,
}

/// One record found by one search.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexHit {
    /// Which record.
    pub id: RecordId,
    /// Which revision the index saw; hydration drops the hit if the ledger holds another.
    pub version: Version,
    /// Higher is better. Dense: cosine in [-1, 1]. Lexical: BM25, above 0.
    pub score: f32,
}

/// One record that an index holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexedId {
    /// Which record.
    pub id: RecordId,
    /// Which revision.
    pub version: Version,
    /// Whether it holds an embedding of it.
    pub embedded: bool,
}

/// What an index tells about its state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexReport {
    /// Records that it holds of the namespace asked about.
    pub records: u64,
    /// Embeddings among them.
    pub embeddings: u64,
    /// Bytes of memory and disk that it takes, as far as it knows.
    pub bytes: u64,
    /// What is wrong, in words; empty if nothing is.
    pub faults: Vec<String>,
}

/// What can be searched.
///
/// # Contract
/// - `[I1]` *`apply` follows the feed: changes at or below `position` are ignored, so repeating a call changes nothing.*
/// - `[I2]` *A record that was applied is found; one that is gone is not.*
/// - `[I3]` *A replaced record is found by its new text and embedding only, with its new version.*
/// - `[I4]` *No search, listing or score in one namespace depends on another namespace.*
/// - `[I5]` *Hits are ordered by score, highest first, then by id, and are at most `limit`.*
/// - `[I6]` *Every record that passes the filter can be found, and no other, exactly as `Filter::matches` decides.* (A `Coarse` index may find others too.)
/// - `[I7]` *Dense: the score is the cosine; a record without an embedding is never found by vector.*
/// - `[I8]` *Dense: a vector of another model than `prepare` named is a `ModelMismatch` that names both, at `apply` and at search.*
/// - `[I9]` *Lexical: any query is literal text; one without words finds nothing and is no error.*
/// - `[I10]` *Lexical: inflected forms of English and Russian words find each other, `ё` equals `е`, and text without spaces is found by its parts.*
/// - `[I11]` *`ids` lists exactly what is held, each once.* (An index that offers only dense search holds only records with an embedding.)
/// - `[I12]` *After `drop_namespace` the namespace is empty at position 0 and can be fed anew.*
/// - `[I13]` *An index fed change by change answers like one fed the final state at once.*
/// - `[I14]` *A way of searching that is not offered is `Unsupported`.*
/// - `[I15]` *Every change at or below `visible` shows in searches and listings; it never lies beyond `position`, and where nothing more is applied it reaches it.* (At once, where visibility is immediate.)
/// - `[I16]` *Another handle on the same data starts at a position that it has, or before it.* (A handle that shares nothing starts at zero.)
#[async_trait]
pub trait Index: Debug + Send + Sync + 'static {
    /// Its name in explanations and in the outbox, for example `local`.
    fn name(&self) -> &'static str;

    /// What it offers.
    fn capabilities(&self) -> IndexCapabilities;

    /// Makes it ready to hold embeddings of `model` (or none). Called before the first use of a namespace; repeating it is cheap.
    async fn prepare(&self, namespace: &Namespace, model: Option<&EmbeddingModel>) -> Result<()>;

    /// The last change that it has seen; zero if none.
    async fn position(&self, namespace: &Namespace) -> Result<ChangeSeq>;

    /// The last change up to which searches show everything. It may ask the backend.
    async fn visible(&self, namespace: &Namespace) -> Result<ChangeSeq>;

    /// Applies changes in the order of the feed and moves `position` to `through`, which may lie beyond the last of them.
    async fn apply(&self, namespace: &Namespace, changes: &[IndexChange], through: ChangeSeq) -> Result<()>;

    /// The closest records by embedding.
    ///
    /// # Errors
    /// `Conflict` where it does not hold any more all that `position` told: what is missing has to be applied again.
    async fn search_dense(
        &self,
        namespace: &Namespace,
        vector: &Embedding,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<IndexHit>>;

    /// The best records by words.
    async fn search_text(
        &self,
        namespace: &Namespace,
        query: &str,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<IndexHit>>;

    /// Everything that it holds, ordered by id.
    async fn ids(&self, namespace: &Namespace, page: &PageRequest) -> Result<Page<IndexedId>>;

    /// Forgets the whole namespace.
    async fn drop_namespace(&self, namespace: &Namespace) -> Result<()>;

    /// Tells its state.
    async fn check(&self, namespace: &Namespace) -> Result<IndexReport>;
}
