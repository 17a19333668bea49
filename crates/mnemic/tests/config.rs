//! Configuration: which source wins, and what values are taken. Not here: what is refused (`config_faults`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

#[path = "config/world.rs"]
mod world;

use std::{fs, path::Path};

use mnemic::config::{EmbedderChoice, Origin, Profile};
use world::{KEY, World};

#[test]
fn nothing_set_means_embedded_in_the_users_data_directory() {
    let world = World::new();
    let settings = world.settings();
    assert_eq!(settings.profile.value, Profile::Embedded);
    assert_eq!(settings.directory.value, world.path("home/.local/share/mnemic"));
    assert_eq!(settings.namespace.value.as_str(), "default");
    assert_eq!(settings.embedder.value, EmbedderChoice::Static);
    assert_eq!(settings.log.value, "warn");
    assert!(settings.postgres_dsn.is_none());
    assert!(settings.entries().iter().all(|entry| entry.origin == Origin::Default));
}

#[test]
fn without_a_home_data_lies_in_the_working_directory() {
    let mut world = World::new();
    for home in [None, Some("")] {
        world.environment.clear();
        if let Some(home) = home {
            world.set("HOME", home);
        }
        assert_eq!(world.settings().directory.value, world.path("project/sub/.mnemic"));
    }
    world.set("MNEMIC_DIR", "~/memory");
    assert!(world.fault().contains("since HOME is not set"));
}

#[test]
fn the_xdg_directories_are_followed_where_they_are_absolute() {
    let mut world = World::new();
    let (data, config) = (world.path("data"), world.path("cfg"));
    world.set("XDG_DATA_HOME", &data).set("XDG_CONFIG_HOME", &config);
    let file = world.file("cfg/mnemic/config.toml", "log = 'info'");
    assert_eq!(world.settings().directory.value, data.join("mnemic"));
    assert_eq!(world.settings().log.origin, Origin::UserFile(file));
    world.set("XDG_DATA_HOME", "relative").set("XDG_CONFIG_HOME", "");
    assert_eq!(world.settings().directory.value, world.path("home/.local/share/mnemic"));
    assert_eq!(world.settings().log.origin, Origin::Default);
}

#[test]
fn a_stronger_source_wins_and_each_is_named() {
    let mut world = World::new();
    let steps: [(&str, Origin); 5] = [
        ("user", Origin::UserFile(world.file("home/.config/mnemic/config.toml", "namespace = 'user'"))),
        ("project", Origin::ProjectFile(world.file("project/mnemic.toml", "namespace = 'project'"))),
        ("dotenv", Origin::EnvFile(world.file("project/sub/.env", "MNEMIC_NAMESPACE=dotenv"))),
        ("variable", Origin::Environment("MNEMIC_NAMESPACE".into())),
        ("flag", Origin::Flag),
    ];
    world.set("MNEMIC_NAMESPACE", "variable");
    world.flags.namespace = Some("flag".into());
    // From the strongest down, each is taken away after it was seen to win.
    for (i, (name, origin)) in steps.iter().enumerate().rev() {
        let namespace = world.settings().namespace;
        assert_eq!((namespace.value.as_str(), &namespace.origin), (*name, origin));
        match i {
            4 => world.flags.namespace = None,
            3 => drop(world.environment.remove("MNEMIC_NAMESPACE")),
            2 => fs::remove_file(world.path("project/sub/.env")).unwrap(),
            1 => fs::remove_file(world.path("project/mnemic.toml")).unwrap(),
            _ => fs::remove_file(world.path("home/.config/mnemic/config.toml")).unwrap(),
        }
    }
    assert_eq!(world.settings().namespace.origin, Origin::Default);
}

#[test]
fn the_nearest_project_file_is_the_one() {
    let world = World::new();
    world.file("project/mnemic.toml", "namespace = 'far'\nlog = 'debug'");
    world.file("project/sub/mnemic.toml", "namespace = 'near'");
    let settings = world.settings();
    assert_eq!(settings.namespace.value.as_str(), "near");
    assert_eq!(settings.log.value, "warn");
}

#[test]
fn a_relative_path_starts_where_it_is_written() {
    let mut world = World::new();
    world.file("project/mnemic.toml", "dir = 'memory'");
    assert_eq!(world.settings().directory.value, world.path("project/memory"));
    world.file("project/sub/.env", "MNEMIC_DIR=here\n");
    assert_eq!(world.settings().directory.value, world.path("project/sub/here"));
    world.set("MNEMIC_DIR", "~/m");
    assert_eq!(world.settings().directory.value, world.path("home/m"));
    world.flags.dir = Some("/absolute".into());
    assert_eq!(world.settings().directory.value, Path::new("/absolute"));
}

