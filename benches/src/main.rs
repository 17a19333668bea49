//! Measures what Mnemic claims about speed and size, as ratios to plain alternatives measured in the same run.
//! Not here: quality of retrieval (`mnemic eval`), limits that fail a build.

mod corpus;
mod insert;
mod meanwhile;
mod measure;
mod open;
mod production;
mod report;
mod resident;
mod search;

use std::{io::Write, process::ExitCode, time::Duration};

use mnemic::Result;
use report::Report;

/// Everything that can be measured by itself.
const PARTS: [&str; 11] = [
    "insert",
    "search",
    "meanwhile",
    "open",
    production::ALL,
    "batch",
    "migration",
    "writers",
    "client",
    "overhead",
    "latency",
];

/// How much to measure.
#[derive(Clone, Debug)]
struct Plan {
    /// Sizes of memory to search in.
    sizes: Vec<usize>,
    /// Repetitions of each insert.
    rounds: usize,
    /// Queries at each size.
    queries: usize,
    /// How long each round of throughput lasts.
    round: Duration,
    /// The one part to measure, for profiling.
    only: Option<String>,
}

impl Plan {
    fn from_arguments(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let (sizes, round) = (vec![1_000, 10_000, 100_000], Duration::from_secs(10));
        let mut plan = Self { sizes, rounds: 15, queries: 200, round, only: None };
        for argument in arguments {
            match argument.as_str() {
                "--quick" => {
                    let (sizes, round) = (vec![1_000, 10_000], Duration::from_secs(3));
                    plan = Self { sizes, rounds: 5, queries: 50, round, only: plan.only };
                }
                part if PARTS.contains(&part) => plan.only = Some(argument),
                other => return Err(format!("expected --quick or one of {}, found {other}", PARTS.join(", "))),
            }
        }
        Ok(plan)
    }

    fn includes(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == part)
    }
}

fn main() -> ExitCode {
    if let Some(directory) = resident::asked() {
        return resident::answer(&directory);
    }
    if let Some(vendor) = production::stand_in::asked() {
        return production::stand_in::answer(&vendor);
    }
    if let Some(directory) = production::migrated::asked() {
        return production::migrated::answer(&directory);
    }
    let measured =
        Plan::from_arguments(std::env::args().skip(1)).and_then(|plan| measure_all(plan).map_err(|e| e.to_string()));
    let (text, code) = match measured {
        Ok(report) => (report.to_string(), ExitCode::SUCCESS),
        Err(message) => (format!("mnemic-bench: {message}\n"), ExitCode::FAILURE),
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

fn measure_all(plan: Plan) -> Result<Report> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| mnemic::Error::bug(format!("no runtime: {error}")))?;
    // A task of the runtime, as programs call: what waits outside of it is woken across threads each time.
    let measured = runtime.spawn(async move {
        let mut report = Report::default();
        if plan.includes("insert") {
            insert::measure(&plan, &mut report).await?;
        }
        for size in plan.sizes.iter().filter(|_| plan.includes("search")) {
            search::measure(&plan, *size, &mut report).await?;
        }
        if plan.includes("meanwhile") {
            meanwhile::measure(&plan, &mut report).await?;
        }
        if plan.includes("open") {
            open::measure(&plan, &mut report).await?;
        }
        production::measure(&plan, &mut report).await?;
        Ok(report)
    });
    runtime.block_on(measured).map_err(|error| mnemic::Error::bug(format!("a measurement broke off: {error}")))?
}
