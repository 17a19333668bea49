//! Moving a memory for good: the switch to its copy, the way back, and taking away what is left. Not here: copying (`migrate`), and how
//! calls find the place that serves (`home`).
//!
//! Every step is one compare-and-set of a role, so that a switch may be cut off anywhere and called again, and of two that run at
//! once one wins. The one step that matters is that of the new place: before it nobody there takes writes, after it nobody here does.

use std::time::Duration;

use mnemic_core::{
    Address, Assignment, ChangeSeq, Digest, Error, ErrorKind, Mirror, Namespace, Order, PageRequest, Result, Role,
    Sequence, Timestamp, ports::EventRange,
};

use super::MemoryManager;

/// What is left to copy when writers are asked to wait, so that they do not wait long.
const NEARLY: u64 = 64;
/// How often a copy is brought up to that before they are asked anyway.
const ROUNDS: usize = 20;

/// How to switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutOver {
    /// How long writes go to both places afterwards, so that going back keeps them although the new place may be lost. Going back
    /// keeps them also later, from the new place itself.
    pub window: Duration,
}

impl Default for CutOver {
    fn default() -> Self {
        Self { window: Duration::from_hours(24) }
    }
}

/// How far a move is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MovePhase {
    /// The target is no copy of this memory.
    NotBegun,
    /// The target is a copy, behind or not; the source serves.
    Copying,
    /// Nobody takes writes: a switch, there or back, was begun. The same command again finishes it.
    Switching,
    /// The target serves.
    Moved,
}

impl MovePhase {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotBegun => "not_begun",
            Self::Copying => "copying",
            Self::Switching => "switching",
            Self::Moved => "moved",
        }
    }
}

/// How a move stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveStatus {
    /// How far it is.
    pub phase: MovePhase,
    /// The role of the source, and the last change that it holds.
    pub source: (Role, ChangeSeq),
    /// The same of the target.
    pub target: (Role, ChangeSeq),
}

impl MoveStatus {
    /// Changes that the place that does not serve lacks.
    pub fn behind(&self) -> u64 {
        let (served, copy) = match self.phase {
            MovePhase::Moved => (self.target.1, self.source.1),
            _ => (self.source.1, self.target.1),
        };
        served.0.saturating_sub(copy.0)
    }
}

/// What a switch did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switched {
    /// The last change that both places held when the new one began to serve.
    pub head: ChangeSeq,
    /// How long nobody took writes.
    pub paused: Duration,
}

impl MemoryManager {
    async fn assignment(&self) -> Result<Assignment> {
        self.engine.ledger.assignment(&self.namespace).await
    }

    async fn assign(&self, seen: &Assignment, role: Role) -> Result<Assignment> {
        let assigned = self.engine.ledger.assign(&self.namespace, seen.epoch, role).await?;
        self.engine.note_role(&self.namespace, assigned.clone());
        Ok(assigned)
    }

    /// Where this handle's namespace is kept, in the words in which other processes find it.
    ///
    /// # Errors
    /// `InvalidInput` for a path that is too long.
    pub fn address(&self) -> Result<Address> {
        self.engine.address(&self.namespace)
    }

    /// How the move of this memory to `target` stands. Changes nothing.
    ///
    /// # Errors
    /// What either ledger gives.
    pub async fn move_status(&self, target: &Self) -> Result<MoveStatus> {
        let (source_role, target_role) = (self.assignment().await?.role, target.assignment().await?.role);
        let (here, there) = (self.address()?, target.address()?);
        let phase = match (&source_role, &target_role) {
            (Role::Serving { .. }, Role::Copy { of }) if *of == here => MovePhase::Copying,
            (Role::Moving { to } | Role::Moved { to }, Role::Serving { .. }) if *to == there => MovePhase::Moved,
            (Role::Moving { to }, _) if *to == there => MovePhase::Switching,
            (_, Role::Moving { to }) if *to == here => MovePhase::Switching,
            _ => MovePhase::NotBegun,
        };
        let source = (source_role, self.engine.ledger.head(&self.namespace).await?);
        let target = (target_role, target.engine.ledger.head(&target.namespace).await?);
        Ok(MoveStatus { phase, source, target })
    }

