//! `mnemic migrate` as it is typed: a memory goes to another directory while it is used, and comes back the same to the byte.
//! Then it moves for good, with every way back. Not here: other backends (the facade's tests).

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod support;

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use support::{Home, finished};

fn furnished() -> Home {
    let home = Home::new();
    for (id, text) in
        [("fee", "The fee is 405 dollars."), ("city", "Anna lives in Austin."), ("fee", "The fee is 2805 dollars.")]
    {
        home.ok(&["add", "--id", id, text]);
    }
    home.ok(&["log", "add", "talk", "message", "hello"]);
    home.ok(&["slots", "set", "talk", "persona=brief"]);
    home.ok(&["forget", "--id", "city", "--yes"]);
    home
}

#[test]
fn a_memory_moves_away_and_comes_back_the_same_to_the_byte() {
    let home = furnished();
    let plan = home.data(&["migrate", "plan", "--to", "away"]);
    assert_eq!((&plan["namespaces"][0]["records"], &plan["namespaces"][0]["done"]), (&1.into(), &0.into()), "{plan}");
    assert!(!home.path("away").join("namespaces").join("default").exists(), "a plan writes nothing");
    home.ok(&["migrate", "run", "--to", "away"]);
    let report = home.data(&["migrate", "verify", "--to", "away"]);
    assert_eq!(
        (&report["namespaces"][0]["same"], &report["namespaces"][0]["revisions"]),
        (&true.into(), &2.into()),
        "{report}"
    );
    home.ok(&["--dir", "away", "migrate", "run", "--to", "back"]);
    home.ok(&["export", "--output", "before.jsonl"]);
    home.ok(&["--dir", "back", "export", "--output", "after.jsonl"]);
    let read = |name: &str| std::fs::read(home.path(name)).unwrap();
    assert!(!read("before.jsonl").is_empty());
    assert_eq!(read("before.jsonl"), read("after.jsonl"));
}

#[test]
fn what_differs_is_named_and_ends_with_its_own_exit_code() {
    let home = furnished();
    home.ok(&["migrate", "run", "--to", "away"]);
    home.ok(&["add", "--id", "late", "Written after the run."]);
    let run = finished(&mut home.command(&["migrate", "verify", "--to", "away"]));
    assert_eq!(run.code, 7, "{run:?}");
    assert!(run.out.contains("record \"late\" is not in the target"), "{run:?}");
    home.ok(&["migrate", "run", "--to", "away"]);
    home.ok(&["migrate", "verify", "--to", "away"]);
}

#[test]
fn a_target_with_a_life_of_its_own_is_refused_and_kept() {
    let home = furnished();
    home.ok(&["--dir", "other", "add", "--id", "own", "Something else."]);
    let run = finished(&mut home.command(&["migrate", "run", "--to", "other"]));
    assert_eq!(run.code, 6, "{run:?}");
    assert!(home.ok(&["--dir", "other", "get", "own"]).contains("Something else."));
    let run = finished(&mut home.command(&["migrate", "run"]));
    assert_eq!(run.code, 2, "a target is needed: {run:?}");
    let run = finished(&mut home.command(&["migrate", "run", "--to-env", "nowhere.env"]));
    assert!(run.code == 4 && run.err.contains("nowhere.env"), "{run:?}");
}

const TO: [&str; 2] = ["--to", "away"];

/// One namespace of what `mnemic migrate STEP --to away` answers.
#[track_caller]
fn step(home: &Home, step: &str, more: &[&str]) -> Value {
    home.data(&[&["migrate", step], &TO[..], more].concat())["namespaces"][0].take()
}

