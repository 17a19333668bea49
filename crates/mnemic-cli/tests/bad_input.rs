//! Wrong values on the command line: each is refused with the field, what was expected and what came, and stores nothing.
//! Not here: damaged files (`damage`), the process around a command (`process`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod support;

use std::{ffi::OsString, os::unix::ffi::OsStringExt};

use support::{Home, finished};

/// A memory with one canary that no wrong input may show or change.
fn canary() -> Home {
    let home = Home::new();
    home.ok(&["add", "--id", "canary", "--user", "owner", "a canary sings"]);
    home
}

/// Runs what must be refused as wrong input and checks that the memory is as it was.
#[track_caller]
fn refused(home: &Home, args: &[&str], parts: &[&str]) {
    let before = home.ok(&["export"]);
    let said = home.fails(2, args);
    for part in parts {
        assert!(said.contains(part), "{args:?}: {part:?} is missing in {said:?}");
    }
    assert_eq!(before, home.ok(&["export"]), "{args:?} changed the memory");
}

#[test]
fn a_wrong_limit_names_the_option_the_range_and_what_came() {
    let home = canary();
    for verb in [&["search", "canary"][..], &["list"], &["log"]] {
        for (limit, expected) in [
            ("0", "limit: expected 1 to 1000, found 0"),
            ("1001", "limit: expected 1 to 1000, found 1001"),
            ("-1", "expected a whole number, found \"-1\""),
            ("1e309", "expected a whole number, found \"1e309\""),
            ("18446744073709551616", "expected a whole number, found \"18446744073709551616\""),
            ("ten", "expected a whole number, found \"ten\""),
        ] {
            refused(&home, &[verb, &["--limit", limit]].concat(), &["limit", expected]);
        }
    }
    refused(
        &home,
        &["context", "t", "--budget", "1000001"],
        &["budget: expected at most 1000000 tokens, found 1000001"],
    );
}

#[test]
fn nothing_to_work_on_is_told_and_not_guessed() {
    let home = canary();
    refused(&home, &["get"], &["<ID>"]);
    refused(&home, &["forget", "--yes"], &["--id, --user or --filter"]);
    refused(&home, &["forget", "--filter", "{}", "--yes"], &["filter: expected a condition"]);
    refused(&home, &["slots", "set", "t"], &["slots: expected NAME=TEXT"]);
    refused(&home, &["slots", "set", "t", "novalue"], &["slots: expected NAME=TEXT, found \"novalue\""]);
    refused(&home, &["search", " "], &["query: expected some text", "white space"]);
    refused(&home, &["add", " \t "], &["text: expected something to remember", "white space"]);
}

#[test]
fn a_text_that_no_backend_can_hold_is_refused() {
    let home = canary();
    for (bytes, expected) in [
        (b"\xff\xfe".to_vec(), "text: expected UTF-8"),
        (b"ok \xed\xa0\x80".to_vec(), "text: expected UTF-8, found another byte at position 3"),
        (b"a\0b".to_vec(), "text: expected text without NUL, found NUL at byte 1"),
        (vec![b'x'; 256 * 1024 + 1], "text: expected at most 262144 bytes"),
        (Vec::new(), "text: expected text on standard input, found an empty input"),
    ] {
        let run = home.piped(&bytes, &["add", "-"]);
        assert_eq!(run.code, 2, "{run:?}");
        assert!(run.err.contains(expected), "{expected}: {run:?}");
    }
    // A full-sized text of hostile marks is a text: it is kept byte for byte.
    let zalgo = format!("z{}", "\u{301}\u{202e}".repeat(40_000));
    assert_eq!(home.piped(zalgo.as_bytes(), &["add", "--id", "zalgo"]).code, 0);
    assert_eq!(home.data(&["get", "zalgo"])["records"][0]["text"], zalgo);
    assert_eq!(home.envelope(&["list"])["count"], 2);
}

