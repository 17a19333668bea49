//! `mnemic migrate` as it is typed: a memory goes to another directory while it is used, and comes back the same to the byte.
//! Not here: other backends (the facade's tests).

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod support;

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
