//! The parts of the production mode: PostgreSQL, an index, a hosted embedder, each behind its layers. Not here: finding settings
//! (`config`) and what happens when a part is down (`engine`).
//!
//! Nothing is connected here. A server that is away when a memory is made is a server that is away: writes wait in the spool, and
//! health tells.

use std::{sync::Arc, time::Duration};

use mnemic_core::{
    Error, ErrorKind, Result,
    ports::{Embedder, Index, Ledger, Reranker},
};
use mnemic_embedders::{
    GeminiConfig, GeminiEmbedder, NoneEmbedder, OpenAiConfig, OpenAiEmbedder, StaticEmbedder, TeiConfig, TeiEmbedder,
    TeiReranker, TeiRerankerConfig, VoyageConfig, VoyageEmbedder, VoyageReranker, VoyageRerankerConfig,
};
use mnemic_http::SecretString;
use mnemic_indexes::{
    LocalIndex, LocalIndexConfig, PgvectorConfig, PgvectorIndex, PineconeApi, PineconeConfig, PineconeIndex,
    PostgresTextConfig, PostgresTextIndex, QdrantIndex, QdrantIndexConfig,
};
use mnemic_layers::{Backend, CacheConfig, Cached, Guarded, Profile as Layers, RateConfig};
use mnemic_ledgers::PostgresLedger;
use mnemic_postgres::{Pool, PostgresConfig};
use mnemic_spool::SpoolConfig;

use super::Builder;
use crate::config::{
    EmbedderChoice, IndexChoice, OpenAiProfile, PineconeApiVersion, RerankerChoice, Secret, Settings, Sourced,
    SpoolChoice,
};
use crate::engine::ROLE_LIFE;

/// The parts that settings of the production profile ask for.
pub(super) fn parts(settings: &Settings) -> Result<Builder> {
    let deadline = settings.deadline.value;
    let pool = Pool::new(PostgresConfig {
        admin_dsn: settings.postgres_admin_dsn.as_ref().map(secret),
        max_connections: settings.postgres_connections.value as usize,
        ..PostgresConfig::new(needed("POSTGRES_DSN", settings.postgres_dsn.as_ref())?)
    })?;
    let postgres = Backend::new("postgres", within(Layers::ledger(), deadline));
    let ledger: Arc<dyn Ledger> = Arc::new(PostgresLedger::from_pool(pool.clone()));
    let mut builder = Builder::default().ledger(Arc::new(Guarded::new(ledger, postgres.clone()))).in_background();
    builder.role_life = ROLE_LIFE;
    builder = indexes(builder, settings, &pool, &postgres)?;
    if settings.spool.choice.value == SpoolChoice::On {
        builder = builder.spool(spool(settings));
    }
    Ok(builder)
}

/// The same layers within the operator's deadline. Work as large as a namespace keeps its own.
fn within(mut layers: Layers, deadline: Duration) -> Layers {
    for times in [&mut layers.read, &mut layers.write] {
        times.deadline = deadline;
        times.attempt = times.attempt.min(deadline);
    }
    layers
}

fn secret(secret: &Sourced<Secret>) -> SecretString {
    SecretString::from(secret.value.expose().to_owned())
}

/// Settings that the configuration demands; a caller that makes them by hand may have left one out.
fn needed(name: &str, value: Option<&Sourced<Secret>>) -> Result<SecretString> {
    value.map(secret).ok_or_else(|| missing(name))
}

fn missing(name: &str) -> Error {
    Error::new(ErrorKind::InvalidConfig, format!("{name}: expected a value, found none")).with_field(name)
}

fn spool(settings: &Settings) -> SpoolConfig {
    SpoolConfig {
        max_bytes: settings.spool.bytes.value,
        max_age: settings.spool.age.value,
        ..SpoolConfig::new(&settings.spool.directory.value)
    }
}

fn guarded(index: impl Index, backend: Backend) -> Arc<dyn Index> {
    Arc::new(Guarded::new(Arc::new(index) as Arc<dyn Index>, backend))
}

/// The index by embedding, and the index by words where that one offers no such search.
fn indexes(builder: Builder, settings: &Settings, pool: &Pool, postgres: &Backend) -> Result<Builder> {
    let layers = within(Layers::index(), settings.deadline.value);
    let dense = match settings.index.value {
        IndexChoice::Local => return Ok(builder.local_index(LocalIndex::new(LocalIndexConfig::default())?)),
        IndexChoice::Pgvector => {
            guarded(PgvectorIndex::new(pool.clone(), PgvectorConfig::default())?, postgres.also(layers.clone()))
        }
        IndexChoice::Pinecone => {
            guarded(PineconeIndex::new(pinecone(settings)?)?, Backend::new("pinecone", layers.clone()))
        }
        IndexChoice::Qdrant => guarded(QdrantIndex::new(qdrant(settings)?)?, Backend::new("qdrant", layers.clone())),
    };
    let lexical = guarded(PostgresTextIndex::new(pool.clone(), PostgresTextConfig::default())?, postgres.also(layers));
    Ok(builder.index(dense).index(lexical))
}

fn pinecone(settings: &Settings) -> Result<PineconeConfig> {
    let mut config = PineconeConfig::new(needed("PINECONE_API_KEY", settings.pinecone_api_key.as_ref())?)?;
    if let Some(url) = &settings.pinecone.url {
        config.control_plane = url.value.clone();
    }
    config.api = match settings.pinecone.api_version.value {
        PineconeApiVersion::V2026_07 => PineconeApi::V2026_07,
        PineconeApiVersion::V2026_04 => PineconeApi::V2026_04,
    };
    config.prefix.clone_from(&settings.pinecone.index.value);
    config.cloud = settings.pinecone.cloud.value.to_string();
    config.region.clone_from(&settings.pinecone.region.value);
    config.progress = Some(Arc::new(|progress: &str| tracing::info!(progress, "Pinecone")));
    Ok(config)
}

