//! Every verb of the seed's guide, on the development and the embedded memory, as a reader of the guide would expect it.
//! Not here: what the guide does not name (the other test files).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::collections::BTreeMap;

use common::{at, dev, event, found, id, memories, record, thread, user};
use mnemic::{
    Consolidation, Dedupe, Filter, MemoryManager, NewRecord, Object, Order, PageRequest, Query, RecordKind, SetSlots,
    Value, WriteOptions,
};

/// "Тест 1": every backend is healthy.
#[tokio::test]
async fn health_check_answers_for_semantic_episodic_and_working_memory() {
    for memory in memories() {
        let health = memory.manager.health_check().await;
        assert!(health.semantic && health.episodic && health.working && health.all(), "{}: {health:?}", memory.name);
        assert!(health.details.iter().any(|detail| detail.part == "ledger"));
    }
}

/// "Тест 2": what was written is retrieved for its user.
#[tokio::test]
async fn awrite_then_aretrieve_finds_the_precedent() {
    for memory in memories() {
        let draft = NewRecord {
            user_id: Some(user("test_user")),
            kind: Some(RecordKind::Semantic),
            source: Some("test".into()),
            tags: ["legal".to_owned(), "precedent".to_owned()].into(),
            ..NewRecord::new("Important legal precedent from Smith v. Jones case")
        };
        let stored = memory.manager.write(vec![draft], &WriteOptions::default()).await.unwrap();
        assert_eq!(stored.records.len(), 1);
        let query = Query { user_id: Some(user("test_user")), limit: Some(5), ..Query::new("find legal precedents") };
        let results = memory.manager.retrieve(&query).await.unwrap();
        assert_eq!(
            results.hits[0].record.text, "Important legal precedent from Smith v. Jones case",
            "{}",
            memory.name
        );
        let nobody = Query { user_id: Some(user("other")), ..query };
        assert!(memory.manager.retrieve(&nobody).await.unwrap().hits.is_empty());
    }
}

/// "Тест 3": a logged event is in the thread's snapshot, in the guide's line format.
#[tokio::test]
async fn alog_audit_then_asnapshot_thread_shows_the_event() {
    for memory in memories() {
        let mut logged = event("8f1c", "test_thread", "");
        logged.source = "test".into();
        logged.action = "test_action".into();
        logged.payload = Object::from([("data".to_owned(), Value::from("test"))]);
        memory.manager.log_audit(logged.clone()).await.unwrap();
        memory.manager.log_audit(logged).await.unwrap();
        let snapshot = memory.manager.snapshot_thread(&thread("test_thread")).await.unwrap();
        assert_eq!(snapshot, "2026-03-01T12:00:00Z test:test_action {\"data\":\"test\"}", "{}", memory.name);
    }
}

#[tokio::test]
async fn awrite_of_an_event_reflects_it_into_records_once() {
    for memory in memories() {
        let manager = &memory.manager;
        let written = manager.write_event(event("e1", "t", "The biometrics appointment is on May 4")).await.unwrap();
        assert_eq!(written.report.records.len(), 1);
        let again = manager.write_event(event("e1", "t", "The biometrics appointment is on May 4")).await.unwrap();
        assert_eq!(again.report.records[0].version, written.report.records[0].version);
        let hits = manager.retrieve(&Query::new("when is the biometrics appointment")).await.unwrap().hits;
        assert_eq!(hits.len(), 1);
        assert!(hits[0].record.provenance.events.contains("e1"));
        let other = manager.write_event(event("e1", "t", "Something else")).await.unwrap_err();
        assert_eq!(other.field(), Some("event_id"));
    }
}

#[tokio::test]
async fn aset_rmt_then_aget_rmt_keeps_the_threads_slots() {
    for memory in memories() {
        let slots = BTreeMap::from([
            ("persona".to_owned(), Some("careful".to_owned())),
            ("open_loops".to_owned(), Some("send the RFE answer".to_owned())),
        ]);
        let set = memory.manager.set_slots(&thread("t"), slots.clone(), SetSlots::default()).await.unwrap();
        assert_eq!(set.version.0, 1);
        let got = memory.manager.slots(&thread("t"), None).await.unwrap();
        assert_eq!(got.slots["persona"], "careful");
        assert_eq!(got, set);
        assert!(memory.manager.slots(&thread("unknown"), None).await.unwrap().slots.is_empty());
    }
}

