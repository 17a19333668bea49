//! Bringing the schema up to date: one history of migrations for the ledger and the indexes. Not here: testing the walls (`guard`).
//!
//! All of it is one transaction that holds an advisory lock of that transaction, so programs that start at once wait for each other,
//! also behind a pooler in transaction mode, and a migration that fails leaves the schema as it was.

use mnemic_core::{Error, ErrorKind, Result};
use refinery::{Migration, Runner};
use refinery_core::traits::r#async::{AsyncMigrate, AsyncQuery, AsyncTransaction};
use time::OffsetDateTime;
use tokio_postgres::{Client, Transaction, types::Type};

use crate::{
    config::{PostgresConfig, Target},
    error,
};

mod embedded {
    //! The migrations, read by the compiler.
    refinery::embed_migrations!("migrations");
}

/// The version of a schema.
pub(crate) type SchemaVersion = i32;

/// The table in which the history is kept.
const HISTORY: &str = "mnemic.schema_history";
/// The number of the lock that upgrades of one database take ("mnemic").
const LOCK: i64 = 0x6d6e_656d_6963;
/// How often a grant is tried that another database of the server is making at the same moment.
const TRIES: usize = 20;

/// The last version that this program knows.
fn newest() -> SchemaVersion {
    runner().get_migrations().iter().map(Migration::version).max().unwrap_or(0)
}

fn runner() -> Runner {
    let mut runner = embedded::migrations::runner();
    runner.set_migration_table_name(HISTORY);
    runner
}

/// Whether a schema has to be upgraded.
///
/// # Errors
/// `InvalidConfig` for a schema of a newer program.
pub(crate) fn behind(found: Option<SchemaVersion>) -> Result<bool> {
    let newest = newest();
    match found {
        Some(version) if version > newest => Err(Error::new(
            ErrorKind::InvalidConfig,
            format!(
                "the schema of the database has version {version}, and this program knows {newest} at most; update Mnemic"
            ),
        )),
        Some(version) => Ok(version < newest),
        None => Ok(true),
    }
}

/// Brings the schema to the newest version and lets `user` serve from it.
pub(crate) async fn upgrade(config: &PostgresConfig, user: &str) -> Result<()> {
    upgrade_to(config, user, newest()).await
}

/// The same up to a version, for tests of every step.
pub(crate) async fn upgrade_to(config: &PostgresConfig, user: &str, version: SchemaVersion) -> Result<()> {
    let mut client = connect(&config.admin()?).await?;
    client.batch_execute(ROLES).await.map_err(|source| hint(&source))?;
    let transaction = client.transaction().await.map_err(|source| error::classify(&source))?;
    locked(InOneTransaction(transaction), version).await?;
    grant(&client, user).await
}

/// Another program that upgrades is waited for; a table that somebody reads for long is not: everybody who comes after would queue behind
/// this one.
const WAIT_FOR_ANOTHER: &str = "SET LOCAL lock_timeout = '60s'";
const WAIT_FOR_A_TABLE: &str = "SET LOCAL lock_timeout = '3s'";

async fn locked(mut one: InOneTransaction<'_>, version: SchemaVersion) -> Result<()> {
    one.0.batch_execute(WAIT_FOR_ANOTHER).await.map_err(|source| error::classify(&source))?;
    let lock = one.0.execute_typed("SELECT pg_advisory_xact_lock($1)", &[(&LOCK, Type::INT8)]).await;
    lock.map_err(|source| error::classify(&source))?;
    one.0.batch_execute(WAIT_FOR_A_TABLE).await.map_err(|source| error::classify(&source))?;
    one.0.batch_execute(SCHEMA).await.map_err(|source| hint(&source))?;
    migrate(&mut one, version).await?;
    one.0.batch_execute(READ_HISTORY).await.map_err(|source| hint(&source))?;
    one.0.commit().await.map_err(|source| error::classify(&source))
}

/// Opens one connection outside of the pool.
pub(crate) async fn connect(target: &Target) -> Result<Client> {
    let connected = target.driver.connect(target.trust.connector()?).await;
    let (client, connection) = connected.map_err(|source| error::classify(&source))?;
    tokio::spawn(async move {
        if let Err(lost) = connection.await {
            tracing::debug!(error = %lost, "a connection to the database ended");
        }
    });
    Ok(client)
}

/// Roles belong to the server and not to the database, so another database may be making them at the same moment.
const ROLES: &str = "DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['mnemic_app', 'mnemic_list'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = role) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE', role);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
END
$$";

const SCHEMA: &str = "SET LOCAL client_min_messages = warning;
CREATE SCHEMA IF NOT EXISTS mnemic;
GRANT USAGE ON SCHEMA mnemic TO mnemic_app, mnemic_list";

const READ_HISTORY: &str = "GRANT SELECT ON mnemic.schema_history TO mnemic_app";

