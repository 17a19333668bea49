//! The `.env` file. Not here: which variables mean something (`resolve`).

use std::{collections::BTreeMap, fs, io, path::Path};

use mnemic_core::{ids::quoted, suggest::nearest};

use super::{faults::Faults, sources};

/// The variables of a `.env` file; none if there is no file. A malformed line that sets something of ours is a fault that names its place
/// and not its value; those of other programs, which may read the file in their own way, are passed over.
pub(super) fn read(path: &Path, faults: &mut Faults) -> BTreeMap<String, String> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return BTreeMap::new();
        }
        // A directory of this name is somebody's virtual environment, not ours to complain about.
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => return BTreeMap::new(),
        Err(error) => {
            faults.push(path.display(), format!("expected a readable file, found {}", error.kind()));
            return BTreeMap::new();
        }
    };
    let Some(text) = faults.keep(
        path.display(),
        String::from_utf8(bytes)
            .map_err(|error| format!("expected UTF-8, found other bytes at {}", error.utf8_error().valid_up_to())),
    ) else {
        return BTreeMap::new();
    };
    let text = text.trim_start_matches('\u{feff}');
    let mut variables = BTreeMap::new();
    for entry in dotenvy::Iter::new(text.as_bytes()) {
        match entry {
            Ok((name, value)) => {
                check_name(path, &name, faults);
                // As with the environment of a shell that sources the file, the last one stands.
                variables.insert(name, value);
            }
            Err(dotenvy::Error::LineParse(lines, _)) if !lines.lines().any(is_ours) => {}
            Err(dotenvy::Error::LineParse(line, _)) => {
                let place = format!("{}:{}", path.display(), line_of(text, &line));
                faults.push(place, "expected NAME=value, found a line that cannot be read");
            }
            Err(_) => faults.push(path.display(), "expected lines of NAME=value, found something that cannot be read"),
        }
    }
    variables
}

/// Whether a line begins with the name of a variable that means something here. An open quote makes several lines one.
fn is_ours(line: &str) -> bool {
    let line = line.trim_start();
    let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
    let name = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
    let secret = |name: &str| sources::SECRETS.contains(&name.strip_suffix("_FILE").unwrap_or(name));
    name == "ENV" || name.starts_with("MNEMIC_") || secret(name)
}

/// Which line, from 1, the malformed text begins at.
fn line_of(text: &str, malformed: &str) -> usize {
    let first = malformed.lines().next().unwrap_or_default().trim_end();
    1 + text.lines().position(|line| line.trim_end() == first).unwrap_or(0)
}

/// A misspelt variable of ours is a fault; another program's variable is none of our business.
fn check_name(path: &Path, name: &str, faults: &mut Faults) {
    let Some(own) = name.strip_prefix("MNEMIC_") else { return };
    let lower = own.to_lowercase();
    let known = sources::SETTINGS.iter().any(|setting| sources::variable(setting) == name)
        || sources::SECRETS.iter().any(|secret| name == *secret || name.strip_suffix("_FILE") == Some(*secret));
    if known {
        return;
    }
    if let Some(near) = nearest(&lower, &sources::SETTINGS) {
        let expected = sources::variable(near);
        faults.push(
            path.display(),
            format!("expected a known variable, found {} (did you mean {expected}?)", quoted(name)),
        );
    }
}
