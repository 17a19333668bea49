//! Configuration that is wrong: every fault is told at once, one line each, without any secret. Not here: what is taken (`config`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

#[path = "config/world.rs"]
mod world;

use std::{ffi::OsString, fs, path::PathBuf};

use mnemic::{
    ErrorKind,
    config::{Flags, Origin, Profile},
};
use world::{KEY, World};

#[test]
fn an_unknown_env_is_a_fault_and_a_shells_start_up_file_is_none() {
    let mut world = World::new();
    for shell in ["", "/home/u/.shrc", "$HOME/.shinit", "~/.kshrc"] {
        world.set("ENV", shell);
        assert_eq!(world.settings().profile.origin, Origin::Default, "{shell}");
    }
    world.set("ENV", "prod");
    let expected = "ENV: expected one of development, staging, production, found \"prod\" (did you mean production?); \
                    MNEMIC_PROFILE decides without it";
    assert_eq!(world.fault(), expected);
    world.set("MNEMIC_PROFILE", "dev");
    assert_eq!(world.settings().profile.value, Profile::Dev);
}

#[test]
fn a_malformed_line_of_dotenv_is_named_by_number_and_not_shown() {
    let world = World::new();
    world.file(
        "project/sub/.env",
        format!("A=1\nOPENAI_API_KEY {KEY}\nB=2\nexport MNEMIC_LOG: debug\nC=\"{KEY}\nMNEMIC_NAMESPACE=swallowed\n"),
    );
    let faults = world.faults();
    assert_eq!(faults.len(), 3, "{faults:#?}");
    assert!(faults[0].starts_with("project/sub/.env:2: expected NAME=value"), "{faults:#?}");
    assert!(faults[1].starts_with("project/sub/.env:4: "), "{faults:#?}");
    assert!(faults[2].starts_with("project/sub/.env:5: "), "an open quote takes what comes after it: {faults:#?}");
    assert!(!faults.concat().contains(KEY));
    world.file("project/sub/.env", b"A=\xff");
    assert!(world.fault().starts_with("project/sub/.env: expected UTF-8"));
}

#[test]
fn what_other_programs_keep_in_dotenv_is_passed_over() {
    let world = World::new();
    let others = "APP_NAME=My App\nJSON={\"a\": 1}\nKEY: value\nFOO\nA-B=c\nMNEMIC_NAMESPACE=ours\nA=it's\n";
    world.file("project/sub/.env", others);
    assert_eq!(world.settings().namespace.value.as_str(), "ours");
}

#[test]
fn a_misspelt_variable_of_dotenv_is_named_with_the_nearest() {
    let world = World::new();
    world.file("project/sub/.env", "MNEMIC_NAMESAPCE=x\nMNEMIC_SOMETHING_ELSE=1\n");
    let expected = "expected a known variable, found \"MNEMIC_NAMESAPCE\" (did you mean MNEMIC_NAMESPACE?)";
    assert_eq!(world.fault(), format!("project/sub/.env: {expected}"));
}

#[test]
fn a_wrong_file_is_told_line_by_line() {
    let world = World::new();
    let text = "# settings\nnamspace = 'a'\nlog = 7\nprofile = 'productoin'\npostgres_dsn = 'x'\n\n[table]\nk = 1\n";
    world.file("project/mnemic.toml", text);
    let faults = world.faults();
    let expected = [
        "project/mnemic.toml:2: expected a known setting, found \"namspace\" (did you mean namespace?)",
        "project/mnemic.toml:3: log: expected a string, found integer",
        "project/mnemic.toml:4: profile: expected one of dev, embedded, production, found \"productoin\" (did you mean production?)",
        "project/mnemic.toml:5: postgres_dsn: expected secrets in the environment or .env as POSTGRES_DSN or POSTGRES_DSN_FILE, found one here",
        "project/mnemic.toml:7: expected a known setting, found \"table\" (mnemic config show lists them)",
    ];
    for line in expected {
        assert!(faults.contains(&line.to_owned()), "{line}\nis not in {faults:#?}");
    }
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
}

#[test]
fn a_file_that_is_not_toml_is_told_without_its_content() {
    let world = World::new();
    world.file("project/mnemic.toml", format!("log = 'info'\n{KEY} {KEY}\n"));
    let faults = world.faults();
    assert!(faults.iter().all(|fault| fault.starts_with("project/mnemic.toml:2: ")), "{faults:#?}");
    assert!(!faults.concat().contains(KEY), "{faults:#?}");
    world.file("project/mnemic.toml", b"log = '\xff'");
    assert!(world.fault().starts_with("project/mnemic.toml: expected a readable UTF-8 file"));
    fs::remove_file(world.path("project/mnemic.toml")).unwrap();
    fs::create_dir_all(world.path("home/.config/mnemic/config.toml")).unwrap();
    assert!(world.fault().starts_with("home/.config/mnemic/config.toml: expected a readable UTF-8 file, found"));
}

