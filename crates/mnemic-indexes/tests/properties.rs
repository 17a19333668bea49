//! The local index against its definitions, on random memories: filters, cosine, BM25, and independence of the order of changes.
//! Not here: what particular texts find (`search`).
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod support;

use std::collections::BTreeMap;

use mnemic_core::{
    ChangeSeq, Comparison, Embedding, EmbeddingModel, Field, Filter, MemoryRecord, Metric, Number, Operand,
    StoredRecord,
    ports::{Index, IndexChange},
};
use mnemic_indexes::{Bm25Config, LocalIndex};
use proptest::prelude::*;
use support::{LABELS, Random, USERS, at, embedded, exact, gone, in_memory, model, namespace, record, written};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// What the index should hold: the last state of each record.
type Truth = BTreeMap<String, StoredRecord>;

/// Random writes, replacements, deletions and late embeddings.
fn history(random: &mut Random, steps: usize) -> (Vec<IndexChange>, Truth) {
    let mut truth = Truth::new();
    let mut changes = Vec::new();
    for seq in 1..=steps as u64 {
        let id = format!("r{}", random.below(40));
        let change = match (random.below(6), truth.get(&id)) {
            (0, _) => gone(seq, &id),
            (1, Some(stored)) => embedded(seq, stored.record.clone(), random.vector()),
            (2, _) => written(seq, random.record(&id, seq)),
            _ => embedded(seq, random.record(&id, seq), random.vector()),
        };
        match &change.record {
            Some(stored) => drop(truth.insert(id, stored.clone())),
            None => drop(truth.remove(&id)),
        }
        changes.push(change);
    }
    (changes, truth)
}

async fn built(changes: &[IndexChange]) -> LocalIndex {
    let index = in_memory();
    let through = changes.last().map_or(ChangeSeq(0), |change| change.seq);
    index.apply(&namespace(), changes, through).await.unwrap();
    index
}

fn at_once(truth: &Truth) -> Vec<IndexChange> {
    let change = |(seq, stored): (u64, &StoredRecord)| IndexChange {
        seq: ChangeSeq(seq),
        id: stored.record.id.clone(),
        record: Some(stored.clone()),
    };
    (1..).zip(truth.values()).map(change).collect()
}

fn operand(random: &mut Random, field: &Field) -> Operand {
    match field {
        Field::Salience | Field::Confidence => Operand::Number(Number::from_f64(random.below(5) as f64 / 4.0).unwrap()),
        Field::Version => Operand::Number(Number::from(random.below(60) as i64)),
        Field::CreatedAt | Field::UpdatedAt | Field::ValidFrom | Field::ValidTo | Field::ExpiresAt => {
            Operand::Timestamp(at(random.below(40) as i64 - 10))
        }
        Field::Metadata(_) => match random.below(3) {
            0 => Operand::Number(Number::from(random.below(3) as i64)),
            1 => Operand::String(random.pick(&LABELS).to_owned()),
            _ => Operand::Bool(random.below(2) == 0),
        },
        Field::UserId | Field::ThreadId => Operand::String(random.pick(&USERS).to_owned()),
        Field::Kind => Operand::String(random.pick(&["semantic", "episodic", "persona", "x"]).to_owned()),
        Field::Source => Operand::String(random.pick(&["user", "agent", "we"]).to_owned()),
        Field::Id => Operand::String(format!("r{}", random.below(45))),
        Field::Text => Operand::String(random.pick(&["document", "e", "The", "京"]).to_owned()),
        Field::Path | Field::Tags | Field::SupersededBy => Operand::String(random.pick(&LABELS).to_owned()),
    }
}

