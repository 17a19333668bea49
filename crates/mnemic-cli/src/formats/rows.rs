//! What every source is to the import: rows in order, each of them items or a fault, and at the end a word about the whole.
//! Not here: which sources there are (`open`) and what becomes of the items (`load`).

use std::io::Read;

use mnemic::{Digest, Error, NewRecord, Object, RecordId, Result, ThreadId, UserId, Value, policy::audit, wire};

use super::{Fault, Format, Interpreter, Item, What, lines::Lines, load::Onto, own::FileEmbedding};
use crate::exit::{self, Failure};

/// One row of a source: a line, or whatever it consists of.
#[derive(Debug)]
pub(crate) struct Row {
    /// Counted from 1.
    pub number: u64,
    /// About how many bytes it holds.
    pub bytes: usize,
    /// What it says.
    pub read: Result<Vec<Item>, Fault>,
}

/// What is known of a source once it was read to its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About {
    /// The format, unless the source was empty.
    pub format: Option<Format>,
    /// The digest of the file, where it is one.
    pub digest: Option<Digest>,
}

/// A source that is read from its beginning to its end, on a thread that may wait.
pub(crate) trait Rows: Send {
    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// What ends the import: the source cannot be read on.
    fn next(&mut self) -> exit::Result<Option<Row>>;

    /// How far the source was read, in the unit of its length.
    fn position(&self) -> u64;

    /// What is known at the end.
    fn about(&self) -> About;
}

/// A source of lines.
pub(crate) struct LineRows<R> {
    lines: Lines<R>,
    interpreter: Interpreter,
    last: u64,
    ended: bool,
}

impl<R: Read + Send> LineRows<R> {
    pub(super) fn new(source: R, interpreter: Interpreter) -> Self {
        Self { lines: Lines::new(source), interpreter, last: 0, ended: false }
    }
}

impl<R: Read + Send> Rows for LineRows<R> {
    fn next(&mut self) -> exit::Result<Option<Row>> {
        let failed = |error| Failure::other(format!("cannot read on: {error}"));
        if let Some(line) = self.lines.next().map_err(failed)? {
            self.last = line.number;
            let bytes = line.text.as_ref().map_or(0, String::len);
            let read = match line.text {
                Ok(text) => self.interpreter.line(line.number, &text),
                Err(error) => Err(Fault::Line(error)),
            };
            return Ok(Some(Row { number: line.number, bytes, read }));
        }
        if std::mem::replace(&mut self.ended, true) {
            return Ok(None);
        }
        let read = self.interpreter.end().map_err(Fault::Line);
        Ok(Some(Row { number: self.last, bytes: 0, read }))
    }

    fn position(&self) -> u64 {
        self.lines.bytes()
    }

    fn about(&self) -> About {
        About { format: self.interpreter.format(), digest: Some(self.lines.digest()) }
    }
}

/// What the command line says about records whose source leaves it open.
#[derive(Clone, Debug, Default)]
pub(crate) struct Defaults {
    /// The thread of what names none.
    pub thread: Option<ThreadId>,
    /// The user of what names none.
    pub user: Option<UserId>,
    /// The model that made the source's embeddings, as `provider/name`.
    pub model: Option<String>,
}

impl Defaults {
    /// The item of a record that another system held, with what the source leaves open.
    pub(super) fn item(&self, mut draft: NewRecord, embedding: Option<Vec<f32>>, place: Option<String>) -> Item {
        draft.user_id = draft.user_id.or_else(|| self.user.clone());
        draft.thread_id = draft.thread_id.or_else(|| self.thread.clone());
        let embedding = embedding.map(|components| self.embedding(components));
        Item { place, what: What::Record { draft: Box::new(draft), embedding, onto: Onto::Replace } }
    }

    /// An embedding of the source, under the full name of the model that the command line says made it.
    fn embedding(&self, components: Vec<f32>) -> FileEmbedding {
        let model = self.model.as_deref().map_or_else(String::new, |model| {
            let (name, rest) = model.split_once('@').unwrap_or((model, ""));
            let metric = rest.split_once('-').map_or("cosine", |(_, metric)| metric);
            format!("{name}@{}-{metric}", components.len())
        });
        FileEmbedding { model, components }
    }
}

