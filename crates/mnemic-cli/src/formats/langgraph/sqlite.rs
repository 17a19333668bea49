//! A store in a SQLite file, read without SQLite's vector extension. Not here: what an item becomes (`langgraph`).

use std::{path::Path, vec};

use mnemic::{Digest, Error, Result, Timestamp};
use rusqlite::{Connection, Row as SqlRow};

use super::{
    super::{
        Fault, Format, dates,
        rows::{About, Row, Rows},
        sqlite,
    },
    Entry, items,
};
use crate::exit;

/// The items of a store.
pub(in crate::formats) struct SqliteRows {
    connection: Connection,
    statement: String,
    /// Whether the store finds anything by a query, and so says of each item by what.
    indexed: bool,
    page: vec::IntoIter<(i64, Result<Entry>)>,
    last: i64,
    number: u64,
    digest: Option<Digest>,
}

impl SqliteRows {
    /// Looks at the tables.
    pub(in crate::formats) fn new(connection: Connection, place: &Path) -> exit::Result<Self> {
        if !sqlite::has(&connection, "store", &["prefix", "key", "value", "created_at", "updated_at"])? {
            let expected = "a table store with prefix, key, value, created_at and updated_at";
            return Err(Error::invalid("file", expected, "a database without it").into());
        }
        // Earlier versions had no times to live.
        let mortal = sqlite::has(&connection, "store", &["expires_at", "ttl_minutes"])?;
        let ends = if mortal { "expires_at, ttl_minutes" } else { "NULL, NULL" };
        let vectors = sqlite::has(&connection, "store_vectors", &["prefix", "key", "field_name"])?;
        let count = || connection.query_row("SELECT EXISTS (SELECT 1 FROM store_vectors)", [], |row| row.get(0));
        let indexed = vectors && count().map_err(|error| sqlite::fault(&error))?;
        let statement = format!(
            "SELECT rowid, prefix, key, value, created_at, updated_at, {ends} FROM store WHERE rowid > ?1 ORDER BY rowid LIMIT {}",
            sqlite::PAGE
        );
        let digest = sqlite::digest(place).ok();
        let page = Vec::new().into_iter();
        Ok(Self { connection, statement, indexed, page, last: i64::MIN, number: 0, digest })
    }

    fn turn(&mut self) -> Result<()> {
        let read = || {
            let mut statement = self.connection.prepare_cached(&self.statement)?;
            statement.query_map([self.last], |row| Ok((row.get(0)?, entry(row))))?.collect::<rusqlite::Result<Vec<_>>>()
        };
        let rows = read().map_err(|error| sqlite::fault(&error))?;
        self.last = rows.last().map_or(self.last, |(rowid, _)| *rowid);
        self.page = rows.into_iter();
        Ok(())
    }

    fn fields(&self, entry: &Entry) -> Result<Option<Vec<String>>> {
        if !self.indexed {
            return Ok(None);
        }
        let read = || {
            let select = "SELECT field_name FROM store_vectors WHERE prefix = ?1 AND key = ?2 ORDER BY field_name";
            let mut statement = self.connection.prepare_cached(select)?;
            let place = [&entry.prefix, &entry.key];
            statement.query_map(place, |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()
        };
        read().map(Some).map_err(|error| sqlite::fault(&error))
    }
}

impl Rows for SqliteRows {
    fn next(&mut self) -> exit::Result<Option<Row>> {
        if self.page.len() == 0 {
            self.turn()?;
        }
        let Some((_, entry)) = self.page.next() else { return Ok(None) };
        self.number += 1;
        let bytes = entry.as_ref().map_or(0, |entry| entry.value.len());
        let read = entry.and_then(|mut entry| {
            entry.fields = self.fields(&entry)?;
            items(&entry)
        });
        Ok(Some(Row { number: self.number, bytes, read: read.map_err(Fault::Line) }))
    }

    fn position(&self) -> u64 {
        self.number
    }

    fn about(&self) -> About {
        About { format: Some(Format::Langgraph), digest: self.digest }
    }
}

fn entry(row: &SqlRow<'_>) -> Result<Entry> {
    let cell = |i: usize, name: &str| {
        let value = row.get_ref(i).map_err(|error| sqlite::fault(&error))?;
        sqlite::text(name, value)
    };
    let needed = |i, name| cell(i, name)?.ok_or_else(|| Error::invalid(name, "a text", "nothing"));
    let time = |name: &'static str, text: String| dates::parse(name, &text);
    let expires_at = cell(6, "expires_at")?.map(|text| time("expires_at", text)).transpose()?;
    let ttl = cell(7, "ttl_minutes")?.map(|text| {
        text.parse::<f64>().map_err(|source| Error::invalid("ttl_minutes", "a number", &text).with_source(source))
    });
    let created_at: Timestamp = time("created_at", needed(4, "created_at")?)?;
    Ok(Entry {
        prefix: needed(1, "prefix")?,
        key: needed(2, "key")?,
        value: needed(3, "value")?,
        created_at,
        updated_at: time("updated_at", needed(5, "updated_at")?)?,
        expires_at,
        ttl: ttl.transpose()?,
        fields: None,
    })
}
