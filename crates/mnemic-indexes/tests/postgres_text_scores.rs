//! Proves that `PostgresTextIndex` answers as the local index does, score for score: on random records under random conditions, and on
//! real conversations where they are. Not here: the contract (`conformance_postgres_text`).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "tests fail by panicking")]

#[path = "support/mod.rs"]
mod local;
#[path = "support/postgres.rs"]
mod support;

use std::{fs, path::PathBuf, process::ExitCode, time::Instant};

use local::{LABELS, Random, USERS, exact, gone, namespace, record, written};
use mnemic_core::{
    ChangeSeq, Field, Filter, Operand,
    ports::{Index, IndexChange},
};
use mnemic_indexes::{LocalIndex, LocalIndexConfig, PostgresTextConfig, PostgresTextIndex};
use mnemic_postgres::{Pool, testing::TestServer};
use support::{main_of, main_without, tests};

/// One that scores everything at once, and one that always chooses by rare words first.
fn both(pool: &Pool) -> [PostgresTextIndex; 2] {
    [u64::MAX, 0].map(|postings_at_once| {
        let config = PostgresTextConfig { postings_at_once, ..PostgresTextConfig::default() };
        PostgresTextIndex::new(pool.clone(), config).unwrap()
    })
}

async fn random_records_score_as_in_the_local_index(server: TestServer) {
    let database = server.database().await;
    let pool = Pool::connect(database.config()).await.unwrap();
    let local = LocalIndex::new(LocalIndexConfig::default()).unwrap();
    let ours = both(&pool);
    let mut random = Random(31);
    let mut seq = 0;
    for round in 0..12u64 {
        let mut changes: Vec<IndexChange> = Vec::new();
        for _ in 0..60 {
            seq += 1;
            let id = format!("r{}", random.below(150));
            let is_gone = random.below(6) == 0;
            changes.push(if is_gone { gone(seq, &id) } else { written(seq, random.record(&id, round + 1)) });
        }
        for index in [&local as &dyn Index, &ours[round as usize % 2]] {
            index.apply(&namespace(), &changes, ChangeSeq(seq)).await.unwrap();
        }
    }
    let user = |random: &mut Random| Filter::equals(Field::UserId, random.pick(&USERS));
    let tag = |random: &mut Random| Filter::In(Field::Tags, vec![Operand::String(random.pick(&LABELS).to_owned())]);
    for _ in 0..150 {
        let query = random.text();
        let filter = match random.below(4) {
            0 => user(&mut random),
            1 => Filter::Not(Box::new(tag(&mut random))),
            2 => user(&mut random).and(tag(&mut random)),
            _ => Filter::all(),
        };
        let limit = [1, 3, 10, 200][random.below(4)];
        let expected = exact(&local.search_text(&namespace(), &query, &filter, limit).await.unwrap());
        for ours in &ours {
            let found = exact(&ours.search_text(&namespace(), &query, &filter, limit).await.unwrap());
            assert_eq!(found, expected, "{query:?} through {filter:?}, at most {limit}, {ours:?}");
        }
    }
    assert_eq!(ours[0].check(&namespace()).await.unwrap().faults, Vec::<String>::new());
}

/// Texts and questions of one set of conversations; nothing where there is none.
fn conversations() -> Option<(Vec<String>, Vec<String>)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join("..").join("..").join("shared");
    let data = std::env::var_os("MNEMIC_SHARED").map_or(root, PathBuf::from).join("data");
    let read = |name: &str, key: &str| -> Option<Vec<String>> {
        let text = fs::read_to_string(data.join(name)).ok()?;
        let of = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()[key].as_str().map(str::to_owned);
        Some(text.lines().filter_map(of).collect())
    };
    Some((read("longmemeval.corpus.jsonl", "text")?, read("longmemeval-dev.queries.jsonl", "question")?))
}

async fn real_conversations_are_found_as_in_the_local_index(server: TestServer) {
    let (texts, questions) = conversations().unwrap();
    let database = server.database().await;
    let pool = Pool::connect(database.config()).await.unwrap();
    let local = LocalIndex::new(LocalIndexConfig::default()).unwrap();
    let ours = PostgresTextIndex::new(pool, PostgresTextConfig::default()).unwrap();
    let start = Instant::now();
    let changes: Vec<IndexChange> =
        (1..).zip(&texts).take(10_000).map(|(seq, text)| written(seq, record(&format!("r{seq:05}"), text))).collect();
    for stretch in changes.chunks(500) {
        let through = stretch.last().unwrap().seq;
        for index in [&local as &dyn Index, &ours] {
            index.apply(&namespace(), stretch, through).await.unwrap();
        }
    }
    let fed = start.elapsed();
    database.execute("VACUUM ANALYZE").await;
    let (mut same, mut asked, mut times) = (0, 0, Vec::new());
    for question in questions.iter().take(100) {
        let expected = exact(&local.search_text(&namespace(), question, &Filter::all(), 10).await.unwrap());
        let start = Instant::now();
        let found = exact(&ours.search_text(&namespace(), question, &Filter::all(), 10).await.unwrap());
        times.push(start.elapsed().as_secs_f64() * 1000.0);
        same += found.iter().zip(&expected).filter(|(ours, theirs)| ours == theirs).count();
        asked += expected.len();
    }
    times.sort_by(f64::total_cmp);
    println!(
        "{} records fed in {:.1} s; {same} of {asked} hits of the top 10 are those of the local index; p50 {:.1} ms, p90 {:.1} ms",
        changes.len(),
        fed.as_secs_f64(),
        times[times.len() / 2],
        times[times.len() * 9 / 10]
    );
    assert!(asked > 500, "the questions find something");
    assert_eq!(same, asked);
}

fn main() -> ExitCode {
    let required = std::env::var("MNEMIC_REQUIRE_SHARED").is_ok_and(|set| set == "1");
    if conversations().is_some() || required {
        return main_of(
            "postgres-15",
            tests![random_records_score_as_in_the_local_index, real_conversations_are_found_as_in_the_local_index],
        );
    }
    let lacking =
        [("real_conversations_are_found_as_in_the_local_index", "no conversations in MNEMIC_SHARED or ../shared")];
    main_without("postgres-15", tests![random_records_score_as_in_the_local_index], &lacking)
}
