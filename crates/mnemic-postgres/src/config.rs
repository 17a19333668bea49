//! Where the database is and how it is reached. Not here: finding the settings (the facade's configuration).

use std::{fmt, time::Duration};

use mnemic_core::{Error, ErrorKind, Result};
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::config::Host;

use crate::tls::Trust;

/// How long opening a connection may take where the DSN does not say (`connect_timeout`).
const CONNECT: Duration = Duration::from_secs(10);
const CONNECT_ONE_OF_MANY: Duration = Duration::from_secs(3);
/// How long sent data may stay unacknowledged before a connection counts as lost where the DSN does not say (`tcp_user_timeout`).
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// Where and how the database is reached.
#[derive(Clone, Debug)]
pub struct PostgresConfig {
    /// The connection string, `postgresql://user:password@host:port/database?sslmode=…` or `host=… user=…`. `postgresql+asyncpg://` is
    /// read too. `sslmode` is `disable`, `prefer` (default), `require` or `verify-full`; `sslrootcert` names a PEM file of authorities.
    pub dsn: SecretString,
    /// The connection string of a role that may change the schema; the one above where there is none. Used at start only, and only if the
    /// schema is not up to date.
    pub admin_dsn: Option<SecretString>,
    /// Most connections at once, at least 1.
    pub max_connections: usize,
}

impl PostgresConfig {
    /// The usual configuration: 8 connections, one role for everything.
    pub fn new(dsn: impl Into<SecretString>) -> Self {
        Self { dsn: dsn.into(), admin_dsn: None, max_connections: 8 }
    }

    /// Which database this is, the same for every program that reaches it by the same name: hosts, ports and database, without users and
    /// passwords. Not for people.
    ///
    /// # Errors
    /// `InvalidConfig` for a DSN that is none.
    pub fn place(&self) -> Result<String> {
        let driver = self.target()?.driver;
        let hosts = (driver.get_hosts(), driver.get_hostaddrs(), driver.get_ports());
        Ok(format!("{hosts:?} {}", driver.get_dbname().or(driver.get_user()).unwrap_or_default()))
    }

    /// Who connects, as parsed from the DSN.
    pub(crate) fn target(&self) -> Result<Target> {
        Target::parse("dsn", &self.dsn)
    }

    /// Who may change the schema.
    pub(crate) fn admin(&self) -> Result<Target> {
        match &self.admin_dsn {
            Some(dsn) => Target::parse("admin_dsn", dsn),
            None => self.target(),
        }
    }
}

/// A parsed connection string.
pub(crate) struct Target {
    pub(crate) driver: tokio_postgres::Config,
    pub(crate) trust: Trust,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("trust", &self.trust).finish_non_exhaustive()
    }
}

impl Target {
    fn parse(field: &'static str, dsn: &SecretString) -> Result<Self> {
        let (plain, taken) = take_tls_options(&without_driver(dsn.expose_secret()));
        let refused = |expected: &str| {
            Error::new(ErrorKind::InvalidConfig, format!("{field}: expected {expected}")).with_field(field)
        };
        let form = "a connection string such as postgresql://user:password@host:5432/database";
        let mut driver: tokio_postgres::Config = plain
            .parse()
            .map_err(|source: tokio_postgres::Error| refused(form).with_context("driver", source.to_string()))?;
        let modes = "sslmode to be disable, prefer, require or verify-full";
        let (mode, trust) = Trust::of(&taken).ok_or_else(|| refused(modes))?;
        driver.ssl_mode(mode);
        if driver.get_hosts().is_empty() && driver.get_hostaddrs().is_empty() {
            return Err(refused("a connection string that names a host"));
        }
        if driver.get_user().is_none() {
            return Err(refused("a connection string that names a user"));
        }
        if driver.get_connect_timeout().is_none() {
            // Of several hosts the next one has to get its turn within one try.
            driver.connect_timeout(if driver.get_hosts().len() > 1 { CONNECT_ONE_OF_MANY } else { CONNECT });
        }
        if driver.get_tcp_user_timeout().is_none() {
            driver.tcp_user_timeout(UNACKNOWLEDGED);
        }
        if driver.get_application_name().is_none() {
            driver.application_name("mnemic");
        }
        driver.keepalives_idle(UNACKNOWLEDGED);
        Ok(Self { driver, trust })
    }

    /// The hosts, for people; no port, user or database.
    pub(crate) fn hosts(&self) -> String {
        let named = self.driver.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        });
        let hosts: Vec<String> = named.collect();
        if hosts.is_empty() {
            return self.driver.get_hostaddrs().iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        }
        hosts.join(",")
    }
}

/// The same connection string without the name of a Python driver in its scheme.
fn without_driver(dsn: &str) -> String {
    let dsn = dsn.trim();
    match dsn.split_once("://") {
        Some((scheme, rest)) if scheme.starts_with("postgres") => format!("postgresql://{rest}"),
        _ => dsn.to_owned(),
    }
}

