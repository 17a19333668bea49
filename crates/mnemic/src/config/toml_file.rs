//! `mnemic.toml` and the user's `config.toml`. Not here: what the values must be (`resolve`).

use std::{fs, path::Path};

use mnemic_core::{ids::quoted, suggest::nearest};
use toml::de::{DeTable, DeValue};

use super::{
    Origin,
    faults::Faults,
    sources::{BARE_SETTINGS, Layer, Raw, SECRETS, SETTINGS},
};

/// The settings of a file. Every syntax error and every unknown key is a fault with its line.
pub(super) fn read(path: &Path, origin: &Origin, faults: &mut Faults) -> Layer {
    let mut layer = Layer::new();
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            faults.push(path.display(), format!("expected a readable UTF-8 file, found {}", error.kind()));
            return layer;
        }
    };
    let place = |offset: usize| {
        let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
        format!("{}:{}", path.display(), before.split(|byte| *byte == b'\n').count())
    };
    let (table, errors) = DeTable::parse_recoverable(&text);
    for error in errors {
        // The library's longer form quotes the line, which may hold anything.
        let offset = error.span().map_or(0, |span| span.start);
        faults.push(place(offset), format!("expected TOML, found a fault ({})", error.message()));
    }
    for (key, value) in table.get_ref() {
        let (name, place) = (key.get_ref().as_ref(), place(key.span().start));
        if !SETTINGS.contains(&name) {
            faults.push(place, unknown(name));
            continue;
        }
        let bare = BARE_SETTINGS.contains(&name);
        let text = match value.get_ref() {
            DeValue::String(text) => text.clone().into_owned(),
            DeValue::Integer(number) if bare => number.to_string(),
            DeValue::Boolean(truth) if bare => truth.to_string(),
            other => {
                faults.push(place, format!("{name}: expected a string, found {}", other.type_str()));
                continue;
            }
        };
        let base = path.parent().unwrap_or(path).to_owned();
        let raw = Raw { value: text.into(), origin: origin.clone(), place: format!("{place}: {name}"), base };
        layer.insert(name.to_owned(), raw);
    }
    layer
}

fn unknown(name: &str) -> String {
    let upper = name.to_uppercase();
    let bare = upper.strip_suffix("_FILE").unwrap_or(&upper);
    // Ours are spelt without their first word in files.
    if let Some(secret) = SECRETS.iter().find(|secret| **secret == bare || secret.strip_prefix("MNEMIC_") == Some(bare))
    {
        return format!(
            "{name}: expected secrets in the environment or .env as {secret} or {secret}_FILE, found one here"
        );
    }
    let hint = nearest(name, &SETTINGS)
        .map_or_else(|| "mnemic config show lists them".to_owned(), |near| format!("did you mean {near}?"));
    format!("expected a known setting, found {} ({hint})", quoted(name))
}
