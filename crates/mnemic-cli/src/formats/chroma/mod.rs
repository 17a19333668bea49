//! A directory of Chroma (`PersistentClient`): each collection a place of its own, each of its documents a record. Not here: where
//! embeddings lie (`vectors`).

mod pickle;
mod vectors;

use std::{
    path::{Path, PathBuf},
    vec,
};

use mnemic::{Digest, Error, NewRecord, Number, Object, Result, Value, ids::quoted};
use rusqlite::{Connection, OptionalExtension as _, Row as SqlRow, types::ValueRef};
use vectors::Vectors;

use super::{
    Fault, Format, Item, dates,
    rows::{About, Defaults, Row, Rows, imported_from, kept_id, thread, user},
    sqlite,
    table::check_embedding,
};
use crate::exit;

const SYSTEM: &str = "chroma";
/// The file in a directory of Chroma by which it is known.
pub(super) const DATABASE: &str = "chroma.sqlite3";
/// The key under which the database holds a record's document among its metadata.
const DOCUMENT: &str = "chroma:document";
/// Keys of metadata that name a conversation; the first that there is becomes the thread.
const THREADS: [&str; 3] = ["thread_id", "session_id", "run_id"];
const DEFAULT_DATABASE: &str = "default_database";

/// One collection.
#[derive(Debug)]
struct Collection {
    id: String,
    /// Its name, with its database's before it where that is not the usual one.
    name: String,
    records: String,
    index: Option<String>,
}

/// The records of every collection.
pub(super) struct ChromaRows {
    connection: Connection,
    directory: PathBuf,
    collections: vec::IntoIter<Collection>,
    current: Option<(Collection, Vectors)>,
    page: vec::IntoIter<(i64, String, String)>,
    last: i64,
    lists: bool,
    number: u64,
    defaults: Defaults,
    digest: Option<Digest>,
}

impl ChromaRows {
    /// Opens the database in a directory.
    pub(super) fn new(directory: &Path, defaults: Defaults) -> exit::Result<Self> {
        let place = directory.join(DATABASE);
        let connection = sqlite::open(&place)?;
        let collections = collections(&connection)?;
        Ok(Self {
            lists: sqlite::has(&connection, "embedding_metadata_array", &["id", "key"])?,
            connection,
            directory: directory.to_owned(),
            collections: collections.into_iter(),
            current: None,
            page: Vec::new().into_iter(),
            last: i64::MIN,
            number: 0,
            defaults,
            digest: sqlite::digest(&place).ok(),
        })
    }

    /// The next record, of this collection or of one of the next.
    fn advance(&mut self) -> Result<Option<(i64, String, String)>> {
        loop {
            if let Some(found) = self.page.next() {
                return Ok(Some(found));
            }
            if let Some((collection, _)) = &self.current {
                self.page = page(&self.connection, &collection.records, self.last)?.into_iter();
                if let Some((last, _, _)) = self.page.as_slice().last() {
                    self.last = *last;
                    continue;
                }
            }
            let Some(collection) = self.collections.next() else { return Ok(None) };
            check_applied(&self.connection, &collection)?;
            let segment = collection.index.as_ref().map(|index| self.directory.join(index));
            let vectors = Vectors::of(&self.connection, &collection.id, segment.as_deref())?;
            self.current = Some((collection, vectors));
            self.last = i64::MIN;
        }
    }

    fn read(&mut self, row: i64, id: &str, created_at: &str) -> Result<Vec<Item>> {
        let mut metadata = self.metadata(row)?;
        let Some((collection, vectors)) = &mut self.current else { return Ok(Vec::new()) };
        let embedding = vectors.get(&self.connection, id)?;
        let Some(Value::String(text)) = metadata.remove(DOCUMENT) else {
            let expected = "a text, without which there is nothing to remember";
            return Err(Error::invalid(
                "document",
                expected,
                format!("none (record {} of {})", quoted(id), collection.name),
            ));
        };
        let mut draft = NewRecord::new(text).with_id(kept_id(SYSTEM, id)?).with_source(SYSTEM);
        let said = |key: &str| metadata.get(key).and_then(Value::as_str);
        draft.user_id = said("user_id").map(|id| user("user_id", id)).transpose()?;
        let named = THREADS.into_iter().find_map(|key| Some((key, said(key)?)));
        draft.thread_id = named.map(|(key, id)| thread(key, id)).transpose()?;
        draft.created_at = Some(dates::parse("created_at", created_at)?);
        draft.updated_at = draft.created_at;
        draft.metadata = metadata;
        let from = [("collection", Value::from(collection.name.as_str())), ("id", Value::from(id))];
        imported_from(&mut draft, SYSTEM, from);
        // One that is not found, or can be none here, is told of like one of an unknown model: the text is embedded anew.
        let embedding = embedding.and_then(|embedding| check_embedding(embedding).ok());
        let place = Some(collection.name.clone());
        Ok(vec![self.defaults.item(draft, Some(embedding.unwrap_or_default()), place)])
    }

