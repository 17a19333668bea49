//! The whole story on real conversations: import, search, measure, export, forget, verify, back up, restore. They are no part of
//! the repository (their licenses forbid it), so the cases are ignored with the reason where they are absent, and fail there
//! if `MNEMIC_REQUIRE_SHARED=1`. Not here: the same on the repository's own small talks (`import_export`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod support;

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;
use support::Home;

/// A case on the data in a directory.
type Case = fn(&Path);

const CASES: [(&str, Case); 4] = [
    ("conversations_are_imported_searched_forgotten_and_restored_to_the_same_bytes", a_whole_life),
    ("ten_thousand_turns_are_imported_once_and_found", pooled_sessions),
    ("questions_about_conversations_are_answered_as_well_as_measured", measured_conversations),
    ("russian_and_english_paragraphs_are_found", measured_paragraphs),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let required = env::var_os("MNEMIC_REQUIRE_SHARED").is_some_and(|value| value == "1");
    let trials = CASES.map(|(name, case)| trial(name, case, required)).into();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(name: &str, case: Case, required: bool) -> Trial {
    let data = data();
    match (data.is_dir(), required) {
        (true, _) => Trial::test(name, move || {
            case(&data);
            Ok(())
        }),
        (false, true) => Trial::test(name, move || Err(Failed::from(format!("{} is absent", data.display())))),
        (false, false) => {
            let reason = format!("{name} (ignored: no conversations in {}; set MNEMIC_SHARED)", data.display());
            Trial::test(reason, || Ok(())).with_ignored_flag(true)
        }
    }
}

/// Where evaluation data lies.
fn data() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    env::var_os("MNEMIC_SHARED").map_or_else(beside, PathBuf::from).join("data")
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The conversations of a corpus, each with how many turns it has.
fn conversations(corpus: &Path) -> BTreeMap<String, u64> {
    let mut turns = BTreeMap::new();
    for line in fs::read_to_string(corpus).unwrap().lines() {
        let turn: Value = serde_json::from_str(line).unwrap();
        *turns.entry(turn["conv"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    turns
}

fn a_whole_life(data: &Path) {
    let home = Home::new();
    let corpus = data.join("locomo-dev.corpus.jsonl");
    let imported = home.data(&["import", text(&corpus), "--prefix", "locomo-"]);
    let conversations = conversations(&corpus);
    for (name, turns) in &conversations {
        let namespace = format!("locomo-{name}");
        assert_eq!(imported["namespaces"][&namespace]["new"], *turns, "{namespace}");
        assert!(!home.found(&["-n", &namespace, "what did we talk about yesterday"]).is_empty(), "{namespace}");
        home.ok(&["-n", &namespace, "audit", "verify"]);
    }
    let whole = home.ok(&["export", "--all-namespaces"]);
    assert_eq!(home.data(&["import", text(&corpus), "--prefix", "locomo-"])["total"]["new"], 0);
    assert!(whole == home.ok(&["export", "--all-namespaces"]), "importing again changed the export");

    let first = format!("locomo-{}", conversations.keys().next().unwrap());
    let speaker =
        home.data(&["-n", &first, "list", "--limit", "1"])["records"][0]["user_id"].as_str().unwrap().to_owned();
    home.data(&["-n", &first, "consolidate", "--dry-run"]);
    home.ok(&["-n", &first, "forget", "--user", &speaker, "--yes"]);
    let left = home.data(&["-n", &first, "list", "--user", &speaker]);
    assert_eq!(left["records"].as_array().unwrap().len(), 0, "{speaker} was forgotten");
    home.ok(&["-n", &first, "audit", "verify"]);

    let before = home.ok(&["export", "--all-namespaces"]);
    home.ok(&["backup", "copy"]);
    home.ok(&["restore", "copy", "--dir", "restored"]);
    assert!(home.ok(&["export", "--all-namespaces", "--dir", "restored"]) == before, "the restored memory differs");
    home.ok(&["doctor", "--dir", "restored"]);
}

fn pooled_sessions(data: &Path) {
    let home = Home::new();
    let corpus = data.join("longmemeval.corpus.jsonl");
    let turns = conversations(&corpus).values().sum::<u64>();
    let imported = home.data(&["import", text(&corpus)]);
    assert_eq!((imported["total"]["new"].as_u64(), imported["refused"].as_u64()), (Some(turns), Some(0)));
    assert_eq!(home.data(&["-n", "all", "stats"])["records"], turns);
    let found = home.found(&["-n", "all", "first issue with the new car after its first service"]);
    assert!(found.iter().any(|text| text.contains("GPS")), "{found:?}");
    home.ok(&["-n", "all", "audit", "verify"]);
}

/// The share of the evidence among the first ten, in percent, with hybrid retrieval, over every eighth question: enough for what
/// is asserted, and quick without optimization too. `mnemic eval` asks all of them.
fn hybrid_recall(data: &Path, set: &str) -> f64 {
    let home = Home::new();
    let file = |part: &str| data.join(format!("{set}.{part}.jsonl"));
    let (corpus, queries) = (file("corpus"), home.path(&format!("{set}.queries.jsonl")));
    let all = fs::read_to_string(file("queries")).unwrap();
    fs::write(&queries, all.lines().step_by(8).flat_map(|line| [line, "\n"]).collect::<String>()).unwrap();
    let measured = home.data(&["eval", "--corpus", text(&corpus), "--queries", text(&queries), "--mode", "hybrid"]);
    let all = &measured["sets"][set]["modes"]["hybrid"]["records"]["all"];
    assert!(all["questions"].as_u64().unwrap() > 80, "{all}");
    100.0 * all["recall_10"].as_f64().unwrap()
}

/// Some points below what is measured, so that only a loss that somebody would notice fails.
fn measured_conversations(data: &Path) {
    let recall = hybrid_recall(data, "locomo-dev");
    assert!(recall > 60.0, "recall@10 on conversations: {recall:.1}");
}

fn measured_paragraphs(data: &Path) {
    for set in ["xquad.en", "xquad.ru"] {
        let recall = hybrid_recall(data, set);
        assert!(recall > 97.0, "recall@10 on {set}: {recall:.1}");
    }
}
