//! Schema, walls and transactions against real servers. Not here: the ledger and the indexes that stand on them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::process::ExitCode;

use mnemic_core::{ErrorKind, Namespace, Order};
use mnemic_postgres::{
    Access, Pool, PostgresConfig, Query, Type,
    testing::{TestDatabase, TestServer},
    trials,
};

fn ns(name: &str) -> Namespace {
    Namespace::new(name).unwrap()
}

async fn seeded(server: &TestServer) -> (TestDatabase, Pool) {
    let database = server.database().await;
    let pool = Pool::connect(database.config()).await.unwrap();
    for name in ["a", "b"] {
        let query = Query::new("INSERT INTO mnemic.namespaces (namespace, head) VALUES ($1, 7)");
        pool.run(&ns(name), Access::Write, &[query]).await.unwrap();
    }
    (database, pool)
}

async fn a_statement_sees_its_namespace_and_nothing_else(server: TestServer) {
    let (_database, pool) = seeded(&server).await;
    let all = || Query::new("SELECT namespace FROM mnemic.namespaces WHERE $1 <> ''");
    let seen = pool.run(&ns("a"), Access::Read, &[all(), all()]).await.unwrap();
    for answer in seen {
        assert_eq!(answer.rows.len(), 1);
        assert_eq!(answer.first::<&str>(0).unwrap(), Some("a"));
    }
    let (transaction, seen) = pool.begin(&ns("c"), Access::Write, &[all()]).await.unwrap();
    assert!(seen[0].rows.is_empty());
    let theirs = "b".to_owned();
    let write =
        Query::new("INSERT INTO mnemic.outbox VALUES ($2, 1, 'embed', 1, 1, length($1))").bind(&theirs, Type::TEXT);
    let refused = transaction.run(&[write]).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Denied, "{refused}");
    transaction.rollback().await.unwrap();
    let change = Query::new("UPDATE mnemic.namespaces SET head = 8 WHERE $1 <> ''");
    assert_eq!(pool.run(&ns("a"), Access::Write, &[change]).await.unwrap()[0].affected, 1);
}

async fn a_statement_that_does_not_name_its_namespace_is_not_sent(server: TestServer) {
    let (_database, pool) = seeded(&server).await;
    let query = Query::new("SELECT namespace FROM mnemic.namespaces");
    assert_eq!(pool.run(&ns("a"), Access::Read, &[query]).await.unwrap_err().kind(), ErrorKind::Bug);
}

async fn a_call_is_of_a_function_of_the_schema(server: TestServer) {
    let (_database, pool) = seeded(&server).await;
    for sql in ["UPDATE mnemic.namespaces SET head = 9 WHERE namespace = $1", "SELECT mnemic.commit_new()"] {
        assert_eq!(pool.call(&ns("a"), &Query::new(sql)).await.unwrap_err().kind(), ErrorKind::Bug, "{sql}");
    }
    let nothing = ", '{}'".repeat(43);
    let call = format!(
        "SELECT mnemic.commit_new($1, '{{7,0,8,0,NULL}}', array_fill('\\x{}'::bytea, ARRAY[2]), NULL{nothing})",
        "00".repeat(32)
    );
    for (name, right) in [("a", true), ("a", false), ("b", true), ("unknown", false)] {
        let answer = pool.call(&ns(name), &Query::new(call.as_str())).await.unwrap();
        assert_eq!(answer.first::<bool>(0).unwrap(), Some(right), "{name}");
    }
}

async fn a_client_that_vanishes_holds_nothing_for_ever(server: TestServer) {
    let (_database, pool) = seeded(&server).await;
    for access in [Access::Read, Access::Write, Access::Derive] {
        let limits = Query::new(
            "SELECT current_setting('idle_in_transaction_session_timeout') || current_setting('lock_timeout') WHERE $1 <> ''",
        );
        let answers = pool.run(&ns("a"), access, &[limits]).await.unwrap();
        assert_eq!(answers[0].first::<&str>(0).unwrap(), Some("1min15s"), "{access:?}");
    }
}

