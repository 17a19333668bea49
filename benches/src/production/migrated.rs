//! How much memory a move from a directory to PostgreSQL with pgvector takes, and the comparison after it, whatever the size of the
//! memory. Only a new process can tell: an old one keeps what it once had. Not here: its speed (`migration`).

use std::{
    collections::HashMap,
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use mnemic::{MemoryManager, Result, WriteOptions};
use mnemic_postgres::testing::TestServer;

use super::{environment, failed, memory};
use crate::{
    Plan,
    corpus::Corpus,
    report::{Report, Target},
};

/// The first argument of the process that is measured; the source's directory follows, and the target's variables are its environment.
const ASKED: &str = "migrated";
/// The variables that the process gets.
const VARIABLES: [&str; 7] =
    ["ENV", "POSTGRES_DSN", "MNEMIC_POSTGRES_ADMIN_DSN", "MNEMIC_SPOOL_DIR", "HOME", "MNEMIC_INDEX", "MNEMIC_EMBEDDER"];
/// Records of one write.
const WRITE: usize = 500;
/// Megabytes that a move may take.
const MOST: f64 = 300.0;

/// The directory that this process is to move, if it is the one that is measured.
pub(crate) fn asked() -> Option<PathBuf> {
    let mut arguments = env::args_os().skip(1);
    (arguments.next()? == *ASKED).then(|| arguments.next().map(PathBuf::from))?
}

/// Moves, compares, and prints the most that the process ever took, after each.
pub(crate) fn answer(directory: &Path) -> ExitCode {
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() else {
        return ExitCode::FAILURE;
    };
    let moved = runtime.block_on(async {
        let source = MemoryManager::embedded(directory)?;
        let variables = VARIABLES.into_iter().filter_map(|name| Some((name.to_owned(), env::var(name).ok()?)));
        let variables: HashMap<String, String> = variables.collect();
        let target = memory(&variables, directory)?.in_namespace(source.namespace().clone());
        source.migrate_to(&target, |_| {}).await?;
        let moved = peak_bytes();
        let report = source.compare_with(&target, 0).await?;
        if !report.is_same() {
            return Err(failed(format!("the copy differs: {report:?}")));
        }
        Ok((moved, peak_bytes()))
    });
    let (text, code) = match moved {
        Ok((moved, compared)) => (format!("{moved} {compared}"), ExitCode::SUCCESS),
        Err(why) => (why.to_string(), ExitCode::FAILURE),
    };
    if write!(std::io::stdout(), "{text}").is_ok() { code } else { ExitCode::FAILURE }
}

/// The most bytes of memory that the process ever held, where the system tells.
fn peak_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// Measures a memory and one of four times its size.
pub(super) async fn measure(plan: &Plan, server: &TestServer, report: &mut Report) -> Result<()> {
    let size = if plan.rounds > 10 { 10_000 } else { 2_500 };
    let (small, large) = (peaks(server, size).await?, peaks(server, 4 * size).await?);
    let what = ["move to pgvector", "move and comparison"];
    for ((what, small), large) in what.into_iter().zip(small).zip(large) {
        report.size(format!("{what}, {size} records, peak"), small, "MB");
        let name = format!("{what}, {} records, peak", 4 * size);
        report.claim(name, Target::AtMost(1.0), [large, MOST], "MB", "the most that it may take");
    }
    Ok(())
}

async fn peaks(server: &TestServer, size: usize) -> Result<[f64; 2]> {
    let directory = tempfile::tempdir().map_err(failed)?;
    let source = directory.path().join("source");
    let memory = MemoryManager::embedded(&source)?;
    let mut corpus = Corpus::new(size as u64)?;
    for from in (0..size).step_by(WRITE) {
        memory.write(corpus.records(from, WRITE)?, &WriteOptions::default()).await?;
    }
    drop(memory);
    let database = server.database().await;
    let mut variables = environment(&database, directory.path());
    variables.insert("MNEMIC_INDEX".to_owned(), "pgvector".to_owned());
    variables.insert("MNEMIC_EMBEDDER".to_owned(), "static".to_owned());
    let program = env::current_exe().map_err(failed)?;
    let output = Command::new(program).arg(ASKED).arg(&source).envs(&variables).output().map_err(failed)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let bytes: Vec<f64> = said.split(' ').filter_map(|word| word.parse().ok()).collect();
    match bytes.as_slice() {
        [moved, compared] if output.status.success() => Ok([moved / 1e6, compared / 1e6]),
        _ => Err(failed(said)),
    }
}
