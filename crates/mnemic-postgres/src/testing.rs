//! Fresh databases for tests, of the servers that the environment names, and poolers of a test's own.
//! Not here: starting servers (`cargo xtask test` does).

use std::{
    fs, io,
    net::TcpStream,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use mnemic_core::Result;
use secrecy::SecretString;
use tokio_postgres::NoTls;

use crate::{PostgresConfig, schema};

/// The role that tests connect as: no superuser, and owner of nothing.
const USER: &str = "mnemic_test";

/// A server that tests may use, by its service name: `postgres-15`, `postgres-18`.
#[derive(Clone, Debug)]
pub struct TestServer {
    /// Of a superuser.
    admin: String,
}

impl TestServer {
    /// The server of a service, from `MNEMIC_TEST_POSTGRES_<version>`: a superuser's DSN in URL form, with a database.
    ///
    /// # Errors
    /// Why it is absent.
    pub fn of(service: &str) -> Result<Self, String> {
        let version = service.strip_prefix("postgres-").unwrap_or(service);
        let name = format!("MNEMIC_TEST_POSTGRES_{version}");
        let admin = std::env::var(&name).map_err(|why| format!("{name} names no server: {why}"))?;
        Ok(Self { admin })
    }

    /// An empty database, and a role that may connect to it. Dropped at the end.
    pub async fn database(&self) -> TestDatabase {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("mnemic_test_{}_{number}", std::process::id());
        let role = format!(
            "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{USER}') THEN CREATE ROLE {USER} LOGIN; END IF; EXCEPTION \
             WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        );
        // A database of a process that was killed and whose number came round again.
        let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
        let create = format!("CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0");
        for sql in [role, drop, create] {
            execute(&self.admin, &sql).await;
        }
        TestDatabase { server: self.clone(), name }
    }
}

/// The program of `PgBouncer`, from `MNEMIC_TEST_PGBOUNCER`.
///
/// # Errors
/// Why it is absent.
pub fn pgbouncer() -> Result<PathBuf, String> {
    let name = "MNEMIC_TEST_PGBOUNCER";
    std::env::var_os(name).map(PathBuf::from).ok_or_else(|| format!("{name} names no program"))
}

/// A running `PgBouncer`; it stops when this is dropped.
#[derive(Debug)]
pub struct PgBouncer(Child);

impl PgBouncer {
    /// Starts `program` with a file of settings that every user may read, and waits until it answers on `port` of this machine.
    ///
    /// # Errors
    /// If it does not start, or does not answer within 20 s.
    pub fn start(program: &Path, settings: &Path, port: u16) -> io::Result<Self> {
        // It refuses to run as root, and a process knows its own owner by the owner of its entry in `/proc`.
        let root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
        let mut command = Command::new(if root { Path::new("setpriv") } else { program });
        if root {
            command.args(["--reuid", "postgres", "--regid", "postgres", "--init-groups", "--"]).arg(program);
        }
        let command = command.arg("-q").arg(settings).stdout(Stdio::null()).stderr(Stdio::inherit());
        let mut running = Self(command.spawn()?);
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Some(status) = running.0.try_wait()? {
                return Err(io::Error::other(format!("pgbouncer ended ({status})")));
            }
            if begun.elapsed() > Duration::from_secs(20) {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "pgbouncer does not answer"));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(running)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // A process that is gone already is what is wanted.
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Whether `MNEMIC_REQUIRE` lists a service, so that its absence is a failure.
pub fn required(service: &str) -> bool {
    std::env::var("MNEMIC_REQUIRE").is_ok_and(|list| list.split(',').any(|name| name.trim() == service))
}

/// Runs `async fn(TestServer)`s as tests on every listed server; shows them as ignored where a server is absent, or as failed where
/// `MNEMIC_REQUIRE` lists it. The caller's crate has `libtest-mimic` and `tokio`.
#[doc(hidden)]
#[macro_export]
macro_rules! trials {
    ([$($service:literal),+]; $($test:path),+ $(,)?) => {{
        let mut trials = Vec::new();
        for service in [$($service),+] {
            $(trials.push(::libtest_mimic::Trial::ignorable_test(format!("{service}::{}", stringify!($test)), move || {
                match $crate::testing::TestServer::of(service) {
                    Ok(server) => {
                        let runtime = ::tokio::runtime::Runtime::new().map_err(|e| ::libtest_mimic::Failed::from(e.to_string()))?;
                        runtime.block_on($test(server));
                        Ok(::libtest_mimic::Completion::Completed)
                    }
                    Err(why) if $crate::testing::required(service) => Err(::libtest_mimic::Failed::from(why)),
                    Err(why) => Ok(::libtest_mimic::Completion::ignored_with(why)),
                }
            }));)+
        }
        ::libtest_mimic::run(&::libtest_mimic::Arguments::from_args(), trials).exit_code()
    }};
}

/// One database of its own.
#[derive(Debug)]
pub struct TestDatabase {
    server: TestServer,
    name: String,
}

impl TestDatabase {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The connection string of a role that may only serve.
    pub fn dsn(&self) -> String {
        with(&self.server.admin, Some(USER), &self.name)
    }

    /// The connection string of a superuser.
    pub fn admin_dsn(&self) -> String {
        with(&self.server.admin, None, &self.name)
    }

    /// How production would be configured: one role serves, another one upgrades.
    pub fn config(&self) -> PostgresConfig {
        PostgresConfig { admin_dsn: Some(SecretString::from(self.admin_dsn())), ..PostgresConfig::new(self.dsn()) }
    }

    /// Runs statements as a superuser, past every wall.
    ///
    /// # Panics
    /// If the server refuses them.
    pub async fn execute(&self, sql: &str) {
        execute(&self.admin_dsn(), sql).await;
    }

    /// Asks one text of a superuser, past every wall; the statement returns one row of one `text`.
    ///
    /// # Panics
    /// If the server refuses it.
    pub async fn ask(&self, sql: &str) -> String {
        let client = client(&self.admin_dsn()).await;
        let row = client.query_typed_one(sql, &[]).await;
        row.unwrap_or_else(|error| refused(sql, &error)).get(0)
    }

    /// Brings the schema up to a version only, as an older program would have.
    ///
    /// # Errors
    /// Those of an upgrade.
    pub async fn upgrade_to(&self, version: i32) -> Result<()> {
        schema::upgrade_to(&self.config(), USER, version).await
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (admin, sql) = (self.server.admin.clone(), format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        // The runtime of the test is being left, so the last word needs one of its own.
        let dropping = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = runtime {
                runtime.block_on(execute(&admin, &sql));
            }
        });
        // A database that stays is in nobody's way.
        let _stays = dropping.join();
    }
}

/// The same connection string for another database, and another user without a password.
fn with(dsn: &str, user: Option<&str>, database: &str) -> String {
    let mut url = url::Url::parse(dsn).unwrap_or_else(|error| refused(dsn, &error));
    url.set_path(database);
    if let Some(user) = user {
        let changed = url.set_username(user).and_then(|()| url.set_password(None));
        changed.unwrap_or_else(|()| refused(dsn, &"a URL without a host"));
    }
    url.to_string()
}

#[expect(clippy::panic, reason = "tests fail by panicking")]
fn refused(what: &str, why: &impl std::fmt::Debug) -> ! {
    panic!("{what}: {why:?}")
}

async fn client(dsn: &str) -> tokio_postgres::Client {
    let (client, connection) =
        tokio_postgres::connect(dsn, NoTls).await.unwrap_or_else(|error| refused("connecting", &error));
    drop(tokio::spawn(connection));
    client
}

async fn execute(dsn: &str, sql: &str) {
    client(dsn).await.batch_execute(sql).await.unwrap_or_else(|error| refused(sql, &error));
}
