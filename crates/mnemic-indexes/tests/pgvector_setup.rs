//! How `PgvectorIndex` comes to its extension, table and graphs, and how two of them share a database. Not here: the contract
//! (`conformance_pgvector`), a server without the extension (`postgres_text_feed` has one at hand).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

#[path = "support/postgres.rs"]
mod support;

use std::process::ExitCode;

use mnemic_core::{
    ChangeSeq, Embedding, EmbeddingModel, ErrorKind, Filter, MemoryRecord, Metric, Namespace, RecordId, StoredRecord,
    Version,
    ports::{Index, IndexChange},
};
use mnemic_indexes::{PgvectorConfig, PgvectorIndex};
use mnemic_postgres::{Pool, PostgresConfig, testing::TestServer};
use support::{main_of, tests};

fn namespace() -> Namespace {
    Namespace::new("case").unwrap()
}

fn model(name: &str, dimension: u32) -> EmbeddingModel {
    EmbeddingModel::new("test", name, dimension, Metric::Cosine).unwrap()
}

fn change(seq: u64, id: &str, model: &EmbeddingModel) -> IndexChange {
    let id = RecordId::new(id).unwrap();
    let mut record = MemoryRecord::new(id.clone(), "x", "2026-01-05T00:00:00Z".parse().unwrap());
    record.version = Version(1);
    let mut components = vec![0.5f32; model.dimension() as usize];
    components[seq as usize % 8] += seq as f32;
    let embedding = Some(Embedding::new(model, components).unwrap());
    IndexChange { seq: ChangeSeq(seq), id, record: Some(StoredRecord { record, embedding }) }
}

fn changes(model: &EmbeddingModel, count: u64) -> Vec<IndexChange> {
    (1..=count).map(|seq| change(seq, &format!("r{seq}"), model)).collect()
}

fn index(pool: &Pool, name: &'static str) -> PgvectorIndex {
    PgvectorIndex::new(pool.clone(), PgvectorConfig { name, ..PgvectorConfig::default() }).unwrap()
}

async fn what_is_missing_is_made_by_the_role_that_upgrades(server: TestServer) {
    let database = server.database().await;
    let pool = Pool::connect(database.config()).await.unwrap();
    let ours = index(&pool, "pgvector");
    ours.prepare(&namespace(), Some(&model("a", 16))).await.unwrap();
    ours.prepare(&namespace(), Some(&model("a", 16))).await.unwrap();
    let graphs = "SELECT string_agg(indexname::text, ' ' ORDER BY indexname) FROM pg_indexes WHERE indexname LIKE 'vectors_hnsw%'";
    assert_eq!(database.ask(graphs).await, "vectors_hnsw_16");
    assert_eq!(pool.faults().await.unwrap(), Vec::<String>::new());
    // Nothing belongs to the role that serves.
    let owned = "SELECT count(*)::text FROM pg_class WHERE relowner = 'mnemic_app'::regrole";
    assert_eq!(database.ask(owned).await, "0");
}

async fn a_role_that_may_not_make_the_extension_is_told_what_to_run(server: TestServer) {
    let database = server.database().await;
    // Whoever upgrades has upgraded; from now on only the role that serves is known.
    Pool::connect(database.config()).await.unwrap();
    let pool = Pool::connect(PostgresConfig::new(database.dsn())).await.unwrap();
    let ours = index(&pool, "pgvector");
    let error = ours.prepare(&namespace(), Some(&model("a", 16))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error:?}");
    assert!(error.to_string().contains("CREATE EXTENSION vector"), "{error}");
    // With the extension there, it still may not make the table.
    database
        .execute("CREATE SCHEMA ext; CREATE EXTENSION vector SCHEMA ext; GRANT USAGE ON SCHEMA ext TO PUBLIC")
        .await;
    let error = ours.prepare(&namespace(), Some(&model("a", 16))).await.unwrap_err();
    assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidConfig, Some("admin_dsn")), "{error:?}");
    // Once somebody who may has made it, the role that serves needs nobody, and it does not matter in which schema the extension is.
    let able = index(&Pool::connect(database.config()).await.unwrap(), "pgvector");
    able.prepare(&namespace(), Some(&model("a", 16))).await.unwrap();
    ours.prepare(&namespace(), Some(&model("a", 16))).await.unwrap();
    ours.apply(&namespace(), &changes(&model("a", 16), 3), ChangeSeq(3)).await.unwrap();
    let vector = changes(&model("a", 16), 1)[0].record.clone().unwrap().embedding.unwrap();
    assert_eq!(ours.search_dense(&namespace(), &vector, &Filter::all(), 10).await.unwrap().len(), 3);
}

