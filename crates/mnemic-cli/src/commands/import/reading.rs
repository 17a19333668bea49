//! Reads a source on a thread of its own and hands its rows to the loader, with the faults by number. Not here: what a row means
//! (`formats`), the answer (`import`).

use std::thread;

use indicatif::ProgressBar;
use mnemic::Error;
use tokio::sync::mpsc;

use crate::{
    exit::{Failure, Result},
    formats::{
        Fault,
        load::Loader,
        rows::{About, Row, Rows},
    },
    output::tell,
};

/// Rows handed over at once.
const CHUNK_ROWS: usize = 512;
/// Bytes handed over at once, beyond which a chunk ends early.
const CHUNK_BYTES: usize = 1024 * 1024;
/// Faults that are kept for the answer; all are counted.
const SHOWN_FAULTS: usize = 100;

/// A row that could not be read.
pub(super) struct RowFault {
    pub(super) number: u64,
    pub(super) field: Option<String>,
    pub(super) message: String,
}

/// What came of reading a whole source.
pub(super) struct Outcome {
    pub(super) about: About,
    /// What its rows are called.
    pub(super) unit: &'static str,
    pub(super) rows: u64,
    pub(super) faults: Vec<RowFault>,
    pub(super) refused: u64,
}

/// What the reading thread hands over.
enum Chunk {
    Rows { rows: Vec<Row>, position: u64, unit: &'static str },
    End(About),
    Failed(Failure),
}

/// Reads a source to its end into the loader.
pub(super) async fn read_all(
    source: Box<dyn Rows>,
    loader: &mut Loader,
    bar: &ProgressBar,
    strict: bool,
) -> Result<Outcome> {
    let mut chunks = read_in_background(source);
    let mut reading = Reading { loader, strict, unit: "line", faults: Vec::new(), refused: 0, rows: 0 };
    let mut whole = None;
    while let Some(chunk) = chunks.recv().await {
        match chunk {
            Chunk::Rows { rows, position, unit } => {
                reading.unit = unit;
                for row in rows {
                    reading.row(row).await?;
                }
                bar.set_position(position);
            }
            Chunk::End(about) => whole = Some(about),
            Chunk::Failed(failure) => return Err(failure),
        }
    }
    // A reader that ends without a word has failed, and what it did not read must not look as if it were not there.
    let Some(about) = whole else { return Err(Failure::other("cannot read on: the reader of this format failed")) };
    reading.loader.finish().await?;
    let Reading { unit, faults, refused, rows, .. } = reading;
    Ok(Outcome { about, unit, rows, faults, refused })
}

/// Reads on a thread of its own, so that waiting for standard input never holds up Ctrl-C. The thread ends with the process.
fn read_in_background(mut source: Box<dyn Rows>) -> mpsc::Receiver<Chunk> {
    let (sender, receiver) = mpsc::channel(2);
    thread::spawn(move || {
        loop {
            let unit = source.about().format.map_or("line", |format| format.unit());
            let chunk = match next_chunk(source.as_mut()) {
                Ok(rows) if rows.is_empty() => Chunk::End(source.about()),
                Ok(rows) => Chunk::Rows { rows, position: source.position(), unit },
                Err(failure) => Chunk::Failed(failure),
            };
            let more = matches!(chunk, Chunk::Rows { .. });
            if sender.blocking_send(chunk).is_err() || !more {
                break;
            }
        }
    });
    receiver
}

fn next_chunk(source: &mut dyn Rows) -> Result<Vec<Row>> {
    let (mut chunk, mut bytes) = (Vec::new(), 0);
    while chunk.len() < CHUNK_ROWS && bytes < CHUNK_BYTES {
        let Some(row) = source.next()? else { break };
        bytes += row.bytes;
        chunk.push(row);
    }
    Ok(chunk)
}

/// The state of reading one source.
struct Reading<'a> {
    loader: &'a mut Loader,
    strict: bool,
    unit: &'static str,
    faults: Vec<RowFault>,
    refused: u64,
    rows: u64,
}

impl Reading<'_> {
    async fn row(&mut self, row: Row) -> Result<()> {
        self.rows = row.number;
        match row.read {
            Ok(items) => {
                for item in items {
                    if let Err(error) = self.loader.push(item).await? {
                        self.fault(row.number, &error)?;
                    }
                }
                Ok(())
            }
            Err(Fault::Line(error)) => self.fault(row.number, &error),
            Err(Fault::File(error)) => Err(error.into()),
        }
    }

    fn fault(&mut self, number: u64, error: &Error) -> Result<()> {
        let unit = self.unit;
        let message = format!("{unit} {number}: {}", error.message());
        if self.strict {
            let mut failure = Failure::from(Error::new(error.kind(), message));
            failure.field = error.field().map(str::to_owned);
            let hint = format!("nothing from this {unit} on was read; without --strict it would be passed over");
            return Err(failure.hint(hint));
        }
        self.refused += 1;
        if self.faults.len() < SHOWN_FAULTS {
            tell(&format!("mnemic: {}\n", crate::output::escaped(&message)));
            self.faults.push(RowFault {
                number,
                field: error.field().map(str::to_owned),
                message: error.message().to_owned(),
            });
        }
        Ok(())
    }
}
