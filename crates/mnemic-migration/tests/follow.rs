//! A copy that follows its source: what was rewritten, erased, settled and embedded since is taken over, in pages that end where they are
//! heavy. Not here: lies (`lies`), other embeddings (`reembed`), real backends (`mnemic`).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

use mnemic_core::{
    AuditEvent, Batch, ChangeSeq, Embedding, EmbeddingModel, EmbeddingWrite, EraseTarget, Erasure, EventId,
    MemoryRecord, Metric, Namespace, Object, Precondition, RecordId, RecordWrite, Task, ThreadId, Timestamp, UserId,
    Version, ports::Ledger,
};
use mnemic_ledgers::InMemoryLedger;
use mnemic_migration::{Comparison, compare, follow, past};

fn namespace() -> Namespace {
    Namespace::new("n").unwrap()
}

fn at(n: i64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000 + n).unwrap()
}

fn id(text: &str) -> RecordId {
    RecordId::new(text).unwrap()
}

fn embedding() -> Embedding {
    let model = EmbeddingModel::new("test", "model", 3, Metric::Cosine).unwrap();
    Embedding::new(&model, vec![1.0, 0.5, -0.25]).unwrap()
}

fn event(name: &str) -> AuditEvent {
    AuditEvent {
        event_id: EventId::new(name).unwrap(),
        timestamp: at(5),
        user_id: None,
        thread_id: ThreadId::new("talk").unwrap(),
        source: "test".to_owned(),
        action: "said".to_owned(),
        payload: Object::new(),
        tags: std::collections::BTreeSet::new(),
    }
}

async fn write(ledger: &InMemoryLedger, now: i64, name: &str, user: &str, text: &str, tasks: Vec<Task>) {
    let record =
        MemoryRecord { user_id: UserId::new(user).ok(), ..MemoryRecord::new(id(name), text.to_owned(), at(now)) };
    let embedding = tasks.is_empty().then(embedding);
    let mut batch = Batch::new(at(now));
    batch.writes.push(RecordWrite { record, embedding, expect: Precondition::Any, tasks });
    ledger.commit(&namespace(), batch).await.unwrap();
}

async fn caught_up(source: &InMemoryLedger, target: &InMemoryLedger) -> Comparison {
    let namespace = namespace();
    follow((source, &namespace), (target, &namespace), 3, |_| {}).await.unwrap();
    compare((source, &namespace), (target, &namespace)).await.unwrap()
}

#[tokio::test]
async fn what_was_rewritten_erased_settled_and_embedded_since_is_taken_over() {
    let (source, target) = (InMemoryLedger::new(), InMemoryLedger::new());
    for number in 0..10 {
        write(&source, number, &format!("r{number}"), "anna", "Something.", Vec::new()).await;
    }
    write(&source, 20, "handed", "boris", "Boris's case.", Vec::new()).await;
    write(&source, 21, "handed", "anna", "Anna's case.", Vec::new()).await;
    write(&source, 22, "waits", "anna", "Not embedded yet.", vec![Task::Embed]).await;
    write(&source, 23, "done", "anna", "Not there yet.", vec![Task::Index("far".to_owned())]).await;
    assert_eq!(caught_up(&source, &target).await.differences, [""; 0]);

    // Each by itself, so that none hides behind another.
    let work = source.outbox(&namespace(), 10).await.unwrap();
    let done: Vec<_> = work.iter().filter(|item| item.record_id == id("done")).map(|item| item.id).collect();
    source.settle(&namespace(), &done).await.unwrap();
    assert_eq!(caught_up(&source, &target).await.differences, [""; 0], "settled work leaves nothing in the feed");

    let mut batch = Batch::new(at(30));
    batch.embeddings.push(EmbeddingWrite { id: id("waits"), version: Version(1), embedding: embedding() });
    source.commit(&namespace(), batch).await.unwrap();
    assert_eq!(caught_up(&source, &target).await.differences, [""; 0], "an embedding that came later");

    let subject = EraseTarget::Subject(UserId::new("boris").unwrap());
    source.erase(&namespace(), Erasure { at: at(40), target: subject, event: event("first") }).await.unwrap();
    assert_eq!(caught_up(&source, &target).await.differences, [""; 0], "a single revision that was erased");

    let records = EraseTarget::Records(vec![id("r3"), id("r4")]);
    source.erase(&namespace(), Erasure { at: at(50), target: records, event: event("second") }).await.unwrap();
    write(&source, 51, "r3", "anna", "Written anew.", Vec::new()).await;
    let found = caught_up(&source, &target).await;
    assert_eq!(found.differences, [""; 0], "records that were erased, one of them written anew");
    assert_eq!((found.records, found.revisions), (12, 12), "{found:?}");
}

#[tokio::test]
async fn a_page_ends_where_it_is_heavy_and_none_is_lost() {
    let source = InMemoryLedger::new();
    let text = "x".repeat(100_000);
    for number in 0..400 {
        write(&source, number, &format!("r{number}"), "anna", &text, Vec::new()).await;
    }
    let page = past(&source, &namespace(), ChangeSeq(0), 1000).await.unwrap();
    let changes: usize = page.iter().map(|commit| commit.changes.len()).sum();
    assert!((50..=300).contains(&changes), "{changes} changes of 100 kB each make a page");
    let target = InMemoryLedger::new();
    let found = follow((&source, &namespace()), (&target, &namespace()), 1000, |_| {}).await.unwrap();
    assert_eq!(found.changes, 400);
    let found = compare((&source, &namespace()), (&target, &namespace())).await.unwrap();
    assert_eq!((found.differences, found.records), (Vec::new(), 400));
}
