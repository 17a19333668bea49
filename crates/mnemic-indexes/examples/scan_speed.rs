//! Prints what analysis, lexical search and dense search cost on this machine: medians at 10,000 and 100,000 records of 256 dimensions.
//! Run with `cargo run --release -p mnemic-indexes --example scan_speed`. Not a test: it asserts nothing.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement for people; a failure may end it"
)]

use std::time::{Duration, Instant};

use mnemic_core::{
    ChangeSeq, Embedding, EmbeddingModel, Field, Filter, MemoryRecord, Metric, Namespace, RecordId, StoredRecord,
    Timestamp, UserId, Version,
    ports::{Index, IndexChange},
};
use mnemic_indexes::{LocalIndex, LocalIndexConfig};

const DIMENSION: u32 = 256;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// Low numbers are frequent, as words are.
    fn skewed(&mut self, below: usize) -> usize {
        let unit = self.next() as f64 / (1u64 << 31) as f64;
        ((below as f64).powf(unit) as usize).min(below - 1)
    }

    fn vector(&mut self) -> Vec<f32> {
        (0..DIMENSION).map(|_| (self.next() as f32 / (1u64 << 30) as f32) - 1.0).collect()
    }
}

const ENDINGS: [&str; 6] = ["", "s", "ed", "ing", "er", "ly"];
const RUSSIAN_ENDINGS: [&str; 6] = ["", "ы", "ов", "ами", "ах", "ом"];

fn word(random: &mut Random, number: usize, russian: bool) -> String {
    const LATIN: [&str; 16] =
        ["ba", "co", "di", "fu", "ge", "hi", "jo", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo"];
    const CYRILLIC: [&str; 16] =
        ["ба", "ко", "ди", "фу", "ге", "хи", "жо", "ка", "ле", "ми", "но", "пу", "ра", "се", "ти", "во"];
    const COMMON: [&str; 16] =
        ["the", "and", "was", "to", "of", "a", "in", "that", "she", "he", "with", "for", "it", "is", "his", "they"];
    if number < COMMON.len() && !russian {
        return COMMON[number].to_owned();
    }
    let (syllables, endings) = if russian { (CYRILLIC, RUSSIAN_ENDINGS) } else { (LATIN, ENDINGS) };
    let mut word: String = [number % 16, number / 16 % 16, number / 256 % 16].iter().map(|n| syllables[*n]).collect();
    word.push_str(endings[random.next() as usize % endings.len()]);
    word
}

fn text(random: &mut Random, bytes: usize, russian: bool) -> String {
    let mut text = String::new();
    while text.chars().count() < bytes {
        let number = random.skewed(4096);
        text.push_str(&word(random, number, russian));
        text.push(' ');
    }
    text
}

fn change(seq: u64, random: &mut Random, model: &EmbeddingModel) -> IndexChange {
    let id = RecordId::new(format!("record-{seq:08}")).unwrap();
    let at = Timestamp::from_micros(1_700_000_000_000_000 + seq as i64).unwrap();
    let text = text(random, 200, seq.is_multiple_of(4));
    let mut record = MemoryRecord::new(id.clone(), text, at);
    record.version = Version(1);
    record.user_id = Some(UserId::new(format!("user-{}", random.next() % 100)).unwrap());
    let embedding = Embedding::new(model, random.vector()).unwrap();
    IndexChange { seq: ChangeSeq(seq), id, record: Some(StoredRecord { record, embedding: Some(embedding) }) }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

async fn measure(records: u64) {
    let directory = tempfile::tempdir().unwrap();
    let config = LocalIndexConfig { directory: Some(directory.path().into()), ..LocalIndexConfig::default() };
    let index = LocalIndex::new(config.clone()).unwrap();
    let namespace = Namespace::new("speed").unwrap();
    let model = EmbeddingModel::new("mnemic", "random", DIMENSION, Metric::Cosine).unwrap();
    let mut random = Random(42);
    println!("{records} records, {DIMENSION} dimensions");

    let mut feeding = Duration::ZERO;
    let mut last = Vec::new();
    for first in (1..=records).step_by(1000) {
        let changes: Vec<IndexChange> = (first..first + 1000).map(|seq| change(seq, &mut random, &model)).collect();
        let start = Instant::now();
        index.apply(&namespace, &changes, ChangeSeq(first + 999)).await.unwrap();
        feeding += start.elapsed();
        last.push(start.elapsed() / 1000);
    }
    println!(
        "  feed             {:>9.1?} a record (median of thousands {:.1?})",
        feeding / records as u32,
        median(last)
    );

    let all = Filter::all();
    let one_user = Filter::equals(Field::UserId, "user-7");
    let later = Timestamp::from_micros(1_700_000_000_000_000 + records as i64 / 2).unwrap();
    let half = Filter::Compare(Field::CreatedAt, mnemic_core::Comparison::Gt, mnemic_core::Operand::Timestamp(later));
    for (name, filter) in [("all", &all), ("1 % by user", &one_user), ("half by time", &half)] {
        let (mut words, mut rare, mut dense) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..101 {
            let (question, narrow) = (text(&mut random, 40, false), word(&mut random, 3000, false));
            let vector = Embedding::new(&model, random.vector()).unwrap();
            let start = Instant::now();
            index.search_text(&namespace, &question, filter, 50).await.unwrap();
            words.push(start.elapsed());
            let start = Instant::now();
            index.search_text(&namespace, &narrow, filter, 50).await.unwrap();
            rare.push(start.elapsed());
            let start = Instant::now();
            index.search_dense(&namespace, &vector, filter, 50).await.unwrap();
            dense.push(start.elapsed());
        }
        println!(
            "  top 50, {name:<13} question {:>8.1?}  one word {:>8.1?}  dense {:>8.1?}",
            median(words),
            median(rare),
            median(dense)
        );
    }

    reopen(&index, config, &namespace).await;
}

async fn reopen(index: &LocalIndex, config: LocalIndexConfig, namespace: &Namespace) {
    let start = Instant::now();
    index.persist(namespace).await.unwrap();
    let saved = start.elapsed();
    let start = Instant::now();
    let reopened = LocalIndex::new(config).unwrap();
    reopened.position(namespace).await.unwrap();
    let loaded = start.elapsed();
    let report = reopened.check(namespace).await.unwrap();
    println!(
        "  snapshot saved in {saved:.1?}, loaded in {loaded:.1?}; about {} MiB in memory and on disk",
        report.bytes >> 20
    );
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    for records in [10_000, 100_000] {
        measure(records).await;
    }
}
