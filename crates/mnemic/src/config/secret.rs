//! Secrets: values that no message, log or dump shows, and their checks. Not here: where they come from (`resolve`).

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// The form of `POSTGRES_DSN` that messages show.
pub(super) const DSN_FORM: &str = "postgresql://user:password@host:5432/database";

/// A value that is wiped from memory when dropped and that nothing shows by accident.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(SecretString::from(value.into()))
    }

    /// The value, to be handed to what needs it and to nothing else.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What is wrong with a secret's characters, without showing any: `expected …, found …`.
pub(super) fn check_characters(value: &str) -> Result<(), &'static str> {
    if value.is_empty() {
        return Err("expected a value, found an empty one (unset the variable instead)");
    }
    if value.starts_with(char::is_whitespace) {
        return Err("expected a value without white space around it, found white space before it");
    }
    if value.ends_with(char::is_whitespace) {
        return Err("expected a value without white space around it, found white space or a line end after it");
    }
    if value.chars().any(char::is_control) {
        return Err("expected a value without control characters, found one inside it");
    }
    Ok(())
}

/// A `PostgreSQL` address in the form `postgresql://`, or what is wrong with it, without showing any of it but its scheme.
pub(super) fn postgres_dsn(value: &str) -> Result<String, String> {
    let refused = |found: &str| format!("expected {DSN_FORM}, found {found}");
    let Some((scheme, rest)) = value.split_once("://") else { return Err(refused("text without ://")) };
    if !matches!(scheme, "postgresql" | "postgres" | "postgresql+asyncpg") {
        // What stands before :// may be anything, also part of a password; only what looks like a scheme is shown.
        let plain = scheme.len() <= 24 && scheme.chars().all(|c| c.is_ascii_lowercase() || c == '+');
        return Err(refused(&if plain { format!("the scheme \"{scheme}\"") } else { "another scheme".to_owned() }));
    }
    if rest.chars().any(char::is_whitespace) {
        return Err(refused("white space (write it as %20)"));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    let option = |name: &str| query.split('&').filter_map(|part| part.split_once('=')).any(|(key, _)| key == name);
    if hosts.is_empty() && !option("host") && !option("hostaddr") {
        return Err(refused("no host"));
    }
    for host in hosts.split(',') {
        // The address of an IPv6 host has colons of its own, inside brackets.
        let after = host.rsplit_once(']').map_or(host, |(_, after)| after);
        if let Some((_, port)) = after.rsplit_once(':')
            && !port.parse::<u16>().is_ok_and(|port| port > 0)
        {
            // Not shown: with an unescaped / in the password, this is a part of it.
            return Err(refused(
                "a port that is not a number from 1 to 65535 (in a password, write / as %2F, ? as %3F, # as %23)",
            ));
        }
    }
    if user.split(':').next().is_none_or(str::is_empty) && !option("user") {
        return Err(refused("no user"));
    }
    Ok(format!("postgresql://{rest}"))
}

/// What tells one database from another in an address of the form `postgresql://`: no password, no options.
pub(super) fn database_of(dsn: &str) -> String {
    let rest = dsn.split_once("://").map_or(dsn, |(_, rest)| rest);
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (user, place) = place.rsplit_once('@').unwrap_or(("", place));
    let (hosts, database) = place.split_once('/').unwrap_or((place, ""));
    // A database that is not named is the one of the user's name.
    let user = user.split_once(':').map_or(user, |(user, _)| user);
    let database = if database.is_empty() { user } else { database };
    let named = |name: &str| query.split('&').filter_map(|part| part.split_once('=')).find(|(key, _)| *key == name);
    let others = ["host", "hostaddr", "port", "dbname"].map(|name| named(name).map_or("", |(_, value)| value));
    format!("{hosts}/{database}?{}", others.join("&"))
}
