//! The pool of connections, shared by everything of this program that talks to one database. Not here: what is said on them.

use std::{fmt, sync::Arc};

use deadpool_postgres::{ManagerConfig, RecyclingMethod, Runtime};
use mnemic_core::{Error, Result};
use tokio::sync::OnceCell;

use crate::{
    config::{PostgresConfig, Target},
    error, guard,
    lease::Lease,
    schema,
};

/// What serves the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Server {
    /// Its version as it tells it, such as `18.6`.
    pub version: String,
    /// The same as a number, such as 180006.
    pub number: i32,
}

/// Connections to one database. Cheap to clone; all clones share the connections.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

struct Inner {
    connections: deadpool_postgres::Pool,
    config: PostgresConfig,
    hosts: String,
    /// Filled once the schema and its walls were found to be in order. Nothing is served before.
    ready: OnceCell<Server>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("max_connections", &self.0.config.max_connections).finish_non_exhaustive()
    }
}

impl Pool {
    /// A pool that connects when it is first used, and then brings the schema up to date and tests the walls between namespaces
    /// before it serves anything.
    ///
    /// # Errors
    /// `InvalidConfig` for a connection string that cannot be read or a pool without connections.
    pub fn new(config: PostgresConfig) -> Result<Self> {
        let target = config.target()?;
        config.admin()?;
        if config.max_connections == 0 {
            let message = "max_connections: expected at least 1, found 0";
            return Err(Error::new(mnemic_core::ErrorKind::InvalidConfig, message).with_field("max_connections"));
        }
        let hosts = target.hosts();
        let Target { driver, trust } = target;
        let manager = deadpool_postgres::Manager::from_config(
            driver,
            trust.connector()?,
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let builder = deadpool_postgres::Pool::builder(manager).max_size(config.max_connections);
        let connections = builder.runtime(Runtime::Tokio1).build();
        let connections = connections.map_err(|source| Error::bug("the pool cannot be built").with_source(source))?;
        Ok(Self(Arc::new(Inner { connections, config, hosts, ready: OnceCell::new() })))
    }

    /// A pool whose database is there, has the schema of this program, and keeps namespaces apart.
    ///
    /// # Errors
    /// Those of [`Pool::new`] and [`Pool::ready`].
    pub async fn connect(config: PostgresConfig) -> Result<Self> {
        let pool = Self::new(config)?;
        pool.ready().await?;
        Ok(pool)
    }

    /// Makes sure, once, that the schema is up to date and that namespaces are kept apart. Every transaction does this first.
    ///
    /// # Errors
    /// `InvalidConfig` for a schema of a newer program, an unfit role or a broken wall, saying what is wrong and what repairs it;
    /// otherwise by [`crate::classify`].
    pub async fn ready(&self) -> Result<Server> {
        self.0.ready.get_or_try_init(|| self.prepare()).await.cloned()
    }

    async fn prepare(&self) -> Result<Server> {
        let found = {
            let lease = self.unproven_lease().await?;
            guard::look(lease).await?
        };
        guard::fit(&found)?;
        if schema::behind(found.schema)? {
            schema::upgrade(&self.0.config, &found.user).await?;
        }
        let faults = guard::faults(self.unproven_lease().await?).await?;
        match faults.first() {
            None => Ok(found.server),
            Some(_) => Err(guard::refusal(&faults)),
        }
    }

    /// What is wrong with the walls between namespaces now, in words; empty if nothing is.
    ///
    /// # Errors
    /// By [`crate::classify`], if the database cannot be asked.
    pub async fn faults(&self) -> Result<Vec<String>> {
        self.ready().await?;
        guard::faults(self.unproven_lease().await?).await
    }

    /// Runs statements as the role that upgrades the schema, in one transaction, one program after the other. For what cannot be made
    /// before it is known that it is needed.
    ///
    /// # Errors
    /// By [`crate::classify`]; then nothing was changed.
    pub async fn administer(&self, sql: &str) -> Result<()> {
        self.ready().await?;
        schema::administer(&self.0.config, sql).await
    }

    /// The hosts of the connection string, for people. No port, no user, no secret.
    pub fn hosts(&self) -> &str {
        &self.0.hosts
    }

    /// A connection for a transaction.
    pub(crate) async fn lease(&self) -> Result<Lease> {
        self.ready().await?;
        self.unproven_lease().await
    }

    /// A connection of a database that was not tested yet.
    async fn unproven_lease(&self) -> Result<Lease> {
        self.0.connections.get().await.map(Lease::new).map_err(error::of_pool)
    }
}
