//! `mnemic audit`: verifies the chain, and notes where it ends so that a later check detects a cut tail.

use std::{
    fs,
    path::{Path, PathBuf},
};

use mnemic::{
    AuditReport, Digest, Error, ErrorKind, MemoryManager, Object, PageRequest, Sequence, Value, ids::quoted,
    policy::audit::Checkpoint, ports::EventRange, wire,
};

use crate::{
    context::Context,
    exit::{Failure, Result},
    output::Answer,
    show,
};

/// What to do with the chain.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Recompute every hash; exit 7 and name the position if one does not hold
    Verify {
        /// A file that `audit checkpoint` wrote: the chain must still hold that entry
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
    },
    /// Print where the chain ends; keep it elsewhere
    Checkpoint {
        /// Write it to this file, which must not exist
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

impl Command {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Verify { .. } => "audit verify",
            Self::Checkpoint { .. } => "audit checkpoint",
        }
    }
}

/// Runs `audit`.
pub(crate) async fn run(ctx: &Context, command: &Command) -> Result<Answer> {
    match command {
        Command::Verify { checkpoint } => {
            let anchor = checkpoint.as_deref().map(|path| read(ctx, path)).transpose()?;
            let report = verify(&ctx.open_existing()?, anchor).await?;
            let mut data = object(ctx, &report);
            data.insert("erased".to_owned(), Value::from(report.erased));
            data.insert("anchored".to_owned(), Value::from(anchor.is_some()));
            let entries = usize::try_from(report.checkpoint.sequence.0).unwrap_or(usize::MAX);
            let entries = if entries == 1 { "1 entry".to_owned() } else { format!("{entries} entries") };
            let anchored =
                anchor.map(|at| format!(", and the checkpoint at sequence {} holds", at.sequence)).unwrap_or_default();
            let text = format!("the chain of {entries} verifies ({} erased){anchored}", report.erased);
            Ok(Answer::new(data, text).brief(report.checkpoint.hash.to_string()))
        }
        Command::Checkpoint { out } => {
            let report = verify(&ctx.open_existing()?, None).await?;
            let data = object(ctx, &report);
            let line = wire::to_line(&data);
            match out {
                None => Ok(Answer::new(data, line.as_str()).brief(line)),
                Some(path) => {
                    write(path, &line)?;
                    let text = format!(
                        "wrote the checkpoint at sequence {} to {}",
                        report.checkpoint.sequence,
                        path.display()
                    );
                    Ok(Answer::new(data, text))
                }
            }
        }
    }
}

/// Verifies, and names the position also where the ledger cannot even read the entry.
pub(crate) async fn verify(memory: &MemoryManager, anchor: Option<Checkpoint>) -> mnemic::Result<AuditReport> {
    let error = match memory.verify_audit(anchor).await {
        Ok(report) => return Ok(report),
        Err(error) => error,
    };
    if error.kind() != ErrorKind::Corrupted || error.message().contains("sequence") {
        return Err(error);
    }
    match unreadable(memory).await? {
        Some(sequence) => {
            let message = format!("audit chain is broken at sequence {sequence}: {error}");
            Err(Error::new(ErrorKind::Corrupted, message).with_source(error))
        }
        None => Err(error),
    }
}

/// The first entry that cannot be read.
async fn unreadable(memory: &MemoryManager) -> mnemic::Result<Option<Sequence>> {
    let mut range = EventRange::default();
    let mut page = PageRequest::largest();
    loop {
        match memory.events(&range, &page).await {
            Ok(found) => match found.items.last() {
                Some(entry) => range.after = entry.sequence,
                None => return Ok(None),
            },
            Err(error) if error.kind() == ErrorKind::Corrupted && page.limit() == 1 => {
                // A ledger may read one entry ahead to see whether there is more, so it may be the one after.
                range.after.0 += 1;
                let ahead = memory.events(&range, &page).await.is_err();
                return Ok(Some(Sequence(range.after.0 + u64::from(ahead))));
            }
            // Somewhere in this page; from here on entry by entry.
            Err(error) if error.kind() == ErrorKind::Corrupted => page = PageRequest::first(1)?,
            Err(error) => return Err(error),
        }
    }
}

fn object(ctx: &Context, report: &AuditReport) -> Object {
    show::object([
        ("namespace", Value::from(ctx.namespace().as_str())),
        ("sequence", Value::from(report.checkpoint.sequence.0)),
        ("hash", Value::from(report.checkpoint.hash.to_string())),
    ])
}

/// A checkpoint is evidence, so an older one is never overwritten.
fn write(path: &Path, line: &str) -> Result<()> {
    use std::io::Write as _;
    let write = || {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).open(path)?;
        writeln!(file, "{line}")?;
        file.sync_all()
    };
    write().map_err(|error| Failure::io("write", path, &error))
}

fn read(ctx: &Context, path: &Path) -> Result<Checkpoint> {
    let text = fs::read(path).map_err(|error| Failure::io("read", path, &error))?;
    let object = wire::json::parse_object(&text).map_err(|error| error.within("checkpoint"))?;
    // An answer of --json holds the checkpoint as its data.
    let object = object.get("data").and_then(Value::as_object).unwrap_or(&object);
    let wrong = |key: &str, expected: &str| {
        let found = object.get(key).map_or_else(|| "nothing".to_owned(), |value| quoted(&value.to_canonical()));
        Error::invalid(format!("checkpoint.{key}"), expected, found)
    };
    let namespace = object.get("namespace").and_then(Value::as_str).ok_or_else(|| wrong("namespace", "a namespace"))?;
    if namespace != ctx.namespace().as_str() {
        return Err(wrong("namespace", &format!("namespace {}", ctx.namespace())).into());
    }
    let sequence = match object.get("sequence") {
        Some(Value::Number(number)) => number.as_u64(),
        _ => None,
    };
    let hash = object.get("hash").and_then(Value::as_str).and_then(digest);
    Ok(Checkpoint {
        sequence: Sequence(sequence.ok_or_else(|| wrong("sequence", "a position in the chain"))?),
        hash: hash.ok_or_else(|| wrong("hash", "64 hexadecimal digits"))?,
    })
}

fn digest(text: &str) -> Option<Digest> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(i * 2..i * 2 + 2)?, 16).ok()?;
    }
    Some(Digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_back_as_it_is_shown_and_nothing_else_reads() {
        let shown = Digest([0xa5; 32]);
        assert_eq!(digest(&shown.to_string()), Some(shown));
        for wrong in ["", "a5", &"+1".repeat(32), &"é".repeat(32)] {
            assert_eq!(digest(wrong), None, "{wrong}");
        }
    }
}
