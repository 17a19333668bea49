//! Slots, and the prompt block made of slots, retrieved records and recent events. Not here: the composing itself (`policy::prompt`).

use std::collections::BTreeMap;

use mnemic_core::{
    AuditEvent, Batch, Error, Filter, Order, PageRequest, Precondition, Result, SlotMode, SlotWrite, ThreadId,
    Timestamp, UserId, VersionedSlots,
    policy::prompt::{Counts, PromptParts, compose},
    ports::EventRange,
};

use super::{MemoryManager, Query, read::take_turns};
use crate::engine::Kept;

/// Events of the thread that a block may hold.
const RECENT_EVENTS: usize = 20;
/// Budgets beyond this are surely a mistake of units.
const MAX_BUDGET: usize = 1_000_000;

/// How to set slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetSlots {
    /// Whether slots that are not named stay.
    pub mode: SlotMode,
    /// What must hold of the stored version.
    pub expect: Precondition,
}

/// What to put into a prompt block.
#[derive(Clone, Debug, Default)]
pub struct ContextRequest {
    /// What the records should be about; without it, the thread's last event says it.
    pub query: Option<String>,
    /// Only records of this user.
    pub user_id: Option<UserId>,
    /// Only records that pass.
    pub filter: Filter,
    /// Most records to consider; 20 without it.
    pub limit: Option<usize>,
    /// Most tokens, by the memory's counter.
    pub budget: usize,
}

/// A prompt block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContextBlock {
    /// The text, empty if nothing fits.
    pub text: String,
    /// What it costs; never above the budget.
    pub tokens: usize,
    /// What is in it.
    pub included: Counts,
    /// What did not fit.
    pub omitted: Counts,
    /// Why retrieval was less than it could be; empty if it was whole.
    pub degraded: Vec<String>,
}

impl MemoryManager {
    /// See [`MemoryManager::slots`].
    pub(crate) async fn slots_here(&self, thread: &ThreadId, as_of: Option<Timestamp>) -> Result<VersionedSlots> {
        take_turns().await;
        self.engine.ledger.slots(&self.namespace, thread, as_of).await
    }

    /// See [`MemoryManager::set_slots`].
    pub(crate) async fn set_slots_here(
        &self,
        thread: &ThreadId,
        changes: BTreeMap<String, Option<String>>,
        how: SetSlots,
    ) -> Result<VersionedSlots> {
        if thread.is_reserved() {
            return Err(Error::invalid("thread_id", "a thread id of the caller's own", thread));
        }
        let write = SlotWrite { thread_id: thread.clone(), changes, mode: how.mode, expect: how.expect };
        write.check()?;
        let now = self.now();
        let mut batch = Batch::new(now);
        batch.slots.push(write);
        batch.events.push(Self::journal("slots.written", 1, now)?);
        match self.engine.commit(&self.namespace, batch).await? {
            Kept::Committed(_) => self.slots_here(thread, None).await,
            // What they are then is not known yet; version 0 says so.
            Kept::Spooled => Ok(VersionedSlots::default()),
        }
    }

    /// See [`MemoryManager::context`].
    pub(crate) async fn context_here(&self, thread: &ThreadId, request: &ContextRequest) -> Result<ContextBlock> {
        if request.budget > MAX_BUDGET {
            return Err(Error::invalid("budget", format!("at most {MAX_BUDGET} tokens"), request.budget));
        }
        let slots = self.slots_here(thread, None).await?;
        let events = self.recent_events(thread).await?;
        let about = request.query.clone().or_else(|| events.first().and_then(said));
        let (hits, degraded) = match about.filter(|text| !text.trim().is_empty()) {
            None => (Vec::new(), Vec::new()),
            Some(text) => {
                let query = Query {
                    text,
                    limit: Some(request.limit.unwrap_or(20)),
                    user_id: request.user_id.clone(),
                    filter: request.filter.clone(),
                    ..Query::default()
                };
                let found = self.retrieve_here(&query).await?;
                (found.hits, found.degraded)
            }
        };
        let parts = PromptParts { slots: &slots.slots, hits: &hits, events: &events };
        let block = compose(parts, request.budget, self.engine.policies.tokens.as_ref());
        Ok(ContextBlock {
            text: block.text,
            tokens: block.tokens,
            included: block.included,
            omitted: block.omitted,
            degraded,
        })
    }

    /// The thread's last events, newest first.
    async fn recent_events(&self, thread: &ThreadId) -> Result<Vec<AuditEvent>> {
        let range = EventRange { thread_id: Some(thread.clone()), ..EventRange::default() };
        let page = PageRequest::first(RECENT_EVENTS)?.ordered(Order::Newest);
        let found = self.engine.ledger.events(&self.namespace, &range, &page).await?;
        Ok(found.items.into_iter().filter_map(|entry| entry.event).collect())
    }
}

/// What an event says, if it says something in words.
fn said(event: &AuditEvent) -> Option<String> {
    let text = ["text", "content", "message"].into_iter().find_map(|key| event.payload.get(key)?.as_str())?;
    let most = mnemic_core::limits::QUERY_BYTES;
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end))?;
    text.get(..end).map(str::to_owned)
}
