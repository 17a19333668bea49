//! The parts of a memory and what keeps them in step. Not here: the verbs (`manager`).

mod commit;
mod erased;
mod follow;
mod fresh;
mod outages;
mod roles;
mod saved;
mod spooled;
mod standing;
mod under_way;
pub(crate) mod worker;

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use mnemic_core::{
    ChangeSeq, Embedding, EmbeddingModel, Error, ErrorKind, Namespace, Result, Retry,
    ports::{Clock, Embedder, Index, Ledger, Offer, Purpose, Reranker},
};
use mnemic_indexes::LocalIndex;
use mnemic_layers::Cached;
use mnemic_ledgers::SqliteLedger;

use crate::builder::Policies;

pub(crate) use commit::{Kept, LEDGER, LazySpool, SPOOL};
pub(crate) use follow::part;
pub(crate) use fresh::FreshView;
use outages::Outage;
pub(crate) use outages::is_away;
use roles::Roles;
pub(crate) use roles::{HOPS, Place as Origin, ROLE_LIFE, of_env_file};
pub(crate) use standing::{Standing, Wanted};
use under_way::{Intent, UnderWay};

/// How long the ledger may take to tell which models it holds.
const MODEL_PATIENCE: Duration = Duration::from_secs(10);

/// How long who reads believes that a namespace holds no embedding.
const EMPTY_LIFE: Duration = Duration::from_secs(1);

/// The concrete parts of the embedded mode, for what only it can do: backup, verification of files, saving the index.
#[derive(Clone, Debug)]
pub(crate) struct Embedded {
    pub(crate) ledger: Arc<SqliteLedger>,
    pub(crate) index: Arc<LocalIndex>,
}

/// Where an index does its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In this process: it is brought up to date before it is searched.
    Near,
    /// On a server: it is searched as it is, beside what it does not show yet.
    Far,
}

/// An index and where it is.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) index: Arc<dyn Index>,
    pub(crate) place: Place,
}

/// What an engine is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) indexes: Vec<Placed>,
    pub(crate) embedder: Arc<dyn Embedder>,
    pub(crate) reranker: Option<Arc<dyn Reranker>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) policies: Policies,
    pub(crate) embedded: Option<Embedded>,
    pub(crate) spool: Option<LazySpool>,
    pub(crate) cache: Option<Arc<Cached<dyn Embedder>>>,
    pub(crate) origin: Origin,
    /// How long a role that was read is believed.
    pub(crate) role_life: Duration,
}

/// The parts of a memory, together.
pub(crate) struct Engine {
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) indexes: Vec<Placed>,
    pub(crate) embedder: Arc<dyn Embedder>,
    pub(crate) reranker: Option<Arc<dyn Reranker>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) policies: Policies,
    pub(crate) embedded: Option<Embedded>,
    pub(crate) spool: Option<LazySpool>,
    /// What is remembered of a hosted embedder's answers.
    pub(crate) cache: Option<Arc<Cached<dyn Embedder>>>,
    /// Held while the spool is replayed, so that its order is kept.
    replaying: tokio::sync::Mutex<()>,
    /// Wakes the worker before its time.
    pub(crate) work: Arc<tokio::sync::Notify>,
    /// How many pending embeddings are made at once.
    pub(crate) drained_at_once: AtomicUsize,
    /// Namespaces with work left.
    pending: Mutex<BTreeSet<Namespace>>,
    states: Mutex<HashMap<Namespace, Arc<NamespaceState>>>,
    outages: Mutex<HashMap<String, Outage>>,
    /// How often an index of a namespace was emptied to be made anew.
    emptied: Mutex<HashMap<Namespace, u64>>,
    pub(crate) origin: Origin,
    role_life: Duration,
    roles: Roles,
    /// Held while writes are brought to a mirror.
    pub(crate) mirroring: tokio::sync::Mutex<()>,
}

/// What is remembered about a namespace between calls. It is never replaced, so that there is one lock of each feed: who waited for it
/// through a change of lives must not feed an index beside whoever has it in hand.
struct NamespaceState {
    /// Which life of the namespace this is, from 1. What was seen of its indexes in an earlier one tells nothing.
    life: AtomicU64,
    /// The latest life whose indexes in this process are to be emptied before they are fed.
    emptied_for: AtomicU64,
    setup: Mutex<Setup>,
    /// One for each index, in the engine's order.
    followers: Vec<Follower>,
    /// What was committed here and is not yet acknowledged.
    under_way: Arc<UnderWay>,
}

