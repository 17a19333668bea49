//! `mnemic migrate`: moves the memory to another backend, and compares both. Not here: how (`mnemic-migration`).

use std::{env, fmt::Write as _, path::PathBuf};

use mnemic::{
    Builder, ChangeSeq, MemoryManager, MigrationPlan, MigrationReport, Namespace, Object, PageRequest, Value,
    config::{self, Flags, Inputs, Profile},
};

use crate::{
    context::Context,
    exit::{Exit, Failure, Result},
    input,
    output::{Answer, escaped},
    show,
};

/// The steps of a migration.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Say what would be moved, and what stands in the way; changes nothing
    Plan(Target),
    /// Copy, or go on copying, until the target holds what the source holds
    Run(Target),
    /// Compare every record, revision, embedding, event and slot; exit code 7 if anything differs
    Verify(VerifyArgs),
}

/// Where to.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Target {
    /// A directory: the target is an embedded memory there
    #[arg(long, value_name = "DIR", required_unless_present = "to_env", conflicts_with = "to_env")]
    to: Option<PathBuf>,
    /// A file of variables, such as the .env of a deployment: the target is the memory that they name
    #[arg(long, value_name = "FILE")]
    to_env: Option<PathBuf>,
    /// The target's namespace; the source's name if absent
    #[arg(long, value_name = "NAME", conflicts_with = "all_namespaces")]
    to_namespace: Option<String>,
    /// Every namespace, each to the one of its name
    #[arg(long)]
    all_namespaces: bool,
}

/// Options of `migrate verify`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    target: Target,
    /// Retrievals to ask of both
    #[arg(long, value_name = "COUNT", default_value = "20", value_parser = input::count, allow_hyphen_values = true)]
    samples: usize,
}

impl Command {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Plan(_) => "migrate plan",
            Self::Run(_) => "migrate run",
            Self::Verify(_) => "migrate verify",
        }
    }
}

/// A namespace and where it goes.
struct Pair {
    source: MemoryManager,
    target: MemoryManager,
}

/// Runs `migrate`.
pub(crate) async fn run(ctx: &Context, command: &Command) -> Result<Answer> {
    match command {
        Command::Plan(target) => plan(&pairs(ctx, target).await?).await,
        Command::Run(target) => copy(ctx, &pairs(ctx, target).await?).await,
        Command::Verify(args) => verify(&pairs(ctx, &args.target).await?, args.samples).await,
    }
}

async fn pairs(ctx: &Context, target: &Target) -> Result<Vec<Pair>> {
    let source = ctx.open_existing()?;
    let mut namespaces = vec![ctx.namespace().clone()];
    if target.all_namespaces {
        namespaces = every_namespace(&source).await?;
    }
    let renamed = target.to_namespace.as_deref().map(Namespace::new).transpose()?;
    let opened = open(target)?.build(ctx.namespace().clone())?;
    let pair = |namespace: Namespace| Pair {
        target: opened.in_namespace(renamed.clone().unwrap_or_else(|| namespace.clone())),
        source: source.in_namespace(namespace),
    };
    Ok(namespaces.into_iter().map(pair).collect())
}

async fn every_namespace(memory: &MemoryManager) -> Result<Vec<Namespace>> {
    let mut page = PageRequest::largest();
    let mut namespaces = Vec::new();
    loop {
        let found = memory.namespaces(&page).await?;
        namespaces.extend(found.items);
        if found.next.is_none() {
            return Ok(namespaces);
        }
        page = page.after(found.next);
    }
}

/// The target's parts. Nothing of the source's environment reaches them: a variable that was meant for one must not lead to the other.
fn open(target: &Target) -> Result<Builder> {
    let flags = Flags {
        profile: target.to.as_ref().map(|_| Profile::Embedded.to_string()),
        dir: target.to.clone(),
        env_file: target.to_env.clone(),
        ..Flags::default()
    };
    let here = env::current_dir().unwrap_or_else(|_gone| PathBuf::from("."));
    let homes = |name: &str| ["HOME", "XDG_DATA_HOME"].contains(&name).then(|| env::var_os(name)).flatten();
    let settings = config::load(&Inputs { flags: &flags, environment: &homes, working_directory: &here })?;
    Ok(Builder::from_settings(&settings)?)
}

fn names(pair: &Pair) -> String {
    let (source, target) = (pair.source.namespace(), pair.target.namespace());
    if source == target { source.to_string() } else { format!("{source} -> {target}") }
}

