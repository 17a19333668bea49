//! The demo: what a newcomer sees first. Not here: the story itself (`examples/legal-case`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod support;

use support::{Home, finished};

#[test]
fn the_demo_answers_every_question_and_leaves_a_memory_to_look_at() {
    let home = Home::new();
    let run = home.run(&["demo"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(run.err, "");
    assert!(!run.out.contains('✗'), "{}", run.out);
    assert!(run.out.contains("18 of 18 as expected"), "{}", run.out);
    let wide: Vec<&str> = run.out.lines().filter(|line| line.chars().count() > 80 && !line.contains('/')).collect();
    assert!(wide.is_empty(), "wider than a terminal: {wide:?}");
    let place = home.path("memory-demo");
    assert!(place.is_dir() && !home.memory().exists(), "the demo has a directory of its own");
    assert!(run.out.contains(place.to_str().unwrap()));
    let found = home.found(&["новый адрес Анны", "--dir", place.to_str().unwrap(), "-n", "client-petrova"]);
    assert!(found[0].contains("115 Juniper Lane"), "{found:?}");
}

#[test]
fn playing_the_demo_twice_changes_nothing_even_after_consolidation() {
    let home = Home::new();
    let place = home.memory();
    let dir = ["--dir", place.to_str().unwrap()];
    let demo = || home.data(&[&["demo"], &dir[..]].concat());
    let export = || home.ok(&[&["export", "--all-namespaces"], &dir[..]].concat());
    let first = demo();
    assert_eq!(first["played"][0]["new"], 146);
    let before = export();
    let again = demo();
    assert_eq!(again["played"][0]["new"], 0, "{}", again["played"]);
    assert_eq!(again["played"][1]["new"], 0, "{}", again["played"]);
    assert_eq!(before, export());
    assert_eq!(first["questions"].as_array().unwrap().len(), 18);
    assert!(again["questions"].as_array().unwrap().iter().all(|question| question["passed"] == true));
    assert!(again["walls"].as_array().unwrap().iter().all(|wall| wall["leaked"] == 0));
    assert!(again["context"]["tokens"].as_u64().unwrap() <= 400);

    home.ok(&[&["consolidate", "-n", "client-petrova"], &dir[..]].concat());
    let before = export();
    assert_eq!(demo()["played"][0]["new"], 0, "what was merged is not brought back");
    assert_eq!(before, export());
}

#[test]
fn the_demo_plays_in_process_memory_too() {
    let home = Home::new();
    let run = finished(home.command(&["demo", "--profile", "dev"]).env("MNEMIC_EMBEDDER", "static"));
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.out.contains("Nothing of this is kept"), "{}", run.out);
}
