//! What a source erased of the past that a target repeated already. Not here: repeating (`Ledger::repeat`).

use std::collections::BTreeSet;

use futures::{StreamExt as _, TryStreamExt as _, future::try_join, stream};
use mnemic_core::{
    ChangeSeq, Changed, Namespace, RecordId, Removed, Result, RevisionKind, Version, limits, ports::Ledger,
};

use crate::compare::AT_ONCE;

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
    let (mut found, mut revisions) = (Found::default(), Vec::new());
    let mut after = ChangeSeq(0);
    while after < head {
        let theirs = source.0.changes(source.1, after, limits::BATCH);
        let (theirs, ours) = try_join(theirs, target.0.changes(target.1, after, limits::BATCH)).await?;
        let both = || theirs.iter().zip(&ours);
        let Some(last) = both().map(|(change, _)| change.seq).next_back() else { break };
        both().for_each(|(theirs, ours)| found.compare(&theirs.what, &ours.what));
        // Where both feeds tell of a second revision, so that each record is asked for once.
        let rewritten = both().filter_map(|(theirs, ours)| match &ours.what {
            Changed::Written(id, Version(2)) if theirs.what == ours.what => Some(id),
            _ => None,
        });
        let read: Vec<_> = rewritten.map(|id| gone(source, target, id)).collect();
        let mut read = stream::iter(read).buffered(AT_ONCE);
        while let Some(gone) = read.try_next().await? {
            revisions.extend(gone);
        }
        after = last;
    }
    Ok(Removed {
        records: found.records.into_iter().collect(),
        threads: found.threads.into_iter().collect(),
        names: found.names.into_iter().collect(),
        revisions,
    })
}

/// Revisions of a record that the target keeps and the source does not.
async fn gone(source: Side<'_>, target: Side<'_>, id: &RecordId) -> Result<Vec<(RecordId, Version)>> {
    let (kept, held) = try_join(versions(source, id), versions(target, id)).await?;
    let kept: BTreeSet<Version> = kept.into_iter().collect();
    Ok(held.into_iter().filter(|version| !kept.contains(version)).map(|version| (id.clone(), version)).collect())
}

#[derive(Default)]
struct Found {
    records: BTreeSet<RecordId>,
    threads: BTreeSet<mnemic_core::ThreadId>,
    names: BTreeSet<RecordId>,
}

impl Found {
    fn compare(&mut self, theirs: &Changed, ours: &Changed) {
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
