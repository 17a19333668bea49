//! Catching up: a target repeats what its source committed, and takes away what its source erased. Not here: reading one page (`past`),
//! and what becomes of it on its way (`lens`).

use std::collections::BTreeSet;

use futures::future::join;
use mnemic_core::{ChangeSeq, Error, ErrorKind, OutboxId, OutboxItem, PastCommit, Result, Timestamp};

use crate::{
    lens::{AsIs, Lens},
    past::{past, tells_of_erasure},
    removed::{Side, removed},
};

/// Changes of the first page, so that the target has something to do soon. Each page is twice as large as the one before, up to what is
/// asked for: it is read while that one is written.
const FIRST_PAGE: usize = 250;

/// What one round of catching up did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// Changes that were repeated.
    pub changes: u64,
    /// The position that the target reached.
    pub head: ChangeSeq,
    /// Whether something that was erased was among them.
    pub erased: bool,
}

/// Repeats in the target what the source holds beyond the target's head, `page` changes at a time, until there is nothing more, and
/// tells each position that is reached.
///
/// It may be stopped anywhere and called again: the target's head says where it goes on. The target must be empty or have been made
/// like this from the same source; another one is noticed where its chain or its versions do not continue.
///
/// # Errors
/// `Conflict` if the target holds something else, and what either ledger gives.
pub async fn follow(
    source: Side<'_>,
    target: Side<'_>,
    page: usize,
    reached: impl FnMut(ChangeSeq),
) -> Result<Followed> {
    follow_through(source, target, &AsIs, page, reached).await
}

/// The same through a lens.
///
/// # Errors
/// Those of [`follow`], and what the lens gives.
pub async fn follow_through(
    source: Side<'_>,
    target: Side<'_>,
    lens: &dyn Lens,
    page: usize,
    mut reached: impl FnMut(ChangeSeq),
) -> Result<Followed> {
    let begun = target.0.head(target.1).await?;
    let theirs = source.0.head(source.1).await?;
    if begun > theirs {
        let message = format!(
            "target: expected a copy of {}, which ends at position {}, found one that ends at {}",
            source.1, theirs.0, begun.0
        );
        return Err(Error::new(ErrorKind::Conflict, message));
    }
    let (mut head, mut erased) = (begun, false);
    let mut size = page.min(FIRST_PAGE);
    let mut next = read(source, lens, begun, size).await?;
    while let Some(last) = next.last().map(PastCommit::last) {
        let mut commits = next;
        if head > ChangeSeq(0)
            && commits.iter().flat_map(|commit| &commit.changes).any(|change| tells_of_erasure(&change.told()))
            && let Some(first) = commits.first_mut()
        {
            first.removed = removed(source, target).await?;
            erased = true;
        }
        // The next page is read while this one is written. What is erased in between stands in a later page, as ever.
        size = page.min(2 * size);
        let (repeated, ahead) = join(target.0.repeat(target.1, &commits), read(source, lens, last, size)).await;
        head = repeated?;
        reached(head);
        next = ahead?;
    }
    settle(source, target, lens).await?;
    erased |= forget_revisions(source, target, head).await?;
    Ok(Followed { changes: head.0 - begun.0, head, erased })
}

/// The commits after a position, as the target repeats them.
async fn read(source: Side<'_>, lens: &dyn Lens, after: ChangeSeq, page: usize) -> Result<Vec<PastCommit>> {
    let commits = past(source.0, source.1, after, page).await?;
    if commits.is_empty() { Ok(commits) } else { lens.carry(source, commits).await }
}

/// Finishes what the source has finished: settling leaves no change in the feed.
async fn settle(source: Side<'_>, target: Side<'_>, lens: &dyn Lens) -> Result<()> {
    let waiting = target.0.outbox(target.1, usize::MAX).await?;
    if waiting.is_empty() {
        return Ok(());
    }
    let theirs: BTreeSet<OutboxId> =
        source.0.outbox(source.1, usize::MAX).await?.into_iter().map(|item| item.id).collect();
    let gone: Vec<OutboxItem> = waiting.into_iter().filter(|item| !theirs.contains(&item.id)).collect();
    if gone.is_empty() {
        return Ok(());
    }
    let done: Vec<OutboxId> = lens.finished(target, gone).await?.into_iter().map(|item| item.id).collect();
    if done.is_empty() { Ok(()) } else { target.0.settle(target.1, &done).await }
}

/// Takes away single revisions that an erasure took: that leaves no change in the feed either, only fewer revisions. Tells whether
/// there were any.
async fn forget_revisions(source: Side<'_>, target: Side<'_>, head: ChangeSeq) -> Result<bool> {
    let (theirs, ours) = (source.0.report(source.1).await?, target.0.report(target.1).await?);
    if theirs.head != head || theirs.revisions == ours.revisions {
        return Ok(false);
    }
    let removed = removed(source, target).await?;
    let at = Timestamp::from_micros(0)?;
    let first = ChangeSeq(head.0 + 1);
    target.0.repeat(target.1, &[PastCommit { first, at, changes: Vec::new(), removed }]).await?;
    Ok(true)
}
