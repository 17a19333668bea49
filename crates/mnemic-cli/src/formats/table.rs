//! Tables of texts, whatever they are kept in: which column is which field of a record, and what a row says. Not here: reading
//! the rows (`csv`, `parquet`).

use mnemic::{
    Error, NewRecord, Object, Ratio, RecordKind, Result, Timestamp, Value, ids::quoted, suggest::nearest, wire::json,
};

use super::{
    Item, dates,
    fields::shown,
    open::Column,
    rows::{Defaults, id_of_row, imported_from, kept_id, thread, user},
};

/// The fields that a column may hold, by the names that columns have if nobody says otherwise.
const FIELDS: [&str; 17] = [
    "text",
    "id",
    "user_id",
    "thread_id",
    "kind",
    "source",
    "path",
    "tags",
    "metadata",
    "salience",
    "confidence",
    "created_at",
    "updated_at",
    "valid_from",
    "valid_to",
    "expires_at",
    "embedding",
];
/// Another usual name of the column with embeddings.
const VECTOR: &str = "vector";

/// What the columns of a table are.
#[derive(Debug)]
pub(super) struct Shape {
    /// For each column the field that it holds, or nothing for one that becomes metadata under its own name.
    fields: Vec<(String, Option<&'static str>)>,
    system: &'static str,
    file: Option<String>,
    defaults: Defaults,
}

impl Shape {
    /// Finds the fields of a record among the columns.
    ///
    /// # Errors
    /// A column is named that there is not, or none holds the text.
    pub(super) fn of(
        columns: &[String],
        said: &[Column],
        (system, file): (&'static str, Option<String>),
        defaults: Defaults,
    ) -> Result<Self> {
        let mut fields: Vec<(String, Option<&'static str>)> = columns.iter().map(|name| (name.clone(), None)).collect();
        let mut taken: Vec<&'static str> = Vec::new();
        for Column { field, column } in said {
            let known = FIELDS.into_iter().find(|known| known == field).ok_or_else(|| unknown_field(field))?;
            let place = fields.iter_mut().find(|(name, of)| name == column && of.is_none());
            place.ok_or_else(|| Error::invalid("column", listed(columns), quoted(column)))?.1 = Some(known);
            taken.push(known);
        }
        for (name, of) in fields.iter_mut().filter(|(_, of)| of.is_none()) {
            let standard = if name == VECTOR { "embedding" } else { name.as_str() };
            *of = FIELDS.into_iter().find(|known| *known == standard && !taken.contains(known));
            taken.extend(*of);
        }
        if !taken.contains(&"text") {
            let found = format!("{}; say which with --column text=NAME", listed(columns));
            return Err(Error::invalid("column", "a column called text", found));
        }
        Ok(Self { fields, system, file, defaults })
    }

    /// Reads a row: the values of its columns, in their order.
    pub(super) fn read(&self, values: Vec<Value>) -> Result<Item> {
        let present = |value: &Value| !matches!(value, Value::Null);
        let named = self.fields.iter().zip(values).filter(|(_, value)| present(value));
        let (mut said, mut metadata) = (Object::new(), Object::new());
        for ((name, field), value) in named {
            match field {
                Some(field) => said.insert((*field).to_owned(), value),
                None => metadata.insert(name.clone(), value),
            };
        }
        let embedding = said.remove("embedding").map(|value| embedding(&value)).transpose()?;
        let mut draft = draft(&said)?;
        for (key, value) in object(said.get("metadata"))? {
            if metadata.insert(key.clone(), value).is_some() {
                return Err(Error::invalid("metadata", "keys that are no columns", quoted(&key)));
            }
        }
        if draft.id.is_none() {
            let mut whole = said;
            whole.insert("metadata".to_owned(), metadata.clone().into());
            draft.id = Some(id_of_row("row", &whole)?);
        }
        draft.metadata = metadata;
        imported_from(&mut draft, self.system, self.file.as_deref().map(|file| ("file", Value::from(file))));
        Ok(self.defaults.item(draft, embedding, None))
    }
}

fn unknown_field(field: &str) -> Error {
    let hint = nearest(field, &FIELDS).map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
    Error::invalid("column", format!("one of the fields {}", FIELDS.join(", ")), format!("{}{hint}", quoted(field)))
}

fn listed(columns: &[String]) -> String {
    let shown: Vec<&str> = columns.iter().map(String::as_str).take(24).collect();
    format!("the columns {}", quoted_all(&shown.join(", ")))
}

/// Column names in a message, escaped.
fn quoted_all(text: &str) -> String {
    text.chars().take(400).flat_map(char::escape_debug).collect()
}

fn draft(said: &Object) -> Result<NewRecord> {
    let name = |field: &str| said.get(field).map(|value| name(field, value)).transpose();
    let text = match said.get("text") {
        Some(Value::String(text)) => text.clone(),
        Some(other) => return Err(Error::invalid("text", "a string", shown(other))),
        None => return Err(Error::invalid("text", "a string", "nothing")),
    };
    let mut draft = NewRecord::new(text);
    draft.id = name("id")?.map(|id| kept_id("row", &id)).transpose()?;
    draft.user_id = name("user_id")?.map(|id| user("user_id", &id)).transpose()?;
    draft.thread_id = name("thread_id")?.map(|id| thread("thread_id", &id)).transpose()?;
    draft.kind = name("kind")?.map(|kind| kind.parse::<RecordKind>()).transpose()?;
    draft.source = name("source")?;
    draft.path = labels("path", said.get("path"))?;
    draft.tags = labels("tags", said.get("tags"))?.into_iter().collect();
    draft.salience = ratio("salience", said.get("salience"))?;
    draft.confidence = ratio("confidence", said.get("confidence"))?;
    let time = |field: &str| said.get(field).map(|value| time(field, value)).transpose();
    draft.created_at = time("created_at")?;
    draft.updated_at = time("updated_at")?.or(draft.created_at);
    draft.valid_from = time("valid_from")?;
    draft.valid_to = time("valid_to")?;
    draft.expires_at = time("expires_at")?;
    Ok(draft)
}

/// An id or a label. Tables often number what they identify.
fn name(field: &str, value: &Value) -> Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(Error::invalid(field, "a string or a number", shown(other))),
    }
}

fn time(field: &str, value: &Value) -> Result<Timestamp> {
    match value {
        Value::String(text) => dates::parse(field, text),
        Value::Number(number) => dates::from_number(field, number),
        other => Err(Error::invalid(field, "a time", shown(other))),
    }
}

fn ratio(field: &str, value: Option<&Value>) -> Result<Option<Ratio>> {
    let number = match value {
        None => return Ok(None),
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => {
            text.trim().parse().map_err(|_refused| Error::invalid(field, "a number from 0 to 1", quoted(text)))?
        }
        Some(other) => return Err(Error::invalid(field, "a number from 0 to 1", shown(other))),
    };
    Ratio::new(field, number).map(Some)
}

/// A list: as such, or as JSON in a text.
fn list(field: &str, value: &Value) -> Result<Vec<Value>> {
    let refused = |found: String| Error::invalid(field, "a list, in a text as JSON", found);
    match value {
        Value::Array(items) => Ok(items.clone()),
        Value::String(text) => match json::parse(text.trim()) {
            Ok(Value::Array(items)) => Ok(items),
            Ok(_) => Err(refused(quoted(text))),
            Err(error) => Err(refused(quoted(text)).with_source(error)),
        },
        other => Err(refused(shown(other))),
    }
}

fn labels(field: &str, value: Option<&Value>) -> Result<Vec<String>> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let label = |item: Value| match item {
        Value::String(label) => Ok(label),
        other => Err(Error::invalid(field, "a list of strings", format!("{} in it", shown(&other)))),
    };
    list(field, value)?.into_iter().map(label).collect()
}