#[test]
fn every_fault_is_told_at_once_one_line_each() {
    let mut world = World::new();
    world
        .set("MNEMIC_PROFILE", "embeded")
        .set("MNEMIC_NAMESPACE", "../x\nforged line")
        .set("MNEMIC_EMBEDDER", "statik")
        .set("MNEMIC_LOG", "")
        .set("MNEMIC_DIR", "")
        .set("PINECONE_API_KEY", "")
        .set("VOYAGE_API_KEY", format!("{KEY}\n"))
        .set("GEMINI_API_KEY", format!(" {KEY}"))
        .set("POSTGRES_DSN", format!("mysql://u:{KEY}@h/d"));
    let expected = [
        "MNEMIC_PROFILE: expected one of dev, embedded, production, found \"embeded\" (did you mean embedded?)",
        "MNEMIC_NAMESPACE: expected 1 to 63 characters of a-z, 0-9, _ and -, starting with a letter or digit, found \"../x\\nforged line\"",
        "MNEMIC_EMBEDDER: expected one of none, static, voyage, gemini, openai, tei, found \"statik\" (did you mean static?)",
        "MNEMIC_LOG: expected a value, found an empty one (unset it instead)",
        "MNEMIC_DIR: expected a value, found an empty one (unset it instead)",
        "POSTGRES_DSN: expected postgresql://user:password@host:5432/database, found the scheme \"mysql\"",
        "PINECONE_API_KEY: expected a value, found an empty one (unset the variable instead)",
        "VOYAGE_API_KEY: expected a value without white space around it, found white space or a line end after it",
        "GEMINI_API_KEY: expected a value without white space around it, found white space before it",
    ];
    assert_eq!(world.faults(), expected);
}

#[test]
fn an_empty_flag_is_a_fault_of_the_flag() {
    let mut world = World::new();
    world.flags = Flags { namespace: Some(String::new()), dir: Some(PathBuf::new()), ..Flags::default() };
    let faults = world.faults();
    assert!(faults[0].starts_with("--namespace: expected a value") && faults[1].starts_with("--dir: expected a value"));
}

#[test]
fn a_wrong_postgres_address_is_answered_with_the_right_form_and_never_shown() {
    let mut world = World::new();
    let cases = [
        (format!("postgresql://u:{KEY}@h:70000/d"), "a port that is not a number from 1 to 65535"),
        (format!("postgresql://u:{KEY}@h:0/d"), "a port"),
        (format!("postgresql://u:{KEY}/x@h:5432/d"), "write / as %2F"),
        (format!("postgres:u:{KEY}@h/d"), "text without ://"),
        (format!("{KEY}://u@h/d"), "another scheme"),
        (format!("postgresql://u:{KEY} x@h/d"), "white space"),
        ("postgresql://".to_owned(), "no host"),
        (format!("postgresql://u:{KEY}@/d"), "no host"),
        ("postgresql://h:5432/d".to_owned(), "no user"),
        (format!("postgresql://:{KEY}@h:5432/d"), "no user"),
        (format!("host=h password={KEY}"), "text without ://"),
    ];
    for (dsn, said) in cases {
        world.set("POSTGRES_DSN", &dsn);
        let fault = world.fault();
        assert!(fault.starts_with("POSTGRES_DSN: expected postgresql://user:password@host:5432/database"), "{fault}");
        assert!(fault.contains(said), "{fault}");
        assert!(!fault.contains(KEY), "{fault}");
    }
}

#[test]
fn a_secrets_file_that_cannot_be_read_is_told_without_its_path() {
    let mut world = World::new();
    // Somebody put the secret itself where its path belongs.
    world.set("OPENAI_API_KEY_FILE", KEY).set("GEMINI_API_KEY_FILE", "");
    let faults = world.faults();
    assert!(faults[0].starts_with("GEMINI_API_KEY_FILE: expected a value"), "{faults:#?}");
    assert!(faults[1].starts_with("OPENAI_API_KEY_FILE: expected the path of a readable file"), "{faults:#?}");
    assert!(!faults.concat().contains(KEY));
}

#[test]
fn a_secret_given_twice_is_a_fault_but_the_environment_wins_over_dotenv() {
    let mut world = World::new();
    let path = world.file("secrets/openai", "from-file");
    world.file("project/sub/.env", "OPENAI_API_KEY=from-dotenv");
    world.set("OPENAI_API_KEY_FILE", path);
    assert_eq!(world.settings().openai_api_key.unwrap().value.expose(), "from-file");
    world.set("OPENAI_API_KEY", KEY);
    assert_eq!(world.fault(), "OPENAI_API_KEY: expected one of OPENAI_API_KEY and OPENAI_API_KEY_FILE, found both");
}

#[cfg(unix)]
#[test]
fn a_value_that_is_not_utf8_is_a_fault_except_for_a_path() {
    use std::os::unix::ffi::OsStringExt;
    let mut world = World::new();
    let bytes = || OsString::from_vec(vec![b'/', 0xff]);
    world.set("MNEMIC_DIR", bytes());
    assert_eq!(world.settings().directory.value, PathBuf::from(bytes()));
    world.set("MNEMIC_NAMESPACE", bytes()).set("PINECONE_API_KEY", bytes());
    let found = "expected UTF-8, found other bytes";
    assert_eq!(world.faults(), [format!("MNEMIC_NAMESPACE: {found}"), format!("PINECONE_API_KEY: {found}")]);
}

proptest::proptest! {
    #[test]
    fn any_files_are_read_or_refused_and_never_panic(
        dotenv in proptest::collection::vec(proptest::prelude::any::<char>(), 0..60),
        structured in "[A-Z=\"'\\\\#$\\{\\} \n\r]{0,40}",
        toml in "[a-z=\"'\\[\\]. \n#0-9]{0,40}",
    ) {
        let world = World::new();
        world.file("project/sub/.env", dotenv.into_iter().collect::<String>() + "\n" + &structured);
        world.file("project/mnemic.toml", toml);
        if let Err(error) = world.load() {
            proptest::prop_assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        }
    }
}
