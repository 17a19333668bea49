//! The role of a namespace on disk, and clearing it. Not here: what a role allows (`mnemic_core::Assignment`).

use mnemic_core::{Assignment, Role};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{changes::Changes, error::Outcome};
use crate::role_form;

/// Everything of a namespace but its role.
const CLEAR: &str = "DELETE FROM records; DELETE FROM revisions; DELETE FROM events; DELETE FROM slot_threads;
    DELETE FROM slot_revisions; DELETE FROM commits; DELETE FROM erased_names; DELETE FROM outbox; DELETE FROM receipts;
    DELETE FROM models;";

/// The role that is stored, or the one that every namespace begins with.
pub(super) fn assignment(connection: &Connection) -> Outcome<Assignment> {
    let mut statement = connection.prepare_cached("SELECT epoch, role FROM assignment")?;
    let stored = statement.query_row((), |row| Ok((row.get::<_, u64>(0)?, row.get::<_, Vec<u8>>(1)?))).optional()?;
    match stored {
        Some((epoch, role)) => Ok(Assignment { epoch, role: role_form::unpack(&role)? }),
        None => Ok(Assignment::default()),
    }
}

fn store(connection: &Connection, assignment: &Assignment) -> Outcome<()> {
    let sql = "INSERT INTO assignment(one, epoch, role) VALUES (1, ?1, ?2)
         ON CONFLICT (one) DO UPDATE SET epoch = excluded.epoch, role = excluded.role";
    connection.prepare_cached(sql)?.execute(params![assignment.epoch, role_form::pack(&assignment.role)?])?;
    Ok(())
}

impl Changes<'_> {
    /// Refuses what only a serving namespace does.
    pub(super) fn check_serving(&self) -> Outcome<()> {
        Ok(assignment(self.connection)?.check_serving()?)
    }

    pub(super) fn assign(&mut self, seen: u64, role: Role) -> Outcome<Assignment> {
        let next = assignment(self.connection)?.next(seen, role)?;
        store(self.connection, &next)?;
        Ok(next)
    }

    /// Removes everything. The files are overwritten afterwards, as after an erasure.
    pub(super) fn clear(&mut self, seen: u64) -> Outcome<Assignment> {
        let next = assignment(self.connection)?.emptied(seen)?;
        self.connection.execute_batch(CLEAR)?;
        self.owe_cleaning()?;
        self.begin_anew();
        store(self.connection, &next)?;
        Ok(next)
    }
}
