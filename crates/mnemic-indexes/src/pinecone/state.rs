//! What is known of each namespace: how far it was fed, and how much of that shows. Not here: asking the service.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use mnemic_core::{ChangeSeq, EmbeddingModel};

/// Something was sent, and took this place in the service's log if it told one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent(pub(super) Option<u64>);

impl Sent {
    /// Both, of which the later place counts; what is unknown makes the whole unknown.
    pub(super) fn and(self, more: Self) -> Self {
        Self(self.0.zip(more.0).map(|(one, other)| one.max(other)))
    }
}

/// One namespace.
#[derive(Debug)]
pub(super) struct Space {
    /// The model that it was prepared for; without one it holds nothing.
    pub(super) model: Option<EmbeddingModel>,
    /// Held by whoever feeds or drops it.
    pub(super) feed: tokio::sync::Mutex<()>,
    /// Held while its position is being read for the first time.
    pub(super) loading: tokio::sync::Mutex<()>,
    seen: Mutex<Seen>,
    /// Hits and listed ids that this adapter never wrote.
    pub(super) foreign: AtomicU64,
    /// Hits whose score is no number.
    pub(super) senseless: AtomicU64,
}

#[derive(Debug, Default)]
struct Seen {
    loaded: bool,
    position: ChangeSeq,
    persisted: ChangeSeq,
    visible: ChangeSeq,
    /// Positions that wait to show, oldest first.
    pending: VecDeque<Pending>,
    /// The highest position in the service's log that is known.
    lsn: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    position: ChangeSeq,
    lsn: Option<u64>,
    since: Instant,
}

impl Space {
    pub(super) fn new(model: Option<EmbeddingModel>) -> Self {
        Self {
            model,
            feed: tokio::sync::Mutex::default(),
            loading: tokio::sync::Mutex::default(),
            seen: Mutex::default(),
            foreign: AtomicU64::new(0),
            senseless: AtomicU64::new(0),
        }
    }

    /// The position, if it was read yet.
    pub(super) fn position(&self) -> Option<ChangeSeq> {
        let seen = self.seen();
        seen.loaded.then_some(seen.position)
    }

    /// The position that the service keeps; another handle starts there.
    pub(super) fn persisted(&self) -> ChangeSeq {
        self.seen().persisted
    }

    /// The highest position in the service's log that is known.
    pub(super) fn lsn(&self) -> Option<u64> {
        self.seen().lsn
    }

    /// Takes the position that the service keeps, with the place in its log from which everything up to it shows.
    pub(super) fn load(&self, position: ChangeSeq, lsn: Option<u64>) {
        let mut seen = self.seen();
        if seen.loaded {
            return;
        }
        *seen = Seen { loaded: true, position, persisted: position, lsn, ..Seen::default() };
        if position > ChangeSeq(0) {
            seen.pending.push_back(Pending { position, lsn, since: Instant::now() });
        }
    }

    /// Moves the position after changes were sent, or after there was nothing to send.
    pub(super) fn advance(&self, position: ChangeSeq, sent: Option<Sent>, persisted: bool) {
        let mut seen = self.seen();
        seen.position = seen.position.max(position);
        if persisted {
            seen.persisted = seen.persisted.max(position);
        }
        if let Some(Sent(lsn)) = sent {
            seen.lsn = seen.lsn.max(lsn);
            seen.pending.push_back(Pending { position, lsn, since: Instant::now() });
        }
    }

    /// Forgets everything, as after the namespace was removed.
    pub(super) fn restart(&self) {
        *self.seen() = Seen { loaded: true, ..Seen::default() };
    }

    /// Learns that everything up to `indexed` shows (`None`: the service does not tell), and tells what shows.
    /// Where either side of the comparison is missing, a write counts as visible `assumed` after it was made.
    pub(super) fn observe(&self, indexed: Option<u64>, assumed: Duration) -> ChangeSeq {
        let mut seen = self.seen();
        while let Some(first) = seen.pending.front().copied() {
            let shows = match (first.lsn, indexed) {
                (Some(written), Some(indexed)) => indexed >= written,
                _ => first.since.elapsed() >= assumed,
            };
            if !shows {
                break;
            }
            seen.pending.pop_front();
            seen.visible = seen.visible.max(first.position);
        }
        if seen.pending.is_empty() {
            seen.visible = seen.position;
        }
        seen.visible
    }

    /// Whether anything waits to show.
    pub(super) fn waits(&self) -> bool {
        !self.seen().pending.is_empty()
    }

    /// What was dropped of the service's answers, in words.
    pub(super) fn faults(&self) -> Vec<String> {
        let told = |count: &AtomicU64, what: &str| {
            let count = count.load(Ordering::Relaxed);
            (count > 0).then(|| format!("{count} {what} were dropped"))
        };
        let faults = [
            told(&self.foreign, "results that Mnemic never wrote"),
            told(&self.senseless, "scores that are no numbers"),
        ];
        faults.into_iter().flatten().collect()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: Duration = Duration::from_hours(1);

    #[test]
    fn what_shows_follows_the_log_and_never_passes_the_position() {
        let space = Space::new(None);
        space.load(ChangeSeq(4), Some(7));
        assert_eq!(space.observe(Some(6), LATER), ChangeSeq(0));
        space.advance(ChangeSeq(9), Some(Sent(Some(12))), true);
        space.advance(ChangeSeq(11), None, false);
        assert_eq!(space.observe(Some(11), LATER), ChangeSeq(4));
        assert_eq!(
            space.observe(Some(12), LATER),
            ChangeSeq(11),
            "changes that sent nothing show with those before them"
        );
        assert_eq!((space.persisted(), space.position()), (ChangeSeq(9), Some(ChangeSeq(11))));
    }

    #[test]
    fn where_nobody_tells_time_alone_lets_a_write_show() {
        for (written, indexed) in [(None, Some(9)), (Some(9), None), (None, None)] {
            let space = Space::new(None);
            space.load(ChangeSeq(0), None);
            space.advance(ChangeSeq(3), Some(Sent(written)), true);
            assert_eq!(space.observe(indexed, LATER), ChangeSeq(0));
            assert_eq!(space.observe(indexed, Duration::ZERO), ChangeSeq(3));
        }
    }
}
