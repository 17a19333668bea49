//! Transactions of one namespace: the only way to a statement. Not here: what is asked (`mnemic-ledgers`, `mnemic-indexes`).

use std::pin::pin;

use futures::TryStreamExt as _;
use mnemic_core::{Error, Namespace, Result};
use tokio_postgres::{Client, Error as DriverError, types::Type};

use crate::{
    error,
    lease::{Lease, Said, pipeline},
    pool::Pool,
    query::{Answer, Query},
};

/// What a transaction may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads only; every statement sees the same moment.
    Read,
    /// Reads and writes; every statement sees what was committed before it, so that what follows a lock sees what the lock waited for.
    Write,
    /// The same of what can be made again: the commit does not wait for the disk. A server that crashes may lose the last of such
    /// transactions, each whole; what tells how far they came must be written in them.
    Derive,
}

macro_rules! begin {
    ($how:literal $(, $more:literal)?) => {
        concat!(
            "BEGIN ISOLATION LEVEL ",
            $how,
            "; SET LOCAL ROLE mnemic_app; SET LOCAL idle_in_transaction_session_timeout = '60s'; SET LOCAL lock_timeout = '15s'"
            $(, "; ", $more)?
        )
    };
}

impl Access {
    /// Begins, and takes the role that owns nothing. One simple query: if beginning fails, the role is not taken either.
    ///
    /// The server ends what a client left that lost its network, its power or its time between two statements: else its locks would stay for as
    /// long as the server believes in the connection, and whoever waits for them would go on waiting there after giving up here.
    pub(crate) const fn begin(self) -> &'static str {
        match self {
            Self::Read => begin!("REPEATABLE READ, READ ONLY"),
            Self::Write => begin!("READ COMMITTED"),
            Self::Derive => begin!("READ COMMITTED", "SET LOCAL synchronous_commit = off"),
        }
    }
}

const SET_NAMESPACE: &str = "SELECT set_config('mnemic.namespace', $1, true)";

