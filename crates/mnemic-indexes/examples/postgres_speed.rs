//! Times the indexes in PostgreSQL on one namespace, for the figures in their documentation. Not here: any judgement.
//!
//! `cargo run --release -p mnemic-indexes --example postgres_speed -- 10000 2048`, with `MNEMIC_TEST_POSTGRES_18` set.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing, reason = "a tool for developers")]

use std::time::Instant;

use mnemic_core::{
    ChangeSeq, Embedding, EmbeddingModel, Field, Filter, MemoryRecord, Metric, Namespace, RecordId, StoredRecord,
    Version,
    ports::{Index, IndexChange},
};
use mnemic_indexes::{PgvectorConfig, PgvectorIndex, PostgresTextConfig, PostgresTextIndex};
use mnemic_postgres::{Pool, testing::TestServer};

/// A small generator, so that a run repeats.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 40) as f32 / 16_777_216.0) - 0.5
    }

    fn embedding(&mut self, model: &EmbeddingModel) -> Embedding {
        let components: Vec<f32> = (0..model.dimension()).map(|_| self.next()).collect();
        Embedding::new(model, components).unwrap()
    }
}

fn record(number: usize, random: &mut Random, model: &EmbeddingModel) -> IndexChange {
    let id = RecordId::new(format!("r{number:07}")).unwrap();
    // Words as frequent as words are: the n-th most frequent occurs 1/n as often.
    let word = |random: &mut Random| format!("w{}", (8000f32.powf(random.next() + 0.5)) as usize);
    let text: Vec<String> = (0..40).map(|_| word(random)).collect();
    let mut record = MemoryRecord::new(id.clone(), text.join(" "), "2026-01-05T00:00:00Z".parse().unwrap());
    record.version = Version(1);
    record.tags = [format!("tag{}", number % 100)].into();
    let embedding = Some(random.embedding(model));
    IndexChange { seq: ChangeSeq(number as u64 + 1), id, record: Some(StoredRecord { record, embedding }) }
}

fn told(what: &str, mut times: Vec<f64>) {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!("{what:<44} p50 {:>8.2} ms   p90 {:>8.2} ms", at(0.5), at(0.9));
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>().unwrap());
    let (records, dimension) = (arguments.next().unwrap_or(10_000), arguments.next().unwrap_or(2048));
    let database = TestServer::of("postgres-18").unwrap().database().await;
    let pool = Pool::connect(database.config()).await.unwrap();
    let model = EmbeddingModel::new("test", "random", dimension as u32, Metric::Cosine).unwrap();
    let namespace = Namespace::new("speed").unwrap();
    let (all, graph) = (
        PgvectorConfig { exact_records: u64::MAX, ..PgvectorConfig::default() },
        PgvectorConfig { exact_records: 0, ..PgvectorConfig::default() },
    );
    let exact = PgvectorIndex::new(pool.clone(), all).unwrap();
    let approximate = PgvectorIndex::new(pool.clone(), graph).unwrap();
    let text = PostgresTextIndex::new(pool.clone(), PostgresTextConfig::default()).unwrap();
    exact.prepare(&namespace, Some(&model)).await.unwrap();
    let mut random = Random(7);
    let (mut by_vector, mut by_words) = (0.0, 0.0);
    for first in (0..records).step_by(500) {
        let changes: Vec<IndexChange> =
            (first..(first + 500).min(records)).map(|number| record(number, &mut random, &model)).collect();
        let through = ChangeSeq((first + changes.len()) as u64);
        let start = Instant::now();
        exact.apply(&namespace, &changes, through).await.unwrap();
        by_vector += start.elapsed().as_secs_f64();
        let start = Instant::now();
        text.apply(&namespace, &changes, through).await.unwrap();
        by_words += start.elapsed().as_secs_f64();
    }
    database.execute("VACUUM ANALYZE").await;
    println!("{records} records of {dimension} dimensions: vectors in {by_vector:.1} s, words in {by_words:.1} s");
    let filters = [("all", Filter::all()), ("1 %", Filter::equals(Field::Tags, "tag7"))];
    for (name, filter) in &filters {
        for (how, index) in [("every record", &exact), ("by graph", &approximate)] {
            let mut times = Vec::new();
            let mut right = 0;
            for _ in 0..20 {
                let query = random.embedding(&model);
                let start = Instant::now();
                let hits = index.search_dense(&namespace, &query, filter, 10).await.unwrap();
                times.push(start.elapsed().as_secs_f64() * 1000.0);
                let truth = exact.search_dense(&namespace, &query, filter, 10).await.unwrap();
                right += hits.iter().filter(|hit| truth.iter().any(|other| other.id == hit.id)).count();
            }
            told(&format!("vectors, {name}, {how}, {right} of 200 right"), times);
        }
        for (what, low, high) in [("rare words", 2000, 8000), ("mixed words", 20, 8000), ("frequent words", 1, 20)] {
            let mut times = Vec::new();
            for _ in 0..20 {
                let words: Vec<String> = (0..5)
                    .map(|_| format!("w{}", low + ((random.next() + 0.5) * (high - low) as f32) as usize))
                    .collect();
                let start = Instant::now();
                text.search_text(&namespace, &words.join(" "), filter, 10).await.unwrap();
                times.push(start.elapsed().as_secs_f64() * 1000.0);
            }
            told(&format!("words, {name}, five {what}"), times);
        }
    }
}
