//! The settings of servers, and what is missing or contradicts itself in what was chosen. Not here: connecting to anything.

use std::{path::PathBuf, time::Duration};

use sha2::{Digest, Sha256};

use super::{
    EmbedderChoice, EmbeddingSettings, IndexChoice, Origin, PineconeApiVersion, PineconeCloud, PineconeSettings,
    Profile, QdrantSettings, RerankerChoice, RerankingSettings, Secret, Sourced, SpoolChoice, SpoolSettings, embedding,
    read::Reader,
    secret::{DSN_FORM, database_of},
    values,
};

const CONNECTIONS: (u32, std::ops::RangeInclusive<u32>) = (8, 1..=1000);
const DEADLINE: (Duration, std::ops::RangeInclusive<Duration>) =
    (Duration::from_secs(30), Duration::from_millis(100)..=Duration::from_hours(1));
const SPOOL_BYTES: (u64, std::ops::RangeInclusive<u64>) = (1 << 30, 1 << 20..=1 << 40);
const SPOOL_AGE: (Duration, std::ops::RangeInclusive<Duration>) =
    (Duration::from_hours(7 * 24), Duration::from_mins(1)..=Duration::from_hours(365 * 24));
/// Pinecone's names end at 45 characters, and the model's name follows the prefix.
const PINECONE_PREFIX: usize = 16;
const REGION: usize = 40;

/// Every secret.
pub(super) struct Secrets {
    pub(super) postgres_dsn: Option<Sourced<Secret>>,
    pub(super) postgres_admin_dsn: Option<Sourced<Secret>>,
    pub(super) pinecone_api_key: Option<Sourced<Secret>>,
    pub(super) qdrant_api_key: Option<Sourced<Secret>>,
    pub(super) voyage_api_key: Option<Sourced<Secret>>,
    pub(super) gemini_api_key: Option<Sourced<Secret>>,
    pub(super) openai_api_key: Option<Sourced<Secret>>,
}

impl Secrets {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            postgres_dsn: reader.secret("POSTGRES_DSN"),
            postgres_admin_dsn: reader.secret("MNEMIC_POSTGRES_ADMIN_DSN"),
            pinecone_api_key: reader.secret("PINECONE_API_KEY"),
            qdrant_api_key: reader.secret("QDRANT_API_KEY"),
            voyage_api_key: reader.secret("VOYAGE_API_KEY"),
            gemini_api_key: reader.secret("GEMINI_API_KEY"),
            openai_api_key: reader.secret("OPENAI_API_KEY"),
        }
    }
}

/// The settings of servers.
pub(super) struct Parts {
    pub(super) index: Sourced<IndexChoice>,
    pub(super) embedding: EmbeddingSettings,
    pub(super) reranker: Sourced<RerankerChoice>,
    pub(super) reranking: RerankingSettings,
    pub(super) pinecone: PineconeSettings,
    pub(super) qdrant: QdrantSettings,
    pub(super) postgres_connections: Sourced<u32>,
    pub(super) spool: SpoolSettings,
    pub(super) deadline: Sourced<Duration>,
    pub(super) allow_private_http: Sourced<bool>,
}

/// Reads them, and tells what the chosen ones lack. `profile` is absent if it is a fault itself; then nothing is said to lack.
pub(super) fn parts(
    reader: &mut Reader<'_>,
    profile: Option<&Sourced<Profile>>,
    embedder: &Sourced<EmbedderChoice>,
    secrets: &Secrets,
    spools: PathBuf,
) -> Parts {
    let allow_private_http = reader.or("allow_private_http", false, values::switch);
    let plain_anywhere = allow_private_http.value;
    let production = profile.filter(|profile| profile.value == Profile::Production);
    let pinecone = pinecone(reader, plain_anywhere);
    let qdrant = QdrantSettings {
        url: reader.address("qdrant_url", plain_anywhere),
        collection: reader.or("qdrant_collection", "mnemic".to_owned(), values::collection),
    };
    let index = index(reader, production.is_some());
    if let Some(profile) = production {
        require_secret(reader, "POSTGRES_DSN", DSN_FORM, "profile", profile);
        match index.value {
            IndexChoice::Pinecone => require_secret(reader, "PINECONE_API_KEY", "a key", "index", &index),
            IndexChoice::Qdrant => {
                require(reader, "qdrant_url", "an address such as https://host:6333", "index", &index);
            }
            IndexChoice::Local | IndexChoice::Pgvector => {}
        }
    }
    let reranker = reader.named("reranker", Sourced { value: RerankerChoice::None, origin: Origin::Default });
    let reranking = RerankingSettings {
        model: reader.optional("reranker_model", values::model),
        url: reader.address("reranker_url", plain_anywhere),
    };
    let embedding = embedding::read(reader, profile, embedder, plain_anywhere);
    match reranker.value {
        RerankerChoice::None => {}
        RerankerChoice::Voyage => require_secret(reader, "VOYAGE_API_KEY", "a key", "reranker", &reranker),
        RerankerChoice::Tei => {
            require(reader, "reranker_url", "an address such as https://host:8080", "reranker", &reranker);
        }
    }
    Parts {
        index,
        embedding,
        reranker,
        reranking,
        pinecone,
        qdrant,
        postgres_connections: reader.or("postgres_connections", CONNECTIONS.0, |t| values::count(t, &CONNECTIONS.1)),
        spool: spool(reader, secrets.postgres_dsn.as_ref(), spools),
        deadline: reader.or("deadline", DEADLINE.0, |text| values::duration(text, &DEADLINE.1)),
        allow_private_http,
    }
}

