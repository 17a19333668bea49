//! The parts of the production mode, measured against what they stand on: PostgreSQL's own tools, the bytes of a request, the leg that
//! a retrieval waits for. Not here: the embedded mode (`insert`, `search`, `open`).

mod batch;
mod client;
mod latency;
pub(crate) mod migrated;
mod migration;
mod overhead;
mod rows;
pub(crate) mod stand_in;
mod writers;

use std::{collections::HashMap, ffi::OsString, fmt, path::Path};

use mnemic::{
    Builder, Error, ErrorKind, MemoryManager, Result,
    config::{self, Flags, Inputs},
};
use mnemic_postgres::testing::{TestDatabase, TestServer, required};
use tokio_postgres::{Client, NoTls};

use crate::{Plan, report::Report};

/// The name of all these parts together.
pub(crate) const ALL: &str = "production";
/// The server that they need.
const SERVICE: &str = "postgres-18";

/// Measures the parts that were asked for.
pub(crate) async fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let wanted = |part| plan.includes(ALL) || plan.includes(part);
    if wanted("client") {
        client::measure(plan, report).await?;
    }
    if !["batch", "migration", "writers", "overhead", "latency"].into_iter().any(wanted) {
        return Ok(());
    }
    let server = match TestServer::of(SERVICE) {
        Ok(server) => server,
        Err(why) if required(SERVICE) => return Err(failed(why)),
        Err(why) => {
            report.note(format!(
                "LEFT OUT: batch, migration, writers, overhead and latency of the production mode. {why}. `cargo xtask bench` starts a server."
            ));
            return Ok(());
        }
    };
    report.note(described(&server).await?);
    if wanted("batch") {
        batch::measure(plan, &server, report).await?;
    }
    if wanted("migration") {
        migration::measure(plan, &server, report).await?;
        migrated::measure(plan, &server, report).await?;
    }
    if wanted("writers") {
        writers::measure(plan, &server, report).await?;
    }
    if wanted("overhead") {
        overhead::measure(plan, &server, report).await?;
    }
    if wanted("latency") {
        latency::measure(plan, &server, report).await?;
    }
    Ok(())
}

/// What the figures were taken on. A server that does not wait for its disk makes them worthless.
async fn described(server: &TestServer) -> Result<String> {
    let database = server.database().await;
    let setting = async |name: &str| database.ask(&format!("SHOW {name}")).await;
    for name in ["fsync", "synchronous_commit"] {
        let value = setting(name).await;
        if value != "on" {
            return Err(failed(format!("the server's {name} is {value}, and durable writing is what is measured")));
        }
    }
    let (version, buffers) = (setting("server_version").await, setting("shared_buffers").await);
    Ok(format!("PostgreSQL {version}, fsync and synchronous_commit on, shared_buffers {buffers}, on this machine."))
}

/// A connection past every wall.
async fn superuser(database: &TestDatabase) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(&database.admin_dsn(), NoTls).await.map_err(failed)?;
    drop(tokio::spawn(connection));
    Ok(client)
}

/// The variables of a memory in production on this database.
fn environment(database: &TestDatabase, directory: &Path) -> HashMap<String, String> {
    [
        ("ENV", "production".to_owned()),
        ("POSTGRES_DSN", database.dsn()),
        ("MNEMIC_POSTGRES_ADMIN_DSN", database.admin_dsn()),
        ("MNEMIC_SPOOL_DIR", directory.join("spool").display().to_string()),
        ("HOME", directory.display().to_string()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// The memory that these variables make, as a user's program would get it.
fn memory(environment: &HashMap<String, String>, directory: &Path) -> Result<MemoryManager> {
    let settings = config::load(&Inputs {
        flags: &Flags::default(),
        environment: &|name| environment.get(name).map(OsString::from),
        working_directory: directory,
    })?;
    let namespace = settings.namespace.value.clone();
    Builder::from_settings(&settings)?.build(namespace)
}

fn failed(why: impl fmt::Display) -> Error {
    Error::new(ErrorKind::Unavailable, format!("cannot measure: {why}"))
}
