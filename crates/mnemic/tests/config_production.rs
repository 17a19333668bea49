//! Configuration of the production profile: what is chosen where nobody chose, and what is missing, wrong or contradicts itself.
//! Not here: sources and secrets in general (`config`, `config_faults`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

#[path = "config/world.rs"]
mod world;

use std::{fs, time::Duration};

use mnemic::config::{
    EmbedderChoice, IndexChoice, OpenAiProfile, Origin, PineconeApiVersion, PineconeCloud, Profile, RerankerChoice,
    SpoolChoice,
};
use world::{KEY, World};

const DSN: &str = "postgresql://app@db.internal/memory";

/// A world in production whose database is set.
fn production() -> World {
    let mut world = World::new();
    world.set("ENV", "production").set("POSTGRES_DSN", DSN);
    world
}

#[test]
fn the_env_file_of_the_migration_guide_works_as_it_stands() {
    let mut world = World::new();
    let lines = "POSTGRES_DSN=postgresql+asyncpg://user:pass@host:5432/db\nPINECONE_API_KEY=pk\nVOYAGE_API_KEY=vk\n";
    world.file("project/sub/.env", lines);
    for (env, namespace) in [("staging", "staging"), ("production", "production")] {
        world.set("ENV", env);
        let settings = world.settings();
        assert_eq!((settings.profile.value, settings.namespace.value.as_str()), (Profile::Production, namespace));
        assert_eq!(settings.index.value, IndexChoice::Pinecone);
        assert_eq!(settings.index.origin.to_string(), "default, since PINECONE_API_KEY is set");
        assert_eq!(settings.embedder.value, EmbedderChoice::Voyage);
        let embedding = settings.embedding;
        assert_eq!(
            (embedding.model.unwrap().value.as_str(), embedding.dimension.unwrap().value),
            ("voyage-3-large", 2048)
        );
        assert_eq!(settings.postgres_dsn.unwrap().value.expose(), "postgresql://user:pass@host:5432/db");
    }
    world.set("ENV", "development");
    let settings = world.settings();
    assert_eq!((settings.profile.value, settings.index.value), (Profile::Dev, IndexChoice::Local));
    assert_eq!(settings.embedder.value, EmbedderChoice::None);
}

#[test]
fn keys_decide_which_index_and_embedder_serve_where_nobody_chose() {
    let mut world = production();
    let seen = |world: &World| {
        let settings = world.settings();
        (settings.index.value, settings.embedder.value)
    };
    assert_eq!(seen(&world), (IndexChoice::Pgvector, EmbedderChoice::Static));
    world.set("OPENAI_API_KEY", KEY).set("MNEMIC_QDRANT_URL", "https://qdrant.internal:6333");
    assert_eq!(seen(&world), (IndexChoice::Qdrant, EmbedderChoice::OpenAi));
    world.set("GEMINI_API_KEY", KEY).set("PINECONE_API_KEY", KEY);
    assert_eq!(seen(&world), (IndexChoice::Pinecone, EmbedderChoice::Gemini));
    world.set("VOYAGE_API_KEY", KEY);
    assert_eq!(seen(&world), (IndexChoice::Pinecone, EmbedderChoice::Voyage));
    world.set("MNEMIC_INDEX", "local").set("MNEMIC_EMBEDDER", "none");
    assert_eq!(seen(&world), (IndexChoice::Local, EmbedderChoice::None));
    // Keys choose nothing outside of production.
    world.environment.remove("ENV");
    world.environment.remove("MNEMIC_EMBEDDER");
    assert_eq!(seen(&world), (IndexChoice::Local, EmbedderChoice::Static));
}

