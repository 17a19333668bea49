//! TLS and passwords as a real server asks for them: pgbouncer with a certificate of its own and a password. Not here: the ledger.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use mnemic_core::{ErrorKind, Result};
use mnemic_postgres::{
    Pool, PostgresConfig,
    testing::{PgBouncer, TestDatabase, TestServer, pgbouncer, required},
};

/// A pgbouncer that demands TLS and a password.
struct Guarded {
    _running: PgBouncer,
    port: u16,
    place: tempfile::TempDir,
    database: TestDatabase,
}

fn run(program: &str, arguments: &[&str], at: &Path) {
    let done = Command::new(program).args(arguments).current_dir(at).output().unwrap();
    assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
}

impl Guarded {
    async fn start(program: &Path, server: &TestServer) -> Self {
        let database = server.database().await;
        let place = tempfile::tempdir().unwrap();
        let at = place.path();
        // A certificate for `localhost` and not for 127.0.0.1.
        let subject = [
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-addext",
            "basicConstraints=CA:FALSE",
        ];
        let made =
            ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", "key.pem", "-out", "cert.pem"];
        run("openssl", &[&made[..], &subject[..]].concat(), at);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let upstream = database.dsn().parse::<tokio_postgres::Config>().unwrap().get_ports()[0];
        let name = database.name();
        let show = |file: &str| at.join(file).display().to_string();
        let settings = format!(
            "[databases]\n{name} = host=127.0.0.1 port={upstream} user=mnemic_test dbname={name}\n[pgbouncer]\nlisten_addr = \
             127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = plain\nauth_file = {}\npool_mode = \
             transaction\nclient_tls_sslmode = require\nclient_tls_key_file = {}\nclient_tls_cert_file = {}\n",
            show("users.txt"),
            show("key.pem"),
            show("cert.pem"),
        );
        fs::write(at.join("pgbouncer.ini"), settings).unwrap();
        fs::write(at.join("users.txt"), "\"mnemic_test\" \"right\"\n").unwrap();
        for entry in fs::read_dir(at).unwrap() {
            fs::set_permissions(entry.unwrap().path(), fs::Permissions::from_mode(0o644)).unwrap();
        }
        fs::set_permissions(at, fs::Permissions::from_mode(0o755)).unwrap();
        let running = PgBouncer::start(program, &at.join("pgbouncer.ini"), port).unwrap();
        Self { _running: running, port, place, database }
    }

    /// Connects with a host name, a password and options.
    async fn connect(&self, host: &str, password: &str, options: &str) -> Result<Pool> {
        let dsn =
            format!("postgresql://mnemic_test:{password}@{host}:{}/{}?{options}", self.port, self.database.name());
        let admin_dsn = self.database.config().admin_dsn;
        Pool::connect(PostgresConfig { admin_dsn, ..PostgresConfig::new(dsn) }).await
    }
}

async fn what_a_connection_string_says_of_tls_and_password_is_kept(program: PathBuf, server: TestServer) {
    let guarded = Guarded::start(&program, &server).await;
    let root = format!("sslrootcert={}", guarded.place.path().join("cert.pem").display());
    for options in ["sslmode=require", "sslmode=prefer", "", &format!("sslmode=verify-full&{root}")] {
        guarded.connect("localhost", "right", options).await.unwrap();
    }
    for (host, password, options, kind) in [
        // pgbouncer has one state for everything that it refuses; a server itself says 28P01 (`hostile`).
        ("localhost", "wrong", "sslmode=require".to_owned(), ErrorKind::Unavailable),
        // Nobody vouches for this certificate but the file.
        ("localhost", "right", "sslmode=verify-full".to_owned(), ErrorKind::InvalidConfig),
        // It is another host's.
        ("127.0.0.1", "right", format!("sslmode=verify-full&{root}"), ErrorKind::InvalidConfig),
        ("localhost", "right", "sslmode=verify-full&sslrootcert=/nowhere".to_owned(), ErrorKind::InvalidConfig),
    ] {
        let error = guarded.connect(host, password, &options).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{options}: {error:?}");
        assert!(!format!("{error} {error:?}").contains("wrong@"), "{error:?}");
    }
    let error = guarded.connect("localhost", "right", "sslmode=disable").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.to_string().contains("sslmode"), "{error}");
}

fn main() -> ExitCode {
    let found = pgbouncer().and_then(|program| Ok((program, TestServer::of("postgres-18")?)));
    let trial =
        Trial::ignorable_test("what_a_connection_string_says_of_tls_and_password_is_kept", move || match found {
            Ok((program, server)) => {
                let runtime = tokio::runtime::Runtime::new().map_err(|e| Failed::from(e.to_string()))?;
                runtime.block_on(what_a_connection_string_says_of_tls_and_password_is_kept(program, server));
                Ok(Completion::Completed)
            }
            Err(why) if required("pgbouncer") => Err(Failed::from(why)),
            Err(why) => Ok(Completion::ignored_with(why)),
        });
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit_code()
}
