//! `mnemic doctor`: checks everything and says how to repair what is wrong. Not here: the words of each repair (`remedies`).

mod checks;
mod remedies;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use mnemic::{
    ErrorKind, Health, MemoryManager, Namespace, Order, PageRequest, Timestamp,
    config::{Origin, Profile, SpoolChoice},
    ports::EventRange,
};

use crate::{
    commands::audit,
    context::Context,
    exit::{Failure, Result},
    output::{Answer, Output},
    show,
};
use checks::Checks;

/// Options of `doctor`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Rebuild indexes that differ from the ledger
    #[arg(long)]
    repair: bool,
}

/// What the production profile's ledger is called, as in the migration guide's checklist.
const DATABASE: &str = "database";
/// Below this much free space, writing may soon fail.
const LITTLE_SPACE: u64 = 256 * 1024 * 1024;
/// 2025-01-01: a clock before Mnemic was made is wrong.
const EARLIEST: i64 = 1_735_689_600_000_000;
/// How far a commit may lie ahead of the clock before it is told.
const SKEW_MICROS: i64 = 60_000_000;

/// The answer where not even the settings can be read.
pub(crate) fn without_settings(output: &Output, failure: &Failure) -> Answer {
    let mut checks = Checks::default();
    checks.bad("config", failure.message.as_str(), "correct the setting where the message says");
    checks.answer(output)
}

/// Runs `doctor`.
pub(crate) async fn run(ctx: &Context, args: &Args) -> Result<Answer> {
    let mut checks = Checks::default();
    check_dependencies(&mut checks);
    check_config(ctx, &mut checks);
    check_clock(&mut checks);
    match ctx.settings.profile.value {
        Profile::Dev => {}
        Profile::Embedded => {
            if !ctx.directory().exists() {
                let message = format!("nothing is at {}", ctx.directory().display());
                checks.odd("directory", message, "mnemic init makes a memory there");
                return Ok(checks.answer(&ctx.output));
            }
            check_directory("directory", ctx.directory(), "--dir", &mut checks);
            check_space(ctx.directory(), LITTLE_SPACE, &mut checks);
        }
        Profile::Production => check_spool_directory(ctx, &mut checks),
    }
    match ctx.open() {
        Ok(memory) => check_memory(ctx, args, &memory, &mut checks).await,
        Err(failure) => {
            let production = ctx.settings.profile.value == Profile::Production;
            let kind = ErrorKind::ALL.into_iter().find(|kind| kind.as_str() == failure.code);
            let fix = match (failure.hint, production) {
                (Some(hint), _) => hint,
                (None, true) => remedies::remedy("ledger", kind, &ctx.settings),
                (None, false) => "restore a backup (mnemic restore), or choose another --dir".to_owned(),
            };
            checks.bad(if production { DATABASE } else { "ledger" }, failure.message, &fix);
        }
    }
    Ok(checks.answer(&ctx.output))
}

/// The first line of the migration guide's checklist.
fn check_dependencies(checks: &mut Checks) {
    let message = format!(
        "mnemic {}: SQLite, TLS, the clients of every server and an embedding model are built in; nothing to install",
        env!("CARGO_PKG_VERSION")
    );
    checks.good("dependencies", message);
}

fn check_config(ctx: &Context, checks: &mut Checks) {
    let set: Vec<String> = ctx
        .settings
        .entries()
        .iter()
        .filter(|entry| entry.origin != Origin::Default)
        .map(|entry| format!("{} from {}", entry.key, entry.origin))
        .collect();
    let message = if set.is_empty() { "defaults only".to_owned() } else { set.join(", ") };
    checks.good("config", message);
    match ctx.settings.profile.value {
        Profile::Dev => checks.odd(
            "profile",
            "dev keeps everything in process memory until the command ends",
            "use --profile embedded to keep it",
        ),
        Profile::Embedded => {}
        Profile::Production => check_parts(ctx, checks),
    }
}

/// The parts that production is made of, and why these.
fn check_parts(ctx: &Context, checks: &mut Checks) {
    let settings = &ctx.settings;
    let model = settings.embedding.model.as_ref().map(|model| format!(" with {}", model.value)).unwrap_or_default();
    let message = format!(
        "production: index {} ({}), embedder {}{model} ({}), reranker {}",
        settings.index.value,
        settings.index.origin,
        settings.embedder.value,
        settings.embedder.origin,
        settings.reranker.value,
    );
    checks.good("profile", message);
}

