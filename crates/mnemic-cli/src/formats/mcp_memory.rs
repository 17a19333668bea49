//! The file of the official MCP memory server (`@modelcontextprotocol/server-memory`): a graph as JSON Lines, entities first, then
//! relations. Not here: the server's tools, which search that file by substring.

use mnemic::{NewRecord, Object, RecordId, Result, Value, wire};

use super::{
    Item,
    fields::{Keys, shown},
    rows::{Defaults, derived_id, imported_from},
};

const SYSTEM: &str = "mcp-memory";
/// Bytes of an entity's observations that stand in the metadata too; beyond them the text alone holds them, one a line.
const OBSERVATION_BYTES: usize = 32 * 1024;
/// Observations that stand in the metadata too.
const OBSERVATIONS: usize = 1000;

/// Whether a line is one of the server's.
pub(super) fn is_one(object: &Object) -> bool {
    let has = |key: &str| object.contains_key(key);
    match object.get("type").and_then(Value::as_str) {
        Some("entity") => has("name") && has("entityType"),
        Some("relation") => has("from") && has("relationType"),
        _ => false,
    }
}

/// Reads a line. The server itself passes over types that it does not know.
pub(super) fn read(object: &Object, defaults: &Defaults) -> Result<Option<Item>> {
    let keys = Keys::any(object);
    let draft = match keys.needed("type")? {
        "entity" => entity(&keys)?,
        "relation" => relation(&keys)?,
        other => {
            let found = mnemic::ids::quoted(other);
            return Err(mnemic::Error::invalid("type", "entity or relation", found));
        }
    };
    Ok(Some(defaults.item(draft, None, None)))
}

/// One record an entity: its name and type, then its observations, one a line.
fn entity(keys: &Keys<'_>) -> Result<NewRecord> {
    let (name, kind) = (keys.needed("name")?, keys.needed("entityType")?);
    let observations = observations(keys.get("observations"))?;
    let mut text = format!("{name} ({kind})");
    for observation in &observations {
        text.push_str("\n- ");
        text.push_str(observation);
    }
    let mut draft = NewRecord::new(text)
        .with_id(entity_id(name)?)
        .with_source(SYSTEM)
        .with_metadata("name", name)
        .with_metadata("entity_type", kind);
    let listed = Value::Array(observations.iter().map(|observation| Value::from(*observation)).collect());
    if observations.len() <= OBSERVATIONS && wire::to_line(&listed_alone(&listed)).len() <= OBSERVATION_BYTES {
        draft = draft.with_metadata("observations", listed);
    }
    imported_from(&mut draft, SYSTEM, [("entity", Value::from(name))]);
    Ok(draft)
}

fn listed_alone(list: &Value) -> Object {
    Object::from([("observations".to_owned(), list.clone())])
}

fn observations(value: Option<&Value>) -> Result<Vec<&str>> {
    let refused = |found: &Value| mnemic::Error::invalid("observations", "a list of strings", shown(found));
    match value {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => items.iter().map(|item| item.as_str().ok_or_else(|| refused(item))).collect(),
        Some(other) => Err(refused(other)),
    }
}

/// One record a relation, as a sentence of both names. It names its entities and does not come from them: forgetting it must not
/// reach them.
fn relation(keys: &Keys<'_>) -> Result<NewRecord> {
    let (from, to, kind) = (keys.needed("from")?, keys.needed("to")?, keys.needed("relationType")?);
    let identity = Value::Array([from, kind, to].map(Value::from).to_vec());
    let id = derived_id("relation", &wire::to_line(&Object::from([("relation".to_owned(), identity)])))?;
    let mut draft = NewRecord::new(format!("{from} {} {to}", kind.replace('_', " ")))
        .with_id(id)
        .with_source(SYSTEM)
        .with_metadata("from", from)
        .with_metadata("to", to)
        .with_metadata("relation_type", kind)
        .with_metadata("from_id", entity_id(from)?.as_str())
        .with_metadata("to_id", entity_id(to)?.as_str());
    imported_from(&mut draft, SYSTEM, [("relation", Value::from(kind))]);
    Ok(draft)
}

/// An entity is identified by its name alone. The prefix keeps a name from being the id of something else.
fn entity_id(name: &str) -> Result<RecordId> {
    RecordId::new(format!("entity:{name}")).or_else(|_| derived_id("entity", name))
}

#[cfg(test)]
mod tests {
    use mnemic::wire::json;

    use super::{super::What, *};

    fn draft(line: &str) -> Result<NewRecord> {
        let item = read(&json::parse_object(line).unwrap(), &Defaults::default())?.unwrap();
        match item.what {
            What::Record { draft, .. } => Ok(*draft),
            other => panic!("expected a record, found {other:?}"),
        }
    }

    #[test]
    fn an_entity_becomes_one_record_with_all_its_observations() {
        let record =
            draft(r#"{"type":"entity","name":"Ann","entityType":"person","observations":["sings","has two\nlines"]}"#);
        let record = record.unwrap();
        assert_eq!(record.text, "Ann (person)\n- sings\n- has two\nlines");
        assert_eq!(record.id.unwrap().as_str(), "entity:Ann");
        let metadata = wire::to_line(&record.metadata);
        assert!(metadata.contains(r#""observations":["sings","has two\nlines"]"#), "{metadata}");
        assert!(metadata.contains(r#""imported_from":{"entity":"Ann","system":"mcp-memory"}"#), "{metadata}");
    }

    #[test]
    fn more_observations_than_metadata_holds_stay_in_the_text() {
        let long = "x".repeat(OBSERVATION_BYTES);
        let line = format!(r#"{{"type":"entity","name":"Ann","entityType":"person","observations":["{long}"]}}"#);
        let record = draft(&line).unwrap();
        assert!(record.text.ends_with(&long) && !record.metadata.contains_key("observations"));
    }

    #[test]
    fn a_relation_names_both_its_entities_and_another_one_has_another_id() {
        let line = |from: &str, to: &str| {
            format!(r#"{{"type":"relation","from":"{from}","to":"{to}","relationType":"works_at"}}"#)
        };
        let record = draft(&line("Ann", "Acme")).unwrap();
        assert_eq!(record.text, "Ann works at Acme");
        let said = |key: &str| record.metadata.get(key).and_then(Value::as_str).unwrap().to_owned();
        assert_eq!((said("from_id"), said("to_id")), ("entity:Ann".to_owned(), "entity:Acme".to_owned()));
        assert_eq!((said("from"), said("relation_type"), said("to")), ("Ann".into(), "works_at".into(), "Acme".into()));
        assert!(record.provenance.is_empty(), "forgetting a relation would forget its entities");
        assert_ne!(record.id, draft(&line("Acme", "Ann")).unwrap().id);
    }

    #[test]
    fn a_wrong_line_is_refused_by_field() {
        for (field, line) in [
            ("type", r#"{"name":"x"}"#),
            ("type", r#"{"type":"note","name":"x"}"#),
            ("entityType", r#"{"type":"entity","name":"x"}"#),
            ("observations", r#"{"type":"entity","name":"x","entityType":"y","observations":[7]}"#),
            ("to", r#"{"type":"relation","from":"x","relationType":"y"}"#),
        ] {
            assert_eq!(draft(line).unwrap_err().field(), Some(field), "{line}");
        }
    }
}
