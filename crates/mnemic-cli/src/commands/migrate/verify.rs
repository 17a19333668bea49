//! `mnemic migrate verify`: whether both places hold the same memory. Not here: how they are compared (the library).

use std::{fmt::Write as _, path::PathBuf};

use mnemic::{MigrationReport, Object, Value};

use super::{Pair, Target, existing_pairs, notes, report};
use crate::{
    context::Context,
    exit::{Exit, Failure, Result},
    input,
    output::{Answer, escaped},
    show,
};

/// Differences that a note keeps.
const NOTED: usize = 20;

/// Options of `migrate verify`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Retrievals to ask of both
    #[arg(long, value_name = "COUNT", default_value = "20", value_parser = input::count, allow_hyphen_values = true)]
    samples: usize,
    /// Write the result into this file too, as part of the report that mnemic migrate report writes
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// Runs `migrate verify`.
pub(super) async fn run(ctx: &Context, args: &Args) -> Result<Answer> {
    let pairs = existing_pairs(ctx, &args.target).await?;
    let (mut text, mut reports, mut differing) = (String::new(), Vec::new(), 0);
    for pair in &pairs {
        let found = pair.source.compare_with(&pair.target, args.samples).await?;
        differing += found.comparison.differing + found.index_faults.len() as u64;
        describe(&mut text, pair, &found);
        notes::write(pair, "verify", noted(&found));
        reports.push(object(pair, &found));
    }
    if let Some(file) = &args.report {
        let document = report::document(&pairs).await?;
        report::save(file, &document)?;
        let _infallible = writeln!(text, "the report is in {}", file.display());
    }
    let failure = (differing > 0).then(|| Failure {
        exit: Exit::Verification,
        code: "verification_failed",
        message: format!("{differing} differences"),
        field: None,
        hint: Some("mnemic migrate run brings over what was written since the last run".to_owned()),
    });
    Ok(Answer::new(show::object([("namespaces", show::objects(reports))]), text).count(pairs.len()).failed(failure))
}

fn describe(text: &mut String, pair: &Pair, report: &MigrationReport) {
    let seen = &report.comparison;
    let _infallible = writeln!(
        text,
        "{}: {} changes, {} records in {} revisions, {} embeddings, {} events, {} versions of slots compared: {}",
        pair.names(),
        seen.changes,
        seen.records,
        seen.revisions,
        seen.embeddings,
        seen.events,
        seen.slots,
        if report.is_same() { "the same".to_owned() } else { format!("{} differences", differing(report)) },
    );
    for difference in seen.differences.iter().chain(&report.index_faults) {
        let _infallible = writeln!(text, "  {}", escaped(difference));
    }
    if report.asked > 0 {
        let _infallible = writeln!(
            text,
            "  {} retrievals: {} the same to the order, {:.1} % of the hits found",
            report.asked,
            report.same_order,
            report.overlap * 100.0
        );
    }
}

fn differing(report: &MigrationReport) -> u64 {
    report.comparison.differing + report.index_faults.len() as u64
}

fn figures(report: &MigrationReport) -> Object {
    let seen = &report.comparison;
    show::object([
        ("same", Value::from(report.is_same())),
        ("changes", Value::from(seen.changes)),
        ("records", Value::from(seen.records)),
        ("revisions", Value::from(seen.revisions)),
        ("embeddings", Value::from(seen.embeddings)),
        ("events", Value::from(seen.events)),
        ("slots", Value::from(seen.slots)),
        ("differing", Value::from(seen.differing)),
        ("asked", show::number(report.asked)),
        ("same_order", show::number(report.same_order)),
        ("overlap", show::double(report.overlap)),
    ])
}

fn object(pair: &Pair, report: &MigrationReport) -> Object {
    let mut object = figures(report);
    object.extend(show::object([
        ("namespace", Value::from(pair.source.namespace().as_str())),
        ("target", Value::from(pair.target.namespace().as_str())),
        ("differences", show::strings(&report.comparison.differences)),
        ("index_faults", show::strings(&report.index_faults)),
    ]));
    object
}

/// What a report tells later: the figures, and the first of what differs.
fn noted(report: &MigrationReport) -> Object {
    let mut object = figures(report);
    let first = report.comparison.differences.iter().chain(&report.index_faults).take(NOTED);
    object.insert("differences".to_owned(), show::strings(first));
    object
}
