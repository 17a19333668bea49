//! Every setting with its value and origin, and the form in which it may be shown. Not here: where values come from (`resolve`).

use std::{fmt, path::PathBuf, time::Duration};

use mnemic_core::Namespace;
use mnemic_http::Address;

use super::{
    EmbedderChoice, IndexChoice, OpenAiProfile, Origin, PineconeApiVersion, PineconeCloud, Profile, RerankerChoice,
    Secret, Sourced, SpoolChoice,
    values::{shown_bytes, shown_duration},
};

/// Every setting with its origin.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which combination of parts.
    pub profile: Sourced<Profile>,
    /// Where the embedded profile keeps its data; absolute if the working directory is.
    pub directory: Sourced<PathBuf>,
    /// The namespace of calls that name none.
    pub namespace: Sourced<Namespace>,
    /// Where the production profile searches by embedding; `local` in every other profile.
    pub index: Sourced<IndexChoice>,
    /// What makes embeddings.
    pub embedder: Sourced<EmbedderChoice>,
    /// Which embeddings it makes.
    pub embedding: EmbeddingSettings,
    /// What gives a second opinion.
    pub reranker: Sourced<RerankerChoice>,
    /// How it is asked.
    pub reranking: RerankingSettings,
    /// How Pinecone is used.
    pub pinecone: PineconeSettings,
    /// How Qdrant is used.
    pub qdrant: QdrantSettings,
    /// Connections to `PostgreSQL` that this process opens at most, from 1 to 1,000.
    pub postgres_connections: Sourced<u32>,
    /// What happens to writes while the ledger cannot be reached.
    pub spool: SpoolSettings,
    /// How long one call may take, waiting and retrying included.
    pub deadline: Sourced<Duration>,
    /// Whether `http://` to other machines is taken, for servers inside a private network.
    pub allow_private_http: Sourced<bool>,
    /// What to log, in the form of `tracing`'s filter.
    pub log: Sourced<String>,
    /// The `PostgreSQL` server, always in the form `postgresql://`. Present in the production profile.
    pub postgres_dsn: Option<Sourced<Secret>>,
    /// The same database as a role that may change its schema, always in the form `postgresql://`.
    pub postgres_admin_dsn: Option<Sourced<Secret>>,
    /// The key for Pinecone.
    pub pinecone_api_key: Option<Sourced<Secret>>,
    /// The key for Qdrant; a server inside a private network may need none.
    pub qdrant_api_key: Option<Sourced<Secret>>,
    /// The key for Voyage.
    pub voyage_api_key: Option<Sourced<Secret>>,
    /// The key for Gemini.
    pub gemini_api_key: Option<Sourced<Secret>>,
    /// The key for `OpenAI` and servers that speak like it.
    pub openai_api_key: Option<Sourced<Secret>>,
}

/// Which embeddings a hosted embedder makes. Model and dimension are present for every hosted embedder and absent for the others.
#[derive(Clone, Debug)]
pub struct EmbeddingSettings {
    /// The model, as its server knows it.
    pub model: Option<Sourced<String>>,
    /// Components of a vector, from 1 to 8,192.
    pub dimension: Option<Sourced<u32>>,
    /// Where the server is; the vendor's own address where absent. Present for every server that is no vendor's.
    pub url: Option<Sourced<Address>>,
    /// Whose dialect a server speaks that speaks like `OpenAI`.
    pub openai_profile: Sourced<OpenAiProfile>,
}

/// How a reranker is asked.
#[derive(Clone, Debug)]
pub struct RerankingSettings {
    /// The model; the vendor's default where absent.
    pub model: Option<Sourced<String>>,
    /// Where the server is; the vendor's own address where absent.
    pub url: Option<Sourced<Address>>,
}

/// How Pinecone is used.
#[derive(Clone, Debug)]
pub struct PineconeSettings {
    /// What the names of indexes begin with, 1 to 16 characters; the embedding model follows.
    pub index: Sourced<String>,
    /// Where a new index is made.
    pub cloud: Sourced<PineconeCloud>,
    /// Where in that cloud.
    pub region: Sourced<String>,
    /// Which version of the interface is spoken.
    pub api_version: Sourced<PineconeApiVersion>,
    /// Where indexes are made; Pinecone's own address where absent.
    pub url: Option<Sourced<Address>>,
}

/// How Qdrant is used.
#[derive(Clone, Debug)]
pub struct QdrantSettings {
    /// Where the server is. Present where the index is Qdrant.
    pub url: Option<Sourced<Address>>,
    /// What the names of collections begin with, 1 to 64 characters; the embedding model follows.
    pub collection: Sourced<String>,
}

