//! The cache: what it asks for, what it remembers, and that forgetting is complete.

use std::{collections::BTreeSet, time::Duration};

use mnemic_core::{ErrorKind, Metric};
use proptest::prelude::*;
use tokio::sync::Notify;

use super::*;

/// Embeds a text as its length and first byte, knows no word that begins with `?`, and keeps a list of what it was asked.
#[derive(Debug)]
struct Lengths {
    model: EmbeddingModel,
    asked: Mutex<Vec<Vec<String>>>,
    failing: Mutex<bool>,
    gate: Option<Notify>,
}

impl Lengths {
    fn new() -> Self {
        let model = EmbeddingModel::new("test", "lengths", 2, Metric::Cosine).unwrap();
        Self { model, asked: Mutex::default(), failing: Mutex::new(false), gate: None }
    }

    /// Answers each call only after a notification.
    fn gated() -> Self {
        Self { gate: Some(Notify::new()), ..Self::new() }
    }

    fn asked(&self) -> Vec<Vec<String>> {
        self.asked.lock().unwrap().clone()
    }

    fn vector(&self, text: &str) -> Option<Embedding> {
        let first = f32::from(text.bytes().next().unwrap_or(1));
        (!text.starts_with('?')).then(|| Embedding::new(&self.model, vec![text.len() as f32, first]).unwrap())
    }
}

#[async_trait]
impl Embedder for Lengths {
    fn model(&self) -> Option<&EmbeddingModel> {
        Some(&self.model)
    }

    async fn embed(&self, _: Purpose, texts: &[&str]) -> Result<Vec<Option<Embedding>>> {
        self.asked.lock().unwrap().push(texts.iter().map(|text| (*text).to_owned()).collect());
        if let Some(gate) = &self.gate {
            gate.notified().await;
        }
        if *self.failing.lock().unwrap() {
            return Err(Error::new(ErrorKind::Unavailable, "down"));
        }
        Ok(texts.iter().map(|text| self.vector(text)).collect())
    }
}

fn cached(inner: Lengths) -> (Arc<Lengths>, Arc<Cached<Lengths>>) {
    let inner = Arc::new(inner);
    (inner.clone(), Arc::new(Cached::new(inner, CacheConfig::default())))
}

async fn documents(cached: &Cached<Lengths>, texts: &[&str]) -> Vec<Option<Embedding>> {
    cached.embed(Purpose::Document, texts).await.unwrap()
}

#[tokio::test]
async fn a_batch_asks_for_each_missing_text_once_and_keeps_the_order() {
    let (inner, cached) = cached(Lengths::new());
    documents(&cached, &["bb", "?"]).await;
    let found = documents(&cached, &["a", "bb", "?", "a", "ccc", "bb"]).await;
    assert_eq!(inner.asked(), [vec!["bb", "?"], vec!["a", "ccc"]]);
    let expected: Vec<_> = ["a", "bb", "?", "a", "ccc", "bb"].iter().map(|text| inner.vector(text)).collect();
    assert_eq!(found, expected);
    assert!(documents(&cached, &[]).await.is_empty());
}

#[tokio::test]
async fn the_purpose_is_part_of_the_question() {
    let (inner, cached) = cached(Lengths::new());
    documents(&cached, &["a"]).await;
    cached.embed(Purpose::Query, &["a"]).await.unwrap();
    cached.embed(Purpose::Query, &["a"]).await.unwrap();
    assert_eq!(inner.asked().len(), 2);
}

