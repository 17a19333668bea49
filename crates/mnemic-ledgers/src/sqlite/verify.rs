//! Looking for damage: quickly over all namespaces, and thoroughly in one. Not here: repairing it (a backup does that).

use std::path::Path;

use mnemic_core::{
    Namespace, PageRequest, Result,
    policy::audit::ChainVerifier,
    ports::{EventRange, LedgerReport},
};
use rusqlite::Connection;

use super::{
    SqliteConfig, SqliteLedger, blocking, directory, erase,
    error::{Fault, Outcome},
    feed,
    records::text,
    schema::{self, Access},
    snapshot::Snapshot,
    vectors::{self, Location, VectorFiles},
};
use crate::{
    feed_form,
    stored::{self, RecordColumns},
};

/// Adds what is wrong with one part of a namespace.
type Inspection = fn(&Snapshot<'_>, &mut Vec<String>) -> Outcome<()>;

/// A file with much damage is not listed line by line.
const MOST_FAULTS: usize = 100;

/// What can be told at once: whether the directory and each database can be opened.
pub(super) fn check(config: &SqliteConfig) -> LedgerReport {
    let root = &config.directory;
    let mut faults = Vec::new();
    let mut note = |outcome: Outcome<()>, file: &Path| {
        faults.extend(outcome.err().map(|fault| fault.classify(file).to_string()));
    };
    note(directory::check_marker(root), root);
    let names = match directory::namespaces(root) {
        Ok(names) => names,
        Err(fault) => {
            note(Err(fault), root);
            Vec::new()
        }
    };
    for name in names {
        let directory = directory::of_namespace(root, &name);
        note(check_namespace(&directory, config), &directory.join(schema::FILE));
    }
    LedgerReport { backend: format!("SQLite {}", rusqlite::version()), location: root.display().to_string(), faults }
}

fn check_namespace(directory: &Path, config: &SqliteConfig) -> Outcome<()> {
    if !directory::has_ledger(directory)? {
        return Ok(());
    }
    let file = directory.join(schema::FILE);
    let connection = schema::open(&file, Access::Read, config.busy_timeout)?;
    feed::head(&connection)?;
    for row in vectors::models(&connection)?.into_iter().filter(|row| row.rows > 0) {
        vectors::VectorFile::open(directory, &row.model)?;
    }
    if erase::owes(&connection)? {
        let message =
            format!("{}: an erasure has not overwritten everything yet; the next write tries again", file.display());
        return Err(Fault::Mnemic(mnemic_core::Error::new(mnemic_core::ErrorKind::Unavailable, message)));
    }
    Ok(())
}

impl SqliteLedger {
    /// Looks at every page, row, vector and link of one namespace, and tells in words what is wrong.
    ///
    /// # Errors
    /// Those of opening the namespace; damage inside is an answer.
    pub async fn verify(&self, namespace: &Namespace) -> Result<Vec<String>> {
        let directory = directory::of_namespace(&self.config.directory, namespace);
        let busy_timeout = self.config.busy_timeout;
        blocking(move || {
            let file = directory.join(schema::FILE);
            let verified = directory::has_ledger(&directory).and_then(|exists| {
                if !exists {
                    return Ok(Vec::new());
                }
                let connection = schema::open(&file, Access::Read, busy_timeout)?;
                inspect(&connection, &directory)
            });
            verified.map_err(|fault| fault.classify(&file))
        })
        .await
    }
}

/// Inspects one snapshot of a namespace.
pub(super) fn inspect(connection: &Connection, directory: &Path) -> Outcome<Vec<String>> {
    let mut faults = Vec::new();
    let _transaction = connection.unchecked_transaction()?;
    let mut statement = connection.prepare("PRAGMA integrity_check")?;
    let lines = statement.query_map((), |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    faults.extend(lines.into_iter().filter(|line| line != "ok"));
    let files = VectorFiles::default();
    let snapshot = Snapshot::new(connection, directory, &files);
    let parts: [Inspection; 5] = [inspect_records, inspect_revisions, inspect_chain, inspect_feed, inspect_slots];
    for part in parts {
        if let Err(fault) = part(&snapshot, &mut faults) {
            faults.push(fault.classify(&snapshot.file()).to_string());
        }
    }
    faults.truncate(MOST_FAULTS);
    Ok(faults)
}

/// Only whether every vector that a record names can be read.
pub(super) fn inspect_vectors(connection: &Connection, directory: &Path) -> Outcome<Vec<String>> {
    let mut faults = Vec::new();
    let files = VectorFiles::default();
    inspect_records(&Snapshot::new(connection, directory, &files), &mut faults)?;
    Ok(faults)
}

fn inspect_records(snapshot: &Snapshot<'_>, faults: &mut Vec<String>) -> Outcome<()> {
    let models = vectors::models(snapshot.connection)?;
    let sql = "SELECT id, version, created_at, user, body, model, slot, crc FROM records";
    let mut statement = snapshot.connection.prepare(sql)?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        let (id, user) = (text(row, 0)?, row.get_ref(3)?.as_str_or_null().map_err(rusqlite::Error::from)?);
        let columns = RecordColumns { id, version: row.get(1)?, created_at: row.get(2)?, user };
        if let Some(body) = row.get_ref(4)?.as_blob_or_null().map_err(rusqlite::Error::from)? {
            faults.extend(stored::unpack_record(&columns, body).err().map(|error| error.to_string()));
        }
        let Some(model) = row.get(5)? else { continue };
        let location = Location { model, slot: row.get(6)?, crc: row.get(7)? };
        if !models.iter().any(|known| known.no == model && location.slot < known.rows) {
            faults.push(format!("record {id} names a vector that no commit vouches for"));
        }
        let read = snapshot.embedding(location, id);
        faults.extend(read.err().map(|fault| fault.classify(&snapshot.file()).to_string()));
    }
    Ok(())
}

fn inspect_revisions(snapshot: &Snapshot<'_>, faults: &mut Vec<String>) -> Outcome<()> {
    let sql = "SELECT id, revisions.version, revisions.created_at, revisions.user, revisions.body
         FROM revisions LEFT JOIN records USING (ordinal)";
    let mut statement = snapshot.connection.prepare(sql)?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        let Some(id) = row.get_ref(0)?.as_str_or_null().map_err(rusqlite::Error::from)? else {
            faults.push("a revision belongs to no record".to_owned());
            continue;
        };
        let user = row.get_ref(3)?.as_str_or_null().map_err(rusqlite::Error::from)?;
        let columns = RecordColumns { id, version: row.get(1)?, created_at: row.get(2)?, user };
        if let Some(body) = row.get_ref(4)?.as_blob_or_null().map_err(rusqlite::Error::from)? {
            faults.extend(stored::unpack_record(&columns, body).err().map(|error| error.to_string()));
        }
    }
    Ok(())
}

