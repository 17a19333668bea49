//! From sources to settings: which value wins and what it must be. Not here: reading the sources (`sources`), and what the
//! production profile needs (`production`).

use mnemic_core::{Namespace, Result};

use super::{
    EmbedderChoice, Inputs, Origin, Profile, Settings, Sourced,
    choices::unknown,
    faults::Faults,
    production::{self, Secrets},
    read::{Reader, said},
    sources::{Raw, Sources, is_shell_file},
};

pub(super) fn settings(inputs: &Inputs<'_>) -> Result<Settings> {
    let mut faults = Faults::default();
    let sources = Sources::read(inputs, &mut faults);
    let settings = all(&mut Reader { sources: &sources, faults: &mut faults });
    faults.finish(settings)
}

fn all(reader: &mut Reader<'_>) -> Option<Settings> {
    let chosen = profile(reader);
    let profile = chosen.as_ref().map(|chosen| chosen.profile.clone());
    let kind = profile.as_ref().map(|profile| profile.value);
    let namespace = namespace(reader, chosen.map_or("default", |chosen| chosen.namespace));
    let embedder = reader.named("embedder", default_embedder(reader.sources, kind));
    let log = reader.or("log", "warn".to_owned(), |text| Ok(text.to_owned()));
    let data = match &reader.sources.data_home {
        Some(data) => data.clone(),
        None => reader.sources.working_directory.clone(),
    };
    let hidden = reader.sources.data_home.is_none();
    let below = |name: &str| data.join(if hidden { format!(".{name}") } else { name.to_owned() });
    let directory = reader.directory("dir", below("mnemic"));
    let secrets = Secrets::read(reader);
    let parts = production::parts(reader, profile.as_ref(), &embedder, &secrets, below("mnemic-spool"));
    Some(Settings {
        profile: profile?,
        directory,
        namespace: namespace?,
        index: parts.index,
        embedder,
        embedding: parts.embedding,
        reranker: parts.reranker,
        reranking: parts.reranking,
        pinecone: parts.pinecone,
        qdrant: parts.qdrant,
        postgres_connections: parts.postgres_connections,
        spool: parts.spool,
        deadline: parts.deadline,
        allow_private_http: parts.allow_private_http,
        log,
        postgres_dsn: secrets.postgres_dsn,
        postgres_admin_dsn: secrets.postgres_admin_dsn,
        pinecone_api_key: secrets.pinecone_api_key,
        qdrant_api_key: secrets.qdrant_api_key,
        voyage_api_key: secrets.voyage_api_key,
        gemini_api_key: secrets.gemini_api_key,
        openai_api_key: secrets.openai_api_key,
    })
}

/// A profile, and the namespace that goes with it where none is named.
struct Chosen {
    profile: Sourced<Profile>,
    namespace: &'static str,
}

/// `MNEMIC_PROFILE` in the environment or `.env` is stronger than `ENV` in either, and `ENV` than the files. Many programs set `ENV` for
/// themselves, so a directory that the command line names is stronger too, and one that is named anywhere than `development`.
fn profile(reader: &mut Reader<'_>) -> Option<Chosen> {
    let sources = reader.sources;
    let stronger = [&sources.flags, &sources.environment, &sources.env_file];
    if let Some(raw) = stronger.into_iter().find_map(|layer| layer.get("profile")) {
        return named_profile(reader, raw);
    }
    let deployment = [&sources.environment, &sources.env_file]
        .into_iter()
        .find_map(|layer| layer.get("ENV").filter(|raw| !is_shell_file(&raw.value)));
    if let Some(raw) = deployment.filter(|_| !sources.flags.contains_key("dir")) {
        return by_deployment(reader, raw);
    }
    if let Some(raw) = sources.find("profile") {
        return named_profile(reader, raw);
    }
    Some(Chosen { profile: Sourced { value: Profile::default(), origin: Origin::Default }, namespace: "default" })
}

fn named_profile<'a>(reader: &mut Reader<'a>, raw: &'a Raw) -> Option<Chosen> {
    let value = reader.parsed(raw)?;
    Some(Chosen { profile: Sourced { value, origin: raw.origin.clone() }, namespace: "default" })
}

fn by_deployment<'a>(reader: &mut Reader<'a>, raw: &'a Raw) -> Option<Chosen> {
    let sources = reader.sources;
    let (value, namespace) = match reader.text(raw)? {
        "development" if sources.find("dir").is_some() => (Profile::Embedded, "default"),
        "development" => (Profile::Dev, "default"),
        "staging" => (Profile::Production, "staging"),
        "production" => (Profile::Production, "production"),
        other => {
            let error = unknown("ENV", other, &["development", "staging", "production"]);
            reader.faults.push(&raw.place, format!("{}; MNEMIC_PROFILE decides without it", said(&error)));
            return None;
        }
    };
    Some(Chosen { profile: Sourced { value, origin: raw.origin.clone() }, namespace })
}

fn namespace(reader: &mut Reader<'_>, default: &str) -> Option<Sourced<Namespace>> {
    match reader.sources.find("namespace") {
        Some(raw) => reader.parsed(raw).map(|value| Sourced { value, origin: raw.origin.clone() }),
        None => Namespace::new(default).ok().map(|value| Sourced { value, origin: Origin::Default }),
    }
}

/// What makes embeddings where nobody chose: in production the first vendor whose key is there.
fn default_embedder(sources: &Sources, profile: Option<Profile>) -> Sourced<EmbedderChoice> {
    const VENDORS: [(EmbedderChoice, &str, &str); 3] = [
        (EmbedderChoice::Voyage, "VOYAGE_API_KEY", "VOYAGE_API_KEY is set"),
        (EmbedderChoice::Gemini, "GEMINI_API_KEY", "GEMINI_API_KEY is set"),
        (EmbedderChoice::OpenAi, "OPENAI_API_KEY", "OPENAI_API_KEY is set"),
    ];
    let (value, origin) = match profile {
        Some(Profile::Production) => match VENDORS.iter().find(|(_, key, _)| sources.secret(key).is_some()) {
            Some((vendor, _, why)) => (*vendor, Origin::Implied(why)),
            None => (EmbedderChoice::Static, Origin::Default),
        },
        Some(Profile::Dev) => (EmbedderChoice::None, Origin::Default),
        Some(Profile::Embedded) | None => (EmbedderChoice::Static, Origin::Default),
    };
    Sourced { value, origin }
}
