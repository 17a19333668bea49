//! Two namespaces with the same ids, users, threads and texts never show each other's anything, through any verb.
//! Not here: the same for one adapter alone (the conformance suite).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::collections::BTreeMap;

use common::{event, id, memories, namespace, record, thread, user};
use mnemic::ports::EventRange;
use mnemic::{
    ChangeSeq, Consolidation, ContextRequest, Dedupe, Filter, MemoryManager, NewRecord, PageRequest, Query, Selector,
    SetSlots, Trial, WriteOptions,
};

const SHARED: &str = "The client asked about the filing fee";

/// Fills a namespace with things that have the same names everywhere and one word that is only its own.
async fn fill(manager: &MemoryManager, canary: &str) {
    let theirs = |name: &str, text: String| NewRecord {
        user_id: Some(user("same-user")),
        thread_id: Some(thread("t")),
        ..record(name, &text)
    };
    let records = vec![theirs("shared", SHARED.to_owned()), theirs("own", format!("{SHARED} and {canary}"))];
    manager.write(records, &WriteOptions::default()).await.unwrap();
    manager
        .write(vec![theirs("own", format!("{SHARED} with {canary} corrected"))], &WriteOptions::default())
        .await
        .unwrap();
    let mut said = event("e1", "t", &format!("{SHARED}: {canary}"));
    said.user_id = Some(user("same-user"));
    manager.write_event(said).await.unwrap();
    let slots = BTreeMap::from([("persona".to_owned(), Some(canary.to_owned()))]);
    manager.set_slots(&thread("t"), slots, SetSlots::default()).await.unwrap();
}

/// Everything that can be read through a handle, as text.
async fn everything(manager: &MemoryManager) -> String {
    let all = PageRequest::largest();
    let mut seen: Vec<String> = Vec::new();
    for text in [SHARED, "alphacanary", "betacanary", "fee corrected"] {
        let found = manager.retrieve(&Query { limit: Some(100), ..Query::new(text) }).await.unwrap();
        let scores: Vec<_> = found.hits.iter().map(|hit| (&hit.record, hit.score, &hit.explanation)).collect();
        seen.push(format!("{scores:?}\n"));
    }
    let past = Query { as_of: Some(manager.now()), ..Query::new(SHARED) };
    seen.push(format!("{:?}\n", manager.retrieve(&past).await.unwrap().hits));
    seen.push(format!("{:?}\n", manager.list(&Filter::all(), None, &all).await.unwrap()));
    seen.push(format!("{:?}\n", manager.get(&[id("own"), id("shared")], None).await.unwrap()));
    seen.push(format!("{:?}\n", manager.history(&id("own")).await.unwrap()));
    let events = manager.events(&EventRange::default(), &all).await.unwrap();
    seen.push(format!("{:?}\n", events.items.iter().map(|entry| (entry.sequence, &entry.event)).collect::<Vec<_>>()));
    seen.push(format!("{:?}\n", manager.threads(&all).await.unwrap()));
    seen.push(manager.snapshot_thread(&thread("t")).await.unwrap());
    seen.push(format!("{:?}\n", manager.slots(&thread("t"), None).await.unwrap()));
    seen.push(format!("{:?}\n", manager.slots_history(&thread("t")).await.unwrap()));
    let request = ContextRequest { budget: 1000, ..ContextRequest::default() };
    seen.push(format!("{:?}\n", manager.context(&thread("t"), &request).await.unwrap()));
    seen.push(format!("{:?}\n", manager.changes(ChangeSeq(0), 1000).await.unwrap()));
    let report = manager.stats().await.unwrap().ledger;
    seen.push(format!("{} {} {} {}\n", report.records, report.revisions, report.events, report.head.0));
    seen.push(format!(
        "{:?}\n",
        manager.consolidate(&Consolidation { trial: Trial::Dry, ..Consolidation::default() }).await.unwrap()
    ));
    seen.concat()
}

