//! How an index stands when it is about to be searched, after what can be done about it in the time that a reader has.
//! Not here: bringing it up to date (`follow`).

use std::{
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use mnemic_core::{Error, Namespace, Result, ports::Visibility};

use super::{
    Engine, FreshView, LEDGER, Place,
    follow::{Goal, part},
};

/// How long a retrieval waits for a server's index to catch up before it is searched as it is.
const READER_PATIENCE: Duration = Duration::from_secs(1);
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

impl Engine {
    /// How the index at `place` stands, after what can be done about it in the time that a reader has.
    pub(crate) async fn standing(self: &Arc<Self>, namespace: &Namespace, place: usize) -> Result<Standing> {
        let Some(placed) = self.indexes.get(place) else { return Ok(Standing::Current) };
        let (index, name) = (&placed.index, placed.index.name());
        let head = self.noted(LEDGER, self.ledger.head(namespace).await)?;
        if placed.place == Place::Near {
            let state = self.state(namespace);
            let Some(follower) = state.followers.get(place) else { return Ok(Standing::Current) };
            let mut feed = follower.feed.lock().await;
            return match self.bring(namespace, placed, &mut feed, &[], Goal::Head(head)).await {
                Ok(()) => Ok(Standing::Current),
                Err(error) => Ok(Standing::Refused(format!("index {name} is behind: {error}"))),
            };
        }
        let state = self.state(namespace);
        let Some(follower) = state.followers.get(place) else { return Ok(Standing::Current) };
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
                let mut shown = follower.shown.lock().unwrap_or_else(PoisonError::into_inner);
                *shown = Some((visible, Instant::now()));
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
        match self.fresh_view(namespace, follower, (visible, head), model.as_ref()).await {
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
