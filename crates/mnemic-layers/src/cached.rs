//! An embedder that remembers. Vectors are kept in memory only and end with the process. Not here: limits and retries (`Guarded`, inside).
//!
//! A vector tells its text almost word for word, so it counts as the text where something is forgotten: after [`Cached::forget`] or
//! [`Cached::clear`] returns, no vector of the texts is found, and none comes back through a call that was on its way. Keys are keyed
//! hashes whose key is random and never leaves the process, so that a memory dump cannot be searched for a guessed text.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use mnemic_core::{
    Embedding, EmbeddingModel, Error, Result,
    ports::{Embedder, Purpose},
};
use moka::sync::Cache;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use uuid::Uuid;

/// What an entry takes beside its components: key, policy and table.
const ENTRY_BYTES: u32 = 256;

/// How much a cache may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// Bytes of vectors and what belongs to them. Beyond, what is used least goes.
    pub bytes: u64,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { bytes: 64 * 1024 * 1024 }
    }
}

/// What a cache tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheFigures {
    /// Entries that it holds.
    pub entries: u64,
    /// Bytes that they take.
    pub bytes: u64,
    /// Texts answered without asking, also by waiting for a call that was on its way.
    pub hits: u64,
    /// Texts asked for.
    pub misses: u64,
}

type Key = [u8; 32];
/// `None` within: the model cannot represent the text, which is worth remembering too.
type Remembered = Option<Embedding>;
/// `None` until it is known.
type Known = Option<Remembered>;

#[derive(Default)]
struct Flights {
    /// Texts that somebody is asking for.
    waiting: HashMap<Key, watch::Receiver<Known>>,
    /// Counts forgetting; what was asked for before is not kept after.
    era: u64,
    hits: u64,
    misses: u64,
}

/// An embedder in front of another one that asks it for a text once. Only successes are kept, and a batch asks for what is missing.
pub struct Cached<E: ?Sized> {
    inner: Arc<E>,
    secret: [u8; 32],
    cache: Cache<Key, Remembered>,
    flights: Mutex<Flights>,
}

impl<E: ?Sized + fmt::Debug> fmt::Debug for Cached<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached")
            .field("inner", &&*self.inner)
            .field("entries", &self.cache.entry_count())
            .finish_non_exhaustive()
    }
}

/// Texts that this call asks for. However it ends, nobody waits for them afterwards.
struct Asking<'a> {
    flights: &'a Mutex<Flights>,
    era: u64,
    keys: Vec<(Key, watch::Sender<Known>)>,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut flights = lock(self.flights);
        // After a change of era the entries are gone, and those that are there belong to others.
        if flights.era == self.era {
            for (key, _) in &self.keys {
                flights.waiting.remove(key);
            }
        }
    }
}

fn lock(flights: &Mutex<Flights>) -> MutexGuard<'_, Flights> {
    flights.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is to be done for the texts of one call, by their places in the list of different texts.
struct Plan<'a> {
    known: Vec<Known>,
    ask: Vec<usize>,
    asking: Asking<'a>,
    wait: Vec<(usize, watch::Receiver<Known>)>,
}

impl<E: ?Sized> Cached<E> {
    /// A cache before `inner`.
    pub fn new(inner: Arc<E>, config: CacheConfig) -> Self {
        let cache = Cache::builder()
            .weigher(|_: &Key, value: &Remembered| {
                let components = value.as_ref().map_or(0, |embedding| embedding.components().len());
                u32::try_from(components * size_of::<f32>()).unwrap_or(u32::MAX).saturating_add(ENTRY_BYTES)
            })
            .max_capacity(config.bytes)
            .build();
        let mut secret = [0; 32];
        for (to, from) in
            secret.iter_mut().zip(Uuid::new_v4().into_bytes().into_iter().chain(Uuid::new_v4().into_bytes()))
        {
            *to = from;
        }
        Self { inner, secret, cache, flights: Mutex::default() }
    }

    /// Forgets everything.
    pub fn clear(&self) {
        let mut flights = lock(&self.flights);
        flights.era += 1;
        flights.waiting.clear();
        self.cache.invalidate_all();
        self.cache.run_pending_tasks();
    }

    /// What it holds and how it served.
    pub fn figures(&self) -> CacheFigures {
        self.cache.run_pending_tasks();
        let flights = lock(&self.flights);
        CacheFigures {
            entries: self.cache.entry_count(),
            bytes: self.cache.weighted_size(),
            hits: flights.hits,
            misses: flights.misses,
        }
    }

    fn key(&self, model: &EmbeddingModel, purpose: Purpose, text: &str) -> Key {
        let model = model.to_string();
        let purpose: &[u8] = match purpose {
            Purpose::Document => b"d",
            Purpose::Query => b"q",
        };
        // The length keeps the name of a model and a text apart. The secret in front makes the hash worthless outside.
        let mut hash = Sha256::new();
        for part in [&self.secret, &(model.len() as u64).to_le_bytes()[..], model.as_bytes(), purpose, text.as_bytes()]
        {
            hash.update(part);
        }
        hash.finalize().into()
    }

