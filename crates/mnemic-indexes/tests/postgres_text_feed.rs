//! How `PostgresTextIndex` is fed: by two programs at once, after a change of the analysis, beside a wall that is down. Runs on the
//! older server, which has no extension. Not here: the contract (`conformance_postgres_text`), scores (`postgres_text_scores`).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

#[path = "support/mod.rs"]
mod local;
#[path = "support/postgres.rs"]
mod support;

use std::process::ExitCode;

use local::{ids, namespace, record, written};
use mnemic_core::{ChangeSeq, EmbeddingModel, ErrorKind, Filter, Metric, Version, ports::Index};
use mnemic_indexes::{PgvectorConfig, PgvectorIndex, PostgresTextConfig, PostgresTextIndex};
use mnemic_postgres::{Pool, testing::TestServer};
use support::{main_of, tests};

fn index(pool: &Pool) -> PostgresTextIndex {
    PostgresTextIndex::new(pool.clone(), PostgresTextConfig::default()).unwrap()
}

async fn two_programs_that_apply_the_same_changes_at_once_apply_them_once(server: TestServer) {
    let database = server.database().await;
    let pools = [Pool::connect(database.config()).await.unwrap(), Pool::connect(database.config()).await.unwrap()];
    let [one, two] = pools.each_ref().map(index);
    let ns = namespace();
    let revision = |seq: u64| {
        let mut record = record(&format!("r{}", seq % 40), &format!("a cello and a violin and {seq}"));
        record.version = Version(seq);
        written(seq, record)
    };
    for stretch in 0..8u64 {
        let changes: Vec<_> = (1..=25).map(|n| revision(stretch * 25 + n)).collect();
        let through = ChangeSeq((stretch + 1) * 25);
        let (here, there) = tokio::join!(one.apply(&ns, &changes, through), two.apply(&ns, &changes, through));
        here.unwrap();
        there.unwrap();
    }
    for index in [&one, &two] {
        assert_eq!(index.position(&namespace()).await.unwrap(), ChangeSeq(200));
        let report = index.check(&namespace()).await.unwrap();
        assert_eq!((report.records, report.faults), (40, Vec::<String>::new()));
    }
}

async fn texts_that_were_analyzed_differently_are_read_anew(server: TestServer) {
    let database = server.database().await;
    let pool = Pool::connect(database.config()).await.unwrap();
    let ours = index(&pool);
    ours.apply(&namespace(), &[written(1, record("a", "a cello")), written(2, record("b", "an oboe"))], ChangeSeq(2))
        .await
        .unwrap();
    database.execute("UPDATE mnemic.index_spaces SET analysis = 7").await;
    assert_eq!(ours.position(&namespace()).await.unwrap(), ChangeSeq(0));
    ours.apply(&namespace(), &[written(1, record("a", "a violin"))], ChangeSeq(1)).await.unwrap();
    let found = async |query: &str| ids(&ours.search_text(&namespace(), query, &Filter::all(), 10).await.unwrap());
    assert_eq!(
        (found("cello").await, found("oboe").await, found("violin").await),
        (vec![], vec![], vec!["a".to_owned()])
    );
    assert_eq!(ours.position(&namespace()).await.unwrap(), ChangeSeq(1));
    let report = ours.check(&namespace()).await.unwrap();
    assert_eq!((report.records, report.faults), (1, Vec::<String>::new()));
}

async fn the_languages_of_each_record_are_kept(server: TestServer) {
    let database = server.database().await;
    let pool = Pool::connect(database.config()).await.unwrap();
    let text = "Документы поданы for the hearing";
    index(&pool).apply(&namespace(), &[written(1, record("a", text))], ChangeSeq(1)).await.unwrap();
    let languages = "SELECT array_to_string(languages, ' ') FROM mnemic.text_documents";
    assert_eq!(database.ask(languages).await, "english russian");
}

async fn wrong_statistics_and_a_broken_wall_are_faults(server: TestServer) {
    let database = server.database().await;
    let pool = Pool::connect(database.config()).await.unwrap();
    let ours = index(&pool);
    let changes = [written(1, record("a", "a cello")), written(2, record("b", "another cello"))];
    ours.apply(&namespace(), &changes, ChangeSeq(2)).await.unwrap();
    assert_eq!(ours.check(&namespace()).await.unwrap().faults, Vec::<String>::new());
    for (sql, word) in [
        (
            "UPDATE mnemic.text_terms SET documents = documents + 1 WHERE term LIKE '%cello'",
            "1 terms count their records wrongly",
        ),
        ("UPDATE mnemic.index_spaces SET length = 99", "hold 4 words together, not 99"),
        ("ALTER TABLE mnemic.text_postings DISABLE ROW LEVEL SECURITY", "row security of mnemic.text_postings is off"),
    ] {
        database.execute(sql).await;
        let faults = ours.check(&namespace()).await.unwrap().faults.join("; ");
        assert!(faults.contains(word), "{sql}: {faults}");
    }
}

async fn a_server_without_pgvector_is_told_to_get_it(server: TestServer) {
    let database = server.database().await;
    let pool = Pool::connect(database.config()).await.unwrap();
    let dense = PgvectorIndex::new(pool, PgvectorConfig::default()).unwrap();
    let model = EmbeddingModel::new("test", "a", 8, Metric::Cosine).unwrap();
    let error = dense.prepare(&namespace(), Some(&model)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error:?}");
    assert!(error.to_string().contains("CREATE EXTENSION vector"), "{error}");
}

fn main() -> ExitCode {
    main_of(
        "postgres-15",
        tests![
            two_programs_that_apply_the_same_changes_at_once_apply_them_once,
            texts_that_were_analyzed_differently_are_read_anew,
            the_languages_of_each_record_are_kept,
            wrong_statistics_and_a_broken_wall_are_faults,
            a_server_without_pgvector_is_told_to_get_it,
        ],
    )
}