/// What happens to writes while the ledger cannot be reached.
#[derive(Clone, Debug)]
pub struct SpoolSettings {
    /// Whether they are kept on this machine's disk or refused.
    pub choice: Sourced<SpoolChoice>,
    /// Where they are kept.
    pub directory: Sourced<PathBuf>,
    /// How many bytes at most, from 1 MiB to 1 TiB.
    pub bytes: Sourced<u64>,
    /// For how long at most, from 1 minute to 365 days.
    pub age: Sourced<Duration>,
}

/// One setting as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The setting's name, as in `mnemic.toml`.
    pub key: &'static str,
    /// The value; `(hidden)` for a secret, `(not set)` for none.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
}

fn shown<T>(key: &'static str, sourced: &Sourced<T>, text: impl FnOnce(&T) -> String) -> Entry {
    Entry { key, value: text(&sourced.value), origin: sourced.origin.clone() }
}

fn plain<T: fmt::Display>(key: &'static str, sourced: &Sourced<T>) -> Entry {
    shown(key, sourced, T::to_string)
}

fn optional<T>(key: &'static str, sourced: Option<&Sourced<T>>, text: impl FnOnce(&T) -> String) -> Entry {
    sourced.map_or_else(
        || Entry { key, value: "(not set)".to_owned(), origin: Origin::Default },
        |sourced| shown(key, sourced, text),
    )
}

/// An address without what may be a key in its path.
fn address(address: &Address) -> String {
    const LONGEST: usize = 15;
    let text = address.to_string();
    let path = text.find("://").and_then(|at| text.get(at + 3..)?.find('/').map(|slash| at + 3 + slash));
    match path.and_then(|at| text.split_at_checked(at)) {
        Some((server, path)) if path.split('/').any(|segment| segment.len() > LONGEST) => format!("{server}/…"),
        _ => text,
    }
}

impl Settings {
    /// Every setting as it may be shown, secrets hidden, in a fixed order.
    pub fn entries(&self) -> Vec<Entry> {
        let directory = |path: &PathBuf| path.display().to_string();
        let mut entries = vec![
            plain("profile", &self.profile),
            shown("dir", &self.directory, directory),
            plain("namespace", &self.namespace),
            plain("index", &self.index),
            plain("embedder", &self.embedder),
            optional("embedding_model", self.embedding.model.as_ref(), String::clone),
            optional("embedding_dimension", self.embedding.dimension.as_ref(), u32::to_string),
            optional("embedder_url", self.embedding.url.as_ref(), address),
            plain("openai_profile", &self.embedding.openai_profile),
            plain("reranker", &self.reranker),
            optional("reranker_model", self.reranking.model.as_ref(), String::clone),
            optional("reranker_url", self.reranking.url.as_ref(), address),
            plain("pinecone_index", &self.pinecone.index),
            plain("pinecone_cloud", &self.pinecone.cloud),
            plain("pinecone_region", &self.pinecone.region),
            plain("pinecone_api_version", &self.pinecone.api_version),
            optional("pinecone_url", self.pinecone.url.as_ref(), address),
            optional("qdrant_url", self.qdrant.url.as_ref(), address),
            plain("qdrant_collection", &self.qdrant.collection),
            plain("postgres_connections", &self.postgres_connections),
            plain("spool", &self.spool.choice),
            shown("spool_dir", &self.spool.directory, directory),
            shown("spool_bytes", &self.spool.bytes, |bytes| shown_bytes(*bytes)),
            shown("spool_age", &self.spool.age, |age| shown_duration(*age)),
            shown("deadline", &self.deadline, |deadline| shown_duration(*deadline)),
            plain("allow_private_http", &self.allow_private_http),
            plain("log", &self.log),
        ];
        entries.extend(self.secrets().map(|(key, secret)| optional(key, secret, |_secret| "(hidden)".to_owned())));
        entries
    }

    fn secrets(&self) -> [(&'static str, Option<&Sourced<Secret>>); 7] {
        [
            ("postgres_dsn", self.postgres_dsn.as_ref()),
            ("postgres_admin_dsn", self.postgres_admin_dsn.as_ref()),
            ("pinecone_api_key", self.pinecone_api_key.as_ref()),
            ("qdrant_api_key", self.qdrant_api_key.as_ref()),
            ("voyage_api_key", self.voyage_api_key.as_ref()),
            ("gemini_api_key", self.gemini_api_key.as_ref()),
            ("openai_api_key", self.openai_api_key.as_ref()),
        ]
    }
}
