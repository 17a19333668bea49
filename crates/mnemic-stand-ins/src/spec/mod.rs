//! A vendor's own description (`OpenAPI` 3) as a judge of requests and answers. Not here: what descriptions leave unsaid.

mod schema;

use std::{
    collections::HashMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use jsonschema::Validator;
use serde_json::{Map, Value};

use crate::Exchange;

/// Most faults that one body is told of.
const MOST_FAULTS: usize = 5;

/// What is wrong with a description itself.
#[derive(Debug)]
pub struct SpecError(String);

impl std::fmt::Display for SpecError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SpecError {}

/// The folder of the vendors' descriptions: below `MNEMIC_SHARED`, else below `../shared` beside the workspace; `None` if it is not there.
pub fn directory() -> Option<PathBuf> {
    let shared = std::env::var_os("MNEMIC_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    Some(shared.join("contracts/specs")).filter(|specs| specs.is_dir())
}

/// One description.
pub struct Spec {
    operations: Vec<Operation>,
    /// `components` of the description, as JSON Schema.
    components: Value,
    /// The path of the server's address, which may stand before every path.
    base: String,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

struct Operation {
    method: String,
    template: Vec<String>,
    parameters: Vec<Value>,
    request: Option<Value>,
    responses: Map<String, Value>,
}

impl std::fmt::Debug for Spec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spec")
            .field("operations", &self.operations.len())
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

impl Spec {
    /// Reads a description (YAML or JSON). Members that an object's description does not name are let through, as JSON Schema does.
    ///
    /// # Errors
    /// For a file that cannot be read or is no description.
    pub fn load(file: &Path) -> Result<Self, SpecError> {
        Self::read(file, false, |_| {})
    }

    /// The same, refusing members that the description does not name, so that a misspelt optional field shows.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_closed(file: &Path) -> Result<Self, SpecError> {
        Self::read(file, true, |_| {})
    }

    /// The same after corrections, for a description that says of itself what cannot be true.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_corrected(file: &Path, correct: impl FnOnce(&mut Value)) -> Result<Self, SpecError> {
        Self::read(file, true, correct)
    }

    fn read(file: &Path, closed: bool, correct: impl FnOnce(&mut Value)) -> Result<Self, SpecError> {
        let failed = |what: &dyn std::fmt::Display| SpecError(format!("{}: {what}", file.display()));
        let text = fs::read_to_string(file).map_err(|error| failed(&error))?;
        let mut document: Value = if file.extension().is_some_and(|extension| extension == "json") {
            serde_json::from_str(&text).map_err(|error| failed(&error))?
        } else {
            serde_saphyr::from_str(&text).map_err(|error| failed(&error))?
        };
        correct(&mut document);
        Self::of(&schema::as_json_schema(document, closed)).ok_or_else(|| failed(&"no OpenAPI description"))
    }

    fn of(document: &Value) -> Option<Self> {
        let mut operations = Vec::new();
        for (path, item) in document.get("paths")?.as_object()? {
            let item = item.as_object()?;
            let shared = item.get("parameters").and_then(Value::as_array).cloned().unwrap_or_default();
            for (method, operation) in item {
                if !matches!(method.as_str(), "get" | "put" | "post" | "delete" | "patch" | "head" | "options") {
                    continue;
                }
                let own = operation.get("parameters").and_then(Value::as_array).cloned().unwrap_or_default();
                let followed = |value: &Value| schema::followed(document, value).clone();
                operations.push(Operation {
                    method: method.to_uppercase(),
                    template: segments(path),
                    parameters: shared.iter().chain(&own).map(followed).collect(),
                    request: operation.get("requestBody").map(followed),
                    responses: operation
                        .get("responses")?
                        .as_object()?
                        .iter()
                        .map(|(status, response)| (status.clone(), followed(response)))
                        .collect(),
                });
            }
        }
        let address = document.pointer("/servers/0/url").and_then(Value::as_str).unwrap_or_default();
        let base = address.split_once("://").map_or("", |(_, rest)| rest.split_once('/').map_or("", |(_, path)| path));
        Some(Self {
            operations,
            components: document.get("components").cloned().unwrap_or_default(),
            base: if base.is_empty() { String::new() } else { format!("/{}", base.trim_end_matches('/')) },
            validators: Mutex::default(),
        })
    }

    /// What the description has against a request and its answer, in words; empty if nothing.
    /// An answer that a fault made is not judged.
    pub fn check(&self, exchange: &Exchange) -> Vec<String> {
        let mut faults = self.check_request(exchange);
        if !exchange.faulty {
            faults.extend(self.check_answer(exchange));
        }
        faults
    }

    /// What the description has against a request.
    pub fn check_request(&self, exchange: &Exchange) -> Vec<String> {
        let (call, Some(operation)) = (called(exchange), self.find(&exchange.method, &exchange.path)) else {
            return vec![format!("{}: no such operation", called(exchange))];
        };
        let mut faults = parameters(operation, exchange);
        match &operation.request {
            None if exchange.body.is_empty() => {}
            None => faults.push("has a body, and none is described".to_owned()),
            Some(request) => {
                let required = request.get("required") == Some(&Value::Bool(true));
                if required || !exchange.body.is_empty() {
                    let kind = exchange.headers.get("content-type").map_or("", String::as_str);
                    faults.extend(self.content(request, kind, &exchange.body));
                }
            }
        }
        faults.into_iter().map(|fault| format!("{call}: request {fault}")).collect()
    }

    /// What the description has against an answer.
    pub fn check_answer(&self, exchange: &Exchange) -> Vec<String> {
        let call = called(exchange);
        let Some(operation) = self.find(&exchange.method, &exchange.path) else {
            return vec![format!("{call}: no such operation")];
        };
        let status = exchange.status.to_string();
        let range = format!("{}XX", exchange.status / 100);
        let named = [status.as_str(), range.as_str(), "default"];
        let Some(response) = named.into_iter().find_map(|name| operation.responses.get(name)) else {
            return vec![format!("{call}: status {status} is not described")];
        };
        let kind = exchange.answer_headers.get("content-type").map_or("", String::as_str);
        let faults =
            if response.get("content").is_some_and(|content| content.as_object().is_some_and(|c| !c.is_empty())) {
                self.content(response, kind, &exchange.answer)
            } else if exchange.answer.is_empty() {
                Vec::new()
            } else {
                vec!["has a body, and none is described".to_owned()]
            };
        faults.into_iter().map(|fault| format!("{call}: answer {status} {fault}")).collect()
    }

    fn find(&self, method: &str, path: &str) -> Option<&Operation> {
        let below = path.strip_prefix(self.base.as_str()).filter(|rest| rest.starts_with('/')).unwrap_or(path);
        let asked = segments(below);
        let fits = |operation: &&Operation| {
            operation.method == method
                && operation.template.len() == asked.len()
                && operation.template.iter().zip(&asked).all(|(wanted, found)| is_open(wanted) || wanted == found)
        };
        // A literal path is meant before one with a parameter in its place.
        let open = |operation: &&Operation| operation.template.iter().filter(|segment| is_open(segment)).count();
        self.operations.iter().filter(fits).min_by_key(open)
    }

    fn content(&self, holder: &Value, kind: &str, body: &[u8]) -> Vec<String> {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let Some(described) = holder.get("content").and_then(Value::as_object) else { return Vec::new() };
        let Some(media) = described.get(kind) else {
            let known: Vec<&String> = described.keys().collect();
            return vec![format!("is {kind:?}, and {known:?} are described")];
        };
        if !kind.ends_with("json") {
            return Vec::new();
        }
        let parsed: Value = match serde_json::from_slice(body) {
            Ok(parsed) => parsed,
            Err(error) => return vec![format!("is no JSON: {error}")],
        };
        let Some(schema) = media.get("schema") else { return Vec::new() };
        let validator = match self.validator(schema) {
            Ok(validator) => validator,
            Err(error) => return vec![error],
        };
        let told = |error: jsonschema::ValidationError<'_>| {
            let mut text = error.to_string();
            if text.chars().count() > 300 {
                text = text.chars().take(300).chain("…".chars()).collect();
            }
            format!("at {:?}: {text}", error.instance_path().to_string())
        };
        validator.iter_errors(&parsed).take(MOST_FAULTS).map(told).collect()
    }

    fn validator(&self, schema: &Value) -> Result<Arc<Validator>, String> {
        let key = schema.to_string();
        let mut built = self.validators.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(validator) = built.get(&key) {
            return Ok(Arc::clone(validator));
        }
        let mut root = schema.clone();
        if let Some(root) = root.as_object_mut() {
            root.insert("components".to_owned(), self.components.clone());
        }
        let options = jsonschema::options().with_draft(jsonschema::Draft::Draft202012);
        let validator = options.build(&root).map_err(|error| format!("cannot be judged: {error}"))?;
        Ok(Arc::clone(built.entry(key).or_insert(Arc::new(validator))))
    }
}

