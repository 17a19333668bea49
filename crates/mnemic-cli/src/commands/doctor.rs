//! `mnemic doctor`: checks everything and says how to repair what is wrong.

use std::{fmt::Write as _, fs, os::unix::fs::PermissionsExt, path::Path};

use mnemic::{
    ErrorKind, MemoryManager, Namespace, Order, PageRequest, Timestamp, Value,
    config::{Origin, Profile},
    ports::EventRange,
};

use crate::{
    commands::audit,
    context::Context,
    exit::{Failure, Result},
    output::{Answer, Output, escaped},
    show,
};

/// Options of `doctor`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Rebuild indexes that differ from the ledger
    #[arg(long)]
    repair: bool,
}

/// Below this much free space, writing may soon fail.
const LITTLE_SPACE: u64 = 256 * 1024 * 1024;
/// 2025-01-01: a clock before Mnemic was made is wrong.
const EARLIEST: i64 = 1_735_689_600_000_000;
/// How far a commit may lie ahead of the clock before it is told.
const SKEW_MICROS: i64 = 60_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Good,
    Odd,
    Bad,
}

/// One line of the answer.
#[derive(Clone, Debug)]
struct Check {
    name: String,
    verdict: Verdict,
    message: String,
    fix: Option<String>,
}

#[derive(Debug, Default)]
struct Checks(Vec<Check>);

impl Checks {
    fn good(&mut self, name: &str, message: impl Into<String>) {
        self.push(name, Verdict::Good, message.into(), None);
    }

    fn odd(&mut self, name: &str, message: impl Into<String>, fix: &str) {
        self.push(name, Verdict::Odd, message.into(), Some(fix));
    }

    fn bad(&mut self, name: &str, message: impl Into<String>, fix: &str) {
        self.push(name, Verdict::Bad, message.into(), Some(fix));
    }

    fn push(&mut self, name: &str, verdict: Verdict, message: String, fix: Option<&str>) {
        self.0.push(Check { name: name.to_owned(), verdict, message, fix: fix.map(str::to_owned) });
    }

    fn answer(self, output: &Output) -> Answer {
        let bad = self.0.iter().filter(|check| check.verdict == Verdict::Bad).count();
        let checks = self.0.iter().map(|check| {
            let verdict = match check.verdict {
                Verdict::Good => "ok",
                Verdict::Odd => "warning",
                Verdict::Bad => "failed",
            };
            let mut object = show::object([
                ("name", Value::from(check.name.as_str())),
                ("verdict", Value::from(verdict)),
                ("message", Value::from(check.message.as_str())),
            ]);
            if let Some(fix) = &check.fix {
                object.insert("fix".to_owned(), Value::from(fix.as_str()));
            }
            object
        });
        let data = show::object([("checks", show::objects(checks))]);
        let failure = (bad > 0).then(|| Failure::verification(format!("{} failed", show::plural(bad, "check"))));
        Answer::new(data, self.text(output)).count(self.0.len()).failed(failure)
    }

    fn text(&self, output: &Output) -> String {
        let mut text = String::new();
        let name_width = self.0.iter().map(|check| check.name.len()).max().unwrap_or(0).min(30);
        let indent = name_width + 3;
        for check in &self.0 {
            let mark = match check.verdict {
                Verdict::Good => output.paint.good("✓"),
                Verdict::Odd => output.paint.warn("!"),
                Verdict::Bad => output.paint.bad("✗"),
            };
            for (i, line) in check.message.lines().enumerate() {
                let (mark, name) = if i == 0 { (mark.as_str(), check.name.as_str()) } else { (" ", "") };
                let _infallible = writeln!(
                    text,
                    "{mark} {name:<name_width$} {}",
                    show::wrapped(&escaped(line), output.width, indent)
                );
            }
            if let Some(fix) = &check.fix {
                let _infallible = writeln!(
                    text,
                    "{:indent$}{} {}",
                    "",
                    output.paint.dim("fix:"),
                    show::wrapped(&escaped(fix), output.width, indent + 5)
                );
            }
        }
        text
    }
}

