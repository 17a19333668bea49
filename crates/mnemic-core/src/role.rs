//! What part a namespace of one ledger plays while its memory moves to another. Not here: who decides to move (the facade).

use std::fmt;

use crate::{Error, ErrorKind, Namespace, Result, Timestamp};

/// Bytes of an address, at most.
pub const ADDRESS_BYTES: usize = 4096;

/// Where a memory can be found: how its ledger is opened, in words that only the facade reads, and the namespace there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    ledger: String,
    namespace: Namespace,
}

impl Address {
    /// Names a place. `ledger` is not empty and at most [`ADDRESS_BYTES`] long; it must hold no secret.
    ///
    /// # Errors
    /// `InvalidInput` for an empty or too long one.
    pub fn new(ledger: impl Into<String>, namespace: Namespace) -> Result<Self> {
        let ledger = ledger.into();
        match ledger.len() {
            1..=ADDRESS_BYTES => Ok(Self { ledger, namespace }),
            length => {
                Err(Error::invalid("address", format_args!("1 to {ADDRESS_BYTES} bytes"), format_args!("{length}")))
            }
        }
    }

    /// How the ledger is opened.
    pub fn ledger(&self) -> &str {
        &self.ledger
    }

    /// The namespace there.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "namespace {} of {}", self.namespace, self.ledger)
    }
}

/// Another place that gets every write too, for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Which.
    pub address: Address,
    /// Until when.
    pub until: Timestamp,
}

/// What part a namespace plays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// It is the memory: it takes writes. The only role of a namespace that never moved.
    Serving {
        /// Where its writes go too.
        mirror: Option<Mirror>,
    },
    /// It is being made, or kept, the same as another: it takes that one's commits and nothing else.
    Copy {
        /// The memory.
        of: Address,
    },
    /// It takes no writes any more, and its copy none yet: the switch is under way.
    Moving {
        /// To its copy.
        to: Address,
    },
    /// It was the memory. Another one is now.
    Moved {
        /// Where.
        to: Address,
    },
}

impl Role {
    /// The stable name that people and machines read.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Serving { .. } => "serving",
            Self::Copy { .. } => "copy",
            Self::Moving { .. } => "moving",
            Self::Moved { .. } => "moved",
        }
    }
}

impl Default for Role {
    fn default() -> Self {
        Self::Serving { mirror: None }
    }
}

/// A namespace's role, and how often it changed: whoever changes it says which one they saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    /// Zero for a namespace that never had another role. Grows by one with each change, also when the namespace is emptied.
    pub epoch: u64,
    /// The role.
    pub role: Role,
}

impl Assignment {
    /// Refuses what only a serving namespace does.
    ///
    /// # Errors
    /// `Conflict`, saying where the memory is.
    pub fn check_serving(&self) -> Result<()> {
        let message = match &self.role {
            Role::Serving { .. } => return Ok(()),
            Role::Copy { of } => format!("this namespace is a copy of {of} and takes only that one's commits"),
            Role::Moving { to } => format!("this namespace is moving to {to} and takes no writes meanwhile"),
            Role::Moved { to } => format!("this namespace has moved to {to}"),
        };
        Err(Error::new(ErrorKind::Conflict, message))
    }

    /// What comes next, if the role is still the one that was seen.
    ///
    /// # Errors
    /// `Conflict` if it changed since.
    pub fn next(&self, seen: u64, role: Role) -> Result<Self> {
        self.check_seen(seen)?;
        Ok(Self { epoch: self.epoch + 1, role })
    }

    /// What comes after the namespace was emptied: a copy becomes a namespace like any other, a pointer stays one.
    ///
    /// # Errors
    /// `Conflict` if the role changed since, or if the namespace is the memory itself.
    pub fn emptied(&self, seen: u64) -> Result<Self> {
        self.check_seen(seen)?;
        let role = match &self.role {
            Role::Copy { .. } => Role::default(),
            Role::Moved { to } => Role::Moved { to: to.clone() },
            Role::Serving { .. } | Role::Moving { .. } => {
                let message = format!(
                    "only a copy, or what was left behind by a move, is emptied; this namespace is {}",
                    self.role.as_str()
                );
                return Err(Error::new(ErrorKind::Conflict, message));
            }
        };
        Ok(Self { epoch: self.epoch + 1, role })
    }

    fn check_seen(&self, seen: u64) -> Result<()> {
        if self.epoch == seen {
            return Ok(());
        }
        let message =
            format!("the role of the namespace was changed meanwhile: expected epoch {seen}, found {}", self.epoch);
        Err(Error::new(ErrorKind::Conflict, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> Address {
        Address::new("dir:/memory", Namespace::new("default").unwrap()).unwrap()
    }

    #[test]
    fn only_a_serving_namespace_takes_writes_and_the_others_say_where_to_go() {
        assert!(Assignment::default().check_serving().is_ok());
        for role in [Role::Copy { of: address() }, Role::Moving { to: address() }, Role::Moved { to: address() }] {
            let refused = Assignment { epoch: 1, role }.check_serving().unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Conflict);
            assert!(refused.message().contains("namespace default of dir:/memory"), "{refused}");
        }
    }

    #[test]
    fn a_role_is_changed_only_by_who_saw_the_last_change() {
        let first = Assignment::default();
        let second = first.next(0, Role::Moving { to: address() }).unwrap();
        assert_eq!(second.epoch, 1);
        let message = second.next(0, Role::default()).unwrap_err().to_string();
        assert!(message.contains("expected epoch 0, found 1"), "{message}");
    }

    #[test]
    fn a_memory_itself_is_never_emptied() {
        for role in [Role::default(), Role::Moving { to: address() }] {
            let refused = Assignment { epoch: 3, role }.emptied(3).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Conflict);
        }
        let copy = Assignment { epoch: 3, role: Role::Copy { of: address() } };
        assert_eq!(copy.emptied(3).unwrap(), Assignment { epoch: 4, role: Role::default() });
        let left = Assignment { epoch: 3, role: Role::Moved { to: address() } };
        assert_eq!(left.emptied(3).unwrap(), Assignment { epoch: 4, role: Role::Moved { to: address() } });
        assert!(left.emptied(2).is_err());
    }

    #[test]
    fn an_address_is_neither_empty_nor_long() {
        let namespace = Namespace::new("default").unwrap();
        assert!(Address::new("", namespace.clone()).is_err());
        assert!(Address::new("x".repeat(ADDRESS_BYTES + 1), namespace).is_err());
    }
}