fn condition(random: &mut Random) -> Filter {
    let path = |keys: &[&str]| Field::Metadata(keys.iter().map(|key| (*key).to_owned()).collect());
    let fields = [
        Field::Id,
        Field::UserId,
        Field::ThreadId,
        Field::Kind,
        Field::Text,
        Field::Path,
        Field::Tags,
        Field::Source,
        Field::Salience,
        Field::Confidence,
        Field::CreatedAt,
        Field::UpdatedAt,
        Field::ValidFrom,
        Field::ValidTo,
        Field::ExpiresAt,
        Field::SupersededBy,
        Field::Version,
        path(&["a"]),
        path(&["b"]),
        path(&["a", "c"]),
    ];
    let field = fields[random.below(fields.len())].clone();
    let operators = [
        Comparison::Eq,
        Comparison::Ne,
        Comparison::Gt,
        Comparison::Gte,
        Comparison::Lt,
        Comparison::Lte,
        Comparison::Contains,
    ];
    let filter = match random.below(10) {
        0 => Filter::Exists(field),
        1 | 2 => Filter::In(field.clone(), (0..random.below(4)).map(|_| operand(random, &field)).collect()),
        3 | 4 => Filter::Nin(field.clone(), (0..random.below(4)).map(|_| operand(random, &field)).collect()),
        _ => Filter::Compare(field.clone(), operators[random.below(operators.len())], operand(random, &field)),
    };
    // Operators that the field does not know are refused before any index sees them.
    if filter.check().is_ok() { filter } else { condition(random) }
}

fn filter(random: &mut Random, depth: usize) -> Filter {
    match random.below(if depth == 0 { 1 } else { 5 }) {
        1 => Filter::And((0..random.below(4)).map(|_| filter(random, depth - 1)).collect()),
        2 => Filter::Or((0..random.below(4)).map(|_| filter(random, depth - 1)).collect()),
        3 => Filter::Not(Box::new(filter(random, depth - 1))),
        _ => condition(random),
    }
}

const QUERIES: [&str; 8] =
    ["documents", "the hearing", "документ", "I-485 visa fee", "东 京", "京都 елка", "is and the", "Haus die"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn only_records_that_pass_the_filter_are_found_exactly_as_the_reference_decides(seed: u64) {
        block_on(async {
            let mut random = Random(seed);
            let (changes, truth) = history(&mut random, 120);
            let index = built(&changes).await;
            let query = Embedding::new(&model(), random.vector()).unwrap();
            for _ in 0..40 {
                let filter = filter(&mut random, 3);
                let mut found = support::ids(&index.search_dense(&namespace(), &query, &filter, 1000).await.unwrap());
                found.sort();
                let passes = |stored: &&StoredRecord| stored.embedding.is_some() && filter.matches(&stored.record);
                let expected: Vec<String> = truth.values().filter(passes).map(|stored| stored.record.id.to_string()).collect();
                let mut sorted = expected.clone();
                sorted.sort();
                assert_eq!(found, sorted, "{filter:?}");
            }
        });
    }

    #[test]
    fn dense_search_is_a_comparison_with_every_record(seed: u64, limit in 1usize..60) {
        block_on(async {
            let mut random = Random(seed);
            let (changes, truth) = history(&mut random, 120);
            let index = built(&changes).await;
            for narrow in [Filter::all(), filter(&mut random, 2)] {
                let query = Embedding::new(&model(), random.vector()).unwrap();
                let mut expected: Vec<(f32, String)> = truth
                    .values()
                    .filter(|stored| narrow.matches(&stored.record))
                    .filter_map(|stored| Some((query.cosine(stored.embedding.as_ref()?).unwrap(), stored.record.id.to_string())))
                    .collect();
                expected.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
                expected.truncate(limit);
                let hits = index.search_dense(&namespace(), &query, &narrow, limit).await.unwrap();
                let found: Vec<(f32, String)> = hits.iter().map(|hit| (hit.score, hit.id.to_string())).collect();
                assert_eq!(found, expected);
            }
        });
    }

    #[test]
    fn an_index_fed_change_by_change_answers_bit_for_bit_like_one_fed_the_final_state(seed: u64) {
        block_on(async {
            let mut random = Random(seed);
            let (changes, truth) = history(&mut random, 200);
            let stepwise = in_memory();
            for change in &changes {
                stepwise.apply(&namespace(), std::slice::from_ref(change), change.seq).await.unwrap();
            }
            assert_same(&stepwise, &built(&changes).await, &mut random).await;
            assert_same(&stepwise, &built(&at_once(&truth)).await, &mut random).await;
        });
    }

    #[test]
    fn lexical_scores_are_those_of_the_formula(seed: u64, k1 in 0.0f32..2.0, b in 0.0f32..1.0) {
        block_on(async {
            let mut random = Random(seed);
            // Numbers are their own terms, so the formula can be checked without knowing the analysis.
            let mut numbers = || (0..random.below(15)).map(|_| random.below(12)).collect();
            let texts: Vec<Vec<usize>> = (0..60).map(|_| numbers()).collect();
            let config = mnemic_indexes::LocalIndexConfig { bm25: Bm25Config { k1, b }, ..Default::default() };
            let index = LocalIndex::new(config).unwrap();
            let say = |words: &[usize]| words.iter().map(usize::to_string).collect::<Vec<_>>().join(" ");
            let changes: Vec<IndexChange> =
                (1..).zip(&texts).map(|(seq, words)| written(seq, record(&format!("{seq}"), &say(words)))).collect();
            index.apply(&namespace(), &changes, ChangeSeq(60)).await.unwrap();
            let query: Vec<usize> = (0..4).map(|_| random.below(14)).collect();
            let hits = index.search_text(&namespace(), &say(&query), &Filter::all(), 1000).await.unwrap();
            let expected = formula(&texts, &query, f64::from(k1), f64::from(b));
            assert_eq!(hits.len(), expected.len());
            for hit in hits {
                let score = expected[&hit.id.to_string()];
                assert!((f64::from(hit.score) - score).abs() < 1e-4 * score.max(1.0), "{} {score}", hit.score);
            }
        });
    }
}

