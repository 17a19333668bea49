//! mem0's history database (`history.db`): every text that a memory had. Each row becomes an event in a thread of the memory's own,
//! and each memory that still stands a record that comes from its events. Not here: what mem0 answers (`mem0`), which says whose a
//! memory is.

use std::{collections::BTreeMap, path::Path, vec};

use mnemic::{Digest, Error, EventId, NewEvent, NewRecord, Result, ThreadId, Timestamp, Value, ids::quoted, limits};
use rusqlite::{Connection, Row as SqlRow};

use super::{
    Fault, Format, Item, What, dates,
    load::Onto,
    rows::{About, Defaults, Row, Rows, derived_id, imported_from, kept_id},
    sqlite,
};
use crate::exit;

const SYSTEM: &str = "mem0";
const COLUMNS: [&str; 10] = [
    "id",
    "memory_id",
    "old_memory",
    "new_memory",
    "event",
    "created_at",
    "updated_at",
    "is_deleted",
    "actor_id",
    "role",
];

/// What the rows so far say of one memory.
#[derive(Debug, Default)]
struct Trail {
    events: Vec<EventId>,
    /// Its text now; none once it was deleted.
    text: Option<String>,
    created_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
}

/// The rows of a history, then the memories that they leave.
pub(super) struct HistoryRows {
    connection: Connection,
    statement: String,
    page: vec::IntoIter<(i64, Result<Vec<Option<String>>>)>,
    last: i64,
    number: u64,
    trails: BTreeMap<String, Trail>,
    standing: Option<std::collections::btree_map::IntoIter<String, Trail>>,
    defaults: Defaults,
    digest: Option<Digest>,
}

impl HistoryRows {
    /// Looks at the table.
    pub(super) fn new(connection: Connection, place: &Path, defaults: Defaults) -> exit::Result<Self> {
        let there = sqlite::columns(&connection, "history")?;
        for needed in ["id", "memory_id", "new_memory", "event"] {
            if !there.iter().any(|column| column == needed) {
                let found = "a database without it";
                return Err(Error::invalid("file", format!("a table history with a column {needed}"), found).into());
            }
        }
        // Earlier versions of mem0 had fewer columns.
        let column = |name: &&str| {
            if there.iter().any(|column| column == *name) { (*name).to_owned() } else { format!("NULL AS {name}") }
        };
        let columns: Vec<String> = COLUMNS.iter().map(column).collect();
        let statement = format!(
            "SELECT rowid, {} FROM history WHERE rowid > ?1 ORDER BY rowid LIMIT {}",
            columns.join(", "),
            sqlite::PAGE
        );
        Ok(Self {
            connection,
            statement,
            page: Vec::new().into_iter(),
            last: i64::MIN,
            number: 0,
            trails: BTreeMap::new(),
            standing: None,
            defaults,
            digest: sqlite::digest(place).ok(),
        })
    }

    fn turn(&mut self) -> Result<()> {
        let read = || {
            let mut statement = self.connection.prepare_cached(&self.statement)?;
            statement.query_map([self.last], |row| Ok((row.get(0)?, cells(row))))?.collect::<rusqlite::Result<Vec<_>>>()
        };
        let rows = read().map_err(|error| sqlite::fault(&error))?;
        self.last = rows.last().map_or(self.last, |(rowid, _)| *rowid);
        self.page = rows.into_iter();
        Ok(())
    }

    fn event(&mut self, cells: Result<Vec<Option<String>>>) -> Result<Vec<Item>> {
        let said = Said::of(cells?)?;
        let event = said.event(&self.defaults)?;
        let id = event.event_id.clone().ok_or_else(|| Error::bug("an event of a history has no id"))?;
        event.clone().into_event(id.clone(), Timestamp::from_micros(0)?).check()?;
        let trail = self.trails.entry(said.memory_id.clone()).or_default();
        trail.events.push(id);
        trail.text = if said.deleted { None } else { said.new_memory.or_else(|| trail.text.take()) };
        trail.created_at = trail.created_at.or(said.created_at);
        trail.updated_at = said.updated_at.or(said.created_at).or(trail.updated_at);
        Ok(vec![Item { place: None, what: What::Event(Box::new(event)) }])
    }

