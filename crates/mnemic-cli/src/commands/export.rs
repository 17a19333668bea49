//! `mnemic export`: writes memory as canonical JSON Lines, the same bytes for the same memory.
//! Not here: what a line looks like (`formats::own`).
//!
//! Records stand in the order of their first insertion, events in the order of the chain, slots by thread and name. Restoring a
//! backup keeps all three, so that an export of the copy equals an export of the original byte for byte. History is not
//! exported; `mnemic backup` keeps everything.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use indicatif::ProgressBar;
use mnemic::{Filter, MemoryManager, Namespace, Object, PageRequest, Value, ports::EventRange};

use crate::{
    commands::namespaces::every_namespace,
    context::Context,
    exit::{Failure, Result},
    formats::own::{Counts, Writer},
    output::{Answer, Output},
};

/// Bytes gathered before they go to standard output.
const STDOUT_BYTES: usize = 64 * 1024;

/// Options of `export`.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "What is written is memory as it is: no earlier versions, and so no --as-of after it is imported elsewhere. \
`mnemic backup` keeps everything; `mnemic migrate` moves everything."
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct Args {
    /// The file to write, or - for standard output
    #[arg(long, short, value_name = "FILE|-", default_value = "-")]
    output: PathBuf,
    /// Every namespace, one after the other
    #[arg(long)]
    all_namespaces: bool,
    /// Leave embeddings out; importing makes them anew from the texts
    #[arg(long)]
    no_embeddings: bool,
    /// Go on with a file that was cut off, after checking that what it holds is what would be written
    #[arg(long, conflicts_with = "force")]
    resume: bool,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
}

/// Runs `export`.
pub(crate) async fn run(ctx: &Context, args: &Args) -> Result<Answer> {
    let memory = ctx.open_existing()?;
    let namespaces = if args.all_namespaces { every_namespace(&memory).await? } else { vec![ctx.namespace().clone()] };
    let mut sink = Sink::open(ctx.output, args)?;
    let bar = ctx.progress(Some(count_lines(&memory, &namespaces).await?), "exporting");
    let mut by_namespace = Object::new();
    for namespace in &namespaces {
        let counts = export_one(&memory.in_namespace(namespace.clone()), &mut sink, args, &bar).await?;
        by_namespace.insert(namespace.to_string(), counts_value(counts));
    }
    bar.finish_and_clear();
    let bytes = sink.finish()?;
    if args.output == Path::new("-") {
        return Ok(Answer::streamed());
    }
    let file = args.output.display().to_string();
    let text = format!("{} namespaces exported to {file} ({bytes} bytes)", by_namespace.len());
    let data = Object::from([
        ("file".to_owned(), Value::from(file)),
        ("bytes".to_owned(), Value::from(bytes)),
        ("namespaces".to_owned(), by_namespace.into()),
    ]);
    Ok(Answer::new(data, text).count(namespaces.len()))
}

fn counts_value(counts: Counts) -> Value {
    let counts = [("records", counts.records), ("events", counts.events), ("slots", counts.slots)];
    Value::Object(counts.map(|(name, count)| (name.to_owned(), Value::from(count))).into())
}

/// About how many lines there will be, for the progress bar.
async fn count_lines(memory: &MemoryManager, namespaces: &[Namespace]) -> Result<u64> {
    let mut lines = 0;
    for namespace in namespaces {
        let ledger = memory.in_namespace(namespace.clone()).stats().await?.ledger;
        lines += ledger.records + ledger.events + ledger.threads_with_slots + 2;
    }
    Ok(lines)
}

async fn export_one(memory: &MemoryManager, sink: &mut Sink, args: &Args, bar: &ProgressBar) -> Result<Counts> {
    let mut writer = Writer::default();
    sink.line(&writer.header(memory.namespace()))?;
    export_records(memory, sink, &mut writer, (args.no_embeddings, bar)).await?;
    export_events(memory, sink, &mut writer, bar).await?;
    export_slots(memory, sink, &mut writer, bar).await?;
    let counts = writer.counts;
    sink.line(&writer.trailer())?;
    Ok(counts)
}

async fn export_records(
    memory: &MemoryManager,
    sink: &mut Sink,
    writer: &mut Writer,
    (no_embeddings, bar): (bool, &ProgressBar),
) -> Result<()> {
    let mut page = PageRequest::largest();
    loop {
        let found = memory.list_stored(&Filter::all(), &page).await?;
        for mut stored in found.items {
            if no_embeddings {
                stored.embedding = None;
            }
            sink.line(&writer.record(&stored))?;
            bar.inc(1);
        }
        if found.next.is_none() {
            return Ok(());
        }
        page = page.after(found.next);
    }
}

async fn export_events(memory: &MemoryManager, sink: &mut Sink, writer: &mut Writer, bar: &ProgressBar) -> Result<()> {
    let mut page = PageRequest::largest();
    loop {
        let found = memory.events(&EventRange::default(), &page).await?;
        for entry in &found.items {
            sink.line(&writer.event(entry))?;
            bar.inc(1);
        }
        if found.next.is_none() {
            return Ok(());
        }
        page = page.after(found.next);
    }
}

