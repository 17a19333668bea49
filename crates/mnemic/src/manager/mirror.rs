//! Bringing writes to a second place too: for a while after a move, so that it can be taken back, or for as long as a caller likes.
//! Not here: how commits travel (`migrate`).

use std::time::Duration;

use mnemic_core::{Error, ErrorKind, Result, Retry, Role};

use super::MemoryManager;

/// The part that outages speak of.
pub(super) const MIRROR: &str = "mirror";
/// How long a write waits until its mirror has it. What comes later is brought by the next write, or by whoever ends the window.
const PATIENCE: Duration = Duration::from_secs(2);
/// After a failure, how long writes do not wait for a mirror that is away.
const PAUSE_MICROS: i64 = 5_000_000;

impl MemoryManager {
    /// Brings every write that is made through handles of this process to `target` too, before it is answered, until the process ends
    /// or [`Self::stop_mirroring`]. `target` is a copy that [`Self::migrate_to`] made. A write is kept and answered also while the
    /// target is away; health tells, and what is missing is brought by the next write that finds the target.
    pub fn mirror_to(&self, target: &Self) {
        self.engine.set_mirror(&self.namespace, Some(target.clone()));
    }

    /// Ends what [`Self::mirror_to`] began.
    pub fn stop_mirroring(&self) {
        self.engine.set_mirror(&self.namespace, None);
    }

    /// The second place of writes, if there is one now.
    pub(super) async fn mirror(&self) -> Result<Option<Self>> {
        if let Some(mirror) = self.engine.own_mirror(&self.namespace) {
            return Ok(Some(mirror));
        }
        match self.engine.role(&self.namespace).await? {
            Role::Serving { mirror: Some(mirror) } if self.now() < mirror.until => {
                self.engine.elsewhere(&mirror.address).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Brings what was just written to the mirror, if there is one. Never fails the write, which is kept.
    pub(super) async fn mirror_write(&self) {
        let rested = |since: mnemic_core::Timestamp| self.now().as_micros() - since.as_micros() > PAUSE_MICROS;
        if self.engine.outage(MIRROR).is_some_and(|outage| !rested(outage.last)) {
            return;
        }
        let late = |_elapsed| {
            Error::new(ErrorKind::Unavailable, "the mirror takes long; what it lacks is brought later")
                .with_retry(Retry::Soon)
        };
        let brought = match self.mirror().await {
            Ok(None) => return,
            Ok(Some(mirror)) => {
                tokio::time::timeout(PATIENCE, self.bring_to_mirror(&mirror)).await.map_err(late).and_then(|done| done)
            }
            Err(error) => Err(error),
        };
        match brought {
            Ok(()) => self.engine.note_up(MIRROR),
            Err(error) => self.engine.note_down(MIRROR, &error),
        }
    }

    /// What the place that the memory left still holds of what was forgotten here, in words; `None` if it has forgotten it too.
    pub(super) async fn left_behind(&self) -> Option<String> {
        let Ok(Role::Serving { mirror: Some(mirror) }) = self.engine.role(&self.namespace).await else { return None };
        if self.now() >= mirror.until {
            let place = &mirror.address;
            return Some(format!(
                "the memory moved from {place}, which holds it as it was until `mnemic migrate finish`"
            ));
        }
        let outage = self.engine.outage(MIRROR)?;
        Some(format!("{} forgets it when it is back: {}", mirror.address, outage.why))
    }

    /// One at a time: who waited finds that it was brought along.
    async fn bring_to_mirror(&self, mirror: &Self) -> Result<()> {
        let head = self.engine.ledger.head(&self.namespace).await?;
        let _one = self.engine.mirroring.lock().await;
        if mirror.engine.ledger.head(&mirror.namespace).await? >= head {
            return Ok(());
        }
        self.bring(mirror, |_| {}).await.map(drop)
    }
}
