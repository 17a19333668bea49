//! One PostgreSQL server in a fresh data directory. Not here: databases, roles and extensions (tests make their own).

use std::path::{Path, PathBuf};

use crate::run;

use super::{
    machine::{self, Folder},
    process::Server,
};

/// How often a server is started on another port after somebody else took the one it was given.
const ATTEMPTS: usize = 3;

/// A running PostgreSQL server.
#[derive(Debug)]
pub(super) struct Postgres {
    pub(super) port: u16,
    _server: Server,
}

/// What kind of server to make.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    /// Its name in messages and of its folder.
    pub(super) name: &'static str,
    /// Above `bin` and `lib`.
    pub(super) installation: PathBuf,
    /// More arguments for `initdb`.
    pub(super) initdb: &'a [&'a str],
}

impl Postgres {
    pub(super) fn start(plan: &Plan<'_>, folder: &Folder) -> Result<Self, String> {
        let data = folder.make(plan.name)?;
        let mut initdb = plan.command("initdb");
        initdb.args(["--auth=trust", "--username=postgres", "--encoding=UTF8"]).args(plan.initdb);
        let output = initdb.arg("-D").arg(&data).output().map_err(|e| format!("initdb did not start: {e}"))?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!("{}: initdb failed ({}): {}", plan.name, output.status, why.trim()));
        }
        let mut failure = String::new();
        for _ in 0..ATTEMPTS {
            match Self::listen(plan, &data, &data.with_extension("log")) {
                Ok(postgres) => return Ok(postgres),
                Err(why) => failure = why,
            }
        }
        Err(failure)
    }

    fn listen(plan: &Plan<'_>, data: &Path, log: &Path) -> Result<Self, String> {
        let port = machine::free_port()?;
        let mut command = plan.command("postgres");
        command.arg("-D").arg(data).args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
        // As a server in use has it: a test of durability would otherwise prove nothing.
        command.args(["-c", "fsync=on", "-c", "max_connections=200", "-c", "unix_socket_directories="]);
        let server = Server::start(plan.name, &mut command, log)?;
        let server = server.wait_until(|| answers(&plan.installation, port))?;
        Ok(Self { port, _server: server })
    }
}

impl Plan<'_> {
    fn command(&self, program: &str) -> std::process::Command {
        let mut command = machine::as_server(&self.installation.join("bin").join(program));
        command.env("LD_LIBRARY_PATH", self.installation.join("lib"));
        command
    }
}

/// The address of a server on this machine.
pub(super) fn dsn(port: u16) -> String {
    format!("postgresql://postgres@127.0.0.1:{port}/postgres")
}

/// Whether a query is answered on `port`.
pub(super) fn answers(installation: &Path, port: u16) -> bool {
    let mut psql = machine::as_server(&installation.join("bin").join("psql"));
    psql.env("LD_LIBRARY_PATH", installation.join("lib"));
    run::works(psql.args(["--no-psqlrc", "--dbname", &dsn(port), "--command", "SELECT 1"]))
}
