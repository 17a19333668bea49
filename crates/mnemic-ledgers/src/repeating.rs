//! What every ledger checks before it repeats another's commits: that they continue what is there. Not here: applying them (adapters).

use mnemic_core::{
    ChainedEvent, ChangeSeq, Digest, Error, ErrorKind, PastChange, PastCommit, RecordId, Removed, Result, Sequence,
    Timestamp, Version, ids::quoted, policy::audit,
};

/// What of a commit is not there yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unseen<'a> {
    pub(crate) at: Timestamp,
    pub(crate) removed: &'a Removed,
    pub(crate) changes: &'a [PastChange],
}

fn conflict(message: String) -> Error {
    Error::new(ErrorKind::Conflict, message)
}

/// What of `commits` lies beyond `head`.
///
/// # Errors
/// `Conflict` if something is missing in between.
pub(crate) fn unseen(head: ChangeSeq, commits: &[PastCommit]) -> Result<Vec<Unseen<'_>>> {
    let mut next = head.0 + 1;
    let mut found = Vec::with_capacity(commits.len());
    for commit in commits {
        if commit.first.0 > next {
            let message =
                format!("commits: expected one that continues position {}, found {}", next - 1, commit.first.0);
            return Err(conflict(message));
        }
        let seen = usize::try_from(next - commit.first.0).unwrap_or(usize::MAX);
        // What an erasure took away is taken away however often it is told.
        let changes = commit.changes.get(seen..).unwrap_or_default();
        if changes.is_empty() && commit.removed.is_empty() {
            continue;
        }
        next += changes.len() as u64;
        found.push(Unseen { at: commit.at, removed: &commit.removed, changes });
    }
    Ok(found)
}

/// Checks that an entry continues a chain that ends with `tail`, and holds together.
///
/// # Errors
/// `Conflict` for an entry of another chain, `Corrupted` for one that does not verify.
pub(crate) fn check_entry(tail: (Sequence, Digest), entry: &ChainedEvent) -> Result<()> {
    let (last, hash) = tail;
    if entry.sequence.0 != last.0 + 1 || entry.previous != hash {
        let message = format!(
            "commits: expected an event that continues the chain at sequence {last}, found sequence {} of another chain",
            entry.sequence
        );
        return Err(conflict(message));
    }
    let committed = match (&entry.event, &entry.salt) {
        (Some(event), Some(salt)) => audit::commitment(salt, event) == entry.commitment,
        (Some(_), None) => false,
        (None, _) => true,
    };
    let linked = audit::link(&entry.previous, entry.sequence, entry.recorded_at, &entry.commitment) == entry.hash;
    if committed && linked {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Corrupted, format!("the event at sequence {} does not verify", entry.sequence)))
}

/// Checks that a revision follows the last one of its record.
///
/// # Errors
/// `Conflict`, naming the record and both versions.
pub(crate) fn check_follows(id: &RecordId, last: Version, version: Version) -> Result<()> {
    if version > last {
        return Ok(());
    }
    let message =
        format!("commits: expected a version of record {} above {last}, found {version}", quoted(id.as_str()));
    Err(conflict(message))
}

/// Checks that a change is about the last revision of its record.
///
/// # Errors
/// `Conflict`, naming the record and both versions.
pub(crate) fn check_last(id: &RecordId, last: Version, version: Version) -> Result<()> {
    if version == last {
        return Ok(());
    }
    let message = format!("commits: expected version {last} of record {}, found {version}", quoted(id.as_str()));
    Err(conflict(message))
}
