//! The role of a namespace, and clearing it. Not here: what a role allows (`mnemic_core::Assignment`).

use mnemic_core::{Assignment, Namespace, Result, Role};
use mnemic_postgres::{Access, Answer, Pool, Query, Transaction, Type};

use super::{
    error::{count, whole},
    known::{LOCK, MAKE},
    rows::get,
};
use crate::role_form;

const ASSIGNMENT: &str = "SELECT epoch, role FROM mnemic.namespaces WHERE namespace = $1";
const ASSIGN: &str = "UPDATE mnemic.namespaces SET serving = $2, epoch = $3, role = $4 WHERE namespace = $1";
/// Where a namespace stands that was never written.
const BEGIN_ANEW: &str =
    "UPDATE mnemic.namespaces SET head = 0, sequence = 0, tail = decode(repeat('00', 32), 'hex') WHERE namespace = $1";
/// Everything of a namespace but its row.
const CLEAR: [&str; 10] = [
    "DELETE FROM mnemic.records WHERE namespace = $1",
    "DELETE FROM mnemic.revisions WHERE namespace = $1",
    "DELETE FROM mnemic.events WHERE namespace = $1",
    "DELETE FROM mnemic.slot_threads WHERE namespace = $1",
    "DELETE FROM mnemic.slot_revisions WHERE namespace = $1",
    "DELETE FROM mnemic.commits WHERE namespace = $1",
    "DELETE FROM mnemic.erased_names WHERE namespace = $1",
    "DELETE FROM mnemic.outbox WHERE namespace = $1",
    "DELETE FROM mnemic.receipts WHERE namespace = $1",
    "DELETE FROM mnemic.models WHERE namespace = $1",
];

/// Reads epoch and role from the column `first` on; what is not stored is what every namespace begins with.
fn read(answer: &Answer, first: usize) -> Result<Assignment> {
    let Some(row) = answer.rows.first() else { return Ok(Assignment::default()) };
    let role: Option<&[u8]> = get(row, first + 1)?;
    let role = role.map(role_form::unpack).transpose()?.unwrap_or_default();
    Ok(Assignment { epoch: count(get(row, first)?)?, role })
}

/// Reads the answer to `LOCK`.
pub(super) fn locked(answer: &Answer) -> Result<Assignment> {
    read(answer, 3)
}

pub(super) async fn assignment(pool: &Pool, namespace: &Namespace) -> Result<Assignment> {
    let answers = pool.run(namespace, Access::Read, &[Query::new(ASSIGNMENT)]).await?;
    answers.first().map_or_else(|| Ok(Assignment::default()), |answer| read(answer, 0))
}

pub(super) async fn assign(pool: &Pool, namespace: &Namespace, seen: u64, role: Role) -> Result<Assignment> {
    change(pool, namespace, &[], |stored| stored.next(seen, role)).await
}

pub(super) async fn clear(pool: &Pool, namespace: &Namespace, seen: u64) -> Result<Assignment> {
    let mut queries: Vec<Query<'_>> = CLEAR.iter().map(|sql| Query::new(*sql)).collect();
    queries.push(Query::new(BEGIN_ANEW));
    change(pool, namespace, &queries, |stored| stored.emptied(seen)).await
}

/// Stores what comes after the stored assignment, and does the rest with it.
async fn change(
    pool: &Pool,
    namespace: &Namespace,
    queries: &[Query<'_>],
    next: impl FnOnce(&Assignment) -> Result<Assignment>,
) -> Result<Assignment> {
    let (transaction, answers) = pool.begin(namespace, Access::Write, &[Query::new(MAKE), Query::new(LOCK)]).await?;
    match change_locked(&transaction, &answers, queries, next).await {
        Ok(assignment) => {
            transaction.commit(&[]).await?;
            Ok(assignment)
        }
        Err(refused) => {
            // If this fails, too, the connection is closed and the server undoes it.
            let _undone = transaction.rollback().await;
            Err(refused)
        }
    }
}

async fn change_locked(
    transaction: &Transaction,
    answers: &[Answer],
    queries: &[Query<'_>],
    next: impl FnOnce(&Assignment) -> Result<Assignment>,
) -> Result<Assignment> {
    let stored = answers.get(1).map_or_else(|| Ok(Assignment::default()), locked)?;
    let next = next(&stored)?;
    let serving = matches!(next.role, Role::Serving { .. });
    let (epoch, role) = (whole(next.epoch)?, role_form::pack(&next.role)?);
    transaction.run(queries).await?;
    let assign = Query::new(ASSIGN).bind(&serving, Type::BOOL).bind(&epoch, Type::INT8).bind(&role, Type::BYTEA);
    transaction.run(&[assign]).await?;
    Ok(next)
}