fn called(exchange: &Exchange) -> String {
    format!("{} {}", exchange.method, exchange.path)
}

fn segments(path: &str) -> Vec<String> {
    path.trim_start_matches('/').split('/').map(str::to_owned).collect()
}

fn is_open(segment: &str) -> bool {
    segment.contains('{')
}

/// What is wrong with the query and the headers of a request.
fn parameters(operation: &Operation, exchange: &Exchange) -> Vec<String> {
    let mut faults = Vec::new();
    let given = exchange.query_pairs();
    let described: Vec<(&str, &str, &Value)> = operation
        .parameters
        .iter()
        .filter_map(|parameter| Some((parameter.get("name")?.as_str()?, parameter.get("in")?.as_str()?, parameter)))
        .collect();
    for (name, value) in &given {
        match described.iter().find(|(known, place, _)| known == name && *place == "query") {
            None => faults.push(format!("has the parameter {name}, which is not described")),
            Some((_, _, parameter)) => {
                let schema = parameter.get("schema").unwrap_or(&Value::Null);
                if !could_be(schema, value) {
                    let mut fault = String::new();
                    // Writing to a string does not fail.
                    let _written = write!(fault, "has {name}={value:?}, which is not {schema}");
                    faults.push(fault);
                }
            }
        }
    }
    for (name, place, parameter) in &described {
        let required = parameter.get("required") == Some(&Value::Bool(true));
        let there = match *place {
            "query" => given.iter().any(|(given, _)| given == name),
            "header" => exchange.headers.contains_key(&name.to_lowercase()),
            _ => true,
        };
        if required && !there {
            faults.push(format!("lacks the {place} parameter {name}"));
        }
    }
    faults
}

/// Whether a parameter's text can stand for a value of this schema: types and enumerations only.
fn could_be(schema: &Value, text: &str) -> bool {
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array) {
        return allowed.iter().any(|value| value.as_str() == Some(text));
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("integer") => text.parse::<i64>().is_ok(),
        Some("number") => text.parse::<f64>().is_ok(),
        Some("boolean") => matches!(text, "true" | "false"),
        Some("array") => schema.get("items").is_none_or(|items| could_be(items, text)),
        _ => true,
    }
}
