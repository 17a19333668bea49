//! The embedded directory: reopening, several handles and processes, many namespaces, erasure to the last byte, backup, damage.
//! Not here: crashes (`crash`).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use common::{event, found, id, namespace, record, thread, user};
use mnemic::{
    ErrorKind, Filter, MemoryManager, NewRecord, Object, PageRequest, Query, Selector, SetSlots, Trial, Value,
    WriteOptions,
};

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_is_there_after_reopening_also_without_closing() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let memory = MemoryManager::embedded(directory.path().join("m")).unwrap();
        memory
            .write(vec![record(&format!("r{round}"), &format!("petition number {round}"))], &WriteOptions::default())
            .await
            .unwrap();
        let all = memory.retrieve(&Query::new("petition number")).await.unwrap();
        assert_eq!(all.hits.len(), round + 1);
        if round == 1 {
            memory.close().await.unwrap();
        }
        assert!(memory.verify().await.unwrap().faults.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_handle_on_the_directory_sees_every_commit_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let (a, b) = (
        MemoryManager::embedded(directory.path().join("m")).unwrap(),
        MemoryManager::embedded(directory.path().join("m")).unwrap(),
    );
    for round in 0..10 {
        let (writer, reader) = if round % 2 == 0 { (&a, &b) } else { (&b, &a) };
        writer
            .write(vec![record("shared", &format!("the fee is now number {round}"))], &WriteOptions::default())
            .await
            .unwrap();
        let hit = reader.retrieve(&Query::new("fee")).await.unwrap().hits.remove(0);
        assert_eq!((hit.record.version.0, hit.record.text), (round + 1, format!("the fee is now number {round}")));
    }
    a.forget(&Selector::Ids(vec![id("shared")]), Trial::Real).await.unwrap();
    assert!(b.retrieve(&Query::new("fee")).await.unwrap().hits.is_empty());
    assert!(b.verify().await.unwrap().faults.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_at_once_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let memory = MemoryManager::embedded(directory.path().join("m")).unwrap();
    let tasks: Vec<_> = (0..64)
        .map(|n| {
            let memory = memory.in_namespace(namespace(&format!("ns-{}", n % 4)));
            tokio::spawn(async move {
                memory
                    .write(
                        vec![record(&format!("own-{n}"), "a statement"), record("contended", &format!("by {n}"))],
                        &WriteOptions::default(),
                    )
                    .await
                    .unwrap();
                memory.retrieve(&Query::new("statement")).await.unwrap().hits.len()
            })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap() >= 1);
    }
    for n in 0..4 {
        let memory = memory.in_namespace(namespace(&format!("ns-{n}")));
        let all = memory.list(&Filter::all(), None, &PageRequest::largest()).await.unwrap().items;
        assert_eq!(all.len(), 17);
        assert_eq!(all.iter().find(|record| record.id == id("contended")).unwrap().version.0, 16);
        assert!(memory.verify().await.unwrap().faults.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_namespaces_fit_into_a_budget_of_open_files() {
    let directory = tempfile::tempdir().unwrap();
    let memory = MemoryManager::embedded(directory.path().join("m")).unwrap();
    for n in 0..300 {
        let memory = memory.in_namespace(namespace(&format!("client-{n:03}")));
        memory.write(vec![record("r", &format!("belongs to client {n}"))], &WriteOptions::default()).await.unwrap();
    }
    let open = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    assert!(open < 128 * 8, "{open} files are open");
    for n in [0, 150, 299] {
        let memory = memory.in_namespace(namespace(&format!("client-{n:03}")));
        assert_eq!(found(&memory.retrieve(&Query::new("client")).await.unwrap()), ["r"]);
    }
    let mut listed = 0;
    let mut page = PageRequest::first(100).unwrap();
    loop {
        let names = memory.namespaces(&page).await.unwrap();
        listed += names.items.len();
        if names.next.is_none() {
            break;
        }
        page = page.after(names.next);
    }
    assert_eq!(listed, 300);
}

/// Fills a memory with one subject's canaries in every place that can hold text.
async fn fill_with_canaries(memory: &MemoryManager) {
    let canary = |n: u32| format!("Xanadu{n}canary");
    let mut draft = NewRecord {
        user_id: Some(user("canaryuser")),
        thread_id: Some(thread("canarythread")),
        ..record("canaryid", &canary(1))
    };
    draft.tags = [canary(2)].into();
    draft.path = vec![canary(3)];
    draft.metadata = Object::from([(canary(4), Value::from(canary(5)))]);
    draft.source = Some(canary(6));
    let options = WriteOptions { idempotency_key: Some("key-1".into()), ..WriteOptions::default() };
    memory.write(vec![draft.clone()], &options).await.unwrap();
    draft.text = canary(7);
    memory.write(vec![draft], &WriteOptions::default()).await.unwrap();
    let mut said = event("canaryevent", "canarythread", &canary(8));
    said.user_id = Some(user("canaryuser"));
    memory.write_event(said).await.unwrap();
    for round in 9..11 {
        let slots = BTreeMap::from([(canary(11), Some(canary(round)))]);
        memory.set_slots(&thread("canarythread"), slots, SetSlots::default()).await.unwrap();
    }
    memory.write(vec![record("innocent", "stays here for good")], &WriteOptions::default()).await.unwrap();
    memory.retrieve(&Query::new("Xanadu1canary")).await.unwrap();
    memory.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_forgetting_a_subject_no_file_holds_a_byte_of_them() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("m");
    let memory = MemoryManager::embedded(&root).unwrap();
    fill_with_canaries(&memory).await;
    let holding = |needle: &str| -> Vec<PathBuf> {
        let lower = needle.to_lowercase();
        files(&root)
            .into_iter()
            .filter(|file| {
                let bytes = fs::read(file).unwrap();
                contains(&bytes, needle.as_bytes()) || contains(&bytes, lower.as_bytes())
            })
            .collect()
    };
    assert!(!holding("canary").is_empty(), "the check can see canaries");
    let embedding: Vec<u8> = {
        let page =
            memory.list_stored(&Filter::equals(mnemic::Field::Id, "canaryid"), &PageRequest::largest()).await.unwrap();
        let embedding = page.items[0].embedding.clone().unwrap();
        embedding.components().iter().take(8).flat_map(|component| component.to_le_bytes()).collect()
    };
    let receipt = memory.forget(&Selector::Subject(user("canaryuser")), Trial::Real).await.unwrap();
    assert!(receipt.residue.is_empty(), "{:?}", receipt.residue);
    assert_eq!(holding("canary"), Vec::<PathBuf>::new());
    for file in files(&root) {
        assert!(!contains(&fs::read(&file).unwrap(), &embedding), "{} holds the embedding", file.display());
    }
    assert!(memory.get(&[id("innocent")], None).await.unwrap()[0].is_some());
    assert_eq!(memory.verify_audit(None).await.unwrap().erased, 1);
    assert!(memory.verify().await.unwrap().faults.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_index_copy_is_noticed_and_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("m");
    let texts: Vec<NewRecord> =
        (0..50).map(|n| record(&format!("r{n}"), &format!("petition {n} about fees"))).collect();
    let memory = MemoryManager::embedded(&root).unwrap();
    memory.write(texts, &WriteOptions::default()).await.unwrap();
    memory.close().await.unwrap();
    drop(memory);
    let copy =
        files(&root).into_iter().find(|file| file.file_name().is_some_and(|name| name == "index.local")).unwrap();
    let whole = fs::read(&copy).unwrap();
    for offset in (0..whole.len()).step_by(whole.len() / 12) {
        let mut damaged = whole.clone();
        damaged[offset] ^= 0x40;
        fs::write(&copy, if offset % 2 == 0 { &damaged } else { &whole[..offset] }).unwrap();
        let memory = MemoryManager::embedded(&root).unwrap();
        assert_eq!(
            memory.retrieve(&Query { limit: Some(100), ..Query::new("petition fees") }).await.unwrap().hits.len(),
            50
        );
        assert!(memory.verify().await.unwrap().faults.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_taken_while_writing_restores_into_a_whole_memory() {
    let directory = tempfile::tempdir().unwrap();
    let (live, copy, restored) =
        (directory.path().join("live"), directory.path().join("copy"), directory.path().join("restored"));
    let memory = MemoryManager::embedded(&live).unwrap();
    let writer = tokio::spawn({
        let memory = memory.clone();
        async move {
            for n in 0..40 {
                let batch =
                    (0..5).map(|k| record(&format!("{n}/{k}"), &format!("statement {k} of batch {n}"))).collect();
                memory.write(batch, &WriteOptions::default()).await.unwrap();
            }
        }
    });
    memory.backup(&copy).await.unwrap();
    writer.await.unwrap();
    let taken = memory.backup(&copy).await.unwrap_err();
    assert!(taken.to_string().contains("empty"), "{taken}");
    mnemic::restore(&copy, &restored).await.unwrap();
    let again = MemoryManager::embedded(&restored).unwrap();
    let kept = again.list(&Filter::all(), None, &PageRequest::largest()).await.unwrap().items;
    assert_eq!(kept.len() % 5, 0, "batches are whole");
    assert!(again.verify().await.unwrap().faults.is_empty());
    again.verify_audit(None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_of_something_else_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("letter.txt");
    fs::write(&file, "dear friend").unwrap();
    let refused = MemoryManager::embedded(directory.path()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidConfig);
    assert_eq!(files(directory.path()), std::slice::from_ref(&file));
    let refused = MemoryManager::embedded(&file).unwrap_err();
    assert!(refused.to_string().contains("letter.txt"), "{refused}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "dear friend");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_process_erased_never_comes_back_to_disk_by_another() {
    let directory = tempfile::tempdir().unwrap();
    let open = || MemoryManager::embedded(directory.path().join("memory")).unwrap();
    let on_disk = || {
        let held = files(directory.path()).into_iter().filter(|file| contains(&fs::read(file).unwrap(), b"zanzibar"));
        held.collect::<Vec<_>>()
    };
    let (eraser, other) = (open(), open());
    let records = vec![record("x", "zanzibar and more"), record("y", "ordinary text")];
    eraser.write(records, &WriteOptions::default()).await.unwrap();
    other.retrieve(&Query::new("zanzibar")).await.unwrap();
    eraser.forget(&Selector::Ids(vec![common::id("x")]), Trial::Real).await.unwrap();
    assert_eq!(on_disk(), [] as [PathBuf; 0]);
    other.close().await.unwrap();
    assert_eq!(on_disk(), [] as [PathBuf; 0], "the other process saved an index from before the erasure");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_saved_before_an_erasure_is_replaced_by_the_next_that_sees_it() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("memory");
    let first = MemoryManager::embedded(&root).unwrap();
    first.write(vec![record("x", "zanzibar"), record("y", "text")], &WriteOptions::default()).await.unwrap();
    first.close().await.unwrap();
    drop(first);
    // The process that erases dies before it reaches its index.
    let ledger = mnemic_ledgers::SqliteLedger::open(mnemic_ledgers::SqliteConfig::new(&root)).unwrap();
    let event = common::event("erasure", "t", "")
        .into_event(mnemic::EventId::new("erasure").unwrap(), common::at("2026-03-01T12:00:00Z"));
    let erasure = mnemic_core::Erasure {
        at: event.timestamp,
        target: mnemic_core::EraseTarget::Records(vec![common::id("x")]),
        event,
    };
    mnemic::ports::Ledger::erase(&ledger, &common::namespace("default"), erasure).await.unwrap();
    drop(ledger);
    let saved = root.join("namespaces/default/index.local");
    assert!(contains(&fs::read(&saved).unwrap(), b"zanzibar"));
    MemoryManager::embedded(&root).unwrap().retrieve(&Query::new("text")).await.unwrap();
    assert!(!contains(&fs::read(&saved).unwrap(), b"zanzibar"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_into_a_namespace_that_holds_nothing_leaves_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let memory = MemoryManager::embedded(directory.path()).unwrap().in_namespace(common::namespace("typo"));
    assert!(memory.retrieve(&Query::new("anything")).await.unwrap().hits.is_empty());
    memory.close().await.unwrap();
    assert!(!directory.path().join("namespaces").join("typo").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vectors_that_a_killed_process_left_are_never_written_over() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("m");
    let memory = MemoryManager::embedded(&root).unwrap();
    memory.write(vec![record("a", "the first petition")], &WriteOptions::default()).await.unwrap();
    let is_vectors = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "f32");
    let file = files(&root).into_iter().find(is_vectors).unwrap();
    // What another process wrote before it was killed; its commit may yet come back from the log.
    let mut bytes = fs::read(&file).unwrap();
    let end = bytes.len();
    bytes.extend([0x11; 2048 + 100]);
    fs::write(&file, &bytes).unwrap();
    memory.write(vec![record("b", "the second petition")], &WriteOptions::default()).await.unwrap();
    let after = fs::read(&file).unwrap();
    assert!(after[end..end + 2148].iter().all(|byte| *byte == 0x11));
    assert!(memory.verify().await.unwrap().faults.is_empty());
    memory.forget(&Selector::Ids(vec![id("a")]), Trial::Real).await.unwrap();
    assert!(!contains(&fs::read(&file).unwrap(), &[0x11; 64]), "an erasure overwrites what nobody names");
    assert!(memory.verify().await.unwrap().faults.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_cannot_be_saved_is_searched_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let memory = MemoryManager::embedded(directory.path().join("m")).unwrap();
    memory.write(vec![record("first", "the filing fee")], &WriteOptions::default()).await.unwrap();
    // No file takes the place of a directory that holds something.
    let taken = directory.path().join("m/namespaces/default/index.local");
    fs::create_dir_all(taken.join("something")).unwrap();
    for round in 0..3 {
        let records = (0..1000).map(|n| record(&format!("r{round}-{n}"), "a hearing")).collect();
        let written = memory.write(records, &WriteOptions::default()).await.unwrap();
        assert!(written.warnings.is_empty(), "{:?}", written.warnings);
    }
    let answer = memory.retrieve(&Query::new("filing fee")).await.unwrap();
    assert_eq!((found(&answer)[0], answer.degraded.len()), ("first", 0), "{:?}", answer.degraded);
    assert!(memory.close().await.is_err(), "who asks for saving is told");
}
