//! A store in PostgreSQL, as it stands when the import begins. Not here: what an item becomes (`langgraph`), the connection
//! (`mnemic-postgres`).

use std::{fmt, vec};

use mnemic::{Error, ErrorKind, Result, Timestamp};
use mnemic_postgres::{Foreign, PostgresConfig, Row as SqlRow};
use tokio::runtime::Handle;

use super::{
    super::{
        Fault, Format,
        rows::{About, Row, Rows},
    },
    Entry, items,
};
use crate::exit;

/// Rows that are asked for at once.
const PAGE: usize = 500;

/// The items of a store. It connects when it is first read, on the thread that reads.
pub(in crate::formats) struct PostgresRows {
    config: PostgresConfig,
    runtime: Handle,
    database: Option<(Foreign, String)>,
    page: vec::IntoIter<Result<Entry>>,
    /// The place behind which to go on; empty at the beginning, where no item is.
    last: (String, String),
    number: u64,
}

impl fmt::Debug for PostgresRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresRows").field("number", &self.number).finish_non_exhaustive()
    }
}

impl PostgresRows {
    pub(in crate::formats) fn new(dsn: String) -> exit::Result<Self> {
        let runtime = Handle::try_current().map_err(|source| Error::bug("there is no runtime").with_source(source))?;
        let (page, last) = (Vec::new().into_iter(), (String::new(), String::new()));
        Ok(Self { config: PostgresConfig::new(dsn), runtime, database: None, page, last, number: 0 })
    }

    async fn open(config: &PostgresConfig) -> Result<(Foreign, String)> {
        let database = Foreign::open(config).await?;
        let tables = "SELECT to_regclass('store') IS NOT NULL, to_regclass('store_vectors') IS NOT NULL, EXISTS \
                      (SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass('store') AND attname = 'ttl_minutes')";
        let rows = database.query(tables, &[]).await?;
        let there = |i: usize| rows.first().is_some_and(|row| row.try_get(i).unwrap_or(false));
        if !there(0) {
            let expected = "a database with a table store in its search path";
            return Err(Error::invalid("file", expected, "one without it"));
        }
        let indexed = there(1) && !database.query("SELECT 1 FROM store_vectors LIMIT 1", &[]).await?.is_empty();
        Ok((database, statement(indexed, there(2))))
    }

    async fn turn(&mut self) -> Result<()> {
        if self.database.is_none() {
            self.database = Some(Self::open(&self.config).await?);
        }
        let Some((database, statement)) = &self.database else { return Ok(()) };
        let rows = database.query(statement, &[&self.last.0, &self.last.1]).await?;
        let place = |row: &SqlRow| Some((row.try_get(0).ok()?, row.try_get(1).ok()?));
        if let Some(last) = rows.last().and_then(place) {
            self.last = last;
        }
        self.page = rows.iter().map(entry).collect::<Vec<_>>().into_iter();
        Ok(())
    }
}

fn statement(indexed: bool, mortal: bool) -> String {
    let micros = |column: &str| format!("(extract(epoch FROM {column}) * 1000000)::bigint");
    let (created, updated) = (micros("created_at"), micros("updated_at"));
    let ends = if mortal {
        format!("{}, ttl_minutes::float8", micros("expires_at"))
    } else {
        "NULL::bigint, NULL::float8".to_owned()
    };
    let fields = if indexed {
        "ARRAY(SELECT field_name FROM store_vectors v WHERE v.prefix = s.prefix AND v.key = s.key ORDER BY field_name)"
    } else {
        "NULL::text[]"
    };
    format!(
        "SELECT prefix, key, value::text, {created}, {updated}, {ends}, {fields} FROM store s \
         WHERE (prefix, key) > ($1, $2) ORDER BY prefix, key LIMIT {PAGE}"
    )
}

impl Rows for PostgresRows {
    fn next(&mut self) -> exit::Result<Option<Row>> {
        if self.page.len() == 0 {
            let runtime = self.runtime.clone();
            runtime.block_on(self.turn())?;
        }
        let Some(entry) = self.page.next() else { return Ok(None) };
        self.number += 1;
        let bytes = entry.as_ref().map_or(0, |entry| entry.value.len());
        let read = entry.and_then(|entry| items(&entry)).map_err(Fault::Line);
        Ok(Some(Row { number: self.number, bytes, read }))
    }

    fn position(&self) -> u64 {
        self.number
    }

    fn about(&self) -> About {
        About { format: Some(Format::Langgraph), digest: None }
    }
}

fn entry(row: &SqlRow) -> Result<Entry> {
    let time = |i: usize| -> Result<Option<Timestamp>> {
        row.try_get::<_, Option<i64>>(i).map_err(|source| unread(&source))?.map(Timestamp::from_micros).transpose()
    };
    let needed = |i: usize, name: &str| time(i)?.ok_or_else(|| Error::invalid(name, "a time", "nothing"));
    Ok(Entry {
        prefix: row.try_get(0).map_err(|source| unread(&source))?,
        key: row.try_get(1).map_err(|source| unread(&source))?,
        value: row.try_get(2).map_err(|source| unread(&source))?,
        created_at: needed(3, "created_at")?,
        updated_at: needed(4, "updated_at")?,
        expires_at: time(5)?,
        ttl: row.try_get(6).map_err(|source| unread(&source))?,
        fields: row.try_get(7).map_err(|source| unread(&source))?,
    })
}

fn unread(source: &(dyn std::error::Error + 'static)) -> Error {
    Error::new(ErrorKind::Corrupted, format!("file: expected the columns of a store, found others ({source})"))
}
