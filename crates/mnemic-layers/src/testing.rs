//! An adapter that answers as told, in the time of the test's clock. Not here: any test.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use mnemic_core::{
    Embedding, EmbeddingModel, Error, ErrorKind, Metric, Result, Retry,
    ports::{Embedder, Purpose, Reranker},
};

/// How one call goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Answer {
    Succeed,
    Slow(Duration),
    Hang,
    Fail(ErrorKind, Retry),
}

impl Answer {
    pub(crate) fn is_refusal(self) -> bool {
        matches!(self, Self::Fail(ErrorKind::RateLimited, _))
    }
}

/// Answers by a script, and after its end by its last line for ever (without one: success).
#[derive(Debug)]
pub(crate) struct Scripted {
    script: Mutex<(VecDeque<Answer>, Answer, u64)>,
    model: EmbeddingModel,
}

impl Scripted {
    pub(crate) fn new(script: impl IntoIterator<Item = Answer>) -> Self {
        let script: VecDeque<_> = script.into_iter().collect();
        let last = script.back().copied().unwrap_or(Answer::Succeed);
        let model = EmbeddingModel::new("test", "scripted", 2, Metric::Cosine).unwrap();
        Self { script: Mutex::new((script, last, 0)), model }
    }

    pub(crate) fn always(answer: Answer) -> Self {
        Self::new([answer])
    }

    /// Calls so far.
    pub(crate) fn calls(&self) -> u64 {
        self.script.lock().unwrap_or_else(PoisonError::into_inner).2
    }

    async fn answer(&self) -> Result<()> {
        let answer = {
            let mut script = self.script.lock().unwrap_or_else(PoisonError::into_inner);
            script.2 += 1;
            script.0.pop_front().unwrap_or(script.1)
        };
        match answer {
            Answer::Succeed => Ok(()),
            Answer::Slow(duration) => {
                tokio::time::sleep(duration).await;
                Ok(())
            }
            Answer::Hang => std::future::pending().await,
            Answer::Fail(kind, retry) => Err(Error::new(kind, "fails as told").with_retry(retry)),
        }
    }
}

#[async_trait]
impl Reranker for Scripted {
    async fn rerank(&self, _: &str, texts: &[&str]) -> Result<Vec<f32>> {
        self.answer().await.map(|()| vec![0.0; texts.len()])
    }
}

#[async_trait]
impl Embedder for Scripted {
    fn model(&self) -> Option<&EmbeddingModel> {
        Some(&self.model)
    }

    async fn embed(&self, _: Purpose, texts: &[&str]) -> Result<Vec<Option<Embedding>>> {
        self.answer().await?;
        texts.iter().map(|_| Embedding::new(&self.model, vec![1.0, 2.0]).map(Some)).collect()
    }
}