    fn metadata(&self, row: i64) -> Result<Object> {
        let select =
            "SELECT key, string_value, int_value, float_value, bool_value FROM embedding_metadata WHERE id = ?1";
        let mut metadata = Object::new();
        for (key, value) in self.values(select, row)? {
            metadata.insert(key, value);
        }
        if self.lists {
            let select = "SELECT key, string_value, int_value, float_value, bool_value FROM embedding_metadata_array \
                          WHERE id = ?1 ORDER BY rowid";
            for (key, value) in self.values(select, row)? {
                match metadata.entry(key).or_insert_with(|| Value::Array(Vec::new())) {
                    Value::Array(items) => items.push(value),
                    other => *other = Value::Array(vec![value]),
                }
            }
        }
        Ok(metadata)
    }

    fn values(&self, select: &str, row: i64) -> Result<Vec<(String, Value)>> {
        let read = || {
            let mut statement = self.connection.prepare_cached(select)?;
            statement.query_map([row], |row| Ok((row.get(0)?, value(row))))?.collect::<rusqlite::Result<Vec<_>>>()
        };
        let found: Vec<(String, Result<Value>)> = read().map_err(|error| sqlite::fault(&error))?;
        found.into_iter().map(|(key, value)| Ok((key, value?))).collect()
    }
}

impl Rows for ChromaRows {
    fn next(&mut self) -> exit::Result<Option<Row>> {
        let Some((row, id, created_at)) = self.advance()? else { return Ok(None) };
        self.number += 1;
        let read = self.read(row, &id, &created_at).map_err(Fault::Line);
        Ok(Some(Row { number: self.number, bytes: 1024, read }))
    }

    fn position(&self) -> u64 {
        self.number
    }

    fn about(&self) -> About {
        About { format: Some(Format::Chroma), digest: self.digest }
    }
}

fn collections(connection: &Connection) -> Result<Vec<Collection>> {
    let databases = sqlite::has(connection, "collections", &["database_id"])?;
    let database = if databases { "(SELECT name FROM databases d WHERE d.id = c.database_id)" } else { "NULL" };
    let select = format!(
        "SELECT c.id, c.name, {database}, \
         (SELECT id FROM segments s WHERE s.collection = c.id AND s.scope = 'METADATA'), \
         (SELECT id FROM segments s WHERE s.collection = c.id AND s.scope = 'VECTOR') FROM collections c ORDER BY c.name, c.id"
    );
    let collection = |row: &SqlRow<'_>| {
        let (name, database): (String, Option<String>) = (row.get(1)?, row.get(2)?);
        let name = match database.filter(|database| database != DEFAULT_DATABASE) {
            Some(database) => format!("{database}/{name}"),
            None => name,
        };
        Ok((row.get(0)?, name, row.get::<_, Option<String>>(3)?, row.get(4)?))
    };
    let read = || connection.prepare(&select)?.query_map([], collection)?.collect::<rusqlite::Result<Vec<_>>>();
    let found = read().map_err(|error| sqlite::fault(&error))?;
    let whole = found
        .into_iter()
        .filter_map(|(id, name, records, index)| Some(Collection { id, name, records: records?, index }));
    Ok(whole.collect())
}

fn page(connection: &Connection, segment: &str, last: i64) -> Result<Vec<(i64, String, String)>> {
    let read = || {
        let select = "SELECT id, embedding_id, created_at FROM embeddings WHERE segment_id = ?1 AND id > ?2 ORDER BY id LIMIT 500";
        let mut statement = connection.prepare_cached(select)?;
        let row = |row: &SqlRow<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        statement.query_map((segment, last), row)?.collect::<rusqlite::Result<Vec<_>>>()
    };
    read().map_err(|error| sqlite::fault(&error))
}

