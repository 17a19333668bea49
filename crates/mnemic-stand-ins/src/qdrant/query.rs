//! Asking for points: by closeness, in order, by fusion of several answers; listing and counting. Not here: what passes (`filter`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{
    collection::{Collection, Point, UNNAMED, VectorParams},
    filter::Filter,
    id::PointId,
    instant,
    path::Path,
    payload::Selector,
    refusal::{Outcome, Refusal},
    strict::Purpose,
};

/// Points that are answered where nobody says how many.
const DEFAULT_LIMIT: u64 = 10;

/// A point with how close it is.
#[derive(Clone, Debug)]
struct Scored {
    id: PointId,
    score: f32,
    order_value: Option<Value>,
}

/// One level of a query.
#[derive(Debug)]
struct Level<'a> {
    body: &'a Map<String, Value>,
    filter: Option<Filter>,
    limit: usize,
    offset: usize,
}

/// What is shown of a point.
struct Shown {
    payload: Selector,
    vectors: Option<Vec<String>>,
}

fn member<'a>(body: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    body.get(name).filter(|value| !value.is_null())
}

/// A count of a body, at least `least`.
fn count_of(body: &Map<String, Value>, name: &str, default: u64, least: u64) -> Outcome<u64> {
    let Some(value) = member(body, name) else { return Ok(default) };
    let count = value.as_u64().ok_or_else(|| Refusal::format(format!("invalid value {value}, expected usize")))?;
    if count < least {
        return Err(Refusal::validation(name, &format!("value {count} invalid, must be {least} or larger")));
    }
    Ok(count)
}

