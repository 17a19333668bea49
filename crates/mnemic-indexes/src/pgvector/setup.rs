//! Makes the extension, the table and one graph per dimension, once per database. Not here: what is stored in them.
//!
//! The role that serves owns nothing and may make nothing. So whatever is missing is made over a connection of the role that upgrades
//! the schema, and then the walls are tested again. A function that runs as its owner would need no such connection, but it would
//! itself be a door in the wall.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use mnemic_core::{Error, ErrorKind, Namespace, Result};
use mnemic_postgres::{Access, Pool, Type};
use tokio::sync::OnceCell;

use crate::postgres::{Statement, column};

/// A graph holds half-precision vectors, and those of no more dimensions.
pub const GRAPH_DIMENSIONS: u32 = 4000;
/// The first version that goes on searching where a filter has left too few.
const OLDEST: (u32, u32) = (0, 8);

/// What was found to be there.
#[derive(Debug, Default)]
pub(super) struct Setup {
    /// The schema of the extension, as it is written into statements.
    schema: OnceCell<String>,
    /// Dimensions whose graph is there.
    graphs: Mutex<BTreeSet<u32>>,
}

/// What one look finds.
#[derive(Debug)]
pub(super) struct Found {
    /// Schema, as it is written into statements, and version of the extension.
    pub(super) extension: Option<(String, String)>,
    has_table: bool,
    /// Whether there is a graph of the dimension, and whether it is whole.
    pub(super) graph: Option<bool>,
}

impl Setup {
    /// Makes sure that there is a table, and a graph of `dimension` if one is given and can be had. Returns the extension's schema.
    pub(super) async fn ensure(&self, pool: &Pool, namespace: &Namespace, dimension: Option<u32>) -> Result<&str> {
        let dimension = dimension.filter(|dimension| *dimension <= GRAPH_DIMENSIONS);
        let is_known = |graphs: &BTreeSet<u32>| dimension.is_none_or(|dimension| graphs.contains(&dimension));
        if let Some(schema) = self.schema.get()
            && is_known(&self.graphs.lock().unwrap_or_else(PoisonError::into_inner))
        {
            return Ok(schema);
        }
        let schema = make(pool, namespace, dimension).await?;
        self.graphs.lock().unwrap_or_else(PoisonError::into_inner).extend(dimension);
        Ok(self.schema.get_or_init(|| async { schema }).await)
    }
}

/// Looks, and makes what is missing.
async fn make(pool: &Pool, namespace: &Namespace, dimension: Option<u32>) -> Result<String> {
    let mut found = look(pool, namespace, dimension).await?;
    if found.extension.is_none() {
        pool.administer("CREATE EXTENSION IF NOT EXISTS vector").await.map_err(without_extension)?;
        found = look(pool, namespace, dimension).await?;
    }
    let Some((schema, version)) = &found.extension else {
        return Err(without_extension(Error::bug("an extension that was created is not there")));
    };
    if !is_recent(version) {
        let message =
            format!("the database has pgvector {version}; 0.8 or newer is needed: ALTER EXTENSION vector UPDATE");
        return Err(Error::new(ErrorKind::InvalidConfig, message));
    }
    let mut sql = String::new();
    if !found.has_table {
        sql.push_str(&TABLE.replace("{schema}", schema));
    }
    if let Some(dimension) = dimension
        && found.graph.is_none()
    {
        sql.push_str(&GRAPH.replace("{schema}", schema).replace("{dimension}", &dimension.to_string()));
    }
    if !sql.is_empty() {
        pool.administer(&sql).await.map_err(without_owner)?;
        if let Some(fault) = pool.faults().await?.into_iter().next() {
            return Err(Error::new(ErrorKind::InvalidConfig, fault));
        }
    }
    Ok(schema.clone())
}

