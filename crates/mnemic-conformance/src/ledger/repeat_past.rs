//! Repeating another ledger's commits: again, and where they do not fit. Not here: that the copy reads alike (`model`).

use mnemic_core::{ChangeSeq, EraseTarget, ErrorKind, MemoryRecord, PastChange, PastCommit};
use mnemic_migration::{follow, past};

use super::{LedgerHarness, room::Room, snapshot::Snapshot};
use crate::fixtures::{Rng, embedding, event, model, namespace, record, record_id, user};

/// A namespace with a bit of everything, and its commits.
async fn lived(h: &dyn LedgerHarness) -> (Room, Vec<PastCommit>) {
    let room = Room::new(h).await;
    room.write_embedded(record("a", "one"), &embedding(&mut Rng::new(1), &model())).await;
    room.write(record("b", "two")).await;
    room.write(record("a", "three")).await;
    room.append([event("e1", "t", Some("anna")), event("e2", "t", None)]).await;
    room.set_slots("t", &[("persona", Some("brief"))]).await;
    room.delete("b").await;
    let commits = past(room.ledger(), &room.ns, ChangeSeq(0), 1000).await.unwrap();
    (room, commits)
}

pub(super) async fn l27_single_revisions_that_an_erasure_takes_go_from_the_copy_too(h: &dyn LedgerHarness) {
    let room = Room::new(h).await;
    let of = |name: Option<&str>, text: &str| MemoryRecord { user_id: name.map(user), ..record("a", text) };
    for (name, text) in
        [(Some("anna"), "hers"), (Some("boris"), "his"), (Some("anna"), "hers again"), (None, "nobody's")]
    {
        room.write(of(name, text)).await;
    }
    room.write(record("b", "untouched")).await;
    let (source, copy, late) = ((room.ledger(), &room.ns), namespace(), namespace());
    follow(source, (room.ledger(), &copy), 2, |_| {}).await.unwrap();
    room.erase(EraseTarget::Subject(user("anna"))).await;
    for copy in [&copy, &late] {
        follow(source, (room.ledger(), copy), 2, |_| {}).await.unwrap();
        room.snapshot().await.assert_same(&Snapshot::take(room.ledger(), copy).await, "in the copy");
    }
    assert_eq!(room.ledger().history(&copy, &record_id("a")).await.unwrap().len(), 2, "what is left of the record");
}

pub(super) async fn l28_the_same_commits_again_change_nothing(h: &dyn LedgerHarness) {
    let (room, commits) = lived(h).await;
    let copy = namespace();
    let reached = room.ledger().repeat(&copy, &commits).await.unwrap();
    assert_eq!(reached, room.ledger().head(&room.ns).await.unwrap());
    let before = Snapshot::take(room.ledger(), &copy).await;
    assert_eq!(room.ledger().repeat(&copy, &commits).await.unwrap(), reached);
    assert_eq!(room.ledger().repeat(&copy, &commits[1..3]).await.unwrap(), reached);
    before.assert_same(&Snapshot::take(room.ledger(), &copy).await, "after the same commits again");
}

pub(super) async fn l28_commits_that_do_not_continue_change_nothing(h: &dyn LedgerHarness) {
    let (room, commits) = lived(h).await;
    let refuse = async |copy: &mnemic_core::Namespace, commits: &[PastCommit], why: &str| {
        let before = Snapshot::take(room.ledger(), copy).await;
        let error = room.ledger().repeat(copy, commits).await.expect_err(why);
        assert_eq!(error.kind(), ErrorKind::Conflict, "{why}: {error:?}");
        before.assert_same(&Snapshot::take(room.ledger(), copy).await, why);
    };
    refuse(&namespace(), &commits[1..], "a gap at the start").await;
    let gap = [&commits[..1], &commits[2..]].concat();
    refuse(&namespace(), &gap, "a gap in the middle, after a commit that fits").await;

    let own = Room::new(h).await;
    own.append([event("own", "t", None)]).await;
    let head = own.ledger().head(&own.ns).await.unwrap();
    let theirs = commits.iter().find(|commit| matches!(commit.changes[0], PastChange::Appended(_))).unwrap();
    let moved = PastCommit { first: ChangeSeq(head.0 + 1), ..theirs.clone() };
    let before = own.snapshot().await;
    let error = own.ledger().repeat(&own.ns, &[moved]).await.expect_err("an event of another chain");
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error:?}");
    before.assert_same(&own.snapshot().await, "an event of another chain");

    let copy = namespace();
    room.ledger().repeat(&copy, &commits).await.unwrap();
    let stale = PastCommit { first: ChangeSeq(commits.last().unwrap().last().0 + 1), ..commits[0].clone() };
    refuse(&copy, &[stale], "a version that was there before").await;
}

pub(super) async fn l28_an_event_that_does_not_verify_is_refused(h: &dyn LedgerHarness) {
    let (room, mut commits) = lived(h).await;
    for commit in &mut commits {
        for change in &mut commit.changes {
            if let PastChange::Appended(entry) = change {
                entry.event.as_mut().unwrap().action.push('x');
            }
        }
    }
    let copy = namespace();
    let error = room.ledger().repeat(&copy, &commits).await.expect_err("a changed event");
    assert_eq!(error.kind(), ErrorKind::Corrupted, "{error:?}");
    Snapshot::take(room.ledger(), &copy).await.assert_empty("after a changed event");
}