/// The id that something with an identity of its own elsewhere gets: the other system's where that can be one here, else one that
/// is made from it, the same every time.
pub(super) fn kept_id(sort: &str, id: &str) -> Result<RecordId> {
    RecordId::new(id).or_else(|_| derived_id(sort, id))
}

/// An id made from what identifies something.
pub(super) fn derived_id(sort: &str, identity: &str) -> Result<RecordId> {
    let mark = audit::digest(format!("mnemic.{sort}.v1\0{identity}").as_bytes()).to_string();
    RecordId::new(format!("{sort}-{}", mark.get(..32).unwrap_or(&mark)))
}

/// An id made from all that a row says.
pub(super) fn id_of_row(sort: &str, row: &Object) -> Result<RecordId> {
    derived_id(sort, &wire::to_line(row))
}

/// The key of a record's metadata under which it stands where the record came from.
pub(super) const IMPORTED_FROM: &str = "imported_from";

/// Notes in a record's metadata where it came from. What stands there already came with the data and is kept inside.
pub(super) fn imported_from<'a>(draft: &mut NewRecord, system: &str, more: impl IntoIterator<Item = (&'a str, Value)>) {
    let mut from = Object::from([("system".to_owned(), Value::from(system))]);
    from.extend(more.into_iter().map(|(key, value)| (key.to_owned(), value)));
    if let Some(earlier) = draft.metadata.remove(IMPORTED_FROM) {
        from.insert("before".to_owned(), earlier);
    }
    draft.metadata.insert(IMPORTED_FROM.to_owned(), from.into());
}

/// The user of a row, or an error that names the field that it stood in.
pub(super) fn user(field: &str, id: &str) -> Result<UserId> {
    UserId::new(id).map_err(|error| named(field, &error))
}

/// The thread of a row. Threads of Mnemic's own are not for other systems' rows.
pub(super) fn thread(field: &str, id: &str) -> Result<ThreadId> {
    let thread = ThreadId::new(id).map_err(|error| named(field, &error))?;
    if thread.is_reserved() {
        let expected = format!("a name that does not begin with {}", ThreadId::RESERVED_PREFIX);
        return Err(Error::invalid(field, expected, mnemic::ids::quoted(id)));
    }
    Ok(thread)
}

fn named(field: &str, error: &Error) -> Error {
    Error::new(error.kind(), error.message()).with_field(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_kept_where_it_can_be_and_otherwise_the_same_every_time() {
        assert_eq!(kept_id("x", "7c9e-π").unwrap().as_str(), "7c9e-π");
        let long = "a".repeat(256);
        let made = kept_id("x", &long).unwrap();
        assert!(made.as_str().starts_with("x-"), "{made}");
        assert_eq!(kept_id("x", &long).unwrap(), made);
        assert_ne!(kept_id("x", &"b".repeat(256)).unwrap(), made);
        assert_ne!(kept_id("y", &long).unwrap(), made);
    }

    #[test]
    fn where_a_record_came_from_is_told_without_losing_where_it_came_from_before() {
        let mut draft = NewRecord::new("x").with_metadata(IMPORTED_FROM, "elsewhere");
        imported_from(&mut draft, "mem0", [("id", Value::from("7"))]);
        let said = wire::to_line(&draft.metadata);
        assert_eq!(said, r#"{"imported_from":{"before":"elsewhere","id":"7","system":"mem0"}}"#);
    }

    #[test]
    fn what_a_source_leaves_open_comes_from_the_command_line() {
        let defaults = Defaults { user: Some(UserId::new("ann").unwrap()), ..Defaults::default() };
        let said = |draft| match defaults.item(draft, None, None).what {
            What::Record { draft, .. } => draft.user_id.unwrap().to_string(),
            other => panic!("expected a record, found {other:?}"),
        };
        assert_eq!(said(NewRecord::new("x")), "ann");
        assert_eq!(said(NewRecord::new("x").with_user_id(UserId::new("bob").unwrap())), "bob");
    }
}