/// The answer where not even the settings can be read.
pub(crate) fn without_settings(output: &Output, failure: &Failure) -> Answer {
    let mut checks = Checks::default();
    checks.bad("config", failure.message.as_str(), "correct the setting where the message says");
    checks.answer(output)
}

/// Runs `doctor`.
pub(crate) async fn run(ctx: &Context, args: &Args) -> Result<Answer> {
    let mut checks = Checks::default();
    check_config(ctx, &mut checks);
    check_clock(&mut checks);
    if ctx.settings.profile.value == Profile::Embedded {
        if !ctx.directory().exists() {
            let message = format!("nothing is at {}", ctx.directory().display());
            checks.odd("directory", message, "mnemic init makes a memory there");
            return Ok(checks.answer(&ctx.output));
        }
        check_directory(ctx.directory(), &mut checks);
        check_space(ctx.directory(), &mut checks);
    }
    match ctx.open() {
        Ok(memory) => check_memory(ctx, args, &memory, &mut checks).await,
        Err(failure) => {
            let fix = failure
                .hint
                .clone()
                .unwrap_or_else(|| "restore a backup (mnemic restore), or choose another --dir".to_owned());
            checks.bad("ledger", failure.message, &fix);
        }
    }
    Ok(checks.answer(&ctx.output))
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
    if ctx.settings.profile.value == Profile::Dev {
        checks.odd(
            "profile",
            "dev keeps everything in process memory until the command ends",
            "use --profile embedded to keep it",
        );
    }
}

fn check_clock(checks: &mut Checks) {
    let now: Timestamp = jiff::Timestamp::now().into();
    if now.as_micros() < EARLIEST {
        checks.bad("clock", format!("the machine says that it is {now}"), "set the clock");
    } else {
        checks.good("clock", now.to_string());
    }
}

fn check_directory(directory: &Path, checks: &mut Checks) {
    let place = directory.display();
    let metadata = match fs::metadata(directory) {
        Ok(metadata) => metadata,
        Err(error) => {
            return checks.bad("directory", format!("{place}: {error}"), "grant access, or choose another --dir");
        }
    };
    if !metadata.is_dir() {
        return checks.bad("directory", format!("{place} is not a directory"), "choose another --dir");
    }
    let probe = directory.join(format!(".mnemic-doctor-{}", std::process::id()));
    if let Err(error) = fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe)) {
        return checks.bad(
            "directory",
            format!("cannot write in {place}: {error}"),
            "grant write access, or choose another --dir",
        );
    }
    // The lowest six bits are what the group and everybody else may do.
    let mode = metadata.permissions().mode() & 0o777;
    if mode.trailing_zeros() >= 6 {
        checks.good("directory", format!("{place} (mode {mode:o})"));
    } else {
        let fix = format!("chmod 700 {place}");
        checks.odd("directory", format!("{place} (mode {mode:o}): other users of this machine may look into it"), &fix);
    }
}

fn check_space(directory: &Path, checks: &mut Checks) {
    match rustix::fs::statvfs(directory) {
        Err(error) => checks.odd("disk", format!("free space is unknown: {error}"), "look with df"),
        Ok(space) => {
            let free = space.f_bavail.saturating_mul(space.f_frsize);
            let message = format!("{} free", show::bytes(free));
            if free < LITTLE_SPACE {
                checks.odd("disk", message, "make room before writing much");
            } else {
                checks.good("disk", message);
            }
        }
    }
}

async fn check_memory(ctx: &Context, args: &Args, memory: &MemoryManager, checks: &mut Checks) {
    for detail in memory.health_check().await.details {
        if detail.healthy {
            checks.good(&detail.part, detail.message);
        } else {
            checks.bad(&detail.part, detail.message, "see the checks below, or restore a backup (mnemic restore)");
        }
    }
    let namespaces = match namespaces(memory).await {
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