#[test]
fn a_memory_moves_for_good_and_programs_with_the_old_settings_are_answered_by_the_new_place() {
    let home = furnished();
    assert_eq!(home.fails(3, &["migrate", "status", "--to", "away"]).lines().count(), 2, "it names what is missing");
    step(&home, "plan", &[]);
    step(&home, "run", &[]);
    assert_eq!(step(&home, "status", &[])["phase"], "copying");
    home.ok(&["migrate", "verify", "--to", "away", "--report", "report.md"]);
    let switched = step(&home, "cutover", &["--window", "2h"]);
    assert_eq!((&switched["serves"], &switched["changed"]), (&"target".into(), &true.into()), "{switched}");
    assert_eq!(switched["warnings"], serde_json::json!([]), "a directory is found by everybody");
    assert!(switched["paused_ms"].as_f64().unwrap() > 0.0, "{switched}");
    let again = step(&home, "cutover", &[]);
    assert_eq!((&again["serves"], &again["changed"]), (&"target".into(), &false.into()), "{again}");

    // The old settings: written to and read at the new place; the old one has it too.
    home.ok(&["add", "--id", "since", "Written after the switch."]);
    assert!(home.ok(&["--dir", "away", "get", "since"]).contains("Written after the switch."));
    let status = step(&home, "status", &[]);
    assert_eq!((&status["phase"], &status["behind"]), (&"moved".into(), &0.into()), "{status}");
    assert!(status["target_place"]["mirror_until"].is_string(), "{status}");

    let back = step(&home, "rollback", &[]);
    assert_eq!((&back["serves"], &back["changed"]), (&"source".into(), &true.into()), "{back}");
    assert_eq!(step(&home, "rollback", &[])["changed"], false, "safe to repeat");
    assert!(home.ok(&["migrate", "status", "--to", "away"]).contains("taken back; the source serves"));
    assert_eq!(home.ok(&["migrate", "status", "--to", "away", "-q"]), "not_begun\n");
    assert!(home.ok(&["get", "since"]).contains("Written after the switch."), "what was written since is kept");
    home.ok(&["--dir", "away", "add", "--id", "still", "Written by a program with the new settings."]);
    assert!(home.ok(&["get", "still"]).contains("new settings"));
    let report = home.ok(&["migrate", "report", "--to", "away"]);
    for told in ["both hold the same memory", "| cutover |", "| rollback |", "| place | dir:", "| records | 3 |"] {
        assert!(report.contains(told), "{told} is not in {report}");
    }

    // Asked first, since the copy goes.
    let asked = home.fails(2, &["migrate", "abort", "--to", "away"]);
    assert!(asked.contains("Remove the copy") && asked.contains("--yes") && !asked.contains("--dry-run"), "{asked}");
    let gone = step(&home, "abort", &["--yes"]);
    assert!(gone["removed"].as_u64().unwrap() > 5, "{gone}");
    let gone = step(&home, "abort", &["--yes"]);
    assert_eq!((&gone["changed"], &gone["removed"]), (&false.into(), &Value::Null), "safe to repeat: {gone}");
    assert_eq!(home.data(&["--dir", "away", "stats"])["records"], 0);
    home.ok(&["doctor"]);
}

#[test]
fn a_finished_move_leaves_a_pointer_and_nothing_else() {
    let home = furnished();
    step(&home, "run", &[]);
    home.fails(6, &["migrate", "finish", "--to", "away", "--yes"]);
    step(&home, "cutover", &["--window", "0s"]);
    home.fails(2, &["migrate", "finish", "--to", "away"]);
    home.fails(6, &["migrate", "abort", "--to", "away", "--yes"]);
    let finished = step(&home, "finish", &["--yes"]);
    assert!(finished["removed"].as_u64().unwrap() > 5, "{finished}");
    assert_eq!(step(&home, "finish", &[])["removed"], 0, "safe to repeat");
    assert!(home.ok(&["get", "fee"]).contains("2805"));
    assert_eq!(step(&home, "status", &[])["source_place"]["head"], 0);
    // From where it is now, and not from what is left at the place that the settings name.
    let run = home.data(&["migrate", "run", "--to", "further"]);
    assert!(run["namespaces"][0]["changes"].as_u64().unwrap() > 5, "{run}");
    home.ok(&["migrate", "verify", "--to", "further"]);
    home.ok(&["migrate", "cutover", "--to", "further"]);
    home.ok(&["add", "--id", "late", "Written at the third place."]);
    assert!(home.ok(&["--dir", "further", "get", "late"]).contains("third place"));
}