fn formula(texts: &[Vec<usize>], query: &[usize], k1: f64, b: f64) -> BTreeMap<String, f64> {
    let mean = texts.iter().map(Vec::len).sum::<usize>() as f64 / texts.len() as f64;
    let mut scores = BTreeMap::new();
    for (n, words) in texts.iter().enumerate() {
        let mut score = 0.0;
        for asked in query {
            let count = |words: &Vec<usize>| words.iter().filter(|word| *word == asked).count() as f64;
            let holding = texts.iter().filter(|words| count(words) > 0.0).count() as f64;
            let rarity = (1.0 + (texts.len() as f64 - holding + 0.5) / (holding + 0.5)).ln();
            let length = 1.0 - b + b * words.len() as f64 / mean;
            score += rarity * count(words) * (k1 + 1.0) / (count(words) + k1 * length).max(f64::MIN_POSITIVE);
        }
        if score > 0.0 {
            scores.insert(format!("{}", n + 1), score);
        }
    }
    scores
}

async fn assert_same(one: &LocalIndex, other: &LocalIndex, random: &mut Random) {
    let namespace = namespace();
    for query in QUERIES {
        for filter in [Filter::all(), filter(random, 2)] {
            let left = one.search_text(&namespace, query, &filter, 30).await.unwrap();
            let right = other.search_text(&namespace, query, &filter, 30).await.unwrap();
            assert_eq!(exact(&left), exact(&right), "{query}");
            let vector = Embedding::new(&model(), random.vector()).unwrap();
            let left = one.search_dense(&namespace, &vector, &filter, 30).await.unwrap();
            let right = other.search_dense(&namespace, &vector, &filter, 30).await.unwrap();
            assert_eq!(exact(&left), exact(&right));
        }
    }
    let page = mnemic_core::PageRequest::largest();
    assert_eq!(one.ids(&namespace, &page).await.unwrap(), other.ids(&namespace, &page).await.unwrap());
    for index in [one, other] {
        assert_eq!(index.check(&namespace).await.unwrap().faults, Vec::<String>::new());
    }
}