fn inspect_chain(snapshot: &Snapshot<'_>, faults: &mut Vec<String>) -> Outcome<()> {
    let mut verifier = ChainVerifier::new(None);
    let mut page = PageRequest::largest();
    loop {
        let entries = snapshot.events(&EventRange::default(), &page)?;
        for entry in &entries.items {
            if let Err(error) = verifier.push(entry) {
                faults.push(error.to_string());
                return Ok(());
            }
        }
        match entries.next {
            Some(next) => page = page.after(Some(next)),
            None => return Ok(()),
        }
    }
}

fn inspect_feed(snapshot: &Snapshot<'_>, faults: &mut Vec<String>) -> Outcome<()> {
    let mut statement = snapshot.connection.prepare("SELECT last, at, changes FROM commits ORDER BY last")?;
    let mut rows = statement.query(())?;
    let mut reached = 0;
    while let Some(row) = rows.next()? {
        let last: u64 = row.get(0)?;
        match feed_form::decode(last, row.get(1)?, row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?) {
            None => faults.push(format!("the changes up to position {last} cannot be read")),
            Some(changes) if reached + changes.len() as u64 != last => {
                faults.push(format!("the change feed has a gap before position {last}"));
            }
            Some(_) => {}
        }
        reached = last;
    }
    let mut beyond = snapshot.connection.prepare("SELECT count(*) FROM records WHERE seq > ?1")?;
    let beyond: u64 = beyond.query_row([reached], |row| row.get(0))?;
    if beyond > 0 {
        faults.push(format!("{beyond} records were written after the last change of the feed"));
    }
    Ok(())
}

fn inspect_slots(snapshot: &Snapshot<'_>, faults: &mut Vec<String>) -> Outcome<()> {
    let mut statement = snapshot.connection.prepare("SELECT seq, body FROM slot_revisions")?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        let slots = stored::unpack_slots(row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?);
        faults.extend(slots.err().map(|error| error.to_string()));
    }
    Ok(())
}