#[tokio::test]
async fn an_error_is_not_remembered() {
    let (inner, cached) = cached(Lengths::new());
    *inner.failing.lock().unwrap() = true;
    assert_eq!(cached.embed(Purpose::Document, &["a"]).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(lock(&cached.flights).waiting.is_empty(), "nobody asks any more");
    *inner.failing.lock().unwrap() = false;
    assert!(documents(&cached, &["a"]).await[0].is_some());
    assert_eq!(inner.asked().len(), 2);
}

/// Lets every other task run as far as it can.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn callers_at_once_ask_for_a_text_once_and_a_failure_is_only_the_askers_own() {
    for failing in [false, true] {
        let (inner, cached) = cached(Lengths::gated());
        let ask = |texts: &'static [&'static str]| {
            let cached = cached.clone();
            tokio::spawn(async move { cached.embed(Purpose::Document, texts).await })
        };
        let first = ask(&["a", "b"]);
        settle().await;
        let second = ask(&["b", "c"]);
        settle().await;
        assert_eq!(inner.asked(), [vec!["a", "b"], vec!["c"]]);
        let gate = inner.gate.as_ref().unwrap();
        *inner.failing.lock().unwrap() = failing;
        gate.notify_one();
        settle().await;
        *inner.failing.lock().unwrap() = false;
        for _ in 0..3 {
            gate.notify_one();
            settle().await;
        }
        assert_eq!(first.await.unwrap().is_err(), failing);
        let found = second.await.unwrap().unwrap();
        assert_eq!(found, [inner.vector("b"), inner.vector("c")]);
        assert_eq!(inner.asked().len(), if failing { 3 } else { 2 });
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up_leaves_nobody_waiting() {
    let (inner, cached) = cached(Lengths::gated());
    let ask = |cached: Arc<Cached<Lengths>>| async move { cached.embed(Purpose::Document, &["a"]).await };
    let impatient = tokio::spawn(tokio::time::timeout(Duration::from_secs(1), ask(cached.clone())));
    settle().await;
    let patient = tokio::spawn(ask(cached.clone()));
    assert!(impatient.await.unwrap().is_err());
    settle().await;
    inner.gate.as_ref().unwrap().notify_one();
    assert!(patient.await.unwrap().is_ok());
    assert_eq!(inner.asked().len(), 2);
}

#[tokio::test]
async fn what_is_forgotten_is_asked_for_anew_for_either_purpose_and_the_rest_is_not() {
    let (inner, cached) = cached(Lengths::new());
    for purpose in [Purpose::Document, Purpose::Query] {
        cached.embed(purpose, &["a", "b"]).await.unwrap();
    }
    assert_eq!(cached.figures().entries, 4);
    cached.forget(&["a"]);
    assert_eq!(cached.figures().entries, 2);
    for purpose in [Purpose::Document, Purpose::Query] {
        cached.embed(purpose, &["a", "b"]).await.unwrap();
    }
    assert_eq!(inner.asked()[2..], [vec!["a"], vec!["a"]]);
    cached.clear();
    let figures = cached.figures();
    assert_eq!((figures.entries, figures.bytes), (0, 0));
}

#[tokio::test]
async fn what_was_asked_for_before_forgetting_is_not_kept_when_it_arrives_after() {
    for clear in [true, false] {
        let (inner, cached) = cached(Lengths::gated());
        let call = tokio::spawn({
            let cached = cached.clone();
            async move { cached.embed(Purpose::Document, &["secret"]).await }
        });
        settle().await;
        if clear {
            cached.clear();
        } else {
            cached.forget(&["secret"]);
        }
        inner.gate.as_ref().unwrap().notify_one();
        assert!(call.await.unwrap().unwrap()[0].is_some());
        assert_eq!(cached.figures().entries, 0);
    }
}

#[tokio::test]
async fn it_stays_within_its_bytes() {
    let inner = Arc::new(Lengths::new());
    let cached = Cached::new(inner, CacheConfig { bytes: 10 * u64::from(ENTRY_BYTES + 8) });
    for n in 0..1_000 {
        documents(&cached, &[&format!("text {n}")]).await;
    }
    let figures = cached.figures();
    assert!((1..=10).contains(&figures.entries), "{figures:?}");
    assert!(figures.bytes <= 10 * u64::from(ENTRY_BYTES + 8), "{figures:?}");
}

#[tokio::test]
async fn an_embedder_that_answers_too_few_entries_is_a_bug_and_poisons_nothing() {
    #[derive(Debug)]
    struct Short(EmbeddingModel);
    #[async_trait]
    impl Embedder for Short {
        fn model(&self) -> Option<&EmbeddingModel> {
            Some(&self.0)
        }
        async fn embed(&self, _: Purpose, texts: &[&str]) -> Result<Vec<Option<Embedding>>> {
            Ok(vec![None; texts.len() - 1])
        }
    }
    let short = Short(EmbeddingModel::new("test", "short", 2, Metric::Cosine).unwrap());
    let cached = Cached::new(Arc::new(short), CacheConfig::default());
    assert_eq!(cached.embed(Purpose::Document, &["a", "b"]).await.unwrap_err().kind(), ErrorKind::Bug);
    assert_eq!(cached.figures().entries, 0);
}

#[test]
fn keys_hold_no_text_and_differ_from_cache_to_cache() {
    let ((inner, one), (_, two)) = (cached(Lengths::new()), cached(Lengths::new()));
    let key = |cached: &Cached<Lengths>| cached.key(&inner.model, Purpose::Document, "the same text");
    assert_eq!(key(&one), key(&one));
    assert_ne!(key(&one), key(&two));
    assert_ne!(key(&one), <Key>::from(Sha256::digest("the same text")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_answers_what_the_embedder_would_and_asks_for_no_text_twice(
        batches in prop::collection::vec(prop::collection::vec("[?a-c]{1,2}", 0..8), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (inner, cached) = cached(Lengths::new());
        runtime.block_on(async {
            for batch in &batches {
                let texts: Vec<&str> = batch.iter().map(String::as_str).collect();
                let expected: Vec<_> = texts.iter().map(|text| inner.vector(text)).collect();
                assert_eq!(documents(&cached, &texts).await, expected);
            }
        });
        let asked: Vec<String> = inner.asked().into_iter().flatten().collect();
        let different: BTreeSet<&String> = asked.iter().collect();
        prop_assert_eq!(different.len(), asked.len());
    }
}
