//! A thread's slots as objects. Not here: composing them into a prompt (`mnemic_core::policy::prompt`).

use std::collections::BTreeMap;

use mnemic_core::{
    Error, Object, Result, SlotMode, SlotWrite, Slots, Value, Version, VersionedSlots,
    ids::{check_label, check_text, quoted},
    limits,
    suggest::nearest,
};

use super::{
    fields::{Fields, required, shown},
    put, put_some,
    record::read_expect,
};

/// The slots of a thread at one version, as an object.
pub fn slots_object(slots: &VersionedSlots) -> Object {
    let named: Object = slots.slots.iter().map(|(name, text)| (name.clone(), Value::from(text.as_str()))).collect();
    let mut object = Object::new();
    put(&mut object, "slots", named);
    put(&mut object, "version", slots.version.0);
    put_some(&mut object, "updated_at", slots.updated_at.map(|at| at.to_string()));
    object
}

/// Reads slots, as [`slots_object`] writes them.
///
/// # Errors
/// `InvalidInput`, naming the field, what was expected and what came.
pub fn slots_from_object(object: &Object) -> Result<VersionedSlots> {
    let fields = Fields::new(object, &["slots", "version", "updated_at"])?;
    let mut slots = Slots::new();
    for (name, text) in read_changes(&fields)? {
        let text = required(&format!("slots.{name}"), "a string", text)?;
        slots.insert(name, text);
    }
    Ok(VersionedSlots {
        slots,
        version: Version(required("version", "a whole number from 0", fields.count("version")?)?),
        updated_at: fields.timestamp("updated_at")?,
    })
}

/// Reads a change of slots: `thread_id`; `slots`, where `null` removes one; `mode`, `merge` (also if absent) or `replace`;
/// `expect_version`, the version that must be stored.
///
/// # Errors
/// `InvalidInput`, naming the field, what was expected and what came.
pub fn slot_write_from_object(object: &Object) -> Result<SlotWrite> {
    let fields = Fields::new(object, &["thread_id", "slots", "mode", "expect_version"])?;
    let mode = |name: &str| match name {
        "merge" => Ok(SlotMode::Merge),
        "replace" => Ok(SlotMode::Replace),
        _ => {
            let hint = nearest(name, &["merge", "replace"]).map(|near| format!(" (did you mean {near}?)"));
            Err(Error::invalid("mode", "merge or replace", format!("{}{}", quoted(name), hint.unwrap_or_default())))
        }
    };
    Ok(SlotWrite {
        thread_id: required("thread_id", "a string", fields.parsed("thread_id")?)?,
        changes: read_changes(&fields)?,
        mode: fields.made("mode", mode)?.unwrap_or_default(),
        expect: read_expect(&fields)?,
    })
}

fn read_changes(fields: &Fields<'_>) -> Result<BTreeMap<String, Option<String>>> {
    let object = required("slots", "an object of strings", fields.object("slots")?)?;
    if object.len() > limits::SLOTS {
        return Err(Error::invalid("slots", format!("at most {} slots", limits::SLOTS), object.len()));
    }
    let change = |(name, value): (&String, &Value)| {
        check_label("slots", name, limits::LABEL_BYTES)?;
        let field = format!("slots.{name}");
        let text = match value {
            Value::Null => None,
            Value::String(text) => {
                check_text(&field, text, limits::TEXT_BYTES)?;
                Some(text.clone())
            }
            other => return Err(Error::invalid(field, "a string", shown(other))),
        };
        Ok((name.clone(), text))
    };
    object.iter().map(change).collect()
}
