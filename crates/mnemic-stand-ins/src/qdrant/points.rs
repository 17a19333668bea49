//! Changing points: upsert, delete, payloads. A request is refused whole before anything of it is done. Not here: asking (`query`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{
    collection::{Collection, Point, UNNAMED, passes},
    filter::Filter,
    id::PointId,
    path::Path,
    payload,
    refusal::{Outcome, Refusal},
    strict::Purpose,
};

/// What an upsert does about points that are there, or are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Upsert,
    InsertOnly,
    UpdateOnly,
}

/// How payloads are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PayloadChange {
    Set,
    Overwrite,
    Delete,
    Clear,
}

impl Collection {
    /// `PUT …/points`; the number of the operation.
    pub(super) fn upsert(&mut self, body: &Map<String, Value>) -> Outcome<u64> {
        let points = self.read_points(body)?;
        let update_filter = Filter::member(body, "update_filter")?;
        let mode = match body.get("update_mode").and_then(Value::as_str) {
            None | Some("upsert") => Mode::Upsert,
            Some("insert_only") => Mode::InsertOnly,
            Some("update_only") => Mode::UpdateOnly,
            Some(other) => return Err(Refusal::format(format!("unknown variant `{other}`"))),
        };
        if points.is_empty() {
            return Err(Refusal::bad_request("Empty update request"));
        }
        self.strict.check_batch(points.len())?;
        self.strict.check_filter(update_filter.as_ref(), &self.indexes, Purpose::Change)?;
        let version = self.next_operation();
        for (id, point) in points {
            let allowed = match self.points.get(&id) {
                None => mode != Mode::UpdateOnly,
                Some(held) => {
                    mode != Mode::InsertOnly && update_filter.as_ref().is_none_or(|filter| passes(filter, &id, held))
                }
            };
            if allowed {
                self.points.insert(id, Point { version, ..point });
            }
        }
        Ok(version)
    }

    fn read_points(&self, body: &Map<String, Value>) -> Outcome<Vec<(PointId, Point)>> {
        if let Some(points) = body.get("points").and_then(Value::as_array) {
            return points.iter().map(|point| self.read_point(point)).collect();
        }
        let none = || Refusal::format("data did not match any variant of untagged enum PointInsertOperations");
        let batch = body.get("batch").and_then(Value::as_object).ok_or_else(none)?;
        let ids = batch.get("ids").and_then(Value::as_array).ok_or_else(none)?;
        let vectors = batch.get("vectors").ok_or_else(none)?;
        let payloads = batch.get("payloads").and_then(Value::as_array);
        let column = |name: &str| vectors.get(name).and_then(Value::as_array);
        let at = |n: usize, id: &Value| {
            let mut point = Point { payload: payload::read(payloads.and_then(|p| p.get(n)))?, ..Point::default() };
            if let Some(unnamed) = vectors.as_array() {
                let vector = unnamed.get(n).ok_or_else(none)?;
                point.vectors.insert(UNNAMED.to_owned(), self.vector_named(UNNAMED)?.read(vector)?);
            } else {
                for name in vectors.as_object().into_iter().flat_map(Map::keys) {
                    let vector = column(name).and_then(|column| column.get(n)).ok_or_else(none)?;
                    point.vectors.insert(name.clone(), self.vector_named(name)?.read(vector)?);
                }
            }
            Ok((PointId::parse(id)?, point))
        };
        ids.iter().enumerate().map(|(n, id)| at(n, id)).collect()
    }

    fn read_point(&self, value: &Value) -> Outcome<(PointId, Point)> {
        let id = PointId::parse(value.get("id").ok_or_else(|| Refusal::format("missing field `id`"))?)?;
        let vector = value.get("vector").ok_or_else(|| Refusal::format("missing field `vector`"))?;
        let mut vectors = BTreeMap::new();
        match vector {
            Value::Object(named) => {
                for (name, vector) in named {
                    vectors.insert(name.clone(), self.vector_named(name)?.read(vector)?);
                }
            }
            unnamed => drop(vectors.insert(UNNAMED.to_owned(), self.vector_named(UNNAMED)?.read(unnamed)?)),
        }
        Ok((id, Point { vectors, payload: payload::read(value.get("payload"))?, version: 0 }))
    }

    /// The points that a body means by `points` or by `filter`.
    fn selected(&self, body: &Map<String, Value>) -> Outcome<BTreeSet<PointId>> {
        if let Some(ids) = body.get("points").filter(|ids| !ids.is_null()) {
            let ids = ids.as_array().ok_or_else(|| Refusal::format("invalid type: expected a sequence"))?;
            if ids.is_empty() {
                return Err(Refusal::bad_request("Empty update request"));
            }
            return ids.iter().map(PointId::parse).collect();
        }
        let filter = Filter::member(body, "filter")?;
        let filter =
            filter.ok_or_else(|| Refusal::format("data did not match any variant of untagged enum PointsSelector"))?;
        self.strict.check_filter(Some(&filter), &self.indexes, Purpose::Change)?;
        Ok(self.ids(&filter))
    }

    /// `POST …/points/delete`; the number of the operation. Ids that are not there are no error.
    pub(super) fn delete(&mut self, body: &Map<String, Value>) -> Outcome<u64> {
        let doomed = self.selected(body)?;
        let operation = self.next_operation();
        self.points.retain(|id, _| !doomed.contains(id));
        Ok(operation)
    }

    /// `…/points/payload`, `…/payload/delete`, `…/payload/clear`. Points that are there are changed even if others are not.
    pub(super) fn change_payload(&mut self, body: &Map<String, Value>, change: PayloadChange) -> Outcome<u64> {
        let new = match body.get("payload") {
            None if matches!(change, PayloadChange::Set | PayloadChange::Overwrite) => {
                return Err(Refusal::format("missing field `payload`"));
            }
            // A null inside of the payload means removal and is kept until then.
            given => payload::read(given)?,
        };
        let at =
            body.get("key").and_then(Value::as_str).map(|key| Path::parse(key).map_err(Refusal::format)).transpose()?;
        let keys = match body.get("keys").and_then(Value::as_array) {
            None if change == PayloadChange::Delete => return Err(Refusal::format("missing field `keys`")),
            keys => payload::paths(keys.map(Vec::as_slice).unwrap_or_default())?,
        };
        let meant = self.selected(body)?;
        let version = self.next_operation();
        let mut missing = None;
        for id in meant {
            let Some(point) = self.points.get_mut(&id) else {
                missing = missing.or(Some(id));
                continue;
            };
            match (change, &at) {
                (PayloadChange::Set, Some(path)) => payload::merge_at(&mut point.payload, path, &new),
                (PayloadChange::Set, None) => payload::merge(&mut point.payload, &new),
                (PayloadChange::Overwrite, _) => point.payload.clone_from(&new),
                (PayloadChange::Delete, _) => keys.iter().for_each(|key| payload::remove_at(&mut point.payload, key)),
                (PayloadChange::Clear, _) => point.payload = Map::new(),
            }
            point.version = version;
        }
        missing.map_or(Ok(version), |id| Err(Refusal::no_point(id)))
    }
}
