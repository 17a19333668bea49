//! The stored form of a namespace's role. Not here: when it changes (`mnemic_core::Assignment`).

use mnemic_core::{Address, Error, ErrorKind, Mirror, Namespace, Result, Role, Timestamp};
use serde::{Deserialize, Serialize};

use crate::stored;

/// What a role is called in storage.
const SERVING: &str = "serving";
const COPY: &str = "copy";
const MOVING: &str = "moving";
const MOVED: &str = "moved";

#[derive(Serialize, Deserialize)]
struct StoredRole {
    role: String,
    ledger: Option<String>,
    namespace: Option<String>,
    until: Option<i64>,
}

/// Packs a role.
pub(crate) fn pack(role: &Role) -> Result<Vec<u8>> {
    let (name, address, until) = match role {
        Role::Serving { mirror: None } => (SERVING, None, None),
        Role::Serving { mirror: Some(mirror) } => (SERVING, Some(&mirror.address), Some(mirror.until.as_micros())),
        Role::Copy { of } => (COPY, Some(of), None),
        Role::Moving { to } => (MOVING, Some(to), None),
        Role::Moved { to } => (MOVED, Some(to), None),
    };
    let ledger = address.map(|address| address.ledger().to_owned());
    let namespace = address.map(|address| address.namespace().as_str().to_owned());
    stored::pack(&StoredRole { role: name.to_owned(), ledger, namespace, until }, &[], 128)
}

/// Reads what [`pack`] made.
pub(crate) fn unpack(bytes: &[u8]) -> Result<Role> {
    let stored: StoredRole = stored::unpack("role of a namespace", bytes, &[])?;
    let damaged = || Error::new(ErrorKind::Corrupted, "the stored role of a namespace is not one");
    let address = match (stored.ledger, stored.namespace) {
        (Some(ledger), Some(namespace)) => Some(Address::new(ledger, Namespace::new(namespace)?)?),
        (None, None) => None,
        _ => return Err(damaged()),
    };
    match (stored.role.as_str(), address, stored.until) {
        (SERVING, None, None) => Ok(Role::Serving { mirror: None }),
        (SERVING, Some(address), Some(until)) => {
            Ok(Role::Serving { mirror: Some(Mirror { address, until: Timestamp::from_micros(until)? }) })
        }
        (COPY, Some(of), None) => Ok(Role::Copy { of }),
        (MOVING, Some(to), None) => Ok(Role::Moving { to }),
        (MOVED, Some(to), None) => Ok(Role::Moved { to }),
        _ => Err(damaged()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_is_read_as_it_was_stored_and_damage_is_noticed() {
        let address = Address::new("env:/etc/mnemic/новый.env", Namespace::new("acme").unwrap()).unwrap();
        let until = Timestamp::from_micros(1_800_000_000_000_001).unwrap();
        let roles = [
            Role::default(),
            Role::Serving { mirror: Some(Mirror { address: address.clone(), until }) },
            Role::Copy { of: address.clone() },
            Role::Moving { to: address.clone() },
            Role::Moved { to: address },
        ];
        for role in roles {
            let mut packed = pack(&role).unwrap();
            assert_eq!(unpack(&packed).unwrap(), role);
            let last = packed.len() - 1;
            packed[last] ^= 1;
            assert_eq!(unpack(&packed).unwrap_err().kind(), ErrorKind::Corrupted);
        }
    }
}