    /// Makes the target's namespace a copy of this one, which takes nothing but this one's commits. Done already, it changes nothing.
    pub(super) async fn claim(&self, target: &Self) -> Result<()> {
        let (here, found) = (self.address()?, target.assignment().await?);
        let held = match &found.role {
            Role::Copy { of } if *of == here => return Ok(()),
            Role::Serving { .. } => target.engine.ledger.head(&target.namespace).await?,
            _ => ChangeSeq(0),
        };
        if let Some(why) = unfit_target(&here, &target.namespace, &found.role, held) {
            return Err(Error::new(ErrorKind::Conflict, why).with_field("target"));
        }
        target.assign(&found, Role::Copy { of: here }).await.map(drop)
    }

    /// Switches every process to `target`, which [`Self::migrate_to`] made a copy: what is left is brought over while writers wait,
    /// both are compared by position, chain and counts, and the target begins to serve. Calls in any process that uses this memory are
    /// answered by the target from then on; writes that came meanwhile are made there. May be cut off anywhere and called again.
    ///
    /// # Errors
    /// `Conflict` if the target is no copy of this memory or somebody else switches, `Corrupted` if both differ (the memory goes on
    /// being served here then), and what either ledger gives.
    pub async fn cut_over(&self, target: &Self, how: &CutOver) -> Result<Switched> {
        let status = self.move_status(target).await?;
        if status.phase == MovePhase::Moved {
            return self.leave(target).await;
        }
        if !matches!(&status.target.0, Role::Copy { of } if *of == self.address()?) {
            let message = format!(
                "the target is {} and no copy of this memory: run the migration first",
                status.target.0.as_str()
            );
            return Err(Error::new(ErrorKind::Conflict, message).with_field("target"));
        }
        let copy = target.assignment().await?;
        self.nearly(target).await?;
        target.engine.sync_all(&target.namespace).await?;

        let found = self.assignment().await?;
        let begun = tokio::time::Instant::now();
        let (sealed, served) = match &found.role {
            Role::Serving { .. } => {
                (self.assign(&found, Role::Moving { to: target.address()? }).await?, found.role.clone())
            }
            Role::Moving { to } if *to == target.address()? => (found, Role::default()),
            other => return Err(busy(other)),
        };
        if let Err(error) = self.last_part(target).await {
            // First nobody can switch to the copy as it was seen; then the memory takes writes again.
            if target.assign(&copy, copy.role.clone()).await.is_ok() {
                self.assign(&sealed, served).await?;
            }
            return Err(error);
        }
        self.outlive_roles(target, begun).await;
        let until = after(self.now(), how.window)?;
        // Also without a window, so that the new place knows where else the memory lies.
        let mirror = Mirror { address: self.address()?, until };
        target.assign(&copy, Role::Serving { mirror: Some(mirror) }).await?;
        let paused = begun.elapsed();
        let left = self.leave(target).await?;
        Ok(Switched { paused, ..left })
    }

    /// The last step of a switch: the old place becomes a pointer.
    async fn leave(&self, target: &Self) -> Result<Switched> {
        let found = self.assignment().await?;
        if let Role::Moving { to } = &found.role {
            let to = to.clone();
            self.assign(&found, Role::Moved { to }).await?;
        }
        let head = target.engine.ledger.head(&target.namespace).await?;
        Ok(Switched { head, paused: Duration::ZERO })
    }

