//! Turns the schemas of `OpenAPI` 3.0 and 3.1 into JSON Schema 2020-12. Not here: operations.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

/// The whole document with its schemas as JSON Schema; `closed` refuses members that no description names.
pub(super) fn as_json_schema(mut document: Value, closed: bool) -> Value {
    let mut parts = HashSet::new();
    parts_of_others(&document, false, &mut parts);
    walk(&mut document, &mut |schema| translate(schema));
    if closed {
        close(&mut document, "#", false, &parts);
    }
    document
}

/// What a value stands for where it may be a reference into the document.
pub(super) fn followed<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let mut value = value;
    // A chain of references that is longer than this runs in a circle.
    for _ in 0..16 {
        let Some(target) = value.get("$ref").and_then(Value::as_str) else { break };
        match target.strip_prefix('#').and_then(|pointer| document.pointer(pointer)) {
            Some(found) => value = found,
            None => break,
        }
    }
    value
}

fn walk(value: &mut Value, change: &mut impl FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            change(object);
            for (name, inner) in object.iter_mut() {
                // Examples and constants are data, whatever they look like.
                if !matches!(name.as_str(), "example" | "examples" | "enum" | "const" | "default") {
                    walk(inner, change);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, change)),
        _ => {}
    }
}

/// The quirks of `OpenAPI` 3.0: `nullable`, and exclusive bounds as flags.
fn translate(schema: &mut Map<String, Value>) {
    if schema.get("nullable") == Some(&Value::Bool(true)) {
        schema.remove("nullable");
        let mut inner = std::mem::take(schema);
        // The description stays where readers of a fault look for it.
        for kept in ["description", "title"] {
            if let Some(text) = inner.remove(kept) {
                schema.insert(kept.to_owned(), text);
            }
        }
        schema.insert("anyOf".to_owned(), json!([{ "type": "null" }, inner]));
    }
    for (flag, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        match schema.get(flag) {
            Some(Value::Bool(true)) => {
                let limit = schema.remove(bound).unwrap_or(Value::Null);
                schema.insert(flag.to_owned(), limit);
            }
            Some(Value::Bool(false)) => drop(schema.remove(flag)),
            _ => {}
        }
    }
}

/// Collects references to schemas that are parts of a larger one, which alone knows all members.
fn parts_of_others(value: &Value, is_part: bool, parts: &mut HashSet<String>) {
    match value {
        Value::Object(object) => {
            if is_part && let Some(target) = object.get("$ref").and_then(Value::as_str) {
                parts.insert(target.to_owned());
            }
            for (name, inner) in object {
                parts_of_others(inner, makes_parts(object, name), parts);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| parts_of_others(item, is_part, parts)),
        _ => {}
    }
}

/// Whether the schemas below this keyword describe only a part of the object.
fn makes_parts(schema: &Map<String, Value>, keyword: &str) -> bool {
    match keyword {
        "allOf" => true,
        "anyOf" | "oneOf" => schema.contains_key("properties") || schema.contains_key("allOf"),
        _ => false,
    }
}

fn close(value: &mut Value, at: &str, is_part: bool, parts: &HashSet<String>) {
    match value {
        Value::Object(object) => {
            let named = object.contains_key("properties") || object.contains_key("allOf");
            let is_schema = object.get("properties").is_none_or(Value::is_object);
            let open = object.contains_key("additionalProperties");
            if named && is_schema && !open && !is_part && !parts.contains(at) {
                object.insert("unevaluatedProperties".to_owned(), Value::Bool(false));
            }
            let below: Vec<bool> = object.keys().map(|name| makes_parts(object, name)).collect();
            for ((name, inner), is_part) in object.iter_mut().zip(below) {
                if !matches!(name.as_str(), "example" | "examples" | "enum" | "const" | "default") {
                    close(inner, &format!("{at}/{name}"), is_part, parts);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                close(item, at, is_part, parts);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(schema: Value, closed: bool, instance: &Value) -> bool {
        let schema = as_json_schema(schema, closed);
        jsonschema::options().with_draft(jsonschema::Draft::Draft202012).build(&schema).unwrap().is_valid(instance)
    }

    #[test]
    fn null_is_allowed_where_a_description_says_nullable_and_nowhere_else() {
        let schema = |nullable: bool| json!({"type": "object", "properties": {"a": {"type": "string", "enum": ["x"], "nullable": nullable}}});
        assert!(allows(schema(true), false, &json!({"a": null})));
        assert!(allows(schema(true), false, &json!({"a": "x"})));
        assert!(!allows(schema(true), false, &json!({"a": "y"})));
        assert!(!allows(schema(false), false, &json!({"a": null})));
        assert!(!allows(json!({"minimum": 1, "exclusiveMinimum": true}), false, &json!(1)));
    }

    #[test]
    fn a_closed_description_refuses_what_it_does_not_name_also_below() {
        let inner = json!({"type": "object", "properties": {"b": {"type": "string"}}});
        let schema = json!({"type": "object", "properties": {"a": inner, "free": {"type": "object"}}});
        for (instance, named) in [
            (json!({"a": {"b": "x"}, "free": {"any": 1}}), true),
            (json!({"a": {"bb": "x"}}), false),
            (json!({"z": 1}), false),
        ] {
            assert_eq!(allows(schema.clone(), true, &instance), named, "{instance}");
            assert!(allows(schema.clone(), false, &instance));
        }
    }

    #[test]
    fn parts_of_a_whole_are_closed_together() {
        let schema = json!({
            "allOf": [{"$ref": "#/components/schemas/A"}, {"type": "object", "properties": {"b": {}}}],
            "components": {"schemas": {"A": {"type": "object", "properties": {"a": {}}}}},
        });
        assert!(allows(schema.clone(), true, &json!({"a": 1, "b": 2})));
        assert!(!allows(schema, true, &json!({"a": 1, "c": 2})));
    }
}