#[test]
fn env_names_the_deployment_unless_something_stronger_names_the_profile() {
    let cases = [
        ("development", Profile::Dev, "default", EmbedderChoice::None),
        ("staging", Profile::Production, "staging", EmbedderChoice::Static),
        ("production", Profile::Production, "production", EmbedderChoice::Static),
    ];
    let mut world = World::new();
    world.set("POSTGRES_DSN", "postgresql://u@h/d");
    for (value, profile, namespace, embedder) in cases {
        world.set("ENV", value);
        let settings = world.settings();
        assert_eq!(settings.profile.value, profile);
        assert_eq!(settings.profile.origin, Origin::Environment("ENV".into()));
        assert_eq!((settings.namespace.value.as_str(), settings.namespace.origin), (namespace, Origin::Default));
        assert_eq!(settings.embedder.value, embedder);
    }
    world.set("ENV", "development");
    world.file("project/sub/.env", "MNEMIC_DIR=here\n");
    assert_eq!(world.settings().profile.value, Profile::Embedded, "a directory is named to keep something in it");
    fs::remove_file(world.path("project/sub/.env")).unwrap();
    for elsewhere in ["production", "test"] {
        world.set("ENV", elsewhere);
        world.flags.dir = Some("there".into());
        assert_eq!(world.settings().profile.value, Profile::Embedded, "the command line is stronger");
        world.flags.dir = None;
    }
    world.set("ENV", "production");
    world.file("project/mnemic.toml", "profile = 'dev'\nnamespace = 'named'");
    assert_eq!(world.settings().profile.value, Profile::Production);
    assert_eq!(world.settings().namespace.value.as_str(), "named");
    fs::remove_file(world.path("project/mnemic.toml")).unwrap();
    world.file("project/sub/.env", "MNEMIC_PROFILE=embedded");
    assert_eq!(world.settings().profile.value, Profile::Embedded);
    assert_eq!(world.settings().namespace.value.as_str(), "default");
    world.flags.profile = Some("dev".into());
    assert_eq!(world.settings().profile.origin, Origin::Flag);
}

#[test]
fn dotenv_never_overrides_the_environment() {
    let mut world = World::new();
    world.set("MNEMIC_LOG", "error").set("OPENAI_API_KEY", "real");
    world.file(
        "project/sub/.env",
        "MNEMIC_LOG=trace\nOPENAI_API_KEY=dotenv\nGEMINI_API_KEY='g$x'\nOTHER=1\n# comment\n",
    );
    let settings = world.settings();
    assert_eq!(settings.log.value, "error");
    assert_eq!(settings.openai_api_key.unwrap().value.expose(), "real");
    let gemini = settings.gemini_api_key.unwrap();
    assert_eq!(gemini.value.expose(), "g$x");
    assert_eq!(gemini.origin, Origin::EnvFile(world.path("project/sub/.env")));
}

#[test]
fn a_postgres_address_is_taken_in_three_forms_and_made_one() {
    let mut world = World::new();
    for scheme in ["postgresql", "postgres", "postgresql+asyncpg"] {
        for rest in
            ["u:p@h:5432/d", "u@h", "u@[::1]:5432/d", "u:p%2F@a:1,b:65535/d?sslmode=require", "/d?host=/run/pg&user=u"]
        {
            world.set("POSTGRES_DSN", format!("{scheme}://{rest}"));
            let dsn = world.settings().postgres_dsn.unwrap();
            assert_eq!(dsn.value.expose(), format!("postgresql://{rest}"));
        }
    }
}

#[test]
fn a_secret_may_lie_in_a_file_which_may_end_with_one_line_end() {
    let mut world = World::new();
    for end in ["", "\n", "\r\n"] {
        let path = world.file("secrets/voyage", format!("{KEY}{end}"));
        world.set("VOYAGE_API_KEY_FILE", path);
        let secret = world.settings().voyage_api_key.unwrap();
        assert_eq!(secret.value.expose(), KEY);
        assert_eq!(secret.origin, Origin::Environment("VOYAGE_API_KEY_FILE".into()));
    }
    for (content, said) in [
        (format!("{KEY}\n\n"), "white space or a line end after it"),
        (format!("{KEY} "), "white space or a line end after it"),
        (format!("{KEY}\n{KEY}"), "control characters"),
        ("\n".to_owned(), "an empty one"),
        (KEY.repeat(4000), "a larger one"),
    ] {
        world.file("secrets/voyage", content);
        let fault = world.fault();
        assert!(fault.starts_with("VOYAGE_API_KEY_FILE: ") && fault.contains(said), "{fault}");
        assert!(!fault.contains(KEY), "{fault}");
    }
}

#[test]
fn entries_show_every_setting_with_its_origin_and_no_secret() {
    let mut world = World::new();
    world.set("PINECONE_API_KEY", KEY).set("POSTGRES_DSN", format!("postgres://u:{KEY}@h/d")).set("MNEMIC_LOG", "info");
    let settings = world.settings();
    let shown: Vec<String> =
        settings.entries().iter().map(|entry| format!("{} {} {}", entry.key, entry.value, entry.origin)).collect();
    let dir = format!("dir {} default", world.path("home/.local/share/mnemic").display());
    let spool = format!("spool_dir {} default", settings.spool.directory.value.display());
    let expected = [
        "profile embedded default",
        &dir,
        "namespace default default",
        "index local default",
        "embedder static default",
        "embedding_model (not set) default",
        "embedding_dimension (not set) default",
        "embedder_url (not set) default",
        "openai_profile openai default",
        "reranker none default",
        "reranker_model (not set) default",
        "reranker_url (not set) default",
        "pinecone_index mnemic default",
        "pinecone_cloud aws default",
        "pinecone_region us-east-1 default",
        "pinecone_api_version 2026-07 default",
        "pinecone_url (not set) default",
        "qdrant_url (not set) default",
        "qdrant_collection mnemic default",
        "postgres_connections 8 default",
        "spool on default",
        &spool,
        "spool_bytes 1GiB default",
        "spool_age 7d default",
        "deadline 30s default",
        "allow_private_http false default",
        "log info environment MNEMIC_LOG",
        "postgres_dsn (hidden) environment POSTGRES_DSN",
        "postgres_admin_dsn (not set) default",
        "pinecone_api_key (hidden) environment PINECONE_API_KEY",
        "qdrant_api_key (not set) default",
        "voyage_api_key (not set) default",
        "gemini_api_key (not set) default",
        "openai_api_key (not set) default",
    ];
    assert_eq!(shown, expected);
    assert!(!format!("{settings:?}").contains(KEY));
}
