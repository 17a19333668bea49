//! `mnemic import`: reads a file into memory, line by line; running it again changes nothing and finishes what was cut off.
//! Not here: the formats and the writing (`formats`).

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    thread,
};

use indicatif::ProgressBar;
use mnemic::{Digest, Namespace, NewEvent, Object, ThreadId, UserId, Value, ids::quoted};
use tokio::sync::mpsc;

use crate::{
    context::Context,
    exit::{Failure, Result},
    formats::{
        Fault, Format, Interpreter,
        lines::{Line, Lines},
        load::{Loaded, Loader, Placement, Split},
    },
    output::{Answer, Format as Shown, tell},
};

/// Lines handed over at once.
const CHUNK_LINES: usize = 512;
/// Bytes handed over at once, beyond which a chunk ends early.
const CHUNK_BYTES: usize = 1024 * 1024;
/// Faults that are kept for the answer; all are counted.
const SHOWN_FAULTS: usize = 100;

/// Options of `import`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The file, or - for standard input
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    /// What the file is; recognized by its first line without this
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Whether each conversation, or each namespace of an export, gets a namespace of its own [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    namespace_per_conversation: Option<bool>,
    /// What stands before a conversation's name in the name of its namespace
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    prefix: String,
    /// The thread of chat messages that name none (without this, the file's name), and of paragraphs
    #[arg(long, short, value_name = "ID")]
    thread: Option<String>,
    /// The user whom every chat message or paragraph is about
    #[arg(long, short, value_name = "ID")]
    user: Option<String>,
    /// Stop at the first line that cannot be read
    #[arg(long)]
    strict: bool,
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
}

/// A line that could not be read.
struct LineFault {
    line: u64,
    field: Option<String>,
    message: String,
}

/// What came of reading a whole file.
struct Outcome {
    format: Option<Format>,
    lines: u64,
    faults: Vec<LineFault>,
    refused: u64,
    digest: Option<Digest>,
}

/// What the reading thread hands over.
enum Chunk {
    Lines(Vec<Line>, u64),
    End(Digest),
    Failed(io::Error),
}