fn object(value: Option<&Value>) -> Result<Object> {
    let refused = |found: String| Error::invalid("metadata", "an object, in a text as JSON", found);
    match value {
        None => Ok(Object::new()),
        Some(Value::Object(object)) => Ok(object.clone()),
        Some(Value::String(text)) => {
            json::parse_object(text.trim()).map_err(|error| refused(quoted(text)).with_source(error))
        }
        Some(other) => Err(refused(shown(other))),
    }
}

fn embedding(value: &Value) -> Result<Vec<f32>> {
    let component = |item: &Value| match item {
        Value::Number(number) => Ok(number.as_f64() as f32),
        other => Err(Error::invalid("embedding", "a list of numbers", format!("{} in it", shown(other)))),
    };
    let components: Vec<f32> = list("embedding", value)?.iter().map(component).collect::<Result<_>>()?;
    check_embedding(components)
}

/// Refuses what no embedding can be, with the row's number instead of the whole batch's.
pub(super) fn check_embedding(components: Vec<f32>) -> Result<Vec<f32>> {
    let most = mnemic::limits::DIMENSIONS as usize;
    if components.is_empty() || components.len() > most {
        let found = format!("{} numbers", components.len());
        return Err(Error::invalid("embedding", format!("1 to {most} numbers"), found));
    }
    let sound = components.iter().all(|component| component.is_finite());
    if !sound || components.iter().all(|component| *component == 0.0) {
        let found = if sound { "only zeros" } else { "one that is not finite" };
        return Err(Error::invalid("embedding", "finite numbers that are not all zero", found));
    }
    Ok(components)
}

