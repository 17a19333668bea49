//! The whole contract through pgbouncer in transaction mode, where every transaction may run on another connection of the server.
//! Not here: the contract (`mnemic-conformance`).
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use mnemic_conformance::ledger::{self, Durability, LedgerHarness, Opened};
use mnemic_ledgers::PostgresLedger;
use mnemic_postgres::{
    PostgresConfig,
    testing::{PgBouncer, TestDatabase, TestServer, pgbouncer},
};
use tokio::sync::OnceCell;

/// A pgbouncer with fewer connections to the server than it has clients.
struct Pooler {
    _running: PgBouncer,
    database: TestDatabase,
    dsn: String,
    _place: tempfile::TempDir,
}

impl Pooler {
    async fn start(program: &Path, server: &TestServer) -> Self {
        let database = server.database().await;
        let place = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let target = database.dsn().parse::<tokio_postgres::Config>().unwrap();
        let (host, upstream) = (target.get_hostaddrs().first().map(ToString::to_string), target.get_ports()[0]);
        let host = host.unwrap_or_else(|| "127.0.0.1".to_owned());
        let settings = format!(
            "[databases]\n{name} = host={host} port={upstream} dbname={name}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = \
             {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 3\nmax_client_conn = \
             200\n{name_user}\n",
            name = database.name(),
            name_user = "ignore_startup_parameters = extra_float_digits",
        )
        .replace("dbname=", "user=mnemic_test dbname=");
        let file = place.path().join("pgbouncer.ini");
        fs::write(&file, settings).unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let running = PgBouncer::start(program, &file, port).unwrap();
        let dsn = format!("postgresql://mnemic_test@127.0.0.1:{port}/{}?sslmode=disable", database.name());
        Self { _running: running, database, dsn, _place: place }
    }

    fn config(&self) -> PostgresConfig {
        PostgresConfig { admin_dsn: self.database.config().admin_dsn, ..PostgresConfig::new(self.dsn.clone()) }
    }
}

struct Pooled {
    program: PathBuf,
    server: TestServer,
    pooler: OnceCell<Arc<Pooler>>,
}

impl Pooled {
    fn find() -> Result<Self, String> {
        Ok(Self { program: pgbouncer()?, server: TestServer::of("postgres-18")?, pooler: OnceCell::new() })
    }
}

async fn open(pooler: &Pooler) -> Arc<PostgresLedger> {
    Arc::new(PostgresLedger::connect(pooler.config()).await.unwrap())
}

#[async_trait::async_trait]
impl LedgerHarness for Pooled {
    fn durability(&self) -> Durability {
        Durability::Durable
    }

    async fn open(&self) -> Opened {
        let start = || async { Arc::new(Pooler::start(&self.program, &self.server).await) };
        let pooler = self.pooler.get_or_init(start).await;
        Opened::new(open(pooler).await).kept(Arc::clone(pooler))
    }

    async fn reopen(&self, opened: Opened) -> Opened {
        let pooler = opened.close::<Pooler>();
        Opened::new(open(&pooler).await).kept(pooler)
    }
}

fn main() -> ExitCode {
    ledger::main_or_ignore("pgbouncer", Pooled::find())
}
