//! A memory's life through the command line, verb by verb. Not here: wrong input (`bad_input`), damaged files (`damage`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod support;

use support::Home;

#[test]
fn a_statement_is_remembered_found_corrected_and_seen_as_it_was() {
    let home = Home::new();
    assert!(home.ok(&["init"]).contains("made a memory at"));
    home.ok(&["add", "--id", "fee", "--user", "anna", "--tag", "fee", "The filing fee is $625."]);
    let before = home.data(&["get", "fee"])["records"][0]["updated_at"].as_str().unwrap().to_owned();
    home.ok(&["add", "--id", "fee", "--user", "anna", "--tag", "fee", "The filing fee is $675."]);

    assert_eq!(home.found(&["what is the filing fee"]), ["The filing fee is $675."]);
    assert_eq!(home.found(&["filing fee", "--as-of", &before]), ["The filing fee is $625."]);
    assert_eq!(home.data(&["get", "fee", "--as-of", &before])["records"][0]["version"], 1);
    let history = home.ok(&["history", "fee"]);
    let (newer, older) = (history.find("$675").unwrap(), history.find("$625").unwrap());
    assert!(newer < older && history.contains("version 2"), "{history}");
}

#[test]
fn an_explained_search_says_which_legs_ran_and_why_a_hit_is_where_it_is() {
    let home = Home::new();
    home.ok(&["add", "The green card interview is in Baltimore."]);
    home.ok(&["add", "Lunch was good."]);
    let text = home.ok(&["search", "interview in Baltimore", "--explain"]);
    for part in ["because: dense #1 (cosine", "lexical #1 (BM25", "fused", "dense    2 candidates"] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    let lexical = home.data(&["search", "interview", "--mode", "lexical"]);
    assert_eq!(lexical["legs"][0]["outcome"], "skipped");
    assert_eq!(lexical["hits"].as_array().unwrap().len(), 1);
}

