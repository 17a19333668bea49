//! What the verbs promise beyond the seed: idempotency, time travel, undo, forgetting, prompt blocks, explanations.
//! Not here: the seed's own tests (`seed_verbs`), isolation (`walls`), failing parts (`degradation`).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::{collections::BTreeMap, time::Duration};

use common::{at, dev, embedded, event, found, id, memories, record, thread, user};
use mnemic::{
    Consolidation, ContextRequest, ErrorKind, Filter, Leg, LegOutcome, Mode, NewRecord, PageRequest, Precondition,
    Query, RevisionKind, Selector, SetSlots, Shown, Trial, Version, WriteOptions,
};

#[tokio::test]
async fn the_same_idempotency_key_answers_the_same_and_another_request_with_it_is_refused() {
    for memory in memories() {
        let options = WriteOptions { idempotency_key: Some("k1".into()), ..WriteOptions::default() };
        let first = memory.manager.write(vec![NewRecord::new("once")], &options).await.unwrap();
        let second = memory.manager.write(vec![NewRecord::new("once")], &options).await.unwrap();
        assert!(second.replayed && !first.replayed);
        assert_eq!(first.records, second.records);
        let other = memory.manager.write(vec![NewRecord::new("twice")], &options).await.unwrap_err();
        assert_eq!((other.kind(), other.field()), (ErrorKind::Conflict, Some("idempotency_key")));
        assert_eq!(memory.manager.list(&Filter::all(), None, &PageRequest::largest()).await.unwrap().items.len(), 1);
    }
}

#[tokio::test]
async fn one_bad_record_refuses_the_whole_batch_and_is_named() {
    for memory in memories() {
        let error = memory
            .manager
            .write(vec![record("a", "fine"), record("b", " ")], &WriteOptions::default())
            .await
            .unwrap_err();
        assert_eq!(error.field(), Some("records[1].text"));
        assert_eq!(memory.manager.get(&[id("a")], None).await.unwrap(), [None]);
        let twice =
            memory.manager.write(vec![record("a", "x"), record("a", "y")], &WriteOptions::default()).await.unwrap_err();
        assert_eq!(twice.field(), Some("records[1].id"));
        let none = memory.manager.write(Vec::new(), &WriteOptions::default()).await.unwrap_err();
        assert_eq!(none.field(), Some("records"));
    }
}

#[tokio::test]
async fn a_correction_is_current_and_the_past_stays_readable() {
    for memory in memories() {
        let manager = &memory.manager;
        manager.write(vec![record("hearing", "The hearing is on April 2")], &WriteOptions::default()).await.unwrap();
        memory.clock.set(at("2026-03-05T00:00:00Z"));
        manager
            .write(vec![record("hearing", "The hearing was moved to June 9")], &WriteOptions::default())
            .await
            .unwrap();
        let now = manager.retrieve(&Query::new("When is the hearing?")).await.unwrap();
        assert!(now.hits[0].record.text.contains("June 9"));
        let past = Query { as_of: Some(at("2026-03-02T00:00:00Z")), ..Query::new("When is the hearing?") };
        let past = manager.retrieve(&past).await.unwrap();
        assert_eq!(past.hits.len(), 1, "{}", memory.name);
        assert!(past.hits[0].record.text.contains("April 2"));
        let before = manager.get(&[id("hearing")], Some(at("2026-02-01T00:00:00Z"))).await.unwrap();
        assert_eq!(before, [None]);
        let history = manager.history(&id("hearing")).await.unwrap();
        assert_eq!(history.len(), 2);
        assert!(matches!(&history[1].what, RevisionKind::Written(record) if record.text.contains("April 2")));
    }
}

