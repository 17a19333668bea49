//! What was done to a move on this machine, one line a step, so that a report can tell of it. A note decides nothing: where a move
//! stands is in the ledgers. Not here: what a report looks like (`report`).

use std::{
    env,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use mnemic::{Object, Value, value::write_canonical_object, wire};

use super::Pair;

/// Bytes of notes that are read, so that a file that is something else does no harm.
const MOST: u64 = 64 << 20;

/// A step that was noted.
#[derive(Clone, Debug)]
pub(super) struct Note {
    /// When.
    pub(super) at: String,
    /// Which step, such as `verify`.
    pub(super) step: String,
    /// Its figures.
    pub(super) figures: Object,
}

/// Notes that a step was done. A machine without a place for notes goes without.
pub(super) fn write(pair: &Pair, step: &str, figures: Object) {
    let Some(path) = file() else { return };
    let Ok((source, target)) = addresses(pair) else { return };
    let line = Object::from([
        ("at".to_owned(), Value::from(pair.source.now().to_string())),
        ("step".to_owned(), Value::from(step)),
        ("source".to_owned(), Value::from(source)),
        ("target".to_owned(), Value::from(target)),
        ("figures".to_owned(), Value::Object(figures)),
    ]);
    if let Err(error) = append(&path, &line) {
        tracing::warn!(%error, "the step could not be noted for reports in {}", path.display());
    }
}

/// The notes on a move, oldest first.
pub(super) fn read(pair: &Pair) -> Vec<Note> {
    let Some(text) = file().and_then(|path| readable(&path)) else { return Vec::new() };
    let Ok((source, target)) = addresses(pair) else { return Vec::new() };
    let note = |line: &str| {
        let Ok(Value::Object(mut line)) = wire::json::parse(line) else { return None };
        let text = |name: &str| match line.get(name) {
            Some(Value::String(text)) => Some(text.clone()),
            _ => None,
        };
        if text("source")? != source || text("target")? != target {
            return None;
        }
        let (at, step) = (text("at")?, text("step")?);
        let Some(Value::Object(figures)) = line.remove("figures") else { return None };
        Some(Note { at, step, figures })
    };
    text.lines().filter_map(note).collect()
}

fn addresses(pair: &Pair) -> mnemic::Result<(String, String)> {
    Ok((pair.source.address()?.to_string(), pair.target.address()?.to_string()))
}

/// Where programs keep what they did, by the rules of the desktop; `None` on a machine without a home.
fn file() -> Option<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("mnemic").join("migrations.jsonl"))
}

fn append(path: &Path, line: &Object) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut text = String::new();
    write_canonical_object(line, &mut text);
    text.push('\n');
    OpenOptions::new().create(true).append(true).open(path)?.write_all(text.as_bytes())
}

fn readable(path: &Path) -> Option<String> {
    let size = fs::metadata(path).ok()?.len();
    if size > MOST {
        return None;
    }
    fs::read_to_string(path).ok()
}