/// An open transaction of one namespace. Dropping it undoes it and closes its connection; [`Transaction::rollback`] keeps the connection.
pub struct Transaction {
    lease: Lease,
    namespace: Namespace,
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl Pool {
    /// Runs statements in one transaction and commits it, all in one round trip.
    ///
    /// # Errors
    /// The first error of a statement or of the commit, by [`crate::classify`]; then nothing happened, except where the connection
    /// was lost, which leaves open what happened.
    pub async fn run(&self, namespace: &Namespace, access: Access, queries: &[Query<'_>]) -> Result<Vec<Answer>> {
        let lease = self.lease().await?;
        let mut said = begin(client(&lease)?, namespace, access);
        for query in queries {
            said.push(ask(client(&lease)?, namespace.as_str(), query)?);
        }
        said.push(tell(client(&lease)?, "COMMIT"));
        let answers = pipeline(said).await;
        end(lease, &answers);
        Ok(kept(answers)?.into_iter().skip(2).take(queries.len()).collect())
    }

    /// Calls a function of the schema that takes the role and the namespace by itself. The call is one message and its own transaction.
    ///
    /// # Errors
    /// By [`crate::classify`]; then nothing happened, except where the connection was lost, which leaves open what happened.
    pub async fn call(&self, namespace: &Namespace, call: &Query<'_>) -> Result<Answer> {
        if !call.sql.starts_with("SELECT mnemic.") {
            return Err(Error::bug("a statement outside of a transaction that calls no function of the schema"));
        }
        let lease = self.lease().await?;
        let answers = vec![ask(client(&lease)?, namespace.as_str(), call)?.await];
        end(lease, &answers);
        kept(answers)?.pop().ok_or_else(|| Error::bug("a call without an answer"))
    }

    /// Begins a transaction and runs its first statements, in one round trip.
    ///
    /// # Errors
    /// The first error of a statement, by [`crate::classify`]; then the transaction is undone.
    pub async fn begin(
        &self,
        namespace: &Namespace,
        access: Access,
        queries: &[Query<'_>],
    ) -> Result<(Transaction, Vec<Answer>)> {
        let lease = self.lease().await?;
        let mut said = begin(client(&lease)?, namespace, access);
        for query in queries {
            said.push(ask(client(&lease)?, namespace.as_str(), query)?);
        }
        let answers = kept(pipeline(said).await)?.into_iter().skip(2).collect();
        Ok((Transaction { lease, namespace: namespace.clone() }, answers))
    }
}

impl Transaction {
    /// Whose it is.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Runs statements in one round trip.
    ///
    /// # Errors
    /// The first error of a statement, by [`crate::classify`]; after it the transaction can only be undone.
    pub async fn run(&self, queries: &[Query<'_>]) -> Result<Vec<Answer>> {
        let client = client(&self.lease)?;
        let said = queries.iter().map(|query| ask(client, self.namespace.as_str(), query)).collect::<Result<_>>()?;
        kept(pipeline(said).await)
    }

    /// Runs the last statements and commits, in one round trip.
    ///
    /// # Errors
    /// The first error of a statement or of the commit, by [`crate::classify`]; then nothing happened, except where the connection
    /// was lost, which leaves open what happened.
    pub async fn commit(self, queries: &[Query<'_>]) -> Result<Vec<Answer>> {
        let Self { lease, namespace } = self;
        let mut said = Vec::with_capacity(queries.len() + 1);
        for query in queries {
            said.push(ask(client(&lease)?, namespace.as_str(), query)?);
        }
        said.push(tell(client(&lease)?, "COMMIT"));
        let answers = pipeline(said).await;
        end(lease, &answers);
        Ok(kept(answers)?.into_iter().take(queries.len()).collect())
    }

    /// Undoes everything.
    ///
    /// # Errors
    /// By [`crate::classify`], if the connection was lost; then the server undoes it.
    pub async fn rollback(self) -> Result<()> {
        let answers = pipeline(vec![tell(client(&self.lease)?, "ROLLBACK")]).await;
        end(self.lease, &answers);
        kept(answers).map(drop)
    }
}

pub(crate) fn client(lease: &Lease) -> Result<&Client> {
    lease.client().ok_or_else(|| Error::bug("a lease without a connection"))
}

/// Says something that takes no values and returns no rows.
pub(crate) fn tell<'a>(client: &'a Client, sql: &'a str) -> Said<'a, Answer> {
    Box::pin(async move { client.batch_execute(sql).await.map(|()| Answer::default()) })
}

fn begin<'a>(client: &'a Client, namespace: &'a Namespace, access: Access) -> Vec<Said<'a, Answer>> {
    let set = Query::new(SET_NAMESPACE);
    let set = async move { say(client, &set.sql, namespace.as_str(), &set.params).await };
    vec![tell(client, access.begin()), Box::pin(set)]
}

/// Runs a statement whose first value is the namespace.
fn ask<'a>(client: &'a Client, namespace: &'a str, query: &'a Query<'_>) -> Result<Said<'a, Answer>> {
    if !query.sql.contains("$1") {
        return Err(Error::bug("a statement that does not name its namespace"));
    }
    Ok(Box::pin(say(client, &query.sql, namespace, &query.params)))
}

pub(crate) async fn say(
    client: &Client,
    sql: &str,
    namespace: &str,
    params: &[(&(dyn tokio_postgres::types::ToSql + Sync), Type)],
) -> Result<Answer, DriverError> {
    let first = (&namespace as &(dyn tokio_postgres::types::ToSql + Sync), Type::TEXT);
    let all = std::iter::once(first).chain(params.iter().map(|(value, of)| (*value, of.clone())));
    let mut stream = pin!(client.query_typed_raw(sql, all).await?);
    let mut rows = Vec::new();
    while let Some(row) = stream.try_next().await? {
        rows.push(row);
    }
    let affected = stream.rows_affected().unwrap_or(rows.len() as u64);
    Ok(Answer { rows, affected })
}

/// Gives the connection back if its transaction has ended: every answer came, or is an error of the server.
pub(crate) fn end<T>(lease: Lease, answers: &[Result<T, DriverError>]) {
    let of_server = |answer: &Result<T, DriverError>| answer.as_ref().err().is_none_or(|e| e.as_db_error().is_some());
    if answers.iter().all(of_server) {
        lease.ended();
    }
}

/// All answers, or the first error: those after it say only that the transaction had failed.
fn kept<T>(answers: Vec<Result<T, DriverError>>) -> Result<Vec<T>> {
    answers.into_iter().map(|answer| answer.map_err(|source| error::classify(&source))).collect()
}