    /// Brings the copy near enough that the rest takes no time.
    async fn nearly(&self, target: &Self) -> Result<()> {
        for _ in 0..ROUNDS {
            if self.bring(target, |_| {}).await?.changes <= NEARLY {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Brings what is left of a place that takes no writes any more, and makes sure that both are one memory.
    async fn last_part(&self, target: &Self) -> Result<()> {
        self.bring(target, |_| {}).await?;
        let (ours, theirs) = (self.outline().await?, target.outline().await?);
        if ours == theirs {
            return Ok(());
        }
        let message = format!(
            "the copy is not the same memory: {ours:?} here, {theirs:?} there; `mnemic migrate verify` names what differs"
        );
        Err(Error::new(ErrorKind::Corrupted, message))
    }

    /// What two places of one memory must agree on, without reading everything.
    async fn outline(&self) -> Result<Outline> {
        let report = self.engine.ledger.report(&self.namespace).await?;
        let tail = self.tail().await?;
        Ok(Outline {
            head: report.head,
            records: report.records,
            revisions: report.revisions,
            events: report.events,
            threads: report.threads_with_slots,
            tail,
        })
    }

    async fn tail(&self) -> Result<Option<(Sequence, Digest)>> {
        let mut page = PageRequest::first(1)?;
        page.order = Order::Newest;
        let last = self.engine.ledger.events(&self.namespace, &EventRange::default(), &page).await?.items.pop();
        Ok(last.map(|entry| (entry.sequence, entry.hash)))
    }

    /// Waits until no process believes any more that the old place serves.
    async fn outlive_roles(&self, target: &Self, begun: tokio::time::Instant) {
        let life = self.engine.role_life().max(target.engine.role_life());
        if !life.is_zero() {
            tokio::time::sleep_until(begun + life + life / 10).await;
        }
    }

    /// Takes a move back with one call, wherever it is. Before the switch the copy is taken away whole, and nothing of this memory is
    /// left in the target. After it, what was written at the target is brought back first, and every process returns here; the target
    /// is left as a pointer, with its data, until [`Self::abort_migration`]. May be cut off anywhere and called again.
    ///
    /// # Errors
    /// `Conflict` if the target is neither, `Corrupted` if both differ (the target goes on serving then), and what either ledger gives.
    pub async fn roll_back(&self, target: &Self) -> Result<Switched> {
        let status = self.move_status(target).await?;
        match (&status.source.0, &status.target.0) {
            (_, Role::Copy { of }) if *of == self.address()? => {
                self.abort_migration(target).await?;
                Ok(Switched { head: status.source.1, paused: Duration::ZERO })
            }
            (Role::Serving { .. }, Role::Moving { to }) if *to == self.address()? => target.leave(self).await,
            (Role::Serving { .. }, Role::Moved { to }) if *to == self.address()? => target.leave(self).await,
            (Role::Moved { .. } | Role::Moving { .. }, Role::Serving { .. } | Role::Moving { .. }) => {
                self.return_from(target).await
            }
            (_, other) => Err(busy(other)),
        }
    }

    async fn return_from(&self, target: &Self) -> Result<Switched> {
        if let Role::Moving { .. } = self.assignment().await?.role {
            // The switch there is finished first, so that there is one state to return from.
            self.leave(target).await?;
        }
        let (left, found) = (self.assignment().await?, target.assignment().await?);
        if let Role::Serving { .. } = found.role {
            target.nearly(self).await?;
        }
        let begun = tokio::time::Instant::now();
        let (sealed, served) = match &found.role {
            Role::Serving { .. } => {
                (target.assign(&found, Role::Moving { to: self.address()? }).await?, found.role.clone())
            }
            Role::Moving { to } if *to == self.address()? => (found, Role::default()),
            other => return Err(busy(other)),
        };
        if let Err(error) = target.last_part(self).await {
            if self.assign(&left, left.role.clone()).await.is_ok() {
                target.assign(&sealed, served).await?;
            }
            return Err(error);
        }
        self.outlive_roles(target, begun).await;
        self.assign(&left, Role::default()).await?;
        let paused = begun.elapsed();
        let switched = target.leave(self).await?;
        Ok(Switched { paused, ..switched })
    }

    /// Returns to this place although the target is lost for good, with what the mirror brought here. What it did not bring is lost.
    ///
    /// # Errors
    /// `Conflict` if this memory did not move, and what this ledger gives.
    pub async fn return_without_target(&self) -> Result<ChangeSeq> {
        let found = self.assignment().await?;
        if !matches!(found.role, Role::Moved { .. } | Role::Moving { .. }) {
            return Err(busy(&found.role));
        }
        self.assign(&found, Role::default()).await?;
        self.engine.ledger.head(&self.namespace).await
    }

    /// Takes away the target's copy, whole, with what its indexes hold. The memory must be served here.
    ///
    /// # Errors
    /// `Conflict` if the target serves (go back first) or holds something else, and what either side gives.
    pub async fn abort_migration(&self, target: &Self) -> Result<()> {
        let here = self.address()?;
        let found = target.assignment().await?;
        // First nobody can switch to the copy as it was seen; then the memory takes writes again; then the copy goes.
        let copy = match &found.role {
            Role::Copy { of } if *of == here => target.assign(&found, Role::Copy { of: here }).await?,
            // What going back left: a copy in all but name.
            Role::Moved { to } if *to == here => target.assign(&found, Role::Copy { of: here }).await?,
            other => return Err(busy(other)),
        };
        let begun = tokio::time::Instant::now();
        self.unseal(target).await?;
        // Whoever still believes that the memory moved there would write into the namespace that is left.
        self.outlive_roles(target, begun).await;
        target.clear_away(copy.epoch).await
    }

    /// Removes what is here, and what its indexes hold.
    async fn clear_away(&self, epoch: u64) -> Result<()> {
        // Before as well as after: who dies in between leaves no index of what is gone, and what comes next may reach its position.
        self.engine.drop_indexes(&self.namespace).await?;
        let cleared = self.engine.ledger.clear(&self.namespace, epoch).await?;
        self.engine.note_role(&self.namespace, cleared);
        self.engine.drop_indexes(&self.namespace).await
    }

    async fn unseal(&self, target: &Self) -> Result<()> {
        let found = self.assignment().await?;
        match &found.role {
            Role::Moving { to } if *to == target.address()? => self.assign(&found, Role::default()).await.map(drop),
            _ => Ok(()),
        }
    }

    /// Ends a move for good: the mirror stops, and what this place still holds of the memory is removed. A pointer stays.
    ///
    /// # Errors
    /// `Conflict` if the target does not serve this memory, and what either side gives.
    pub async fn finish_migration(&self, target: &Self) -> Result<()> {
        let status = self.move_status(target).await?;
        if status.phase != MovePhase::Moved {
            return Err(busy(&status.target.0));
        }
        self.leave(target).await?;
        let served = target.assignment().await?;
        if let Role::Serving { mirror: Some(_) } = served.role {
            target.assign(&served, Role::default()).await?;
        }
        let left = self.assignment().await?;
        self.clear_away(left.epoch).await
    }
}

/// Why a namespace with a role, and a head where it serves, cannot become a copy of the memory at `here`.
pub(super) fn unfit_target(here: &Address, namespace: &Namespace, role: &Role, held: ChangeSeq) -> Option<String> {
    match role {
        Role::Copy { of } if of == here => None,
        // It served once, and holds an earlier part of this memory or nothing at all: positions are common.
        Role::Moved { to } if to == here => None,
        Role::Copy { of } => Some(format!("the target is a copy of {of}: abort that migration first")),
        Role::Moving { to } => Some(format!("the target is moving to {to}: finish that first")),
        Role::Moved { to } => Some(format!("the target has moved to {to}: choose another namespace")),
        Role::Serving { .. } if held > ChangeSeq(0) => Some(format!(
            "the target's namespace {namespace} holds a memory of its own ({} changes): choose an empty namespace",
            held.0
        )),
        Role::Serving { .. } => None,
    }
}

/// What two places of one memory must agree on.
#[derive(Debug, PartialEq, Eq)]
struct Outline {
    head: ChangeSeq,
    records: u64,
    revisions: u64,
    events: u64,
    threads: u64,
    tail: Option<(Sequence, Digest)>,
}

fn busy(role: &Role) -> Error {
    let what = match role {
        Role::Serving { .. } => "it serves".to_owned(),
        Role::Copy { of } => format!("it is a copy of {of}"),
        Role::Moving { to } => format!("it is moving to {to}"),
        Role::Moved { to } => format!("it has moved to {to}"),
    };
    Error::new(ErrorKind::Conflict, format!("this does not fit the role of the namespace: {what}"))
}

fn after(now: Timestamp, window: Duration) -> Result<Timestamp> {
    let micros = i64::try_from(window.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(now.as_micros().saturating_add(micros)).map_err(|_too_late| {
        Error::invalid("window", "a time that ends before the year 10000", format_args!("{window:?}"))
    })
}
