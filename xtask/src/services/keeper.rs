//! The hidden task that starts the servers, tells where they are, and stops them when nobody is there any more.
//! Not here: installing (the task that starts the keeper does that, while Ctrl-C still ends it at once).

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::{Outcome, run};

use super::{
    PGBOUNCER, POSTGRES_15, POSTGRES_18, POSTGRES_18_PROGRAMS,
    machine::Folder,
    postgres::{self, Plan, Postgres},
};

/// The line that says that every server answers.
pub(crate) const READY: &str = "ready";

/// Every server, in the order in which they are stopped, and last the folder that they lie in.
#[derive(Debug)]
struct Running {
    postgres_18: Postgres,
    postgres_15: Postgres,
    /// Those of PostgreSQL 18, with their libraries in `lib` beside them.
    programs: PathBuf,
    pgbouncer: PathBuf,
    _folder: Folder,
}

impl Running {
    fn start(postgres_18: &Path, postgres_15: &Path, pgbouncer: &Path) -> Result<Self, String> {
        let folder = Folder::new()?;
        let newer = Plan {
            name: "postgres-18",
            installation: folder.reachable(postgres_18, "bin/postgres")?,
            initdb: &["--locale=C.UTF-8"],
        };
        let older = Plan {
            name: "postgres-15",
            installation: postgres_15.to_owned(),
            // Orders strings as people do, so that an order by id that forgets to ask for bytes shows.
            initdb: &["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"],
        };
        let postgres_18 = Postgres::start(&newer, &folder)?;
        let postgres_15 = Postgres::start(&older, &folder)?;
        let programs = newer.installation.join("bin");
        Ok(Self { postgres_18, postgres_15, programs, pgbouncer: pgbouncer.to_owned(), _folder: folder })
    }

    fn tell(&self) {
        for (variable, server) in [(POSTGRES_18, &self.postgres_18), (POSTGRES_15, &self.postgres_15)] {
            run::answer(&format!("{variable}={}", postgres::dsn(server.port)));
        }
        // For tests that start a server or a pooler of their own.
        run::answer(&format!("{POSTGRES_18_PROGRAMS}={}", self.programs.display()));
        run::answer(&format!("{PGBOUNCER}={}", self.pgbouncer.display()));
        run::answer(READY);
    }
}

/// Keeps the servers until standard input ends.
pub(crate) fn keep(programs: [&str; 3]) -> Outcome {
    let [postgres_18, postgres_15, pgbouncer] = programs.map(PathBuf::from);
    let running = Running::start(&postgres_18, &postgres_15, &pgbouncer)?;
    running.tell();
    until_end(&mut io::stdin().lock());
    drop(running);
    Ok(())
}

/// Returns when nothing more can come; a failure to read is also an end.
fn until_end(from: &mut impl Read) {
    let mut ignored = [0u8; 64];
    loop {
        match from.read(&mut ignored) {
            Ok(0) => return,
            Err(e) if e.kind() != io::ErrorKind::Interrupted => return,
            Ok(_) | Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_input_ends_the_keeping_and_nothing_before_it() {
        let mut long = &[b'x'; 1000][..];
        until_end(&mut long);
        assert_eq!(long, &[] as &[u8]);
    }
}
