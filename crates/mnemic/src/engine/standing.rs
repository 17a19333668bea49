//! How an index stands when it is about to be searched, after what can be done about it in the time that a reader has.
//! Not here: bringing it up to date (`follow`).

use std::{
    pin::pin,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use mnemic_core::{Error, Namespace, Result, ports::Visibility};
use tokio::time::sleep;

use super::{
    Engine, Follower, FreshView, LEDGER, NamespaceState, Place, Placed,
    follow::{Goal, part},
};

/// How long a retrieval waits for a server's index to catch up before it is searched as it is.
const READER_PATIENCE: Duration = Duration::from_secs(1);
/// How long a retrieval waits to hear whether what an index in this process lacks is what others are just committing.
const COMMIT_PATIENCE: Duration = Duration::from_millis(20);
/// How long an index that showed everything is believed to do so.
const SHOWN_FOR: Duration = Duration::from_secs(2);

/// How an index stands when it is about to be searched.
#[derive(Clone, Debug)]
pub(crate) enum Standing {
    /// It shows everything.
    Current,
    /// It does not show everything yet; the rest is here.
    Fresh(FreshView),
    /// It does not show everything, and the rest is too much or cannot be read.
    Lags(String),
    /// It must not be searched: what it would find might be a part of the answer, or gone.
    Refused(String),
}

/// What a retrieval waits for where an index in this process lacks something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// What was acknowledged.
    Acknowledged,
    /// Everything that is committed, also what nobody was answered for yet.
    Committed,
}

impl Engine {
    /// How an index in this process stands, which shows everything that was acknowledged: what it lacks is brought to it first, unless that
    /// is only what others are writing at this moment.
    async fn standing_near(
        &self,
        namespace: &Namespace,
        placed: &Placed,
        (state, follower): (&NamespaceState, &Follower),
        wanted: Wanted,
    ) -> Result<Standing> {
        let life = state.life();
        let known = wanted == Wanted::Acknowledged && follower.known.load(Ordering::SeqCst) == life;
        let position = if known { placed.index.position(namespace).await.ok() } else { None };
        let head = self.noted(LEDGER, self.ledger.head(namespace).await)?;
        // Of this ledger, a position that was read first is not ahead of the head; one that is has followed another life of it.
        let mut position = position.filter(|position| *position <= head);
        let (writers, patience) = (state.under_way.next(), sleep(COMMIT_PATIENCE));
        let (mut patience, mut patient) = (pin!(patience), true);
        let mut feed = loop {
            let changed = state.under_way.changed();
            if position.is_some_and(|position| state.under_way.covers(position, head)) {
                return Ok(Standing::Current);
            }
            // Who has committed just now may not have said so yet.
            let soon = patient && position.is_some() && state.under_way.expects(writers);
            tokio::select! {
                feed = follower.feed.lock(), if !soon => break feed,
                () = patience.as_mut(), if soon => patient = false,
                () = changed, if position.is_some() => {
                    position = placed.index.position(namespace).await.ok().map(|now| now.min(head));
                }
            }
        };
        match self.bring(namespace, placed, &mut feed, &[], Goal::Head(head)).await {
            Ok(()) => {
                follower.known.store(life, Ordering::SeqCst);
                drop(feed);
                self.make_room().await;
                Ok(Standing::Current)
            }
            Err(error) => Ok(Standing::Refused(format!("index {} is behind: {error}", placed.index.name()))),
        }
    }

