//! One collection: what it was made with, its points, its payload indexes. Not here: how it is changed (`points`) and asked (`query`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{
    filter::{Filter, Seen},
    id::PointId,
    refusal::{Outcome, Refusal},
    strict::Strict,
};

/// The name of the vector of a collection that names none.
pub(super) const UNNAMED: &str = "";

/// How closeness is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Distance {
    Cosine,
    Dot,
    Euclid,
    Manhattan,
}

/// One kind of vector that points may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct VectorParams {
    pub(super) size: usize,
    pub(super) distance: Distance,
}

/// One point.
#[derive(Clone, Debug, Default)]
pub(super) struct Point {
    pub(super) vectors: BTreeMap<String, Vec<f32>>,
    pub(super) payload: Map<String, Value>,
    /// The operation that last changed it.
    pub(super) version: u64,
}

/// One collection.
#[derive(Debug)]
pub(super) struct Collection {
    /// The body that it was made with, and what changed since.
    made: Map<String, Value>,
    pub(super) vectors: BTreeMap<String, VectorParams>,
    pub(super) points: BTreeMap<PointId, Point>,
    /// Payload indexes: their schema by key.
    pub(super) indexes: BTreeMap<String, Value>,
    pub(super) strict: Strict,
    operations: u64,
}

impl Collection {
    /// Makes one from the body of the request.
    pub(super) fn new(body: &Value) -> Outcome<Self> {
        let made = body.as_object().ok_or_else(|| Refusal::format("invalid type: expected struct CreateCollection"))?;
        let mut vectors = BTreeMap::new();
        match made.get("vectors").filter(|config| !config.is_null()) {
            None => {}
            Some(config) if config.get("size").is_some() => {
                vectors.insert(UNNAMED.to_owned(), VectorParams::parse(config)?);
            }
            Some(config) => {
                let named =
                    config.as_object().ok_or_else(|| Refusal::format("invalid type: expected VectorsConfig"))?;
                for (name, params) in named {
                    vectors.insert(name.clone(), VectorParams::parse(params)?);
                }
            }
        }
        if made.get("sparse_vectors").is_some_and(|sparse| !sparse.is_null()) {
            return Err(Refusal::beyond("sparse vectors"));
        }
        let strict = Strict::parse(made.get("strict_mode_config"))?;
        Ok(Self {
            made: made.clone(),
            vectors,
            points: BTreeMap::new(),
            indexes: BTreeMap::new(),
            strict,
            operations: 0,
        })
    }

    /// Changes what can be changed afterwards.
    pub(super) fn update(&mut self, body: &Value) -> Outcome<()> {
        let changes =
            body.as_object().ok_or_else(|| Refusal::format("invalid type: expected struct UpdateCollection"))?;
        for (name, change) in changes.iter().filter(|(_, change)| !change.is_null()) {
            match name.as_str() {
                "strict_mode_config" | "hnsw_config" | "optimizers_config" | "metadata" => {
                    let held = self.made.entry(name.clone()).or_insert_with(|| json!({}));
                    if let (Some(held), Some(change)) = (held.as_object_mut(), change.as_object()) {
                        held.extend(change.clone());
                    }
                }
                "quantization_config" => drop(self.made.insert(name.clone(), change.clone())),
                "params" | "vectors" => return Err(Refusal::beyond("changing vectors or shards")),
                _ => {}
            }
        }
        self.strict = Strict::parse(self.made.get("strict_mode_config"))?;
        Ok(())
    }

    /// The number of the next operation.
    pub(super) fn next_operation(&mut self) -> u64 {
        self.operations += 1;
        self.operations - 1
    }

    /// The only vector, or the one of that name.
    pub(super) fn vector_named(&self, name: &str) -> Outcome<VectorParams> {
        let found = self.vectors.get(name).copied();
        found.ok_or_else(|| Refusal::wrong_input(format!("Not existing vector name error: {name}")))
    }