#[tokio::test]
async fn what_expired_was_superseded_or_is_not_yet_valid_is_hidden_but_kept() {
    for memory in memories() {
        let mut expiring = record("expiring", "the travel advice about Lisbon");
        expiring.expires_at = Some(at("2026-03-10T00:00:00Z"));
        let mut old = record("old", "the address about Lisbon");
        old.superseded_by = Some(id("new"));
        let mut future = record("future", "the lease about Lisbon");
        future.valid_from = Some(at("2026-06-01T00:00:00Z"));
        memory
            .manager
            .write(vec![expiring, old, future, record("new", "the home about Lisbon")], &WriteOptions::default())
            .await
            .unwrap();
        let ask = || async { memory.manager.retrieve(&Query::new("Lisbon")).await.unwrap() };
        assert_eq!(sorted(found(&ask().await)), ["expiring", "new"], "{}", memory.name);
        memory.clock.set(at("2026-03-10T00:00:00Z"));
        assert_eq!(found(&ask().await), ["new"]);
        let all = memory.manager.list(&Filter::all(), None, &PageRequest::largest()).await.unwrap().items;
        assert_eq!(all.iter().map(|record| record.id.as_str()).collect::<Vec<_>>(), ["old", "future", "new"]);
        assert_eq!(memory.manager.get(&[id("expiring")], None).await.unwrap(), [None]);
        assert!(memory.manager.get(&[id("expiring")], Some(at("2026-03-05T00:00:00Z"))).await.unwrap()[0].is_some());
        let all = Query { shown: Shown::All, ..Query::new("Lisbon") };
        assert_eq!(memory.manager.retrieve(&all).await.unwrap().hits.len(), 4);
    }
}