#[test]
fn filters_options_and_json_mean_the_same() {
    let home = Home::new();
    home.ok(&[
        "add",
        "--user",
        "anna",
        "--tag",
        "a",
        "--tag",
        "b",
        "--metadata",
        r#"{"form":"I-485"}"#,
        "deadline one",
    ]);
    home.ok(&["add", "--user", "anna", "--tag", "a", "--kind", "persona", "deadline two"]);
    home.ok(&["add", "--user", "boris", "--tag", "b", "deadline three"]);
    let found = |args: &[&str]| {
        let mut texts = home.found(&[&["deadline"], args].concat());
        texts.sort();
        texts
    };
    assert_eq!(found(&["--user", "anna"]), ["deadline one", "deadline two"]);
    assert_eq!(found(&["--tag", "a", "--tag", "b"]), ["deadline one"]);
    assert_eq!(found(&["--filter", r#"{"tags":["a","b"]}"#]), ["deadline one"]);
    assert_eq!(found(&["--kind", "persona", "--kind", "episodic"]), ["deadline two"]);
    assert_eq!(found(&["--filter", r#"{"metadata.form":{"ne":"I-485"}}"#]), [] as [&str; 0]);
    assert_eq!(home.data(&["list", "--user", "boris"])["records"][0]["text"], "deadline three");
}

#[test]
fn a_list_is_walked_page_by_page_without_loss_or_repetition() {
    let home = Home::new();
    for i in 0..7 {
        home.ok(&["add", "--id", &format!("r{i}"), &format!("statement {i}")]);
    }
    let mut walked = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let mut args = vec!["list", "--limit", "3"];
        if let Some(cursor) = &after {
            args.extend(["--after", cursor]);
        }
        let page = home.data(&args);
        walked.extend(page["records"].as_array().unwrap().iter().map(|r| r["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(walked, ["r0", "r1", "r2", "r3", "r4", "r5", "r6"]);
    assert_eq!(home.ok(&["list", "--all", "--newest", "-q"]).lines().next(), Some("r6"));
}

#[test]
fn standard_input_is_a_text_like_any_other() {
    let home = Home::new();
    let run = home.piped("Приём перенесён на 21 мая\n".as_bytes(), &["add", "--id", "a"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(home.piped(b"line one\nline two\n", &["add", "--id", "b", "-"]).code, 0);
    assert_eq!(home.data(&["get", "a", "b"])["records"][1]["text"], "line one\nline two");
    assert!(home.piped("когда прием".as_bytes(), &["search"]).out.contains("21 мая"));
}

#[test]
fn a_repeated_call_with_one_key_changes_nothing_and_another_call_with_it_conflicts() {
    let home = Home::new();
    let first = home.data(&["add", "--idempotency-key", "k1", "once"]);
    let again = home.data(&["add", "--idempotency-key", "k1", "once"]);
    assert_eq!(first["records"], again["records"]);
    assert_eq!(again["replayed"], true);
    let said = home.fails(6, &["add", "--idempotency-key", "k1", "another thing"]);
    assert!(said.contains("idempotency_key: expected"), "{said}");
    home.ok(&["add", "--dedupe", "the same words"]);
    home.ok(&["add", "--dedupe", "the  same WORDS"]);
    assert_eq!(home.envelope(&["list"])["count"], 2);
}

#[test]
fn a_write_that_expects_another_version_is_a_conflict_and_changes_nothing() {
    let home = Home::new();
    home.ok(&["add", "--id", "x", "--expect-version", "0", "first"]);
    let said = home.fails(6, &["add", "--id", "x", "--expect-version", "0", "second"]);
    assert!(said.contains("expected version 0, found version 1"), "{said}");
    assert_eq!(home.found(&["first"]), ["first"]);
}

#[test]
fn slots_are_set_compared_and_kept_in_history() {
    let home = Home::new();
    home.ok(&["slots", "set", "t1", "persona=terse", "open_loops=call = Monday", "--expect-version", "0"]);
    let said = home.fails(6, &["slots", "set", "t1", "persona=chatty", "--expect-version", "0"]);
    assert!(said.contains("expected version 0, found version 1"), "{said}");
    assert_eq!(home.ok(&["slots", "get", "t1", "open_loops"]), "call = Monday\n");
    home.ok(&["slots", "set", "t1", "--remove", "open_loops", "--expect-version", "1"]);
    home.fails(3, &["slots", "get", "t1", "open_loops"]);
    assert_eq!(home.piped(b"from a pipe\n", &["slots", "set", "t1", "recent_summary=-", "--replace"]).code, 0);
    assert_eq!(home.data(&["slots", "get", "t1"])["slots"], serde_json::json!({"recent_summary": "from a pipe"}));
    let history = home.data(&["slots", "history", "t1"]);
    assert_eq!(history["versions"][2]["slots"]["persona"], "terse");
    home.fails(3, &["slots", "history", "nobody"]);
}

#[test]
fn events_are_logged_reflected_and_shown_as_a_thread() {
    let home = Home::new();
    let at = "2026-03-01T09:00:00Z";
    let logged = ["log", "add", "t1", "case_opened", "--source", "system", "--payload", r#"{"matter":7}"#];
    home.ok(&[&logged[..], &["--timestamp", at, "--id", "e1"]].concat());
    home.ok(&[&logged[..], &["--timestamp", at, "--id", "e1"]].concat());
    home.fails(6, &["log", "add", "t1", "case_closed", "--id", "e1"]);
    let reflected = ["log", "add", "t1", "message", "I fly to Oslo on Friday", "--user", "anna", "--reflect"];
    home.ok(&reflected);
    assert_eq!(home.found(&["where does she fly", "--user", "anna"]), ["I fly to Oslo on Friday"]);
    let snapshot = home.ok(&["thread", "show", "t1"]);
    assert_eq!(snapshot.lines().next(), Some("2026-03-01T09:00:00Z system:case_opened {\"matter\":7}"));
    assert!(snapshot.lines().nth(1).unwrap().ends_with("user:message {\"text\":\"I fly to Oslo on Friday\"}"));
    assert_eq!(home.ok(&["thread", "list", "-q"]), "t1\n");
    assert_eq!(home.envelope(&["log"])["count"], 2);
    assert!(home.envelope(&["log", "--all"])["count"].as_u64() >= Some(2));
    home.fails(3, &["thread", "show", "nobody"]);
    home.fails(2, &["log", "add", "mnemic.journal", "forged"]);
}

#[test]
fn a_prompt_block_keeps_to_its_budget() {
    let home = Home::new();
    home.ok(&["slots", "set", "t1", "persona=Answer briefly."]);
    for i in 0..20 {
        home.ok(&["add", &format!("Fact number {i} about the interview in Baltimore and its many documents.")]);
    }
    for budget in ["100", "200", "400"] {
        let block = home.data(&["context", "t1", "--query", "the interview", "--budget", budget]);
        assert!(block["tokens"].as_u64().unwrap() <= budget.parse().unwrap(), "{block}");
        assert!(block["text"].as_str().unwrap().contains("Answer briefly."), "{block}");
    }
    assert_eq!(home.ok(&["context", "t1", "--budget", "0"]), "");
}

#[test]
fn what_consolidation_merged_comes_back_by_undoing_it() {
    let home = Home::new();
    home.ok(&["add", "--id", "a", "The office is at 14 Linden Court."]);
    home.ok(&["add", "--id", "b", "The office is at 14 Linden Court."]);
    home.ok(&[
        "add",
        "--id",
        "c",
        "--expires-at",
        "2020-01-01T00:00:00Z",
        "--valid-from",
        "2019-01-01T00:00:00Z",
        "An old offer.",
    ]);
    let plan = home.data(&["consolidate", "--dry-run"]);
    assert_eq!(plan["merges"][0]["dropped"], serde_json::json!(["b"]));
    assert_eq!(plan["prunes"][0]["reason"], "expired");
    assert_eq!(home.ok(&["list", "-q"]), "a\nb\n", "what has expired is hidden before it is removed");
    assert_eq!(home.envelope(&["history", "c"])["count"], 1, "a dry run changes nothing");

    let id = home.ok(&["consolidate", "-q"]);
    assert_eq!(home.ok(&["list", "-q"]), "a\n");
    home.ok(&["consolidate", "undo", id.trim()]);
    assert_eq!(home.ok(&["list", "-q"]), "a\nb\n");
    assert_eq!(home.envelope(&["history", "c"])["count"], 3);
    home.fails(6, &["consolidate", "undo", id.trim()]);
    home.fails(3, &["consolidate", "undo", "01a2042a-0000-7000-8000-000000000000"]);
    let faded = home.data(&["consolidate", "--dry-run", "--exact", "--half-life", "1d", "--floor", "0.9"]);
    assert_eq!(faded["prunes"].as_array().unwrap().len(), 3);
}

#[test]
fn what_is_forgotten_is_gone_everywhere_and_the_chain_still_verifies() {
    let home = Home::new();
    home.ok(&["log", "add", "t1", "message", "My secret word is xylophone", "--user", "anna", "--reflect"]);
    home.ok(&["slots", "set", "t1", "long_term_facts=xylophone"]);
    home.ok(&["add", "--user", "boris", "Boris plays the piano"]);
    let expected = home.data(&["forget", "--user", "anna", "--dry-run"]);
    assert_eq!(expected["records"].as_array().unwrap().len(), 1);
    let said = home.fails(2, &["forget", "--user", "anna"]);
    assert!(said.contains("Expected --yes"), "{said}");
    assert_eq!(home.found(&["xylophone", "--user", "anna"]).len(), 1, "nothing is forgotten without a yes");

    let receipt = home.data(&["forget", "--user", "anna", "--yes"]);
    assert_eq!(receipt["records"].as_array().unwrap().len(), 1);
    assert_eq!(receipt["events"], 1);
    assert_eq!(home.found(&["xylophone"]), ["Boris plays the piano"]);
    for (path, bytes) in support::files(&home.memory()) {
        let readable = bytes.windows(9).any(|window| window.eq_ignore_ascii_case(b"xylophone"));
        assert!(!readable, "{} still holds it", path.display());
    }
    assert!(home.ok(&["audit", "verify"]).contains("1 erased"));
    home.fails(3, &["forget", "--id", "never-there", "--yes"]);
    home.fails(2, &["forget", "--yes"]);
}

#[test]
fn a_backup_of_a_running_memory_restores_to_an_identical_export() {
    let home = Home::new();
    for i in 0..20 {
        home.ok(&["add", "--id", &format!("r{i}"), &format!("statement {i} about tariffs and delays")]);
    }
    home.ok(&["add", "--id", "r3", "statement 3, corrected"]);
    home.ok(&["slots", "set", "t1", "persona=terse"]);
    home.ok(&["log", "add", "t1", "message", "hello", "--reflect"]);
    home.ok(&["add", "-n", "other", "another memory"]);
    let checkpoint = home.path("checkpoint.json");
    home.ok(&["audit", "checkpoint", "--out", checkpoint.to_str().unwrap()]);
    let (copy, back) = (home.path("copy"), home.path("back"));
    home.ok(&["backup", copy.to_str().unwrap()]);
    home.ok(&["restore", copy.to_str().unwrap(), "--dir", back.to_str().unwrap()]);

    let export = |dir: &str| home.ok(&["export", "--all-namespaces", "--dir", dir]);
    let original = export(home.memory().to_str().unwrap());
    assert!(original.lines().count() > 25, "{original}");
    assert_eq!(original, export(back.to_str().unwrap()));
    let back = back.to_str().unwrap();
    home.ok(&["audit", "verify", "--dir", back, "--checkpoint", checkpoint.to_str().unwrap()]);
    assert_eq!(home.data(&["history", "r3", "--dir", back])["revisions"].as_array().unwrap().len(), 2);
    home.ok(&["doctor", "--dir", back]);
    home.fails(2, &["backup", copy.to_str().unwrap()]);
    home.fails(2, &["restore", copy.to_str().unwrap(), "--dir", back]);
    home.fails(3, &["restore", home.path("nowhere").to_str().unwrap(), "--dir", home.path("x").to_str().unwrap()]);
}

#[test]
fn two_namespaces_with_the_same_ids_show_each_other_nothing_through_any_verb() {
    let home = Home::new();
    for (namespace, mark) in [("left", "quince"), ("right", "walnut")] {
        let n = ["-n", namespace];
        home.ok(&[
            &["add", "--id", "r", "--user", "u", "--thread", "t", "--tag", mark],
            &n[..],
            &[&format!("the {mark} tree")],
        ]
        .concat());
        home.ok(&[&["add", "--id", "r2", "--user", "u"], &n[..], &[&format!("the {mark} tree")]].concat());
        home.ok(&[&["log", "add", "t", "message", &format!("about the {mark}"), "--id", "e", "--user", "u"], &n[..]]
            .concat());
        home.ok(&[&["slots", "set", "t", &format!("persona={mark}")], &n[..]].concat());
    }
    let verbs: &[&[&str]] = &[
        &["search", "quince tree", "--all", "--limit", "100"],
        &["get", "r"],
        &["list", "--all"],
        &["history", "r"],
        &["log", "--all"],
        &["thread", "show", "t"],
        &["thread", "list"],
        &["slots", "get", "t"],
        &["slots", "history", "t"],
        &["context", "t", "--query", "quince"],
        &["consolidate", "--dry-run"],
        &["forget", "--user", "u", "--dry-run"],
        &["export"],
        &["stats"],
        &["health"],
        &["audit", "checkpoint"],
        &["list", "--filter", r#"{"tags":["quince"]}"#],
    ];
    for verb in verbs {
        let run = home.run(&[&["-n", "right"], *verb].concat());
        assert_eq!(run.code, 0, "{verb:?}: {run:?}");
        assert!(!run.out.contains("quince"), "{verb:?} shows the other namespace: {}", run.out);
    }
    home.ok(&["forget", "-n", "right", "--user", "u", "--yes"]);
    assert_eq!(home.envelope(&["list", "-n", "left"])["count"], 2);
    assert_eq!(home.data(&["slots", "get", "t", "-n", "left"])["slots"]["persona"], "quince");
}

#[test]
fn the_dev_profile_keeps_nothing_and_makes_no_directory() {
    let home = Home::new();
    home.ok(&["add", "--profile", "dev", "gone at once"]);
    assert_eq!(home.found(&["gone", "--profile", "dev"]), [] as [&str; 0]);
    assert!(!home.memory().exists());
}

#[test]
fn another_embedder_than_the_one_written_with_is_refused_by_name() {
    let home = Home::new();
    home.ok(&["add", "--embedder", "none", "kept by its words"]);
    assert_eq!(home.found(&["words", "--embedder", "none"]), ["kept by its words"]);
    let said = home.fails(1, &["search", "words", "--embedder", "none", "--mode", "dense"]);
    assert!(said.contains("mode: expected hybrid or lexical"), "{said}");
    home.ok(&["add", "with the built-in model now"]);
    assert_eq!(home.found(&["words"]).first().map(String::as_str), Some("kept by its words"));
}

#[test]
fn a_namespace_that_holds_nothing_beside_others_is_told() {
    let home = Home::new();
    home.ok(&["-n", "lease", "add", "The lease ends in May"]);
    for command in [&["search", "lease"][..], &["list"], &["stats"]] {
        let told = home.run(&[&["-n", "laese"], command].concat());
        assert!(told.err.contains("namespace laese holds nothing; there are lease"), "{told:?}");
        assert!(!home.run(&[&["-n", "lease"], command].concat()).err.contains("holds nothing"));
    }
}