fn check_clock(checks: &mut Checks) {
    let now: Timestamp = jiff::Timestamp::now().into();
    if now.as_micros() < EARLIEST {
        checks.bad("clock", format!("the machine says that it is {now}"), "set the clock");
    } else {
        checks.good("clock", now.to_string());
    }
}

/// The spool's directory, before anything is spooled into it.
fn check_spool_directory(ctx: &Context, checks: &mut Checks) {
    let spool = &ctx.settings.spool;
    if spool.choice.value == SpoolChoice::Off {
        return checks.good("spool", "off: writes are refused while the database is down");
    }
    let directory = &spool.directory.value;
    if spool.directory.origin == Origin::Default {
        check_other_spools(directory, checks);
    }
    if !directory.exists() {
        let message = format!("{}, made when the database is first down", directory.display());
        return checks.good("spool directory", message);
    }
    check_directory("spool directory", directory, "MNEMIC_SPOOL_DIR", checks);
    check_space(directory, spool.bytes.value.max(LITTLE_SPACE), checks);
}

/// The default directory is one for each database: whoever names the database by another address leaves a spool behind.
fn check_other_spools(directory: &Path, checks: &mut Checks) {
    let waits = |path: &Path| {
        files_below(path, 2).iter().any(|file| {
            let is_segment = file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("e-"));
            is_segment && fs::metadata(file).is_ok_and(|metadata| metadata.len() > 0)
        })
    };
    let Some(spools) = directory.parent() else { return };
    let others = entries(spools).into_iter().filter(|path| path != directory && path.is_dir() && waits(path));
    for other in others {
        let message = format!("writes wait in {}, the spool of another address of a database", other.display());
        let fix = "run Mnemic with that address in POSTGRES_DSN, or, if it is the same database, with MNEMIC_SPOOL_DIR set to it";
        checks.odd("spool directory", message, fix);
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

fn files_below(directory: &Path, depth: u8) -> Vec<PathBuf> {
    let Some(deeper) = depth.checked_sub(1) else { return Vec::new() };
    let within = |path: PathBuf| if path.is_dir() { files_below(&path, deeper) } else { vec![path] };
    entries(directory).into_iter().flat_map(within).collect()
}

fn check_directory(name: &str, directory: &Path, setting: &str, checks: &mut Checks) {
    let another = |before: &str| format!("{before}, or choose another {setting}");
    let place = directory.display();
    let metadata = match fs::metadata(directory) {
        Ok(metadata) => metadata,
        Err(error) => {
            return checks.bad(name, format!("{place}: {error}"), &another("grant access"));
        }
    };
    if !metadata.is_dir() {
        return checks.bad(name, format!("{place} is not a directory"), &another("move it away"));
    }
    let probe = directory.join(format!(".mnemic-doctor-{}", std::process::id()));
    if let Err(error) = fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe)) {
        return checks.bad(name, format!("cannot write in {place}: {error}"), &another("grant write access"));
    }
    // The lowest six bits are what the group and everybody else may do.
    let mode = metadata.permissions().mode() & 0o777;
    if mode.trailing_zeros() >= 6 {
        checks.good(name, format!("{place} (mode {mode:o})"));
    } else {
        let fix = format!("chmod 700 {place}");
        checks.odd(name, format!("{place} (mode {mode:o}): other users of this machine may look into it"), &fix);
    }
}

fn check_space(directory: &Path, little: u64, checks: &mut Checks) {
    match rustix::fs::statvfs(directory) {
        Err(error) => checks.odd("disk", format!("free space is unknown: {error}"), "look with df"),
        Ok(space) => {
            let free = space.f_bavail.saturating_mul(space.f_frsize);
            let message = format!("{} free", show::bytes(free));
            if free < little {
                checks.odd("disk", message, "make room before writing much");
            } else {
                checks.good("disk", message);
            }
        }
    }
}

async fn check_memory(ctx: &Context, args: &Args, memory: &MemoryManager, checks: &mut Checks) {
    let production = ctx.settings.profile.value == Profile::Production;
    let health = memory.health_check().await;
    for detail in &health.details {
        let name = if production && detail.part == "ledger" { DATABASE } else { detail.part.as_str() };
        if detail.healthy {
            checks.good(name, detail.message.as_str());
        } else {
            let fix = remedies::remedy(&detail.part, detail.kind, &ctx.settings);
            checks.bad(name, detail.message.as_str(), &fix);
        }
    }
    check_health(&health, checks);
    if production && health.details.iter().any(|detail| !detail.healthy && !spares_contents(&detail.part)) {
        // Comparing would repeat what was told.
        return;
    }
    let namespaces = match of_interest(ctx, memory).await {
        Ok(namespaces) => namespaces,
        Err(error) => return checks.bad("namespaces", error.to_string(), "restore a backup (mnemic restore)"),
    };
    checks.good("namespaces", namespaces.len().to_string());
    let bar = ctx.progress(Some(namespaces.len() as u64), "checking");
    for namespace in namespaces {
        let memory = memory.in_namespace(namespace);
        check_contents(args, &memory, checks).await;
        check_chain(&memory, checks).await;
        check_order(&memory, checks).await;
        bar.inc(1);
    }
    bar.finish_and_clear();
}

