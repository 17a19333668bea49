//! The settings that are one of a few names. Not here: what each name builds (`Builder`).

use std::{fmt, str::FromStr};

use mnemic_core::{Error, ids::quoted, suggest::nearest};

/// Which combination of parts a memory is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Profile {
    /// Everything in process memory; nothing is kept.
    Dev,
    /// One directory on disk, no server, no key.
    #[default]
    Embedded,
    /// Servers, named by the secrets.
    Production,
}

impl Profile {
    /// Every profile, in declaration order.
    pub const ALL: [Self; 3] = [Self::Dev, Self::Embedded, Self::Production];

    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Embedded => "embedded",
            Self::Production => "production",
        }
    }
}

/// What makes embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EmbedderChoice {
    /// Nothing; retrieval is by words alone.
    None,
    /// The model inside the binary.
    Static,
}

impl EmbedderChoice {
    /// Every choice, in declaration order.
    pub const ALL: [Self; 2] = [Self::None, Self::Static];

    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Static => "static",
        }
    }
}

/// The error for a name that is none of a setting's names.
pub(super) fn unknown(field: &str, name: &str, valid: &[&str]) -> Error {
    // A name that begins like a valid one is an abbreviation of it.
    let begins = valid.iter().copied().find(|valid| name.len() >= 2 && valid.starts_with(&name.to_lowercase()));
    let hint = begins.or_else(|| nearest(name, valid)).map(|near| format!(" (did you mean {near}?)"));
    Error::invalid(
        field,
        format!("one of {}", valid.join(", ")),
        format!("{}{}", quoted(name), hint.unwrap_or_default()),
    )
}

impl FromStr for Profile {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|profile| profile.as_str() == name)
            .ok_or_else(|| unknown("profile", name, &Self::ALL.map(Self::as_str)))
    }
}

impl FromStr for EmbedderChoice {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|choice| choice.as_str() == name)
            .ok_or_else(|| unknown("embedder", name, &Self::ALL.map(Self::as_str)))
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for EmbedderChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
