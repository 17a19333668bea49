//! Opens a source of any format, and recognizes which it is where the command line does not say. Not here: reading it (the formats).

use std::{
    fs::File,
    io::{self, Read, Seek},
    path::Path,
    str::FromStr,
};

use mnemic::{ThreadId, ids::quoted};

use super::{
    Format, Interpreter,
    chroma::{self, ChromaRows},
    csv::CsvRows,
    langgraph::{postgres::PostgresRows, sqlite::SqliteRows},
    mem0::{self, MemoryRows},
    mem0_history::HistoryRows,
    parquet::{self, ParquetRows},
    rows::{Defaults, LineRows, Rows},
    sqlite,
};
use crate::exit::{Failure, Result};

/// Bytes by which a file is recognized.
const START_BYTES: u64 = 64 * 1024;

/// Which column of a table holds a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    /// The field, by the name that it has in a table of ours.
    pub field: String,
    /// The column.
    pub column: String,
}

impl FromStr for Column {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((field, column)) if !field.is_empty() && !column.is_empty() => {
                Ok(Self { field: field.to_owned(), column: column.to_owned() })
            }
            _ => Err("expected a field and a column, such as text=body".to_owned()),
        }
    }
}

/// What the command line says about a source.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// The format, if it is named.
    pub format: Option<Format>,
    /// What the source leaves open.
    pub defaults: Defaults,
    /// Where the fields of a table are.
    pub columns: Vec<Column>,
}

/// A source that can be read.
pub(crate) struct Source {
    /// Its rows.
    pub rows: Box<dyn Rows>,
    /// How long it is, if that is known.
    pub length: Option<u64>,
    /// Whether its length is one of bytes.
    pub in_bytes: bool,
}

/// Opens what `place` names: a file, a directory of another system's, a database, or standard input (`-`).
///
/// # Errors
/// It is not there, or it is not what can be read.
pub(crate) fn open(place: &Path, wanted: Wanted) -> Result<Source> {
    if place == Path::new("-") {
        return stream(Box::new(io::stdin()), None, place, wanted);
    }
    if let Some(dsn) = dsn(place)? {
        return match wanted.format {
            Some(Format::Langgraph) | None => Ok(unmeasured(PostgresRows::new(dsn)?)),
            Some(other) => Err(Failure::usage(format!("format: expected langgraph for a database, found {other}"))),
        };
    }
    let refused = |error: io::Error| Failure::io("read", place, &error);
    let mut file = File::open(place).map_err(refused)?;
    let about = file.metadata().map_err(refused)?;
    if about.is_dir() {
        return directory(place, wanted);
    }
    // Whatever comes through a pipe can be read once, so it is recognized by its first line alone.
    if !about.is_file() {
        return stream(Box::new(file), None, place, wanted);
    }
    let start = start(&mut file).map_err(refused)?;
    let format = match wanted.format {
        Some(format) => Some(format),
        None if start.starts_with(sqlite::MAGIC) => Some(sqlite::recognize(&sqlite::open(place)?)?),
        None if start.starts_with(parquet::MAGIC) => Some(Format::Parquet),
        None => recognize(place, &start),
    };
    let wanted = Wanted { format, ..wanted };
    match format {
        Some(Format::Mem0History) => {
            let connection = sqlite::open(place)?;
            Ok(unmeasured(HistoryRows::new(connection, place, wanted.defaults)?))
        }
        Some(Format::Parquet) => Ok(unmeasured(ParquetRows::new(file, place, wanted)?)),
        Some(Format::Chroma) => {
            let above = place.parent().unwrap_or(Path::new("."));
            directory(if above == Path::new("") { Path::new(".") } else { above }, wanted)
        }
        Some(Format::Langgraph) => Ok(unmeasured(SqliteRows::new(sqlite::open(place)?, place)?)),
        _ => stream(Box::new(file), Some(about.len()), place, wanted),
    }
}

/// A directory that another system keeps.
fn directory(place: &Path, wanted: Wanted) -> Result<Source> {
    if place.join(chroma::DATABASE).is_file() && matches!(wanted.format, Some(Format::Chroma) | None) {
        return Ok(unmeasured(ChromaRows::new(place, wanted.defaults)?));
    }
    let message = format!("file: expected a file, found the directory {}", place.display());
    Err(Failure::usage(message))
}

/// The connection string that is given as such, or by the name of the variable that holds it: `env:NAME`.
fn dsn(place: &Path) -> Result<Option<String>> {
    let Some(text) = place.to_str() else { return Ok(None) };
    if ["postgres://", "postgresql://", "postgresql+"].iter().any(|scheme| text.starts_with(scheme)) {
        return Ok(Some(text.to_owned()));
    }
    let Some(name) = text.strip_prefix("env:") else { return Ok(None) };
    match std::env::var(name) {
        Ok(dsn) if !dsn.trim().is_empty() => Ok(Some(dsn)),
        _ => {
            let message = format!("file: expected a connection string in the variable {}, found none", quoted(name));
            Err(Failure::usage(message))
        }
    }
}

/// What reads from front to back.
fn stream(mut source: Box<dyn Read + Send>, length: Option<u64>, place: &Path, wanted: Wanted) -> Result<Source> {
    match wanted.format {
        Some(Format::Csv) => {
            Ok(Source { rows: Box::new(CsvRows::new(source, place, wanted)?), length, in_bytes: true })
        }
        Some(Format::Mem0) => Ok(unmeasured(MemoryRows::new(source.as_mut(), wanted.defaults)?)),
        Some(format @ (Format::Mem0History | Format::Langgraph | Format::Chroma | Format::Parquet)) => {
            let message = format!("file: expected a file for the format {format}, found a stream");
            Err(Failure::usage(message))
        }
        _ => Ok(lines(source, length, place, wanted)),
    }
}

fn unmeasured(rows: impl Rows + 'static) -> Source {
    Source { rows: Box::new(rows), length: None, in_bytes: false }
}

/// The first bytes of a file, which is then at its beginning again.
fn start(file: &mut File) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    Read::by_ref(file).take(START_BYTES).read_to_end(&mut start)?;
    file.rewind()?;
    Ok(start)
}

/// The format of a file that does not consist of lines, where its content or its name leaves no doubt.
fn recognize(place: &Path, start: &[u8]) -> Option<Format> {
    let ending = place.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
    if matches!(ending.as_deref(), Some("csv" | "tsv")) {
        return Some(Format::Csv);
    }
    let text = String::from_utf8_lossy(start);
    mem0::is_one(&text).then_some(Format::Mem0)
}

/// A file's name without its folders, which may tell of whose machine it was on.
pub(super) fn file_name(place: &Path) -> Option<String> {
    Some(place.file_name()?.to_str().filter(|name| *name != "-")?.to_owned())
}

fn lines(source: Box<dyn Read + Send>, length: Option<u64>, place: &Path, wanted: Wanted) -> Source {
    let mut interpreter = Interpreter::new(wanted.format, wanted.defaults);
    interpreter.default_chat_thread(stem_thread(place));
    Source { rows: Box::new(LineRows::new(source, interpreter)), length, in_bytes: true }
}

/// The thread of a chat that names none: the file's name without its ending.
fn stem_thread(file: &Path) -> Option<ThreadId> {
    ThreadId::new(file.file_stem()?.to_str().filter(|stem| *stem != "-")?).ok().filter(|thread| !thread.is_reserved())
}
