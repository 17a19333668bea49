//! `mnemic reembed`: gives the memory embeddings of another model: in a copy that is made while the memory is used, compared, switched
//! to, and taken back. Not here: how (the library), and what the answers look like (`figures`).

mod figures;

use std::{fmt::Write as _, path::PathBuf};

use mnemic::{
    Builder, ChangeSeq, CutOver, EmbeddingModel, GateQuestion, MemoryManager, MovePhase, Namespace, QualityGate,
    QualityReport, Ratio, RecordId, Role, Value,
};

use crate::{
    context::Context,
    evaluation::questions,
    exit::{Exit, Failure, Result},
    input,
    output::Answer,
    show,
};

/// Characters of a model's name in the name of its namespace.
const SHORT: usize = 24;

/// The steps of a re-embedding.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Say how many texts are to be embedded, what that costs and how long it takes; embeds a few to measure, writes nothing
    Plan(Target),
    /// Make the copy, or go on making it, until it holds what the memory holds
    Run(Target),
    /// Compare both, and hold the copy's answers to the quality gate; exit code 7 if anything differs or the gate does not pass
    Compare(CompareArgs),
    /// Hold the copy to the quality gate, bring the rest over, and switch every process to it
    Switch(SwitchArgs),
    /// Take it back: before the switch the copy is removed, after it the old embeddings serve again, with what was written since
    Undo(Target),
    /// After the switch, remove the old embeddings; after an undo, remove the copy. A pointer stays
    Finish(Target),
}

/// Where the new embeddings go.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Target {
    /// A file of variables, such as a copy of the .env with another embedder; it names the place of the copy too
    #[arg(long, value_name = "FILE")]
    to_env: PathBuf,
    /// The copy's namespace; the memory's name with the model's if absent
    #[arg(long, value_name = "NAME")]
    to_namespace: Option<String>,
}

/// What the copy must reach.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Gate {
    /// What to ask both: JSON Lines with `question` and, where the answer is known, `evidence` (record ids), as for eval; without a
    /// file, the beginnings of stored texts are asked, each to find its record
    #[arg(long, value_name = "FILE")]
    queries: Option<PathBuf>,
    /// How many stored texts to ask for
    #[arg(long, value_name = "COUNT", default_value = "100", value_parser = input::count, allow_hyphen_values = true, conflicts_with = "queries")]
    samples: usize,
    /// The least share of the memory's ten hits that are among the copy's ten
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, allow_hyphen_values = true)]
    min_overlap: f64,
    /// The least recall of the copy, as a share of the memory's own
    #[arg(long, value_name = "SHARE", default_value_t = 0.95, allow_hyphen_values = true)]
    min_recall: f64,
}

/// Options of `reembed compare`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CompareArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    gate: Gate,
}

/// Options of `reembed switch`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SwitchArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    gate: Gate,
    /// Switch although the quality gate does not pass
    #[arg(long)]
    despite_quality: bool,
    /// How long writes go to the old place too, so that going back keeps them even if the new place is lost; 0s for not at all
    #[arg(long, value_name = "TIME", default_value = "24h")]
    window: String,
}

impl Command {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Plan(_) => "reembed plan",
            Self::Run(_) => "reembed run",
            Self::Compare(_) => "reembed compare",
            Self::Switch(_) => "reembed switch",
            Self::Undo(_) => "reembed undo",
            Self::Finish(_) => "reembed finish",
        }
    }
}

/// Runs `reembed`.
pub(crate) async fn run(ctx: &Context, command: &Command) -> Result<Answer> {
    match command {
        Command::Plan(target) => plan(&pair(ctx, target).await?).await,
        Command::Run(target) => copy(ctx, &pair(ctx, target).await?).await,
        Command::Compare(args) => compare(&pair(ctx, &args.target).await?, &args.gate).await,
        Command::Switch(args) => switch(&pair(ctx, &args.target).await?, args).await,
        Command::Undo(target) => undo(&pair(ctx, target).await?).await,
        Command::Finish(target) => finish(ctx, &pair(ctx, target).await?).await,
    }
}

/// A memory and its copy, and how the copy was named.
struct Pair {
    memory: MemoryManager,
    copy: MemoryManager,
    typed: String,
}

