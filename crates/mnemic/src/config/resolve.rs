//! From sources to settings: which value wins and what it must be. Not here: reading the sources (`sources`).

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    str::FromStr,
};

use mnemic_core::{Error, Namespace, Result};

use super::{
    EmbedderChoice, Inputs, Origin, Profile, Secret, Settings, Sourced,
    choices::unknown,
    faults::Faults,
    secret::{check_characters, postgres_dsn},
    sources::{Layer, Raw, Sources, is_shell_file},
};

/// Bytes of one secret.
const SECRET_BYTES: u64 = 64 * 1024;
const EMPTY: &str = "expected a value, found an empty one (unset it instead)";

pub(super) fn settings(inputs: &Inputs<'_>) -> Result<Settings> {
    let mut faults = Faults::default();
    let sources = Sources::read(inputs, &mut faults);
    let chosen = profile(&sources, &mut faults);
    let default_namespace = chosen.as_ref().map_or("default", |chosen| chosen.namespace);
    let profile = chosen.map(|chosen| chosen.profile);
    let namespace = named(&sources, "namespace", &mut faults, Namespace::new(default_namespace).ok());
    let without_choice = match &profile {
        Some(Sourced { value: Profile::Dev, .. }) => EmbedderChoice::None,
        _ => EmbedderChoice::Static,
    };
    let embedder = named(&sources, "embedder", &mut faults, Some(without_choice));
    let log = log(&sources, &mut faults);
    let directory = directory(&sources, &mut faults);
    let mut secret = |name: &str| secret(&sources, name, &mut faults);
    let (postgres_dsn, pinecone_api_key, voyage_api_key, gemini_api_key, openai_api_key) = (
        secret("POSTGRES_DSN"),
        secret("PINECONE_API_KEY"),
        secret("VOYAGE_API_KEY"),
        secret("GEMINI_API_KEY"),
        secret("OPENAI_API_KEY"),
    );
    let all = || {
        Some(Settings {
            profile: profile?,
            directory: directory?,
            namespace: namespace?,
            embedder: embedder?,
            log: log?,
            postgres_dsn,
            pinecone_api_key,
            voyage_api_key,
            gemini_api_key,
            openai_api_key,
        })
    };
    faults.finish(all())
}

/// A profile, and the namespace that goes with it where none is named.
struct Chosen {
    profile: Sourced<Profile>,
    namespace: &'static str,
}

/// `MNEMIC_PROFILE` in the environment or `.env` is stronger than `ENV` in either, and `ENV` than the files.
fn profile(sources: &Sources, faults: &mut Faults) -> Option<Chosen> {
    let by_name = |layers: &[&'_ Layer]| layers.iter().find_map(|layer| layer.get("profile")).cloned();
    if let Some(raw) = by_name(&[&sources.flags, &sources.environment, &sources.env_file]) {
        return named_profile(&raw, faults);
    }
    let deployment = [&sources.environment, &sources.env_file]
        .into_iter()
        .find_map(|layer| layer.get("ENV").filter(|raw| !is_shell_file(&raw.value)));
    if let Some(raw) = deployment {
        return by_deployment(raw, faults);
    }
    if let Some(raw) = by_name(&[&sources.project_file, &sources.user_file]) {
        return named_profile(&raw, faults);
    }
    Some(Chosen { profile: Sourced { value: Profile::default(), origin: Origin::Default }, namespace: "default" })
}

fn named_profile(raw: &Raw, faults: &mut Faults) -> Option<Chosen> {
    let value = parsed(raw, faults)?;
    Some(Chosen { profile: Sourced { value, origin: raw.origin.clone() }, namespace: "default" })
}

fn by_deployment(raw: &Raw, faults: &mut Faults) -> Option<Chosen> {
    let (value, namespace) = match text(raw, faults)? {
        "development" => (Profile::Dev, "default"),
        "staging" => (Profile::Production, "staging"),
        "production" => (Profile::Production, "production"),
        other => {
            let error = unknown("ENV", other, &["development", "staging", "production"]);
            faults.push(&raw.place, format!("{}; MNEMIC_PROFILE decides without it", said(&error)));
            return None;
        }
    };
    Some(Chosen { profile: Sourced { value, origin: raw.origin.clone() }, namespace })
}

/// What an error says after the name of its field; the place names it better.
fn said(error: &Error) -> &str {
    let message = error.message();
    error
        .field()
        .and_then(|field| message.strip_prefix(field))
        .and_then(|rest| rest.strip_prefix(": "))
        .unwrap_or(message)
}

fn text<'a>(raw: &'a Raw, faults: &mut Faults) -> Option<&'a str> {
    if raw.value.is_empty() {
        faults.push(&raw.place, EMPTY);
        return None;
    }
    faults.keep(&raw.place, raw.value.to_str().ok_or("expected UTF-8, found other bytes"))
}

