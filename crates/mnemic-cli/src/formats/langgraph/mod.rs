//! Stores of `LangGraph` (`SqliteStore`, `PostgresStore`): each item as the records in which `mnemic.integrations.langgraph.MnemicStore`
//! keeps it, so that a store can be used there as soon as it is imported. Not here: reading the databases (`sqlite`, `postgres`).

pub(super) mod postgres;
mod python;
pub(super) mod sqlite;
mod texts;

use std::{io::Write as _, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::{Compression, write::ZlibEncoder};
use mnemic::{Error, NewRecord, Object, RecordId, Result, Timestamp, Value, policy::audit, wire::json};

use super::{Item, What, fields::shown, rows::imported_from};

const SYSTEM: &str = "langgraph";
// The names below, and the sizes, are those of `python/mnemic/integrations/langgraph` (`_items`, `_blobs`, `_filters`).
const STORE: &str = "langgraph.store";
const HEAD: &str = "langgraph.item";
const TEXT: &str = "langgraph.text";
const PIECE: &str = "langgraph.piece";
const NO_TEXT: &str = "-";
const DATA: &str = "mnemic.langgraph.data";
const INLINE_BYTES: usize = 24_000;
const PLACE_BYTES: usize = 8_000;
const PIECE_BYTES: usize = 44_000;
const TEXT_BYTES: usize = 200_000;
const FIELDS: usize = 32;
const FIELD_BYTES: usize = 128;
const SCOPE_DEPTH: usize = 48;
const PATH_SEGMENTS: usize = 16;
const LABEL_BYTES: usize = 255;

/// An item as a database holds it.
#[derive(Debug)]
struct Entry {
    /// The namespace, its labels joined by dots, which none of them has.
    prefix: String,
    key: String,
    /// The value's JSON.
    value: String,
    created_at: Timestamp,
    updated_at: Timestamp,
    expires_at: Option<Timestamp>,
    /// Minutes.
    ttl: Option<f64>,
    /// By which of its fields the store finds it; `None` for a store without an index, which finds nothing by a query.
    fields: Option<Vec<String>>,
}

/// The records of an item: its head, pieces of a value that is too long for it, and what it is found by.
fn items(entry: &Entry) -> Result<Vec<Item>> {
    let namespace: Vec<&str> = entry.prefix.split('.').collect();
    let value = match json::parse(&entry.value).map_err(|error| error.within("value"))? {
        Value::Object(object) => object,
        other => return Err(Error::invalid("value", "an object", shown(&other))),
    };
    let place =
        python::list([python::list(namespace.iter().map(|label| python::ascii(label))), python::ascii(&entry.key)]);
    if place.len() > PLACE_BYTES {
        let expected = format!("at most {PLACE_BYTES} bytes of namespace and key together");
        return Err(Error::invalid("key", expected, format!("{} bytes", place.len())));
    }
    let made = Made::of(entry, &namespace, &value, place)?;
    let mut items = vec![made.head(entry)?];
    for (i, piece) in made.pieces.iter().enumerate() {
        items.push(made.piece(i, piece)?);
    }
    for (i, text) in made.texts.iter().enumerate() {
        items.push(made.text(i, text, entry)?);
    }
    Ok(items)
}

/// What the records of one item have in common.
struct Made {
    id: String,
    place: String,
    mark: String,
    scopes: Vec<String>,
    path: Vec<String>,
    beside: Object,
    inline: Option<String>,
    pieces: Vec<String>,
    texts: Vec<String>,
    parts_until: Option<Timestamp>,
}

impl Made {
    fn of(entry: &Entry, namespace: &[&str], value: &Object, place: String) -> Result<Self> {
        let parts = namespace.iter().copied().chain([entry.key.as_str()]);
        let inline = Value::from(entry.value.as_str());
        let length = mnemic::wire::to_line(&Object::from([(String::new(), inline)])).len();
        let pieces = if length <= INLINE_BYTES { Vec::new() } else { pieces(&entry.value)? };
        let paths = entry.fields.clone().unwrap_or_else(|| vec!["$".to_owned()]);
        let texts: Vec<String> = texts::of(value, &paths).iter().flat_map(|text| findable(text)).collect();
        let said = format!("{}\0{}\0{}", entry.value, entry.updated_at, texts.join("\0"));
        let end = |ttl: f64| Duration::try_from_secs_f64(ttl.max(0.0) * 60.0).unwrap_or(Duration::MAX);
        Ok(Self {
            id: format!("lg-{}", digest(parts)),
            place,
            mark: audit::digest(said.as_bytes()).to_string().chars().take(16).collect(),
            scopes: (0..=namespace.len().min(SCOPE_DEPTH)).map(|depth| scope(namespace, depth)).collect(),
            path: path(namespace),
            beside: fields_of(value),
            inline: pieces.is_empty().then(|| entry.value.clone()),
            pieces,
            texts,
            parts_until: entry.expires_at.map(|at| entry.ttl.map_or(at, |ttl| at.plus(end(ttl)))),
        })
    }

    fn head(&self, entry: &Entry) -> Result<Item> {
        let count = |count: usize| Value::from(count as u64);
        let mut draft = Self::hidden(&self.id, &[STORE, HEAD])?;
        draft.tags.extend(self.scopes.iter().cloned());
        draft.path.clone_from(&self.path);
        draft.metadata.extend(self.beside.clone());
        for (key, held) in [
            ("place", Value::from(self.place.as_str())),
            ("created_at", Value::from(python::time(entry.created_at))),
            ("updated_at", Value::from(python::time(entry.updated_at))),
            ("mark", Value::from(self.mark.as_str())),
            ("pieces", count(self.pieces.len())),
            ("texts", count(self.texts.len())),
        ] {
            draft.metadata.insert(key.to_owned(), held);
        }
        if let Some(value) = &self.inline {
            draft = draft.with_metadata("value", value.as_str());
        }
        if let (Some(ttl), Some(until)) = (entry.ttl.and_then(mnemic::Number::from_f64), self.parts_until) {
            draft.metadata.insert("ttl".to_owned(), Value::Number(ttl));
            draft = draft.with_metadata("parts_until", python::time(until));
        }
        draft.expires_at = entry.expires_at;
        dated(&mut draft, entry);
        imported_from(&mut draft, SYSTEM, []);
        Ok(Item { place: None, what: What::Data(Box::new(draft)) })
    }

    fn piece(&self, i: usize, piece: &str) -> Result<Item> {
        let mut draft = Self::hidden(&format!("{}.p{i}", self.id), &[STORE, PIECE])?;
        draft = draft.with_metadata("item", self.id.as_str());
        draft = draft.with_metadata("mark", self.mark.as_str()).with_metadata("data", piece);
        draft.expires_at = self.parts_until;
        Ok(Item { place: None, what: What::Data(Box::new(draft)) })
    }

    fn text(&self, i: usize, text: &str, entry: &Entry) -> Result<Item> {
        let id = RecordId::new(format!("{}.t{i}", self.id))?;
        let mut draft = NewRecord::new(text).with_id(id).with_source(SYSTEM).with_path(self.path.iter().cloned());
        draft.tags = [STORE, TEXT].into_iter().map(str::to_owned).chain(self.scopes.iter().cloned()).collect();
        draft.metadata.clone_from(&self.beside);
        draft = draft.with_metadata("item", self.id.as_str()).with_metadata("mark", self.mark.as_str());
        if is_label(&entry.key) {
            draft = draft.with_metadata("key", entry.key.as_str());
        }
        draft.expires_at = self.parts_until;
        dated(&mut draft, entry);
        imported_from(
            &mut draft,
            SYSTEM,
            [("namespace", Value::from(entry.prefix.as_str())), ("key", Value::from(entry.key.as_str()))],
        );
        Ok(Item { place: None, what: What::record(draft) })
    }

    /// A record that holds data and says nothing.
    fn hidden(id: &str, tags: &[&str]) -> Result<NewRecord> {
        let mut draft = NewRecord::new(NO_TEXT).with_id(RecordId::new(id)?).with_source(SYSTEM);
        draft = draft.with_tags(tags.iter().copied());
        draft.superseded_by = Some(RecordId::new(DATA)?);
        Ok(draft)
    }
}

fn dated(draft: &mut NewRecord, entry: &Entry) {
    draft.created_at = Some(entry.created_at);
    draft.updated_at = Some(entry.updated_at);
}

/// A short name for parts of any length.
fn digest<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let joined = python::list(parts.into_iter().map(python::ascii));
    audit::digest(joined.as_bytes()).to_string().chars().take(40).collect()
}

