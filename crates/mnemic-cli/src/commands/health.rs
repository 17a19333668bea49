//! `mnemic health`: whether each part serves.

use std::fmt::Write as _;

use mnemic::{Health, wire};

use crate::{
    context::Context,
    exit::{Exit, Failure, Result},
    output::{Answer, Output, escaped},
    show,
};

/// Options of `health`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs `health`.
pub(crate) async fn run(ctx: &Context, _args: &Args) -> Result<Answer> {
    let health = ctx.open_existing()?.health_check().await;
    let ailing: Vec<&str> =
        health.details.iter().filter(|detail| !detail.healthy).map(|detail| detail.part.as_str()).collect();
    let failure = (!health.all() || !ailing.is_empty()).then(|| Failure {
        exit: Exit::Unavailable,
        code: "unavailable",
        message: format!("not serving: {}", ailing.join(", ")),
        field: None,
        hint: Some("mnemic doctor says what to do".to_owned()),
    });
    Ok(Answer::new(wire::health_object(&health), health_text(&ctx.output, &health)).failed(failure))
}

/// Health for people, one line a part.
pub(crate) fn health_text(output: &Output, health: &Health) -> String {
    let mut text = String::new();
    let mark = |healthy: bool| if healthy { output.paint.good("✓") } else { output.paint.bad("✗") };
    for (name, healthy) in [("semantic", health.semantic), ("episodic", health.episodic), ("working", health.working)] {
        let _infallible = writeln!(text, "{} {name}", mark(healthy));
    }
    for detail in &health.details {
        let line = format!("{:<12} {}", detail.part, show::wrapped(&escaped(&detail.message), output.width, 17));
        let _infallible = writeln!(text, "  {} {line}", mark(detail.healthy));
    }
    text
}