    /// Sorts the keys into what is known, what others ask for, and what this call has to ask for.
    fn plan(&self, keys: &[Key], join: bool) -> Plan<'_> {
        let mut flights = lock(&self.flights);
        let asking = Asking { flights: &self.flights, era: flights.era, keys: Vec::new() };
        let mut plan = Plan { known: Vec::with_capacity(keys.len()), ask: Vec::new(), asking, wait: Vec::new() };
        for (place, key) in keys.iter().enumerate() {
            let known = self.cache.get(key);
            if known.is_some() {
                flights.hits += 1;
            } else if let Some(flight) = flights.waiting.get(key).cloned() {
                if join {
                    flights.hits += 1;
                    plan.wait.push((place, flight));
                } else {
                    flights.misses += 1;
                    plan.ask.push(place);
                }
            } else {
                flights.misses += 1;
                let (sender, receiver) = watch::channel(None);
                flights.waiting.insert(*key, receiver);
                plan.asking.keys.push((*key, sender));
                plan.ask.push(place);
            }
            plan.known.push(known);
        }
        plan
    }

    /// Keeps what came, unless something was forgotten since it was asked for, and tells those who wait.
    fn keep(&self, asking: &Asking<'_>, came: &HashMap<Key, Remembered>) {
        let flights = lock(&self.flights);
        for (key, sender) in &asking.keys {
            let Some(value) = came.get(key) else { continue };
            if flights.era == asking.era {
                self.cache.insert(*key, value.clone());
            }
            sender.send_replace(Some(value.clone()));
        }
    }
}

impl<E: Embedder + ?Sized> Cached<E> {
    /// Forgets the vectors of these texts, for either purpose.
    pub fn forget(&self, texts: &[&str]) {
        let mut flights = lock(&self.flights);
        flights.era += 1;
        flights.waiting.clear();
        let Some(model) = self.inner.model() else { return };
        for text in texts {
            for purpose in [Purpose::Document, Purpose::Query] {
                self.cache.invalidate(&self.key(model, purpose, text));
            }
        }
        self.cache.run_pending_tasks();
    }

    /// The vectors of different texts, in their order.
    async fn distinct(&self, purpose: Purpose, texts: &[&str], keys: &[Key], join: bool) -> Result<Vec<Known>> {
        let Plan { mut known, ask, asking, wait } = self.plan(keys, join);
        let at = |place: &usize| texts.get(*place).copied().unwrap_or_default();
        // What this call asks for never depends on those it waits for, so two calls cannot wait for each other.
        if !ask.is_empty() {
            let wanted: Vec<&str> = ask.iter().map(at).collect();
            let came = self.inner.embed(purpose, &wanted).await?;
            if came.len() != wanted.len() {
                let message = format!("an embedder answered {} texts with {} entries", wanted.len(), came.len());
                return Err(Error::bug(message));
            }
            let mut by_key = HashMap::with_capacity(ask.len());
            for (place, value) in ask.iter().zip(came) {
                if let (Some(slot), Some(key)) = (known.get_mut(*place), keys.get(*place)) {
                    by_key.insert(*key, value.clone());
                    *slot = Some(value);
                }
            }
            self.keep(&asking, &by_key);
        }
        drop(asking);
        for (place, mut flight) in wait {
            let value = flight.wait_for(Option::is_some).await.ok().and_then(|value| value.clone());
            if let Some(slot) = known.get_mut(place) {
                *slot = value;
            }
        }
        Ok(known)
    }
}

#[async_trait]
impl<E: Embedder + ?Sized> Embedder for Cached<E> {
    fn model(&self) -> Option<&EmbeddingModel> {
        self.inner.model()
    }

    async fn embed(&self, purpose: Purpose, texts: &[&str]) -> Result<Vec<Option<Embedding>>> {
        let Some(model) = self.inner.model() else { return self.inner.embed(purpose, texts).await };
        let (mut places, mut distinct, mut keys) = (HashMap::new(), Vec::new(), Vec::new());
        let order: Vec<usize> = texts
            .iter()
            .map(|text| {
                *places.entry(*text).or_insert_with(|| {
                    distinct.push(*text);
                    keys.push(self.key(model, purpose, text));
                    keys.len() - 1
                })
            })
            .collect();
        let mut known = self.distinct(purpose, &distinct, &keys, true).await?;
        // A flight of another caller that failed or was given up says nothing about these texts: ask for them alone.
        let left: Vec<usize> = (0..known.len()).filter(|place| known.get(*place).is_none_or(Option::is_none)).collect();
        if !left.is_empty() {
            let texts: Vec<&str> = left.iter().filter_map(|place| distinct.get(*place).copied()).collect();
            let keys: Vec<Key> = left.iter().filter_map(|place| keys.get(*place).copied()).collect();
            let again = self.distinct(purpose, &texts, &keys, false).await?;
            for (place, value) in left.into_iter().zip(again) {
                if let Some(slot) = known.get_mut(place) {
                    *slot = value;
                }
            }
        }
        let entry = |place: usize| known.get(place).cloned().flatten();
        order.into_iter().map(|place| entry(place).ok_or_else(|| Error::bug("a text was not asked for"))).collect()
    }
}

#[cfg(test)]
#[path = "cached_tests.rs"]
mod tests;
