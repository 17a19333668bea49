//! Moving a namespace to another memory: exactly, again and again until nothing is left, and compared. Not here: how commits are read
//! and repeated (`mnemic-migration`).

use mnemic_core::{ChangeSeq, Error, ErrorKind, RecordId, Result};
use mnemic_migration::{AsIs, Comparison, Followed, Lens, Reembed, Side, compare, follow_through};

use super::{MemoryManager, MigrateOptions, Query, Retrieval, keep_up::Paced};

/// Changes that are repeated at once, unless they are large: a page is bounded by its bytes too. Each is one durable transaction.
const PAGE: usize = 4000;
/// The same where texts are embedded on the way: what is cut off is embedded, and paid for, again.
const EMBEDDED_PAGE: usize = 250;

/// Whether a target is the same memory as its source.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MigrationReport {
    /// Everything that both ledgers hold.
    pub comparison: Comparison,
    /// What the target's indexes hold otherwise than its ledger.
    pub index_faults: Vec<String>,
    /// Retrievals that were asked of both.
    pub asked: usize,
    /// Of those, how many answered the same records in the same order.
    pub same_order: usize,
    /// The share of the source's hits that the target found too, 0 to 1; 1 if nothing was asked.
    pub overlap: f64,
}

impl MigrationReport {
    /// Whether nothing differs. Retrievals may: other indexes rank otherwise, within what they promise.
    pub fn is_same(&self) -> bool {
        self.comparison.differing == 0 && self.index_faults.is_empty()
    }
}

/// What becomes of embeddings on their way to another memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carried {
    AsTheyAre,
    Anew,
}

impl MemoryManager {
    pub(super) fn side(&self) -> Side<'_> {
        (self.engine.ledger.as_ref(), &self.namespace)
    }

    /// Brings `target` to where this namespace stands: ids, versions, history, events with their chain, slots, embeddings and the
    /// change feed become the same. Tells each position of the feed that is reached.
    ///
    /// It may be stopped anywhere and called again: it goes on where the target stands. This memory is only read, and may be written to
    /// meanwhile; what is written then is brought over by the next call. The target becomes a copy that refuses other writes until
    /// [`Self::cut_over`].
    ///
    /// # Errors
    /// `Unsupported` for what [`Self::plan_migration`] calls an obstacle, `Conflict` if the target holds something else, and what
    /// either ledger gives.
    pub async fn migrate_to(&self, target: &Self, reached: impl FnMut(ChangeSeq) + Send) -> Result<Followed> {
        self.migrate_with(target, &MigrateOptions::default(), reached).await
    }

    /// Repeats in `target` what this namespace holds beyond it. Embeddings are made anew on the way where the target's embedder makes
    /// others than the source's. Not here: obstacles, and the target's indexes.
    ///
    /// # Errors
    /// `Conflict` if the target holds something else, and what either ledger or the target's embedder gives.
    pub(crate) async fn bring(&self, target: &Self, reached: impl FnMut(ChangeSeq) + Send) -> Result<Followed> {
        let carried = self.carried_to(target).await?;
        self.carry(target, carried, reached).await
    }

    pub(super) async fn carry(
        &self,
        target: &Self,
        carried: Carried,
        reached: impl FnMut(ChangeSeq) + Send,
    ) -> Result<Followed> {
        self.carry_at(target, carried, &MigrateOptions::default(), reached).await
    }

    pub(super) async fn carry_at(
        &self,
        target: &Self,
        carried: Carried,
        how: &MigrateOptions,
        reached: impl FnMut(ChangeSeq) + Send,
    ) -> Result<Followed> {
        let anew: Reembed<'_>;
        let paced: Paced<'_>;
        let (mut lens, page): (&dyn Lens, usize) = match carried {
            Carried::AsTheyAre => (&AsIs, PAGE),
            Carried::Anew => {
                // Opened with another embedder than the one that made the copy: two spaces would meet in it.
                target.engine.check_model(&target.namespace).await?;
                anew = Reembed::new(target.engine.embedder.as_ref())?;
                (&anew, EMBEDDED_PAGE)
            }
        };
        if let Some(rate) = how.rate {
            paced = Paced::new(lens, rate);
            lens = &paced;
        }
        let followed = follow_through(self.side(), target.side(), lens, how.page(page), reached).await?;
        // An embedding tells its text almost word for word: what was erased is not remembered either.
        if let (true, Some(cache)) = (followed.erased, &target.engine.cache) {
            cache.clear();
        }
        Ok(followed)
    }

    /// Which of the two, the same at every call for the same pair, so that a copy is made in one way whoever goes on making it.
    pub(super) async fn carried_to(&self, target: &Self) -> Result<Carried> {
        let (Some(theirs), ours) = (target.engine.embedder.model(), self.engine.embedder.model()) else {
            // What is stored stays true for the day when there is an embedder again.
            return Ok(Carried::AsTheyAre);
        };
        let anew = match ours {
            // A model that was changed in the settings of a memory that holds another's embeddings: those are not the target's.
            Some(ours) if ours == theirs => match self.engine.check_model(&self.namespace).await {
                Ok(()) => false,
                Err(error) if error.kind() == ErrorKind::ModelMismatch => true,
                Err(error) => return Err(error),
            },
            Some(_) => true,
            None => {
                let held = self.engine.ledger.report(&self.namespace).await?;
                let copy = target.engine.ledger.report(&target.namespace).await?;
                // Texts that nobody embedded stay so in a copy that was begun like that.
                let begun_without = copy.records > 0 && copy.embeddings == 0;
                if held.models.is_empty() { !begun_without } else { held.models.iter().any(|model| model != theirs) }
            }
        };
        Ok(if anew { Carried::Anew } else { Carried::AsTheyAre })
    }

    pub(super) fn check_apart(&self, target: &Self) -> Result<()> {
        if std::sync::Arc::ptr_eq(&self.engine.ledger, &target.engine.ledger) && self.namespace == target.namespace {
            return Err(Error::invalid("target", "another memory or namespace", "the source itself"));
        }
        Ok(())
    }

    /// Compares everything that this namespace and its copy hold, the copy's indexes with its ledger, and `samples` retrievals.
    ///
    /// # Errors
    /// What either side gives; differences are in the answer.
    pub async fn compare_with(&self, target: &Self, samples: usize) -> Result<MigrationReport> {
        let comparison = compare(self.side(), target.side()).await?;
        let index_faults = target.verify_here().await?.faults;
        let mut report = MigrationReport { comparison, index_faults, overlap: 1.0, ..MigrationReport::default() };
        self.sample(target, samples, &mut report).await?;
        Ok(report)
    }

    /// Asks both for what is said in records that lie evenly apart.
    async fn sample(&self, target: &Self, samples: usize, report: &mut MigrationReport) -> Result<()> {
        let (mut expected, mut found) = (0usize, 0usize);
        for question in self.sampled(samples).await? {
            let query = Query::new(question.text);
            let (theirs, ours) = (self.retrieve_here(&query).await?, target.retrieve_here(&query).await?);
            let (theirs, ours) = (ids(&theirs), ids(&ours));
            report.asked += 1;
            report.same_order += usize::from(theirs == ours);
            expected += theirs.len();
            found += theirs.iter().filter(|id| ours.contains(id)).count();
        }
        if expected > 0 {
            report.overlap = found as f64 / expected as f64;
        }
        Ok(())
    }
}

fn ids(found: &Retrieval) -> Vec<&RecordId> {
    found.hits.iter().map(|hit| &hit.record.id).collect()
}
