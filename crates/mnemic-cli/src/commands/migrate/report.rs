//! `mnemic migrate report`: a written account of a move. Not here: what was noted on this machine (`notes`).

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use mnemic::{MoveStatus, Object, PlaceReport, Timestamp, Value};

use super::{
    Pair, Target, existing_pairs,
    notes::{self, Note},
    switch::{phase_text, place_object, role_text},
};
use crate::{
    context::Context,
    exit::{Failure, Result},
    output::Answer,
    show,
};

/// Options of `migrate report`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Write the report into this file
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Runs `migrate report`.
pub(super) async fn run(ctx: &Context, args: &Args) -> Result<Answer> {
    let pairs = existing_pairs(ctx, &args.target).await?;
    let accounts = accounts(&pairs).await?;
    let document = written(&pairs, &accounts);
    let mut data = show::object([("namespaces", show::objects(accounts.iter().map(Account::object)))]);
    let Some(file) = &args.output else { return Ok(Answer::new(data, document).count(accounts.len())) };
    save(file, &document)?;
    data.insert("file".to_owned(), Value::from(file.display().to_string()));
    Ok(Answer::new(data, format!("the report is in {}", file.display())).count(accounts.len()))
}

/// The report on some moves, as Markdown.
pub(super) async fn document(pairs: &[Pair]) -> Result<String> {
    Ok(written(pairs, &accounts(pairs).await?))
}

/// Writes a document whole or not at all.
pub(super) fn save(file: &Path, document: &str) -> Result<()> {
    let failed = |error: &io::Error| Failure::io("write", file, error);
    let directory = match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let mut beside = tempfile::NamedTempFile::new_in(directory).map_err(|error| failed(&error))?;
    io::Write::write_all(&mut beside, document.as_bytes()).map_err(|error| failed(&error))?;
    let written = beside.as_file().sync_all();
    written.map_err(|error| failed(&error))?;
    beside.persist(file).map_err(|error| failed(&error.error))?;
    fs::metadata(file).map(drop).map_err(|error| failed(&error))
}

/// What is known of one move.
struct Account {
    names: String,
    at: Timestamp,
    status: MoveStatus,
    source: PlaceReport,
    target: PlaceReport,
    notes: Vec<Note>,
}

async fn accounts(pairs: &[Pair]) -> Result<Vec<Account>> {
    let mut accounts = Vec::with_capacity(pairs.len());
    for pair in pairs {
        accounts.push(Account {
            names: pair.names(),
            at: pair.source.now(),
            status: pair.source.move_status(&pair.target).await?,
            source: pair.source.place().await?,
            target: pair.target.place().await?,
            notes: notes::read(pair),
        });
    }
    Ok(accounts)
}

impl Account {
    fn verification(&self) -> Option<&Note> {
        self.notes.iter().rev().find(|note| note.step == "verify")
    }

    fn switches(&self) -> impl Iterator<Item = &Note> {
        self.notes.iter().filter(|note| note.step != "verify")
    }

    fn object(&self) -> Object {
        let held = |place: &PlaceReport| {
            let mut object = place_object(place);
            object.extend(counts(place).into_iter().map(|(name, count)| (name.replace(' ', "_"), Value::from(count))));
            object.insert("models".to_owned(), show::strings(place.holds.models.iter().map(ToString::to_string)));
            Value::Object(object)
        };
        let note = |note: &Note| {
            let mut object = note.figures.clone();
            object.insert("at".to_owned(), Value::from(note.at.as_str()));
            object.insert("step".to_owned(), Value::from(note.step.as_str()));
            object
        };
        show::object([
            ("namespace", Value::from(self.source.address.namespace().as_str())),
            ("target", Value::from(self.target.address.namespace().as_str())),
            ("phase", Value::from(self.status.phase.as_str())),
            ("behind", Value::from(self.status.behind())),
            ("source_place", held(&self.source)),
            ("target_place", held(&self.target)),
            ("verification", self.verification().map_or(Value::Null, |found| Value::Object(note(found)))),
            ("switches", show::objects(self.switches().map(note))),
        ])
    }
}

