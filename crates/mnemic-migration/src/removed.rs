//! What a source erased of the past that a target repeated already. Not here: repeating (`Ledger::repeat`).

use std::collections::{BTreeMap, BTreeSet};

use mnemic_core::{
    ChangeSeq, Changed, Namespace, RecordId, Removed, Result, RevisionKind, Version, limits, ports::Ledger,
};

/// One side of a comparison: a ledger and the namespace in it.
pub type Side<'a> = (&'a dyn Ledger, &'a Namespace);

/// What stands in the target and no longer in the source.
///
/// An erasure takes names out of the source's feed while positions stay, so the two feeds are compared position by position. It may
/// also take single revisions of a record that stays; those show in its history only.
///
/// # Errors
/// What either ledger gives.
pub async fn removed(source: Side<'_>, target: Side<'_>) -> Result<Removed> {
    let head = target.0.head(target.1).await?;
    let mut found = Found::default();
    let mut after = ChangeSeq(0);
    while after < head {
        let theirs = source.0.changes(source.1, after, limits::BATCH).await?;
        let ours = target.0.changes(target.1, after, limits::BATCH).await?;
        let Some(last) = theirs.iter().zip(&ours).map(|(change, _)| change.seq).next_back() else { break };
        for (theirs, ours) in theirs.iter().zip(&ours) {
            found.compare(&theirs.what, &ours.what);
        }
        after = last;
    }
    let mut removed = Removed {
        records: found.records.iter().cloned().collect(),
        threads: found.threads.into_iter().collect(),
        names: found.names.into_iter().collect(),
        revisions: Vec::new(),
    };
    for (id, written) in found.written {
        if written > 1 && !found.records.contains(&id) {
            let kept: BTreeSet<Version> = versions(source, &id).await?.into_iter().collect();
            let gone = versions(target, &id).await?.into_iter().filter(|version| !kept.contains(version));
            removed.revisions.extend(gone.map(|version| (id.clone(), version)));
        }
    }
    Ok(removed)
}

#[derive(Default)]
struct Found {
    records: BTreeSet<RecordId>,
    threads: BTreeSet<mnemic_core::ThreadId>,
    names: BTreeSet<RecordId>,
    /// How often each record was written, by the target's feed.
    written: BTreeMap<RecordId, u64>,
}

impl Found {
    fn compare(&mut self, theirs: &Changed, ours: &Changed) {
        if let Changed::Written(id, _) = ours {
            *self.written.entry(id.clone()).or_default() += 1;
        }
        if theirs == ours {
            return;
        }
        match ours {
            Changed::Written(id, _) | Changed::Embedded(id, _) | Changed::Deleted(id, _) => {
                self.records.insert(id.clone());
            }
            Changed::Erased(Some(id)) => {
                self.names.insert(id.clone());
            }
            Changed::Slots(Some(thread), _) => {
                self.threads.insert(thread.clone());
            }
            _ => {}
        }
    }
}

/// The versions whose revisions are still kept.
async fn versions((ledger, namespace): Side<'_>, id: &RecordId) -> Result<Vec<Version>> {
    let history = ledger.history(namespace, id).await?;
    let written = history.into_iter().filter_map(|revision| match revision.what {
        RevisionKind::Written(record) => Some(record.version),
        RevisionKind::Deleted(_) => None,
    });
    Ok(written.collect())
}