/// Runs `import`.
pub(crate) async fn run(ctx: &Context, args: &Args) -> Result<Answer> {
    let thread = args.thread.as_deref().map(ThreadId::new).transpose()?;
    let user = args.user.as_deref().map(UserId::new).transpose()?;
    let mut interpreter = Interpreter::new(args.format, thread, user);
    interpreter.default_chat_thread(stem_thread(&args.file));
    let (source, length) = open(&args.file)?;
    let memory = ctx.open()?;
    let split = if args.namespace_per_conversation == Some(false) { Split::Never } else { Split::ByPlace };
    let placement = Placement { memory: memory.clone(), split, prefix: args.prefix.clone() };
    let mut loader = Loader::new(placement, args.dry_run);
    let bar = ctx.progress(length, "importing");
    bar_in_bytes(&bar, length);
    let mut reminder = Reminder { armed: !args.dry_run };
    let read = read_all(read_in_background(source), &mut interpreter, &mut loader, (&bar, args.strict)).await;
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

/// The thread of a chat that names none: the file's name without its ending.
fn stem_thread(file: &Path) -> Option<ThreadId> {
    ThreadId::new(file.file_stem()?.to_str().filter(|stem| *stem != "-")?).ok().filter(|thread| !thread.is_reserved())
}

fn open(file: &Path) -> Result<(Box<dyn Read + Send>, Option<u64>)> {
    if file == Path::new("-") {
        return Ok((Box::new(io::stdin()), None));
    }
    let refused = |error: io::Error| Failure::io("read", file, &error);
    let source = File::open(file).map_err(refused)?;
    let about = source.metadata().map_err(refused)?;
    if about.is_dir() {
        let message = format!("file: expected a file, found the directory {}", file.display());
        return Err(Failure::usage(message));
    }
    Ok((Box::new(source), about.is_file().then_some(about.len())))
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

/// Reads on a thread of its own, so that waiting for standard input never holds up Ctrl-C. The thread ends with the process.
fn read_in_background(source: Box<dyn Read + Send>) -> mpsc::Receiver<Chunk> {
    let (sender, receiver) = mpsc::channel(2);
    thread::spawn(move || {
        let mut lines = Lines::new(source);
        loop {
            match next_chunk(&mut lines) {
                Ok(chunk) if chunk.is_empty() => break drop(sender.blocking_send(Chunk::End(lines.digest()))),
                Ok(chunk) => {
                    if sender.blocking_send(Chunk::Lines(chunk, lines.bytes())).is_err() {
                        break;
                    }
                }
                Err(error) => break drop(sender.blocking_send(Chunk::Failed(error))),
            }
        }
    });
    receiver
}

fn next_chunk<R: Read>(lines: &mut Lines<R>) -> io::Result<Vec<Line>> {
    let (mut chunk, mut bytes) = (Vec::new(), 0);
    while chunk.len() < CHUNK_LINES && bytes < CHUNK_BYTES {
        let Some(line) = lines.next()? else { break };
        bytes += line.text.as_ref().map_or(0, String::len);
        chunk.push(line);
    }
    Ok(chunk)
}

async fn read_all(
    mut chunks: mpsc::Receiver<Chunk>,
    interpreter: &mut Interpreter,
    loader: &mut Loader,
    (bar, strict): (&ProgressBar, bool),
) -> Result<Outcome> {
    let mut reading = Reading { interpreter, loader, strict, faults: Vec::new(), refused: 0, lines: 0 };
    let mut digest = None;
    while let Some(chunk) = chunks.recv().await {
        match chunk {
            Chunk::Lines(lines, bytes) => {
                for line in lines {
                    reading.line(line).await?;
                }
                bar.set_position(bytes);
            }
            Chunk::End(whole) => digest = Some(whole),
            Chunk::Failed(error) => return Err(Failure::other(format!("cannot read on: {error}"))),
        }
    }
    reading.end().await?;
    let Reading { interpreter, faults, refused, lines, .. } = reading;
    Ok(Outcome { format: interpreter.format(), lines, faults, refused, digest })
}

/// The state of reading one file.
struct Reading<'a> {
    interpreter: &'a mut Interpreter,
    loader: &'a mut Loader,
    strict: bool,
    faults: Vec<LineFault>,
    refused: u64,
    lines: u64,
}

impl Reading<'_> {
    async fn line(&mut self, line: Line) -> Result<()> {
        self.lines = line.number;
        let read = match line.text {
            Ok(text) => self.interpreter.line(line.number, &text),
            Err(error) => Err(Fault::Line(error)),
        };
        match read {
            Ok(items) => {
                for item in items {
                    if let Err(error) = self.loader.push(item).await? {
                        self.fault(line.number, &error)?;
                    }
                }
                Ok(())
            }
            Err(Fault::Line(error)) => self.fault(line.number, &error),
            Err(Fault::File(error)) => Err(error.into()),
        }
    }

    async fn end(&mut self) -> Result<()> {
        match self.interpreter.end() {
            Ok(items) => {
                for item in items {
                    if let Err(error) = self.loader.push(item).await? {
                        self.fault(self.lines, &error)?;
                    }
                }
            }
            Err(error) => self.fault(self.lines, &error)?,
        }
        Ok(self.loader.finish().await?)
    }

    fn fault(&mut self, line: u64, error: &mnemic::Error) -> Result<()> {
        let message = format!("line {line}: {}", error.message());
        if self.strict {
            let mut failure = Failure::from(mnemic::Error::new(error.kind(), message));
            failure.field = error.field().map(str::to_owned);
            return Err(failure.hint("nothing from this line on was read; without --strict it would be passed over"));
        }
        self.refused += 1;
        if self.faults.len() < SHOWN_FAULTS {
            tell(&format!("mnemic: {}\n", crate::output::escaped(&message)));
            self.faults.push(LineFault {
                line,
                field: error.field().map(str::to_owned),
                message: error.message().to_owned(),
            });
        }
        Ok(())
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
    if let Some(digest) = whole.and_then(|outcome| outcome.digest) {
        event = event.with_payload("sha256", digest.to_string());
    }
    if let Some(format) = whole.and_then(|outcome| outcome.format) {
        event = event.with_payload("format", format.as_str());
    }
    loader.memory(namespace).log_audit(event).await.map(drop)
}

fn answer(ctx: &Context, args: &Args, loader: &Loader, outcome: &Outcome) -> Answer {
    let total = loader.total();
    let mut data = Object::from([
        ("lines".to_owned(), Value::from(outcome.lines)),
        ("refused".to_owned(), Value::from(outcome.refused)),
        ("dry_run".to_owned(), Value::from(args.dry_run)),
        ("total".to_owned(), total.object().into()),
    ]);
    if let Some(format) = outcome.format {
        data.insert("format".to_owned(), Value::from(format.as_str()));
    }
    let by_namespace: Object =
        loader.loaded().iter().map(|(name, loaded)| (name.to_string(), Value::from(loaded.object()))).collect();
    data.insert("namespaces".to_owned(), by_namespace.into());
    data.insert("faults".to_owned(), Value::Array(outcome.faults.iter().map(fault_value).collect()));
    let failure = (outcome.refused > 0).then(|| {
        let message = format!("{} of {} lines could not be read; the others were", outcome.refused, outcome.lines);
        let mut failure = Failure::other(message);
        failure.code = "lines_refused";
        failure.hint("correct them and import the file again: what is there already stays as it is")
    });
    let count = usize::try_from(total.new + total.replaced).unwrap_or(usize::MAX);
    let text = if ctx.output.format == Shown::Text { describe(args, loader, &total, outcome) } else { String::new() };
    Answer::new(data, text).count(count).failed(failure)
}

fn fault_value(fault: &LineFault) -> Value {
    let mut object = Object::from([
        ("line".to_owned(), Value::from(fault.line)),
        ("message".to_owned(), Value::from(fault.message.as_str())),
    ]);
    if let Some(field) = &fault.field {
        object.insert("field".to_owned(), Value::from(field.as_str()));
    }
    object.into()
}

fn describe(args: &Args, loader: &Loader, total: &Loaded, outcome: &Outcome) -> String {
    let format = outcome.format.map_or_else(|| "an empty file".to_owned(), |format| format!("{format} format"));
    let would = if args.dry_run { "would be " } else { "" };
    let mut text = format!(
        "{} lines read ({format}): {} records {would}new, {} {would}replaced, {} unchanged",
        outcome.lines, total.new, total.replaced, total.unchanged
    );
    for (count, what) in [
        (total.events, "events appended"),
        (total.slots, "threads' slots set"),
        (total.pending, "embeddings pending"),
        (total.passed, "journal entries or erased events passed over"),
        (outcome.refused, "lines refused"),
    ] {
        if count > 0 {
            let _infallible = write!(text, ", {count} {what}");
        }
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
