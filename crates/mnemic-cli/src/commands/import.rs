//! `mnemic import`: reads a file, or what another system left, into memory; running it again changes nothing and finishes what was
//! cut off. Not here: reading row by row (`reading`), the formats and the writing (`formats`).

mod reading;

use std::{fmt::Write as _, path::PathBuf};

use indicatif::ProgressBar;
use mnemic::{Namespace, NewEvent, Object, ThreadId, UserId, Value, config::Origin, ids::quoted};
use reading::{Outcome, RowFault, read_all};

use crate::{
    context::Context,
    exit::{Failure, Result},
    formats::{
        Format,
        counts::Loaded,
        load::{Loader, Placement, Split},
        open::{Column, Wanted, open},
        rows::Defaults,
    },
    output::{Answer, Format as Shown, tell},
};

/// Said at the end of `import --help`.
const EXAMPLES: &str = "\
Examples:
  mnemic import chat.jsonl --user ann
  mnemic import memory.jsonl                     what the MCP memory server wrote
  mnemic import mem0.json                        json.dump(Memory().get_all(filters={...}, top_k=...))
  mnemic import ~/.mem0/history.db               adds every earlier text, in either order
  mnemic import store.sqlite                     LangGraph's SqliteStore
  mnemic import env:STORE_DSN --format langgraph LangGraph's PostgresStore
  mnemic import ./chroma --prefix notes-
  mnemic import notes.parquet --column text=body --model openai/text-embedding-3-small

Rows that cannot be kept are told with their number, field and reason, and the others are kept. Ids stay where they can be ids here;
where there is none, one is made of the content. Importing again changes nothing and finishes what was cut off.";

/// Options of `import`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The file or directory, or - for standard input; for a store in PostgreSQL its connection string, or env:NAME for the variable
    /// that holds it
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    /// What the file is; recognized by its content without this
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Whether each conversation, collection, or namespace of an export gets a namespace of its own [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    namespace_per_conversation: Option<bool>,
    /// What stands before such a name in the name of the namespace
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    prefix: String,
    /// The thread of chat messages that name none (without this, the file's name), of paragraphs, and of other systems' records that
    /// name none
    #[arg(long, short, value_name = "ID")]
    thread: Option<String>,
    /// The user whom every chat message or paragraph is about, and other systems' records that name none
    #[arg(long, short, value_name = "ID")]
    user: Option<String>,
    /// Which model made the embeddings of the file; they are kept if it is the memory's, and made anew from the texts otherwise
    #[arg(long, value_name = "PROVIDER/NAME")]
    model: Option<String>,
    /// Which column of a table holds what, where it has another name, such as text=body; may be given several times
    #[arg(long, value_name = "FIELD=COLUMN")]
    column: Vec<Column>,
    /// Stop at the first row that cannot be read
    #[arg(long)]
    strict: bool,
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
}

/// Runs `import`.
pub(crate) async fn run(ctx: &Context, args: &Args) -> Result<Answer> {
    let thread = args.thread.as_deref().map(ThreadId::new).transpose()?;
    let user = args.user.as_deref().map(UserId::new).transpose()?;
    let defaults = Defaults { thread, user, model: args.model.clone() };
    let wanted = Wanted { format: args.format, defaults, columns: args.column.clone() };
    let memory = ctx.open()?;
    let source = open(&args.file, wanted)?;
    let split = match args.namespace_per_conversation {
        Some(false) => Split::Never,
        None if ctx.settings.namespace.origin == Origin::Flag => Split::Named,
        Some(true) | None => Split::ByPlace,
    };
    let placement = Placement { memory: memory.clone(), split, prefix: args.prefix.clone() };
    let mut loader = Loader::new(placement, args.dry_run);
    let bar = ctx.progress(source.length, "importing");
    if source.in_bytes {
        bar_in_bytes(&bar, source.length);
    }
    let mut reminder = Reminder { armed: !args.dry_run };
    let read = read_all(source.rows, &mut loader, &bar, args.strict).await;
    reminder.armed = false;
    bar.finish_and_clear();
    if !args.dry_run {
        log_import(&loader, &read).await;
        ctx.close(&memory).await;
    }
    Ok(answer(ctx, args, &loader, &read?))
}

/// Tells how to go on if the import is dropped half way, which is what Ctrl-C does to it.
struct Reminder {
    armed: bool,
}

impl Drop for Reminder {
    fn drop(&mut self) {
        if self.armed {
            tell("\nmnemic: whole batches are kept; run the same command again to go on where this one was cut off\n");
        }
    }
}

fn bar_in_bytes(bar: &ProgressBar, length: Option<u64>) {
    let template = match length {
        Some(_) => "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} left",
        None => "{msg} {spinner} {bytes} {bytes_per_sec}",
    };
    if let Ok(style) = indicatif::ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
}

