//! A memory that moves for good: switched for every process at once, taken back with what was written meanwhile, cut off anywhere.
//! Not here: copying (`migration`), and which roles a ledger keeps (conformance).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::{path::Path, sync::Arc, time::Duration};

use common::{event, id, record, thread};
use mnemic::{
    Builder, CutOver, ErrorKind, Filter, MemoryManager, MovePhase, Namespace, PageRequest, Query, Role, Selector,
    SetSlots, Trial, WriteOptions,
};
use mnemic_conformance::faulty::{Fault, Faulty, Strike};
use mnemic_core::ports::Ledger;
use mnemic_ledgers::{InMemoryLedger, SqliteConfig, SqliteLedger};
use mnemic_spool::SpoolConfig;

fn namespace() -> Namespace {
    Namespace::new("case").unwrap()
}

fn directory(path: &Path) -> MemoryManager {
    Builder::embedded(path).unwrap().build(namespace()).unwrap()
}

async fn write(memory: &MemoryManager, name: &str) {
    let text = format!("Statement {name} about the hearing in June.");
    memory.write(vec![record(name, &text)], &WriteOptions::default()).await.unwrap();
}

async fn some(memory: &MemoryManager, count: usize) {
    for i in 0..count {
        write(memory, &format!("r{i}")).await;
    }
    memory.log_audit(event("e1", "talk", "hello")).await.unwrap();
    let slots = [("persona".to_owned(), Some("attorney".to_owned()))].into();
    memory.set_slots(&thread("talk"), slots, SetSlots::default()).await.unwrap();
}

async fn names(memory: &MemoryManager) -> Vec<String> {
    let page = PageRequest::largest();
    let found = memory.list(&Filter::all(), None, &page).await.unwrap();
    found.items.into_iter().map(|record| record.id.to_string()).collect()
}