/// What is known of a namespace's embeddings.
#[derive(Clone, Default)]
enum Setup {
    #[default]
    Unknown,
    /// No model was stored then. Another process may store the first embedding, so it is asked again: after a while, or without an
    /// instant at once.
    Empty(Option<Instant>),
    /// A stored model that the embedder's differs from, if there is one; dense search and writing are refused while there is.
    Known(Option<EmbeddingModel>),
}

/// What is remembered about one index of one namespace.
#[derive(Default)]
struct Follower {
    /// Held while the index catches up, so that changes reach it in the order of the feed.
    feed: Arc<tokio::sync::Mutex<Feed>>,
    /// The life in which it was brought up to date by this process, and so is of this ledger and in the right space; 0 if in none, or if it
    /// was emptied since.
    known: AtomicU64,
    /// A position up to which it was seen to show everything, and when.
    shown: Mutex<Option<(ChangeSeq, Instant)>>,
    /// What it does not show yet, searchable here.
    fresh: tokio::sync::Mutex<Option<fresh::Fresh>>,
}

#[derive(Default)]
struct Feed {
    /// The life in which it was prepared; 0 if in none.
    prepared: u64,
    persisted_at: ChangeSeq,
}

impl NamespaceState {
    fn life(&self) -> u64 {
        self.life.load(Ordering::SeqCst)
    }

    /// Puts what was learnt into its place, unless the life that it was learnt in is over.
    fn remember<T>(&self, life: u64, place: &Mutex<T>, learnt: T) {
        let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
        if self.life() == life {
            *place = learnt;
        }
    }

    /// Lets the ledger be asked again where no model was stored: another process may have stored the first embedding since.
    fn doubt_empty(&self) {
        let mut setup = self.setup.lock().unwrap_or_else(PoisonError::into_inner);
        if let Setup::Empty(seen) = &mut *setup {
            *seen = None;
        }
    }

    /// Begins another life of the namespace.
    fn begin_anew(&self) {
        // Before anything is cleared, so that nobody puts back what the life before knew.
        self.life.fetch_add(1, Ordering::SeqCst);
        *self.setup.lock().unwrap_or_else(PoisonError::into_inner) = Setup::Unknown;
        for follower in &self.followers {
            *follower.shown.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("ledger", &self.ledger)
            .field("indexes", &self.indexes)
            .field("embedder", &self.embedder)
            .finish_non_exhaustive()
    }
}

impl Engine {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { ledger, indexes, embedder, reranker, clock, policies, embedded, spool, cache, origin, role_life } =
            parts;
        Self {
            ledger,
            indexes,
            embedder,
            reranker,
            clock,
            policies,
            embedded,
            spool,
            cache,
            replaying: tokio::sync::Mutex::default(),
            work: Arc::default(),
            drained_at_once: AtomicUsize::new(usize::MAX),
            pending: Mutex::default(),
            states: Mutex::default(),
            outages: Mutex::default(),
            emptied: Mutex::default(),
            origin,
            role_life,
            roles: Roles::default(),
            mirroring: tokio::sync::Mutex::default(),
        }
    }

