//! Where a call is answered: at the place that serves the memory, which another process may have moved it to. Not here: moving it
//! (`switch`), the verbs (`verbs`).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use mnemic_core::{Error, ErrorKind, Result, Role};

use super::MemoryManager;

/// How many pointers are followed. Every move leaves one, for whoever still uses the first name.
pub(super) const HOPS: usize = 64;
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
        let mut here = self.clone();
        for _ in 0..HOPS {
            match here.engine.role(&here.namespace).await? {
                Role::Serving { .. } | Role::Copy { .. } => return Ok(here),
                // The new place decides when the switch has happened. Until then this one still answers reads.
                Role::Moving { to } => {
                    let there = match here.engine.elsewhere(&to) {
                        Ok(there) => there,
                        Err(_unreachable) => return Ok(here),
                    };
                    if !matches!(there.engine.role(&there.namespace).await, Ok(Role::Serving { .. })) {
                        return Ok(here);
                    }
                    // A copy that was taken away serves as well, as an empty namespace. It has switched only if this place, asked
                    // after it, still points there.
                    here.engine.forget_role(&here.namespace);
                    match here.engine.role(&here.namespace).await? {
                        Role::Moving { to: still } | Role::Moved { to: still } if still == to => return Ok(there),
                        _ => {}
                    }
                }
                Role::Moved { to } => here = here.engine.elsewhere(&to)?,
            }
        }
        Err(Error::new(
            ErrorKind::Conflict,
            "the pointers that moves left behind lead in a circle; see `mnemic migrate status`",
        ))
    }
}
