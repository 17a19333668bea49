//! Every command's --json answer is one envelope, and every failure's too. Not here: what the data means (`story`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod support;

use std::collections::BTreeSet;

use serde_json::Value;
use support::{Home, finished};

/// Every command, as it can be run after [`furnished`].
const COMMANDS: [&[&str]; 46] = [
    &["init"],
    &["add", "a statement"],
    &["search", "statement"],
    &["get", "r"],
    &["list"],
    &["history", "r"],
    &["log"],
    &["log", "add", "t", "message", "hello"],
    &["thread", "show", "t"],
    &["thread", "list"],
    &["slots", "get", "t"],
    &["slots", "set", "t", "a=b"],
    &["slots", "history", "t"],
    &["context", "t"],
    &["consolidate"],
    &["forget", "--id", "r2", "--yes"],
    &["import", "chat.jsonl"],
    &["export", "--output", "out.jsonl"],
    &["stats"],
    &["health"],
    &["doctor"],
    &["audit", "verify"],
    &["audit", "checkpoint"],
    &["backup", "copy"],
    &["reembed", "plan", "--to-env", "new.env"],
    &["reembed", "run", "--to-env", "new.env"],
    &["reembed", "compare", "--to-env", "new.env"],
    &["reembed", "switch", "--to-env", "new.env"],
    &["reembed", "undo", "--to-env", "new.env"],
    &["reembed", "finish", "--to-env", "new.env", "--yes"],
    &["migrate", "merge", "--to", "merged", "--into", "all"],
    &["migrate", "plan", "--to", "moved"],
    &["migrate", "run", "--to", "moved"],
    &["migrate", "verify", "--to", "moved"],
    &["migrate", "status", "--to", "moved"],
    &["migrate", "cutover", "--to", "moved"],
    &["migrate", "report", "--to", "moved"],
    &["migrate", "rollback", "--to", "moved"],
    &["migrate", "abort", "--to", "moved", "--yes"],
    &["migrate", "run", "--to", "moved"],
    &["migrate", "cutover", "--to", "moved"],
    &["migrate", "finish", "--to", "moved", "--yes"],
    &["namespaces"],
    &["config", "show"],
    &["dev", "stand-in", "--list"],
    &["completions", "fish"],
];

/// Commands that are about the program and know of no memory.
const WITHOUT_MEMORY: [&str; 2] = ["completions", "dev"];

/// Commands with tests of their own: they need a prepared argument, or take long.
const ELSEWHERE: [&str; 7] = ["demo", "restore", "consolidate undo", "eval", "bench", "help", "config"];

fn furnished() -> Home {
    let home = Home::new();
    home.ok(&["add", "--id", "r", "one"]);
    home.ok(&["add", "--id", "r2", "two"]);
    home.ok(&["log", "add", "t", "message", "hi"]);
    home.ok(&["slots", "set", "t", "a=b"]);
    std::fs::write(home.path("new.env"), "MNEMIC_DIR=memory\nMNEMIC_EMBEDDER=static\n").unwrap();
    std::fs::write(home.path("chat.jsonl"), "{\"role\":\"user\",\"content\":\"hello\"}\n").unwrap();
    home
}

fn name(args: &[&str]) -> String {
    let two = ["thread", "slots", "audit", "config", "dev", "migrate", "reembed"].contains(&args[0])
        || args.starts_with(&["log", "add"]);
    args[..if two { 2 } else { 1 }].join(" ")
}

#[test]
fn every_command_answers_with_one_envelope_and_says_nothing_else() {
    let home = furnished();
    for args in COMMANDS {
        let run = finished(home.command(args).arg("--json"));
        assert_eq!(run.code, 0, "{args:?}: {run:?}");
        assert_eq!(run.err, "", "{args:?}");
        let envelope: Value = serde_json::from_str(run.out.trim_end()).unwrap();
        assert_eq!(envelope["status"], "ok", "{args:?}");
        assert_eq!(envelope["command"], name(args), "{args:?}");
        assert!(envelope["duration_ms"].is_u64(), "{args:?}");
        assert!(envelope["data"].is_object(), "{args:?}");
        if !WITHOUT_MEMORY.contains(&args[0]) {
            assert_eq!(envelope["namespace"], "default", "{args:?}");
        }
    }
}

#[test]
fn no_command_of_the_tree_is_left_out_of_these_tests() {
    let home = Home::new();
    let mut leaves = BTreeSet::new();
    leaves_of(&home.data(&["help"]), "", &mut leaves);
    assert!(leaves.contains("slots set") && leaves.len() > 25, "{leaves:?}");
    let tested: BTreeSet<String> = COMMANDS.iter().map(|args| name(args)).chain(ELSEWHERE.map(str::to_owned)).collect();
    let forgotten: Vec<_> = leaves.difference(&tested).collect();
    assert!(forgotten.is_empty(), "{forgotten:?}");
}

fn leaves_of(command: &Value, path: &str, leaves: &mut BTreeSet<String>) {
    let Some(children) = command["commands"].as_array() else {
        leaves.insert(path.to_owned());
        return;
    };
    for child in children {
        let name = child["name"].as_str().unwrap();
        leaves_of(child, format!("{path} {name}").trim(), leaves);
    }
    if ["log", "consolidate"].contains(&path) {
        leaves.insert(path.to_owned());
    }
}

#[test]
fn a_failure_is_an_envelope_with_code_message_field_and_hint() {
    let home = furnished();
    let failure = home.envelope(&["list", "--limit", "0"]);
    assert_eq!(failure["status"], "error");
    assert_eq!(failure["error"]["code"], "invalid_input");
    assert_eq!(failure["error"]["field"], "limit");
    assert_eq!(failure["error"]["message"], "limit: expected 1 to 1000, found 0");
    assert_eq!(failure["error"]["exit"], 2);
    let missing = home.envelope(&["get", "r", "nope"]);
    assert_eq!(missing["error"]["code"], "not_found");
    assert_eq!(missing["data"]["records"][0]["id"], "r", "what was found is shown all the same");
    let elsewhere = home.envelope(&["list", "--dir", "/nonexistent/memory"]);
    assert!(elsewhere["error"]["hint"].as_str().unwrap().contains("mnemic init"), "{elsewhere}");
    let unknown = home.envelope(&["search", "x", "--lmit", "3"]);
    assert_eq!(unknown["error"]["code"], "usage");
    assert!(unknown["error"]["message"].as_str().unwrap().contains("--lmit"), "{unknown}");
}

#[test]
fn a_quiet_answer_is_bare_values_for_scripts() {
    let home = furnished();
    assert_eq!(home.ok(&["add", "--id", "new", "x", "-q"]), "new\n");
    assert_eq!(home.ok(&["get", "r", "-q"]), "one\n");
    assert_eq!(home.ok(&["stats", "-q"]).trim(), "3");
    assert_eq!(home.ok(&["slots", "get", "t", "a", "-q"]), "b\n");
    assert_eq!(home.run(&["list", "-q", "--json"]).code, 2, "two ways of answering at once");
}

#[test]
fn completions_exist_for_every_shell_and_help_for_every_command() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = home.ok(&["completions", shell]);
        assert!(script.contains("mnemic") && script.contains("consolidate"), "{shell}");
    }
    assert!(home.ok(&["help", "slots", "set"]).contains("--expect-version"));
    assert!(home.ok(&["--help"]).contains("Exit codes:"));
    assert!(home.ok(&["--version"]).starts_with("mnemic "));
    let said = home.fails(2, &["help", "nope"]);
    assert!(said.contains("command: expected a command, found \"nope\""), "{said}");
}