#[test]
fn stored_control_characters_do_not_reach_one_line_views() {
    let home = Home::new();
    home.ok(&["add", "--id", "evil", "a\u{1b}[2J\u{202e}b\r\u{7}\nsecond line"]);
    for args in [&["list"][..], &["search", "second"], &["search", "second", "--explain"], &["history", "evil"]] {
        let shown = home.ok(args);
        assert!(!shown.contains(['\u{1b}', '\u{202e}', '\u{7}', '\r']), "{args:?}: {shown:?}");
        assert!(shown.contains("\\u{1b}[2J"), "{args:?}: {shown:?}");
    }
    assert_eq!(
        home.ok(&["get", "evil", "-q"]),
        "a\u{1b}[2J\u{202e}b\r\u{7}\nsecond line\n",
        "a pipe gets what is stored"
    );
}

#[test]
fn a_filter_is_data_whatever_it_looks_like() {
    let home = canary();
    for (filter, expected) in [
        (r#"{"$where":"1"}"#, "filter: expected"),
        (r#"{"a') OR 1=1--":1}"#, "filter: expected a field that can be filtered"),
        (r#"{"metdata":1}"#, "write metadata.<key>"),
        (r#"{"usr_id":1}"#, "did you mean user_id?"),
        (r#"{"user_id":{"like":"o%"}}"#, "filter: expected one of eq"),
        (r#"{"user_id":{"eq":{"ne":1}}}"#, "filter: expected a string, number or boolean for user_id"),
        (r#"{"metadata.a\"b`c[0]..d":1}"#, "filter: expected a metadata path"),
        (r#"{"metadata.\u0000":1}"#, "filter: expected a metadata path"),
        (r#"{"user_id":7}"#, "filter: expected a string for user_id"),
        (r#"{"created_at":{"gt":"yesterday"}}"#, "filter.created_at: expected an RFC 3339 time"),
        ("[1]", "filter: expected a JSON object"),
        ("{\"user_id\":\"a\",\"user_id\":\"b\"}", "filter: expected"),
        ("{\"user_id\":\"a\"", "filter: expected"),
    ] {
        for verb in [&["search", "canary"][..], &["forget", "--yes"]] {
            refused(&home, &[verb, &["--filter", filter]].concat(), &[expected]);
        }
    }
    let deep = format!("{}{{\"kind\":\"semantic\"}}{}", "{\"not\":".repeat(20), "}".repeat(20));
    refused(&home, &["list", "--filter", &deep], &["filter: expected nesting of at most 16"]);
    let deeper = format!("{}1{}", "[".repeat(60_000), "]".repeat(60_000));
    refused(&home, &["list", "--filter", &deeper], &["filter: "]);
    let many = format!("{{\"user_id\":{{\"in\":[{}\"x\"]}}}}", "\"x\",".repeat(1000));
    refused(&home, &["list", "--filter", &many], &["filter: expected at most 1000 values"]);
}

#[test]
fn a_value_matches_literally_whatever_language_it_imitates() {
    let home = canary();
    for value in
        ["\") or true or (\"", "x\" OR user_id = \"admin", "' OR '1'='1", "%", "_wner", "own\\", "owner\u{200b}"]
    {
        assert_eq!(home.envelope(&["list", "--user", value])["count"], 0, "{value:?}");
        assert_eq!(home.envelope(&["search", "canary", "--tag", value])["count"], 0, "{value:?}");
        let as_filter = serde_json::json!({"text": {"contains": value}}).to_string();
        assert_eq!(home.envelope(&["list", "--filter", &as_filter])["count"], 0, "{value:?}");
    }
    assert_eq!(home.envelope(&["list", "--user", "owner"])["count"], 1);
}

#[test]
fn a_query_is_text_whatever_syntax_it_imitates() {
    let home = canary();
    home.ok(&["add", "@nasa launched probe a-b with col:x NEAR(ly) perfect aim"]);
    for query in
        ["\"", "*", "NEAR(", "a-b", "col:x", "@nasa", "(a+)+$", "NOT", "AND OR", "' -- ", "text:canary*", "^", "\\"]
    {
        home.ok(&["search", "--mode", "lexical", "--", query]);
    }
    for (query, word) in
        [("a-b", "a-b"), ("@nasa", "@nasa"), ("col:x", "col:x"), ("canary*", "canary"), ("\"canary", "canary")]
    {
        let found = home.found(&["--mode", "lexical", "--", query]);
        assert!(found.first().is_some_and(|text| text.contains(word)), "{query}: {found:?}");
    }
    let parentheses = home.piped(&b"(".repeat(60_000), &["search"]);
    assert_eq!(parentheses.code, 0, "{}", parentheses.err);
    let too_long = home.piped(&b"(".repeat(70_000), &["search"]);
    assert!(too_long.code == 2 && too_long.err.contains("query: expected at most 65536 bytes"), "{}", too_long.err);
}

#[test]
fn a_namespace_is_never_a_path() {
    let home = canary();
    let long = "a".repeat(64);
    for namespace in ["..", "a/b", "%2e%2e", "CON", "", &long, "аbc", "Ab", "-a", "a b", "default/../default"] {
        let flag = format!("--namespace={namespace}");
        refused(&home, &[&flag, "add", "x"], &["namespace: expected 1 to 63 characters of a-z, 0-9, _ and -"]);
    }
    let names: Vec<_> =
        std::fs::read_dir(home.memory().join("namespaces")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["default"]);
}

#[test]
fn an_id_is_any_printable_text_and_never_a_path() {
    let home = canary();
    let (long, longest) = ("x".repeat(256), "x".repeat(255));
    refused(&home, &["add", "--id", "", "x"], &["id: expected 1 to 255 bytes, found an empty string"]);
    refused(&home, &["add", "--id", &long, "x"], &["id: expected 1 to 255 bytes, found 256 bytes"]);
    refused(&home, &["add", "--id", "a\nb", "x"], &["id: expected text without control characters"]);
    refused(&home, &["add", "--user", "", "x"], &["user_id: expected 1 to 255 bytes"]);
    refused(&home, &["add", "--thread", &long, "x"], &["thread_id: expected 1 to 255 bytes, found 256 bytes"]);
    home.ok(&["add", "--id", "../../x", "kept as it is"]);
    home.ok(&["add", "--id", &longest, "the longest"]);
    assert!(!home.path("x").exists());
    // A record of another namespace and one that never was look the same.
    let foreign = home.fails(3, &["get", "canary", "-n", "other"]);
    let absent = home.fails(3, &["get", "canarx", "-n", "other"]);
    assert_eq!(foreign, absent.replace("canarx", "canary"));
}

#[test]
fn a_time_is_exact_or_refused() {
    let home = canary();
    for time in [
        "2026-13-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "-271821-04-20T00:00:00Z",
        "2026-01-01T00:00:00",
        "NaN",
        "tomorrow",
        "",
    ] {
        let expected = "expires_at: expected an RFC 3339 time with an offset such as 2026-01-31T09:30:00Z";
        refused(&home, &["add", "x", &format!("--expires-at={time}")], &[expected]);
        refused(&home, &["search", "x", &format!("--as-of={time}")], &["as_of: expected an RFC 3339 time"]);
    }
    home.ok(&["add", "--id", "leap", "--valid-to", "9998-12-31T23:59:60Z", "x"]);
    assert_eq!(home.data(&["get", "leap"])["records"][0]["valid_to"], "9998-12-31T23:59:59Z");
    home.ok(&["add", "--id", "zone", "--valid-to", "2026-12-31T01:00:00+03:00", "x"]);
    assert_eq!(home.data(&["get", "zone"])["records"][0]["valid_to"], "2026-12-30T22:00:00Z");
    let backwards = ["add", "x", "--valid-from", "2026-02-01T00:00:00Z", "--valid-to", "2026-01-01T00:00:00Z"];
    refused(&home, &backwards, &["valid_to: expected an instant after valid_from"]);
}

#[test]
fn a_number_is_kept_to_the_last_digit_or_refused() {
    let home = canary();
    home.ok(&[
        "add",
        "--id",
        "n",
        "x",
        "--metadata",
        r#"{"big":9223372036854775807,"u":18446744073709551615,"z":-0.0,"s":0.30000000000000004,"e":1e-7}"#,
    ]);
    let line = home.ok(&["get", "n", "--json"]);
    let expected =
        r#""metadata":{"big":9223372036854775807,"e":1e-7,"s":0.30000000000000004,"u":18446744073709551615,"z":-0.0}"#;
    assert!(line.contains(expected), "{line}");
    for number in ["1e400", "18446744073709551616", "-9223372036854775809", "NaN", "Infinity", "01", "1."] {
        let json = format!("{{\"n\":{number}}}");
        refused(&home, &["add", "x", "--metadata", &json], &["metadata: expected"]);
    }
    for ratio in ["1.5", "-0.1", "NaN", "inf"] {
        refused(&home, &["add", "x", &format!("--salience={ratio}")], &["salience: expected a number from 0 to 1"]);
    }
    refused(&home, &["add", "x", "--salience", "much"], &["--salience"]);
    refused(&home, &["consolidate", "--near", "0"], &["near: expected a similarity above 0"]);
    refused(&home, &["consolidate", "--half-life", "soon"], &["half_life: expected a length of time such as 90d"]);
}

#[test]
fn metadata_beyond_its_bounds_is_refused_by_name() {
    let home = canary();
    let keys: Vec<String> = (0..129).map(|i| format!("\"k{i}\":1")).collect();
    refused(
        &home,
        &["add", "x", "--metadata", &format!("{{{}}}", keys.join(","))],
        &["metadata: expected at most 128 keys, found 129 keys"],
    );
    let deep = format!("{}1{}", "{\"a\":".repeat(9), "}".repeat(9));
    refused(&home, &["add", "x", "--metadata", &deep], &["metadata: expected nesting of at most 8 levels"]);
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(65 * 1024));
    refused(&home, &["add", "x", "--metadata", &large], &["metadata: expected at most 65536 bytes"]);
    refused(&home, &["add", "x", "--metadata", r#"{"a":"\ud800"}"#], &["metadata: expected"]);
    refused(
        &home,
        &["add", "x", "--kind", "personna"],
        &["kind: expected one of semantic, episodic, persona, open_loop", "did you mean persona?"],
    );
    refused(&home, &["add", "x", "--tag", ""], &["tags[0]: expected 1 to 255 bytes"]);
    refused(
        &home,
        &["add", "x", "--idempotency-key", &"k".repeat(256)],
        &["idempotency_key: expected 1 to 255 bytes, found 256 bytes"],
    );
}

#[test]
fn an_unknown_flag_or_command_is_wrong_usage_with_the_nearest_name() {
    let home = canary();
    refused(&home, &["search", "x", "--lmit", "3"], &["--lmit", "--limit"]);
    refused(&home, &["add", "--usr", "anna", "x"], &["--usr", "--user"]);
    refused(&home, &["serach", "x"], &["serach", "search"]);
    refused(
        &home,
        &["list", "--embedder", "statc"],
        &["embedder: expected one of none, static", "did you mean static?"],
    );
    refused(&home, &["list", "--profile", "prod"], &["profile: expected one of dev, embedded, production"]);
    home.ok(&["add", "--", "--not-a-flag"]);
    assert_eq!(home.found(&["--", "--not-a-flag"])[0], "--not-a-flag");
}

#[test]
fn arguments_that_are_not_utf_8_are_wrong_usage_except_as_paths() {
    let home = canary();
    let bytes = || OsString::from_vec(b"caf\xe9".to_vec());
    for verb in ["add", "search", "get"] {
        let run = finished(home.command(&[verb]).arg(bytes()));
        assert_eq!(run.code, 2, "{run:?}");
        assert!(run.err.contains("UTF-8") && !run.err.contains("panicked"), "{run:?}");
    }
    let run = finished(home.command(&["init", "--dir"]).arg(home.path("").join(bytes())));
    assert_eq!(run.code, 0, "{run:?}");
    let run = finished(home.command(&["list"]).env("MNEMIC_NAMESPACE", bytes()));
    assert_eq!(run.code, 4, "{run:?}");
    assert!(run.err.contains("MNEMIC_NAMESPACE: expected"), "{run:?}");
}