fn parsed<T: FromStr<Err = Error>>(raw: &Raw, faults: &mut Faults) -> Option<T> {
    match text(raw, faults)?.parse::<T>() {
        Ok(value) => Some(value),
        Err(error) => {
            faults.push(&raw.place, said(&error));
            None
        }
    }
}

/// A setting that is read from its name, or its default.
fn named<T: FromStr<Err = Error>>(
    sources: &Sources,
    setting: &str,
    faults: &mut Faults,
    default: Option<T>,
) -> Option<Sourced<T>> {
    match sources.find(setting) {
        Some(raw) => parsed(raw, faults).map(|value| Sourced { value, origin: raw.origin.clone() }),
        None => default.map(|value| Sourced { value, origin: Origin::Default }),
    }
}

fn log(sources: &Sources, faults: &mut Faults) -> Option<Sourced<String>> {
    match sources.find("log") {
        Some(raw) => text(raw, faults).map(|value| Sourced { value: value.to_owned(), origin: raw.origin.clone() }),
        None => Some(Sourced { value: "warn".to_owned(), origin: Origin::Default }),
    }
}

fn directory(sources: &Sources, faults: &mut Faults) -> Option<Sourced<PathBuf>> {
    let Some(raw) = sources.find("dir") else {
        let value = match &sources.data_home {
            Some(data) => data.join("mnemic"),
            None => sources.working_directory.join(".mnemic"),
        };
        return Some(Sourced { value, origin: Origin::Default });
    };
    if raw.value.is_empty() {
        faults.push(&raw.place, EMPTY);
        return None;
    }
    let path = Path::new(&raw.value);
    // No shell expands what stands in a file.
    let value = match (path.strip_prefix("~"), &sources.home) {
        (Ok(below), Some(home)) => home.join(below),
        (Ok(_), None) => {
            faults.push(&raw.place, "expected a path without ~, since HOME is not set, found one with it");
            return None;
        }
        (Err(_), _) => raw.base.join(path),
    };
    Some(Sourced { value, origin: raw.origin.clone() })
}

/// A secret from the strongest source that has it or its file.
fn secret(sources: &Sources, name: &str, faults: &mut Faults) -> Option<Sourced<Secret>> {
    let file_name = format!("{name}_FILE");
    let (value, file) = [&sources.environment, &sources.env_file]
        .into_iter()
        .map(|layer| (layer.get(name), layer.get(&file_name)))
        .find(|(value, file)| value.is_some() || file.is_some())?;
    let (raw, value) = match (value, file) {
        (Some(raw), Some(_)) => {
            faults.push(&raw.place, format!("expected one of {name} and {file_name}, found both"));
            return None;
        }
        (Some(raw), None) => {
            (raw, raw.value.to_str().map(str::to_owned).ok_or_else(|| "expected UTF-8, found other bytes".to_owned()))
        }
        (None, Some(file)) => (file, secret_file(file)),
        (None, None) => return None,
    };
    check_secret(name, raw, value, faults).map(|value| Sourced { value, origin: raw.origin.clone() })
}

fn check_secret(
    name: &str,
    raw: &Raw,
    value: std::result::Result<String, String>,
    faults: &mut Faults,
) -> Option<Secret> {
    let checked = value.and_then(|value| {
        check_characters(&value)?;
        if name == "POSTGRES_DSN" { postgres_dsn(&value) } else { Ok(value) }
    });
    faults.keep(&raw.place, checked).map(Secret::new)
}

/// The content of a secret's file without the one line end that editors leave. Messages do not show the path: somebody may have
/// put the secret itself there.
fn secret_file(raw: &Raw) -> std::result::Result<String, String> {
    if raw.value.is_empty() {
        return Err(EMPTY.to_owned());
    }
    let mut content = String::new();
    File::open(raw.base.join(&raw.value))
        .and_then(|file| file.take(SECRET_BYTES + 1).read_to_string(&mut content))
        .map_err(|error| format!("expected the path of a readable file, found {}", error.kind()))?;
    if content.len() as u64 > SECRET_BYTES {
        return Err(format!("expected a file of at most {SECRET_BYTES} bytes, found a larger one"));
    }
    if content.ends_with('\n') {
        content.pop();
        if content.ends_with('\r') {
            content.pop();
        }
    }
    Ok(content)
}