/// Runs statements of this program as the role that upgrades, under the same lock. Without its end the transaction is undone.
pub(crate) async fn administer(config: &PostgresConfig, sql: &str) -> Result<()> {
    let client = connect(&config.admin()?).await?;
    let all = format!(
        "BEGIN; SET LOCAL client_min_messages = warning; {WAIT_FOR_ANOTHER}; SELECT pg_catalog.pg_advisory_xact_lock({LOCK}); \
         {WAIT_FOR_A_TABLE}; {sql}; COMMIT"
    );
    client.batch_execute(&all).await.map_err(|source| error::classify(&source))
}

async fn migrate(one: &mut InOneTransaction<'_>, version: SchemaVersion) -> Result<()> {
    let query = <InOneTransaction<'_> as AsyncMigrate>::assert_migrations_table_query(HISTORY);
    one.execute(std::iter::once(query.as_str())).await.map_err(|source| hint(&source))?;
    let applied = runner().get_applied_migrations_async(one).await.map_err(|failed| of_runner(&failed))?;
    behind(applied.iter().map(Migration::version).max())?;
    let run = runner().set_target(refinery::Target::Version(version)).run_async(one).await;
    run.map(drop).map_err(|failed| of_runner(&failed))
}

/// Lets the role of the connection string become the roles that serve.
async fn grant(client: &Client, user: &str) -> Result<()> {
    let missing = "SELECT format('GRANT %I TO %I', role, $1) FROM unnest(ARRAY['mnemic_app', 'mnemic_list']) AS role
         WHERE NOT pg_has_role($1::name, role::name, 'MEMBER')";
    let mut last = None;
    for _ in 0..TRIES {
        let wanted = client.query_typed(missing, &[(&user, Type::TEXT)]).await;
        let wanted = wanted.map_err(|source| error::classify(&source))?;
        if wanted.is_empty() {
            return Ok(());
        }
        for row in wanted {
            let sql: String = crate::query::column(&row, 0)?;
            last = client.batch_execute(&sql).await.err().map(|source| hint(&source));
        }
        if last.as_ref().is_some_and(|failed| failed.kind() == ErrorKind::Denied) {
            break;
        }
    }
    Err(last.unwrap_or_else(|| Error::bug("a grant that has no effect")))
}

/// Says what a role needs that may not do what an upgrade does.
fn hint(source: &tokio_postgres::Error) -> Error {
    let error = error::classify(source);
    if error.kind() != ErrorKind::Denied {
        return error;
    }
    let message = "the database role may not set up the schema; give an admin connection string, or as a superuser run: CREATE ROLE \
         mnemic_app NOLOGIN; CREATE ROLE mnemic_list NOLOGIN; GRANT mnemic_app, mnemic_list TO <user>; GRANT CREATE ON DATABASE \
         <database> TO <user>";
    error
        .context()
        .iter()
        .fold(Error::new(ErrorKind::Denied, message), |hinted, (key, value)| hinted.with_context(key, value.clone()))
}

fn of_runner(failed: &refinery::Error) -> Error {
    use std::error::Error as _;
    let driver = failed.source().and_then(|source| source.downcast_ref::<tokio_postgres::Error>());
    match driver {
        Some(source) => hint(source),
        None => Error::new(
            ErrorKind::InvalidConfig,
            "the schema of the database was not made by this program: its history does not match; restore a backup, or give Mnemic a \
             database of its own",
        )
        .with_context("history", failed.to_string()),
    }
}

/// Runs every migration in the transaction that holds the lock, where the runner would open one for each.
struct InOneTransaction<'a>(Transaction<'a>);

impl AsyncTransaction for InOneTransaction<'_> {
    type Error = tokio_postgres::Error;

    async fn execute<'a, T: Iterator<Item = &'a str> + Send + 'a>(
        &'a mut self,
        queries: T,
    ) -> Result<usize, Self::Error> {
        let mut count = 0;
        for query in queries {
            self.0.batch_execute(query).await?;
            count += 1;
        }
        Ok(count)
    }
}

impl AsyncQuery<Vec<Migration>> for InOneTransaction<'_> {
    async fn query<'a>(&'a mut self, query: &'a str) -> Result<Vec<Migration>, Self::Error> {
        let rows = self.0.query_typed(query.trim_end_matches(';'), &[]).await?;
        let applied = rows.iter().map(|row| {
            let checksum: String = row.try_get(3)?;
            // What cannot be read matches nothing, which is refused. When it was applied is of no interest here.
            let checksum = checksum.parse().unwrap_or(0);
            Ok(Migration::applied(row.try_get(0)?, row.try_get(1)?, OffsetDateTime::UNIX_EPOCH, checksum))
        });
        applied.collect()
    }
}

impl AsyncMigrate for InOneTransaction<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_of_a_newer_program_is_refused() {
        assert!(behind(None).unwrap());
        assert!(!behind(Some(newest())).unwrap());
        let error = behind(Some(newest() + 1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().contains("update Mnemic"), "{error}");
    }

    #[test]
    fn versions_of_the_schema_have_no_gaps() {
        let mut versions: Vec<_> = runner().get_migrations().iter().map(Migration::version).collect();
        versions.sort_unstable();
        assert_eq!(versions, (1..=newest()).collect::<Vec<_>>());
    }
}