async fn pair(ctx: &Context, target: &Target) -> Result<Pair> {
    let opened = Builder::from_env_file(&target.to_env)?.build(ctx.namespace().clone())?;
    let Some(model) = opened.embedding_model() else {
        let message = format!("to_env: expected a file with an embedder, found none in {}", target.to_env.display());
        return Err(Failure::usage(message).hint("set MNEMIC_EMBEDDER, or the key of a hosted one"));
    };
    let name = match &target.to_namespace {
        Some(name) => Namespace::new(name)?,
        None => sibling(ctx.namespace(), model)?,
    };
    let named = target.to_namespace.as_ref().map(|name| format!(" --to-namespace {name}")).unwrap_or_default();
    let typed = format!("--to-env {}{named}", target.to_env.display());
    let copy = opened.in_namespace(name);
    let memory = ctx.open_existing()?.place_before(&copy).await?;
    Ok(Pair { memory, copy, typed })
}

/// The memory's name with the model's, as far as a name takes it.
fn sibling(namespace: &Namespace, model: &EmbeddingModel) -> Result<Namespace> {
    let name = model.name().rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let name = name.split('#').next().unwrap_or_default();
    let plain = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
    let short: String = name.chars().map(plain).take(SHORT).collect();
    let model = format!("{short}-{}", model.dimension());
    let kept: String = namespace.as_str().chars().take(62 - model.len()).collect();
    Ok(Namespace::new(format!("{kept}-{model}"))?)
}

async fn plan(pair: &Pair) -> Result<Answer> {
    let plan = pair.memory.plan_reembedding(&pair.copy).await?;
    let failure = (!plan.obstacles.is_empty()).then(|| Failure {
        exit: Exit::Config,
        code: "unsupported",
        message: format!("{} in the way", show::plural(plan.obstacles.len(), "obstacle")),
        field: None,
        hint: None,
    });
    let mut text = figures::plan_text(&plan);
    if failure.is_none() {
        let _infallible = writeln!(text, "mnemic reembed run {} makes the copy {}", pair.typed, pair.copy.namespace());
    }
    Ok(Answer::new(figures::plan_object(&plan, &pair.memory, &pair.copy), text).failed(failure))
}

async fn copy(ctx: &Context, pair: &Pair) -> Result<Answer> {
    let held = pair.memory.stats().await?.ledger.head;
    let bar = ctx.progress(Some(held.0), "embedding");
    let reached = |seq: ChangeSeq| bar.set_position(seq.0);
    let followed = pair.memory.reembed_to(&pair.copy, reached).await;
    bar.finish_and_clear();
    let followed = followed?;
    ctx.close(&pair.copy).await;
    let text = format!(
        "{} changes carried to {}, which stands at position {}\n\
         mnemic reembed compare {typed} tells whether it finds as well; mnemic reembed switch {typed} switches to it\n",
        followed.changes,
        pair.copy.namespace(),
        followed.head.0,
        typed = pair.typed
    );
    let mut data = figures::names(&pair.memory, &pair.copy);
    data.insert("changes".to_owned(), Value::from(followed.changes));
    data.insert("head".to_owned(), Value::from(followed.head.0));
    Ok(Answer::new(data, text))
}

impl Gate {
    fn gate(&self) -> Result<QualityGate> {
        let share = |field: &str, value: f64| Ratio::new(field, value).map(Ratio::get);
        let asked = self.queries.as_deref().map(questions::read_to_ask).transpose()?.unwrap_or_default();
        let question = |question: questions::Question| -> Result<GateQuestion> {
            let expected: mnemic::Result<Vec<RecordId>> = question.evidence.into_iter().map(RecordId::new).collect();
            Ok(GateQuestion { text: question.text, expected: expected? })
        };
        Ok(QualityGate {
            questions: asked.into_iter().map(question).collect::<Result<_>>()?,
            samples: self.samples,
            min_overlap: share("min_overlap", self.min_overlap)?,
            min_recall: share("min_recall", self.min_recall)?,
        })
    }
}

async fn compare(pair: &Pair, gate: &Gate) -> Result<Answer> {
    let report = pair.memory.compare_reembedded(&pair.copy, &gate.gate()?).await?;
    let failure = if report.is_same() {
        below(&report.quality)
    } else {
        let failure = Failure::verification("the copy is not the same memory");
        Some(failure.hint(format!("mnemic reembed run {} brings over what was written since", pair.typed)))
    };
    let mut data = figures::names(&pair.memory, &pair.copy);
    data.extend(figures::report_object(&report));
    Ok(Answer::new(data, figures::report_text(&report)).failed(failure))
}

/// The failure of a copy that does not pass the gate.
fn below(quality: &QualityReport) -> Option<Failure> {
    (!quality.passes()).then(|| Failure {
        exit: Exit::Verification,
        code: "quality_below_gate",
        message: format!("the quality gate does not pass: {}", quality.faults.join("; ")),
        field: None,
        hint: Some("--min-overlap and --min-recall set the gate, --queries asks what matters".to_owned()),
    })
}