#[test]
fn every_setting_of_servers_is_taken_from_a_file_and_from_a_variable() {
    let text = "index = 'pinecone'\nembedder = 'openai'\nembedding_model = 'm'\nembedding_dimension = 768\n\
                embedder_url = 'http://10.0.0.7:8000/v1'\nopenai_profile = 'vllm'\nreranker = 'tei'\n\
                reranker_url = 'http://localhost:8080'\nreranker_model = 'r'\npinecone_index = 'team-a'\n\
                pinecone_cloud = 'gcp'\npinecone_region = 'europe-west4'\npinecone_api_version = '2026-04'\n\
                pinecone_url = 'http://127.0.0.1:5080'\nqdrant_url = 'https://q:6333'\nqdrant_collection = 'Memory_1'\n\
                postgres_connections = 32\nspool = 'off'\nspool_dir = 'spool'\nspool_bytes = '64MiB'\nspool_age = '36h'\n\
                deadline = '1500ms'\nallow_private_http = true\n";
    let mut world = production();
    world.set("PINECONE_API_KEY", KEY);
    let check = |world: &World| {
        let s = world.settings();
        assert_eq!((s.index.value, s.embedder.value), (IndexChoice::Pinecone, EmbedderChoice::OpenAi));
        assert_eq!((s.embedding.model.unwrap().value.as_str(), s.embedding.dimension.unwrap().value), ("m", 768));
        assert_eq!(s.embedding.url.unwrap().value.to_string(), "http://10.0.0.7:8000/v1");
        assert_eq!((s.embedding.openai_profile.value, s.reranker.value), (OpenAiProfile::Vllm, RerankerChoice::Tei));
        assert_eq!(s.reranking.url.unwrap().value.to_string(), "http://localhost:8080");
        assert_eq!((s.reranking.model.unwrap().value.as_str(), s.pinecone.index.value.as_str()), ("r", "team-a"));
        assert_eq!((s.pinecone.cloud.value, s.pinecone.region.value.as_str()), (PineconeCloud::Gcp, "europe-west4"));
        assert_eq!(s.pinecone.api_version.value, PineconeApiVersion::V2026_04);
        assert_eq!(s.pinecone.url.unwrap().value.to_string(), "http://127.0.0.1:5080");
        assert_eq!(s.qdrant.url.unwrap().value.to_string(), "https://q:6333");
        assert_eq!((s.qdrant.collection.value.as_str(), s.postgres_connections.value), ("Memory_1", 32));
        assert_eq!((s.spool.choice.value, s.spool.bytes.value), (SpoolChoice::Off, 64 << 20));
        assert_eq!(s.spool.age.value, Duration::from_hours(36));
        assert_eq!((s.deadline.value, s.allow_private_http.value), (Duration::from_millis(1500), true));
        s.spool.directory.value
    };
    world.file("project/mnemic.toml", text);
    assert_eq!(check(&world), world.path("project/spool"));
    fs::remove_file(world.path("project/mnemic.toml")).unwrap();
    for line in text.lines() {
        let (key, value) = line.split_once(" = ").unwrap();
        let variable: &'static str = format!("MNEMIC_{}", key.to_uppercase()).leak();
        world.set(variable, value.trim_matches('\''));
    }
    assert_eq!(check(&world), world.path("project/sub/spool"));
}

#[test]
fn what_a_chosen_part_needs_and_nobody_set_is_named_with_the_reason() {
    let mut world = World::new();
    world.set("ENV", "production");
    let dsn = "POSTGRES_DSN: expected postgresql://user:password@host:5432/database, since the profile is production \
               (environment ENV), found none";
    assert_eq!(world.fault(), dsn);
    let https = "expected an address such as https://host";
    let cases = [
        ("MNEMIC_INDEX", "pinecone", "PINECONE_API_KEY: expected a key".to_owned()),
        ("MNEMIC_INDEX", "qdrant", format!("MNEMIC_QDRANT_URL: {https}:6333")),
        ("MNEMIC_EMBEDDER", "voyage", "VOYAGE_API_KEY: expected a key".to_owned()),
        ("MNEMIC_EMBEDDER", "gemini", "GEMINI_API_KEY: expected a key".to_owned()),
        ("MNEMIC_EMBEDDER", "openai", "OPENAI_API_KEY: expected a key".to_owned()),
        ("MNEMIC_RERANKER", "voyage", "VOYAGE_API_KEY: expected a key".to_owned()),
        ("MNEMIC_RERANKER", "tei", format!("MNEMIC_RERANKER_URL: {https}:8080")),
    ];
    for (variable, value, expected) in cases {
        let mut world = production();
        world.set(variable, value);
        let setting = variable.trim_start_matches("MNEMIC_").to_lowercase();
        let why = format!(", since the {setting} is {value} (environment {variable}), found none");
        assert_eq!(world.fault(), format!("{expected}{why}"));
    }
    // Servers of one's own name neither their model nor its dimension.
    let mut world = production();
    world.set("MNEMIC_EMBEDDER", "tei");
    let named: Vec<String> = world.faults().iter().map(|fault| fault.split(':').next().unwrap().to_owned()).collect();
    assert_eq!(named, ["MNEMIC_EMBEDDER_URL", "MNEMIC_EMBEDDING_MODEL"]);
    world
        .set("MNEMIC_EMBEDDER", "openai")
        .set("MNEMIC_OPENAI_PROFILE", "ollama")
        .set("MNEMIC_EMBEDDING_MODEL", "bge-m3");
    assert!(world.fault().starts_with("MNEMIC_EMBEDDING_DIMENSION: expected the number of components"));
    world.set("MNEMIC_EMBEDDING_DIMENSION", "1024");
    assert_eq!(world.settings().embedding.url.unwrap().value.to_string(), "http://127.0.0.1:11434/v1");
    world.set("MNEMIC_OPENAI_PROFILE", "generic");
    assert!(world.fault().starts_with("MNEMIC_EMBEDDER_URL: expected an address"));
    world.set("MNEMIC_EMBEDDER_URL", "https://models.internal/v1");
    assert_eq!(world.settings().embedding.dimension.unwrap().value, 1024);
}

