//! Identifiers and labels that cannot hold a wrong value: namespace, record, event, thread and user ids, tags.
//! Not here: how ids are minted (the manager does that).

use std::{borrow::Borrow, fmt, str::FromStr};

use crate::{Error, Result, limits};

/// Shows a caller's value in a message: quoted, escaped and cut, so that it can neither flood nor forge a log line.
pub fn quoted(value: &str) -> String {
    const SHOWN: usize = 48;
    let mut shown: String = value.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if value.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    format!("\"{shown}\"")
}

/// Checks a piece of text for what no backend can hold (NUL) and for its size.
///
/// # Errors
/// `InvalidInput`, naming `field`.
pub fn check_text(field: &str, text: &str, max_bytes: usize) -> Result<()> {
    if text.len() > max_bytes {
        return Err(Error::invalid(field, format!("at most {max_bytes} bytes"), format!("{} bytes", text.len())));
    }
    if let Some(position) = text.bytes().position(|byte| byte == 0) {
        return Err(Error::invalid(field, "text without NUL", format!("NUL at byte {position}")));
    }
    Ok(())
}

/// Checks a short label (tag, source, action, slot name, path segment): not empty, bounded, no control characters.
///
/// # Errors
/// `InvalidInput`, naming `field`.
pub fn check_label(field: &str, label: &str, max_bytes: usize) -> Result<()> {
    if label.is_empty() {
        return Err(Error::invalid(field, format!("1 to {max_bytes} bytes"), "an empty string"));
    }
    if label.len() > max_bytes {
        return Err(Error::invalid(field, format!("1 to {max_bytes} bytes"), format!("{} bytes", label.len())));
    }
    if label.chars().any(char::is_control) {
        return Err(Error::invalid(field, "text without control characters", quoted(label)));
    }
    Ok(())
}

macro_rules! string_id {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Box<str>);

        impl $name {
            /// Accepts 1 to 255 bytes of text without control characters.
            ///
            /// # Errors
            /// `InvalidInput`, naming the field.
            pub fn new(id: impl AsRef<str>) -> Result<Self> {
                let id = id.as_ref();
                check_label($field, id, limits::ID_BYTES)?;
                Ok(Self(id.into()))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(id: &str) -> Result<Self> {
                Self::new(id)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

string_id!(
    /// The identity of a memory record inside its namespace.
    RecordId,
    "id"
);
string_id!(
    /// The identity of an event inside its namespace.
    EventId,
    "event_id"
);
string_id!(
    /// One conversation or run inside its namespace.
    ThreadId,
    "thread_id"
);
string_id!(
    /// The person (subject) that a record or an event is about. A field, not a boundary: the boundary is [`Namespace`].
    UserId,
    "user_id"
);

impl ThreadId {
    /// What every thread id that Mnemic itself writes to begins with.
    pub const RESERVED_PREFIX: &'static str = "mnemic.";

    /// The thread in which Mnemic records its own changes to memory.
    pub fn journal() -> Self {
        Self("mnemic.journal".into())
    }

    /// The thread that holds what one consolidation changed.
    pub fn consolidation(id: &str) -> Self {
        Self(format!("mnemic.consolidation.{id}").into())
    }

    /// Whether callers may not append to this thread.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with(Self::RESERVED_PREFIX)
    }
}

/// The hard isolation boundary: `[a-z0-9][a-z0-9_-]{0,62}`, safe as a path segment and as an SQL value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace(Box<str>);

impl Namespace {
    /// Accepts 1 to 63 characters of `a-z`, `0-9`, `_`, `-`, the first a letter or digit.
    ///
    /// # Errors
    /// `InvalidInput`, naming `namespace`.
    pub fn new(name: impl AsRef<str>) -> Result<Self> {
        let name = name.as_ref();
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let valid = (1..=63).contains(&name.len())
            && name.bytes().enumerate().all(|(i, b)| legal(b) || (i > 0 && (b == b'_' || b == b'-')));
        if valid {
            Ok(Self(name.into()))
        } else {
            Err(Error::invalid(
                "namespace",
                "1 to 63 characters of a-z, 0-9, _ and -, starting with a letter or digit",
                quoted(name),
            ))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Namespace {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        Self::new(name)
    }
}

impl AsRef<str> for Namespace {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_never_a_path() {
        let long = "a".repeat(64);
        for bad in ["", "..", "a/b", "%2e%2e", "CON", &long, "аbc", "Ab", "-a", "_a", "a b", "a\0"] {
            let error = Namespace::new(bad).unwrap_err();
            assert_eq!(error.field(), Some("namespace"), "{bad:?}");
            assert!(error.to_string().contains("expected 1 to 63"), "{error}");
        }
        for good in ["a", "0", "client-a", "a_b", &"a".repeat(63)] {
            assert_eq!(Namespace::new(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn an_id_holds_any_printable_text_up_to_its_limit() {
        assert!(RecordId::new("../../x").is_ok());
        assert!(RecordId::new("x".repeat(255)).is_ok());
        for bad in [String::new(), "x".repeat(256), "a\nb".into(), "a\0".into()] {
            assert_eq!(RecordId::new(&bad).unwrap_err().field(), Some("id"));
        }
    }

    #[test]
    fn a_hostile_value_is_cut_and_escaped_in_messages() {
        let shown = quoted(&"\u{1b}[31m\n".repeat(100));
        assert!(shown.len() < 400 && !shown.contains('\n') && !shown.contains('\u{1b}'), "{shown}");
    }
}
