//! The production profile from the command line where its settings are wrong or its servers away. Not here: the profile with its
//! servers up (the outage campaign), and settings one by one (`mnemic`'s tests).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod support;

use std::{fs, process::Command};

use serde_json::Value;
use support::{Home, finished};

const KEY: &str = "pa55-word-never-shown";

/// A run in production with a database that nobody serves.
fn production(home: &Home, args: &[&str]) -> Command {
    let mut command = home.command(args);
    command.env("ENV", "production").env("POSTGRES_DSN", format!("postgresql+asyncpg://app:{KEY}@127.0.0.1:1/memory"));
    command
}

#[test]
fn what_production_lacks_is_told_at_once_by_every_command() {
    let home = Home::new();
    let lacking = |args: &[&str]| {
        let mut command = home.command(args);
        finished(command.env("ENV", "production").env("MNEMIC_INDEX", "qdrant").env("MNEMIC_RERANKER", "voyage"))
    };
    let run = lacking(&["stats"]);
    assert_eq!(run.code, 4, "{run:?}");
    for variable in ["POSTGRES_DSN", "MNEMIC_QDRANT_URL", "VOYAGE_API_KEY"] {
        assert_eq!(
            run.err.lines().filter(|line| line.contains(&format!("{variable}: expected"))).count(),
            1,
            "{run:?}"
        );
    }
    let doctor = lacking(&["doctor"]);
    assert_eq!(doctor.code, 7, "{doctor:?}");
    assert!(doctor.out.contains("✗ config") && doctor.out.contains("fix:"), "{doctor:?}");
    assert!(doctor.out.contains("postgresql://user:password@host:5432/database"), "{doctor:?}");
}

#[test]
fn settings_of_production_are_shown_with_origins_and_without_secrets() {
    let home = Home::new();
    fs::write(home.path(".env"), format!("PINECONE_API_KEY={KEY}\nVOYAGE_API_KEY={KEY}\n")).unwrap();
    let run = finished(&mut production(&home, &["config", "show", "--origin"]));
    assert_eq!(run.code, 0, "{run:?}");
    assert!(!run.out.contains(KEY) && !run.err.contains(KEY), "{run:?}");
    for (setting, value, origin) in [
        ("index", "pinecone", "default, since PINECONE_API_KEY is set"),
        ("embedder", "voyage", "default, since VOYAGE_API_KEY is set"),
        ("embedding_dimension", "2048", "default"),
        ("namespace", "production", "default"),
        ("postgres_dsn", "(hidden)", "environment POSTGRES_DSN"),
        ("voyage_api_key", "(hidden)", ".env"),
    ] {
        let line = run.out.lines().find(|line| line.split_whitespace().next() == Some(setting)).expect(setting);
        assert!(line.contains(value) && line.contains(origin), "{line}");
    }
}

#[test]
fn doctor_walks_the_checklist_and_says_what_to_do_where_the_database_is_away() {
    let home = Home::new();
    let run = finished(&mut production(&home, &["doctor", "--json"]));
    assert_eq!(run.code, 7, "{run:?}");
    assert!(!run.out.contains(KEY) && !run.err.contains(KEY) && !run.err.contains("panicked"), "{run:?}");
    let envelope: Value = serde_json::from_str(&run.out).unwrap();
    let checks = envelope["data"]["checks"].as_array().unwrap();
    let named =
        |name: &str| checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}: {checks:#?}"));
    for name in ["dependencies", "config", "profile", "clock", "spool directory"] {
        assert_eq!(named(name)["verdict"], "ok", "{name}");
    }
    assert!(
        named("profile")["message"].as_str().unwrap().contains("index pgvector (default), embedder static (default)")
    );
    let database = named("database");
    assert_eq!(database["verdict"], "failed", "{database}");
    assert!(!database["fix"].as_str().unwrap().is_empty(), "{database}");
    for check in checks {
        let failed = check["verdict"] == "failed";
        assert!(!failed || check["fix"].is_string(), "a fault without a line of what to do: {check}");
    }
}

#[test]
fn doctor_tells_of_writes_that_wait_in_the_spool_of_another_database() {
    let home = Home::new();
    let spool = home.path(".local/share/mnemic-spool/0123456789ab/s-1");
    fs::create_dir_all(&spool).unwrap();
    let spools = |home: &Home| {
        let run = finished(&mut production(home, &["doctor", "--json"]));
        let envelope: Value = serde_json::from_str(&run.out).unwrap();
        let checks = envelope["data"]["checks"].as_array().unwrap().clone();
        checks.into_iter().filter(|check| check["name"] == "spool directory").collect::<Vec<_>>()
    };
    fs::write(spool.join("lock"), "x").unwrap();
    fs::write(spool.join("e-1"), "").unwrap();
    assert_eq!(spools(&home).len(), 1, "nothing waits there");
    fs::write(spool.join("e-1"), "an entry").unwrap();
    let told = spools(&home);
    assert_eq!((told.len(), told[0]["verdict"].as_str()), (2, Some("warning")), "{told:?}");
    assert!(told[0]["fix"].as_str().unwrap().contains("MNEMIC_SPOOL_DIR"), "{told:?}");
}