#[test]
fn thousands_of_replacements_and_deletions_leave_no_trace_in_any_answer() {
    block_on(async {
        let mut random = Random(9);
        let (index, namespace) = (in_memory(), namespace());
        let mut truth: BTreeMap<String, StoredRecord> = BTreeMap::new();
        for seq in 1..=9000u64 {
            let id = format!("r{}", random.below(700));
            let change = if random.below(4) == 0 {
                gone(seq, &id)
            } else {
                embedded(seq, random.record(&id, seq), random.vector())
            };
            match &change.record {
                Some(stored) => drop(truth.insert(id, stored.clone())),
                None => drop(truth.remove(&id)),
            }
            index.apply(&namespace, &[change], ChangeSeq(seq)).await.unwrap();
        }
        assert_same(&index, &built(&at_once(&truth)).await, &mut random).await;
        // Ordinals were numbered anew on the way: the rows of nine thousand changes do not pile up.
        let (held, fresh) =
            (index.check(&namespace).await.unwrap(), built(&at_once(&truth)).await.check(&namespace).await.unwrap());
        assert!(held.bytes < 2 * fresh.bytes, "{} bytes against {}", held.bytes, fresh.bytes);
    });
}

#[test]
fn vectors_too_close_for_single_precision_are_still_ordered_exactly() {
    block_on(async {
        let mut random = Random(8);
        let wide = EmbeddingModel::new("test", "wide", 700, Metric::Cosine).unwrap();
        let base: Vec<f32> = (0..700).map(|_| random.below(1000) as f32 / 500.0 - 1.0).collect();
        let mut near = || {
            let vector: Vec<f32> = base.iter().map(|x| x + random.below(1000) as f32 * 1e-6).collect();
            Embedding::new(&wide, vector).unwrap()
        };
        let query = near();
        let mut expected = Vec::new();
        let mut changes = Vec::new();
        for seq in 1..=3000u64 {
            let embedding = near();
            expected.push((query.cosine(&embedding).unwrap(), format!("{seq:04}")));
            let mut change = written(seq, record(&format!("{seq:04}"), "x"));
            change.record.as_mut().unwrap().embedding = Some(embedding);
            changes.push(change);
        }
        expected.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        expected.truncate(20);
        let hits = built(&changes).await.search_dense(&namespace(), &query, &Filter::all(), 20).await.unwrap();
        let found: Vec<(f32, String)> = hits.iter().map(|hit| (hit.score, hit.id.to_string())).collect();
        assert_eq!(found, expected);
    });
}

#[test]
fn the_same_record_again_changes_nothing() {
    block_on(async {
        let mut random = Random(4);
        let stored: MemoryRecord = random.record("r1", 1);
        let vector = random.vector();
        let twice = [embedded(1, stored.clone(), vector.clone()), embedded(2, stored.clone(), vector.clone())];
        assert_same(&built(&twice).await, &built(&[embedded(1, stored, vector)]).await, &mut random).await;
    });
}

#[test]
fn a_record_that_goes_and_returns_as_it_was_within_one_feeding_is_found() {
    block_on(async {
        for between in [gone(2, "r"), written(2, record("r", "pears"))] {
            let index = built(&[written(1, record("r", "apples"))]).await;
            index.apply(&namespace(), &[between, written(3, record("r", "apples"))], ChangeSeq(3)).await.unwrap();
            let found = index.search_text(&namespace(), "apples", &Filter::all(), 10).await.unwrap();
            assert_eq!(found.iter().map(|hit| hit.id.as_str()).collect::<Vec<_>>(), ["r"]);
            assert!(index.search_text(&namespace(), "pears", &Filter::all(), 10).await.unwrap().is_empty());
        }
    });
}
