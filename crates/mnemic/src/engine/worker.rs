//! What is left to do is done in the background: replaying the spool, embedding what is pending, bringing indexes up to date.
//! Not here: the doing (`commit`, `follow`, `manager/outbox`).

use std::{
    sync::{Arc, PoisonError, Weak},
    time::Duration,
};

use mnemic_core::{Namespace, PageRequest, Result};

use super::Engine;
use crate::MemoryManager;

/// Between two rounds while there is work and it succeeds.
const SOON: Duration = Duration::from_millis(100);
/// Between two rounds while nothing is to be done or nothing succeeds.
const LATER: Duration = Duration::from_secs(15);

/// What is left after a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Everything is done.
    Nothing,
    /// There is more.
    Something,
}

/// Starts the worker of an engine. It ends by itself soon after the engine's last handle is gone.
pub(crate) fn start(engine: &Arc<Engine>, runtime: &tokio::runtime::Handle) {
    let (weak, work) = (Arc::downgrade(engine), Arc::clone(&engine.work));
    runtime.spawn(async move {
        let (mut pause, mut looked) = (SOON, false);
        loop {
            let woken = tokio::time::timeout(pause, work.notified()).await.is_ok();
            let Some(round) = tend(&weak, looked).await else { return };
            looked |= round.is_ok();
            pause = match round {
                Ok(Left::Nothing) => LATER,
                Ok(Left::Something) => SOON,
                // A wake-up says that somebody wants it done, not that the backend is back.
                Err(_) if woken => pause.max(SOON * 2),
                Err(_) => (pause * 2).min(LATER),
            };
        }
    });
}

/// One round; `None` if the engine is gone.
async fn tend(engine: &Weak<Engine>, looked: bool) -> Option<Result<Left>> {
    let engine = engine.upgrade()?;
    let outcome = engine.tend(looked).await;
    if let Err(error) = &outcome {
        tracing::debug!(%error, "work is left for the next round");
    }
    Some(outcome)
}

impl Engine {
    /// Remembers that a namespace has work left, and wakes the worker.
    pub(crate) fn note_pending(&self, namespace: &Namespace) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.insert(namespace.clone()) {
            self.work.notify_one();
        }
    }

    async fn tend(self: &Arc<Self>, looked: bool) -> Result<Left> {
        // What cannot be replayed yet does not keep the rest of the work.
        let replayed = self.replay().await;
        if !looked {
            self.look_for_work().await?;
        }
        let names: Vec<Namespace> = {
            let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
            pending.iter().cloned().collect()
        };
        let mut first = replayed.map(|()| Left::Nothing);
        for namespace in names {
            let outcome = self.finish(&namespace).await;
            match (&first, outcome) {
                (Ok(_), Ok(Left::Something)) => first = Ok(Left::Something),
                // One namespace that fails does not keep the others from their turn.
                (Ok(_), Err(error)) => first = Err(error),
                _ => {}
            }
        }
        first
    }

    /// What an earlier process left: namespaces with outstanding embeddings. Indexes that are behind are found when they are used.
    async fn look_for_work(&self) -> Result<()> {
        let mut page = PageRequest::largest();
        loop {
            let found = self.ledger.namespaces(&page).await?;
            for namespace in &found.items {
                if !self.ledger.outbox(namespace, 1).await?.is_empty() {
                    self.note_pending(namespace);
                }
            }
            if found.next.is_none() {
                return Ok(());
            }
            page = page.after(found.next);
        }
    }

    async fn finish(self: &Arc<Self>, namespace: &Namespace) -> Result<Left> {
        // Taken out first: what comes meanwhile puts it in again.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).remove(namespace);
        let outcome = async {
            // One page in each turn, so that much work in one namespace does not hold up the others.
            let (_made, left) = MemoryManager::new(Arc::clone(self), namespace.clone()).drain_some().await?;
            self.sync_all(namespace).await.map(|()| left)
        };
        match outcome.await {
            Ok(Left::Nothing) => {}
            unfinished => {
                self.note_pending_quietly(namespace);
                return unfinished;
            }
        }
        let head = self.ledger.head(namespace).await?;
        for placed in &self.indexes {
            if placed.index.visible(namespace).await? < head {
                self.note_pending_quietly(namespace);
                return Ok(Left::Something);
            }
        }
        Ok(Left::Nothing)
    }

    fn note_pending_quietly(&self, namespace: &Namespace) {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).insert(namespace.clone());
    }
}