async fn only_what_can_be_made_again_does_not_wait_for_the_disk(server: TestServer) {
    let (_database, pool) = seeded(&server).await;
    for (access, waits) in [(Access::Write, "on"), (Access::Derive, "off"), (Access::Write, "on")] {
        let asked = Query::new("SELECT current_setting('synchronous_commit') WHERE $1 <> ''");
        let answers = pool.run(&ns("a"), access, &[asked]).await.unwrap();
        assert_eq!(answers[0].first::<&str>(0).unwrap(), Some(waits), "{access:?}");
    }
}

async fn nothing_of_a_transaction_stays_on_its_connection(server: TestServer) {
    let (_database, pool) = seeded(&server).await;
    for _ in 0..20 {
        let query = Query::new(
            "SELECT pg_backend_pid(), current_setting('mnemic.namespace'), current_user::text WHERE $1 <> ''",
        );
        let answers = pool.run(&ns("a"), Access::Read, &[query]).await.unwrap();
        assert_eq!(answers[0].first::<&str>(2).unwrap(), Some("mnemic_app"));
    }
    let shown = pool.faults().await.unwrap();
    assert_eq!(shown, Vec::<String>::new());
}

async fn a_dropped_transaction_is_undone(server: TestServer) {
    let (_database, pool) = seeded(&server).await;
    let write = || Query::new("UPDATE mnemic.namespaces SET head = 99 WHERE namespace = $1");
    let (transaction, _) = pool.begin(&ns("a"), Access::Write, &[write()]).await.unwrap();
    drop(transaction);
    let (transaction, _) = pool.begin(&ns("a"), Access::Write, &[write()]).await.unwrap();
    transaction.rollback().await.unwrap();
    let read = Query::new("SELECT head FROM mnemic.namespaces WHERE namespace = $1 FOR UPDATE");
    let answers = pool.run(&ns("a"), Access::Write, &[read]).await.unwrap();
    assert_eq!(answers[0].first::<i64>(0).unwrap(), Some(7));
}

async fn a_reader_may_not_write(server: TestServer) {
    let (_database, pool) = seeded(&server).await;
    let write = Query::new("UPDATE mnemic.namespaces SET head = 99 WHERE namespace = $1");
    let refused = pool.run(&ns("a"), Access::Read, &[write]).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
}

async fn namespaces_are_listed_in_both_orders(server: TestServer) {
    let (_database, pool) = seeded(&server).await;
    let names = |found: Vec<Namespace>| found.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(pool.namespaces(None, Order::Oldest, 10).await.unwrap()), ["a", "b"]);
    assert_eq!(names(pool.namespaces(None, Order::Newest, 1).await.unwrap()), ["b"]);
    assert_eq!(names(pool.namespaces(Some(&ns("a")), Order::Oldest, 10).await.unwrap()), ["b"]);
    assert!(pool.namespaces(Some(&ns("a")), Order::Newest, 10).await.unwrap().is_empty());
}