/// Outside of production the local index serves, whatever is written for other deployments.
fn index(reader: &mut Reader<'_>, production: bool) -> Sourced<IndexChoice> {
    let local = Sourced { value: IndexChoice::Local, origin: Origin::Default };
    let default = if reader.sources.secret("PINECONE_API_KEY").is_some() {
        Sourced { value: IndexChoice::Pinecone, origin: Origin::Implied("PINECONE_API_KEY is set") }
    } else if reader.sources.find("qdrant_url").is_some() {
        Sourced { value: IndexChoice::Qdrant, origin: Origin::Implied("qdrant_url is set") }
    } else {
        Sourced { value: IndexChoice::Pgvector, origin: Origin::Default }
    };
    let named = reader.named("index", default);
    if production { named } else { local }
}

fn pinecone(reader: &mut Reader<'_>, plain_anywhere: bool) -> PineconeSettings {
    let aws = Sourced { value: PineconeCloud::Aws, origin: Origin::Default };
    let newest = Sourced { value: PineconeApiVersion::V2026_07, origin: Origin::Default };
    PineconeSettings {
        index: reader.or("pinecone_index", "mnemic".to_owned(), |text| values::label(text, PINECONE_PREFIX)),
        cloud: reader.named("pinecone_cloud", aws),
        region: reader.or("pinecone_region", "us-east-1".to_owned(), |text| values::label(text, REGION)),
        api_version: reader.named("pinecone_api_version", newest),
        url: reader.address("pinecone_url", plain_anywhere),
    }
}

/// The default directory is one for each database: what was written for one must never be replayed into another.
fn spool(reader: &mut Reader<'_>, dsn: Option<&Sourced<Secret>>, spools: PathBuf) -> SpoolSettings {
    const NAME_BYTES: usize = 6;
    let directory = match dsn {
        Some(dsn) => {
            let digest = Sha256::digest(database_of(dsn.value.expose()));
            let name = digest.iter().take(NAME_BYTES).fold(String::new(), |name, byte| name + &format!("{byte:02x}"));
            spools.join(name)
        }
        None => spools,
    };
    SpoolSettings {
        choice: reader.named("spool", Sourced { value: SpoolChoice::On, origin: Origin::Default }),
        directory: reader.directory("spool_dir", directory),
        bytes: reader.or("spool_bytes", SPOOL_BYTES.0, |text| values::bytes(text, &SPOOL_BYTES.1)),
        age: reader.or("spool_age", SPOOL_AGE.0, |text| values::duration(text, &SPOOL_AGE.1)),
    }
}

/// A fault if a secret is nowhere; a secret that is there and faulty has told its own.
pub(super) fn require_secret<T: std::fmt::Display>(
    reader: &mut Reader<'_>,
    name: &str,
    form: &str,
    setting: &str,
    because: &Sourced<T>,
) {
    if reader.sources.secret(name).is_none() {
        missing(reader, name, form, setting, because);
    }
}

/// A fault if a setting is nowhere.
pub(super) fn require<T: std::fmt::Display>(
    reader: &mut Reader<'_>,
    name: &str,
    form: &str,
    setting: &str,
    because: &Sourced<T>,
) {
    if reader.sources.find(name).is_none() {
        missing(reader, &super::sources::variable(name), form, setting, because);
    }
}

fn missing<T: std::fmt::Display>(
    reader: &mut Reader<'_>,
    variable: &str,
    form: &str,
    setting: &str,
    because: &Sourced<T>,
) {
    let why = format!("since the {setting} is {} ({})", because.value, because.origin);
    reader.faults.push(variable, format!("expected {form}, {why}, found none"));
}