    fn state(&self, namespace: &Namespace) -> Arc<NamespaceState> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = states.get(namespace) {
            return Arc::clone(state);
        }
        let made = || NamespaceState {
            life: AtomicU64::new(1),
            emptied_for: AtomicU64::new(0),
            setup: Mutex::default(),
            followers: self.indexes.iter().map(|_| Follower::default()).collect(),
            under_way: Arc::default(),
        };
        Arc::clone(states.entry(namespace.clone()).or_insert_with(|| Arc::new(made())))
    }

    /// Tells readers that a commit may be made, which they need not wait for.
    pub(crate) fn intend(&self, namespace: &Namespace) -> Intent {
        self.state(namespace).under_way.intend()
    }

    /// The place in the list of the first index that offers a way of searching.
    pub(crate) fn index_for(&self, offers: impl Fn(&dyn Index) -> Offer) -> Option<usize> {
        self.indexes.iter().position(|placed| offers(placed.index.as_ref()) == Offer::Yes)
    }

    /// Refuses to mix embedding spaces, before something is stored in one.
    pub(crate) async fn check_model(&self, namespace: &Namespace) -> Result<()> {
        self.state(namespace).doubt_empty();
        self.check_model_lately(namespace).await
    }

    /// Refuses to compare embeddings of two spaces.
    pub(crate) async fn check_model_lately(&self, namespace: &Namespace) -> Result<()> {
        match (self.foreign_model(namespace).await?, self.embedder.model()) {
            (Some(stored), Some(ours)) => stored.check_same(ours),
            _ => Ok(()),
        }
    }

    /// A stored model that the embedder's differs from.
    async fn foreign_model(&self, namespace: &Namespace) -> Result<Option<EmbeddingModel>> {
        let state = self.state(namespace);
        let life = state.life();
        // Not held while the ledger is asked: one that hangs must not queue every call behind the first.
        let known = state.setup.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known.clone() {
            Setup::Known(foreign) => return Ok(foreign),
            Setup::Empty(Some(seen)) if seen.elapsed() < EMPTY_LIFE => return Ok(None),
            Setup::Empty(_) | Setup::Unknown => {}
        }
        let learnt = match self.embedder.model() {
            None => Setup::Known(None),
            Some(ours) => {
                let late = |_elapsed| {
                    let message = "the ledger did not tell its models in time";
                    Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Soon)
                };
                let asked = Instant::now();
                let models = tokio::time::timeout(MODEL_PATIENCE, self.ledger.models(namespace)).await.map_err(late)?;
                match models? {
                    none if none.is_empty() => Setup::Empty(Some(asked)),
                    models => Setup::Known(models.into_iter().find(|stored| stored != ours)),
                }
            }
        };
        let foreign_came = matches!((&known, &learnt), (Setup::Empty(_), Setup::Known(Some(_))));
        if foreign_came && state.life() == life {
            // The indexes were prepared for our model.
            state.begin_anew();
            state.remember(life + 1, &state.setup, learnt.clone());
        } else {
            state.remember(life, &state.setup, learnt.clone());
        }
        Ok(if let Setup::Known(foreign) = learnt { foreign } else { None })
    }

    /// The model of what indexes hold: the stored one while it is another than the embedder's.
    async fn indexed_model(&self, namespace: &Namespace) -> Result<Option<EmbeddingModel>> {
        Ok(self.foreign_model(namespace).await?.or_else(|| self.embedder.model().cloned()))
    }

    /// How long a switch waits until nobody believes in the old role any more.
    pub(crate) fn role_life(&self) -> Duration {
        self.role_life
    }

    /// Lets go of what is known of a namespace's indexes and models. What an index in this process holds is not believed either if it is
    /// to be read `from_the_beginning`.
    fn begin_anew(&self, namespace: &Namespace, from_the_beginning: bool) {
        let state = self.state(namespace);
        // Before the life begins, so that nobody prepares an index for it without emptying it.
        if from_the_beginning {
            state.emptied_for.fetch_max(state.life() + 1, Ordering::SeqCst);
        }
        state.begin_anew();
    }

    /// How often an index of the namespace was emptied to be made anew. Who searches while this changes may find nothing where there is
    /// something, and searches again.
    pub(crate) fn emptied(&self, namespace: &Namespace) -> u64 {
        self.emptied.lock().unwrap_or_else(PoisonError::into_inner).get(namespace).copied().unwrap_or(0)
    }

    /// Told before an index is emptied, with its feed in hand. Who begins to search from here on waits for the feed; who has begun before
    /// sees the number change.
    fn note_emptied(&self, namespace: &Namespace) {
        for follower in &self.state(namespace).followers {
            follower.known.store(0, Ordering::SeqCst);
        }
        *self.emptied.lock().unwrap_or_else(PoisonError::into_inner).entry(namespace.clone()).or_default() += 1;
    }

    /// What a search of an index came to. One that is not as far any more as it was believed to be is asked how far it is, and who
    /// searches now does it again.
    pub(crate) fn searched<T>(&self, namespace: &Namespace, index: &dyn Index, outcome: Result<T>) -> Result<T> {
        if outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Conflict) {
            for follower in &self.state(namespace).followers {
                *follower.shown.lock().unwrap_or_else(PoisonError::into_inner) = None;
            }
            self.note_emptied(namespace);
        }
        self.noted(&part(index), outcome)
    }

    /// Namespaces touched since the start.
    pub(crate) fn touched(&self) -> Vec<Namespace> {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let mut names: Vec<Namespace> = states.keys().cloned().collect();
        names.sort();
        names
    }

    /// Embeds texts and refuses an answer that does not fit the question.
    pub(crate) async fn embed(&self, purpose: Purpose, texts: &[&str]) -> Result<Vec<Option<Embedding>>> {
        let Some(model) = self.embedder.model() else { return Ok(vec![None; texts.len()]) };
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let embeddings = self.noted("embedder", self.embedder.embed(purpose, texts).await)?;
        if embeddings.len() != texts.len() {
            let message = format!("embedder {model}: expected {} embeddings, found {}", texts.len(), embeddings.len());
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        embeddings.iter().flatten().try_for_each(|embedding| model.check_same(embedding.model()))?;
        Ok(embeddings)
    }
}