/// Breaks a wall, and demands that a start refuses and says what repairs it; then that the repair lets it start.
async fn refuses(database: &TestDatabase, breakage: &str, told: &str, repair: &str) {
    database.execute(breakage).await;
    let error = Pool::connect(database.config()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{breakage}: {error}");
    assert!(error.to_string().contains(told), "{breakage}: {error}");
    database.execute(repair).await;
    Pool::connect(database.config()).await.unwrap();
}

async fn a_broken_wall_is_refused_with_the_statement_that_repairs_it(server: TestServer) {
    let (database, pool) = seeded(&server).await;
    let wall = "CREATE POLICY wall ON mnemic.records USING (namespace = current_setting('mnemic.namespace', true)) WITH CHECK \
         (namespace = current_setting('mnemic.namespace', true))";
    for (breakage, told, repair) in [
        (
            "ALTER TABLE mnemic.records DISABLE ROW LEVEL SECURITY",
            "ALTER TABLE mnemic.records ENABLE ROW LEVEL SECURITY",
            "ALTER TABLE mnemic.records ENABLE ROW LEVEL SECURITY",
        ),
        (
            "ALTER TABLE mnemic.events NO FORCE ROW LEVEL SECURITY",
            "ALTER TABLE mnemic.events FORCE ROW LEVEL SECURITY",
            "ALTER TABLE mnemic.events FORCE ROW LEVEL SECURITY",
        ),
        ("DROP POLICY wall ON mnemic.records", "CREATE POLICY wall ON mnemic.records", wall),
        (
            "CREATE POLICY hole ON mnemic.outbox USING (true)",
            "DROP POLICY \"hole\" ON mnemic.outbox",
            "DROP POLICY hole ON mnemic.outbox",
        ),
        (
            "ALTER TABLE mnemic.slot_threads OWNER TO mnemic_app",
            "OWNER TO <admin>",
            "ALTER TABLE mnemic.slot_threads OWNER TO postgres; GRANT ALL ON mnemic.slot_threads TO mnemic_app",
        ),
        (
            "CREATE VIEW mnemic.everything AS SELECT * FROM mnemic.records",
            "security_invoker",
            "ALTER VIEW mnemic.everything SET (security_invoker = true); GRANT SELECT ON mnemic.everything TO mnemic_app",
        ),
        (
            "CREATE FUNCTION mnemic.f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
            "SECURITY INVOKER",
            "DROP FUNCTION mnemic.f()",
        ),
        ("CREATE TABLE mnemic.loose (namespace text)", "mnemic.loose has no wall", "DROP TABLE mnemic.loose"),
    ] {
        refuses(&database, breakage, told, repair).await;
    }
    let set = format!("ALTER DATABASE {} SET \"mnemic.namespace\" = 'a'", database.name());
    let reset = format!("ALTER DATABASE {} RESET \"mnemic.namespace\"", database.name());
    refuses(&database, &set, "without a namespace", &reset).await;
    // A pool that serves already tells it too.
    database.execute("ALTER TABLE mnemic.records DISABLE ROW LEVEL SECURITY").await;
    assert_eq!(pool.faults().await.unwrap().len(), 1);
}

async fn a_superuser_may_not_serve(server: TestServer) {
    let database = server.database().await;
    let error = Pool::connect(PostgresConfig::new(database.admin_dsn())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(error.to_string().contains("SUPERUSER") && error.to_string().contains("CREATE ROLE"), "{error}");
}

async fn a_role_that_may_not_set_up_the_schema_is_told_what_it_needs(server: TestServer) {
    let database = server.database().await;
    let error = Pool::connect(PostgresConfig::new(database.dsn())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("GRANT CREATE ON DATABASE"), "{error}");
    // One role for everything works where it may: it owns the tables, and never serves as their owner.
    database.execute(&format!("GRANT CREATE ON DATABASE {} TO mnemic_test", database.name())).await;
    database.execute("GRANT mnemic_app, mnemic_list TO mnemic_test").await;
    Pool::connect(PostgresConfig::new(database.dsn())).await.unwrap();
}

async fn a_schema_of_a_newer_program_is_refused_and_left_alone(server: TestServer) {
    let (database, _pool) = seeded(&server).await;
    database.execute("INSERT INTO mnemic.schema_history VALUES (9999, 'later', '2030-01-01T00:00:00Z', '1')").await;
    let error = Pool::connect(database.config()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(error.to_string().contains("9999") && error.to_string().contains("update Mnemic"), "{error}");
}

async fn a_foreign_history_is_refused(server: TestServer) {
    let (database, _pool) = seeded(&server).await;
    database.execute("UPDATE mnemic.schema_history SET checksum = '1' WHERE version = 1").await;
    let error = database.upgrade_to(i32::MAX).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
}

async fn programs_that_start_at_once_set_up_one_schema(server: TestServer) {
    let database = server.database().await;
    let starts: Vec<_> = (0..8)
        .map(|_| {
            let config = database.config();
            tokio::spawn(async move { Pool::connect(config).await.map(drop) })
        })
        .collect();
    for start in starts {
        start.await.unwrap().unwrap();
    }
    assert_eq!(
        database.ask("SELECT (count(*) = count(DISTINCT version))::text FROM mnemic.schema_history").await,
        "true"
    );
}

async fn every_version_upgrades_to_the_next_with_data_in_it(server: TestServer) {
    let database = server.database().await;
    database.upgrade_to(1).await.unwrap();
    database
        .execute(
            "INSERT INTO mnemic.namespaces (namespace, head) VALUES ('kept', 1);
             INSERT INTO mnemic.records (namespace, ordinal, id, version, seq, created_at, body)
             VALUES ('kept', 1, 'r', 1, 1, 0, '\\x01')",
        )
        .await;
    let newest: i32 = {
        let other = server.database().await;
        Pool::connect(other.config()).await.unwrap();
        other.ask("SELECT max(version)::text FROM mnemic.schema_history").await.parse().unwrap()
    };
    for version in 2..=newest {
        database.upgrade_to(version).await.unwrap();
        assert_eq!(database.ask("SELECT max(version)::text FROM mnemic.schema_history").await, version.to_string());
        assert_eq!(database.ask("SELECT id FROM mnemic.records WHERE namespace = 'kept'").await, "r");
        // Only the role that serves may call what a version brings.
        let open =
            "SELECT count(*)::text FROM pg_proc p WHERE p.pronamespace = 'mnemic'::regnamespace AND (p.prosecdef OR
             EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0))";
        assert_eq!(database.ask(open).await, "0", "version {version}");
    }
    let pool = Pool::connect(database.config()).await.unwrap();
    let read = Query::new("SELECT id FROM mnemic.records WHERE namespace = $1");
    let answers = pool.run(&ns("kept"), Access::Read, &[read]).await.unwrap();
    assert_eq!(answers[0].first::<&str>(0).unwrap(), Some("r"));
}

async fn every_key_and_index_begins_with_the_namespace(server: TestServer) {
    let (database, _pool) = seeded(&server).await;
    let odd = "SELECT coalesce(string_agg(i.indexrelid::regclass::text, ', '), '') FROM pg_index i
         JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am am ON am.oid = x.relam
         LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
         WHERE n.nspname = 'mnemic' AND c.relname <> 'schema_history' AND (i.indisunique OR am.amname = 'btree')
         AND a.attname IS DISTINCT FROM 'namespace'";
    assert_eq!(database.ask(odd).await, "");
    let unchecked =
        "SELECT coalesce(string_agg(c.relname, ', '), '') FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = 'mnemic' AND c.relkind = 'r' AND c.relname <> 'schema_history' AND NOT EXISTS (
             SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c'
             AND pg_get_constraintdef(k.oid) LIKE 'CHECK ((namespace <> %')";
    assert_eq!(database.ask(unchecked).await, "");
}

fn main() -> ExitCode {
    trials!(
        ["postgres-18", "postgres-15"];
        a_statement_sees_its_namespace_and_nothing_else,
        a_statement_that_does_not_name_its_namespace_is_not_sent,
        a_call_is_of_a_function_of_the_schema,
        a_client_that_vanishes_holds_nothing_for_ever,
        only_what_can_be_made_again_does_not_wait_for_the_disk,
        nothing_of_a_transaction_stays_on_its_connection,
        a_dropped_transaction_is_undone,
        a_reader_may_not_write,
        namespaces_are_listed_in_both_orders,
        a_broken_wall_is_refused_with_the_statement_that_repairs_it,
        a_superuser_may_not_serve,
        a_role_that_may_not_set_up_the_schema_is_told_what_it_needs,
        a_schema_of_a_newer_program_is_refused_and_left_alone,
        a_foreign_history_is_refused,
        programs_that_start_at_once_set_up_one_schema,
        every_version_upgrades_to_the_next_with_data_in_it,
        every_key_and_index_begins_with_the_namespace,
    )
}
