//! Proves that the graph which all namespaces share finds what a comparison with every record finds: among many namespaces, under filters
//! that few records pass, on vectors without any structure that would help. Not here: the contract (`conformance_pgvector`).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

#[path = "support/postgres.rs"]
mod support;

use std::{collections::BTreeSet, process::ExitCode};

use mnemic_core::{
    ChangeSeq, Embedding, EmbeddingModel, Field, Filter, MemoryRecord, Metric, Namespace, RecordId, RecordKind,
    StoredRecord, Version,
    ports::{Index, IndexChange, IndexHit},
};
use mnemic_indexes::{LocalIndex, LocalIndexConfig, PgvectorConfig, PgvectorIndex};
use mnemic_postgres::{Pool, testing::TestServer};
use support::{main_of, tests};

const NAMESPACES: usize = 20;
const RECORDS: usize = 250;
const DIMENSION: u32 = 48;
const TOP: usize = 10;

/// A small generator, so that a failure repeats.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 40) as f32 / 16_777_216.0) - 0.5
    }

    fn embedding(&mut self) -> Embedding {
        let components: Vec<f32> = (0..DIMENSION).map(|_| self.next()).collect();
        Embedding::new(&model(), components).unwrap()
    }
}

fn model() -> EmbeddingModel {
    EmbeddingModel::new("test", "random", DIMENSION, Metric::Cosine).unwrap()
}

fn nth(number: usize) -> Namespace {
    Namespace::new(format!("ns{number}")).unwrap()
}

fn changes(random: &mut Random) -> Vec<IndexChange> {
    let change = |number: usize| {
        let id = RecordId::new(format!("r{number:04}")).unwrap();
        let mut record = MemoryRecord::new(id.clone(), "x", "2026-01-05T00:00:00Z".parse().unwrap());
        record.version = Version(1);
        record.kind = RecordKind::ALL[number % 4];
        record.tags = [format!("tag{}", number % 12)].into();
        let embedding = Some(random.embedding());
        IndexChange { seq: ChangeSeq(number as u64 + 1), id, record: Some(StoredRecord { record, embedding }) }
    };
    (0..RECORDS).map(change).collect()
}

fn ids(hits: &[IndexHit]) -> Vec<&str> {
    hits.iter().map(|hit| hit.id.as_str()).collect()
}

/// The same records in PostgreSQL and in an exact index.
async fn fed(pool: &Pool) -> LocalIndex {
    let ours = PgvectorIndex::new(pool.clone(), PgvectorConfig::default()).unwrap();
    let exact = LocalIndex::new(LocalIndexConfig::default()).unwrap();
    let mut random = Random(20);
    for number in 0..NAMESPACES {
        let changes = changes(&mut random);
        for index in [&ours as &dyn Index, &exact] {
            index.prepare(&nth(number), Some(&model())).await.unwrap();
            index.apply(&nth(number), &changes, ChangeSeq(RECORDS as u64)).await.unwrap();
        }
    }
    exact
}

async fn the_shared_graph_finds_what_comparing_every_record_finds(server: TestServer) {
    let database = server.database().await;
    let pool = Pool::connect(database.config()).await.unwrap();
    let exact = fed(&pool).await;
    let kind = Filter::equals(Field::Kind, "episodic");
    let tag = Filter::equals(Field::Tags, "tag3");
    let filters = [Filter::all(), kind.clone(), tag.clone(), Filter::Not(Box::new(tag.clone())), kind.and(tag)];
    let graph = PgvectorConfig { exact_records: 0, ..PgvectorConfig::default() };
    for config in [PgvectorConfig::default(), graph] {
        let ours = PgvectorIndex::new(pool.clone(), config).unwrap();
        let mut random = Random(21);
        for filter in &filters {
            let (mut right, mut asked) = (0, 0);
            for number in 0..NAMESPACES {
                let query = random.embedding();
                let truth = exact.search_dense(&nth(number), &query, filter, TOP).await.unwrap();
                let found = ours.search_dense(&nth(number), &query, filter, TOP).await.unwrap();
                assert_eq!(found.len(), truth.len(), "{filter:?}");
                let best: BTreeSet<&str> = ids(&truth).into_iter().collect();
                right += found.iter().filter(|hit| best.contains(hit.id.as_str())).count();
                asked += truth.len();
                if config == PgvectorConfig::default() {
                    assert_eq!(ids(&found), ids(&truth), "few records are all compared");
                }
                for (ours, truth) in found.iter().zip(&truth) {
                    assert!(ours.score <= truth.score + 1e-6, "no score is above that of the best: {ours:?} {truth:?}");
                }
            }
            assert!(
                right * 100 >= asked * 95,
                "{right} of the {asked} closest were found through {filter:?} by {config:?}"
            );
        }
    }
}

async fn the_graph_is_asked_and_nothing_is_sorted_below_it(server: TestServer) {
    let database = server.database().await;
    let pool = Pool::connect(database.config()).await.unwrap();
    let ours = PgvectorIndex::new(pool, PgvectorConfig::default()).unwrap();
    ours.prepare(&nth(0), Some(&model())).await.unwrap();
    ours.apply(&nth(0), &changes(&mut Random(22)), ChangeSeq(RECORDS as u64)).await.unwrap();
    let filter = Filter::equals(Field::Tags, "tag3");
    let plan = ours.explain_graph(&nth(0), &Random(23).embedding(), &filter).await.unwrap();
    assert!(plan.contains(&format!("Index Scan using vectors_hnsw_{DIMENSION}")), "{plan}");
    assert_eq!(plan.matches("Sort Key").count(), 1, "only the final order is sorted: {plan}");
}

async fn a_graph_that_may_look_at_too_little_gives_way_to_a_comparison_with_all(server: TestServer) {
    let database = server.database().await;
    let pool = Pool::connect(database.config()).await.unwrap();
    let exact = fed(&pool).await;
    let config = PgvectorConfig { exact_records: 0, ef_search: 1, max_scan_tuples: 1, ..PgvectorConfig::default() };
    let ours = PgvectorIndex::new(pool, config).unwrap();
    let rare = Filter::equals(Field::Tags, "tag5");
    for number in 0..NAMESPACES {
        let query = Random(number as u64).embedding();
        let truth = exact.search_dense(&nth(number), &query, &rare, TOP).await.unwrap();
        let found = ours.search_dense(&nth(number), &query, &rare, TOP).await.unwrap();
        assert_eq!(found.len(), truth.len());
    }
}

fn main() -> ExitCode {
    main_of(
        "postgres-18",
        tests![
            the_shared_graph_finds_what_comparing_every_record_finds,
            the_graph_is_asked_and_nothing_is_sorted_below_it,
            a_graph_that_may_look_at_too_little_gives_way_to_a_comparison_with_all,
        ],
    )
}