#[test]
fn a_new_place_that_is_lost_is_given_up_only_if_it_is() {
    let home = furnished();
    assert_eq!(home.data(&["migrate", "rollback", "--without-target"])["namespaces"][0]["changed"], false);
    step(&home, "run", &[]);
    step(&home, "cutover", &[]);
    home.ok(&["add", "--id", "mirrored", "Written at both places."]);
    let refused = home.fails(6, &["migrate", "rollback", "--without-target", "--yes"]);
    assert!(refused.contains("without_target: expected a new place that is lost"), "{refused}");
    std::fs::remove_dir_all(home.path("away")).unwrap();
    home.fails(5, &["get", "fee"]);
    home.fails(2, &["migrate", "rollback", "--without-target"]);
    home.ok(&["migrate", "rollback", "--without-target", "--yes"]);
    assert!(home.ok(&["get", "mirrored"]).contains("both places"));
    assert_eq!(home.data(&["migrate", "rollback", "--without-target"])["namespaces"][0]["changed"], false);
}

#[test]
fn a_report_tells_of_what_differed() {
    let home = furnished();
    step(&home, "run", &[]);
    home.ok(&["add", "--id", "late", "Written after the run."]);
    home.fails(7, &["migrate", "verify", "--to", "away", "--report", "report.md"]);
    let report = std::fs::read_to_string(home.path("report.md")).unwrap();
    assert!(report.contains("**they differ**") && report.contains("record \"late\" is not in the target"), "{report}");
    let data = home.data(&["migrate", "report", "--to", "away", "--output", "again.md"]);
    let found = &data["namespaces"][0];
    assert_eq!((&found["verification"]["same"], &found["phase"]), (&false.into(), &"copying".into()), "{data}");
    assert_eq!(found["target_place"]["records"], 1, "{data}");
    assert!(std::fs::read_to_string(home.path("again.md")).unwrap().starts_with("# Migration\n"));
    home.fails(3, &["migrate", "report", "--to", "away", "--output", "missing/report.md"]);
}

#[test]
fn namespaces_move_by_rule_and_never_two_into_one() {
    let home = furnished();
    home.ok(&["--namespace", "other", "add", "--id", "x", "In another namespace."]);
    let refused = home.fails(2, &["migrate", "run", "--to", "away", "--all-namespaces", "--map", "other=default"]);
    assert!(refused.contains("map:") && refused.contains("both going to default"), "{refused}");
    home.fails(2, &["migrate", "run", "--to", "away", "--map", "other"]);
    home.fails(2, &["migrate", "run", "--to", "away", "--map", "nowhere=x", "--all-namespaces"]);
    let rule = ["--all-namespaces", "--prefix", "old-", "--map", "other=new"];
    let run = home.data(&[&["migrate", "run", "--to", "away"], &rule[..]].concat());
    let names: Vec<(&str, &str)> = run["namespaces"]
        .as_array()
        .unwrap()
        .iter()
        .map(|moved| (moved["namespace"].as_str().unwrap(), moved["target"].as_str().unwrap()))
        .collect();
    assert_eq!(names, [("default", "old-default"), ("other", "new")]);
    home.ok(&[&["migrate", "verify", "--to", "away"], &rule[..]].concat());
    home.ok(&[&["migrate", "cutover", "--to", "away"], &rule[..]].concat());
    assert!(home.ok(&["--dir", "away", "--namespace", "new", "get", "x"]).contains("another namespace"));
    assert!(home.ok(&["--namespace", "other", "get", "x"]).contains("another namespace"), "under its old name too");
}

/// A run that follows, begun.
fn following(home: &Home) -> Child {
    let args = ["migrate", "run", "--to", "away", "--follow"];
    let mut child = home.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("following"), "{line}");
    child
}

#[test]
fn a_copy_is_kept_up_to_date_until_ctrl_c_and_says_where_it_stands() {
    let home = furnished();
    for signal in ["-INT", "-TERM"] {
        let child = following(&home);
        let written = format!("id{signal}");
        home.ok(&["add", "--id", &written, "Written while the source is followed."]);
        let since = Instant::now();
        while home.run(&["--dir", "away", "get", &written]).code != 0 {
            assert!(since.elapsed() < Duration::from_secs(20), "it did not arrive");
        }
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{signal}: {told}");
        assert!(told.contains("the target lacks 0 changes"), "{told}");
    }
    home.ok(&["migrate", "verify", "--to", "away"]);
}

