//! Configuration: where each setting comes from, which source wins, and every fault at once.
//! Not here: opening anything; reading the process environment is the caller's part (see [`Inputs`]).
//!
//! Sources, strongest first: flags, environment, `.env` in the working directory (which never overrides the environment),
//! `mnemic.toml` in the working directory or the nearest directory above it, the user's `mnemic/config.toml` under
//! `$XDG_CONFIG_HOME` or `~/.config`, and the default.
//!
//! | setting (file key) | flag | variable | default |
//! |---|---|---|---|
//! | `profile` | `--profile` | `MNEMIC_PROFILE`, else `ENV` | `embedded` |
//! | `dir` | `--dir` | `MNEMIC_DIR` | `$XDG_DATA_HOME/mnemic`, else `~/.local/share/mnemic`, without a home `./.mnemic` |
//! | `namespace` | `--namespace` | `MNEMIC_NAMESPACE` | `default`; with `ENV` in charge `staging` or `production` |
//! | `embedder` | `--embedder` | `MNEMIC_EMBEDDER` | `static`; in the `dev` profile `none`; in production see below |
//! | `log` | `--log` | `MNEMIC_LOG` | `warn` |
//!
//! Every other setting has a file key and the variable of the same name after `MNEMIC_`; `docs/production.md` lists them. What a
//! server needs and nobody set is a fault only in the profile, and for the index, embedder or reranker, that needs it.
//!
//! In the production profile `index` is `pinecone` if `PINECONE_API_KEY` is set, else `qdrant` if `qdrant_url` is, else `pgvector`;
//! `embedder` is `voyage`, `gemini` or `openai`, the first whose key is set, else `static`. Elsewhere the index is `local`, whatever
//! is written for other deployments.
//!
//! `ENV` chooses the profile where nothing stronger than it does: `development` means `dev`, `staging` and `production` mean
//! `production` with the namespace of the same name as default. Nothing set at all means `embedded`. A value of `ENV` that is
//! empty or a path is a shell's start-up file and is ignored; any other value is a fault.
//!
//! Secrets come from the environment or `.env` only, each also as `<NAME>_FILE` with the path of a file that holds it:
//! `POSTGRES_DSN`, `MNEMIC_POSTGRES_ADMIN_DSN`, `PINECONE_API_KEY`, `QDRANT_API_KEY`, `VOYAGE_API_KEY`, `GEMINI_API_KEY`,
//! `OPENAI_API_KEY`. White space around a secret is a fault, except one line end at the end of a secret's file.
//!
//! In `.env`, `$NAME` stands for another variable unless the value is in single quotes.

mod choices;
mod embedding;
mod env_file;
mod faults;
mod models;
mod production;
mod read;
mod resolve;
mod secret;
mod settings;
mod sources;
mod toml_file;
mod values;

use std::{
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};

use mnemic_core::Result;

pub use choices::{
    EmbedderChoice, IndexChoice, OpenAiProfile, PineconeApiVersion, PineconeCloud, Profile, RerankerChoice, SpoolChoice,
};
pub use mnemic_http::Address;
pub use secret::Secret;
pub use settings::{
    EmbeddingSettings, Entry, PineconeSettings, QdrantSettings, RerankingSettings, Settings, SpoolSettings,
};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag,
    /// This environment variable.
    Environment(String),
    /// This `.env` file.
    EnvFile(PathBuf),
    /// This `mnemic.toml`.
    ProjectFile(PathBuf),
    /// This file of the user.
    UserFile(PathBuf),
    /// Nothing was set.
    Default,
    /// Nothing was set, and the default follows from this.
    Implied(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::EnvFile(path) | Self::ProjectFile(path) | Self::UserFile(path) => write!(f, "{}", path.display()),
            Self::Default => f.write_str("default"),
            Self::Implied(why) => write!(f, "default, since {why}"),
        }
    }
}

/// A value and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub origin: Origin,
}

/// What the command line says; absent where it says nothing.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--profile`
    pub profile: Option<String>,
    /// `--dir`
    pub dir: Option<PathBuf>,
    /// `--namespace`
    pub namespace: Option<String>,
    /// `--embedder`
    pub embedder: Option<String>,
    /// `--log`
    pub log: Option<String>,
    /// `--env-file`: read in place of `.env`; it must be there.
    pub env_file: Option<PathBuf>,
}

/// The world as [`load`] sees it.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// What the command line says.
    pub flags: &'a Flags,
    /// One environment variable; the process's own is `&|name| std::env::var_os(name)`.
    pub environment: &'a dyn Fn(&str) -> Option<OsString>,
    /// Where `.env` and `mnemic.toml` are looked for and relative paths start.
    pub working_directory: &'a Path,
}

impl fmt::Debug for Inputs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inputs")
            .field("flags", &self.flags)
            .field("working_directory", &self.working_directory)
            .finish_non_exhaustive()
    }
}

/// Reads every source and resolves every setting.
///
/// # Errors
/// `InvalidConfig` with one line for each fault of any source, none of them showing a secret.
pub fn load(inputs: &Inputs<'_>) -> Result<Settings> {
    resolve::settings(inputs)
}
