//! What is looked at before anything is served: server, schema version, and the walls between namespaces.
//! Not here: repairing (`schema` upgrades; walls are repaired by the operator, by the statements that the refusal names).

use mnemic_core::{Error, ErrorKind, Result};
use tokio_postgres::Row;

use crate::{
    error,
    lease::{Lease, pipeline},
    pool::Server,
    query::column,
    schema::SchemaVersion,
    transaction::tell,
};

/// The oldest server that has everything that the schema uses, and is still maintained.
const OLDEST: i32 = 150_000;

/// What a first look finds.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) server: Server,
    /// Who this program is to the database.
    pub(crate) user: String,
    encoding: String,
    /// The version of the schema; `None` where there is none that the user may read.
    pub(crate) schema: Option<SchemaVersion>,
}

const LOOK: &str = "SELECT current_setting('server_version'), current_setting('server_version_num')::int, current_user::text,
     current_setting('server_encoding'), coalesce(has_table_privilege(history.oid, 'SELECT'), false)
     AND has_schema_privilege(history.relnamespace, 'USAGE')
     FROM (SELECT 1) AS one LEFT JOIN (
         SELECT c.oid, c.relnamespace FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = 'mnemic' AND c.relname = 'schema_history') AS history ON true";

/// Asks who we are, whom we talk to, and which schema there is.
pub(crate) async fn look(lease: Lease) -> Result<Found> {
    let client = crate::transaction::client(&lease)?;
    let rows = client.query_typed(LOOK, &[]).await.map_err(|source| error::classify(&source))?;
    let row = rows.first().ok_or_else(|| Error::bug("the server told nothing about itself"))?;
    let version: String = column(row, 0)?;
    let server =
        Server { version: version.split_whitespace().next().unwrap_or_default().to_owned(), number: column(row, 1)? };
    let readable: Option<bool> = column(row, 4)?;
    let mut found = Found { server, user: column(row, 2)?, encoding: column(row, 3)?, schema: None };
    if readable == Some(true) {
        let sql = "SELECT max(version) FROM mnemic.schema_history";
        let rows = client.query_typed(sql, &[]).await.map_err(|source| error::classify(&source))?;
        found.schema = rows.first().map(|row| column(row, 0)).transpose()?.flatten();
    }
    lease.ended();
    Ok(found)
}

/// Refuses a server that cannot carry the schema.
pub(crate) fn fit(found: &Found) -> Result<()> {
    let refused = |message: String| Err(Error::new(ErrorKind::InvalidConfig, message));
    if found.server.number < OLDEST {
        return refused(format!("the database is PostgreSQL {}; 15 or newer is needed", found.server.version));
    }
    if found.encoding != "UTF8" {
        return refused(format!(
            "the database has the encoding {}, which cannot hold every text; create it with ENCODING 'UTF8'",
            found.encoding
        ));
    }
    Ok(())
}

/// Tables of the schema that hold nothing of any namespace.
const HISTORY: &str = "schema_history";

const ROLES: &str = "SELECT rolname::text, rolsuper, rolbypassrls, rolname = current_user,
     rolname <> current_user AND pg_has_role(current_user, oid, 'MEMBER')
     FROM pg_catalog.pg_roles WHERE rolname IN (current_user, 'mnemic_app', 'mnemic_list')";

const TABLES: &str = "SELECT c.relname::text, c.relkind::text, c.relrowsecurity, c.relforcerowsecurity,
     pg_has_role('mnemic_app', c.relowner, 'MEMBER') OR pg_has_role('mnemic_list', c.relowner, 'MEMBER'),
     coalesce('security_invoker=true' = ANY (c.reloptions) OR 'security_invoker=on' = ANY (c.reloptions), false),
     format('%I.%I', n.nspname, c.relname)
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = 'mnemic' AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY 1";

const POLICIES: &str =
    "SELECT tablename::text, policyname::text, roles::text[], cmd::text, permissive::text, qual, with_check
     FROM pg_catalog.pg_policies WHERE schemaname = 'mnemic' ORDER BY 1, 2";

