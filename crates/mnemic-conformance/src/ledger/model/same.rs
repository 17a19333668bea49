//! Compares a namespace with the copy that follows it. Not here: what either ought to hold (`compare`).

use mnemic_core::{Filter, Namespace, ports::Read};

use super::{
    super::{
        room::Room,
        snapshot::{self, Snapshot},
    },
    state::State,
};
use crate::walk::Walk;

/// Changes of one page: few, so that commits are cut in the middle.
const PAGE: usize = 3;

/// Has the copy catch up.
pub(super) async fn follow(room: &Room, copy: &Namespace) {
    let (source, target) = ((room.ledger(), &room.ns), (room.ledger(), copy));
    mnemic_migration::follow(source, target, PAGE, |_| {}).await.unwrap();
}

/// Fails unless everything that can be read is the same, also of the past.
pub(super) async fn everything(room: &Room, copy: &Namespace, state: &State) {
    let source = room.snapshot().await;
    let target = Snapshot::take(room.ledger(), copy).await;
    source.assert_same(&target, "in the copy");
    let Some(first) = state.commits.first() else { return };
    for as_of in [state.commits[state.commits.len() / 2], *first] {
        let read = Read { as_of: Some(as_of), ..Read::default() };
        let theirs = snapshot::records(room.ledger(), &room.ns, &Filter::all(), read, Walk::oldest(3)).await;
        let ours = snapshot::records(room.ledger(), copy, &Filter::all(), read, Walk::oldest(3)).await;
        assert_eq!(ours, theirs, "scan of the copy as of {as_of}");
        for thread in state.slots.keys() {
            let theirs = room.ledger().slots(&room.ns, thread, Some(as_of)).await.unwrap();
            let ours = room.ledger().slots(copy, thread, Some(as_of)).await.unwrap();
            assert_eq!(ours, theirs, "slots of {thread} in the copy as of {as_of}");
        }
    }
}