#[test]
fn settings_of_another_profile_lack_nothing() {
    let mut world = World::new();
    let text = "index = 'qdrant'\nembedding_model = 'voyage-4'\npinecone_region = 'eu-west-1'\nspool = 'off'\n";
    world.file("project/mnemic.toml", text);
    world.set("PINECONE_API_KEY", KEY);
    for profile in ["dev", "embedded"] {
        world.set("MNEMIC_PROFILE", profile);
        let settings = world.settings();
        assert_eq!((settings.index.value, settings.index.origin), (IndexChoice::Local, Origin::Default));
        assert!(settings.embedding.model.is_none());
    }
    // A part that is used in every profile needs its key in every profile.
    world.set("MNEMIC_EMBEDDER", "voyage");
    assert!(world.fault().starts_with("VOYAGE_API_KEY: expected a key"));
}

#[test]
fn values_that_contradict_each_other_are_faults() {
    let mut world = production();
    world.set("MNEMIC_EMBEDDING_MODEL", "voyage-3-large").set("MNEMIC_EMBEDDER_URL", "https://v.internal");
    let why = "expected none, since the embedder is static (default), found one; MNEMIC_EMBEDDER chooses another";
    assert_eq!(world.faults(), [format!("MNEMIC_EMBEDDING_MODEL: {why}"), format!("MNEMIC_EMBEDDER_URL: {why}")]);
    // A stronger source may do without for once.
    world.flags.embedder = Some("none".into());
    assert_eq!(world.settings().embedder.value, EmbedderChoice::None);

    let mut world = production();
    world.set("GEMINI_API_KEY", KEY).set("MNEMIC_EMBEDDING_MODEL", "voyage-3-large");
    let expected = "MNEMIC_EMBEDDING_MODEL: expected a model of gemini, found \"voyage-3-large\", a model of voyage";
    assert_eq!(world.fault(), expected);
    for (model, dimension, said) in [
        ("gemini-embedding-001", "4096", Some("expected 128 to 3072, which gemini-embedding-001 offers, found 4096")),
        ("gemini-embedding-001", "3072", None),
        ("gemini-embedding-9", "5000", None),
    ] {
        world.set("MNEMIC_EMBEDDING_MODEL", model).set("MNEMIC_EMBEDDING_DIMENSION", dimension);
        match said {
            Some(said) => assert_eq!(world.fault(), format!("MNEMIC_EMBEDDING_DIMENSION: {said}")),
            None => assert_eq!(world.settings().embedding.dimension.unwrap().value.to_string(), dimension),
        }
    }
    world.environment.remove("MNEMIC_EMBEDDING_MODEL");
    world.set("VOYAGE_API_KEY", KEY).set("MNEMIC_EMBEDDING_DIMENSION", "1000");
    let expected = "MNEMIC_EMBEDDING_DIMENSION: expected 256, 512, 1024, 2048, which voyage-3-large offers, found 1000";
    assert_eq!(world.fault(), expected);
}