/// The tag that every item below the first `depth` labels of a namespace carries.
fn scope(namespace: &[&str], depth: usize) -> String {
    format!("lg:{}", digest(namespace.iter().copied().take(depth)))
}

fn path(namespace: &[&str]) -> Vec<String> {
    let fits = namespace.len() <= PATH_SEGMENTS && namespace.iter().all(|label| is_label(label));
    if fits { namespace.iter().map(|label| (*label).to_owned()).collect() } else { Vec::new() }
}

fn is_label(text: &str) -> bool {
    (1..=LABEL_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// The short texts of a value, by which the store filters, and whether these are all of its texts.
fn fields_of(value: &Object) -> Object {
    let (mut kept, mut whole) = (Object::new(), true);
    for (key, held) in value {
        let Value::String(text) = held else { continue };
        let named = (1..=FIELD_BYTES).contains(&key.len())
            && key.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'.');
        if kept.len() < FIELDS && named && text.len() <= FIELD_BYTES && !text.contains('\0') {
            kept.insert(key.clone(), held.clone());
        } else {
            whole = false;
        }
    }
    Object::from([("fields".to_owned(), kept.into()), ("all_fields".to_owned(), Value::from(whole))])
}

/// A long value, packed, as texts that each fit one record.
fn pieces(value: &str) -> Result<Vec<String>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(3));
    let packed = encoder.write_all(value.as_bytes()).and_then(|()| encoder.finish());
    let packed = packed.map_err(|source| Error::bug("a value cannot be packed").with_source(source))?;
    Ok(packed.chunks(PIECE_BYTES).map(|piece| STANDARD.encode(piece)).collect())
}