/// What is left of a reading when ids that are minted at random are taken out.
fn stable(seen: &str) -> String {
    let minted = |word: &&str| !(word.len() > 30 && word.matches('-').count() >= 4);
    seen.split(['"', '(', ')', ' ']).filter(minted).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn nothing_of_one_namespace_is_seen_through_another() {
    for memory in memories() {
        let (a, b) =
            (memory.manager.in_namespace(namespace("client-a")), memory.manager.in_namespace(namespace("client-b")));
        fill(&a, "alphacanary").await;
        let alone = stable(&everything(&a).await);
        fill(&b, "betacanary").await;
        let (seen_a, seen_b) = (everything(&a).await, everything(&b).await);
        assert!(seen_a.contains("alphacanary") && !seen_a.contains("betacanary"), "{}", memory.name);
        assert!(seen_b.contains("betacanary") && !seen_b.contains("alphacanary"), "{}", memory.name);
        assert_eq!(
            stable(&seen_a),
            alone,
            "{}: counts, scores and positions do not depend on the neighbour",
            memory.name
        );
        let empty = memory.manager.in_namespace(namespace("client-c"));
        assert!(empty.retrieve(&Query::new(SHARED)).await.unwrap().hits.is_empty());
        assert_eq!(empty.get(&[id("own")], None).await.unwrap(), [None]);
    }
}

#[tokio::test]
async fn changing_one_namespace_leaves_the_other_as_it_was() {
    for memory in memories() {
        let (a, b) =
            (memory.manager.in_namespace(namespace("client-a")), memory.manager.in_namespace(namespace("client-b")));
        fill(&a, "alphacanary").await;
        fill(&b, "betacanary").await;
        let before = everything(&b).await;
        let key = WriteOptions { idempotency_key: Some("k".into()), dedupe: Dedupe::ByContent };
        a.write(vec![NewRecord::new(SHARED)], &key).await.unwrap();
        a.consolidate(&Consolidation::default()).await.unwrap();
        a.forget(&Selector::Ids(vec![id("own")]), Trial::Real).await.unwrap();
        a.forget(&Selector::Filter(Filter::equals(mnemic::Field::Id, "shared")), Trial::Real).await.unwrap();
        a.forget(&Selector::Subject(user("same-user")), Trial::Real).await.unwrap();
        assert_eq!(everything(&b).await, before, "{}", memory.name);
        let other = b.write(vec![NewRecord::new("another text")], &key).await.unwrap();
        assert!(!other.replayed, "an idempotency key belongs to its namespace");
    }
}

#[tokio::test]
async fn an_absent_id_and_a_foreign_id_answer_the_same() {
    for memory in memories() {
        let (a, b) =
            (memory.manager.in_namespace(namespace("client-a")), memory.manager.in_namespace(namespace("client-b")));
        a.write(vec![record("only-in-a", "text")], &WriteOptions::default()).await.unwrap();
        b.write(vec![record("own", "text")], &WriteOptions::default()).await.unwrap();
        let foreign = b.forget(&Selector::Ids(vec![id("only-in-a")]), Trial::Dry).await.unwrap();
        let absent = b.forget(&Selector::Ids(vec![id("nowhere")]), Trial::Dry).await.unwrap();
        assert_eq!(foreign, absent, "{}", memory.name);
        assert_eq!(b.history(&id("only-in-a")).await.unwrap(), b.history(&id("nowhere")).await.unwrap());
        let conflict =
            |name: &str| NewRecord { expect: mnemic::Precondition::Version(mnemic::Version(1)), ..record(name, "x") };
        let foreign = b.write(vec![conflict("only-in-a")], &WriteOptions::default()).await.unwrap_err().to_string();
        let absent = b.write(vec![conflict("nowhere")], &WriteOptions::default()).await.unwrap_err().to_string();
        assert_eq!(foreign.replace("only-in-a", "x"), absent.replace("nowhere", "x"));
    }
}
