//! Runs the stories of `scenarios/` through the library, on both memories. Not here: the same through the command line
//! (`crates/mnemic-cli/tests/scenarios.rs`) and what the steps mean (`scenarios/README.md`).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use common::{Memory, event, found, id, memories, record, thread, user};
use mnemic::{
    Consolidation, Filter, MemoryManager, NewRecord, PageRequest, Query, RevisionKind, Selector, SetSlots, Trial,
    WriteOptions,
};
use serde_json::Value;

#[tokio::test]
async fn every_story_is_told_by_the_library_as_it_is_written() {
    let stories = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let mut told = 0;
    for entry in fs::read_dir(stories).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "jsonl") {
            continue;
        }
        for memory in memories() {
            tell(&memory, &path).await;
            told += 1;
        }
    }
    assert!(told >= 2);
}

async fn tell(memory: &Memory, story: &Path) {
    let mut last_consolidation = String::new();
    for (number, line) in fs::read_to_string(story).unwrap().lines().enumerate() {
        let step: Value = serde_json::from_str(line).unwrap();
        let here = format!("{} on {}, line {}", story.display(), memory.name, number + 1);
        memory.clock.set(memory.manager.now().plus(Duration::from_mins(1)));
        take(&memory.manager, &step, &here, &mut last_consolidation).await;
    }
}

fn text<'a>(step: &'a Value, key: &str) -> &'a str {
    step[key].as_str().unwrap()
}

fn texts(step: &Value, key: &str) -> Vec<String> {
    step[key]
        .as_array()
        .map(|list| list.iter().map(|item| item.as_str().unwrap().to_owned()).collect())
        .unwrap_or_default()
}

fn number(step: &Value, key: &str) -> usize {
    usize::try_from(step[key].as_u64().unwrap()).unwrap()
}

async fn take(manager: &MemoryManager, step: &Value, here: &str, last_consolidation: &mut String) {
    match text(step, "do") {
        "write" => {
            let tags = texts(step, "tags").into_iter().collect();
            let user_id = step["user"].as_str().map(user);
            let draft = NewRecord { user_id, tags, ..record(text(step, "id"), text(step, "text")) };
            manager.write(vec![draft], &WriteOptions::default()).await.unwrap();
        }
        "log" => {
            let mut logged = event(text(step, "event"), text(step, "thread"), text(step, "text"));
            logged.action = text(step, "action").to_owned();
            if step["reflect"] == true {
                manager.write_event(logged).await.unwrap();
            } else {
                manager.log_audit(logged).await.unwrap();
            }
        }
        "find" => {
            let tags: Vec<mnemic::Value> = texts(step, "tags").into_iter().map(mnemic::Value::from).collect();
            let filter = mnemic::Object::from([("tags".to_owned(), mnemic::Value::Array(tags))]);
            let query = Query {
                user_id: step["user"].as_str().map(user),
                filter: Filter::from_object(&filter).unwrap(),
                mode: mnemic::Mode::Lexical,
                ..Query::new(text(step, "query"))
            };
            assert_eq!(found(&manager.retrieve(&query).await.unwrap()), texts(step, "ids"), "{here}");
        }
        "best" => {
            let hits = manager.retrieve(&Query::new(text(step, "query"))).await.unwrap().hits;
            assert!(hits[0].record.text.contains(text(step, "text")), "{here}: {}", hits[0].record.text);
        }
        _ => look_after(manager, step, here, last_consolidation).await,
    }
}

async fn look_after(manager: &MemoryManager, step: &Value, here: &str, last_consolidation: &mut String) {
    match text(step, "do") {
        "history" => {
            let revisions = manager.history(&id(text(step, "id"))).await.unwrap();
            let seen: Vec<Value> = revisions
                .into_iter()
                .map(|revision| match revision.what {
                    RevisionKind::Written(record) => Value::from(record.text),
                    RevisionKind::Deleted(_) => Value::Null,
                })
                .collect();
            assert_eq!(&Value::from(seen), &step["texts"], "{here}");
        }
        "consolidate" => {
            let report = manager.consolidate(&Consolidation::default()).await.unwrap();
            assert_eq!(
                (report.plan.merges.len(), report.remaining),
                (number(step, "merges"), number(step, "remaining")),
                "{here}"
            );
            last_consolidation.clone_from(&report.id.unwrap_or_default());
        }
        "undo" => drop(manager.undo_consolidation(last_consolidation).await.unwrap()),
        "forget" => {
            let selector = match step["id"].as_str() {
                Some(name) => Selector::Ids(vec![id(name)]),
                None => Selector::Subject(user(text(step, "user"))),
            };
            let gone = manager.forget(&selector, Trial::Real).await.unwrap().forgotten.records;
            assert_eq!(gone.iter().map(mnemic::RecordId::as_str).collect::<Vec<_>>(), texts(step, "records"), "{here}");
        }
        "records" => {
            let all = manager.list(&Filter::all(), None, &PageRequest::largest()).await.unwrap().items;
            assert_eq!(all.iter().map(|record| record.id.as_str()).collect::<Vec<_>>(), texts(step, "ids"), "{here}");
        }
        "audit" => {
            let erased = manager.verify_audit(None).await.unwrap().erased;
            assert_eq!(erased, step["erased"].as_u64().unwrap(), "{here}");
        }
        _ => keep_the_thread(manager, step, here).await,
    }
}

async fn keep_the_thread(manager: &MemoryManager, step: &Value, here: &str) {
    let thread = thread(text(step, "thread"));
    match text(step, "do") {
        "slots" => {
            let set = step["set"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(name, text)| (name.clone(), text.as_str().map(str::to_owned)));
            manager.set_slots(&thread, set.collect(), SetSlots::default()).await.unwrap();
        }
        "slots_are" => {
            let slots: BTreeMap<String, String> = serde_json::from_value(step["slots"].clone()).unwrap();
            assert_eq!(manager.slots(&thread, None).await.unwrap().slots, slots, "{here}");
        }
        "snapshot" => {
            let snapshot = manager.snapshot_thread(&thread).await.unwrap();
            assert_eq!(snapshot.lines().count(), number(step, "lines"), "{here}");
            assert!(texts(step, "holds").iter().all(|part| snapshot.contains(part)), "{here}: {snapshot}");
        }
        unknown => panic!("{here}: nobody knows how to {unknown}"),
    }
}