fn size(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

impl Collection {
    /// `POST …/points/query`.
    pub(super) fn query(&self, body: &Map<String, Value>) -> Outcome<Value> {
        let level = self.level(body, None)?;
        let shown = self.shown(body, false)?;
        let found = self.run(&level)?;
        let points = found.into_iter().skip(level.offset).take(level.limit);
        let told = |scored: Scored| {
            let point = self.points.get(&scored.id)?;
            let mut told = self.told(&scored.id, point, &shown);
            told.insert("score".to_owned(), number(scored.score));
            told.insert("version".to_owned(), point.version.into());
            if let Some(value) = scored.order_value {
                told.insert("order_value".to_owned(), value);
            }
            Some(Value::Object(told))
        };
        Ok(json!({ "points": points.filter_map(told).collect::<Vec<_>>() }))
    }

    fn level<'a>(&self, body: &'a Map<String, Value>, outer: Option<&Filter>) -> Outcome<Level<'a>> {
        let own = Filter::member(body, "filter")?;
        self.strict.check_filter(own.as_ref(), &self.indexes, Purpose::Read)?;
        self.strict.check_params(member(body, "params"))?;
        let limit = count_of(body, "limit", DEFAULT_LIMIT, 1)?;
        self.strict.check_limit(limit)?;
        let offset = count_of(body, "offset", 0, 0)?;
        Ok(Level { body, filter: Filter::both(outer, own.as_ref()), limit: size(limit), offset: size(offset) })
    }

    /// The best points of one level, at most its offset and limit together.
    fn run(&self, level: &Level<'_>) -> Outcome<Vec<Scored>> {
        let inner: Vec<&Value> = match member(level.body, "prefetch") {
            None => Vec::new(),
            Some(Value::Array(several)) => several.iter().collect(),
            Some(one) => vec![one],
        };
        let mut sources = Vec::new();
        for prefetch in inner {
            let body = prefetch.as_object().ok_or_else(|| Refusal::format("invalid type: expected struct Prefetch"))?;
            let level = self.level(body, level.filter.as_ref())?;
            let mut found = self.run(&level)?;
            found.truncate(level.limit);
            sources.push(found);
        }
        let most = level.limit.saturating_add(level.offset);
        let query = member(level.body, "query");
        if query.is_none() && !sources.is_empty() {
            return Err(Refusal::bad_request(
                "A query is needed to merge the prefetches. Can't have prefetches without defining a query.",
            ));
        }
        if threshold(level.body).is_some() && query.is_none_or(|query| query.get("order_by").is_some()) {
            return Err(Refusal::bad_request("A query by closeness is needed to use the score_threshold."));
        }
        let mut found = if sources.is_empty() {
            self.base(level, query, level.filter.as_ref(), most)?
        } else if let Some(fused) = fused(query, &sources)? {
            if member(level.body, "using").is_some() {
                return Err(Refusal::bad_request("Fusion queries cannot be combined with the 'using' field."));
            }
            let least = threshold(level.body);
            fused.into_iter().filter(|scored| least.is_none_or(|least| scored.score >= least)).collect()
        } else {
            let ids: BTreeSet<PointId> = sources.into_iter().flatten().map(|scored| scored.id).collect();
            let among = Filter::both(level.filter.as_ref(), Some(&Filter::of_ids(ids)));
            self.base(level, query, among.as_ref(), most)?
        };
        found.truncate(most);
        Ok(found)
    }

    /// A query that reads the collection itself.
    fn base(
        &self,
        level: &Level<'_>,
        query: Option<&Value>,
        filter: Option<&Filter>,
        most: usize,
    ) -> Outcome<Vec<Scored>> {
        let name = member(level.body, "using").and_then(Value::as_str).unwrap_or(UNNAMED);
        let Some(query) = query else {
            let all = self.passing(filter).take(most);
            return Ok(all.map(|(id, _)| Scored { id: id.clone(), score: 0.0, order_value: None }).collect());
        };
        if let Some(order) = query.get("order_by") {
            let ordered = self.ordered(order, filter, most)?.into_iter();
            return Ok(ordered.map(|(id, value)| Scored { id, score: 0.0, order_value: Some(value) }).collect());
        }
        let nearest = query.get("nearest").unwrap_or(query);
        if nearest.is_object() || query.get("mmr").is_some_and(|mmr| !mmr.is_null()) {
            return Err(fusion_alone(query));
        }
        let params = self.vector_named(name)?;
        let (vector, filter) = if nearest.is_array() {
            (params.read(nearest)?, filter.cloned())
        } else {
            let id = PointId::parse(nearest)?;
            let vector = self.points.get(&id).and_then(|point| point.vectors.get(name));
            let vector = vector.cloned().ok_or_else(|| Refusal::no_point(&id))?;
            (vector, Filter::both(filter, Some(&Filter::without_ids([id].into()))))
        };
        Ok(self.closest(&vector, name, params, filter.as_ref(), threshold(level.body)).into_iter().take(most).collect())
    }

    /// Every point that passes, closest first.
    fn closest(
        &self,
        vector: &[f32],
        name: &str,
        params: VectorParams,
        filter: Option<&Filter>,
        threshold: Option<f32>,
    ) -> Vec<Scored> {
        let scored = |(id, point): (&PointId, &Point)| {
            let score = params.score(vector, point.vectors.get(name)?);
            Some(Scored { id: id.clone(), score, order_value: None })
        };
        let better = |scored: &Scored| {
            threshold.is_none_or(|least| if params.is_far() { scored.score < least } else { scored.score > least })
        };
        let mut found: Vec<Scored> = self.passing(filter).filter_map(scored).filter(better).collect();
        found.sort_by(|a, b| {
            let by_score = if params.is_far() { a.score.total_cmp(&b.score) } else { b.score.total_cmp(&a.score) };
            // The real server promises no order of equals; larger ids first keeps clients from counting on one.
            by_score.then_with(|| b.id.cmp(&a.id))
        });
        found
    }

    /// `POST …/points/scroll`.
    pub(super) fn scroll(&self, body: &Map<String, Value>) -> Outcome<Value> {
        let filter = Filter::member(body, "filter")?;
        self.strict.check_filter(filter.as_ref(), &self.indexes, Purpose::Read)?;
        let limit = count_of(body, "limit", DEFAULT_LIMIT, 1)?;
        self.strict.check_limit(limit)?;
        let limit = size(limit);
        let shown = self.shown(body, true)?;
        let offset = member(body, "offset").map(PointId::parse).transpose()?;
        if let Some(order) = member(body, "order_by") {
            if offset.is_some() {
                return Err(Refusal::validation("offset", "Cannot use an `offset` when using `order_by`"));
            }
            let told = |(id, value): (PointId, Value)| {
                let mut told = self.told(&id, self.points.get(&id)?, &shown);
                told.insert("order_value".to_owned(), value);
                Some(Value::Object(told))
            };
            let points: Vec<Value> =
                self.ordered(order, filter.as_ref(), limit)?.into_iter().filter_map(told).collect();
            return Ok(json!({ "points": points, "next_page_offset": null }));
        }
        let mut found = self.passing(filter.as_ref()).filter(|(id, _)| offset.as_ref().is_none_or(|from| *id >= from));
        let points: Vec<Value> =
            found.by_ref().take(limit).map(|(id, point)| Value::Object(self.told(id, point, &shown))).collect();
        Ok(json!({ "points": points, "next_page_offset": found.next().map(|(id, _)| id.to_json()) }))
    }

    /// Points by a value of their payload, one entry a value.
    fn ordered(&self, order: &Value, filter: Option<&Filter>, most: usize) -> Outcome<Vec<(PointId, Value)>> {
        let key = order.as_str().or_else(|| order.get("key").and_then(Value::as_str));
        let key = key.ok_or_else(|| Refusal::format("missing field `key`"))?;
        let ranged = |schema: &Value| matches!(super::collection::index_type(schema), "integer" | "float" | "datetime");
        if !self.indexes.get(key).is_some_and(ranged) {
            return Err(Refusal::bad_request(format!(
                "No range index for `order_by` key: `{key}`. Please create one to use `order_by`. Check \
                 https://qdrant.tech/documentation/concepts/indexing/#payload-index to see which payload schemas support Range conditions"
            )));
        }
        let path = Path::parse(key).map_err(Refusal::format)?;
        let down = order.get("direction").and_then(Value::as_str) == Some("desc");
        let start = order.get("start_from").filter(|start| !start.is_null()).and_then(order_value);
        let mut found: Vec<(f64, PointId, Value)> = Vec::new();
        for (id, point) in self.passing(filter) {
            for value in path.elements(&point.payload) {
                let Some((at, value)) = order_value(value) else { continue };
                let from = start.as_ref().is_none_or(|(start, _)| if down { at <= *start } else { at >= *start });
                if from && !found.iter().any(|(other, held, _)| held == id && *other == at) {
                    found.push((at, id.clone(), value));
                }
            }
        }
        found.sort_by(|a, b| {
            let by_value = if down { b.0.total_cmp(&a.0) } else { a.0.total_cmp(&b.0) };
            by_value.then_with(|| a.1.cmp(&b.1))
        });
        Ok(found.into_iter().take(most).map(|(_, id, value)| (id, value)).collect())
    }

    /// `POST …/points/count`.
    pub(super) fn count(&self, body: &Map<String, Value>) -> Outcome<Value> {
        let filter = Filter::member(body, "filter")?;
        self.strict.check_filter(filter.as_ref(), &self.indexes, Purpose::Read)?;
        Ok(json!({ "count": self.passing(filter.as_ref()).count() }))
    }

    /// `POST …/points`: those of the ids that are there, each once.
    pub(super) fn retrieve(&self, body: &Map<String, Value>) -> Outcome<Value> {
        let ids = body.get("ids").and_then(Value::as_array).ok_or_else(|| Refusal::format("missing field `ids`"))?;
        let shown = self.shown(body, true)?;
        let mut told = Vec::new();
        let mut seen = BTreeSet::new();
        for id in ids {
            let id = PointId::parse(id)?;
            if let Some(point) = self.points.get(&id)
                && seen.insert(id.clone())
            {
                told.push(Value::Object(self.told(&id, point, &shown)));
            }
        }
        Ok(told.into())
    }

    /// `GET …/points/{id}`.
    pub(super) fn one(&self, id: &PointId) -> Outcome<Value> {
        let point = self.points.get(id).ok_or_else(|| Refusal::no_point(id))?;
        let shown = Shown { payload: Selector::Everything, vectors: Some(self.vectors.keys().cloned().collect()) };
        Ok(Value::Object(self.told(id, point, &shown)))
    }

    fn shown(&self, body: &Map<String, Value>, payload: bool) -> Outcome<Shown> {
        let vectors = match member(body, "with_vector") {
            None | Some(Value::Bool(false)) => None,
            Some(Value::Bool(true)) => Some(self.vectors.keys().cloned().collect()),
            Some(Value::Array(names)) => Some(names.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
            Some(_) => return Err(Refusal::format("data did not match any variant of untagged enum WithVector")),
        };
        Ok(Shown { payload: Selector::parse(member(body, "with_payload"), payload)?, vectors })
    }

    fn told(&self, id: &PointId, point: &Point, shown: &Shown) -> Map<String, Value> {
        let mut told = Map::new();
        told.insert("id".to_owned(), id.to_json());
        let payload = shown.payload.of(&point.payload);
        if !payload.is_null() {
            told.insert("payload".to_owned(), payload);
        }
        if let Some(names) = &shown.vectors {
            let numbers = |vector: &Vec<f32>| vector.iter().map(|&x| number(x)).collect::<Value>();
            let vector = match point.vectors.get(UNNAMED) {
                Some(vector) if self.vectors.len() == 1 => numbers(vector),
                _ => {
                    let named = names.iter().filter_map(|name| Some((name.clone(), numbers(point.vectors.get(name)?))));
                    Value::Object(named.collect())
                }
            };
            told.insert("vector".to_owned(), vector);
        }
        told
    }
}

