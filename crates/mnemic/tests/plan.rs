//! What a plan of a move tells before anything is written: counts, time, room, cost, differences, and what stands in the way.
//! Not here: moving (`migration`, `switch`).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]

mod common;

use std::{path::Path, sync::Arc, time::Duration};

use common::{event, record};
use mnemic::{
    Builder, CutOver, ErrorKind, MemoryManager, MigrateOptions, MigrationPlan, Namespace, Role, WriteOptions,
};
use mnemic_embedders::{NoneEmbedder, OpenAiConfig, OpenAiEmbedder, OpenAiProfile};
use mnemic_ledgers::InMemoryLedger;

fn namespace() -> Namespace {
    Namespace::new("case").unwrap()
}

fn directory(path: &Path) -> MemoryManager {
    Builder::embedded(path).unwrap().build(namespace()).unwrap()
}

async fn furnish(memory: &MemoryManager) {
    for i in 0..30 {
        let text = format!("Statement {i} about the hearing in June.");
        memory.write(vec![record(&format!("r{i}"), &text)], &WriteOptions::default()).await.unwrap();
    }
    memory.log_audit(event("e1", "talk", "hello")).await.unwrap();
}

async fn planned(source: &MemoryManager, target: &MemoryManager) -> MigrationPlan {
    source.plan_migration(target).await.unwrap()
}

#[tokio::test]
async fn a_plan_counts_measures_and_writes_nothing() {
    let places = tempfile::tempdir().unwrap();
    let (source, target) = (directory(&places.path().join("from")), directory(&places.path().join("to")));
    furnish(&source).await;
    let plan = planned(&source, &target).await;
    assert_eq!((plan.records, plan.embeddings, plan.done, plan.obstacles.len()), (30, 30, 0, 0), "{plan:?}");
    let (changes, took) = plan.measured.unwrap();
    assert!(changes == plan.changes && took > Duration::ZERO, "a page is all of it: {plan:?}");
    assert!(plan.takes.unwrap() > took, "writing takes time too: {plan:?}");
    let room = plan.room.unwrap();
    assert!(room.is_enough() && room.needed > plan.bytes && room.directory.ends_with("to"), "{room:?}");
    assert_eq!((plan.differences.len(), plan.embedding), (0, None), "the same parts on both sides");
    assert_eq!(target.place().await.unwrap().assignment.epoch, 0);
    assert!(!places.path().join("to/namespaces/case").exists());
    source.migrate_to(&target, |_| {}).await.unwrap();
    let plan = planned(&source, &target).await;
    assert_eq!((plan.done, plan.takes, plan.obstacles.len()), (plan.changes, None, 0), "{plan:?}");
}

#[tokio::test]
async fn what_will_be_different_is_told() {
    let places = tempfile::tempdir().unwrap();
    let source = directory(places.path());
    furnish(&source).await;
    let target =
        Builder::default().ledger(Arc::new(InMemoryLedger::new())).embedder(Arc::new(NoneEmbedder)).build(namespace());
    let plan = planned(&source, &target.unwrap()).await;
    let told = plan.differences.join("; ");
    assert!(told.contains("no embedder") && told.contains("keeps nothing when its process ends"), "{told}");
    assert_eq!((plan.room, plan.obstacles.len()), (None, 0));
}

#[tokio::test]
async fn other_embeddings_stand_in_the_way_and_their_price_is_told() {
    let places = tempfile::tempdir().unwrap();
    let source = directory(places.path());
    furnish(&source).await;
    // Nothing is asked of the vendor: its price is known by its list.
    let config = OpenAiConfig {
        key: Some("key".to_owned().into()),
        address: None,
        model: "text-embedding-3-small".to_owned(),
        dimension: Some(256),
        profile: OpenAiProfile::open_ai(),
    };
    let embedder = Arc::new(OpenAiEmbedder::new(config).unwrap());
    let target = Builder::default().embedder(embedder).build(namespace()).unwrap();
    let plan = planned(&source, &target).await;
    assert!(plan.obstacles[0].contains("mnemic reembed"), "{plan:?}");
    let cost = plan.embedding.unwrap();
    assert!(cost.texts == 30 && cost.tokens > 30 * 5 && cost.dollars().unwrap() > 0.0, "{cost:?}");
    let refused = source.migrate_to(&target, |_| {}).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
    assert_eq!(target.place().await.unwrap().assignment.role, Role::default(), "it is not made a copy either");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_whose_role_does_not_fit_stands_in_the_way() {
    let places = tempfile::tempdir().unwrap();
    let [source, target, own, third] = ["from", "to", "own", "third"].map(|name| directory(&places.path().join(name)));
    furnish(&source).await;
    own.write(vec![record("own", "Something else.")], &WriteOptions::default()).await.unwrap();
    let first = async |source: &MemoryManager, target: &MemoryManager| {
        let told = planned(source, target).await.obstacles;
        let refused = source.migrate_to(target, |_| {}).await.unwrap_err();
        assert_eq!((refused.kind(), refused.message()), (ErrorKind::Conflict, told[0].as_str()));
        told[0].clone()
    };
    assert!(first(&source, &own).await.contains("holds a memory of its own (2 changes)"));
    source.migrate_to(&target, |_| {}).await.unwrap();
    assert!(first(&own, &target).await.contains("the target is a copy of namespace case of dir:"));
    source.cut_over(&target, &CutOver::default()).await.unwrap();
    assert!(first(&source, &target).await.contains("has moved to the target already"));
    assert!(first(&source, &third).await.contains("the source has moved to"));
    assert!(first(&own, &source).await.contains("the target has moved to"));
}

#[tokio::test]
async fn a_page_and_a_rate_are_at_least_one_and_are_kept() {
    let places = tempfile::tempdir().unwrap();
    let (source, target) = (directory(&places.path().join("from")), directory(&places.path().join("to")));
    furnish(&source).await;
    for (how, field) in
        [(MigrateOptions { page: Some(0), rate: None }, "page"), (MigrateOptions { page: None, rate: Some(0) }, "rate")]
    {
        let refused = source.migrate_with(&target, &how, |_| {}).await.unwrap_err();
        assert_eq!((refused.kind(), refused.field()), (ErrorKind::InvalidInput, Some(field)));
    }
    let mut reached = Vec::new();
    let how = MigrateOptions { page: Some(10), rate: None };
    let followed = source.migrate_with(&target, &how, |seq| reached.push(seq.0)).await.unwrap();
    assert!(reached.windows(2).all(|pair| pair[1] - pair[0] <= 10) && reached.len() >= 6, "{reached:?}");
    assert_eq!(followed.head.0, *reached.last().unwrap());
}

#[tokio::test]
async fn keeping_up_ends_where_there_is_no_copy_any_more() {
    let places = tempfile::tempdir().unwrap();
    let (source, target) = (directory(&places.path().join("from")), directory(&places.path().join("to")));
    furnish(&source).await;
    let how = MigrateOptions::default();
    assert_eq!(source.keep_up(&target, &how, |_| {}).await.unwrap(), None, "it is not begun");
    source.migrate_to(&target, |_| {}).await.unwrap();
    source.log_audit(event("e2", "talk", "more")).await.unwrap();
    assert_eq!(source.keep_up(&target, &how, |_| {}).await.unwrap().unwrap().changes, 1);
    source.abort_migration(&target).await.unwrap();
    assert_eq!(source.keep_up(&target, &how, |_| {}).await.unwrap(), None);
    assert_eq!(target.place().await.unwrap().holds.head.0, 0, "nothing was brought into what is no copy");
}