/// Whether ledger and index can be compared while this part does not serve.
fn spares_contents(part: &str) -> bool {
    matches!(part, "embedder" | "reranker" | "spool")
}

fn check_health(health: &Health, checks: &mut Checks) {
    let kinds = [("semantic", health.semantic), ("episodic", health.episodic), ("working", health.working)];
    let named = |serves: bool| {
        kinds.iter().filter(|(_, healthy)| *healthy == serves).map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    };
    if health.all() {
        checks.good("health", format!("{} memory serve", named(true)));
    } else {
        checks.bad("health", format!("{} memory does not serve", named(false)), "repair the parts that failed above");
    }
}

/// Every namespace of a directory. A server may hold any number of them, so there it is the one that was asked about.
async fn of_interest(ctx: &Context, memory: &MemoryManager) -> mnemic::Result<Vec<Namespace>> {
    match ctx.settings.profile.value {
        Profile::Dev | Profile::Embedded => namespaces(memory).await,
        Profile::Production => Ok(vec![memory.namespace().clone()]),
    }
}

async fn namespaces(memory: &MemoryManager) -> mnemic::Result<Vec<Namespace>> {
    let mut page = PageRequest::largest();
    let mut names = Vec::new();
    loop {
        let found = memory.namespaces(&page).await?;
        names.extend(found.items);
        if found.next.is_none() {
            return Ok(names);
        }
        page = page.after(found.next);
    }
}

/// The ledger's files, and the indexes against the ledger.
async fn check_contents(args: &Args, memory: &MemoryManager, checks: &mut Checks) {
    let namespace = memory.namespace();
    let name = format!("memory {namespace}");
    let first = memory.verify().await;
    let faulty = !matches!(&first, Ok(report) if report.faults.is_empty());
    let outcome = if faulty && args.repair {
        match memory.reindex().await {
            Ok(()) => memory.verify().await,
            Err(error) => Err(error),
        }
    } else {
        first
    };
    match outcome {
        Ok(report) if report.faults.is_empty() => {
            let repaired = if faulty { " (the index was rebuilt)" } else { "" };
            checks.good(
                &name,
                format!("{}, ledger sound, index equal{repaired}", show::plural(report.records, "record")),
            );
        }
        Ok(report) => {
            let only_index = report.faults.iter().all(|fault| fault.starts_with("index "));
            let fix = if only_index {
                "mnemic doctor --repair rebuilds the index"
            } else {
                "restore a backup (mnemic restore)"
            };
            checks.bad(&name, report.faults.join("\n"), fix);
        }
        Err(error) => {
            checks.bad(&name, error.to_string(), "mnemic doctor --repair, or restore a backup (mnemic restore)");
        }
    }
}

async fn check_chain(memory: &MemoryManager, checks: &mut Checks) {
    let name = format!("audit {}", memory.namespace());
    match audit::verify(memory, None).await {
        Ok(report) => {
            checks.good(&name, format!("{} entries verify, {} erased", report.checkpoint.sequence, report.erased));
        }
        Err(error) if error.kind() == ErrorKind::Corrupted => {
            checks.bad(
                &name,
                error.to_string(),
                "keep this directory as evidence and restore a backup (mnemic restore)",
            );
        }
        Err(error) => checks.bad(&name, error.to_string(), "run mnemic doctor again; restore a backup if it stays"),
    }
}

/// Whether the last commit lies in this machine's future.
async fn check_order(memory: &MemoryManager, checks: &mut Checks) {
    let Ok(page) = PageRequest::first(1) else { return };
    let Ok(last) = memory.events(&EventRange::default(), &page.ordered(Order::Newest)).await else { return };
    let ahead =
        last.items.first().filter(|entry| entry.recorded_at.as_micros() > memory.now().as_micros() + SKEW_MICROS);
    if let Some(entry) = ahead {
        let message = format!(
            "the last commit of {} is dated {}, ahead of this machine's clock",
            memory.namespace(),
            entry.recorded_at
        );
        checks.odd("clock", message, "compare the clock; order does not depend on it, as_of does");
    }
}