/// The guide: the in-memory manager deduplicates actively when asked to; here every backend does.
#[tokio::test]
async fn aconsolidate_removes_duplicates_and_says_how_many() {
    for memory in memories() {
        let records = vec![
            record("a", "The filing fee is $1,055."),
            record("b", "the filing fee is $1,055"),
            record("c", "Other"),
        ];
        memory.manager.write(records, &WriteOptions::default()).await.unwrap();
        let report = memory.manager.consolidate(&Consolidation::default()).await.unwrap();
        assert_eq!((report.plan.merges.len(), report.remaining), (1, 2), "{}", memory.name);
        let hits = memory.manager.retrieve(&Query::new("filing fee")).await.unwrap();
        assert_eq!(found(&hits)[0], "a");
        assert!(!found(&hits).contains(&"b"));
    }
}

#[tokio::test]
async fn retrieving_all_records_lists_them_in_order() {
    for memory in memories() {
        let records: Vec<NewRecord> = (0..25).map(|n| record(&format!("r{n:02}"), &format!("record {n}"))).collect();
        memory.manager.write(records, &WriteOptions::default()).await.unwrap();
        let page = PageRequest::first(10).unwrap();
        let first = memory.manager.list(&Filter::all(), None, &page).await.unwrap();
        assert_eq!(first.items.len(), 10);
        let newest = memory.manager.list(&Filter::all(), None, &page.ordered(Order::Newest)).await.unwrap();
        assert_eq!(newest.items[0].id, id("r24"));
    }
}

/// The guide's filters: a dictionary with tags and type.
#[tokio::test]
async fn the_seeds_filter_dictionary_narrows_a_retrieval() {
    for memory in memories() {
        let mut tagged = record("tagged", "the fee of the form");
        tagged.tags = ["fee".to_owned(), "form".to_owned()].into();
        let mut half = record("half", "the fee of the form too");
        half.tags = ["fee".to_owned()].into();
        memory.manager.write(vec![tagged, half], &WriteOptions::default()).await.unwrap();
        let dictionary = Object::from([
            ("tags".to_owned(), Value::Array(vec!["fee".into(), "form".into()])),
            ("type".to_owned(), Value::from("semantic")),
        ]);
        let query = Query { filter: Filter::from_object(&dictionary).unwrap(), ..Query::new("fee") };
        assert_eq!(found(&memory.manager.retrieve(&query).await.unwrap()), ["tagged"], "{}", memory.name);
    }
}

/// The guide: the same code runs on another memory, and falling back is one line.
#[tokio::test]
async fn rolling_back_to_process_memory_is_another_constructor() {
    let memory = MemoryManager::dev().unwrap();
    memory.write(vec![NewRecord::new("kept in memory")], &WriteOptions::default()).await.unwrap();
    let found = memory.retrieve(&Query::new("memory")).await.unwrap();
    assert_eq!(found.hits.len(), 1);
    assert!(
        found
            .legs
            .iter()
            .any(|leg| matches!(&leg.outcome, mnemic::LegOutcome::Skipped(why) if why.contains("no embedding")))
    );
}

#[tokio::test]
async fn content_is_one_record_only_when_the_caller_asks_for_it() {
    let memory = dev();
    let same = || vec![NewRecord::new("Anna likes tea")];
    memory.manager.write(same(), &WriteOptions::default()).await.unwrap();
    memory.manager.write(same(), &WriteOptions::default()).await.unwrap();
    let dedupe = WriteOptions { dedupe: Dedupe::ByContent, ..WriteOptions::default() };
    let one = memory.manager.write(same(), &dedupe).await.unwrap();
    let two = memory.manager.write(vec![NewRecord::new("anna LIKES tea!")], &dedupe).await.unwrap();
    assert_eq!(one.records[0].id, two.records[0].id);
    let said = ["Boris likes coffee", "Clara likes cocoa", "boris likes coffee!"].map(NewRecord::new);
    let at_once = memory.manager.write(said.to_vec(), &dedupe).await.unwrap().records;
    assert_eq!((at_once.len(), &at_once[0]), (3, &at_once[2]), "each is answered, and it is one record");
    let kept = memory.manager.get(&[at_once[0].id.clone()], None).await.unwrap();
    assert_eq!(kept[0].as_ref().unwrap().text, "boris likes coffee!", "the last of them");
    let all = memory.manager.list(&Filter::all(), None, &PageRequest::largest()).await.unwrap();
    assert_eq!(all.items.len(), 5);
    assert_eq!(all.items[0].created_at, at("2026-03-01T12:00:00Z"));
}
