//! A true index with one promise broken. Not here: which case must notice (`can_fail_index`).

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use async_trait::async_trait;
use mnemic_core::{
    ChangeSeq, Embedding, EmbeddingModel, Error, ErrorKind, Filter, Namespace, Page, PageRequest, RecordId, Result,
    Version,
    ports::{Index, IndexCapabilities, IndexChange, IndexHit, IndexReport, IndexedId, Offer},
};
use mnemic_indexes::LocalIndex;

/// The promise that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breach {
    AppliesThePastAgain,
    KeepsWhatIsGone,
    TellsOldVersions,
    MixesNamespaces,
    HasWorstFirst,
    IgnoresFilters,
    CutsBeforeFiltering,
    InflatesScores,
    TakesAnyModel,
    ParsesQueries,
    ReadsPatterns,
    MatchesLetterForLetter,
    HidesWhatHasNoEmbedding,
    DropsNothing,
    ScoresByHistory,
    AnswersWhatItDoesNotOffer,
    ShowsTooMuch,
    StartsAhead,
}

#[derive(Debug)]
pub(crate) struct Mutant {
    breach: Breach,
    inner: LocalIndex,
    applied: AtomicU32,
    texts: Mutex<BTreeMap<RecordId, String>>,
}

impl Mutant {
    pub(crate) fn new(breach: Breach, inner: LocalIndex) -> Self {
        Self { breach, inner, applied: AtomicU32::new(0), texts: Mutex::default() }
    }

    fn is(&self, breach: Breach) -> bool {
        self.breach == breach
    }

    fn place(&self, namespace: &Namespace) -> Namespace {
        if self.is(Breach::MixesNamespaces) { Namespace::new("one-for-all").unwrap() } else { namespace.clone() }
    }

    fn shown(&self, mut hits: Vec<IndexHit>) -> Vec<IndexHit> {
        let applied = self.applied.load(Ordering::SeqCst) as f32;
        match self.breach {
            Breach::TellsOldVersions => hits.iter_mut().for_each(|hit| hit.version = Version(1)),
            Breach::HasWorstFirst => hits.reverse(),
            Breach::InflatesScores => hits.iter_mut().for_each(|hit| hit.score *= 1.1),
            Breach::ScoresByHistory => hits.iter_mut().for_each(|hit| hit.score += applied / 100.0),
            _ => {}
        }
        hits
    }
}

#[async_trait]
impl Index for Mutant {
    fn name(&self) -> &'static str {
        "mutant"
    }

    fn capabilities(&self) -> IndexCapabilities {
        let mut capabilities = self.inner.capabilities();
        if self.is(Breach::AnswersWhatItDoesNotOffer) {
            capabilities.dense = Offer::No;
        }
        capabilities
    }

    async fn prepare(&self, namespace: &Namespace, model: Option<&EmbeddingModel>) -> Result<()> {
        self.inner.prepare(&self.place(namespace), model).await
    }

    async fn position(&self, namespace: &Namespace) -> Result<ChangeSeq> {
        let position = self.inner.position(&self.place(namespace)).await?;
        let ahead = self.is(Breach::StartsAhead) && position == ChangeSeq::default();
        Ok(if ahead { ChangeSeq(u64::MAX) } else { position })
    }

    async fn visible(&self, namespace: &Namespace) -> Result<ChangeSeq> {
        let visible = self.inner.visible(&self.place(namespace)).await?;
        Ok(if self.is(Breach::ShowsTooMuch) { ChangeSeq(visible.0 + 1) } else { visible })
    }

    async fn apply(&self, namespace: &Namespace, changes: &[IndexChange], through: ChangeSeq) -> Result<()> {
        let ns = &self.place(namespace);
        let (mut changes, mut through) = (changes.to_vec(), through);
        self.applied.fetch_add(1, Ordering::SeqCst);
        for change in &changes {
            if let Some(stored) = &change.record {
                self.texts.lock().unwrap().insert(change.id.clone(), stored.record.text.to_lowercase());
            }
        }
        match self.breach {
            Breach::KeepsWhatIsGone => changes.retain(|change| change.record.is_some()),
            Breach::TakesAnyModel => {
                changes.iter_mut().filter_map(|c| c.record.as_mut()).for_each(|s| s.embedding = None);
            }
            Breach::AppliesThePastAgain => {
                let mut next = self.inner.position(ns).await?.0;
                for change in &mut changes {
                    next += 1;
                    change.seq = ChangeSeq(next);
                }
                through = ChangeSeq(next.max(through.0));
            }
            _ => {}
        }
        self.inner.apply(ns, &changes, through).await
    }

    async fn search_dense(
        &self,
        namespace: &Namespace,
        vector: &Embedding,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<IndexHit>> {
        let (ns, everything) = (&self.place(namespace), Filter::all());
        let filter = if self.is(Breach::IgnoresFilters) { &everything } else { filter };
        match self.inner.search_dense(ns, vector, filter, limit).await {
            Err(_) if self.is(Breach::TakesAnyModel) => Ok(Vec::new()),
            outcome => outcome.map(|hits| self.shown(hits)),
        }
    }

    async fn search_text(
        &self,
        namespace: &Namespace,
        query: &str,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<IndexHit>> {
        let (ns, everything) = (&self.place(namespace), Filter::all());
        let filter = if self.is(Breach::IgnoresFilters) { &everything } else { filter };
        if self.is(Breach::ParsesQueries) && query.matches('"').count() % 2 == 1 {
            return Err(Error::new(ErrorKind::InvalidInput, "query: unterminated string"));
        }
        if self.is(Breach::ReadsPatterns) && query == "cell*" {
            return self.inner.search_text(ns, "cello", filter, limit).await;
        }
        let mut hits = self.inner.search_text(ns, query, filter, limit).await?;
        if self.is(Breach::CutsBeforeFiltering) {
            let cut = self.inner.search_text(ns, query, &everything, limit).await?;
            hits.retain(|hit| cut.iter().any(|other| other.id == hit.id));
        }
        if self.is(Breach::MatchesLetterForLetter) {
            let texts = self.texts.lock().unwrap();
            hits.retain(|hit| texts[&hit.id].contains(&query.to_lowercase()));
        }
        Ok(self.shown(hits))
    }

    async fn ids(&self, namespace: &Namespace, page: &PageRequest) -> Result<Page<IndexedId>> {
        let mut page = self.inner.ids(&self.place(namespace), page).await?;
        if self.is(Breach::HidesWhatHasNoEmbedding) {
            page.items.retain(|held| held.embedded);
        }
        Ok(page)
    }

    async fn drop_namespace(&self, namespace: &Namespace) -> Result<()> {
        if self.is(Breach::DropsNothing) {
            return Ok(());
        }
        self.inner.drop_namespace(&self.place(namespace)).await
    }

    async fn check(&self, namespace: &Namespace) -> Result<IndexReport> {
        self.inner.check(&self.place(namespace)).await
    }
}