/// Sees what is there.
pub(super) async fn look(pool: &Pool, namespace: &Namespace, dimension: Option<u32>) -> Result<Found> {
    let graph = dimension.map(|dimension| format!("mnemic.vectors_hnsw_{dimension}"));
    let look = Statement::new(
        "SELECT quote_ident(n.nspname), e.extversion::text, to_regclass('mnemic.vectors') IS NOT NULL,
            (SELECT i.indisvalid FROM pg_catalog.pg_index i WHERE i.indexrelid = to_regclass($2))
         FROM (SELECT $1::text) AS one
         LEFT JOIN pg_catalog.pg_extension e ON e.extname = 'vector'
         LEFT JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace",
    )
    .with(graph, Type::TEXT);
    let answers = pool.run(namespace, Access::Read, &[look.query()]).await?;
    let row = answers.first().and_then(|answer| answer.rows.first());
    let row = row.ok_or_else(|| Error::bug("the database told nothing about its extensions"))?;
    let (schema, version): (Option<String>, Option<String>) = (column(row, 0)?, column(row, 1)?);
    Ok(Found { extension: schema.zip(version), has_table: column(row, 2)?, graph: column(row, 3)? })
}

fn is_recent(version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= OLDEST
}

/// The table and its wall. The vector is kept in full precision, at unit length.
const TABLE: &str = r#"
CREATE TABLE IF NOT EXISTS mnemic.vectors (
    namespace text COLLATE "C" NOT NULL CHECK (namespace <> ''),
    index_name text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    dimension integer NOT NULL,
    user_id text COLLATE "C",
    thread_id text COLLATE "C",
    kind text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL,
    superseded_by text COLLATE "C",
    path text[] COLLATE "C" NOT NULL,
    tags text[] COLLATE "C" NOT NULL,
    salience double precision,
    confidence double precision,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    valid_from bigint NOT NULL,
    valid_to bigint,
    expires_at bigint,
    metadata jsonb NOT NULL,
    embedding {schema}.vector NOT NULL,
    PRIMARY KEY (namespace, index_name, id)
);
CREATE INDEX IF NOT EXISTS vectors_of_user ON mnemic.vectors (namespace, index_name, user_id) WHERE user_id IS NOT NULL;
ALTER TABLE mnemic.vectors ENABLE ROW LEVEL SECURITY;
ALTER TABLE mnemic.vectors FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS wall ON mnemic.vectors;
CREATE POLICY wall ON mnemic.vectors USING (namespace = current_setting('mnemic.namespace', true))
    WITH CHECK (namespace = current_setting('mnemic.namespace', true));
GRANT SELECT, INSERT, UPDATE, DELETE ON mnemic.vectors TO mnemic_app;
"#;

/// Vectors of more than 2000 dimensions fit into a graph in half precision only; what is found is scored again in full.
const GRAPH: &str = "
CREATE INDEX IF NOT EXISTS vectors_hnsw_{dimension} ON mnemic.vectors
    USING hnsw ((embedding::{schema}.halfvec({dimension})) {schema}.halfvec_cosine_ops)
    WITH (m = 16, ef_construction = 128) WHERE dimension = {dimension};
";

fn without_extension(error: Error) -> Error {
    if error.kind() == ErrorKind::Unavailable {
        return error;
    }
    let message = "the database lacks the extension pgvector; install pgvector 0.8 or newer on the server and run as a superuser: CREATE \
         EXTENSION vector";
    Error::new(ErrorKind::InvalidConfig, message).with_source(error)
}

fn without_owner(error: Error) -> Error {
    if error.kind() != ErrorKind::Denied {
        return error;
    }
    let message = "the table of the pgvector index is missing or lacks a graph, and the database role may not make it; give an admin \
         connection string";
    Error::new(ErrorKind::InvalidConfig, message).with_field("admin_dsn").with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extension_is_recent_by_its_numbers() {
        for version in ["0.8.0", "0.8.6", "0.10.0", "1.0", "1"] {
            assert!(is_recent(version), "{version}");
        }
        for version in ["0.7.4", "0.5.1", "", "unknown"] {
            assert!(!is_recent(version), "{version}");
        }
    }

    #[test]
    fn a_missing_extension_is_told_with_the_statement_that_brings_it() {
        let error = without_extension(Error::new(ErrorKind::Unsupported, "the database does not offer this"));
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().contains("CREATE EXTENSION vector"), "{error}");
        let away = without_extension(Error::new(ErrorKind::Unavailable, "gone"));
        assert_eq!(away.kind(), ErrorKind::Unavailable);
    }
}