async fn embeddings_of_two_models_lie_side_by_side(server: TestServer) {
    let database = server.database().await;
    let pool = Pool::connect(database.config()).await.unwrap();
    let (old, new) = (index(&pool, "pgvector"), index(&pool, "pgvector-next"));
    let models = [model("a", 16), model("b", 2048)];
    for (index, model) in [(&old, &models[0]), (&new, &models[1])] {
        index.prepare(&namespace(), Some(model)).await.unwrap();
        index.apply(&namespace(), &changes(model, 5), ChangeSeq(5)).await.unwrap();
    }
    let vector = |model| changes(model, 1)[0].record.clone().unwrap().embedding.unwrap();
    for (index, own, other) in [(&old, &models[0], &models[1]), (&new, &models[1], &models[0])] {
        let hits = index.search_dense(&namespace(), &vector(own), &Filter::all(), 10).await.unwrap();
        assert_eq!((hits.len(), hits[0].id.as_str()), (5, "r1"));
        let error = index.search_dense(&namespace(), &vector(other), &Filter::all(), 10).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ModelMismatch);
        let shown = error.to_string();
        assert!(shown.contains(&own.to_string()) && shown.contains(&other.to_string()), "{shown}");
        assert_eq!(index.check(&namespace()).await.unwrap().faults, Vec::<String>::new());
    }
    old.drop_namespace(&namespace()).await.unwrap();
    assert_eq!(new.check(&namespace()).await.unwrap().records, 5);
}

async fn more_dimensions_than_a_graph_takes_are_compared_one_by_one(server: TestServer) {
    let database = server.database().await;
    let pool = Pool::connect(database.config()).await.unwrap();
    let config = PgvectorConfig { exact_records: 0, ..PgvectorConfig::default() };
    let ours = PgvectorIndex::new(pool, config).unwrap();
    let wide = model("wide", 5000);
    ours.prepare(&namespace(), Some(&wide)).await.unwrap();
    let changes = changes(&wide, 30);
    ours.apply(&namespace(), &changes, ChangeSeq(30)).await.unwrap();
    let vector = changes[6].record.clone().unwrap().embedding.unwrap();
    let hits = ours.search_dense(&namespace(), &vector, &Filter::all(), 3).await.unwrap();
    assert_eq!(hits[0].id.as_str(), "r7");
    assert_eq!(ours.check(&namespace()).await.unwrap().faults, Vec::<String>::new());
}

async fn two_programs_that_apply_the_same_changes_at_once_apply_them_once(server: TestServer) {
    let database = server.database().await;
    let pools = [Pool::connect(database.config()).await.unwrap(), Pool::connect(database.config()).await.unwrap()];
    let [one, two] = pools.each_ref().map(|pool| index(pool, "pgvector"));
    let model = model("a", 8);
    let (ns, all) = (namespace(), changes(&model, 120));
    let (here, there) = tokio::join!(one.prepare(&ns, Some(&model)), two.prepare(&ns, Some(&model)));
    here.unwrap();
    there.unwrap();
    for stretch in all.chunks(30) {
        let through = stretch.last().unwrap().seq;
        let (here, there) = tokio::join!(one.apply(&ns, stretch, through), two.apply(&ns, stretch, through));
        here.unwrap();
        there.unwrap();
    }
    for index in [&one, &two] {
        assert_eq!(index.position(&namespace()).await.unwrap(), ChangeSeq(120));
        let report = index.check(&namespace()).await.unwrap();
        assert_eq!((report.records, report.faults), (120, Vec::<String>::new()));
    }
}

async fn a_broken_wall_or_graph_is_a_fault(server: TestServer) {
    let database = server.database().await;
    let pool = Pool::connect(database.config()).await.unwrap();
    let ours = index(&pool, "pgvector");
    let model = model("a", 8);
    ours.prepare(&namespace(), Some(&model)).await.unwrap();
    ours.apply(&namespace(), &changes(&model, 5), ChangeSeq(5)).await.unwrap();
    let told = async |sql: &str, word: &str| {
        database.execute(sql).await;
        let faults = ours.check(&namespace()).await.unwrap().faults.join("; ");
        assert!(faults.contains(word), "{sql}: {faults}");
    };
    assert_eq!(ours.check(&namespace()).await.unwrap().faults, Vec::<String>::new());
    told("DELETE FROM mnemic.vectors WHERE id = 'r3'", "4 records are held, and 5 were counted").await;
    told("DROP INDEX mnemic.vectors_hnsw_8", "vectors_hnsw_8 is missing").await;
    told("ALTER TABLE mnemic.vectors NO FORCE ROW LEVEL SECURITY", "mnemic.vectors spares its owner").await;
}

fn main() -> ExitCode {
    main_of(
        "postgres-18",
        tests![
            what_is_missing_is_made_by_the_role_that_upgrades,
            a_role_that_may_not_make_the_extension_is_told_what_to_run,
            embeddings_of_two_models_lie_side_by_side,
            more_dimensions_than_a_graph_takes_are_compared_one_by_one,
            two_programs_that_apply_the_same_changes_at_once_apply_them_once,
            a_broken_wall_or_graph_is_a_fault,
        ],
    )
}
