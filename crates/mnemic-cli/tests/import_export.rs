//! Reading files into memory and writing memory to files, through the real program. Not here: measuring (`evaluation`), signals
//! in the middle of an import (`process`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod support;

use std::{fs, path::Path};

use serde_json::Value;
use support::Home;

const TALKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/talks.corpus.jsonl");
const QUESTIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/talks.queries.jsonl");

/// A home whose memory holds two talks and some state of its own.
fn filled() -> Home {
    let home = Home::new();
    home.ok(&["import", TALKS]);
    home.ok(&["-n", "garden-1", "slots", "set", "garden", "persona=Ines sings", "open_loops=new pane"]);
    home.ok(&["-n", "garden-1", "add", "Tom grows tomatoes", "--id", "tom", "--tag", "garden", "--salience", "0.7"]);
    home.ok(&["-n", "garden-1", "add", "Tom grows tomatoes and beans", "--id", "tom", "--tag", "garden"]);
    home
}

fn export(home: &Home, name: &str, more: &[&str]) -> String {
    home.ok(&[&["export", "--output", name], more].concat());
    fs::read_to_string(home.path(name)).unwrap()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The records of an export as their lines say them, without versions.
fn records(text: &str) -> Vec<Value> {
    let mut records: Vec<Value> =
        lines(text).iter_mut().filter_map(|line| line.get_mut("record").map(Value::take)).collect();
    for record in &mut records {
        record.as_object_mut().unwrap().remove("version");
    }
    records
}

fn import(home: &Home, content: &str, args: &[&str]) -> Value {
    fs::write(home.path("in"), content).unwrap();
    home.envelope(&[&["import", "in"], args].concat())
}

fn fault_lines(envelope: &Value) -> Vec<u64> {
    envelope["data"]["faults"].as_array().unwrap().iter().map(|fault| fault["line"].as_u64().unwrap()).collect()
}

#[test]
fn a_corpus_fills_one_namespace_for_each_conversation_and_each_is_searched_by_itself() {
    let home = Home::new();
    let data = home.data(&["import", TALKS, "--prefix", "talk-"]);
    assert_eq!(data["namespaces"]["talk-garden-1"]["new"], 12);
    assert_eq!(data["namespaces"]["talk-petrov-2"]["new"], 6);
    let english = home.found(&["-n", "talk-garden-1", "which day is the pottery course"]);
    assert!(english[0].contains("pottery course"), "{english:?}");
    let russian = home.found(&["-n", "talk-petrov-2", "куда купили билеты"]);
    assert_eq!(russian[0], "Олег: Привет! Я купил билеты на поезд в Казань на двадцатое марта.");
    let photo = home.data(&["-n", "talk-garden-1", "get", "D1:5"]);
    let photo = &photo["records"][0];
    assert!(photo["text"].as_str().unwrap().ends_with("[shared a photo: a row of blue clay bowls on a wooden shelf]"));
    assert_eq!((photo["user_id"].as_str(), photo["thread_id"].as_str()), (Some("Ines"), Some("session-1")));
    assert_eq!(photo["created_at"], "2024-03-03T09:05:00Z");
}

#[test]
fn importing_again_changes_nothing() {
    let home = filled();
    let before = export(&home, "before.jsonl", &["--all-namespaces"]);
    let data = home.data(&["import", TALKS]);
    assert_eq!((data["total"]["new"].as_u64(), data["total"]["unchanged"].as_u64()), (Some(0), Some(18)));
    assert_eq!(export(&home, "after.jsonl", &["--all-namespaces"]), before);
}

#[test]
fn what_was_forgotten_comes_back_when_its_file_is_imported_again() {
    let home = filled();
    home.ok(&["-n", "garden-1", "forget", "--user", "Tom", "--yes"]);
    let data = home.data(&["import", TALKS]);
    assert_eq!(data["total"]["new"], 6);
}

#[test]
fn a_changed_line_replaces_its_record_and_no_other() {
    let home = filled();
    let changed = fs::read_to_string(TALKS).unwrap().replace("from Leeds", "from York");
    let envelope = import(&home, &changed, &[]);
    assert_eq!(envelope["data"]["total"]["replaced"], 1);
    let record = home.data(&["-n", "garden-1", "get", "D1:4"]);
    assert_eq!(record["records"][0]["version"], 2);
}

#[test]
fn a_dry_run_tells_what_would_change_and_changes_nothing() {
    let home = Home::new();
    home.ok(&["init"]);
    let data = home.data(&["import", TALKS, "--dry-run"]);
    assert_eq!(data["total"]["new"], 18);
    assert_eq!(home.data(&["namespaces"])["namespaces"].as_array().map_or(0, Vec::len), 0);
}

#[test]
fn wrong_lines_are_told_by_number_and_field_and_the_others_are_kept() {
    let home = Home::new();
    let long = format!(r#"{{"role":"user","content":"{}"}}"#, "x".repeat(3 << 20));
    let content = [
        "\u{feff}{\"role\":\"user\",\"content\":\"first\"}\r",
        r#"{"role":"user","content":"#,
        "",
        &long,
        r#"{"content":"nobody says this"}"#,
        r#"{"role":"user","content":"at no time","timestamp":"soon"}"#,
        r#"{"role":"user","content":"last"}"#,
    ]
    .join("\n");
    let envelope = import(&home, &content, &["--thread", "t"]);
    assert_eq!(fault_lines(&envelope), [2, 4, 5, 6]);
    let faults = &envelope["data"]["faults"];
    assert!(faults[1]["message"].as_str().unwrap().contains("at most 2097152 bytes, found 31457"), "{}", faults[1]);
    assert_eq!((faults[2]["field"].as_str(), faults[3]["field"].as_str()), (Some("role"), Some("timestamp")));
    assert_eq!(envelope["error"]["code"], "lines_refused");
    assert_eq!(envelope["error"]["exit"], 1);
    assert_eq!(home.data(&["stats"])["records"], 2);
}

#[test]
fn strict_stops_at_the_first_wrong_line() {
    let home = Home::new();
    let content = "{\"role\":\"user\",\"content\":\"a\"}\n{\"role\":7}\n{\"role\":\"user\",\"content\":\"b\"}\n";
    fs::write(home.path("in"), content).unwrap();
    let said = home.fails(2, &["import", "in", "--strict"]);
    assert!(said.contains("line 2: role: expected a string, found 7"), "{said}");
}

#[test]
fn an_id_that_occurs_twice_with_something_else_is_told_and_the_first_stays() {
    let home = Home::new();
    let line =
        |id: &str, text: &str| format!("{{\"conv\":\"c\",\"id\":\"{id}\",\"speaker\":\"a\",\"text\":\"{text}\"}}\n");
    let content = [line("1", "one"), line("2", "two"), line("1", "other"), line("2", "two")].concat();
    for new in [2, 0] {
        let envelope = import(&home, &content, &[]);
        assert_eq!(fault_lines(&envelope), [3]);
        assert_eq!(envelope["data"]["total"]["new"], new);
        assert_eq!(envelope["data"]["total"]["replaced"], 0);
    }
}

#[test]
fn text_and_transcripts_are_read_from_standard_input_too() {
    let home = Home::new();
    let run = home.piped(
        "Anna moved to Riga.\nShe likes it.\n\nBorscht on Fridays.\n".as_bytes(),
        &["import", "-", "--user", "anna"],
    );
    assert_eq!(run.code, 0, "{run:?}");
    let chat = "{\"role\":\"user\",\"content\":\"ok\"}\n{\"role\":\"assistant\",\"content\":\"ok\"}\n{\"role\":\"user\",\"content\":\"ok\"}\n";
    let run = home.piped(chat.as_bytes(), &["import", "-", "--thread", "t-1"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(home.data(&["stats"])["records"], 5);
    assert_eq!(home.found(&["where did Anna move to", "--user", "anna"])[0], "Anna moved to Riga.\nShe likes it.");
}

#[test]
fn questions_directories_and_unknown_files_are_refused_with_advice() {
    let home = Home::new();
    let said = home.fails(2, &["import", QUESTIONS]);
    assert!(said.contains("mnemic eval --corpus"), "{said}");
    fs::create_dir(home.path("folder")).unwrap();
    assert!(home.fails(2, &["import", "folder"]).contains("expected a file, found the directory"));
    assert!(home.fails(3, &["import", "absent.jsonl"]).contains("absent.jsonl"));
    fs::write(home.path("list.json"), "[{\"role\":\"user\",\"content\":\"x\"}]").unwrap();
    assert!(home.fails(2, &["import", "list.json"]).contains("jq -c"));
    fs::write(home.path("empty"), "").unwrap();
    home.ok(&["import", "empty"]);
}

#[test]
fn the_audit_log_tells_of_an_import_without_naming_anything() {
    let home = Home::new();
    home.ok(&["import", TALKS]);
    let log = home.ok(&["-n", "garden-1", "thread", "show", "import"]);
    assert!(log.contains("import:file.imported") && log.contains("\"new\":12"), "{log}");
    assert!(!log.contains("talks") && !log.contains("Ines"), "{log}");
    home.ok(&["-n", "garden-1", "audit", "verify"]);
}

#[test]
fn two_exports_are_the_same_bytes_and_say_what_they_hold() {
    let home = filled();
    let first = export(&home, "1.jsonl", &["-n", "garden-1"]);
    assert_eq!(first, export(&home, "2.jsonl", &["-n", "garden-1"]));
    assert_eq!(first, home.ok(&["-n", "garden-1", "export"]));
    let lines = lines(&first);
    assert_eq!(lines[0], serde_json::json!({"mnemic": {"namespace": "garden-1", "wire": 1}}));
    let end = &lines.last().unwrap()["end"];
    assert_eq!((end["records"].as_u64(), end["slots"].as_u64()), (Some(13), Some(2)));
    assert_eq!(end["events"].as_u64().unwrap() + 17, lines.len() as u64);
    assert!(lines[1]["embedding"]["model"].as_str().unwrap().contains('/'));
    let bare = export(&home, "bare.jsonl", &["-n", "garden-1", "--no-embeddings"]);
    assert!(!bare.contains("embedding") && records(&bare) == records(&first));
}

#[test]
fn a_backup_that_was_restored_exports_the_same_bytes() {
    let home = filled();
    let before = export(&home, "before.jsonl", &["--all-namespaces"]);
    home.ok(&["backup", "copy"]);
    home.ok(&["restore", "copy", "--dir", "restored"]);
    assert_eq!(export(&home, "after.jsonl", &["--all-namespaces", "--dir", "restored"]), before);
}

#[test]
fn an_export_imported_elsewhere_is_the_same_memory_with_a_chain_of_its_own() {
    let home = filled();
    home.ok(&["-n", "petrov-2", "forget", "--user", "Марина", "--yes"]);
    let before = export(&home, "whole.jsonl", &["--all-namespaces"]);
    let data = home.data(&["import", "whole.jsonl", "--dir", "other"]);
    assert_eq!(data["total"]["new"], 16);
    assert_eq!(data["namespaces"]["garden-1"]["slots"], 1);
    let after = export(&home, "again.jsonl", &["--all-namespaces", "--dir", "other"]);
    assert_eq!(records(&after), records(&before));
    let slots = |text: &str| -> Vec<(Value, Value)> {
        lines(text)
            .into_iter()
            .filter_map(|line| line.get("slot").map(|slot| (slot["name"].clone(), slot["text"].clone())))
            .collect()
    };
    assert_eq!(slots(&after), slots(&before));
    let events = |text: &str| -> Vec<Value> {
        let own = |line: &Value| line["event"]["event"]["source"].as_str().is_some_and(|source| source == "import");
        lines(text).into_iter().filter(own).map(|line| line["event"]["event"].clone()).collect()
    };
    assert_eq!(events(&after)[..1], events(&before)[..1]);
    let repeated = home.data(&["import", "whole.jsonl", "--dir", "other"]);
    assert_eq!(
        repeated["total"],
        serde_json::json!({"new": 0, "replaced": 0, "unchanged": 16, "passed": repeated["total"]["passed"]})
    );
    export(&home, "one.jsonl", &["-n", "garden-1"]);
    let one = home.data(&["import", "one.jsonl", "--dir", "third", "-n", "all", "--namespace-per-conversation=false"]);
    assert_eq!(one["namespaces"].as_object().unwrap().keys().collect::<Vec<_>>(), ["all"]);
}

#[test]
fn what_has_expired_is_exported_and_imported_once_like_everything_else() {
    let home = Home::new();
    home.ok(&[
        "add",
        "An old offer.",
        "--id",
        "old",
        "--valid-from",
        "2019-01-01T00:00:00Z",
        "--expires-at",
        "2020-01-01T00:00:00Z",
    ]);
    let before = export(&home, "old.jsonl", &[]);
    assert_eq!(records(&before).len(), 1);
    for (new, unchanged) in [(1, 0), (0, 1)] {
        let total = home.data(&["import", "old.jsonl", "--dir", "other"])["total"].take();
        assert_eq!((total["new"].as_u64(), total["unchanged"].as_u64()), (Some(new), Some(unchanged)));
    }
    assert_eq!(records(&export(&home, "again.jsonl", &["--dir", "other"])), records(&before));
}

#[test]
fn a_changed_or_cut_export_is_found_out() {
    let home = filled();
    let whole = export(&home, "whole.jsonl", &["-n", "garden-1"]);
    let kept: Vec<&str> = whole.lines().collect();
    let without_end = kept[..kept.len() - 1].join("\n");
    let without_a_record = [&kept[..3], &kept[4..]].concat().join("\n");
    let event = kept.iter().position(|line| line.starts_with("{\"event\"")).unwrap();
    let other_event: String = kept
        .iter()
        .enumerate()
        .map(|(i, line)| match i {
            i if i == event => format!("{}\n", line.replacen("\"count\":", "\"count\":9", 1)),
            _ => format!("{line}\n"),
        })
        .collect();
    for (content, part) in [
        (without_end, "the export was cut off"),
        (without_a_record, "expected the counts of the lines before"),
        (whole.replacen("tomatoes", "potatoes", 1), "expected the digest of the lines before"),
        (other_event, "audit chain is broken at sequence 1"),
    ] {
        let other = Home::new();
        let envelope = import(&other, &content, &[]);
        assert_eq!(envelope["status"], "error", "{part}");
        assert!(envelope["data"]["faults"].to_string().contains(part), "{part}: {envelope}");
    }
    let newer = whole.replacen("\"wire\":1", "\"wire\":2", 1);
    let envelope = import(&Home::new(), &newer, &[]);
    assert!(envelope["data"]["faults"].to_string().contains("wire: expected 1, found 2"), "{envelope}");
}

#[test]
fn an_export_that_was_cut_off_is_resumed_to_the_same_bytes() {
    let home = filled();
    let whole = export(&home, "whole.jsonl", &["--all-namespaces"]);
    let write = |cut: usize| fs::write(home.path("cut.jsonl"), &whole.as_bytes()[..cut]).unwrap();
    let middle = whole.find("tomatoes").unwrap();
    let line_end = whole.find('\n').unwrap() + 1;
    for cut in [0, 5, line_end, middle, whole.len() - 3, whole.len()] {
        write(cut);
        home.ok(&["export", "--all-namespaces", "--output", "cut.jsonl", "--resume"]);
        assert_eq!(fs::read_to_string(home.path("cut.jsonl")).unwrap(), whole, "cut at {cut}");
    }
    home.ok(&["export", "--all-namespaces", "--output", "new.jsonl", "--resume"]);
    assert_eq!(fs::read_to_string(home.path("new.jsonl")).unwrap(), whole);
}

#[test]
fn a_file_that_holds_something_else_is_neither_resumed_nor_overwritten() {
    let home = filled();
    export(&home, "old.jsonl", &["-n", "garden-1"]);
    let before = fs::read(home.path("old.jsonl")).unwrap();
    home.ok(&["-n", "garden-1", "add", "one more"]);
    let said = home.fails(7, &["-n", "garden-1", "export", "--output", "old.jsonl", "--resume"]);
    assert!(said.contains("memory has changed since"), "{said}");
    assert!(home.fails(2, &["-n", "garden-1", "export", "--output", "old.jsonl"]).contains("--force"));
    assert_eq!(fs::read(home.path("old.jsonl")).unwrap(), before);
    home.ok(&["-n", "garden-1", "export", "--output", "old.jsonl", "--force"]);
    assert_ne!(fs::read(home.path("old.jsonl")).unwrap(), before);
    home.fails(2, &["export", "--resume"]);
    home.fails(3, &["export", "--output", "x.jsonl", "--dir", "nowhere"]);
    assert!(!Path::new(&home.path("x.jsonl")).exists());
}

#[test]
fn a_corpus_is_measured_by_words_by_embedding_and_by_both() {
    let home = Home::new();
    let data = home.data(&["eval", "--corpus", TALKS, "--queries", QUESTIONS]);
    let set = &data["sets"]["talks"];
    assert_eq!(
        (set["records"].as_u64(), set["questions"].as_u64(), set["left_out"].as_u64()),
        (Some(18), Some(9), Some(2))
    );
    for mode in ["lexical", "dense", "hybrid"] {
        let all = &set["modes"][mode]["records"]["all"];
        assert_eq!(all["questions"], 9);
        assert_eq!(all["recall_50"].as_f64().map(|recall| recall > 0.6), Some(true), "{mode}: {all}");
    }
    assert!(!home.memory().exists(), "measuring leaves the memory alone");
    let table =
        home.ok(&["eval", "--corpus", TALKS, "--queries", QUESTIONS, "--mode", "hybrid", "--weights", "0.5,0.5"]);
    assert!(table.contains("single-hop") && table.contains("NDCG@10") && table.contains("median ms"), "{table}");
    home.fails(2, &["eval", "--corpus", TALKS, "--queries", TALKS]);
    home.fails(2, &["eval", "--corpus", TALKS]);
    home.fails(2, &["eval", "--corpus", TALKS, "--queries", QUESTIONS, "--weights", "0,1"]);
}

#[test]
fn a_namespace_that_the_command_names_is_the_one_that_is_filled_or_the_file_is_refused() {
    let home = filled();
    let text = export(&home, "out.jsonl", &["-n", "garden-1"]);
    let refused = home.fails(2, &["-n", "other", "import", "out.jsonl"]);
    assert!(refused.contains("the command says other and the file garden-1"), "{refused}");
    assert!(home.data(&["namespaces"])["namespaces"].as_array().unwrap().iter().all(|name| name != "other"));
    let data = home.data(&["-n", "other", "import", "out.jsonl", "--namespace-per-conversation=false"]);
    assert_eq!(data["namespaces"]["other"]["new"], records(&text).len());
    assert_eq!(home.data(&["-n", "garden-1", "import", "out.jsonl"])["namespaces"]["garden-1"]["new"], 0);
}
