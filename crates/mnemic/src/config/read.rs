//! One setting or secret out of all sources, parsed or told as a fault. Not here: which settings there are (`resolve`,
//! `production`) and the sources themselves (`sources`).

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    str::FromStr,
};

use mnemic_core::Error;
use mnemic_http::Address;

use super::{
    Origin, Secret, Sourced,
    faults::Faults,
    secret::{check_characters, postgres_dsn},
    sources::{POSTGRES_SECRETS, Raw, Sources},
    values::Fault,
};

/// Bytes of one secret.
const SECRET_BYTES: u64 = 64 * 1024;
const EMPTY: &str = "expected a value, found an empty one (unset it instead)";

/// The sources, and where faults go. A setting that is faulty reads as its default, so that reading goes on to the next fault;
/// with any fault, no setting leaves this module.
pub(super) struct Reader<'a> {
    pub(super) sources: &'a Sources,
    pub(super) faults: &'a mut Faults,
}

impl<'a> Reader<'a> {
    /// The text of a value, or nothing and a fault.
    pub(super) fn text(&mut self, raw: &'a Raw) -> Option<&'a str> {
        if raw.value.is_empty() {
            self.faults.push(&raw.place, EMPTY);
            return None;
        }
        self.faults.keep(&raw.place, raw.value.to_str().ok_or("expected UTF-8, found other bytes"))
    }

    /// A value that is read from its name, or nothing and a fault.
    pub(super) fn parsed<T: FromStr<Err = Error>>(&mut self, raw: &'a Raw) -> Option<T> {
        let text = self.text(raw)?;
        self.faults.keep(&raw.place, text.parse::<T>().map_err(|error| said(&error).to_owned()))
    }

    /// A setting that may be absent.
    pub(super) fn optional<T>(
        &mut self,
        setting: &str,
        parse: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Option<Sourced<T>> {
        let raw = self.sources.find(setting)?;
        let text = self.text(raw)?;
        let value = self.faults.keep(&raw.place, parse(text))?;
        Some(Sourced { value, origin: raw.origin.clone() })
    }

    /// A setting that has a default.
    pub(super) fn or<T>(
        &mut self,
        setting: &str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Sourced<T> {
        self.optional(setting, parse).unwrap_or(Sourced { value: default, origin: Origin::Default })
    }

    /// A setting that is read from its name, or its default.
    pub(super) fn named<T: FromStr<Err = Error>>(&mut self, setting: &str, default: Sourced<T>) -> Sourced<T> {
        let Some(raw) = self.sources.find(setting) else { return default };
        self.parsed(raw).map_or(default, |value| Sourced { value, origin: raw.origin.clone() })
    }

    /// The address of a server.
    pub(super) fn address(&mut self, setting: &str, plain_anywhere: bool) -> Option<Sourced<Address>> {
        self.optional(setting, |text| {
            check_characters(text)?;
            let checked = if plain_anywhere { Address::private(setting, text) } else { Address::new(setting, text) };
            checked.map_err(|error| {
                let hint = match Address::private(setting, text) {
                    Ok(_) => "; MNEMIC_ALLOW_PRIVATE_HTTP=true takes it inside a private network",
                    Err(_) => "",
                };
                format!("{}{hint}", said(&error))
            })
        })
    }

    /// A directory; relative paths start where they are written.
    pub(super) fn directory(&mut self, setting: &str, default: PathBuf) -> Sourced<PathBuf> {
        let default = Sourced { value: default, origin: Origin::Default };
        let Some(raw) = self.sources.find(setting) else { return default };
        if raw.value.is_empty() {
            self.faults.push(&raw.place, EMPTY);
            return default;
        }
        let path = Path::new(&raw.value);
        // No shell expands what stands in a file.
        let value = match (path.strip_prefix("~"), &self.sources.home) {
            (Ok(below), Some(home)) => home.join(below),
            (Ok(_), None) => {
                self.faults.push(&raw.place, "expected a path without ~, since HOME is not set, found one with it");
                return default;
            }
            (Err(_), _) => raw.base.join(path),
        };
        Sourced { value, origin: raw.origin.clone() }
    }

    /// A secret from the strongest source that has it or its file.
    pub(super) fn secret(&mut self, name: &str) -> Option<Sourced<Secret>> {
        let file_name = format!("{name}_FILE");
        let (value, file) = self.sources.secret(name)?;
        let (raw, value) = match (value, file) {
            (Some(raw), Some(_)) => {
                self.faults.push(&raw.place, format!("expected one of {name} and {file_name}, found both"));
                return None;
            }
            (Some(raw), None) => (
                raw,
                raw.value.to_str().map(str::to_owned).ok_or_else(|| "expected UTF-8, found other bytes".to_owned()),
            ),
            (None, Some(file)) => (file, secret_file(file)),
            (None, None) => return None,
        };
        let checked = value.and_then(|value| {
            check_characters(&value)?;
            if POSTGRES_SECRETS.contains(&name) { postgres_dsn(&value) } else { Ok(value) }
        });
        let value = self.faults.keep(&raw.place, checked)?;
        Some(Sourced { value: Secret::new(value), origin: raw.origin.clone() })
    }
}

/// What an error says after the name of its field; the place names it better.
pub(super) fn said(error: &Error) -> &str {
    let message = error.message();
    error
        .field()
        .and_then(|field| message.strip_prefix(field))
        .and_then(|rest| rest.strip_prefix(": "))
        .unwrap_or(message)
}

/// The content of a secret's file without the one line end that editors leave. Messages do not show the path: somebody may have
/// put the secret itself there.
fn secret_file(raw: &Raw) -> Result<String, Fault> {
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