    /// The points that pass, by id.
    pub(super) fn passing<'a>(&'a self, filter: Option<&'a Filter>) -> impl Iterator<Item = (&'a PointId, &'a Point)> {
        self.points.iter().filter(move |(id, point)| filter.is_none_or(|filter| passes(filter, id, point)))
    }

    /// The ids of the points that pass.
    pub(super) fn ids(&self, filter: &Filter) -> BTreeSet<PointId> {
        self.passing(Some(filter)).map(|(id, _)| id.clone()).collect()
    }

    /// What `GET /collections/{name}` tells.
    pub(super) fn info(&self) -> Value {
        let given = |name: &str| self.made.get(name).filter(|value| !value.is_null());
        let over = |mut base: Value, name: &str| {
            if let (Some(base), Some(given)) = (base.as_object_mut(), given(name).and_then(Value::as_object)) {
                base.extend(given.iter().filter(|(_, value)| !value.is_null()).map(|(k, v)| (k.clone(), v.clone())));
            }
            base
        };
        let mut params = Map::new();
        params.insert("vectors".to_owned(), given("vectors").cloned().unwrap_or_else(|| json!({})));
        let defaults =
            [("shard_number", json!(1)), ("replication_factor", json!(1)), ("write_consistency_factor", json!(1))];
        for (name, default) in defaults.into_iter().chain([("on_disk_payload", json!(true))]) {
            params.insert(name.to_owned(), given(name).cloned().unwrap_or(default));
        }
        let hnsw = json!({ "m": 16, "ef_construct": 100, "full_scan_threshold": 10_000, "max_indexing_threads": 0,
                           "on_disk": false });
        let optimizer = json!({ "deleted_threshold": 0.2, "vacuum_min_vector_number": 1000, "default_segment_number": 0,
                                "max_segment_size": null, "memmap_threshold": null, "indexing_threshold": 10_000,
                                "flush_interval_sec": 5, "max_optimization_threads": null });
        let wal = json!({ "wal_capacity_mb": 32, "wal_segments_ahead": 0, "wal_retain_closed": 1 });
        let config = json!({
            "params": params,
            "hnsw_config": over(hnsw, "hnsw_config"),
            "optimizer_config": over(optimizer, "optimizers_config"),
            "wal_config": over(wal, "wal_config"),
            "quantization_config": given("quantization_config"),
            "strict_mode_config": given("strict_mode_config"),
            "metadata": given("metadata"),
        });
        json!({
            "status": "green",
            "optimizer_status": "ok",
            "indexed_vectors_count": 0,
            "points_count": self.points.len(),
            "segments_count": 1,
            "config": config,
            "payload_schema": self.payload_schema(),
        })
    }

    fn payload_schema(&self) -> Map<String, Value> {
        let told = |(key, schema): (&String, &Value)| {
            let held = self.points.values().filter(|point| !lacks(key, &point.payload)).count();
            let params = Some(schema).filter(|schema| schema.is_object());
            (key.clone(), json!({ "data_type": index_type(schema), "points": held, "params": params }))
        };
        self.indexes.iter().map(told).collect()
    }
}

/// The sort of an index: its schema is that word, or an object with it as `type`.
pub(super) fn index_type(schema: &Value) -> &str {
    schema.as_str().or_else(|| schema.get("type").and_then(Value::as_str)).unwrap_or("keyword")
}

fn lacks(key: &str, payload: &Map<String, Value>) -> bool {
    super::path::Path::parse(key).is_ok_and(|path| path.elements(payload).into_iter().all(Value::is_null))
}

/// Whether a point passes.
pub(super) fn passes(filter: &Filter, id: &PointId, point: &Point) -> bool {
    let vectors: Vec<&str> = point.vectors.keys().map(String::as_str).collect();
    filter.passes(Seen { id: Some(id), payload: &point.payload, vectors: &vectors })
}

impl VectorParams {
    fn parse(config: &Value) -> Outcome<Self> {
        let size = config.get("size").and_then(Value::as_u64);
        let size =
            size.ok_or_else(|| Refusal::format("data did not match any variant of untagged enum VectorsConfig"))?;
        if !(1..=65_536).contains(&size) {
            return Err(Refusal::validation("vectors.size", &format!("value {size} invalid, must be from 1 to 65536")));
        }
        let distance = match config.get("distance").and_then(Value::as_str) {
            Some("Cosine") => Distance::Cosine,
            Some("Dot") => Distance::Dot,
            Some("Euclid") => Distance::Euclid,
            Some("Manhattan") => Distance::Manhattan,
            _ => return Err(Refusal::format("data did not match any variant of untagged enum VectorsConfig")),
        };
        if config.get("multivector_config").is_some_and(|config| !config.is_null()) {
            return Err(Refusal::beyond("multivectors"));
        }
        Ok(Self { size: usize::try_from(size).unwrap_or(usize::MAX), distance })
    }

    /// Reads a vector of this kind and prepares it as the server stores it: of length one where closeness is an angle.
    pub(super) fn read(self, value: &Value) -> Outcome<Vec<f32>> {
        let numbers = value
            .as_array()
            .ok_or_else(|| Refusal::format("data did not match any variant of untagged enum VectorStruct"))?;
        let component = |number: &Value| {
            let number = number.as_f64().ok_or_else(|| Refusal::format("invalid type: expected f32"))?;
            Ok(number as f32)
        };
        let vector: Vec<f32> = numbers.iter().map(component).collect::<Outcome<_>>()?;
        if vector.len() != self.size {
            let (expected, got) = (self.size, vector.len());
            return Err(Refusal::wrong_input(format!("Vector dimension error: expected dim: {expected}, got {got}")));
        }
        Ok(if self.distance == Distance::Cosine { normal(vector) } else { vector })
    }

    /// Higher is closer, or lower where `is_far` says so.
    pub(super) fn score(self, one: &[f32], other: &[f32]) -> f32 {
        let pairs = one.iter().zip(other);
        match self.distance {
            Distance::Cosine | Distance::Dot => pairs.map(|(a, b)| a * b).sum(),
            Distance::Euclid => pairs.map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt(),
            Distance::Manhattan => pairs.map(|(a, b)| (a - b).abs()).sum(),
        }
    }

    /// Whether a lower score is closer.
    pub(super) fn is_far(self) -> bool {
        matches!(self.distance, Distance::Euclid | Distance::Manhattan)
    }
}

/// Of length one, unless it is so already or has almost none: the real server leaves such vectors as they are too.
fn normal(vector: Vec<f32>) -> Vec<f32> {
    let square: f32 = vector.iter().map(|x| x * x).sum();
    if square < f32::EPSILON || (square - 1.0).abs() <= 1.0e-6 {
        return vector;
    }
    let length = square.sqrt();
    vector.into_iter().map(|x| x / length).collect()
}