/// Notes in the audit log of each changed namespace that a file was read. It counts and never names, so that no erasure has to
/// reach into it; the digest says which file it was to whoever has the file.
async fn log_import(loader: &Loader, read: &Result<Outcome>) {
    for (namespace, loaded) in loader.loaded() {
        if !loaded.changed() {
            continue;
        }
        if let Err(error) = log_one(loader, namespace, loaded, read.as_ref().ok()).await {
            tracing::warn!(%namespace, %error, "the import is not in the audit log");
        }
    }
}

async fn log_one(
    loader: &Loader,
    namespace: &Namespace,
    loaded: &Loaded,
    whole: Option<&Outcome>,
) -> mnemic::Result<()> {
    let mut event = NewEvent::new(ThreadId::new("import")?, "import", "file.imported");
    event.payload = loaded.object();
    if let Some(digest) = whole.and_then(|outcome| outcome.about.digest) {
        event = event.with_payload("sha256", digest.to_string());
    }
    if let Some(format) = whole.and_then(|outcome| outcome.about.format) {
        event = event.with_payload("format", format.as_str());
    }
    loader.memory(namespace).log_audit(event).await.map(drop)
}

fn answer(ctx: &Context, args: &Args, loader: &Loader, outcome: &Outcome) -> Answer {
    let total = loader.total();
    let unit = outcome.unit;
    let mut data = Object::from([
        (format!("{unit}s"), Value::from(outcome.rows)),
        ("refused".to_owned(), Value::from(outcome.refused)),
        ("dry_run".to_owned(), Value::from(args.dry_run)),
        ("total".to_owned(), total.object().into()),
    ]);
    if let Some(format) = outcome.about.format {
        data.insert("format".to_owned(), Value::from(format.as_str()));
    }
    let by_namespace: Object =
        loader.loaded().iter().map(|(name, loaded)| (name.to_string(), Value::from(loaded.object()))).collect();
    data.insert("namespaces".to_owned(), by_namespace.into());
    data.insert(
        "faults".to_owned(),
        Value::Array(outcome.faults.iter().map(|fault| fault_value(fault, unit)).collect()),
    );
    let failure = (outcome.refused > 0).then(|| {
        let message = format!("{} of {} {unit}s could not be read; the others were", outcome.refused, outcome.rows);
        let mut failure = Failure::other(message);
        failure.code = "lines_refused";
        failure.hint("correct them and import the file again: what is there already stays as it is")
    });
    let count = usize::try_from(total.new + total.replaced).unwrap_or(usize::MAX);
    let text = if ctx.output.format == Shown::Text { describe(args, loader, &total, outcome) } else { String::new() };
    Answer::new(data, text).count(count).failed(failure)
}

fn fault_value(fault: &RowFault, unit: &str) -> Value {
    let mut object = Object::from([
        (unit.to_owned(), Value::from(fault.number)),
        ("message".to_owned(), Value::from(fault.message.as_str())),
    ]);
    if let Some(field) = &fault.field {
        object.insert("field".to_owned(), Value::from(field.as_str()));
    }
    object.into()
}

fn describe(args: &Args, loader: &Loader, total: &Loaded, outcome: &Outcome) -> String {
    let format = outcome.about.format.map_or_else(|| "an empty file".to_owned(), |format| format!("{format} format"));
    let would = if args.dry_run { "would be " } else { "" };
    let mut text = format!(
        "{} {}s read ({format}): {} records {would}new, {} {would}replaced, {} unchanged",
        outcome.rows, outcome.unit, total.new, total.replaced, total.unchanged
    );
    for (count, what) in [
        (total.events, "events appended"),
        (total.slots, "threads' slots set"),
        (total.pending, "embeddings pending"),
        (total.not_taken, "embeddings not taken, since their model is not the memory's or not known (--model)"),
        (total.passed, "journal entries or erased events passed over"),
    ] {
        if count > 0 {
            let _infallible = write!(text, ", {count} {what}");
        }
    }
    if outcome.refused > 0 {
        let _infallible = write!(text, ", {} {}s refused", outcome.refused, outcome.unit);
    }
    text.push('\n');
    let several = loader.loaded().len() > 1;
    for (namespace, loaded) in loader.loaded().iter().filter(|_| several) {
        let held = loaded.new + loaded.replaced + loaded.unchanged;
        let _infallible = writeln!(text, "  {namespace}: {held} records, {} new", loaded.new);
    }
    if let Some(namespace) = loader.loaded().keys().next().filter(|_| !args.dry_run) {
        let example = quoted("...");
        let _infallible = writeln!(text, "Try: mnemic -n {namespace} search {example}");
    }
    text
}