const DEFINERS: &str =
    "SELECT p.proname::text FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
     WHERE n.nspname = 'mnemic' AND p.prosecdef";

/// How the server shows the condition of the wall.
const WALL: &str = "(namespace = current_setting('mnemic.namespace'::text, true))";

/// Everything by which one namespace could see another. Each is a sentence that ends with the statement that repairs it.
pub(crate) async fn faults(lease: Lease) -> Result<Vec<String>> {
    let client = crate::transaction::client(&lease)?;
    let ask = async |sql: &str| client.query_typed(sql, &[]).await.map_err(|source| error::classify(&source));
    let roles = ask(ROLES).await?;
    let mut faults = faults_of_roles(&roles)?;
    if !faults.is_empty() {
        lease.ended();
        return Ok(faults);
    }
    let (tables, policies) = (ask(TABLES).await?, ask(POLICIES).await?);
    for row in &ask(DEFINERS).await? {
        let name: &str = column(row, 0)?;
        faults.push(format!(
            "the function mnemic.{name} runs as its owner; run: ALTER FUNCTION mnemic.{name} SECURITY INVOKER"
        ));
    }
    let walls: Vec<Policy> = policies.iter().map(Policy::of).collect::<Result<_>>()?;
    for row in &tables {
        faults_of_table(row, &walls, &mut faults)?;
    }
    faults.extend(walls.iter().filter_map(Policy::fault));
    let named: Vec<String> = tables
        .iter()
        .filter(|row| column::<&str>(row, 0).is_ok_and(|name| name != HISTORY))
        .map(|row| column(row, 6))
        .collect::<Result<_>>()?;
    if faults.is_empty() && !named.is_empty() {
        faults.extend(probe(client, &named).await?);
    }
    lease.ended();
    Ok(faults)
}

fn faults_of_roles(roles: &[Row]) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    let mut held = Vec::new();
    for row in roles {
        let (name, ours, member): (&str, bool, bool) = (column(row, 0)?, column(row, 3)?, column(row, 4)?);
        for (index, attribute) in [(1, "SUPERUSER"), (2, "BYPASSRLS")] {
            if !column::<bool>(row, index)? {
                continue;
            }
            faults.push(if ours {
                format!(
                    "the connection string's user is {attribute} and sees through every wall; run: CREATE ROLE mnemic LOGIN PASSWORD \
                     '…'; GRANT mnemic_app, mnemic_list TO mnemic; and connect as that role (the other may stay as the admin connection \
                     string)"
                )
            } else {
                format!("the role {name} is {attribute}; run: ALTER ROLE {name} NO{attribute}")
            });
        }
        if member {
            held.push(name.to_owned());
        }
    }
    for role in ["mnemic_app", "mnemic_list"] {
        if !held.iter().any(|name| name == role) {
            faults.push(format!("the connection string's user may not become {role}; run: GRANT {role} TO <user>"));
        }
    }
    Ok(faults)
}

fn faults_of_table(row: &Row, walls: &[Policy], faults: &mut Vec<String>) -> Result<()> {
    let (name, kind): (&str, &str) = (column(row, 0)?, column(row, 1)?);
    if name == HISTORY {
        return Ok(());
    }
    match kind {
        "v" if !column::<bool>(row, 5)? => {
            faults.push(format!(
                "the view mnemic.{name} reads as its owner; run: ALTER VIEW mnemic.{name} SET (security_invoker = true)"
            ));
            return Ok(());
        }
        "v" => return Ok(()),
        "m" | "f" => {
            faults.push(format!("mnemic.{name} is no table and has no wall; drop it"));
            return Ok(());
        }
        _ => {}
    }
    if !column::<bool>(row, 2)? {
        faults.push(format!(
            "row security of mnemic.{name} is off; run: ALTER TABLE mnemic.{name} ENABLE ROW LEVEL SECURITY"
        ));
    }
    if !column::<bool>(row, 3)? {
        faults.push(format!(
            "row security of mnemic.{name} spares its owner; run: ALTER TABLE mnemic.{name} FORCE ROW LEVEL SECURITY"
        ));
    }
    if column(row, 4)? {
        faults.push(format!(
            "mnemic.{name} belongs to the role that serves, which could lift its walls; run: ALTER TABLE mnemic.{name} OWNER TO <admin>"
        ));
    }
    if !walls.iter().any(|policy| policy.table == name && policy.is_wall()) {
        faults.push(format!(
            "mnemic.{name} has no wall; run: CREATE POLICY wall ON mnemic.{name} USING (namespace = current_setting('mnemic.namespace', \
             true)) WITH CHECK (namespace = current_setting('mnemic.namespace', true))"
        ));
    }
    Ok(())
}