fn counts(place: &PlaceReport) -> [(&'static str, u64); 8] {
    let holds = &place.holds;
    [
        ("position", holds.head.0),
        ("records", holds.records),
        ("revisions", holds.revisions),
        ("embeddings", holds.embeddings),
        ("events", holds.events),
        ("threads with slots", holds.threads_with_slots),
        ("outstanding work", holds.outbox),
        ("bytes", holds.bytes),
    ]
}

fn written(pairs: &[Pair], accounts: &[Account]) -> String {
    let mut text = String::from("# Migration\n\n");
    let now = pairs.first().map(|pair| pair.source.now().to_string()).unwrap_or_default();
    let _infallible = writeln!(text, "Written {now} by mnemic {}.", env!("CARGO_PKG_VERSION"));
    for account in accounts {
        section(&mut text, account);
    }
    text
}

fn section(text: &mut String, account: &Account) {
    let (source, target) = (&account.source, &account.target);
    let _infallible = writeln!(text, "\n## {}\n\n{}.\n", account.names, sentence(&phase_text(&account.status)));
    text.push_str("| | source | target |\n|---|---|---|\n");
    let mut row = |name: &str, of: &dyn Fn(&PlaceReport) -> String| {
        let _infallible = writeln!(text, "| {name} | {} | {} |", cell(&of(source)), cell(&of(target)));
    };
    row("place", &|place| place.address.ledger().to_owned());
    row("namespace", &|place| place.address.namespace().to_string());
    row("ledger", &|place| place.ledger.clone());
    row("indexes", &|place| place.indexes.join(", "));
    row("embedder", &|place| place.model.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string));
    row("role", &|place| role_text(&place.assignment.role, account.at));
    row("changes of role", &|place| place.assignment.epoch.to_string());
    row("models of embeddings", &|place| {
        place.holds.models.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    });
    for (at, (name, _)) in counts(source).into_iter().enumerate() {
        row(name, &|place| counts(place).get(at).map(|(_, count)| count.to_string()).unwrap_or_default());
    }
    verification(text, account);
    switches(text, account);
}

fn verification(text: &mut String, account: &Account) {
    text.push_str("\n### Last verification\n\n");
    let Some(note) = account.verification() else {
        text.push_str("None was noted on this machine; `mnemic migrate verify` compares both.\n");
        return;
    };
    let same = note.figures.get("same") == Some(&Value::from(true));
    let _infallible =
        writeln!(text, "{}: {}.\n", note.at, if same { "both hold the same memory" } else { "**they differ**" });
    text.push_str("| compared | |\n|---|---|\n");
    for name in [
        "changes",
        "records",
        "revisions",
        "embeddings",
        "events",
        "slots",
        "differing",
        "asked",
        "same_order",
        "overlap",
    ] {
        let named = name.replace('_', " ");
        let _infallible = writeln!(text, "| {named} | {} |", figure(&note.figures, name));
    }
    if let Some(Value::Array(differences)) = note.figures.get("differences")
        && !differences.is_empty()
    {
        text.push_str("\nWhat differs, the first of it:\n\n");
        for difference in differences {
            if let Value::String(difference) = difference {
                let _infallible = writeln!(text, "* {}", cell(difference));
            }
        }
    }
}

fn switches(text: &mut String, account: &Account) {
    text.push_str("\n### Steps so far\n\n");
    if account.switches().next().is_none() {
        text.push_str("None was noted on this machine.\n");
        return;
    }
    text.push_str("| time | step | position | writes waited (ms) | changes removed |\n|---|---|---|---|---|\n");
    for note in account.switches() {
        let [head, paused, removed] = ["head", "paused_ms", "removed"].map(|name| figure(&note.figures, name));
        let _infallible = writeln!(text, "| {} | {} | {head} | {paused} | {removed} |", note.at, cell(&note.step));
    }
}

fn figure(figures: &Object, name: &str) -> String {
    match figures.get(name) {
        Some(Value::Number(number)) if name.ends_with("_ms") => format!("{:.1}", number.as_f64()),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// Text that cannot end the cell that it stands in.
fn cell(text: &str) -> String {
    crate::output::one_line(text).replace('|', "\\|")
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().collect::<String>() + letters.as_str()).unwrap_or_default()
}