/// The shortest decimal that reads back as this number.
fn number(value: f32) -> Value {
    serde_json::from_str(&serde_json::to_string(&value).unwrap_or_default()).unwrap_or_default()
}

fn threshold(body: &Map<String, Value>) -> Option<f32> {
    member(body, "score_threshold").and_then(Value::as_f64).map(|least| least as f32)
}

/// The number to order a value by, and the value that is told: numbers as they are, instants in microseconds.
fn order_value(value: &Value) -> Option<(f64, Value)> {
    match value {
        Value::Number(number) => Some((number.as_f64()?, value.clone())),
        Value::String(text) => instant::micros(text).map(|micros| (micros as f64, micros.into())),
        _ => None,
    }
}

fn fusion_alone(query: &Value) -> Refusal {
    if query.get("fusion").is_some() || query.get("rrf").is_some() {
        return Refusal::bad_request("Validation error: Fusion queries cannot be combined without prefetches");
    }
    Refusal::beyond("this sort of query")
}

/// The fusion that a query asks for; `None` if it asks for none.
fn fused(query: Option<&Value>, sources: &[Vec<Scored>]) -> Outcome<Option<Vec<Scored>>> {
    let method = query.and_then(|query| query.get("fusion")).and_then(Value::as_str);
    let rrf = query.and_then(|query| query.get("rrf")).and_then(Value::as_object);
    let scores = match (method, rrf) {
        (Some("rrf"), _) => by_rank(sources, &Map::new())?,
        (None, Some(rrf)) => by_rank(sources, rrf)?,
        (Some("dbsf"), _) => by_distribution(sources),
        (Some(other), _) => return Err(Refusal::format(format!("unknown variant `{other}`"))),
        (None, None) => return Ok(None),
    };
    let mut fused: Vec<Scored> =
        scores.into_iter().map(|(id, score)| Scored { id, score: score as f32, order_value: None }).collect();
    fused.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.id.cmp(&b.id)));
    Ok(Some(fused))
}