#[test]
fn every_malformed_value_is_told_at_once() {
    let mut world = production();
    world
        .set("MNEMIC_INDEX", "pinecoen")
        .set("MNEMIC_ALLOW_PRIVATE_HTTP", "yes")
        .set("MNEMIC_PINECONE_INDEX", "Mnemic_")
        .set("MNEMIC_PINECONE_CLOUD", "amazon")
        .set("MNEMIC_PINECONE_REGION", "us east")
        .set("MNEMIC_PINECONE_API_VERSION", "2024-07")
        .set("MNEMIC_PINECONE_URL", "https://host:70000")
        .set("MNEMIC_QDRANT_COLLECTION", "a/b")
        .set("MNEMIC_RERANKER", "cohere")
        .set("MNEMIC_OPENAI_PROFILE", "vlm")
        .set("MNEMIC_EMBEDDING_DIMENSION", "8193")
        .set("MNEMIC_POSTGRES_CONNECTIONS", "0")
        .set("MNEMIC_SPOOL", "of")
        .set("MNEMIC_SPOOL_BYTES", "1G")
        .set("MNEMIC_SPOOL_AGE", "7")
        .set("MNEMIC_SPOOL_DIR", "")
        .set("MNEMIC_DEADLINE", "1ms");
    world.flags.embedder = Some("none".into());
    let mut faults = world.faults();
    faults.sort();
    let label = "of a-z, 0-9 and -, not beginning or ending with -";
    let expected = [
        "MNEMIC_ALLOW_PRIVATE_HTTP: expected true or false, found \"yes\"".to_owned(),
        "MNEMIC_DEADLINE: expected a duration with its unit (ms, s, m, h, d) from 100ms to 1h, found \"1ms\""
            .to_owned(),
        "MNEMIC_EMBEDDING_DIMENSION: expected a whole number from 1 to 8192, found \"8193\"".to_owned(),
        "MNEMIC_INDEX: expected one of local, pgvector, pinecone, qdrant, found \"pinecoen\" (did you mean pinecone?)"
            .to_owned(),
        "MNEMIC_OPENAI_PROFILE: expected one of openai, ollama, vllm, generic, found \"vlm\" (did you mean vllm?)"
            .to_owned(),
        "MNEMIC_PINECONE_API_VERSION: expected one of 2026-07, 2026-04, found \"2024-07\" (did you mean 2026-07?)"
            .to_owned(),
        "MNEMIC_PINECONE_CLOUD: expected one of aws, gcp, azure, found \"amazon\"".to_owned(),
        format!("MNEMIC_PINECONE_INDEX: expected 1 to 16 characters {label}, found \"Mnemic_\""),
        format!("MNEMIC_PINECONE_REGION: expected 1 to 40 characters {label}, found \"us east\""),
        "MNEMIC_PINECONE_URL: expected an address such as https://host:port, found no URL (invalid port number)"
            .to_owned(),
        "MNEMIC_POSTGRES_CONNECTIONS: expected a whole number from 1 to 1000, found \"0\"".to_owned(),
        "MNEMIC_QDRANT_COLLECTION: expected 1 to 64 characters of A-Z, a-z, 0-9, _ and -, found \"a/b\"".to_owned(),
        "MNEMIC_RERANKER: expected one of none, voyage, tei, found \"cohere\"".to_owned(),
        "MNEMIC_SPOOL: expected one of on, off, found \"of\" (did you mean off?)".to_owned(),
        "MNEMIC_SPOOL_AGE: expected a duration with its unit (ms, s, m, h, d) from 1m to 365d, found \"7\"".to_owned(),
        "MNEMIC_SPOOL_BYTES: expected a size with its unit (MiB, GiB, MB, GB …) from 1MiB to 1TiB, found \"1G\""
            .to_owned(),
        "MNEMIC_SPOOL_DIR: expected a value, found an empty one (unset it instead)".to_owned(),
    ];
    assert_eq!(faults, expected);
}

#[test]
fn an_address_that_leads_astray_or_holds_a_secret_is_refused_and_not_shown() {
    let cases = [
        ("no url".to_owned(), "no URL"),
        (format!("https://user:{KEY}@host"), "a user or a password"),
        (format!("https://host?key={KEY}"), "a query or a fragment"),
        (format!("ftp://host/{KEY}"), "another scheme"),
        (format!("https://h:70000/{KEY}"), "invalid port"),
        (format!("https://h/{KEY}\n"), "white space or a line end after it"),
        (format!("https://h\n/{KEY}"), "control characters"),
        (" https://h".to_owned(), "white space before it"),
        ("http://10.0.0.7:6333".to_owned(), "MNEMIC_ALLOW_PRIVATE_HTTP=true takes it inside a private network"),
        ("http://169.254.169.254".to_owned(), "metadata service"),
        ("http://2852039166".to_owned(), "metadata service"),
        ("http://0xA9.0xFE.0xA9.0xFE".to_owned(), "metadata service"),
        ("https://[::ffff:169.254.169.254]".to_owned(), "metadata service"),
        ("https://metadata.google.internal".to_owned(), "metadata service"),
    ];
    for setting in ["MNEMIC_QDRANT_URL", "MNEMIC_PINECONE_URL", "MNEMIC_EMBEDDER_URL", "MNEMIC_RERANKER_URL"] {
        let mut world = production();
        world.flags.embedder = Some("none".into());
        for (address, said) in &cases {
            world.set(setting, address);
            let fault = world.fault();
            assert!(fault.starts_with(&format!("{setting}: expected")) && fault.contains(said), "{address}: {fault}");
            assert!(!fault.contains(KEY), "{fault}");
        }
        world.set("MNEMIC_ALLOW_PRIVATE_HTTP", "true").set(setting, "http://10.0.0.7:6333");
        world.settings();
        // The switch opens nothing but plain text to other machines.
        world.set(setting, "http://169.254.169.254");
        assert!(world.fault().ends_with("found the address of a cloud's metadata service"));
    }
}