async fn export_slots(memory: &MemoryManager, sink: &mut Sink, writer: &mut Writer, bar: &ProgressBar) -> Result<()> {
    let mut page = PageRequest::largest();
    loop {
        let found = memory.slot_threads(&page).await?;
        for thread in &found.items {
            let slots = memory.slots(thread, None).await?;
            for line in writer.slots(thread, &slots) {
                sink.line(&line)?;
            }
            bar.inc(1);
        }
        if found.next.is_none() {
            return Ok(());
        }
        page = page.after(found.next);
    }
}

/// Where lines go.
enum Sink {
    Stdout(Output, Vec<u8>),
    File(Box<FileSink>),
}

impl Sink {
    fn open(output: Output, args: &Args) -> Result<Self> {
        if args.output != Path::new("-") {
            return Ok(Self::File(Box::new(FileSink::open(args)?)));
        }
        if args.resume {
            return Err(Failure::usage("resume: expected a file to go on with (--output FILE), found standard output"));
        }
        Ok(Self::Stdout(output, Vec::with_capacity(2 * STDOUT_BYTES)))
    }

    fn line(&mut self, line: &str) -> Result<()> {
        match self {
            Self::File(file) => file.line(line),
            Self::Stdout(output, gathered) => {
                gathered.extend_from_slice(line.as_bytes());
                if gathered.len() < STDOUT_BYTES {
                    return Ok(());
                }
                output.stream(gathered)?;
                gathered.clear();
                Ok(())
            }
        }
    }

    /// Makes everything reach its place and answers how many bytes a file has.
    fn finish(self) -> Result<u64> {
        match self {
            Self::File(file) => file.finish(),
            Self::Stdout(output, gathered) => output.stream(&gathered).map(|()| 0),
        }
    }
}

/// A file that is written, after what it held before, if anything, was compared line by line.
struct FileSink {
    path: PathBuf,
    /// What an earlier export wrote, as long as there are whole lines of it left.
    earlier: Option<BufReader<File>>,
    writer: BufWriter<File>,
    /// Bytes of whole lines so far.
    bytes: u64,
}

impl FileSink {
    fn open(args: &Args) -> Result<Self> {
        let path = args.output.clone();
        let refused = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                Failure::usage(format!("output: expected a new file, found {} there", path.display()))
                    .hint("--resume goes on with an export that was cut off, --force replaces the file")
            }
            _ => Failure::io("write", &path, &error),
        };
        let mut options = OpenOptions::new();
        options.write(true);
        match (args.resume, args.force) {
            (true, _) => options.create(true),
            (false, true) => options.create(true).truncate(true),
            (false, false) => options.create_new(true),
        };
        let file = options.open(&path).map_err(refused)?;
        let earlier = args.resume.then(|| File::open(&path).map(BufReader::new)).transpose().map_err(refused)?;
        Ok(Self { earlier, writer: BufWriter::new(file), bytes: 0, path })
    }

    fn line(&mut self, line: &str) -> Result<()> {
        let mut found = Vec::new();
        if let Some(earlier) = &mut self.earlier {
            earlier.read_until(b'\n', &mut found).map_err(|error| Failure::io("read", &self.path, &error))?;
        }
        if found == line.as_bytes() {
            self.bytes += line.len() as u64;
            return Ok(());
        }
        if found.last() == Some(&b'\n') {
            let message = format!(
                "{} holds something else than the memory does now, from byte {} on",
                self.path.display(),
                self.bytes
            );
            return Err(Failure::verification(message).hint("memory has changed since; export anew with --force"));
        }
        if self.earlier.take().is_some() {
            self.cut().map_err(|error| Failure::io("write", &self.path, &error))?;
        }
        self.bytes += line.len() as u64;
        self.writer.write_all(line.as_bytes()).map_err(|error| Failure::io("write", &self.path, &error))
    }

    /// Cuts off half a line and goes on after the last whole one.
    fn cut(&mut self) -> io::Result<()> {
        let file = self.writer.get_mut();
        file.set_len(self.bytes)?;
        file.seek(SeekFrom::Start(self.bytes)).map(drop)
    }

    fn finish(mut self) -> Result<u64> {
        let mut rest = Vec::new();
        if let Some(earlier) = &mut self.earlier {
            earlier.read_until(b'\n', &mut rest).map_err(|error| Failure::io("read", &self.path, &error))?;
        }
        if !rest.is_empty() {
            let message =
                format!("{} goes on after what memory holds now, at byte {}", self.path.display(), self.bytes);
            return Err(Failure::verification(message).hint("memory has changed since; export anew with --force"));
        }
        let written = self.writer.flush().and_then(|()| self.writer.get_ref().sync_all());
        written.map_err(|error| Failure::io("write", &self.path, &error))?;
        Ok(self.bytes)
    }
}
