//! The short way of a commit: where this program knows how a namespace stood after its last commit, it guesses that nobody else has
//! written since and that what comes is new, decides by that, and has the server check the guess and write in one statement. A wrong
//! guess changes nothing; the long way (`known`, `save`) then finds out. Not here: deciding (`commit`).

use std::{
    collections::BTreeMap,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
};

use mnemic_core::{Batch, EmbeddingModel, ErrorKind, Namespace, Precondition, Receipt, Result, Version};
use mnemic_postgres::{Pool, Query, Type};

use super::{
    arrays::{self, Arrays},
    commit::Group,
    error::whole,
    known::{Known, Position},
    rows::RecordRow,
    save::{CHUNK, Writes},
};

/// Namespaces that are remembered at once; beyond them all are forgotten.
const REMEMBERED: usize = 4096;
/// How much later than the last time old receipts are let go again, in microseconds of the batches' time.
const SWEEP: i64 = 3_600_000_000;
/// After guesses that were wrong one after the other, twice as many groups each time go the long way, up to two to the power of this.
const PATIENCE: u32 = 6;

/// Parameters of the function that checks a guess and writes.
const PARAMETERS: usize = 47;

static COMMIT_NEW: LazyLock<String> = LazyLock::new(|| {
    let parameters: Vec<String> = (1..=PARAMETERS).map(|number| format!("${number}")).collect();
    format!("SELECT mnemic.commit_new({})", parameters.join(", "))
});

/// How a namespace stood when it was last seen.
#[derive(Debug, Default)]
pub(super) struct Guess {
    position: Option<Position>,
    models: Vec<(i32, EmbeddingModel)>,
    /// Up to when receipts were let go.
    swept: Option<i64>,
    /// Wrong guesses since the last right one.
    wrong: u32,
    /// Groups that take the long way before the next guess.
    pause: u32,
}

/// What is remembered of namespaces. Who serves a namespace takes its guess, so that a lost answer leaves none.
#[derive(Debug, Default)]
pub(super) struct Guesses(Mutex<BTreeMap<Namespace, Guess>>);

impl Guesses {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Namespace, Guess>> {
        // Nothing that runs under the lock leaves it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(&self, namespace: &Namespace) -> Guess {
        self.lock().remove(namespace).unwrap_or_default()
    }

    pub(super) fn keep(&self, namespace: &Namespace, guess: Guess) {
        let mut all = self.lock();
        if all.len() >= REMEMBERED {
            all.clear();
        }
        all.insert(namespace.clone(), guess);
    }
}

impl Guess {
    /// What the long way found and did.
    pub(super) fn learn(&mut self, known: Known, models: bool) {
        self.position = Some(known.position);
        if models {
            self.models = known.models;
        }
    }

    /// Commits a group by guessing. `None` if that cannot be done or was wrong; then nothing was changed.
    ///
    /// # Errors
    /// `Unavailable`. What else goes wrong is found out again, and told, by the long way.
    pub(super) async fn commit(
        &mut self,
        pool: &Pool,
        namespace: &Namespace,
        batches: &[Batch],
    ) -> Result<Option<Vec<Result<Receipt>>>> {
        let Some(before) = self.position.filter(|_| batches.iter().all(is_of_new)) else { return Ok(None) };
        if self.pause > 0 {
            self.pause -= 1;
            return Ok(None);
        }
        let models = std::mem::take(&mut self.models);
        let known = Known { position: before, models, ..Known::default() };
        let mut group = Group { known, ..Group::default() };
        let answers = batches.iter().map(|batch| group.commit(batch)).collect();
        if !plain(&group.writes) {
            self.forget_drafted(group);
            return Ok(None);
        }
        match self.send(pool, namespace, before, &group).await {
            Ok(true) => {
                self.wrong = 0;
                self.position = Some(group.known.position);
                self.models = group.known.models;
                Ok(Some(answers))
            }
            Err(error) if error.kind() == ErrorKind::Unavailable => Err(error),
            Ok(false) | Err(_) => {
                self.pause = 1 << self.wrong.min(PATIENCE);
                self.wrong += 1;
                self.forget_drafted(group);
                Ok(None)
            }
        }
    }

    /// Keeps the models that are stored for sure, without those that the group would have added.
    fn forget_drafted(&mut self, group: Group) {
        let mut models = group.known.models;
        models.truncate(models.len() - group.writes.models.len());
        self.models = models;
    }

    /// Whether the server found the guess right, and has written and committed.
    async fn send(&mut self, pool: &Pool, namespace: &Namespace, before: Position, group: &Group) -> Result<bool> {
        let (writes, after) = (&group.writes, group.known.position);
        let sweep = writes.receipts_before.filter(|before| self.swept.is_none_or(|last| before - last > SWEEP));
        let place = [
            Some(whole(before.head)?),
            Some(whole(before.sequence)?),
            Some(whole(after.head)?),
            Some(whole(after.sequence)?),
            sweep,
        ];
        let model = writes.records.values().find_map(|row| row.vector.as_ref()).map(|vector| vector.model);
        let space = group.known.models.iter().find(|(no, _)| Some(*no) == model).map(|(no, model)| {
            let (dimension, metric) = (model.dimension().to_string(), model.metric().as_str().to_owned());
            vec![no.to_string(), model.provider().to_owned(), model.name().to_owned(), dimension, metric]
        });
        let tails = [&before.tail.0[..], &after.tail.0[..]];
        let rows: Vec<&RecordRow> = writes.records.values().collect();
        let columns = Arrays::default()
            .ints(place.into_iter())
            .bytes(tails.into_iter().map(Some))
            .one(Type::TEXT_ARRAY, space)
            .and(arrays::of_records(&rows))
            .and(arrays::of_commits(&writes.commits))
            .and(arrays::of_outbox(&writes.outbox))
            .and(arrays::of_events(&writes.events))
            .and(arrays::of_receipts(&writes.receipts));
        let answer = pool.call(namespace, &columns.bound(Query::new(COMMIT_NEW.as_str()))).await?;
        let right = answer.first(0)?.unwrap_or(false);
        if right && sweep.is_some() {
            self.swept = sweep;
        }
        Ok(right)
    }
}

/// Whether nothing stored bears on a batch, if its names are new.
fn is_of_new(batch: &Batch) -> bool {
    let unseen = |expect| matches!(expect, Precondition::Any | Precondition::Version(Version::NONE));
    batch.deletes.is_empty()
        && batch.embeddings.is_empty()
        && batch.slots.is_empty()
        && batch.settle.is_empty()
        && batch.writes.iter().all(|write| unseen(write.expect))
}

/// Whether one statement carries this: rows to add, of no more than one model that is stored.
fn plain(writes: &Writes) -> bool {
    let mut models = writes.records.values().filter_map(|row| row.vector.as_ref()).map(|vector| vector.model);
    let first = models.next();
    let bytes = writes.records.values().map(RecordRow::bytes).sum::<usize>()
        + writes.events.iter().map(|row| 256 + row.body.len()).sum::<usize>();
    !writes.commits.is_empty()
        && writes.models.is_empty()
        && writes.revisions.is_empty()
        && models.all(|model| Some(model) == first)
        && bytes <= CHUNK
}