#[test]
fn following_ends_with_the_time_that_was_given_or_when_the_target_serves() {
    let home = furnished();
    let run = home.data(&["migrate", "run", "--to", "away", "--follow", "--for", "1s"]);
    assert_eq!((&run["ended"], &run["namespaces"][0]["behind"]), (&"time".into(), &0.into()), "{run}");
    let child = following(&home);
    step(&home, "cutover", &[]);
    home.ok(&["add", "--id", "after", "Written after the switch."]);
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("moved; the target serves"), "{told}");
    home.fails(2, &["migrate", "run", "--to", "away", "--for", "1s"]);
    home.fails(2, &["migrate", "run", "--to", "away", "--limit-rate", "0"]);
}

#[test]
fn a_rate_is_kept() {
    let home = furnished();
    let changes = step(&home, "plan", &[])["changes"].as_u64().unwrap();
    let begun = Instant::now();
    home.ok(&["migrate", "run", "--to", "away", "--limit-rate", "4"]);
    assert!(begun.elapsed() >= Duration::from_secs(changes / 4), "{changes} changes in {:?}", begun.elapsed());
    home.ok(&["migrate", "verify", "--to", "away"]);
}

#[test]
fn a_plan_tells_time_room_cost_and_differences_and_leaves_nothing_behind() {
    let home = furnished();
    let plan = step(&home, "plan", &[]);
    assert!(plan["seconds"].as_f64().unwrap() > 0.0 && plan["measured"]["changes"].as_u64().unwrap() > 5, "{plan}");
    assert!(plan["room"]["free"].as_u64().unwrap() > plan["room"]["needed"].as_u64().unwrap(), "{plan}");
    assert_eq!((&plan["embedding"], &plan["differences"]), (&Value::Null, &serde_json::json!([])), "{plan}");
    let left = std::fs::read_dir(home.path(".")).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name != "memory" && name != ".local").collect();
    assert!(left.is_empty(), "{left:?}");
    let told = home.ok(&["migrate", "plan", "--to", "away"]);
    for name in ["from ", "to ", "size ", "time ", "disk ", "embedding ", "limit "] {
        assert!(told.contains(&format!("\n  {name}")), "{name} is not in {told}");
    }
    // Other embeddings: what stands in the way, and what it would cost.
    std::fs::write(home.path("other.env"), "MNEMIC_DIR=other\nMNEMIC_EMBEDDER=openai\nOPENAI_API_KEY=k\n").unwrap();
    let envelope = home.envelope(&["migrate", "plan", "--to-env", "other.env"]);
    let plan = &envelope["data"]["namespaces"][0];
    assert_eq!((&envelope["error"]["exit"], &plan["embedding"]["texts"]), (&4.into(), &1.into()), "{envelope}");
    assert!(plan["embedding"]["dollars"].as_f64().unwrap() > 0.0, "{plan}");
    assert!(plan["obstacles"][0].as_str().unwrap().contains("mnemic reembed"), "{plan}");
    home.fails(1, &["migrate", "run", "--to-env", "other.env"]);
}

#[test]
fn several_memories_become_one_by_rule() {
    let home = furnished();
    home.ok(&["--namespace", "other", "add", "--id", "fee", "The fee of another case is 70 dollars."]);
    home.ok(&["--namespace", "other", "slots", "set", "talk", "persona=formal"]);
    let rule = ["--into", "all", "--all-namespaces"];
    let refused = home.fails(6, &[&["migrate", "merge", "--to", "mixed"], &rule[..]].concat());
    assert!(refused.contains("thread_prefix:") && refused.contains("--thread-prefix '{namespace}/'"), "{refused}");
    let merge = [&["migrate", "merge", "--to", "one", "--thread-prefix", "{namespace}/"], &rule[..]].concat();
    let merged = home.data(&merge);
    assert_eq!(merged["namespaces"][1]["renamed"], serde_json::json!({"fee": "other/fee"}), "{merged}");
    let get = |id: &str| home.ok(&["--dir", "one", "--namespace", "all", "get", id]);
    assert!(get("other/fee").contains("70 dollars") && get("fee").contains("2805"));
    for thread in ["default/talk", "other/talk"] {
        home.ok(&["--dir", "one", "--namespace", "all", "slots", "get", thread, "persona"]);
    }
    let again = home.data(&merge);
    assert_eq!(again["namespaces"][1]["records"], serde_json::json!({"written": 0, "same": 1}), "{again}");
    home.ok(&["--dir", "one", "--namespace", "all", "audit", "verify"]);
}
