//! The one place where an error of the server or of the driver becomes an error of Mnemic. Not here: retrying (a layer).
//!
//! The driver's error is never kept as a source: its detail can quote the row that a statement was about.

use std::{error::Error as _, io};

use deadpool_postgres::PoolError;
use mnemic_core::{Error, ErrorKind, Retry};
use tokio_postgres::error::{DbError, SqlState};

/// Classifies what the driver says.
pub fn classify(error: &tokio_postgres::Error) -> Error {
    if let Some(refusal) = error.as_db_error() {
        return of_server(refusal);
    }
    let said = error.to_string();
    let cause = error.source();
    let io_kind = cause.and_then(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    let classified = match said.as_str() {
        // The server offers no TLS, or what it offers proves nothing.
        "error performing TLS handshake" if !matches!(io_kind, Some(kind) if is_network(kind)) => Error::new(
            ErrorKind::InvalidConfig,
            "the database and this program do not agree on TLS: the server offers none, or its certificate does not prove its \
             host name; check sslmode and sslrootcert of the connection string",
        ),
        "authentication error" => Error::new(
            ErrorKind::Denied,
            "the database asks for a proof that the connection string does not hold; check its user and password",
        ),
        "invalid connection string" | "invalid configuration" => Error::new(
            ErrorKind::InvalidConfig,
            "dsn: expected a connection string that names a user, a host and a database",
        ),
        said if said.starts_with("error serializing parameter") || said.starts_with("expected ") => {
            Error::bug("a value does not fit its parameter")
        }
        said if said.starts_with("error deserializing column")
            || said.starts_with("invalid column")
            || said.ends_with("unexpected number of rows")
            || said.ends_with("unexpected number of columns") =>
        {
            corrupted("a column does not hold what its table says")
        }
        _ => unavailable("the connection to the database failed or was cut"),
    };
    let classified = classified.with_context("driver", said.clone());
    match cause {
        // The text of an I/O or TLS error names files, addresses and certificates, and no data.
        Some(cause) if classified.kind() != ErrorKind::Bug => classified.with_context("cause", cause.to_string()),
        _ => classified,
    }
}

fn is_network(kind: io::ErrorKind) -> bool {
    !matches!(kind, io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other)
}

/// Classifies what the pool says.
pub(crate) fn of_pool(error: PoolError) -> Error {
    match error {
        PoolError::Backend(source) => classify(&source),
        PoolError::Timeout(_) => unavailable("no connection to the database became free in time"),
        PoolError::Closed => unavailable("the connections to the database were closed"),
        PoolError::NoRuntimeSpecified => Error::bug("the pool has no runtime"),
        PoolError::PostCreateHook(_) => Error::bug("the pool has a hook"),
    }
}

/// The error for what is stored and cannot be.
pub fn corrupted(what: &str) -> Error {
    Error::new(
        ErrorKind::Corrupted,
        format!("the stored data breaks an invariant: {what}; restore a backup of the database"),
    )
}

/// The backend is away for a while.
pub(crate) fn unavailable(message: &str) -> Error {
    Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Soon)
}

fn of_server(refusal: &DbError) -> Error {
    let code = refusal.code();
    let classified = of_state(code).with_context("sqlstate", code.code());
    let context = [("table", refusal.table()), ("constraint", refusal.constraint()), ("routine", refusal.routine())];
    let classified = context.into_iter().fold(classified, |error, (key, value)| match value {
        Some(value) => error.with_context(key, value),
        None => error,
    });
    // Messages about data (22, 23) and syntax (42) can quote it.
    match code.code().get(..2) {
        Some("22" | "23" | "42") => classified,
        _ => classified.with_context("server", refusal.message()),
    }
}