fn sorted(mut ids: Vec<&str>) -> Vec<&str> {
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn what_was_written_by_a_clock_ahead_of_this_one_is_found() {
    for memory in memories() {
        let (name, manager, clock) = (memory.name, memory.manager.clone(), memory.clock.clone());
        manager.write(vec![record("written", "The hearing is in Tampa")], &WriteOptions::default()).await.unwrap();
        clock.set(at("2026-03-01T11:00:00Z"));
        let found = async || {
            let found = manager.retrieve(&Query::new("where is the hearing?")).await.unwrap();
            assert_eq!(found.stale, 0, "{name}");
            found.hits.into_iter().map(|hit| hit.record.id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(found().await, ["written"], "{name}");
        // What is meant to begin later begins later, and takes no other's place however much there is of it.
        let later = |number: usize| {
            let mut later = record(&format!("later-{number:03}"), "The hearing the hearing the hearing");
            later.valid_from = Some(at("2026-03-01T12:30:00Z"));
            later
        };
        manager.write((0..300).map(later).collect(), &WriteOptions::default()).await.unwrap();
        manager.write(vec![record("now", "The hearing room")], &WriteOptions::default()).await.unwrap();
        let early = found().await;
        assert!(early.contains(&"now".to_owned()), "{name}: {early:?}");
        assert!(early.iter().all(|id| !id.starts_with("later")), "{name}: {early:?}");
        clock.set(at("2026-03-01T12:30:00Z"));
        assert!(found().await.iter().any(|id| id.starts_with("later")), "{name}");
    }
}

#[tokio::test]
async fn a_consolidation_can_be_previewed_and_taken_back() {
    for memory in memories() {
        let manager = &memory.manager;
        let mut tagged = record("b", "anna lives in BOSTON");
        tagged.tags = ["home".to_owned()].into();
        manager
            .write(
                vec![record("a", "Anna lives in Boston."), tagged, record("c", "Unrelated")],
                &WriteOptions::default(),
            )
            .await
            .unwrap();
        let dry = manager.consolidate(&Consolidation { trial: Trial::Dry, ..Consolidation::default() }).await.unwrap();
        assert_eq!((dry.id, dry.plan.merges.len()), (None, 1));
        assert!(manager.get(&[id("b")], None).await.unwrap()[0].is_some());
        let done = manager.consolidate(&Consolidation::default()).await.unwrap();
        let kept = manager.get(&[id("a"), id("b")], None).await.unwrap();
        assert!(kept[0].as_ref().unwrap().tags.contains("home") && kept[1].is_none());
        assert!(kept[0].as_ref().unwrap().provenance.records.contains("b"));
        let again = manager.consolidate(&Consolidation::default()).await.unwrap();
        assert_eq!(again.id, None, "a second consolidation finds nothing");
        let undone = manager.undo_consolidation(&done.id.clone().unwrap()).await.unwrap();
        assert_eq!(undone.restored.len(), 2);
        let restored = manager.get(&[id("a"), id("b")], None).await.unwrap();
        assert!(restored[0].as_ref().unwrap().tags.is_empty());
        assert_eq!(restored[1].as_ref().unwrap().text, "anna lives in BOSTON");
        let twice = manager.undo_consolidation(&done.id.unwrap()).await.unwrap_err();
        assert_eq!(twice.kind(), ErrorKind::Conflict);
        assert_eq!(manager.undo_consolidation("nothing").await.unwrap_err().kind(), ErrorKind::NotFound);
        assert!(manager.verify().await.unwrap().faults.is_empty());
    }
}

#[tokio::test]
async fn undoing_after_a_newer_change_is_refused_and_changes_nothing() {
    let memory = dev();
    let manager = &memory.manager;
    manager.write(vec![record("a", "same words"), record("b", "Same words!")], &WriteOptions::default()).await.unwrap();
    let done = manager.consolidate(&Consolidation::default()).await.unwrap().id.unwrap();
    manager.write(vec![record("a", "changed since")], &WriteOptions::default()).await.unwrap();
    let refused = manager.undo_consolidation(&done).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    let now = manager.get(&[id("a"), id("b")], None).await.unwrap();
    assert_eq!(now[0].as_ref().unwrap().text, "changed since");
    assert!(now[1].is_none());
}

#[tokio::test]
async fn forgetting_leaves_nothing_to_find_and_the_chain_still_verifies() {
    for memory in memories() {
        let manager = &memory.manager;
        manager.write_event(event("e1", "t", "The secret is zanzibar")).await.unwrap();
        let mut theirs = record("mine", "Boris keeps bees");
        theirs.user_id = Some(user("boris"));
        manager.write(vec![theirs, record("other", "Clara keeps cats")], &WriteOptions::default()).await.unwrap();
        let mut said = event("e2", "t2", "Boris said hello");
        said.user_id = Some(user("boris"));
        manager.log_audit(said).await.unwrap();
        manager
            .set_slots(
                &thread("t2"),
                BTreeMap::from([("persona".to_owned(), Some("Boris".to_owned()))]),
                SetSlots::default(),
            )
            .await
            .unwrap();

        let secret = manager.retrieve(&Query::new("zanzibar")).await.unwrap().hits[0].record.id.clone();
        let receipt = manager.forget(&Selector::Ids(vec![secret.clone()]), Trial::Real).await.unwrap();
        assert_eq!((receipt.forgotten.records.len(), receipt.forgotten.events), (1, 1), "{}", memory.name);
        assert!(receipt.residue.is_empty(), "{receipt:?}");
        assert!(manager.history(&secret).await.unwrap().is_empty());
        assert!(!manager.snapshot_thread(&thread("t")).await.unwrap().contains("zanzibar"));

        let dry = manager.forget(&Selector::Subject(user("boris")), Trial::Dry).await.unwrap();
        assert_eq!((dry.forgotten.records.len(), dry.sequence), (1, None));
        let done = manager.forget(&Selector::Subject(user("boris")), Trial::Real).await.unwrap().forgotten;
        let expected = (dry.forgotten.events, dry.forgotten.threads);
        assert_eq!((done.events, done.threads), expected, "what is shown before is what goes");
        assert!(done.threads > 0);
        assert!(
            manager
                .retrieve(&Query::new("Boris bees hello"))
                .await
                .unwrap()
                .hits
                .iter()
                .all(|hit| hit.record.id != id("mine"))
        );
        assert!(manager.slots(&thread("t2"), None).await.unwrap().slots.is_empty());
        assert!(manager.get(&[id("other")], None).await.unwrap()[0].is_some());
        let report = manager.verify_audit(None).await.unwrap();
        assert_eq!(report.erased, 2);
        assert!(manager.verify().await.unwrap().faults.is_empty());
        let everything = manager.forget(&Selector::Filter(Filter::all()), Trial::Real).await.unwrap_err();
        assert_eq!(everything.field(), Some("filter"));
    }
}

#[tokio::test]
async fn slots_are_written_by_compare_and_set_and_remember_their_past() {
    for memory in memories() {
        let manager = &memory.manager;
        let set = |value: &str| BTreeMap::from([("persona".to_owned(), Some(value.to_owned()))]);
        manager.set_slots(&thread("t"), set("one"), SetSlots::default()).await.unwrap();
        let stale = SetSlots { expect: Precondition::Version(Version(0)), ..SetSlots::default() };
        let refused = manager.set_slots(&thread("t"), set("two"), stale).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
        let fresh = SetSlots { expect: Precondition::Version(Version(1)), ..SetSlots::default() };
        manager.set_slots(&thread("t"), set("two"), fresh).await.unwrap();
        let history = manager.slots_history(&thread("t")).await.unwrap();
        assert_eq!(
            history.iter().map(|revision| revision.slots["persona"].as_str()).collect::<Vec<_>>(),
            ["two", "one"]
        );
    }
}

#[tokio::test]
async fn a_context_block_holds_slots_records_and_events_within_its_budget() {
    for memory in memories() {
        let manager = &memory.manager;
        manager
            .write(vec![record("a", "The premium processing fee is 2965 dollars")], &WriteOptions::default())
            .await
            .unwrap();
        manager
            .set_slots(
                &thread("t"),
                BTreeMap::from([("persona".to_owned(), Some("Speak plainly".to_owned()))]),
                SetSlots::default(),
            )
            .await
            .unwrap();
        manager.log_audit(event("e", "t", "How much is premium processing?")).await.unwrap();
        let request = ContextRequest { budget: 300, ..ContextRequest::default() };
        let block = manager.context(&thread("t"), &request).await.unwrap();
        assert!(
            block.text.contains("Speak plainly") && block.text.contains("2965") && block.text.contains("How much"),
            "{}",
            block.text
        );
        assert!(block.tokens <= 300);
        let small =
            manager.context(&thread("t"), &ContextRequest { budget: 5, ..ContextRequest::default() }).await.unwrap();
        assert!(small.text.is_empty() && small.omitted.records == 1);
    }
}

#[tokio::test]
async fn a_hit_says_which_legs_found_it_and_what_moved_it() {
    let memory = embedded();
    let mut weak = record("weak", "the visa interview takes place in Warsaw");
    weak.salience = mnemic::Ratio::new("salience", 0.0).ok();
    let strong = record("strong", "the visa interview happens in Warsaw soon");
    memory.manager.write(vec![weak, strong], &WriteOptions::default()).await.unwrap();
    let found = memory.manager.retrieve(&Query::new("visa interview in Warsaw")).await.unwrap();
    let hit = &found.hits[0];
    let legs: Vec<Leg> = hit.explanation.legs.iter().map(|score| score.leg).collect();
    assert_eq!(legs, [Leg::Dense, Leg::Lexical]);
    let sum: f64 = hit.explanation.legs.iter().map(|score| score.contribution).sum();
    assert!((sum - hit.explanation.fused).abs() < 1e-9);
    let product = hit.explanation.priors.iter().fold(hit.explanation.fused, |score, prior| score * prior.factor);
    assert!((product - hit.score).abs() < 1e-9 && hit.score <= 1.0);
    assert!(hit.explanation.priors.iter().any(|prior| prior.name == "salience"));
    assert!(found.legs.iter().all(|leg| matches!(leg.outcome, LegOutcome::Ran { .. })));
}

#[tokio::test]
async fn modes_use_only_their_leg_and_dense_needs_a_model() {
    let memory = embedded();
    memory.manager.write(vec![record("a", "The attorney filed the petition")], &WriteOptions::default()).await.unwrap();
    for (mode, leg) in [(Mode::Dense, Leg::Dense), (Mode::Lexical, Leg::Lexical)] {
        let found =
            memory.manager.retrieve(&Query { mode, ..Query::new("the attorney filed a petition") }).await.unwrap();
        assert!(found.hits[0].explanation.legs.iter().all(|score| score.leg == leg));
    }
    let refused = dev().manager.retrieve(&Query { mode: Mode::Dense, ..Query::new("x") }).await.unwrap_err();
    assert_eq!((refused.kind(), refused.field()), (ErrorKind::Unsupported, Some("mode")));
}

#[tokio::test]
async fn repeated_statements_do_not_fill_the_page() {
    let memory = dev();
    let mut records: Vec<NewRecord> =
        (0..5).map(|n| record(&format!("same{n}"), "the court is in Boston on Main Street")).collect();
    records.push(record("different", "the court opens at nine"));
    memory.manager.write(records, &WriteOptions::default()).await.unwrap();
    let found = memory.manager.retrieve(&Query { limit: Some(2), ..Query::new("court") }).await.unwrap();
    assert!(common::found(&found).contains(&"different"), "{:?}", common::found(&found));
}

#[tokio::test]
async fn a_wrong_query_is_refused_by_field() {
    let memory = dev();
    for (query, field) in [
        (Query { limit: Some(0), ..Query::new("x") }, "limit"),
        (Query { limit: Some(1001), ..Query::new("x") }, "limit"),
        (Query::new("  "), "query"),
        (Query::new("a\0b"), "query"),
        (Query::new("x".repeat(70_000)), "query"),
    ] {
        assert_eq!(memory.manager.retrieve(&query).await.unwrap_err().field(), Some(field));
    }
    for hostile in ["\"", "*", "NEAR(", "a-b", "col:x", "@nasa", "(a+)+$", "' OR '1'='1", &"(".repeat(60_000)] {
        assert!(memory.manager.retrieve(&Query::new(hostile)).await.unwrap().hits.is_empty(), "{hostile:.20}");
    }
}

#[tokio::test]
async fn fading_records_go_only_when_asked() {
    let memory = dev();
    let mut faint = record("faint", "small talk about weather");
    faint.salience = mnemic::Ratio::new("salience", 0.1).ok();
    memory.manager.write(vec![faint], &WriteOptions::default()).await.unwrap();
    memory.clock.set(at("2027-03-01T12:00:00Z"));
    assert_eq!(memory.manager.consolidate(&Consolidation::default()).await.unwrap().remaining, 1);
    let mut how = Consolidation::default();
    let floor = mnemic::Ratio::new("floor", 0.01).unwrap();
    how.policy.decay = Some(mnemic::policy::consolidation::Decay { half_life: Duration::from_hours(24 * 30), floor });
    assert_eq!(memory.manager.consolidate(&how).await.unwrap().remaining, 0);
}

#[tokio::test]
async fn taking_back_a_merge_gives_each_record_its_own_creation_time_again() {
    for memory in memories() {
        let manager = &memory.manager;
        let made =
            |id: &str, text: &str, year: &str| record(id, text).with_created_at(at(&format!("{year}-01-01T00:00:00Z")));
        let pair = vec![
            made("a", "Anna lives in the city of Boston now", "2020"),
            made("b", "Anna lives in the city of Boston", "2021"),
        ];
        manager.write(pair, &WriteOptions::default()).await.unwrap();
        let ids = [id("a"), id("b")];
        let times = || async {
            let records = manager.get(&ids, None).await.unwrap();
            records.into_iter().map(|record| record.map(|record| record.created_at)).collect::<Vec<_>>()
        };
        let before = times().await;
        let done = manager.consolidate(&Consolidation::default()).await.unwrap();
        manager.undo_consolidation(&done.id.unwrap()).await.unwrap();
        assert_eq!(times().await, before, "{}", memory.name);
    }
}

#[tokio::test]
async fn an_event_repeated_later_without_a_time_is_the_same_event() {
    for memory in memories() {
        let manager = &memory.manager;
        manager.write_event(event("e1", "t", "the hearing is on Monday")).await.unwrap();
        manager.log_audit(event("e2", "t", "they called")).await.unwrap();
        memory.clock.set(at("2026-03-01T12:00:09Z"));
        let again = manager.write_event(event("e1", "t", "the hearing is on Monday")).await.unwrap();
        assert!(again.report.replayed && again.report.records.len() == 1, "{}", memory.name);
        let (_, appended) = manager.log_audit(event("e2", "t", "they called")).await.unwrap();
        assert_eq!(appended.outcome, mnemic::AppendOutcome::Duplicate);
        assert!(manager.log_audit(event("e2", "t", "they wrote")).await.is_err());
    }
}

#[tokio::test]
async fn an_event_that_was_only_logged_is_reflected_when_it_is_written() {
    for memory in memories() {
        let manager = &memory.manager;
        manager.log_audit(event("e1", "t", "the hearing is on Monday")).await.unwrap();
        let written = manager.write_event(event("e1", "t", "the hearing is on Monday")).await.unwrap();
        assert_eq!((written.report.records.len(), written.report.replayed), (1, false), "{}", memory.name);
        assert_eq!(manager.retrieve(&Query::new("hearing")).await.unwrap().hits.len(), 1);
        assert!(manager.write_event(event("e1", "t", "the hearing is on Monday")).await.unwrap().report.replayed);
    }
}

#[tokio::test]
async fn an_event_that_would_make_too_many_records_is_refused() {
    let memory = common::dev();
    let facts = mnemic::Value::Array(vec![mnemic::Value::from("x"); mnemic::limits::BATCH]);
    let refused = memory.manager.write_event(event("e1", "t", "text").with_payload("facts", facts)).await.unwrap_err();
    assert!(refused.to_string().contains("at most 1000 records, found 1001 records"), "{refused}");
    assert!(
        memory
            .manager
            .events(&mnemic::ports::EventRange::default(), &PageRequest::largest())
            .await
            .unwrap()
            .items
            .is_empty()
    );
}

#[tokio::test]
async fn forgetting_a_merged_record_forgets_what_was_merged_into_it() {
    for memory in memories() {
        let manager = &memory.manager;
        let records = vec![
            record("a", "The codeword is zanzibar."),
            record("b", "the codeword is ZANZIBAR"),
            record("c", "Other"),
        ];
        manager.write(records, &WriteOptions::default()).await.unwrap();
        manager.consolidate(&Consolidation::default()).await.unwrap();
        assert_eq!(manager.history(&id("b")).await.unwrap().len(), 2, "the merged record can still be brought back");
        let receipt = manager.forget(&Selector::Ids(vec![id("a")]), Trial::Real).await.unwrap();
        assert_eq!(receipt.forgotten.records, [id("a"), id("b")], "{}", memory.name);
        assert!(manager.history(&id("b")).await.unwrap().is_empty());
        assert!(manager.get(&[id("c")], None).await.unwrap()[0].is_some());
    }
}

#[tokio::test]
async fn forgetting_believes_provenance_only_among_one_users_records() {
    let memory = dev();
    let manager = &memory.manager;
    let theirs = |name: &str, who: &str, text: &str| NewRecord { user_id: Some(user(who)), ..record(name, text) };
    let records = vec![theirs("a", "boris", "Boris keeps bees"), theirs("b", "boris", "boris keeps BEES")];
    manager.write(records, &WriteOptions::default()).await.unwrap();
    manager.consolidate(&Consolidation::default()).await.unwrap();
    let mut claim = theirs("claim", "clara", "Clara says so");
    claim.provenance.records.insert(id("b"));
    manager.write(vec![claim], &WriteOptions::default()).await.unwrap();
    let receipt = manager.forget(&Selector::Ids(vec![id("claim")]), Trial::Real).await.unwrap();
    assert_eq!(receipt.forgotten.records, [id("claim")]);
    assert!(!manager.history(&id("b")).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_filter_at_its_limits_can_be_retrieved_with_and_one_beyond_is_refused() {
    let memory = dev();
    memory.manager.write(vec![record("a", "a visa")], &WriteOptions::default()).await.unwrap();
    let wide = |nodes: usize| Filter::And(vec![Filter::Exists(mnemic::Field::Id); nodes]);
    let query = |filter: Filter| Query { filter, user_id: None, ..Query::new("visa") };
    let most = mnemic::limits::FILTER_NODES - 1;
    assert_eq!(memory.manager.retrieve(&query(wide(most))).await.unwrap().hits.len(), 1);
    let refused = memory.manager.retrieve(&query(wide(most + 1))).await.unwrap_err();
    assert!(refused.to_string().contains("256 conditions"), "{refused}");
    let mut deep = Filter::Exists(mnemic::Field::Id);
    for _ in 1..mnemic::limits::FILTER_DEPTH {
        deep = Filter::And(vec![deep]);
    }
    assert_eq!(memory.manager.retrieve(&query(deep.clone())).await.unwrap().hits.len(), 1);
    assert!(
        memory.manager.retrieve(&query(Filter::And(vec![deep]))).await.unwrap_err().to_string().contains("nesting")
    );
    for everything in [Filter::Not(Box::new(Filter::Or(Vec::new()))), Filter::Or(vec![Filter::all()])] {
        let refused = memory.manager.forget(&Selector::Filter(everything), Trial::Real).await.unwrap_err();
        assert_eq!(refused.field(), Some("filter"));
    }
}

/// A retrieval may have nothing to wait for; a task of nothing but such must not keep its worker for itself.
#[test]
fn tasks_that_read_again_and_again_let_others_run() {
    for memory in memories() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let records = vec![record("a", "the fee was paid"), record("b", "the fee")];
            memory.manager.write(records, &WriteOptions::default()).await.unwrap();
        });
        for _ in 0..2 {
            let manager = memory.manager.clone();
            runtime.spawn(async move {
                loop {
                    assert_eq!(manager.retrieve(&Query::new("fee")).await.unwrap().hits.len(), 2);
                }
            });
        }
        let (told, heard) = std::sync::mpsc::channel();
        runtime.spawn(async move {
            for _ in 0..20 {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            told.send(()).unwrap();
        });
        let others_ran = heard.recv_timeout(std::time::Duration::from_mins(1)).is_ok();
        runtime.shutdown_background();
        assert!(others_ran, "{}", memory.name);
    }
}