/// The options of a connection string that are about TLS; the driver does not know all of them.
#[derive(Debug, Default)]
pub(crate) struct TlsOptions {
    pub(crate) mode: Option<String>,
    pub(crate) root: Option<String>,
}

impl TlsOptions {
    fn take(&mut self, name: &str, value: &str) -> bool {
        match name {
            "sslmode" | "ssl" => self.mode = Some(value.to_owned()),
            "sslrootcert" => self.root = Some(value.to_owned()),
            _ => return false,
        }
        true
    }
}

/// Takes the options about TLS out of a connection string.
fn take_tls_options(dsn: &str) -> (String, TlsOptions) {
    let mut taken = TlsOptions::default();
    if dsn.contains("://") {
        let Some((before, query)) = dsn.split_once('?') else { return (dsn.to_owned(), taken) };
        let kept: Vec<&str> = query
            .split('&')
            .filter(|pair| {
                let decoded = url::form_urlencoded::parse(pair.as_bytes()).next();
                !decoded.is_some_and(|(name, value)| taken.take(&name, &value))
            })
            .collect();
        let separator = if kept.is_empty() { "" } else { "?" };
        return (format!("{before}{separator}{}", kept.join("&")), taken);
    }
    let kept: Vec<&str> = words(dsn)
        .into_iter()
        .filter(|word| !word.split_once('=').is_some_and(|(name, value)| taken.take(name, value.trim_matches('\''))))
        .collect();
    (kept.join(" "), taken)
}

/// Cuts `key=value` words at white space outside of quotes.
fn words(dsn: &str) -> Vec<&str> {
    let (mut words, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (position, character) in dsn.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\'' => quoted = !quoted,
            space if space.is_whitespace() && !quoted => {
                words.extend(dsn.get(start..position).filter(|word| !word.is_empty()));
                start = position + space.len_utf8();
            }
            _ => {}
        }
    }
    words.extend(dsn.get(start..).filter(|word| !word.is_empty()));
    words
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::SslMode;

    use super::*;

    fn parsed(dsn: &str) -> Target {
        PostgresConfig::new(dsn).target().unwrap()
    }

    #[test]
    fn a_connection_string_is_read_in_every_form() {
        for dsn in [
            "postgresql://u:p%40ss@db.example:6543/mem?sslmode=require&application_name=x",
            "postgresql+asyncpg://u:p%40ss@db.example:6543/mem?ssl=require&application_name=x",
            "host=db.example port=6543 user=u password='p@ss' dbname=mem sslmode=require application_name=x",
        ] {
            let target = parsed(dsn);
            assert_eq!(target.driver.get_user(), Some("u"));
            assert_eq!(target.driver.get_password(), Some(&b"p@ss"[..]));
            assert_eq!(target.driver.get_ports(), [6543]);
            assert_eq!(target.driver.get_application_name(), Some("x"));
            assert_eq!((target.driver.get_ssl_mode(), target.hosts().as_str()), (SslMode::Require, "db.example"));
        }
        assert_eq!(parsed("postgres://u@h/d").driver.get_ssl_mode(), SslMode::Prefer);
        assert_eq!(parsed("postgres://u@h/d?sslmode=disable").driver.get_ssl_mode(), SslMode::Disable);
        assert_eq!(parsed("postgres://u@h/d?sslmode=verify-full").driver.get_ssl_mode(), SslMode::Require);
        assert_eq!(parsed("postgres://u@h/d").driver.get_connect_timeout(), Some(&CONNECT));
        assert_eq!(parsed("postgres://u@h,i/d").driver.get_connect_timeout(), Some(&CONNECT_ONE_OF_MANY));
    }

    #[test]
    fn a_wrong_connection_string_is_refused_without_its_secret() {
        for (dsn, told) in [
            ("postgresql://u:hunter2@h:port/d", "connection string"),
            ("nonsense hunter2", "connection string"),
            ("postgresql://u:hunter2@h/d?sslmode=maybe", "sslmode"),
            ("postgresql://u:hunter2@h/d?sslmode=verify-ca", "sslmode"),
            ("user=u password=hunter2", "names a host"),
            ("host=h password=hunter2", "names a user"),
            ("", "connection string"),
        ] {
            let error = PostgresConfig::new(dsn).target().unwrap_err();
            assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidConfig, Some("dsn")), "{dsn}");
            assert!(error.to_string().contains(told), "{dsn}: {error}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn a_quoted_value_keeps_its_white_space() {
        let target = parsed(r"host=h user=u password='a  b\' sslmode=require' sslmode=disable");
        assert_eq!(target.driver.get_password(), Some(&b"a  b' sslmode=require"[..]));
        assert_eq!(target.driver.get_ssl_mode(), SslMode::Disable);
    }
}
