//! Where a call is answered: at the place that serves the memory, which another process may have moved it to. Not here: moving it
//! (`switch`), the verbs (`verbs`).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use mnemic_core::{Address, Error, ErrorKind, Result, Role};

use super::MemoryManager;
use crate::engine::HOPS;

/// How often pointers are followed anew that led in a circle, since a role was believed too long.
const ROUNDS: usize = 5;
/// How long a write waits for a switch that is under way.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at a switch that is under way.
const GLANCE: Duration = Duration::from_millis(20);

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Does {
    Reads,
    Writes,
}

/// A call's patience while its memory moves.
#[derive(Debug)]
pub(super) struct Turns {
    begun: Instant,
    does: Does,
}

impl Turns {
    pub(super) fn new(does: Does) -> Self {
        Self { begun: Instant::now(), does }
    }

    /// Whether a call that was refused is worth another try, because the memory moved while it was made. Waits a little if so.
    pub(super) async fn again(&self, asked: &MemoryManager, here: &MemoryManager, error: &Error) -> bool {
        if error.kind() != ErrorKind::Conflict || self.does == Does::Reads {
            return false;
        }
        asked.engine.forget_role(&asked.namespace);
        here.engine.forget_role(&here.namespace);
        let moving = matches!(here.engine.role(&here.namespace).await, Ok(Role::Moving { .. } | Role::Moved { .. }));
        if moving && self.begun.elapsed() < PATIENCE {
            tokio::time::sleep(GLANCE).await;
            return true;
        }
        false
    }
}

/// Runs a verb where the memory is, again if it moved meanwhile.
macro_rules! at_home {
    ($self:ident, $does:ident, |$here:ident| $call:expr) => {{
        let turns = $crate::manager::home::Turns::new($crate::manager::home::Does::$does);
        loop {
            let $here = $self.home().await?;
            if $crate::manager::home::Does::$does == $crate::manager::home::Does::Writes {
                $self.replay_first(&$here).await?;
            }
            let outcome = $call.await;
            match outcome {
                Ok(answer) => {
                    if $crate::manager::home::Does::$does == $crate::manager::home::Does::Writes {
                        $here.mirror_write().await;
                    }
                    break Ok(answer);
                }
                Err(error) if turns.again($self, &$here, &error).await => {}
                Err(error) => break Err(error),
            }
        }
    }};
}
pub(super) use at_home;

impl MemoryManager {
    /// Makes what waits in this handle's spool before what is written elsewhere now.
    pub(super) async fn replay_first(&self, here: &Self) -> Result<()> {
        if Arc::ptr_eq(&self.engine, &here.engine) {
            return Ok(());
        }
        self.engine.replay_own(&self.namespace).await
    }

    /// The handle of the place that serves this memory: this one, or where pointers lead.
    pub(super) async fn home(&self) -> Result<Self> {
        for round in 0..ROUNDS {
            if round > 1 {
                tokio::time::sleep(GLANCE).await;
            }
            if let Some(home) = self.follow_pointers().await? {
                return Ok(home);
            }
        }
        let message = "the pointers that moves left behind lead in a circle; see `mnemic migrate status`";
        Err(Error::new(ErrorKind::Conflict, message))
    }

    /// One walk along the pointers; `None` if it came back to where it was. A memory that returned leaves its last place pointing back,
    /// and until the first place is asked anew it is believed to point there.
    async fn follow_pointers(&self) -> Result<Option<Self>> {
        let (mut here, mut seen) = (self.clone(), Vec::new());
        for _ in 0..HOPS {
            match here.engine.role(&here.namespace).await? {
                Role::Serving { .. } => return Ok(Some(here)),
                Role::Copy { .. } if seen.is_empty() => return Ok(Some(here)),
                // No pointer leads to a copy: the memory has returned since, and the copy is what it left.
                Role::Copy { .. } => break,
                Role::Moving { to } => match here.switched(&to).await? {
                    Switch::Done(there) => return Ok(Some(there)),
                    // The new place decides when the switch has happened. Until then this one still answers reads.
                    Switch::Ahead => return Ok(Some(here)),
                    Switch::Elsewhere => {}
                },
                Role::Moved { to } => {
                    let next = here.engine.elsewhere(&to)?;
                    seen.push(here);
                    if seen.iter().any(|place| place.is_at(&next)) {
                        break;
                    }
                    here = next;
                }
            }
        }
        for place in seen {
            place.engine.forget_role(&place.namespace);
        }
        Ok(None)
    }

    fn is_at(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.engine, &other.engine) && self.namespace == other.namespace
    }

    /// Whether the switch that this place is sealed for has happened. Both are asked anew: what was believed of them is older than it.
    async fn switched(&self, to: &Address) -> Result<Switch> {
        let Ok(there) = self.engine.elsewhere(to) else { return Ok(Switch::Ahead) };
        there.engine.forget_role(&there.namespace);
        if !matches!(there.engine.role(&there.namespace).await, Ok(Role::Serving { .. })) {
            return Ok(Switch::Ahead);
        }
        // A copy that was taken away serves as well, as an empty namespace. It has switched only if this place still points there.
        self.engine.forget_role(&self.namespace);
        match self.engine.role(&self.namespace).await? {
            Role::Moving { to: still } | Role::Moved { to: still } if still == *to => Ok(Switch::Done(there)),
            _ => Ok(Switch::Elsewhere),
        }
    }
}

/// How a switch stands.
enum Switch {
    /// The other place serves.
    Done(MemoryManager),
    /// It does not serve yet.
    Ahead,
    /// It was taken back.
    Elsewhere,
}