    /// How the index at `place` stands, after what can be done about it in the time that a reader has.
    pub(crate) async fn standing(
        self: &Arc<Self>,
        namespace: &Namespace,
        place: usize,
        wanted: Wanted,
    ) -> Result<Standing> {
        let Some(placed) = self.indexes.get(place) else { return Ok(Standing::Current) };
        let (index, name) = (&placed.index, placed.index.name());
        let state = self.state(namespace);
        let Some(follower) = state.followers.get(place) else { return Ok(Standing::Current) };
        if placed.place == Place::Near {
            return self.standing_near(namespace, placed, (&state, follower), wanted).await;
        }
        let life = state.life();
        let head = self.noted(LEDGER, self.ledger.head(namespace).await)?;
        let shown = *follower.shown.lock().unwrap_or_else(PoisonError::into_inner);
        // Others may make the index anew, so what it showed holds for a moment only.
        if shown.is_some_and(|(seen, at)| seen >= head && at.elapsed() < SHOWN_FOR) {
            return Ok(Standing::Current);
        }
        let caught_up = match index.capabilities().visibility {
            Visibility::Immediate => self.bring_soon(namespace, place, &[], Goal::Unknown, READER_PATIENCE).await,
            Visibility::Eventual => {
                if shown.is_none_or(|(seen, _)| seen < head) {
                    self.note_pending(namespace);
                }
                Ok(())
            }
        };
        let visible = match index.visible(namespace).await {
            Ok(visible) => {
                state.remember(life, &follower.shown, Some((visible, Instant::now())));
                visible
            }
            // What it showed when it was last asked, it still holds.
            Err(error) => {
                self.note_down(&part(index.as_ref()), &error);
                shown.map(|(seen, _)| seen).unwrap_or_default()
            }
        };
        if visible >= head {
            return Ok(Standing::Current);
        }
        let model = self.indexed_model(namespace).await?;
        match self.fresh_view(namespace, (life, follower), (visible, head), model.as_ref()).await {
            Ok(Some(view)) => Ok(Standing::Fresh(view)),
            Ok(None) => {
                let changes = head.0.saturating_sub(visible.0);
                let why = caught_up.err().map(|error: Error| format!(": {error}")).unwrap_or_default();
                Ok(Standing::Lags(format!("index {name} is {changes} changes behind and catches up later{why}")))
            }
            Err(error) => Ok(Standing::Lags(format!("index {name} is behind: {error}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use mnemic_core::{
        Batch, ChangeSeq, MemoryRecord, Precondition, RecordId, RecordWrite, StoredRecord, ports::IndexChange,
    };
    use tokio::{
        task::JoinHandle,
        time::{sleep, timeout},
    };

    use crate::{MemoryManager, NewRecord, Query, WriteOptions};

    async fn write(memory: &MemoryManager, text: &str) {
        memory.write(vec![NewRecord::new(text)], &WriteOptions::default()).await.unwrap();
    }

    async fn found(memory: &MemoryManager) -> Vec<String> {
        let found = memory.retrieve(&Query::new("common")).await.unwrap();
        assert!(found.degraded.is_empty(), "{:?}", found.degraded);
        let mut texts: Vec<String> = found.hits.into_iter().map(|hit| hit.record.text).collect();
        texts.sort();
        texts
    }

    /// A retrieval that had time to end, if nothing keeps it.
    async fn begin_to_find(memory: &MemoryManager) -> JoinHandle<Vec<String>> {
        let memory = memory.clone();
        let reader = tokio::spawn(async move { found(&memory).await });
        sleep(Duration::from_millis(200)).await;
        reader
    }

    #[tokio::test]
    async fn a_reader_waits_for_what_was_acknowledged_and_for_nothing_else() {
        let memory = MemoryManager::dev().unwrap();
        let (engine, namespace) = (memory.shared_engine(), memory.namespace());
        write(&memory, "common a").await;
        assert_eq!(found(&memory).await, ["common a"]);
        let before = engine.ledger.head(namespace).await.unwrap();

        // Somebody brings much to the index, and another writer has committed behind them.
        let feeding = Arc::clone(&engine.state(namespace).followers[0].feed).lock_owned().await;
        let writer = tokio::spawn({
            let memory = memory.clone();
            async move { write(&memory, "common b").await }
        });
        while engine.ledger.head(namespace).await.unwrap() == before {
            sleep(Duration::from_millis(1)).await;
        }
        let now = timeout(Duration::from_secs(20), found(&memory)).await.expect("it waited for a write under way");
        assert_eq!(now, ["common a"]);

        // What another process has written may have been acknowledged there.
        let mut batch = Batch::new(engine.clock.now());
        let record = MemoryRecord::new(RecordId::new("c").unwrap(), "common c", engine.clock.now());
        batch.writes.push(RecordWrite { record, embedding: None, tasks: Vec::new(), expect: Precondition::Any });
        engine.ledger.commit(namespace, batch).await.unwrap();
        let reader = begin_to_find(&memory).await;
        assert!(!reader.is_finished(), "it did not wait for what it has to find");
        drop(feeding);
        assert_eq!(reader.await.unwrap(), ["common a", "common b", "common c"]);
        writer.await.unwrap();
        assert_eq!(found(&memory).await, ["common a", "common b", "common c"]);
    }
    #[tokio::test]
    async fn whoever_feeds_an_index_keeps_others_from_it_through_a_change_of_lives() {
        let memory = MemoryManager::dev().unwrap();
        let (engine, namespace) = (memory.shared_engine(), memory.namespace());
        write(&memory, "common a").await;
        assert_eq!(found(&memory).await, ["common a"]);
        let feeding = Arc::clone(&engine.state(namespace).followers[0].feed).lock_owned().await;
        engine.begin_anew(namespace, false);
        let reader = begin_to_find(&memory).await;
        assert!(!reader.is_finished(), "it believed what was seen of the index in the life before");
        drop(feeding);
        assert_eq!(reader.await.unwrap(), ["common a"]);
    }

    #[tokio::test]
    async fn a_record_that_is_written_anew_or_merged_is_found_at_every_moment() {
        let memory = MemoryManager::dev().unwrap();
        let (engine, namespace) = (memory.shared_engine(), memory.namespace());
        let told = |id: &str, text: &str| NewRecord { id: Some(RecordId::new(id).unwrap()), ..NewRecord::new(text) };
        let (twin, options) = (told("b", "common a"), WriteOptions::default());
        memory.write(vec![told("a", "common a"), twin.clone()], &options).await.unwrap();
        assert_eq!(found(&memory).await, ["common a", "common a"]);

        // Both writers have committed, and the index does not know yet.
        let feeding = Arc::clone(&engine.state(namespace).followers[0].feed).lock_owned().await;
        let before = engine.ledger.head(namespace).await.unwrap();
        let merging = tokio::spawn({
            let memory = memory.clone();
            async move { memory.consolidate(&crate::Consolidation::default()).await.unwrap() }
        });
        while engine.ledger.head(namespace).await.unwrap() == before {
            sleep(Duration::from_millis(1)).await;
        }
        let reader = begin_to_find(&memory).await;
        drop(feeding);
        assert_eq!(reader.await.unwrap(), ["common a"], "neither the one nor the other");
        merging.await.unwrap();
    }

    #[tokio::test]
    async fn a_filling_that_was_interrupted_leaves_nothing_that_is_gone() {
        let memory = MemoryManager::dev().unwrap();
        let (engine, namespace) = (memory.shared_engine(), memory.namespace());
        let mut batch = Batch::new(engine.clock.now());
        for n in 0..1001 {
            let record = MemoryRecord::new(RecordId::new(format!("r{n}")).unwrap(), "common", engine.clock.now());
            batch.writes.push(RecordWrite { record, embedding: None, tasks: Vec::new(), expect: Precondition::Any });
        }
        engine.ledger.commit(namespace, batch).await.unwrap();
        let index = &engine.indexes[0].index;
        let gone = MemoryRecord::new(RecordId::new("gone").unwrap(), "common", engine.clock.now());
        let record = Some(StoredRecord { record: gone, embedding: None });
        let change = IndexChange { seq: ChangeSeq(1), id: RecordId::new("gone").unwrap(), record };
        index.apply(namespace, &[change], ChangeSeq(0)).await.unwrap();
        assert_eq!(found(&memory).await.len(), 10);
        let held = index.check(namespace).await.unwrap();
        assert_eq!(held.records, 1001, "what is gone went with the filling that brought it");
    }
}
