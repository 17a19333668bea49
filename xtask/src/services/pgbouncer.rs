//! `PgBouncer` in front of PostgreSQL 18, in the mode that takes most from its users: one transaction, one connection.
//! Not here: the server behind it.

use std::path::Path;

use super::{
    machine::{self, Folder},
    postgres,
    process::Server,
};

/// A running `PgBouncer`.
#[derive(Debug)]
pub(super) struct PgBouncer {
    pub(super) port: u16,
    _server: Server,
}

impl PgBouncer {
    /// Starts `program` before the server on `behind`; `client` is an installation with a `psql`.
    pub(super) fn start(program: &Path, client: &Path, behind: u16, folder: &Folder) -> Result<Self, String> {
        let users = folder.write("pgbouncer-users.txt", "\"postgres\" \"\"\n")?;
        let port = machine::free_port()?;
        let settings = folder.write("pgbouncer.ini", &settings(behind, port, &users))?;
        let log = settings.with_extension("log");
        let server = Server::start("pgbouncer", machine::as_server(program).arg(&settings), &log)?;
        let server = server.wait_until(|| postgres::answers(client, port))?;
        Ok(Self { port, _server: server })
    }
}

/// Any database and any role of the server, which tests make as they go.
fn settings(behind: u16, port: u16, users: &Path) -> String {
    format!(
        "[databases]\n\
         * = host=127.0.0.1 port={behind} auth_user=postgres\n\
         [pgbouncer]\n\
         listen_addr = 127.0.0.1\n\
         listen_port = {port}\n\
         unix_socket_dir =\n\
         auth_type = trust\n\
         auth_file = {}\n\
         pool_mode = transaction\n\
         default_pool_size = 8\n\
         max_client_conn = 400\n\
         server_idle_timeout = 1\n",
        users.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_handed_on_after_each_transaction() {
        let text = settings(5432, 6432, Path::new("users"));
        for line in ["pool_mode = transaction", "listen_addr = 127.0.0.1", "listen_port = 6432"] {
            assert!(text.lines().any(|found| found == line), "{text}");
        }
    }
}