/// What each state of the server means to us.
fn of_state(state: &SqlState) -> Error {
    let config = |message: &str| Error::new(ErrorKind::InvalidConfig, message);
    let denied = |message: &str| Error::new(ErrorKind::Denied, message);
    match state.code() {
        "40001" | "40P01" | "55P03" => unavailable("the database undid the transaction in favour of another one"),
        "57014" => unavailable("the database cancelled the statement"),
        "57P01" | "57P02" | "57P05" | "25P03" => unavailable("the database closed the connection"),
        "57P03" => unavailable("the database is starting up, shutting down or recovering"),
        "53300" | "53400" => {
            unavailable("the database has no connection free; lower max_connections here or raise the server's")
        }
        "53100" => unavailable("the database's disk is full; free space on the server, nothing was written"),
        "53000" | "53200" => unavailable("the database is out of memory"),
        "25006" => unavailable(
            "the database is read-only: a standby, or default_transaction_read_only is on; connect to the primary, or add \
             target_session_attrs=read-write to the connection string",
        ),
        "28P01" => denied("the database refused the user name or the password of the connection string"),
        "28000" => denied(
            "the database refused this user from this host or without TLS; check pg_hba.conf on the server, and sslmode=require where \
             it demands TLS",
        ),
        "42501" => denied(
            "the database role lacks a right; as the owner of the schema run: GRANT mnemic_app TO <user>, or let Mnemic repair the \
             schema with an admin connection string",
        ),
        "3D000" => config("the database that the connection string names does not exist; create it"),
        "3F000" | "42P01" | "42703" | "42883" => config(
            "the schema mnemic of the database is not the one of this program; start with an admin connection string to bring it up \
             to date, or restore a backup",
        ),
        "42704" | "58P01" => config(
            "the database lacks a type or an extension that this needs; as a superuser run: CREATE EXTENSION vector",
        ),
        "0A000" => {
            Error::new(ErrorKind::Unsupported, "the database does not offer this, or an extension is not installed")
        }
        "54000" | "54023" => Error::invalid("batch", "less at once", "more than the database takes"),
        "23505" => Error::new(ErrorKind::Conflict, "another program wrote the same thing at the same moment")
            .with_retry(Retry::Soon),
        // The one state that pgbouncer has for everything, a wrong password and an overfull pool alike.
        "08P01" => unavailable(
            "the database or a pooler before it refused the connection; where that stays so, check the user, password, database and \
             sslmode of the connection string",
        ),
        "XX001" | "XX002" => corrupted("the server says that it is damaged"),
        code => match code.get(..2) {
            Some("08" | "58" | "XX" | "57" | "53") => unavailable("the database or the way to it failed"),
            Some("28") => denied("the database refused the connection string's user"),
            Some("22") => Error::invalid("value", "text and numbers that PostgreSQL can hold", "others"),
            _ => Error::bug("the database refused a statement"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_one_kind_and_one_verdict() {
        let soon = Retry::Soon;
        let table = [
            ("40001", ErrorKind::Unavailable, soon),
            ("40P01", ErrorKind::Unavailable, soon),
            ("57P01", ErrorKind::Unavailable, soon),
            ("57P02", ErrorKind::Unavailable, soon),
            ("57P03", ErrorKind::Unavailable, soon),
            ("57014", ErrorKind::Unavailable, soon),
            ("08000", ErrorKind::Unavailable, soon),
            ("08006", ErrorKind::Unavailable, soon),
            ("08P01", ErrorKind::Unavailable, soon),
            ("53100", ErrorKind::Unavailable, soon),
            ("53200", ErrorKind::Unavailable, soon),
            ("53300", ErrorKind::Unavailable, soon),
            ("58030", ErrorKind::Unavailable, soon),
            ("25006", ErrorKind::Unavailable, soon),
            ("XX000", ErrorKind::Unavailable, soon),
            ("28P01", ErrorKind::Denied, Retry::Never),
            ("28000", ErrorKind::Denied, Retry::Never),
            ("42501", ErrorKind::Denied, Retry::Never),
            ("3D000", ErrorKind::InvalidConfig, Retry::Never),
            ("3F000", ErrorKind::InvalidConfig, Retry::Never),
            ("42P01", ErrorKind::InvalidConfig, Retry::Never),
            ("42703", ErrorKind::InvalidConfig, Retry::Never),
            ("42704", ErrorKind::InvalidConfig, Retry::Never),
            ("0A000", ErrorKind::Unsupported, Retry::Never),
            ("22021", ErrorKind::InvalidInput, Retry::Never),
            ("22P05", ErrorKind::InvalidInput, Retry::Never),
            ("54000", ErrorKind::InvalidInput, Retry::Never),
            ("23505", ErrorKind::Conflict, soon),
            ("23514", ErrorKind::Bug, Retry::Never),
            ("42601", ErrorKind::Bug, Retry::Never),
            ("XX001", ErrorKind::Corrupted, Retry::Never),
        ];
        for (code, kind, retry) in table {
            let error = of_state(&SqlState::from_code(code));
            assert_eq!((error.kind(), error.retry()), (kind, retry), "{code}: {error}");
        }
    }

    #[test]
    fn what_an_operator_can_mend_says_how() {
        for (code, told) in [
            ("53100", "free space"),
            ("25006", "primary"),
            ("53300", "max_connections"),
            ("28000", "sslmode=require"),
            ("42501", "GRANT mnemic_app"),
            ("3D000", "create it"),
            ("42704", "CREATE EXTENSION"),
        ] {
            let shown = of_state(&SqlState::from_code(code)).to_string();
            assert!(shown.contains(told), "{code}: {shown}");
        }
    }
}