async fn plan(pairs: &[Pair]) -> Result<Answer> {
    let (mut text, mut plans, mut blocked) = (String::new(), Vec::new(), 0);
    for pair in pairs {
        let plan = pair.source.plan_migration(&pair.target).await?;
        blocked += plan.obstacles.len();
        let _infallible = writeln!(
            text,
            "{}: {} of {} changes to copy: {} records in {} revisions with {} embeddings, {} events, slots of {} threads",
            names(pair),
            plan.changes.saturating_sub(plan.done),
            plan.changes,
            plan.records,
            plan.revisions,
            plan.embeddings,
            plan.events,
            plan.threads,
        );
        for obstacle in &plan.obstacles {
            let _infallible = writeln!(text, "  cannot be done: {}", escaped(obstacle));
        }
        plans.push(plan_object(pair, &plan));
    }
    let failure = (blocked > 0).then(|| Failure {
        exit: Exit::Config,
        code: "unsupported",
        message: format!("{} in the way", show::plural(blocked, "obstacle")),
        field: None,
        hint: None,
    });
    Ok(Answer::new(show::object([("namespaces", show::objects(plans))]), text).count(pairs.len()).failed(failure))
}

fn plan_object(pair: &Pair, plan: &MigrationPlan) -> Object {
    show::object([
        ("namespace", Value::from(pair.source.namespace().as_str())),
        ("target", Value::from(pair.target.namespace().as_str())),
        ("changes", Value::from(plan.changes)),
        ("done", Value::from(plan.done)),
        ("records", Value::from(plan.records)),
        ("revisions", Value::from(plan.revisions)),
        ("embeddings", Value::from(plan.embeddings)),
        ("events", Value::from(plan.events)),
        ("threads", Value::from(plan.threads)),
        ("bytes", Value::from(plan.bytes)),
        ("models", show::strings(plan.models.iter().map(ToString::to_string))),
        ("obstacles", show::strings(&plan.obstacles)),
    ])
}

async fn copy(ctx: &Context, pairs: &[Pair]) -> Result<Answer> {
    let (mut text, mut done) = (String::new(), Vec::new());
    for pair in pairs {
        let plan = pair.source.plan_migration(&pair.target).await?;
        let bar = ctx.progress(Some(plan.changes), "copying");
        let reached = |seq: ChangeSeq| bar.set_position(seq.0);
        let followed = pair.source.migrate_to(&pair.target, reached).await;
        bar.finish_and_clear();
        let followed = followed?;
        ctx.close(&pair.target).await;
        let _infallible = writeln!(
            text,
            "{}: {} changes copied, the target stands at position {}",
            names(pair),
            followed.changes,
            followed.head.0
        );
        done.push(show::object([
            ("namespace", Value::from(pair.source.namespace().as_str())),
            ("target", Value::from(pair.target.namespace().as_str())),
            ("changes", Value::from(followed.changes)),
            ("head", Value::from(followed.head.0)),
        ]));
    }
    text.push_str("compare both with mnemic migrate verify; run this again to bring over what was written since\n");
    Ok(Answer::new(show::object([("namespaces", show::objects(done))]), text).count(pairs.len()))
}

async fn verify(pairs: &[Pair], samples: usize) -> Result<Answer> {
    let (mut text, mut reports, mut differing) = (String::new(), Vec::new(), 0);
    for pair in pairs {
        let report = pair.source.compare_with(&pair.target, samples).await?;
        differing += report.comparison.differing + report.index_faults.len() as u64;
        describe(&mut text, pair, &report);
        reports.push(report_object(pair, &report));
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
        names(pair),
        seen.changes,
        seen.records,
        seen.revisions,
        seen.embeddings,
        seen.events,
        seen.slots,
        if report.is_same() { "the same".to_owned() } else { format!("{} differences", seen.differing) },
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

fn report_object(pair: &Pair, report: &MigrationReport) -> Object {
    let seen = &report.comparison;
    show::object([
        ("namespace", Value::from(pair.source.namespace().as_str())),
        ("target", Value::from(pair.target.namespace().as_str())),
        ("same", Value::from(report.is_same())),
        ("changes", Value::from(seen.changes)),
        ("records", Value::from(seen.records)),
        ("revisions", Value::from(seen.revisions)),
        ("embeddings", Value::from(seen.embeddings)),
        ("events", Value::from(seen.events)),
        ("slots", Value::from(seen.slots)),
        ("differing", Value::from(seen.differing)),
        ("differences", show::strings(&seen.differences)),
        ("index_faults", show::strings(&report.index_faults)),
        ("asked", show::number(report.asked)),
        ("same_order", show::number(report.same_order)),
        ("overlap", show::double(report.overlap)),
    ])
}