#[test]
fn a_path_that_may_be_a_key_is_not_among_what_is_shown() {
    let mut world = production();
    world.flags.embedder = Some("none".into());
    world.set("MNEMIC_EMBEDDER_URL", format!("https://gateway/{KEY}/v1")).set("MNEMIC_QDRANT_URL", "https://q:6333/v1");
    let shown = |key: &str| world.settings().entries().into_iter().find(|entry| entry.key == key).unwrap().value;
    assert_eq!(shown("embedder_url"), "https://gateway/…");
    assert_eq!(shown("qdrant_url"), "https://q:6333/v1");
    assert!(!format!("{:?}", world.settings().entries()).contains(KEY));
}

#[test]
fn a_faulty_value_is_not_also_told_to_be_missing() {
    let mut world = production();
    world.set("POSTGRES_DSN", "mysql://h/d").set("PINECONE_API_KEY", " ").set("VOYAGE_API_KEY", "");
    let named: Vec<String> = world.faults().iter().map(|fault| fault.split(':').next().unwrap().to_owned()).collect();
    assert_eq!(named, ["POSTGRES_DSN", "PINECONE_API_KEY", "VOYAGE_API_KEY"]);
    let mut world = production();
    world.set("MNEMIC_INDEX", "qdrant").set("MNEMIC_QDRANT_URL", "q:6333");
    assert!(world.fault().starts_with("MNEMIC_QDRANT_URL: expected an address such as https://host:port, found"));
}

#[test]
fn the_address_of_the_schemas_owner_is_a_secret_like_the_other() {
    let mut world = production();
    world.set("MNEMIC_POSTGRES_ADMIN_DSN", "postgresql+asyncpg://owner:pw@h/d");
    let admin = world.settings().postgres_admin_dsn.unwrap();
    assert_eq!(admin.value.expose(), "postgresql://owner:pw@h/d");
    let path = world.file("secrets/admin", format!("mysql://{KEY}@h/d\n"));
    world.environment.remove("MNEMIC_POSTGRES_ADMIN_DSN");
    world.file("project/sub/.env", format!("MNEMIC_POSTGRES_ADMIN_DSN_FILE={}\n", path.display()));
    let fault = world.fault();
    assert!(fault.starts_with("project/sub/.env: MNEMIC_POSTGRES_ADMIN_DSN_FILE: expected postgresql://"), "{fault}");
    assert!(!fault.contains(KEY), "{fault}");
    fs::remove_file(world.path("project/sub/.env")).unwrap();
    world.file("project/mnemic.toml", "postgres_admin_dsn = 'x'\nqdrant_api_key = 'x'\n");
    let faults = world.faults();
    assert!(faults[0].contains("as MNEMIC_POSTGRES_ADMIN_DSN or MNEMIC_POSTGRES_ADMIN_DSN_FILE"), "{faults:?}");
    assert!(faults[1].contains("as QDRANT_API_KEY or QDRANT_API_KEY_FILE"), "{faults:?}");
}

#[test]
fn each_database_has_its_own_spool_whatever_the_password_and_the_options() {
    let mut world = production();
    let mut spool = |dsn: &str| {
        world.set("POSTGRES_DSN", dsn);
        let directory = world.settings().spool.directory.value;
        assert!(directory.starts_with(world.path("home/.local/share/mnemic-spool")), "{}", directory.display());
        directory
    };
    let first = spool("postgresql://app:one@h:5432/memory?sslmode=require");
    assert_eq!(spool("postgresql+asyncpg://app:two@h:5432/memory"), first);
    let others =
        ["app:one@h:5432/staging", "app:one@g:5432/memory", "app@/memory?host=/run/a", "app@/memory?host=/run/b"];
    let mut all: Vec<_> = others.iter().map(|rest| spool(&format!("postgresql://{rest}"))).collect();
    all.push(first);
    all.push(spool("postgresql://alice@h"));
    all.push(spool("postgresql://bob@h"));
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 7);
}

#[test]
fn without_a_home_the_spool_lies_in_the_working_directory() {
    let mut world = production();
    world.environment.remove("HOME");
    assert!(world.settings().spool.directory.value.starts_with(world.path("project/sub/.mnemic-spool")));
    world.set("MNEMIC_SPOOL_DIR", "~/spool");
    assert_eq!(world.fault(), "MNEMIC_SPOOL_DIR: expected a path without ~, since HOME is not set, found one with it");
}