async fn switch(pair: &Pair, args: &SwitchArgs) -> Result<Answer> {
    let how = CutOver { window: input::duration("window", &args.window)? };
    let (memory, copy) = (&pair.memory, &pair.copy);
    let mut data = figures::names(memory, copy);
    let mut text = String::new();
    let phase = memory.move_status(copy).await?.phase;
    if phase == MovePhase::NotBegun {
        let message = format!("namespace {} is no copy of this memory", copy.namespace());
        return Err(Failure::not_found(message).hint(format!("mnemic reembed run {} makes it", pair.typed)));
    }
    // A switch that was begun is finished; what it was held to, it was held to before.
    if phase == MovePhase::Copying {
        memory.reembed_to(copy, |_| {}).await?;
        let quality = memory.ask_both(copy, &args.gate.gate()?).await?;
        text = figures::quality_text(&quality);
        data.insert("quality".to_owned(), Value::Object(figures::quality_object(&quality)));
        if let Some(failure) = below(&quality).filter(|_| !args.despite_quality) {
            let failure = failure.hint("nothing was switched; --despite-quality switches all the same");
            return Ok(Answer::new(data, text).failed(Some(failure)));
        }
    }
    let switched = memory.cut_over(copy, &how).await?;
    data.extend(figures::switched_object(&switched, phase != MovePhase::Moved));
    let told = match phase {
        MovePhase::Moved => "had been switched before".to_owned(),
        _ => format!("switched at position {}; writes waited {:.0?}", switched.head.0, switched.paused),
    };
    let _infallible = writeln!(
        text,
        "{} -> {}: {told}\n\
         mnemic reembed undo {typed} returns to the old embeddings with everything that was written since\n\
         mnemic reembed finish {typed} removes them",
        memory.namespace(),
        copy.namespace(),
        typed = pair.typed
    );
    Ok(Answer::new(data, text))
}

async fn undo(pair: &Pair) -> Result<Answer> {
    let (memory, copy) = (&pair.memory, &pair.copy);
    let begun = memory.move_status(copy).await?;
    let switched = memory.roll_back(copy).await?;
    let mut data = figures::names(memory, copy);
    let was_copy = matches!(begun.target.0, Role::Copy { .. });
    data.extend(figures::switched_object(&switched, !was_copy));
    let text = if was_copy {
        format!("{}: the copy is removed; the memory was served here all the time\n", copy.namespace())
    } else {
        format!(
            "{} serves again at position {}, with what was written since; writes waited {:.0?}\n\
             mnemic reembed finish {} removes the copy, mnemic reembed switch {} switches to it again\n",
            memory.namespace(),
            switched.head.0,
            switched.paused,
            pair.typed,
            pair.typed
        )
    };
    Ok(Answer::new(data, text))
}

async fn finish(ctx: &Context, pair: &Pair) -> Result<Answer> {
    let (memory, copy) = (&pair.memory, &pair.copy);
    let status = memory.move_status(copy).await?;
    let undone = matches!((&status.source.0, &status.target.0), (Role::Serving { .. }, Role::Moved { .. }));
    let (kept, removed) = if undone { (memory, copy) } else { (copy, memory) };
    ctx.confirm(&format!(
        "Remove namespace {} with its embeddings? The memory stays in {}.",
        removed.namespace(),
        kept.namespace()
    ))?;
    if undone {
        memory.abort_migration(copy).await?;
    } else {
        memory.finish_migration(copy).await?;
    }
    let mut data = figures::names(memory, copy);
    data.insert("serves".to_owned(), Value::from(kept.namespace().as_str()));
    data.insert("removed".to_owned(), Value::from(removed.namespace().as_str()));
    Ok(Answer::new(data, format!("{} serves; {} is removed\n", kept.namespace(), removed.namespace())))
}

#[cfg(test)]
mod tests {
    use mnemic::Metric;

    use super::*;

    #[test]
    fn a_copy_is_named_after_its_model_and_dimension_as_far_as_a_name_takes_it() {
        let name = |namespace: &str, model: &str, dimension| {
            let model = EmbeddingModel::new("tei", model, dimension, Metric::Cosine).unwrap();
            sibling(&Namespace::new(namespace).unwrap(), &model).unwrap().to_string()
        };
        assert_eq!(name("default", "voyage-3.5", 1024), "default-voyage-3-5-1024");
        assert_eq!(name("default", "BAAI/bge-m3#0a1b2c3d", 512), "default-bge-m3-512");
        assert_ne!(name("default", "m", 256), name("default", "m", 512));
        let long = name(&"n".repeat(63), "a-model-with-a-name-that-is-long", 8192);
        assert!(long.len() <= 63 && long.ends_with("-a-model-with-a-name-that-8192"), "{long}");
    }
}
