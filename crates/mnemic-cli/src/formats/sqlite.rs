//! Other systems' SQLite files, opened so that nothing of them can change. Not here: their tables (the formats), Mnemic's own
//! database (the ledger).

use std::{
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

use mnemic::{Digest, Error, ErrorKind, Result};
use rusqlite::{Connection, OpenFlags, types::ValueRef};
use sha2::{Digest as _, Sha256};

use super::Format;

/// What every SQLite file begins with.
pub(super) const MAGIC: &[u8] = b"SQLite format 3\0";
/// Rows that are asked for at once, so that no statement stays open between two rows.
pub(super) const PAGE: usize = 500;

/// Opens a database for reading.
pub(super) fn open(place: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(place, flags).map_err(|error| fault(&error))?;
    connection.busy_timeout(std::time::Duration::from_secs(10)).map_err(|error| fault(&error))?;
    Ok(connection)
}

/// The columns of a table; none if there is no such table.
pub(super) fn columns(connection: &Connection, table: &str) -> Result<Vec<String>> {
    let read = || {
        let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
        statement.query_map([table], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()
    };
    read().map_err(|error| fault(&error))
}

/// Whether a table has all of these columns.
pub(super) fn has(connection: &Connection, table: &str, wanted: &[&str]) -> Result<bool> {
    let columns = columns(connection, table)?;
    Ok(wanted.iter().all(|name| columns.iter().any(|column| column == name)))
}

/// Which system's database this is, by its tables.
pub(super) fn recognize(connection: &Connection) -> Result<Format> {
    let tables: [(Format, &str, &[&str]); 3] = [
        (Format::Mem0History, "history", &["id", "memory_id", "old_memory", "new_memory", "event"]),
        (Format::Chroma, "embeddings", &["id", "segment_id", "embedding_id", "seq_id"]),
        (Format::Langgraph, "store", &["prefix", "key", "value", "created_at", "updated_at"]),
    ];
    for (format, table, wanted) in tables {
        if has(connection, table, wanted)? {
            return Ok(format);
        }
    }
    let read = || {
        let mut statement =
            connection.prepare("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name LIMIT 8")?;
        statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()
    };
    let tables = read().map_err(|error| fault(&error))?;
    let found = format!("a SQLite database with the tables {}", mnemic::ids::quoted(&tables.join(", ")));
    Err(Error::invalid("file", "the database of a system that is known (see mnemic import --help)", found))
}

/// A text of a row. Some systems write their JSON as bytes.
pub(super) fn text(field: &str, value: ValueRef<'_>) -> Result<Option<String>> {
    let bytes = match value {
        ValueRef::Null => return Ok(None),
        ValueRef::Integer(number) => return Ok(Some(number.to_string())),
        ValueRef::Real(number) => return Ok(Some(number.to_string())),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes,
    };
    let refused = |source| Error::invalid(field, "text in UTF-8", "other bytes").with_source(source);
    std::str::from_utf8(bytes).map(|text| Some(text.to_owned())).map_err(refused)
}

/// An error of the driver. What a foreign file holds is not in it: statements are ours and take values as parameters.
pub(super) fn fault(error: &rusqlite::Error) -> Error {
    Error::new(
        ErrorKind::Corrupted,
        format!("file: expected a SQLite database that can be read, found a fault ({error})"),
    )
    .with_field("file")
}

/// The digest of a file as it lies there.
pub(super) fn digest(place: &Path) -> std::io::Result<Digest> {
    let mut reader = BufReader::with_capacity(256 * 1024, File::open(place)?);
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = reader.read(&mut buffer)?;
        if read == 0 {
            return Ok(Digest(hasher.finalize().into()));
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
    }
}