    /// The record of a memory that stands. Where memory holds it already, only the links to its events are added.
    fn record(&self, memory_id: &str, trail: Trail) -> Result<Vec<Item>> {
        let Some(text) = trail.text else { return Ok(Vec::new()) };
        let mut draft = NewRecord::new(text).with_id(kept_id(SYSTEM, memory_id)?).with_source(SYSTEM);
        draft.created_at = trail.created_at;
        draft.updated_at = trail.updated_at;
        let kept = trail.events.len().saturating_sub(limits::PROVENANCE_LINKS);
        draft.provenance.events = trail.events.into_iter().skip(kept).collect();
        imported_from(&mut draft, SYSTEM, [("id", Value::from(memory_id))]);
        let mut item = self.defaults.item(draft, None, None);
        if let What::Record { onto, .. } = &mut item.what {
            *onto = Onto::AddEvents;
        }
        Ok(vec![item])
    }
}

impl Rows for HistoryRows {
    fn next(&mut self) -> exit::Result<Option<Row>> {
        if self.standing.is_none() {
            if self.page.len() == 0 {
                self.turn()?;
            }
            if let Some((_, cells)) = self.page.next() {
                self.number += 1;
                let bytes = cells.as_ref().map_or(0, |cells| cells.iter().flatten().map(String::len).sum());
                let read = self.event(cells).map_err(Fault::Line);
                return Ok(Some(Row { number: self.number, bytes, read }));
            }
        }
        let standing = self.standing.get_or_insert_with(|| std::mem::take(&mut self.trails).into_iter());
        let Some((memory_id, trail)) = standing.next() else { return Ok(None) };
        let bytes = trail.text.as_ref().map_or(0, String::len);
        let read = self.record(&memory_id, trail).map_err(Fault::Line);
        Ok(Some(Row { number: self.number, bytes, read }))
    }

    fn position(&self) -> u64 {
        self.number
    }

    fn about(&self) -> About {
        About { format: Some(Format::Mem0History), digest: self.digest }
    }
}

fn cells(row: &SqlRow<'_>) -> Result<Vec<Option<String>>> {
    let cell = |(i, name): (usize, &&str)| {
        let value = row.get_ref(i + 1).map_err(|error| sqlite::fault(&error))?;
        sqlite::text(name, value)
    };
    COLUMNS.iter().enumerate().map(cell).collect()
}

/// A row of the history.
struct Said {
    id: String,
    memory_id: String,
    old_memory: Option<String>,
    new_memory: Option<String>,
    event: String,
    created_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
    deleted: bool,
    actor_id: Option<String>,
    role: Option<String>,
}

impl Said {
    fn of(cells: Vec<Option<String>>) -> Result<Self> {
        let mut cells: BTreeMap<&str, String> =
            COLUMNS.into_iter().zip(cells).filter_map(|(name, cell)| Some((name, cell?))).collect();
        let mut take = |name: &str| cells.remove(name);
        let needed = |name: &str, cell: Option<String>| cell.ok_or_else(|| Error::invalid(name, "a text", "nothing"));
        let time = |name: &str, cell: Option<String>| cell.map(|at| dates::parse(name, &at)).transpose();
        let event = needed("event", take("event"))?;
        let flag = take("is_deleted").is_some_and(|flag| flag != "0");
        Ok(Self {
            id: needed("id", take("id"))?,
            memory_id: needed("memory_id", take("memory_id"))?,
            old_memory: take("old_memory"),
            new_memory: take("new_memory"),
            created_at: time("created_at", take("created_at"))?,
            updated_at: time("updated_at", take("updated_at"))?,
            deleted: flag || event == "DELETE",
            actor_id: take("actor_id"),
            role: take("role"),
            event,
        })
    }

    fn event(&self, defaults: &Defaults) -> Result<NewEvent> {
        let action = match self.event.as_str() {
            "ADD" => "memory.added",
            "UPDATE" => "memory.updated",
            "DELETE" => "memory.deleted",
            other => return Err(Error::invalid("event", "ADD, UPDATE or DELETE", quoted(other))),
        };
        // A thread for each memory, so that forgetting the thread forgets every text that the memory had.
        let thread = format!("{SYSTEM}:{}", kept_id(SYSTEM, &self.memory_id)?);
        let thread = ThreadId::new(thread).or_else(|_| ThreadId::new(derived_id(SYSTEM, &self.memory_id)?))?;
        let id = EventId::new(&self.id).or_else(|_| EventId::new(derived_id(SYSTEM, &self.id)?))?;
        let mut event =
            NewEvent::new(thread, SYSTEM, action).with_event_id(id).with_payload("memory_id", self.memory_id.as_str());
        for (key, text) in [
            ("old_memory", &self.old_memory),
            ("new_memory", &self.new_memory),
            ("actor_id", &self.actor_id),
            ("role", &self.role),
        ] {
            if let Some(text) = text {
                event = event.with_payload(key, text.as_str());
            }
        }
        event.timestamp = self.updated_at.or(self.created_at);
        event.user_id.clone_from(&defaults.user);
        Ok(event)
    }
}