async fn same(source: &MemoryManager, target: &MemoryManager, when: &str) {
    let report = source.compare_with(target, 5).await.unwrap();
    assert!(report.is_same(), "{when}: {report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_is_followed_by_every_handle_and_taken_back_with_what_was_written_since() {
    let places = tempfile::tempdir().unwrap();
    let (from, to) = (places.path().join("from"), places.path().join("to"));
    let (source, target) = (directory(&from), directory(&to));
    some(&source, 30).await;
    // Another process: an engine of its own on the same directory.
    let other = directory(&from);
    source.migrate_to(&target, |_| {}).await.unwrap();
    assert_eq!(source.move_status(&target).await.unwrap().phase, MovePhase::Copying);
    let refused = target.write(vec![record("x", "x")], &WriteOptions::default()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "a copy takes no writes of its own: {refused}");

    let switched = source.cut_over(&target, &CutOver::default()).await.unwrap();
    assert_eq!(source.move_status(&target).await.unwrap().phase, MovePhase::Moved);
    for (handle, name) in [(&source, "by-source"), (&other, "by-other"), (&target, "by-target")] {
        write(handle, name).await;
        let found = handle.retrieve(&Query::new(format!("Statement {name}"))).await.unwrap();
        assert_eq!(found.hits[0].record.id, id(name));
    }
    let fresh = directory(&from);
    assert_eq!(names(&fresh).await, names(&target).await, "who opens the old place is answered by the new one");
    other.forget(&Selector::Ids(vec![id("r3")]), Trial::Real).await.unwrap();
    // Within the window the old place has every write too.
    let status = source.move_status(&target).await.unwrap();
    assert_eq!((status.behind(), status.target.1.0 > switched.head.0 + 4), (0, true), "{status:?}");
    same(&target, &source, "while both get every write").await;

    let before = names(&target).await;
    source.roll_back(&target).await.unwrap();
    for handle in [&source, &other, &target, &fresh] {
        assert_eq!(names(handle).await, before, "after going back");
    }
    write(&target, "after").await;
    assert!(names(&source).await.contains(&"after".to_owned()), "a handle of the place that was left follows back");
    assert_eq!(source.move_status(&target).await.unwrap().source.0, Role::default());
    source.verify_audit(None).await.unwrap();

    // And once more, from where the copy was left.
    source.migrate_to(&target, |_| {}).await.unwrap();
    source.cut_over(&target, &CutOver { window: Duration::ZERO }).await.unwrap();
    write(&other, "last").await;
    let receipt = other.forget(&Selector::Ids(vec![id("r4")]), Trial::Real).await.unwrap();
    assert!(receipt.residue.iter().any(|left| left.contains("mnemic migrate finish")), "{receipt:?}");
    assert!(
        source.move_status(&target).await.unwrap().behind() > 3,
        "without a window the old place is left as it was"
    );
    source.finish_migration(&target).await.unwrap();
    assert!(names(&other).await.contains(&"last".to_owned()));
    let left = SqliteLedger::open(SqliteConfig::new(&from)).unwrap();
    assert_eq!(left.head(&namespace()).await.unwrap().0, 0, "nothing of the memory is left at the old place");
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_switch_going_back_leaves_nothing_in_the_target() {
    let places = tempfile::tempdir().unwrap();
    let (from, to) = (places.path().join("from"), places.path().join("to"));
    let (source, target) = (directory(&from), directory(&to));
    some(&source, 10).await;
    let neighbor = target.in_namespace(Namespace::new("neighbor").unwrap());
    write(&neighbor, "untouched").await;
    source.migrate_to(&target, |_| {}).await.unwrap();
    source.roll_back(&target).await.unwrap();
    assert_eq!(source.move_status(&target).await.unwrap().phase, MovePhase::NotBegun);
    assert_eq!(names(&target).await, [""; 0]);
    assert_eq!(target.stats().await.unwrap().ledger.head.0, 0);
    assert_eq!(target.retrieve(&Query::new("hearing in June")).await.unwrap().hits.len(), 0);
    assert_eq!(names(&neighbor).await, ["untouched"]);
    write(&source, "goes on").await;
    write(&target, "a memory of its own").await;
    let refused = source.migrate_to(&target, |_| {}).await.unwrap_err();
    assert!(refused.message().contains("holds a memory of its own"), "{refused}");
    assert_eq!(names(&target).await, ["a memory of its own"]);
}

// Roles that a switch passes through, and the command that goes on from there.
#[tokio::test(flavor = "multi_thread")]
async fn a_switch_that_is_cut_off_at_any_step_goes_on_or_goes_back() {
    for cut in 0..3 {
        for back in [false, true] {
            let places = tempfile::tempdir().unwrap();
            let (from, to) = (places.path().join("from"), places.path().join("to"));
            let (source, target) = (directory(&from), directory(&to));
            some(&source, 12).await;
            source.migrate_to(&target, |_| {}).await.unwrap();
            let (here, there) = (source.address().unwrap(), target.address().unwrap());
            let (ours, theirs) = (
                SqliteLedger::open(SqliteConfig::new(&from)).unwrap(),
                SqliteLedger::open(SqliteConfig::new(&to)).unwrap(),
            );
            // What a process that was killed left: sealed; sealed and switched; all but the end.
            ours.assign(&namespace(), 0, Role::Moving { to: there }).await.unwrap();
            if cut > 0 {
                let seen = theirs.assignment(&namespace()).await.unwrap();
                theirs.assign(&namespace(), seen.epoch, Role::default()).await.unwrap();
                write(&target, "meanwhile").await;
            }
            if cut > 1 {
                let seen = ours.assignment(&namespace()).await.unwrap();
                let to = target.address().unwrap();
                ours.assign(&namespace(), seen.epoch, Role::Moved { to }).await.unwrap();
            }
            let expected = if cut > 0 { MovePhase::Moved } else { MovePhase::Switching };
            assert_eq!(source.move_status(&target).await.unwrap().phase, expected);
            let fresh = directory(&from);
            assert_eq!(names(&fresh).await.contains(&"meanwhile".to_owned()), cut > 0, "reads go on");
            if back {
                source.roll_back(&target).await.unwrap();
                let role = ours.assignment(&namespace()).await.unwrap().role;
                assert_eq!(role, Role::default(), "cut {cut}");
            } else {
                source.cut_over(&target, &CutOver::default()).await.unwrap();
                let role = ours.assignment(&namespace()).await.unwrap().role;
                assert!(matches!(role, Role::Moved { .. }), "cut {cut}: {role:?}");
                let mirrored = theirs.assignment(&namespace()).await.unwrap().role;
                assert!(matches!(mirrored, Role::Serving { .. }), "cut {cut}: {mirrored:?} of {here}");
            }
            write(&fresh, "afterwards").await;
            let held = names(&source).await;
            assert_eq!(held.len(), 12 + 1 + usize::from(cut > 0), "cut {cut}, back {back}: {held:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_differs_is_not_switched_to_and_the_memory_goes_on() {
    let places = tempfile::tempdir().unwrap();
    let source = directory(&places.path().join("from"));
    some(&source, 10).await;
    let lying = Arc::new(InMemoryLedger::new());
    let target = Builder::default().ledger(Arc::clone(&lying) as Arc<dyn Ledger>).build(namespace()).unwrap();
    source.migrate_to(&target, |_| {}).await.unwrap();
    // A copy that somebody wrote to behind everybody's back.
    let seen = lying.assignment(&namespace()).await.unwrap();
    lying.assign(&namespace(), seen.epoch, Role::default()).await.unwrap();
    target.log_audit(event("foreign", "talk", "not of this memory")).await.unwrap();
    let seen = lying.assignment(&namespace()).await.unwrap();
    lying.assign(&namespace(), seen.epoch, Role::Copy { of: source.address().unwrap() }).await.unwrap();
    let refused = source.cut_over(&target, &CutOver::default()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict, "{refused}");
    assert_eq!(source.move_status(&target).await.unwrap().phase, MovePhase::Copying);
    write(&source, "goes on").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_returns_without_a_target_that_is_lost() {
    let places = tempfile::tempdir().unwrap();
    let (from, to) = (places.path().join("from"), places.path().join("to"));
    let source = directory(&from);
    some(&source, 10).await;
    {
        let target = directory(&to);
        source.migrate_to(&target, |_| {}).await.unwrap();
        source.cut_over(&target, &CutOver::default()).await.unwrap();
        write(&target, "mirrored").await;
    }
    drop(source);
    std::fs::remove_dir_all(&to).unwrap();
    let source = directory(&from);
    let lost = source.list(&Filter::all(), None, &PageRequest::largest()).await.unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::Unavailable, "{lost}");
    assert!(lost.message().contains("the memory is in namespace case of dir:"), "{lost}");
    source.return_without_target().await.unwrap();
    assert!(names(&source).await.contains(&"mirrored".to_owned()), "the mirror brought it before the target was lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_in_a_spool_while_the_memory_moves_is_made_at_the_new_place_once() {
    let places = tempfile::tempdir().unwrap();
    let truth = Arc::new(InMemoryLedger::new());
    let away = Arc::new(Faulty::new(Arc::clone(&truth)));
    let spool = SpoolConfig::new(places.path().join("spool"));
    let cut_off =
        Builder::default().ledger(Arc::clone(&away) as Arc<dyn Ledger>).spool(spool).build(namespace()).unwrap();
    let source = Builder::default().ledger(Arc::clone(&truth) as Arc<dyn Ledger>).build(namespace()).unwrap();
    let target = Builder::default().build(namespace()).unwrap();
    some(&source, 5).await;
    // A commit whose answer is lost, and one that is never made: both wait.
    away.set(Some(Fault { strike: Strike::After, ..Fault::always().of(&["commit"]) }));
    write(&cut_off, "answer-lost").await;
    away.set(Some(Fault::always()));
    write(&cut_off, "never-made").await;
    source.migrate_to(&target, |_| {}).await.unwrap();
    source.cut_over(&target, &CutOver::default()).await.unwrap();
    away.set(None);
    cut_off.drain().await.unwrap();
    for name in ["answer-lost", "never-made"] {
        let found = target.get(&[id(name)], None).await.unwrap();
        assert_eq!(found[0].as_ref().unwrap().version.0, 1, "{name} was made once");
    }
    assert!(cut_off.health_check().await.details.iter().all(|detail| !detail.message.contains("kept aside")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_read_a_copy_reads_what_comes_after_it_from_the_beginning() {
    let places = tempfile::tempdir().unwrap();
    let (from, to) = (places.path().join("from"), places.path().join("to"));
    let (source, target) = (directory(&from), directory(&to));
    some(&source, 5).await;
    let other = directory(&to);
    source.migrate_to(&target, |_| {}).await.unwrap();
    assert_eq!(other.retrieve(&Query::new("Statement r1")).await.unwrap().hits[0].record.id, id("r1"));
    source.abort_migration(&target).await.unwrap();
    for i in 0..20 {
        write(&target, &format!("later{i}")).await;
    }
    for memory in [&other, &directory(&to)] {
        let found = memory.retrieve(&Query::new("Statement later0")).await.unwrap();
        assert_eq!(found.hits[0].record.id, id("later0"), "the index of the copy stood as far as the first of these");
        memory.close().await.unwrap();
    }
    assert!(directory(&to).verify().await.unwrap().faults.is_empty());
}