/// One policy of the schema.
struct Policy {
    table: String,
    name: String,
    roles: Vec<String>,
    command: String,
    permissive: bool,
    using: Option<String>,
    check: Option<String>,
}

impl Policy {
    fn of(row: &Row) -> Result<Self> {
        Ok(Self {
            table: column(row, 0)?,
            name: column(row, 1)?,
            roles: column(row, 2)?,
            command: column(row, 3)?,
            permissive: column::<&str>(row, 4)? == "PERMISSIVE",
            using: column(row, 5)?,
            check: column(row, 6)?,
        })
    }

    fn is_wall(&self) -> bool {
        let wall = Some(WALL);
        self.permissive && self.command == "ALL" && self.using.as_deref() == wall && self.check.as_deref() == wall
    }

    /// The one policy that opens something: the listing of namespaces, to its own role.
    fn is_listing(&self) -> bool {
        self.table == "namespaces" && self.command == "SELECT" && self.roles == ["mnemic_list"]
    }

    /// Permissive policies are alternatives: one that is no wall is a hole in it. Restrictive ones only narrow.
    fn fault(&self) -> Option<String> {
        if !self.permissive || self.is_wall() || self.is_listing() {
            return None;
        }
        let Self { table, name, .. } = self;
        Some(format!(
            "the policy {name} of mnemic.{table} opens the wall; run: DROP POLICY \"{name}\" ON mnemic.{table}"
        ))
    }
}

/// Reads every table as the role that serves, without a namespace. Nothing may come.
async fn probe(client: &tokio_postgres::Client, tables: &[String]) -> Result<Vec<String>> {
    let reads: Vec<String> = tables
        .iter()
        .map(|table| format!("SELECT '{0}' WHERE EXISTS (SELECT FROM {0})", table.replace('\'', "''")))
        .collect();
    let sql = reads.join(" UNION ALL ");
    let read = async {
        let rows = client.query_typed(&sql, &[]).await?;
        Ok(crate::query::Answer { affected: 0, rows })
    };
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL ROLE mnemic_app";
    let answers = pipeline(vec![tell(client, begin), Box::pin(read), tell(client, "ROLLBACK")]).await;
    let mut faults = Vec::new();
    for answer in answers {
        for row in answer.map_err(|source| error::classify(&source))?.rows {
            let table: &str = column(&row, 0)?;
            faults.push(format!(
                "{table} shows rows to a transaction without a namespace; is mnemic.namespace set for the database or a role? run: ALTER \
                 DATABASE <database> RESET \"mnemic.namespace\""
            ));
        }
    }
    Ok(faults)
}

/// The refusal to serve.
pub(crate) fn refusal(faults: &[String]) -> Error {
    let all = faults.join("; and ");
    Error::new(ErrorKind::InvalidConfig, format!("namespaces are not kept apart in this database: {all}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(number: i32, encoding: &str) -> Found {
        let server = Server { version: "x".to_owned(), number };
        Found { server, user: "u".to_owned(), encoding: encoding.to_owned(), schema: None }
    }

    #[test]
    fn an_old_server_and_a_small_encoding_are_refused() {
        assert!(fit(&found(150_000, "UTF8")).is_ok());
        for (number, encoding, told) in [(149_999, "UTF8", "15 or newer"), (180_006, "LATIN1", "ENCODING 'UTF8'")] {
            let error = fit(&found(number, encoding)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            assert!(error.to_string().contains(told), "{error}");
        }
    }
}