/// Reciprocal ranks, summed.
fn by_rank(sources: &[Vec<Scored>], rrf: &Map<String, Value>) -> Outcome<BTreeMap<PointId, f64>> {
    let k = count_of(rrf, "k", 2, 1)? as f64;
    let weights = member(rrf, "weights").and_then(Value::as_array);
    if weights.is_some_and(|weights| weights.len() != sources.len()) {
        return Err(Refusal::bad_request("the number of weights differs from the number of prefetches"));
    }
    let mut scores: BTreeMap<PointId, f64> = BTreeMap::new();
    for (n, source) in sources.iter().enumerate() {
        let weight = weights.and_then(|weights| weights.get(n)).and_then(Value::as_f64).unwrap_or(1.0);
        for (rank, scored) in source.iter().enumerate() {
            let share = if weight > 0.0 { 1.0 / ((rank as f64 + 1.0) / weight + k - 1.0) } else { 0.0 };
            *scores.entry(scored.id.clone()).or_default() += share;
        }
    }
    Ok(scores)
}

/// Scores moved to where three standard deviations around their mean are 0 and 1, summed.
fn by_distribution(sources: &[Vec<Scored>]) -> BTreeMap<PointId, f64> {
    let mut scores: BTreeMap<PointId, f64> = BTreeMap::new();
    for source in sources.iter().filter(|source| !source.is_empty()) {
        let count = source.len() as f64;
        let mean = source.iter().map(|scored| f64::from(scored.score)).sum::<f64>() / count;
        let squares = source.iter().map(|scored| (f64::from(scored.score) - mean).powi(2)).sum::<f64>();
        let deviation = if source.len() > 1 { (squares / (count - 1.0)).sqrt() } else { 0.0 };
        for scored in source {
            let low = mean - 3.0 * deviation;
            let share = if deviation == 0.0 { 0.5 } else { (f64::from(scored.score) - low) / (6.0 * deviation) };
            *scores.entry(scored.id.clone()).or_default() += share;
        }
    }
    scores
}