fn qdrant(settings: &Settings) -> Result<QdrantIndexConfig> {
    let url = settings.qdrant.url.as_ref().ok_or_else(|| missing("qdrant_url"))?;
    let mut config = QdrantIndexConfig::new(url.value.clone());
    config.api_key = settings.qdrant_api_key.as_ref().map(secret);
    config.prefix.clone_from(&settings.qdrant.collection.value);
    Ok(config)
}

/// What makes embeddings, with what is remembered of them.
pub(super) enum Making {
    /// In this process.
    Here(Arc<dyn Embedder>),
    /// On a server.
    There(Arc<Cached<dyn Embedder>>),
}

/// What makes embeddings, by settings of any profile.
pub(super) fn embedder(settings: &Settings) -> Result<Making> {
    let model = || settings.embedding.model.as_ref().map(|model| model.value.clone());
    let dimension = settings.embedding.dimension.as_ref().map(|dimension| dimension.value);
    let url = || settings.embedding.url.as_ref().map(|url| url.value.clone());
    let (name, rate, embedder): (&'static str, Option<RateConfig>, Arc<dyn Embedder>) = match settings.embedder.value {
        EmbedderChoice::None => return Ok(Making::Here(Arc::new(NoneEmbedder))),
        EmbedderChoice::Static => return Ok(Making::Here(Arc::new(StaticEmbedder::new()?))),
        EmbedderChoice::Voyage => {
            let mut config = VoyageConfig::new(needed("VOYAGE_API_KEY", settings.voyage_api_key.as_ref())?);
            config.address = url();
            config.model = model().unwrap_or(config.model);
            config.dimension = dimension.unwrap_or(config.dimension);
            // The first tier of an account with a payment method.
            (
                "voyage",
                Some(RateConfig { requests: Some(2_000), tokens: Some(3_000_000) }),
                Arc::new(VoyageEmbedder::new(config)?),
            )
        }
        EmbedderChoice::Gemini => {
            let mut config = GeminiConfig::new(needed("GEMINI_API_KEY", settings.gemini_api_key.as_ref())?);
            config.address = url();
            config.model = model().unwrap_or(config.model);
            config.dimension = dimension.unwrap_or(config.dimension);
            ("gemini", None, Arc::new(GeminiEmbedder::new(config)?))
        }
        EmbedderChoice::OpenAi => ("openai", None, Arc::new(OpenAiEmbedder::new(openai(settings)?)?)),
        EmbedderChoice::Tei => {
            let mut config = TeiConfig::new(url().ok_or_else(|| missing("embedder_url"))?);
            config.model = model();
            config.dimension = dimension;
            ("tei", None, Arc::new(TeiEmbedder::new(config)?))
        }
    };
    let layers = Layers { rate, ..within(Layers::embedder(), settings.deadline.value) };
    // Retries, limits and breaker stand behind the cache: what is remembered costs nothing of them.
    let guarded: Arc<dyn Embedder> = Arc::new(Guarded::new(embedder, Backend::new(name, layers)));
    Ok(Making::There(Arc::new(Cached::new(guarded, CacheConfig::default()))))
}

fn openai(settings: &Settings) -> Result<OpenAiConfig> {
    let key = settings.openai_api_key.as_ref().map(secret);
    let profile = match settings.embedding.openai_profile.value {
        OpenAiProfile::OpenAi => mnemic_embedders::OpenAiProfile::open_ai(),
        OpenAiProfile::Ollama => mnemic_embedders::OpenAiProfile::ollama(),
        OpenAiProfile::Vllm => mnemic_embedders::OpenAiProfile::vllm(),
        OpenAiProfile::Generic => mnemic_embedders::OpenAiProfile::generic(),
    };
    let embedding = &settings.embedding;
    let address = embedding.url.as_ref().map(|url| url.value.clone());
    let model = embedding.model.as_ref().map(|model| model.value.clone()).ok_or_else(|| missing("embedding_model"))?;
    let dimension = embedding.dimension.as_ref().map(|dimension| dimension.value);
    Ok(OpenAiConfig { key, address, model, dimension, profile })
}

/// What gives a second opinion, by settings of any profile.
pub(super) fn reranker(settings: &Settings) -> Result<Option<Arc<dyn Reranker>>> {
    let model = settings.reranking.model.as_ref().map(|model| model.value.clone());
    let url = settings.reranking.url.as_ref().map(|url| url.value.clone());
    let (name, reranker): (&'static str, Arc<dyn Reranker>) = match settings.reranker.value {
        RerankerChoice::None => return Ok(None),
        RerankerChoice::Voyage => {
            let mut config = VoyageRerankerConfig::new(needed("VOYAGE_API_KEY", settings.voyage_api_key.as_ref())?);
            config.address = url;
            config.model = model.unwrap_or(config.model);
            ("voyage-rerank", Arc::new(VoyageReranker::new(config)?))
        }
        RerankerChoice::Tei => {
            let config = TeiRerankerConfig::new(url.ok_or_else(|| missing("reranker_url"))?);
            ("tei-rerank", Arc::new(TeiReranker::new(config)?))
        }
    };
    let layers = within(Layers::reranker(), settings.deadline.value.min(Layers::reranker().read.deadline));
    Ok(Some(Arc::new(Guarded::new(reranker, Backend::new(name, layers)))))
}
