//! Memories that become one: what is brought, under which names, again and again. Not here: moving a memory whole (`migration`).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::collections::BTreeMap;

use common::{event, id, record, thread};
use mnemic::{
    Builder, ErrorKind, Filter, MemoryManager, MergeReport, MergeRule, Merged, Namespace, PageRequest, SetSlots,
    ThreadId, WriteOptions,
};

fn named(memory: &MemoryManager, name: &str) -> MemoryManager {
    memory.in_namespace(Namespace::new(name).unwrap())
}

async fn write(memory: &MemoryManager, name: &str, text: &str) {
    memory.write(vec![record(name, text)], &WriteOptions::default()).await.unwrap();
}

async fn set(memory: &MemoryManager, name: &str, text: &str) {
    let slots = [("persona".to_owned(), Some(text.to_owned()))].into();
    memory.set_slots(&thread(name), slots, SetSlots::default()).await.unwrap();
}

async fn texts(memory: &MemoryManager) -> BTreeMap<String, String> {
    let found = memory.list(&Filter::all(), None, &PageRequest::largest()).await.unwrap();
    found.items.into_iter().map(|record| (record.id.to_string(), record.text)).collect()
}

async fn brought(source: &MemoryManager, target: &MemoryManager, rule: &MergeRule) -> MergeReport {
    source.merge_into(target, rule).await.unwrap()
}

/// Two namespaces of one directory, and a third that has a record and an event of its own under the same ids.
async fn furnished(directory: &tempfile::TempDir) -> (MemoryManager, MemoryManager, MemoryManager) {
    let memory = Builder::embedded(directory.path()).unwrap().build(Namespace::new("all").unwrap()).unwrap();
    let (anna, ben) = (named(&memory, "anna"), named(&memory, "ben"));
    for (source, who) in [(&anna, "Anna"), (&ben, "Ben")] {
        write(source, "city", &format!("{who} lives in Austin.")).await;
        write(source, who, &format!("{who} has a hearing in June.")).await;
        source.log_audit(event(&format!("e-{who}"), "talk", "hello")).await.unwrap();
    }
    set(&anna, "talk", "brief").await;
    (anna, ben, memory)
}

#[tokio::test]
async fn memories_become_one_and_bringing_them_again_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (anna, ben, all) = furnished(&directory).await;
    let rule = MergeRule::default();
    let first = brought(&anna, &all, &rule).await;
    assert_eq!((first.records, first.events.written, first.threads.written), (Merged { written: 2, same: 0 }, 1, 1));
    let second = brought(&ben, &all, &rule).await;
    assert_eq!(second.renamed, BTreeMap::from([(id("city"), id("ben/city"))]), "{second:?}");
    let held = texts(&all).await;
    assert_eq!((held["city"].as_str(), held["ben/city"].as_str()), ("Anna lives in Austin.", "Ben lives in Austin."));
    // With its embedding, as it was.
    let stored = all.list_stored(&Filter::all(), &PageRequest::largest()).await.unwrap();
    let before = ben.list_stored(&Filter::all(), &PageRequest::largest()).await.unwrap();
    let of = |id: &str, page: &mnemic::Page<mnemic::StoredRecord>| {
        page.items.iter().find(|stored| stored.record.id.as_str() == id).unwrap().embedding.clone().unwrap()
    };
    assert_eq!(of("ben/city", &stored), of("city", &before));
    all.verify_audit(None).await.unwrap();
    all.verify().await.unwrap();

    let head = all.stats().await.unwrap().ledger.head;
    for (source, before) in [(&anna, &first), (&ben, &second)] {
        let again = brought(source, &all, &rule).await;
        assert_eq!((again.records, again.events.written), (Merged { written: 0, same: 2 }, 0), "{again:?}");
        assert_eq!((&again.renamed, again.skipped.len()), (&before.renamed, 0), "{again:?}");
    }
    assert_eq!(all.stats().await.unwrap().ledger.head, head, "nothing was written");
}

#[tokio::test]
async fn what_changed_since_is_brought_from_the_source_and_kept_in_the_target() {
    let directory = tempfile::tempdir().unwrap();
    let (anna, _, all) = furnished(&directory).await;
    brought(&anna, &all, &MergeRule::default()).await;
    write(&anna, "city", "Anna lives in Boston.").await;
    write(&all, "Anna", "Anna has a hearing in July.").await;
    let again = brought(&anna, &all, &MergeRule::default()).await;
    assert_eq!(again.records, Merged { written: 1, same: 0 }, "{again:?}");
    assert_eq!(again.skipped, ["record \"Anna\": \"Anna\" was changed in the target"]);
    let held = texts(&all).await;
    assert_eq!(
        (held["city"].as_str(), held["Anna"].as_str()),
        ("Anna lives in Boston.", "Anna has a hearing in July.")
    );
}

#[tokio::test]
async fn slots_of_one_thread_are_never_mixed() {
    let directory = tempfile::tempdir().unwrap();
    let (anna, ben, all) = furnished(&directory).await;
    set(&ben, "talk", "formal").await;
    brought(&anna, &all, &MergeRule::default()).await;
    let before = texts(&all).await;
    let refused = ben.merge_into(&all, &MergeRule::default()).await.unwrap_err();
    assert_eq!((refused.kind(), refused.field()), (ErrorKind::Conflict, Some("thread_prefix")), "{refused}");
    assert_eq!(texts(&all).await, before, "refused before anything is written");
    let rule = MergeRule { thread_prefix: Some("ben/".to_owned()), ..MergeRule::default() };
    brought(&ben, &all, &rule).await;
    let kept = all.slots(&ThreadId::new("ben/talk").unwrap(), None).await.unwrap();
    assert_eq!(kept.slots["persona"], "formal");
    assert!(all.snapshot_thread(&ThreadId::new("ben/talk").unwrap()).await.unwrap().contains("hello"));
}

#[tokio::test]
async fn a_memory_is_not_merged_into_itself() {
    let directory = tempfile::tempdir().unwrap();
    let (anna, ..) = furnished(&directory).await;
    let refused = anna.merge_into(&anna, &MergeRule::default()).await.unwrap_err();
    assert_eq!((refused.kind(), refused.field()), (ErrorKind::InvalidInput, Some("target")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_is_cut_off_anywhere_is_finished_by_another_one() {
    let directory = tempfile::tempdir().unwrap();
    let (anna, _, all) = furnished(&directory).await;
    for i in 0..60 {
        write(&anna, &format!("r{i}"), &format!("Statement {i} about the hearing.")).await;
        anna.log_audit(event(&format!("more{i}"), "talk", "hello")).await.unwrap();
    }
    let mut cut = 0;
    let mut patience = std::time::Duration::from_millis(1);
    let last = loop {
        match tokio::time::timeout(patience, anna.merge_into(&all, &MergeRule::default())).await {
            Ok(merged) => break merged.unwrap(),
            Err(_elapsed) => cut += 1,
        }
        patience *= 2;
    };
    assert!(cut > 0, "it was cut off");
    assert!(last.renamed.is_empty() && last.skipped.is_empty(), "{last:?}");
    assert_eq!((last.records.written + last.records.same, last.events.written + last.events.same), (62, 61));
    assert_eq!(texts(&all).await, texts(&anna).await, "each once");
    assert_eq!(all.history(&id("r7")).await.unwrap().len(), 1, "and written once");
    all.verify_audit(None).await.unwrap();
}
