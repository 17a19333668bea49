//! Holds `docs/production.md` to the program: its shell blocks run, its SQL is taken by a server, its tables list every setting with its
//! default. Not here: whether a sentence is right.

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
    path::Path,
    process::{Command, ExitCode},
};

use libtest_mimic::{Arguments, Trial};
use serde_json::Value;
use support::{Home, finished};

/// The variable with the address of a server, and its name in `MNEMIC_REQUIRE`.
const SERVER: (&str, &str) = ("MNEMIC_TEST_POSTGRES_18", "postgres-18");

fn page() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/production.md");
    fs::read_to_string(page).unwrap()
}

/// The blocks of a language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    page.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

fn every_shell_block_runs() {
    let blocks = blocks(&page(), "sh");
    assert!(blocks.len() >= 2, "{blocks:?}");
    for block in blocks {
        let home = Home::new();
        let program = Path::new(env!("CARGO_BIN_EXE_mnemic")).parent().unwrap();
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", program.display());
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", &block]).env_clear().env("PATH", path).env("HOME", home.path("home"));
        fs::create_dir(home.path("home")).unwrap();
        let run = finished(shell.current_dir(home.path("home")));
        assert_eq!(run.code, 0, "{block}\n{run:?}");
        // A fault that is shown on purpose is in the answer, and nothing else is complained of.
        let expected = if block.contains("exit code") { "exit code 7" } else { "mnemic" };
        assert!(run.out.contains(expected) && !run.err.contains("panicked"), "{block}\n{run:?}");
    }
}

/// The cells of every row of the tables of settings and secrets, by the first cell.
fn rows(page: &str) -> BTreeMap<String, Vec<String>> {
    let tables = page.split("\n## Settings\n").nth(1).expect("a section on settings");
    let cells = |line: &str| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rows = tables.lines().filter(|line| line.starts_with("| `")).map(cells);
    rows.map(|cells| (cells[0].trim_matches('`').to_owned(), cells)).collect()
}

fn the_tables_list_every_setting_with_its_variable_and_default() {
    let home = Home::new();
    let mut show = home.command(&["config", "show", "--json"]);
    show.env_remove("MNEMIC_DIR").env("POSTGRES_DSN", "postgresql://u@h/d");
    let shown: Value = serde_json::from_str(&finished(&mut show).out).unwrap();
    let settings = shown["data"]["settings"].as_array().unwrap();
    let mut rows = rows(&page());
    for setting in settings {
        let (key, value) = (setting["key"].as_str().unwrap(), setting["value"].as_str().unwrap());
        let upper = key.to_uppercase();
        if key.ends_with("_dsn") || key.ends_with("_api_key") {
            let named = [upper.clone(), format!("MNEMIC_{upper}")];
            assert!(named.iter().any(|name| rows.remove(name).is_some()), "the secret {key} has no row");
            continue;
        }
        let row = rows.remove(key).unwrap_or_else(|| panic!("{key} has no row"));
        assert!(row[1].starts_with(&format!("`MNEMIC_{upper}`")), "{row:?}");
        let told = row[2].strip_prefix('`').and_then(|rest| rest.split('`').next());
        if let Some(told) = told.filter(|told| !told.starts_with('~')) {
            assert_eq!(told, value, "the default of {key}");
        } else {
            assert!(value == "(not set)" || ["dir", "spool_dir", "index", "embedder"].contains(&key), "{key} {value}");
        }
    }
    assert!(rows.is_empty(), "rows of no setting: {rows:?}");
}

/// Roles belong to the whole server, so the page's names get an end of their own, and go again.
fn the_sql_is_taken_by_a_server() {
    let server = env::var(SERVER.0).unwrap();
    let own = |sql: &str| {
        let end = std::process::id();
        ["memory_owner", "memory_app"]
            .iter()
            .fold(sql.to_owned(), |sql, name| sql.replace(name, &format!("{name}_{end}")))
            .replace("DATABASE memory ", &format!("DATABASE memory_{end} "))
            .replace("EXISTS memory ", &format!("EXISTS memory_{end} "))
    };
    let psql = |sql: &str| {
        let mut command = Command::new("psql");
        finished(command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &server, "-f", "-"]).stdin(piped(sql)))
    };
    let sql = own(&blocks(&page(), "sql").concat());
    let made = psql(&sql);
    let cleared = psql(&own("DROP DATABASE IF EXISTS memory ; DROP ROLE IF EXISTS memory_owner, memory_app;"));
    assert_eq!(made.code, 0, "{sql}\n{made:?}");
    assert_eq!(cleared.code, 0, "{cleared:?}");
}

/// A file with `text`, to be read as standard input.
fn piped(text: &str) -> fs::File {
    use std::io::{Seek, Write};
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.rewind().unwrap();
    file
}

fn main() -> ExitCode {
    let trial = |name: &str, run: fn()| {
        Trial::test(name.to_owned(), move || {
            run();
            Ok(())
        })
    };
    let required = env::var("MNEMIC_REQUIRE").unwrap_or_default().split(',').any(|name| name == SERVER.1);
    let absent = env::var_os(SERVER.0).is_none();
    assert!(!(required && absent), "{} is required, and {} is not set", SERVER.1, SERVER.0);
    let sql = "the_sql_is_taken_by_a_server";
    let name = if absent { format!("{sql} (needs {})", SERVER.0) } else { sql.to_owned() };
    let trials = vec![
        trial("every_shell_block_runs", every_shell_block_runs),
        trial(
            "the_tables_list_every_setting_with_its_variable_and_default",
            the_tables_list_every_setting_with_its_variable_and_default,
        ),
        trial(&name, the_sql_is_taken_by_a_server).with_ignored_flag(absent),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