#[cfg(test)]
mod tests {
    use super::{super::What, *};

    fn shape(columns: &[&str], said: &[(&str, &str)]) -> Result<Shape> {
        let columns: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
        let said: Vec<Column> = said.iter().map(|(f, c)| format!("{f}={c}").parse().unwrap()).collect();
        Shape::of(&columns, &said, ("csv", Some("notes.csv".to_owned())), Defaults::default())
    }

    fn record(shape: &Shape, values: &[&str]) -> Result<NewRecord> {
        let cells = values.iter().map(|cell| if cell.is_empty() { Value::Null } else { Value::from(*cell) }).collect();
        match shape.read(cells)?.what {
            What::Record { draft, .. } => Ok(*draft),
            other => panic!("expected a record, found {other:?}"),
        }
    }

    #[test]
    fn columns_of_known_names_are_fields_and_all_others_metadata() {
        let shape = shape(&["id", "text", "user_id", "tags", "created_at", "mood", "metadata"], &[]).unwrap();
        let row = ["7", "x", "ann", r#"["a","b"]"#, "2024-02-03 10:00:00", "calm", r#"{"deep":{"n":1}}"#];
        let record = record(&shape, &row).unwrap();
        assert_eq!((record.id.unwrap().as_str(), record.user_id.unwrap().as_str()), ("7", "ann"));
        assert_eq!(record.tags.len(), 2);
        assert_eq!(record.created_at.unwrap().to_string(), "2024-02-03T10:00:00Z");
        assert_eq!(
            mnemic::wire::to_line(&record.metadata),
            r#"{"deep":{"n":1},"imported_from":{"file":"notes.csv","system":"csv"},"mood":"calm"}"#
        );
    }

    #[test]
    fn a_column_of_another_name_is_named_and_its_own_name_stays_free() {
        let shape = shape(&["text", "body"], &[("text", "body")]).unwrap();
        let record = record(&shape, &["a title", "the words"]).unwrap();
        assert_eq!(record.text, "the words");
        assert_eq!(record.metadata.get("text"), Some(&Value::from("a title")));
    }

    #[test]
    fn a_row_without_an_id_has_the_same_one_every_time_and_another_row_another() {
        let shape = shape(&["text", "mood"], &[]).unwrap();
        let id = |row: &[&str]| record(&shape, row).unwrap().id.unwrap();
        assert_eq!(id(&["x", "calm"]), id(&["x", "calm"]));
        assert_ne!(id(&["x", "calm"]), id(&["x", "gay"]));
        assert_ne!(id(&["x", "calm"]), id(&["x", ""]));
    }

    #[test]
    fn columns_that_are_not_there_or_mean_nothing_are_refused_with_advice() {
        for (columns, said, advice) in [
            (&["body"][..], &[][..], "--column text=NAME"),
            (&["body"], &[("text", "bdy")], "the columns body"),
            (&["body"], &[("txt", "body")], "did you mean text?"),
        ] {
            let error = shape(columns, said).unwrap_err();
            assert!(error.message().contains(advice), "{error}");
        }
    }

    #[test]
    fn a_wrong_cell_is_refused_by_field() {
        let columns = ["text", "thread_id", "kind", "salience", "tags", "created_at", "metadata", "embedding"];
        let shape = shape(&columns, &[]).unwrap();
        for (field, cell) in [
            ("text", ""),
            ("thread_id", "mnemic.journal"),
            ("kind", "semantik"),
            ("salience", "7"),
            ("tags", "a,b"),
            ("created_at", "soon"),
            ("metadata", "[1]"),
            ("embedding", "[1,\"x\"]"),
            ("embedding", "[0,0]"),
            ("embedding", "[1e300]"),
            ("embedding", "[]"),
        ] {
            let row: Vec<&str> = columns
                .iter()
                .map(|name| {
                    if *name == field {
                        cell
                    } else if *name == "text" {
                        "x"
                    } else {
                        ""
                    }
                })
                .collect();
            assert_eq!(record(&shape, &row).unwrap_err().field(), Some(field), "{cell}");
        }
    }
}
