//! `mnemic eval`: how well questions with known answers are answered, by words, by embedding and by both.
//! Not here: the figures (`evaluation`).

use std::{
    fs,
    path::{Path, PathBuf},
};

use mnemic::{
    LegWeights, MemoryManager, Mode, Object, Policies, Value,
    config::{EmbedderChoice, Origin, Profile, Settings},
    policy::fusion::Fusion,
};

use crate::{
    context::Context,
    evaluation::{questions, run as evaluation, table},
    exit::{Failure, Result},
    output::Answer,
    show,
};

/// Options of `eval`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// A directory of pairs NAME.corpus.jsonl and NAME.queries.jsonl, each measured in turn
    #[arg(value_name = "DIR", conflicts_with_all = ["corpus", "queries"], required_unless_present = "corpus")]
    data: Option<PathBuf>,
    /// What to remember: the conversations format of `import`
    #[arg(long, value_name = "FILE", requires = "queries")]
    corpus: Option<PathBuf>,
    /// What to ask: JSON Lines with `question`, `evidence` (record ids), and optionally `conv`, `category`, `evidence_sessions`
    #[arg(long, value_name = "FILE", requires = "corpus")]
    queries: Option<PathBuf>,
    /// Which ways of searching to measure
    #[arg(long, value_enum, default_value = "all")]
    mode: Modes,
    /// How much search by embedding and search by words count
    #[arg(long, value_name = "DENSE,LEXICAL", value_parser = weights)]
    weights: Option<LegWeights>,
    /// How ranked lists become one
    #[arg(long, value_enum, default_value = "weighted")]
    fusion: FusionChoice,
}

/// Which ways of searching to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Modes {
    /// By words
    Lexical,
    /// By embedding
    Dense,
    /// By both
    Hybrid,
    /// Each of them
    All,
}

/// How ranked lists become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FusionChoice {
    /// Weighted sum of normalized scores
    Weighted,
    /// Reciprocal ranks
    Rrf,
}

fn weights(text: &str) -> Result<LegWeights, String> {
    let parse = |part: &str| part.trim().parse::<f64>().ok().filter(|weight| weight.is_finite() && *weight > 0.0);
    let both = text.split_once(',').and_then(|(dense, lexical)| Some((parse(dense)?, parse(lexical)?)));
    let (dense, lexical) = both.ok_or_else(|| "expected two numbers above 0 such as 0.4,0.6".to_owned())?;
    Ok(LegWeights { dense, lexical })
}

/// A corpus and the questions about it.
struct Set {
    name: String,
    corpus: PathBuf,
    queries: PathBuf,
}

/// Runs `eval`.
pub(crate) async fn run(ctx: &Context, args: &Args) -> Result<Answer> {
    let sets = sets(args)?;
    if sets.len() > 1 && ctx.settings.directory.origin == Origin::Flag {
        return Err(Failure::usage(
            "dir: expected one corpus to keep in a directory, found several; name it with --corpus",
        ));
    }
    let (mut data, mut text, mut asked) = (Object::new(), String::new(), 0);
    for set in &sets {
        let (object, said, questions) = run_one(ctx, args, set).await?;
        data.insert(set.name.clone(), object.into());
        text.push_str(&said);
        asked += questions;
    }
    Ok(Answer::new(Object::from([("sets".to_owned(), data.into())]), text).count(asked))
}

async fn run_one(ctx: &Context, args: &Args, set: &Set) -> Result<(Object, String, usize)> {
    let questions = questions::read(&set.queries)?;
    let place = Place::of(&ctx.settings)?;
    let memory = open(ctx, args, &place)?;
    if matches!(place, Place::Servers) {
        refuse_what_is_used(&memory).await?;
    }
    let length = fs::metadata(&set.corpus).map_err(|error| Failure::io("read", &set.corpus, &error))?.len();
    let bar = ctx.progress(Some(length), "loading");
    let records = evaluation::load(&memory, &set.corpus, &bar).await?;
    bar.finish_and_clear();
    let modes = modes(args.mode, ctx.settings.embedder.value);
    let asked = questions.scored.len();
    let bar = ctx.progress(Some((asked * modes.len()) as u64), "asking");
    let mut measured = table::ByMode::new();
    for mode in modes {
        measured.push((mode, evaluation::measure(&memory, &questions.scored, mode, &bar).await?));
    }
    bar.finish_and_clear();
    let left_out = questions.left_out;
    let counts = [("records", records), ("questions", asked as u64), ("left_out", left_out as u64)];
    let mut data: Object = counts.into_iter().map(|(name, count)| (name.to_owned(), Value::from(count))).collect();
    data.insert("modes".to_owned(), table::object(&measured).into());
    let about = format!(
        "{records} records, {asked} questions ({left_out} left out: without evidence or not meant to be answered)"
    );
    let text = format!("{}\n{about}\n\n{}\n", ctx.output.paint.bold(&set.name), table::text(&measured));
    Ok((data, text, asked))
}

