//! Runs the stories of `scenarios/` through the command line. Not here: the same through the library
//! (`crates/mnemic/tests/scenarios.rs`) and what the steps mean (`scenarios/README.md`).

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

#[test]
fn every_story_is_told_by_the_command_line_as_it_is_written() {
    let stories = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let mut told = 0;
    for entry in fs::read_dir(stories).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            let mut teller = Teller { home: Home::new(), last_consolidation: String::new() };
            for (number, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
                teller.take(&serde_json::from_str(line).unwrap(), &format!("{}, line {}", path.display(), number + 1));
            }
            told += 1;
        }
    }
    assert!(told >= 1);
}

struct Teller {
    home: Home,
    last_consolidation: String,
}

fn text<'a>(step: &'a Value, key: &str) -> &'a str {
    step[key].as_str().unwrap()
}

/// The values of one field of a list of objects.
fn each(list: &Value, key: &str) -> Value {
    list.as_array().unwrap().iter().map(|item| item[key].clone()).collect()
}

impl Teller {
    fn take(&mut self, step: &Value, here: &str) {
        let mut args: Vec<&str> = Vec::new();
        for (key, option) in [("user", "--user"), ("id", "--id"), ("event", "--id")] {
            if let Some(value) = step[key].as_str() {
                args.extend([option, value]);
            }
        }
        for tag in step["tags"].as_array().into_iter().flatten() {
            args.extend(["--tag", tag.as_str().unwrap()]);
        }
        match text(step, "do") {
            "write" => drop(self.home.ok(&[&["add", text(step, "text")], args.as_slice()].concat())),
            "log" => {
                if step["reflect"] == true {
                    args.push("--reflect");
                }
                let said = ["log", "add", text(step, "thread"), text(step, "action"), text(step, "text")];
                self.home.ok(&[&said, args.as_slice()].concat());
            }
            "find" => {
                let asked = ["search", text(step, "query"), "--mode", "lexical"];
                let hits = self.home.data(&[&asked, args.as_slice()].concat())["hits"].clone();
                assert_eq!(each(&each(&hits, "record"), "id"), step["ids"], "{here}");
            }
            "best" => {
                let hits = self.home.data(&["search", text(step, "query")])["hits"].clone();
                assert!(text(&hits[0]["record"], "text").contains(text(step, "text")), "{here}: {}", hits[0]);
            }
            "forget" => {
                let gone = self.home.data(&[&["forget", "--yes"], args.as_slice()].concat());
                assert_eq!(gone["records"], step["records"], "{here}");
            }
            _ => self.look(step, here),
        }
    }

    fn look(&mut self, step: &Value, here: &str) {
        match text(step, "do") {
            // A record without a history is an absent thing, and says so.
            "history" if step["texts"].as_array().is_some_and(Vec::is_empty) => {
                self.home.fails(3, &["history", text(step, "id")]);
            }
            "history" => {
                let revisions = self.home.data(&["history", text(step, "id")])["revisions"].clone();
                assert_eq!(each(&each(&revisions, "record"), "text"), step["texts"], "{here}");
            }
            "consolidate" => {
                let report = self.home.data(&["consolidate"]);
                assert_eq!(
                    report["merges"].as_array().unwrap().len() as u64,
                    step["merges"].as_u64().unwrap(),
                    "{here}"
                );
                assert_eq!(report["remaining"], step["remaining"], "{here}");
                report["id"].as_str().unwrap_or_default().clone_into(&mut self.last_consolidation);
            }
            "undo" => drop(self.home.ok(&["consolidate", "undo", &self.last_consolidation])),
            "records" => {
                let all = self.home.data(&["list", "--all"])["records"].clone();
                assert_eq!(each(&all, "id"), step["ids"], "{here}");
            }
            "audit" => assert_eq!(self.home.data(&["audit", "verify"])["erased"], step["erased"], "{here}"),
            "slots" => {
                let set = step["set"].as_object().unwrap();
                let pairs: Vec<String> =
                    set.iter().map(|(name, text)| format!("{name}={}", text.as_str().unwrap())).collect();
                let mut args = vec!["slots", "set", text(step, "thread")];
                args.extend(pairs.iter().map(String::as_str));
                self.home.ok(&args);
            }
            "slots_are" => {
                assert_eq!(self.home.data(&["slots", "get", text(step, "thread")])["slots"], step["slots"], "{here}");
            }
            "snapshot" => {
                let shown = self.home.data(&["thread", "show", text(step, "thread")]);
                let snapshot = text(&shown, "snapshot");
                assert_eq!(snapshot.lines().count() as u64, step["lines"].as_u64().unwrap(), "{here}");
                let holds = step["holds"].as_array().unwrap();
                assert!(holds.iter().all(|part| snapshot.contains(part.as_str().unwrap())), "{here}: {snapshot}");
            }
            unknown => panic!("{here}: nobody knows how to {unknown}"),
        }
    }
}
