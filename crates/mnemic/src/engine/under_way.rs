//! Commits that are not yet acknowledged: a reader need not wait until they are searchable. Not here: bringing indexes up to date (`follow`).

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mnemic_core::ChangeSeq;
use tokio::sync::{Notify, futures::Notified};

/// What writers of this process are doing in one namespace. Whoever commits in another process is not here, and may have been answered.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// Who is about to commit, by number.
    intents: BTreeSet<u64>,
    next: u64,
    /// The stretches of the feed that are committed and being brought to the indexes, in order.
    stretches: Vec<(ChangeSeq, ChangeSeq)>,
}

/// A commit that may happen; it has happened or will not when this is dropped.
#[derive(Debug)]
pub(crate) struct Intent {
    all: Arc<UnderWay>,
    number: u64,
}

/// A commit that happened; it is under way until this is dropped.
#[derive(Debug)]
pub(crate) struct Stretch {
    all: Arc<UnderWay>,
    stretch: (ChangeSeq, ChangeSeq),
}

impl UnderWay {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that runs under the lock leaves it half changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hears of every change after this call.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    pub(super) fn intend(self: &Arc<Self>) -> Intent {
        let mut inner = self.lock();
        let number = inner.next;
        inner.next += 1;
        inner.intents.insert(number);
        Intent { all: Arc::clone(self), number }
    }

    /// The number that the next intent gets.
    pub(super) fn next(&self) -> u64 {
        self.lock().next
    }

    /// Whether an intent with a number below this is still open.
    pub(super) fn expects(&self, below: u64) -> bool {
        self.lock().intents.first().is_some_and(|first| *first < below)
    }

    /// Whether everything after `position` up to `head` is under way, or there is nothing.
    pub(super) fn covers(&self, position: ChangeSeq, head: ChangeSeq) -> bool {
        let mut reached = position.0;
        for (first, last) in &self.lock().stretches {
            if first.0 > reached.saturating_add(1) {
                break;
            }
            reached = reached.max(last.0);
        }
        reached >= head.0
    }
}

impl Intent {
    /// It has happened, and changed this if anything.
    pub(crate) fn committed(self, stretch: Option<(ChangeSeq, ChangeSeq)>) -> Option<Stretch> {
        let stretch = stretch?;
        let mut inner = self.all.lock();
        let place = inner.stretches.partition_point(|other| *other < stretch);
        inner.stretches.insert(place, stretch);
        drop(inner);
        Some(Stretch { all: Arc::clone(&self.all), stretch })
    }
}

impl Drop for Intent {
    fn drop(&mut self) {
        self.all.lock().intents.remove(&self.number);
        self.all.changed.notify_waiters();
    }
}

impl Drop for Stretch {
    fn drop(&mut self) {
        let mut inner = self.all.lock();
        if let Some(place) = inner.stretches.iter().position(|other| *other == self.stretch) {
            inner.stretches.remove(place);
        }
        drop(inner);
        self.all.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(all: &UnderWay, position: u64, head: u64) -> bool {
        all.covers(ChangeSeq(position), ChangeSeq(head))
    }

    #[test]
    fn only_an_unbroken_run_of_stretches_up_to_the_head_covers_it() {
        let all = Arc::new(UnderWay::default());
        assert!(covers(&all, 5, 5) && !covers(&all, 5, 6));
        let later = all.intend().committed(Some((ChangeSeq(9), ChangeSeq(12))));
        let sooner = all.intend().committed(Some((ChangeSeq(6), ChangeSeq(8))));
        assert!(covers(&all, 5, 8) && covers(&all, 5, 12) && covers(&all, 7, 10) && covers(&all, 8, 12));
        assert!(!covers(&all, 4, 12), "somebody else's change comes first");
        assert!(!covers(&all, 5, 13), "somebody else's change comes last");
        drop(sooner);
        assert!(!covers(&all, 5, 12) && covers(&all, 8, 12));
        drop(later);
        assert!(!covers(&all, 8, 12) && covers(&all, 12, 12));
    }

    #[test]
    fn an_intent_is_expected_until_it_is_carried_out_or_given_up() {
        let all = Arc::new(UnderWay::default());
        let (first, second) = (all.intend(), all.intend());
        let before = all.next();
        let third = all.intend();
        assert!(all.expects(before));
        assert!(first.committed(None).is_none());
        assert!(all.expects(before));
        drop(second);
        assert!(!all.expects(before), "who came later is not waited for");
        drop(third);
    }
}