/// A text as texts of records: without what none may have, in parts where it is too long for one, none if it is blank.
fn findable(text: &str) -> Vec<String> {
    let clean = text.replace('\0', " ");
    if clean.len() <= TEXT_BYTES {
        return if clean.trim().is_empty() { Vec::new() } else { vec![clean] };
    }
    let characters: Vec<char> = clean.chars().collect();
    // Four bytes are the most that a character takes.
    let parts = characters.chunks(TEXT_BYTES / 4).map(|part| part.iter().collect::<String>());
    parts.filter(|part| !part.trim().is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(prefix: &str, key: &str, value: &str) -> Entry {
        let at: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        Entry {
            prefix: prefix.to_owned(),
            key: key.to_owned(),
            value: value.to_owned(),
            created_at: at,
            updated_at: at,
            expires_at: None,
            ttl: None,
            fields: None,
        }
    }

    fn drafts(entry: &Entry) -> Vec<NewRecord> {
        let draft = |item: Item| match item.what {
            What::Data(draft) | What::Record { draft, .. } => *draft,
            other => panic!("expected a record, found {other:?}"),
        };
        items(entry).unwrap().into_iter().map(draft).collect()
    }

    #[test]
    fn an_item_has_the_ids_and_tags_that_the_python_store_gives_it() {
        // What `item_id(("users", "анна"), "k-1")` and `scope` of each of its prefixes answer.
        let drafts = drafts(&entry("users.анна", "k-1", r#"{"text":"likes tea"}"#));
        assert_eq!(drafts[0].id.as_ref().unwrap().as_str(), ITEM);
        for scope in SCOPES {
            assert!(drafts.iter().all(|draft| draft.tags.contains(scope)), "{:?}", drafts[0].tags);
        }
        assert_eq!(drafts[0].path, ["users", "анна"]);
        assert_eq!(drafts[1].id.as_ref().unwrap().as_str(), format!("{ITEM}.t0"));
        assert_eq!(drafts[1].text, r#"{"text": "likes tea"}"#);
    }

    const ITEM: &str = "lg-e82bd30f1a534b56876743c5a4b4aa5efe18735b";
    const SCOPES: [&str; 2] =
        ["lg:ea4454264e268c19f19cc7845925b51ed64b0000", "lg:0f051595bf90a6f063778723fe3d82d7a259c4f5"];

    #[test]
    fn a_long_value_lies_in_pieces_and_a_short_one_in_the_head() {
        let noise: String =
            (0..90_000_u32).map(|i| char::from(b'a' + (i.wrapping_mul(2_654_435_761) >> 27) as u8 % 26)).collect();
        let long = drafts(&entry("n", "k", &format!(r#"{{"text":"{noise}"}}"#)));
        let said = |draft: &NewRecord, key: &str| draft.metadata.get(key).cloned();
        let count = said(&long[0], "pieces").unwrap();
        assert!(count != Value::from(0_u64) && said(&long[0], "value").is_none());
        assert_eq!(said(&long[1], "mark"), said(&long[0], "mark"));
        let short = drafts(&entry("n", "k", r#"{"text":"x"}"#));
        assert_eq!(said(&short[0], "value"), Some(Value::from(r#"{"text":"x"}"#)));
        assert_eq!(said(&short[0], "pieces"), Some(Value::from(0_u64)));
    }

    #[test]
    fn an_item_that_the_store_does_not_find_has_no_texts() {
        let mut hidden = entry("n", "k", r#"{"text":"x"}"#);
        hidden.fields = Some(Vec::new());
        assert_eq!(drafts(&hidden).len(), 1);
    }

    #[test]
    fn parts_outlive_their_head_by_its_time_to_live() {
        let mut mortal = entry("n", "k", r#"{"text":"x"}"#);
        mortal.expires_at = Some("2030-01-01T00:00:00Z".parse().unwrap());
        mortal.ttl = Some(1.5);
        let drafts = drafts(&mortal);
        assert_eq!(drafts[0].expires_at, mortal.expires_at);
        assert_eq!(drafts[1].expires_at.unwrap().to_string(), "2030-01-01T00:01:30Z");
        assert_eq!(drafts[0].metadata.get("parts_until"), Some(&Value::from("2030-01-01T00:01:30+00:00")));
    }

    #[test]
    fn what_is_no_item_is_refused_by_field() {
        for (field, value) in [("value", "[1]"), ("value", "{"), ("value", r#"{"a":123456789012345678901234567890}"#)] {
            let error = items(&entry("n", "k", value)).unwrap_err();
            assert!(error.field().is_some_and(|named| named.starts_with(field)), "{error}");
        }
        assert_eq!(items(&entry("n", &"k".repeat(9000), "{}")).unwrap_err().field(), Some("key"));
    }
}
