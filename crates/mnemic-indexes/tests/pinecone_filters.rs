//! Filters in Pinecone: nothing that passes is lost, whatever Pinecone makes of missing fields, and what can be decided is.
//! Not here: what filters mean (`mnemic_core::filter`).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod pinecone_support;

use std::collections::BTreeSet;

use mnemic_conformance::fixtures::{
    Rng, embedding, every_operator, extreme_records, random_filter, random_record, record,
};
use mnemic_core::{Comparison, Field, Filter, MemoryRecord, Number, Object, Operand, Value, ports::IndexChange};
use pinecone_support::{Bench, write};

fn changes(bench: &Bench, records: &[MemoryRecord]) -> Vec<IndexChange> {
    let mut rng = Rng::new(41);
    let numbered = records.iter().zip(1..);
    numbered.map(|(record, n)| write(n, record.clone(), embedding(&mut rng, &bench.model))).collect()
}

#[tokio::test]
async fn no_filter_loses_a_record_that_passes_it_whatever_missing_fields_are_to_pinecone() {
    let bench = Bench::new().await;
    let mut rng = Rng::new(42);
    let mut records: Vec<MemoryRecord> = (0..60).map(|n| random_record(&mut rng, &format!("r{n:02}"))).collect();
    records.extend(extreme_records());
    let changes = changes(&bench, &records);
    bench.apply(&changes).await.unwrap();
    // As they were written: with their versions.
    let held: Vec<MemoryRecord> = changes.iter().map(|change| change.record.as_ref().unwrap().record.clone()).collect();
    let mut filters: Vec<Filter> = (0..120).map(|_| random_filter(&mut rng, &held, 4)).collect();
    filters.extend(every_operator(&held));
    filters.extend(every_operator(&held).into_iter().map(|filter| Filter::Not(Box::new(filter))));
    let (mut passing, mut extra) = (0, 0);
    for missing_is_other in [false, true] {
        bench.stand_in.habits().missing_is_other(missing_is_other);
        for filter in &filters {
            let expected: BTreeSet<String> =
                held.iter().filter(|record| filter.matches(*record)).map(|record| record.id.to_string()).collect();
            let found = BTreeSet::from_iter(bench.find(filter, 1000).await.unwrap());
            let lost: Vec<&String> = expected.difference(&found).collect();
            assert!(lost.is_empty(), "{lost:?} pass and are not found by {filter:?}");
            passing += expected.len();
            extra += found.len() - expected.len();
        }
    }
    // Text is not in metadata, and some values are not; everything else is decided here.
    println!("{passing} pass, {extra} were left to the caller, of {} answers", filters.len() * 2);
    assert!(extra * 3 < passing, "{extra} beside {passing} were left undecided");
}

fn with_note(id: &str, note: &str) -> MemoryRecord {
    let mut record = record(id, "text");
    record.metadata = Object::from([("note".to_owned(), Value::from(note))]);
    record
}

#[tokio::test]
async fn where_pinecone_cannot_decide_more_is_asked_for_until_enough_pass() {
    let bench = Bench::new().await;
    let records: Vec<MemoryRecord> =
        (0..400).map(|n| with_note(&format!("r{n:03}"), if n % 100 == 3 { "a rare word" } else { "usual" })).collect();
    bench.apply(&changes(&bench, &records)).await.unwrap();
    let note = Field::Metadata(vec!["note".to_owned()]);
    let filter = Filter::Compare(note, Comparison::Contains, Operand::String("rare".to_owned()));
    let mut found = bench.find(&filter, 4).await.unwrap();
    found.sort();
    assert_eq!(found, ["r003", "r103", "r203", "r303"]);
    let asked: Vec<u64> =
        bench.asked("POST", "/query").iter().map(|asked| asked.json()["topK"].as_u64().unwrap()).collect();
    assert!(asked.starts_with(&[4, 16]) && asked.is_sorted() && asked.len() <= 6, "{asked:?}");
}

#[tokio::test]
async fn an_answer_too_large_for_pinecone_is_asked_for_in_fewer_matches() {
    let bench = Bench::new().await;
    let records: Vec<MemoryRecord> = (0..300).map(|n| with_note(&format!("r{n:03}"), &"x".repeat(30_000))).collect();
    bench.apply(&changes(&bench, &records)).await.unwrap();
    let found = bench.find(&Filter::all(), 300).await.unwrap();
    assert!(found.len() >= 50 && found.len() < 300, "{} were found", found.len());
    assert_eq!(bench.find(&Filter::all(), 20).await.unwrap()[..], found[..20]);
}

#[tokio::test]
async fn a_filter_that_nothing_passes_asks_nothing() {
    let bench = Bench::new().await;
    bench.apply(&changes(&bench, &[record("r", "x")])).await.unwrap();
    let before = bench.stand_in.requests().len();
    let none = Filter::In(Field::UserId, Vec::new());
    assert_eq!(bench.find(&none, 5).await.unwrap(), Vec::<String>::new());
    assert_eq!(bench.find(&Filter::all(), 0).await.unwrap(), Vec::<String>::new());
    assert_eq!(bench.stand_in.requests().len(), before);
    let thousand: Vec<Operand> = (0..1000i64).map(|n| Operand::Number(Number::from(n))).collect();
    assert_eq!(bench.find(&Filter::In(Field::Version, thousand), 5).await.unwrap(), ["r"]);
}
