//! `mnemic consolidate`: merges duplicates and removes what is over, and takes that back.

use std::fmt::Write as _;

use mnemic::{
    Consolidation, ConsolidationReport, Error, RecordId, Trial,
    policy::consolidation::{ConsolidationPlan, ConsolidationPolicy, Decay, Likeness, PruneReason},
    wire,
};

use crate::{
    context::Context,
    exit::Result,
    input::{self, FilterArgs},
    output::{Answer, Output, one_line},
    show,
};

/// Options of `consolidate`.
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    filter: FilterArgs,
    /// How alike near duplicates are, above 0 to 1 [default: 0.85]
    #[arg(long, value_name = "RATIO", allow_negative_numbers = true)]
    near: Option<f64>,
    /// Merge exact duplicates only
    #[arg(long, conflicts_with = "near")]
    exact: bool,
    /// Let salience fade by half in this time, such as 90d, and remove what falls below --floor
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    half_life: Option<String>,
    /// Salience below which a fading record is removed [default: 0.05]
    #[arg(long, value_name = "RATIO", requires = "half_life", allow_negative_numbers = true)]
    floor: Option<f64>,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Action {
    /// Take a consolidation back, all of it or none
    Undo {
        /// The id that the consolidation answered with
        #[arg(value_name = "ID")]
        id: String,
    },
}

const DEFAULT_FLOOR: f64 = 0.05;

impl Args {
    pub(crate) fn name(&self) -> &'static str {
        match self.action {
            Some(Action::Undo { .. }) => "consolidate undo",
            None => "consolidate",
        }
    }

    fn how(&self) -> mnemic::Result<Consolidation> {
        let standard = ConsolidationPolicy::default();
        let near = match (self.exact, input::ratio("near", self.near)?) {
            (true, _) => None,
            (false, None) => standard.near,
            (false, given) => given,
        };
        let floor = input::ratio("floor", Some(self.floor.unwrap_or(DEFAULT_FLOOR)))?;
        let decay = match (&self.half_life, floor) {
            (Some(text), Some(floor)) => {
                let half_life = input::duration("half_life", text)?;
                if half_life.is_zero() {
                    return Err(Error::invalid("half_life", "a length of time above 0", text));
                }
                Some(Decay { half_life, floor })
            }
            _ => None,
        };
        let trial = if self.dry_run { Trial::Dry } else { Trial::Real };
        Ok(Consolidation { filter: self.filter.filter()?, policy: ConsolidationPolicy { near, decay }, trial })
    }
}

/// Runs `consolidate`.
pub(crate) async fn run(ctx: &Context, args: &Args) -> Result<Answer> {
    match &args.action {
        Some(Action::Undo { id }) => undo(ctx, id).await,
        None => {
            let how = args.how()?;
            let memory = ctx.open_existing()?;
            let report = memory.consolidate(&how).await?;
            if report.id.is_some() {
                ctx.close(&memory).await;
            }
            let data = wire::consolidation_object(&report);
            let id = report.id.clone().unwrap_or_default();
            Ok(Answer::new(data, report_text(&ctx.output, &report, how.trial)).brief(id))
        }
    }
}

async fn undo(ctx: &Context, id: &str) -> Result<Answer> {
    let memory = ctx.open_existing()?;
    let undone = memory.undo_consolidation(id).await?;
    ctx.close(&memory).await;
    let count = undone.restored.len();
    let data = wire::undone_object(&undone);
    let ids: Vec<&str> = undone.restored.iter().map(RecordId::as_str).collect();
    Ok(Answer::new(data, format!("{} are again what they were", show::plural(count, "record")))
        .count(count)
        .brief(ids.join("\n")))
}

/// What a consolidation did or would do, for people.
pub(crate) fn report_text(output: &Output, report: &ConsolidationReport, trial: Trial) -> String {
    let plan = &report.plan;
    let mut text = plan_lines(output, plan);
    let dropped: usize = plan.merges.iter().map(|merge| merge.dropped.len()).sum();
    let would = if trial == Trial::Dry { "would be " } else { "" };
    let _infallible = writeln!(
        text,
        "{} examined: {dropped} {would}merged into {}, {} {would}removed, {} left",
        plan.examined,
        plan.merges.len(),
        plan.prunes.len(),
        report.remaining,
    );
    if let Some(id) = &report.id {
        let _infallible = writeln!(text, "to take it back: mnemic consolidate undo {id}");
    }
    text
}

fn plan_lines(output: &Output, plan: &ConsolidationPlan) -> String {
    let mut text = String::new();
    for merge in &plan.merges {
        let dropped: Vec<String> = merge.dropped.iter().map(|id| one_line(id.as_str())).collect();
        let line = format!(
            "merge  {} <- {} ({})",
            one_line(merge.kept.id.as_str()),
            dropped.join(", "),
            likeness(merge.likeness)
        );
        let _infallible = writeln!(text, "{line}");
        let quote = format!("       {}", show::cut(&merge.kept.text, output.width.saturating_sub(7)));
        let _infallible = writeln!(text, "{}", output.paint.dim(&quote));
    }
    for prune in &plan.prunes {
        let _infallible = writeln!(text, "remove {} ({})", one_line(prune.id.as_str()), reason(prune.reason));
    }
    text
}

fn likeness(likeness: Likeness) -> String {
    match likeness {
        Likeness::Exact => "exact".to_owned(),
        Likeness::Near(ratio) => format!("near, {ratio:.2}"),
    }
}

fn reason(reason: PruneReason) -> &'static str {
    match reason {
        PruneReason::Expired => "expired",
        PruneReason::Faded => "faded",
    }
}