/// Refuses a collection of which a part waits in the queue: what is in the tables is not yet what its users see.
fn check_applied(connection: &Connection, collection: &Collection) -> Result<()> {
    let read = || {
        let newest: Option<i64> = connection.query_row(
            "SELECT max(seq_id) FROM embeddings_queue WHERE topic LIKE '%' || ?1",
            [&collection.id],
            |row| row.get(0),
        )?;
        let applied: Option<i64> = connection
            .query_row("SELECT seq_id FROM max_seq_id WHERE segment_id = ?1", [&collection.records], |row| {
                row.get_ref(0).map(position)
            })
            .optional()?;
        Ok((newest, applied))
    };
    let (newest, applied) = read().map_err(|error: rusqlite::Error| sqlite::fault(&error))?;
    if newest.is_some_and(|newest| applied.is_none_or(|applied| applied < newest)) {
        let found = format!("{} with writes that wait; open it once with Chroma", quoted(&collection.name));
        return Err(Error::invalid("file", "collections that are up to date", found));
    }
    Ok(())
}

/// A position of the queue; earlier versions wrote it as 8 bytes, the highest first.
fn position(value: ValueRef<'_>) -> i64 {
    match value {
        ValueRef::Integer(number) => number,
        ValueRef::Blob(bytes) => bytes.last_chunk().map_or(0, |bytes| i64::from_be_bytes(*bytes)),
        _ => 0,
    }
}

fn value(row: &SqlRow<'_>) -> Result<Value> {
    let cell = |i: usize| row.get_ref(i).map_err(|error| sqlite::fault(&error));
    if let ValueRef::Integer(flag) = cell(4)? {
        return Ok(Value::from(flag != 0));
    }
    Ok(match (cell(1)?, cell(2)?, cell(3)?) {
        (ValueRef::Null, ValueRef::Null, ValueRef::Null) => Value::Null,
        (ValueRef::Null, ValueRef::Integer(number), _) => Value::from(number),
        (ValueRef::Null, _, ValueRef::Real(number)) => {
            Value::Number(Number::from_f64(number).ok_or_else(|| Error::invalid("metadata", "finite numbers", number))?)
        }
        (text, _, _) => Value::from(sqlite::text("metadata", text)?.unwrap_or_default()),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{
        super::{What, own::FileEmbedding},
        *,
    };

    fn embeddings(directory: &Path) -> BTreeMap<String, (String, FileEmbedding)> {
        let defaults = Defaults { model: Some("maker/letters".to_owned()), ..Defaults::default() };
        let mut rows = ChromaRows::new(directory, defaults).unwrap();
        let mut found = BTreeMap::new();
        while let Some(row) = rows.next().unwrap() {
            for item in row.read.unwrap_or_default() {
                let What::Record { draft, embedding, .. } = item.what else { panic!("expected a record") };
                found.insert(draft.id.unwrap().to_string(), (draft.text, embedding.unwrap()));
            }
        }
        found
    }

    /// What `systems.py` gave a text.
    fn expected(text: &str) -> Vec<f32> {
        let mark = mnemic::policy::audit::digest(text.as_bytes()).0;
        mark.iter().take(8).map(|byte| (f64::from(*byte) / 256.0 + 0.01) as f32).collect()
    }

    const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/importers/chroma");

    #[test]
    fn every_embedding_is_found_in_the_queue_or_in_the_files_of_the_index() {
        let found = embeddings(Path::new(FIXTURE));
        assert_eq!(found.len(), 3 + 99);
        for (id, (text, embedding)) in &found {
            assert_eq!(embedding.components, expected(text), "{id}");
            assert_eq!(embedding.model, "maker/letters@8-cosine");
        }
        assert_eq!(found["line-1"].0, "line number 1 was changed late");
    }

    #[test]
    fn without_the_files_of_the_index_records_are_read_and_embedded_anew() {
        let place = tempfile::tempdir().unwrap();
        std::fs::copy(Path::new(FIXTURE).join(DATABASE), place.path().join(DATABASE)).unwrap();
        let found = embeddings(place.path());
        assert_eq!(found.len(), 3 + 99);
        let without = found.values().filter(|(_, embedding)| embedding.components.is_empty()).count();
        assert!(without > 50 && without < 102, "{without}");
    }
}
