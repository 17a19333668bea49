//! The tables of one namespace's database, how the file is made, and what is checked before it is trusted.
//! Not here: the packed columns (`stored`) and the vectors beside the database (`vectors`).

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::Duration,
};

use mnemic_core::{Error, ErrorKind};
use rusqlite::{Connection, OpenFlags};

use super::{
    directory::{self, FILE_MODE},
    error::{At, Outcome, corrupted},
};

/// Says in the file's header that it is ours ("MNMC").
const APPLICATION_ID: i32 = 0x4d4e_4d43;
/// Grows with every change of the tables or of what they mean.
const SCHEMA_VERSION: i32 = 2;
/// Bytes of a page, the shortest that a database can be.
const PAGE: u64 = 4096;
/// Name of the database inside a namespace's directory.
pub(super) const FILE: &str = "ledger.sqlite";

/// Positions in the feed (`seq`) are the one clock of a namespace: a record's or a thread's ordinal is the position of the
/// change that first wrote it, so it is never used again and the feed needs no names.
const TABLES: &str = "
CREATE TABLE records(
  ordinal INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  version INTEGER NOT NULL,
  seq INTEGER NOT NULL,           -- the change that made this revision, or that deleted it
  created_at INTEGER NOT NULL,
  user TEXT,                      -- of the last revision, also after its deletion
  model INTEGER, slot INTEGER, crc INTEGER,
  body BLOB                       -- NULL: deleted, only its history is left
) STRICT;
CREATE TABLE revisions(           -- superseded revisions and past deletions
  seq INTEGER PRIMARY KEY,
  ordinal INTEGER NOT NULL,
  version INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  user TEXT,
  body BLOB                       -- NULL: a deletion
) STRICT;
CREATE INDEX revisions_of ON revisions(ordinal);
CREATE TABLE events(
  sequence INTEGER PRIMARY KEY,
  recorded_at INTEGER NOT NULL,
  event_id TEXT, thread TEXT, user TEXT, body BLOB, salt BLOB,  -- NULL: erased
  commitment BLOB NOT NULL, previous BLOB NOT NULL, hash BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX events_by_id ON events(event_id) WHERE event_id IS NOT NULL;
CREATE INDEX events_of_thread ON events(thread) WHERE thread IS NOT NULL;
CREATE INDEX events_of_user ON events(user) WHERE user IS NOT NULL;
CREATE TABLE slot_threads(
  ordinal INTEGER PRIMARY KEY,
  thread TEXT NOT NULL UNIQUE,
  held INTEGER NOT NULL           -- how many slots the last version has
) STRICT;
CREATE TABLE slot_revisions(
  seq INTEGER PRIMARY KEY,
  ordinal INTEGER NOT NULL,
  version INTEGER NOT NULL,
  body BLOB NOT NULL
) STRICT;
CREATE INDEX slot_revisions_of ON slot_revisions(ordinal);
CREATE TABLE commits(             -- the feed, one row per commit
  last INTEGER PRIMARY KEY,       -- position of its last change
  at INTEGER NOT NULL,
  changes BLOB NOT NULL
) STRICT;
CREATE TABLE erased_names(ordinal INTEGER PRIMARY KEY, id TEXT NOT NULL) STRICT;
CREATE TABLE outbox(
  id INTEGER PRIMARY KEY,
  task TEXT NOT NULL,
  ordinal INTEGER NOT NULL,
  version INTEGER NOT NULL,
  since INTEGER NOT NULL
) STRICT;
CREATE INDEX outbox_of ON outbox(ordinal);
CREATE TABLE receipts(
  key TEXT PRIMARY KEY,
  fingerprint BLOB NOT NULL,
  at INTEGER NOT NULL,
  body BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX receipts_by_age ON receipts(at);
CREATE TABLE models(
  no INTEGER PRIMARY KEY,
  provider TEXT NOT NULL, name TEXT NOT NULL, dimension INTEGER NOT NULL, metric TEXT NOT NULL,
  rows INTEGER NOT NULL           -- rows of the vector file that a commit has vouched for
) STRICT;
CREATE TABLE upkeep(what TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;  -- cleaning that an erasure still owes
";

/// The role of the namespace, in one row; none in a namespace that never had another role than to serve. Since version 2.
const ASSIGNMENT: &str = "
CREATE TABLE assignment(one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL, role BLOB NOT NULL) STRICT;
";

/// How a connection is used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// Opens an existing database after checking whose it is. Changes nothing of a file that it refuses.
pub(super) fn open(path: &Path, access: Access, busy_timeout: Duration) -> Outcome<Connection> {
    // Only `stat`: closing any other descriptor of the file would drop the locks that SQLite holds in this process.
    let metadata = fs::symlink_metadata(path).at(path)?;
    if !metadata.is_file() {
        let message = format!(
            "{} is not a regular file; move it away and restore a backup with `mnemic restore`",
            path.display()
        );
        return Err(Error::new(ErrorKind::InvalidConfig, message).into());
    }
    check_length(path, metadata.len())?;
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(busy_timeout)?;
    if check_header(&connection, path)? < SCHEMA_VERSION {
        upgrade(&connection)?;
    }
    configure(&connection, access)?;
    Ok(connection)
}

/// Opens a database that nobody writes, without leaving a file beside it.
pub(super) fn open_still(path: &Path) -> Outcome<Connection> {
    check_length(path, fs::symlink_metadata(path).at(path)?.len())?;
    let hex = |digit: u8| char::from_digit(u32::from(digit), 16).unwrap_or('0');
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => uri.push(char::from(*byte)),
            other => uri.extend(['%', hex(other >> 4), hex(other & 15)]),
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(uri, flags)?;
    let _readable: i32 = check_header(&connection, path)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// SQLite takes a file that is shorter than a page for a new database, and ours never is one.
fn check_length(path: &Path, length: u64) -> Outcome<()> {
    match length {
        0 => Err(corrupted(path, "the database is empty, which it never is").into()),
        1..PAGE => Err(corrupted(path, "the database is cut short").into()),
        PAGE.. => Ok(()),
    }
}

/// Refuses a database that is not ours or of a newer Mnemic, and tells its version.
fn check_header(connection: &Connection, path: &Path) -> Outcome<i32> {
    let number = |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let shown = path.display();
    if application != APPLICATION_ID {
        let message = format!(
            "{shown} is a database of another application (application id {application:#x}); move it away and restore a backup with `mnemic restore`"
        );
        return Err(Error::new(ErrorKind::InvalidConfig, message).into());
    }
    if version > SCHEMA_VERSION {
        let message = format!(
            "{shown} has schema version {version} and this Mnemic knows up to {SCHEMA_VERSION}; upgrade Mnemic to open it"
        );
        return Err(Error::new(ErrorKind::InvalidConfig, message).into());
    }
    if version < 1 {
        return Err(corrupted(path, format_args!("the schema version {version} never existed")).into());
    }
    Ok(version)
}

/// Adds what came after version 1. Of two processes that do this at once, one finds it done.
fn upgrade(connection: &Connection) -> Outcome<()> {
    connection.pragma_update(None, "synchronous", "full")?;
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let upgraded = connection
        .pragma_query_value(None, "user_version", |row| row.get::<_, i32>(0))
        .and_then(|version| if version < SCHEMA_VERSION { connection.execute_batch(ASSIGNMENT) } else { Ok(()) })
        .and_then(|()| connection.pragma_update(None, "user_version", SCHEMA_VERSION));
    connection.execute_batch(if upgraded.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    Ok(upgraded?)
}

fn configure(connection: &Connection, access: Access) -> Outcome<()> {
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.pragma_update(None, "cell_size_check", true)?;
    match access {
        Access::Read => connection.pragma_update(None, "query_only", true)?,
        Access::Write => {
            connection.pragma_update(None, "synchronous", "full")?;
            connection.pragma_update(None, "cache_size", -8000)?;
            // The writer checkpoints after it has answered, never before.
            connection.pragma_update(None, "wal_autocheckpoint", 0)?;
            // Deleted bytes are overwritten, so that an erasure leaves none behind.
            let _on: i32 = connection.pragma_update_and_check(None, "secure_delete", true, |row| row.get(0))?;
            let _wal: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
        }
    }
    Ok(())
}

/// Makes the database if it is not there. It appears whole or not at all, also when two processes do this at once.
pub(super) fn create(path: &Path) -> Outcome<()> {
    let Some(parent) = path.parent() else { return Err(Error::bug("a database without a directory").into()) };
    directory::make(parent)?;
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|e| io::Error::other(e.to_string())).at(path)?;
    let temporary = parent.join(format!(".{FILE}.new-{:016x}", u64::from_ne_bytes(random)));
    let made = write_new(&temporary).and_then(|()| match fs::hard_link(&temporary, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked.at(path),
    });
    let removed = fs::remove_file(&temporary).at(&temporary);
    made?;
    removed?;
    directory::sync(parent)
}

fn write_new(path: &Path) -> Outcome<()> {
    OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path).at(path)?;
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.execute_batch(&format!(
        "PRAGMA page_size = {PAGE}; BEGIN; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION}; {TABLES} {ASSIGNMENT} COMMIT;"
    ))?;
    let _wal: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    connection.close().map_err(|(_, error)| error)?;
    Ok(())
}
