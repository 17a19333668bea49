//! Holds `docs/migration.md` to the program: its commands run in the order of the page, and its Russian twin tells the same ones.
//! Not here: whether a sentence is right.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use mnemic_postgres::testing::{TestServer, required};
use mnemic_stand_ins::{Knobs, vendors};
use support::{Home, finished};

const SERVICE: &str = "postgres-18";

fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)).unwrap()
}

/// The blocks of shell.
fn blocks(page: &str) -> Vec<String> {
    page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// Copies a file or a directory.
fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).unwrap();
    }
}

/// What stands around the reader of the page: memories, settings, and files of other systems.
async fn furnish(home: &Home, server: &TestServer) -> impl Send + use<> {
    for memory in ["memory", "notes"] {
        for text in ["The hearing is on June 2.", "Anna lives in Austin.", "The fee of form I-485 is 1440 dollars."] {
            home.ok(&["--dir", memory, "add", text]);
        }
        home.ok(&["--dir", memory, "log", "add", "talk", "message", "hello"]);
        home.ok(&["--dir", memory, "slots", "set", "talk", "persona=brief"]);
    }
    let database = server.database().await;
    let production = format!(
        "MNEMIC_PROFILE=production\nPOSTGRES_DSN={}\nMNEMIC_POSTGRES_ADMIN_DSN={}\nMNEMIC_INDEX=pgvector\n\
         MNEMIC_EMBEDDER=static\nMNEMIC_SPOOL=off\n",
        database.dsn(),
        database.admin_dsn()
    );
    fs::write(home.path("production.env"), production).unwrap();
    let vendor = vendors().iter().find(|vendor| vendor.name == "openai").unwrap();
    let stand_in = (vendor.serve)(0, Knobs::new()).unwrap();
    let mut settings =
        vec![("MNEMIC_PROFILE".to_owned(), "embedded".to_owned()), ("MNEMIC_DIR".to_owned(), "./notes".to_owned())];
    settings.push(("MNEMIC_EMBEDDER".to_owned(), "openai".to_owned()));
    settings.extend((vendor.environment)(&stand_in.url()).into_iter().map(|(name, value)| (name.to_owned(), value)));
    let lines: Vec<String> = settings.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    fs::write(home.path("new-model.env"), lines.concat()).unwrap();
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/importers");
    for name in ["memory.jsonl", "mem0.json", "history.db", "store.sqlite", "chroma", "table.csv"] {
        copy(&fixtures.join(name), &home.path(name));
    }
    (database, stand_in)
}

async fn every_command_runs_in_the_order_of_the_page(server: TestServer) {
    let home = Home::new();
    let _around = furnish(&home, &server).await;
    let page = page("migration.md");
    let blocks = blocks(&page);
    assert!(blocks.len() >= 9, "{blocks:?}");
    let program = Path::new(env!("CARGO_BIN_EXE_mnemic")).parent().unwrap();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", program.display());
    let mut told = String::new();
    for block in &blocks {
        let mut shell = Command::new("bash");
        // A file of another system may hold a row that cannot be kept: it is told, and the others are.
        let flags = if block.contains(" import ") { "-uo" } else { "-euo" };
        shell.args([flags, "pipefail", "-c", block]).env_clear().env("PATH", &path).env("HOME", home.path("."));
        let run = finished(shell.current_dir(home.path(".")));
        assert_eq!(run.code, 0, "{block}\n{run:?}");
        assert!(!run.err.contains("panicked"), "{block}\n{run:?}");
        let refused = run.err.lines().filter(|line| line.contains("could not be read; the others were")).count();
        let faults = run.err.lines().filter(|line| line.starts_with("mnemic: ")).count();
        assert!(faults <= 2 * refused, "{block}\n{run:?}");
        told.push_str(&run.out);
    }
    // What the page promises of them.
    assert!(told.matches("hearing is on June 2").count() >= 3, "{told}");
    assert!(told.contains("Written by a program that knows only the old place."), "{told}");
    assert!(home.path("verified.md").is_file() && home.path("move.md").is_file());
    let left = home.envelope(&["--dir", "memory", "stats"]);
    assert!(left["data"]["records"].as_u64().is_some_and(|records| records == 4), "answered by the last place: {left}");
}

fn the_russian_page_tells_the_same_commands_in_the_same_order() {
    let (english, russian) = (page("migration.md"), page("migration.ru.md"));
    assert_eq!(blocks(&english), blocks(&russian));
    let headings = |page: &str| page.lines().filter(|line| line.starts_with('#')).count();
    assert_eq!(headings(&english), headings(&russian));
    let rows = |page: &str| page.lines().filter(|line| line.starts_with('|') || line.starts_with("- [")).count();
    assert_eq!(rows(&english), rows(&russian), "rows of tables and checklists");
}

fn main() -> ExitCode {
    let commands = || match TestServer::of(SERVICE) {
        Ok(server) => {
            let runtime = tokio::runtime::Runtime::new().map_err(|error| Failed::from(error.to_string()))?;
            runtime.block_on(every_command_runs_in_the_order_of_the_page(server));
            Ok(Completion::Completed)
        }
        Err(why) if required(SERVICE) => Err(Failed::from(why)),
        Err(why) => Ok(Completion::ignored_with(why)),
    };
    let trials = vec![
        Trial::ignorable_test("every_command_runs_in_the_order_of_the_page", commands),
        Trial::test("the_russian_page_tells_the_same_commands_in_the_same_order", || {
            the_russian_page_tells_the_same_commands_in_the_same_order();
            Ok(())
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