/// The pairs to measure: the one that was named, or those of the directory, by name.
fn sets(args: &Args) -> Result<Vec<Set>> {
    let directory = match (&args.corpus, &args.queries, &args.data) {
        (Some(corpus), Some(queries), _) => {
            let name = set_name(queries).unwrap_or_else(|| "questions".to_owned());
            return Ok(vec![Set { name, corpus: corpus.clone(), queries: queries.clone() }]);
        }
        (_, _, Some(directory)) => directory,
        _ => return Err(Failure::usage("eval: expected a directory, or --corpus and --queries, found neither")),
    };
    let refused = |error: std::io::Error| Failure::io("read", directory, &error);
    let mut sets = Vec::new();
    for entry in fs::read_dir(directory).map_err(refused)? {
        let queries = entry.map_err(refused)?.path();
        let Some(name) = set_name(&queries) else { continue };
        // A part of the questions may go with the whole corpus: NAME-dev with NAME.
        let corpora = [name.as_str(), name.strip_suffix("-dev").unwrap_or(&name)];
        let corpus =
            corpora.map(|name| directory.join(format!("{name}.corpus.jsonl"))).into_iter().find(|path| path.exists());
        if let Some(corpus) = corpus {
            sets.push(Set { name, corpus, queries });
        }
    }
    if sets.is_empty() {
        let message = format!(
            "data: expected NAME.corpus.jsonl and NAME.queries.jsonl in {}, found no pair",
            directory.display()
        );
        return Err(Failure::not_found(message));
    }
    sets.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(sets)
}

/// The name before `.queries.jsonl`.
fn set_name(queries: &Path) -> Option<String> {
    Some(queries.file_name()?.to_str()?.strip_suffix(".queries.jsonl")?.to_owned())
}

/// Where the corpus is loaded: a directory that goes away, unless `--dir` names one; or the servers of `--profile production`.
enum Place {
    Servers,
    Kept(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Place {
    fn of(settings: &Settings) -> Result<Self> {
        if settings.profile.value == Profile::Production && settings.profile.origin == Origin::Flag {
            return Ok(Self::Servers);
        }
        if settings.directory.origin == Origin::Flag {
            return Ok(Self::Kept(settings.directory.value.clone()));
        }
        let made = tempfile::Builder::new().prefix("mnemic-eval-").tempdir();
        made.map(Self::Temporary).map_err(|error| Failure::io("write", &std::env::temp_dir(), &error))
    }
}

fn open(ctx: &Context, args: &Args, place: &Place) -> Result<MemoryManager> {
    let mut settings = ctx.settings.clone();
    match place {
        Place::Servers => {}
        Place::Kept(directory) => settings.directory.value.clone_from(directory),
        Place::Temporary(directory) => directory.path().clone_into(&mut settings.directory.value),
    }
    if !matches!(place, Place::Servers) {
        settings.profile.value = Profile::Embedded;
    }
    let defaults = Policies::default();
    let policies = Policies {
        weights: args.weights.unwrap_or(defaults.weights),
        fusion: match args.fusion {
            FusionChoice::Weighted => Fusion::Weighted,
            FusionChoice::Rrf => Fusion::ReciprocalRank { k: 60 },
        },
        ..defaults
    };
    Ok(mnemic::Builder::from_settings(&settings)?.policies(policies).build(evaluation::whole()?)?)
}

/// On servers, only a database that is there for measuring is filled with a corpus.
async fn refuse_what_is_used(memory: &MemoryManager) -> Result<()> {
    let held = memory.stats().await?.ledger.records;
    if held == 0 {
        return Ok(());
    }
    let message = format!(
        "profile: expected a database whose namespace {} is empty, found {} in it",
        memory.namespace(),
        show::plural(held as usize, "record")
    );
    Err(Failure::usage(message).hint("measure one corpus for each fresh database"))
}

fn modes(modes: Modes, embedder: EmbedderChoice) -> Vec<Mode> {
    match (modes, embedder) {
        (Modes::Lexical, _) | (Modes::All, EmbedderChoice::None) => vec![Mode::Lexical],
        (Modes::Dense, _) => vec![Mode::Dense],
        (Modes::Hybrid, _) => vec![Mode::Hybrid],
        (Modes::All, _) => vec![Mode::Lexical, Mode::Dense, Mode::Hybrid],
    }
}
