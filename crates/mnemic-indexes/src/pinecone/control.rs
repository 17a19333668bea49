//! Pinecone's indexes: one for each embedding model, found by name, known by tag, made where it is missing, waited for, never remade.
//! Not here: what is in them (`wire`).

use std::time::{Duration, Instant};

use bytes::Bytes;
use mnemic_core::{EmbeddingModel, Error, ErrorKind, Result, Retry};
use mnemic_http::{Address, Answer, Call, Client, unreadable};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    config::{PineconeApi, PineconeConfig},
    error::refused,
};

/// Tells whose index it is and for which model.
const MODEL_TAG: &str = "mnemic-model";
/// Characters of a tag's value.
const TAG_CHARACTERS: usize = 120;
/// Characters of an index's name.
const NAME_CHARACTERS: usize = 45;
/// The longest wait between two looks at an index that is being made.
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// An index as the control plane tells of it.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) name: String,
    /// Where its vectors are, if that is known yet.
    pub(super) host: Option<String>,
    ready: bool,
    state: String,
    dimension: Option<u64>,
    metric: Option<String>,
    dense: bool,
    model: Option<String>,
}

impl Described {
    /// Reads either shape: 2026-07 tells of the vector in a schema, earlier versions beside the name.
    fn read(value: &Value) -> Option<Self> {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let field = value.pointer("/schema/fields/_values");
        let vector = field.unwrap_or(value);
        let kind = field.map_or_else(|| value.get("vector_type"), |field| field.get("type"));
        Some(Self {
            name: text(value.get("name"))?,
            host: text(value.get("host")).filter(|host| !host.is_empty()),
            ready: value.pointer("/status/ready").and_then(Value::as_bool).unwrap_or_default(),
            state: text(value.pointer("/status/state")).unwrap_or_default(),
            dimension: vector.get("dimension").and_then(Value::as_u64),
            metric: text(vector.get("metric")),
            dense: matches!(kind.and_then(Value::as_str), None | Some("dense" | "dense_vector")),
            model: text(value.get("tags").and_then(|tags| tags.get(MODEL_TAG))),
        })
    }

    /// Refuses an index that is not for `model`.
    fn check(&self, model: &EmbeddingModel) -> Result<()> {
        let metric = self.metric.as_deref().unwrap_or("cosine");
        let shape_fits = self.dense && self.dimension == Some(u64::from(model.dimension())) && metric == "cosine";
        if shape_fits && self.model.as_deref() == Some(identity(model).as_str()) {
            return Ok(());
        }
        let found = match (&self.model, self.dimension) {
            (Some(other), _) if shape_fits => other.clone(),
            (Some(other), Some(dimension)) => format!("{other} in {dimension} dimensions by {metric}"),
            (None, Some(dimension)) => format!("no model of Mnemic, {dimension} dimensions by {metric}"),
            (_, None) => "no dense vectors".to_owned(),
        };
        let message = format!("the Pinecone index {} is for {found}, not for {model}", self.name);
        Err(Error::new(ErrorKind::ModelMismatch, message))
    }
}

/// The model as a tag holds it: printable ASCII, cut where it is long and then told apart by a digest.
pub(super) fn identity(model: &EmbeddingModel) -> String {
    let full = model.to_string();
    if full.len() <= TAG_CHARACTERS && full.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return full;
    }
    let shown: String = full.chars().filter(|c| (' '..='~').contains(c)).take(80).collect();
    format!("{shown}~{}", digest(&full))
}

fn digest(text: &str) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, text.as_bytes()).simple().to_string()
}

/// The name of the index for a model: prefix, what people recognize, a digest that tells models apart, dimension.
pub(super) fn index_name(prefix: &str, model: &EmbeddingModel) -> String {
    let short: String = digest(&model.to_string()).chars().take(8).collect();
    named(prefix, model.name(), &format!("{short}-{}", model.dimension()))
}

/// Whether an index of this tag got its name from this prefix. The tag of a long model lacks its end, which the name of the index lacks too,
/// and letters that are not ASCII, which are marks in the name.
fn is_named_by(prefix: &str, tag: &str, index: &str) -> bool {
    let Some((rest, dimension)) = index.rsplit_once('-') else { return false };
    let Some((_, short)) = rest.rsplit_once('-') else { return false };
    let name = tag.split_once('/').map_or(tag, |(_, name)| name);
    let name = name.rsplit_once('@').map_or(name, |(name, _)| name);
    let tail = format!("{short}-{dimension}");
    if named(prefix, name, &tail) == index {
        return true;
    }
    let letters = |text: &str| text.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "");
    let shown = index.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(&tail));
    tag.contains('~') && shown.is_some_and(|shown| shown.starts_with('-') && letters(name).starts_with(&letters(shown)))
}

fn named(prefix: &str, model: &str, tail: &str) -> String {
    let room = NAME_CHARACTERS.saturating_sub(prefix.len() + tail.len() + 2);
    let mut slug = String::new();
    for c in model.chars() {
        let c = c.to_ascii_lowercase();
        let c = if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
        if slug.len() < room && !(c == '-' && (slug.is_empty() || slug.ends_with('-'))) {
            slug.push(c);
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { format!("{prefix}-{tail}") } else { format!("{prefix}-{slug}-{tail}") }
}

/// The control plane.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) config: PineconeConfig,
    pub(super) client: Client,
}

impl Control {
    /// The index, if it is there.
    pub(super) async fn describe(&self, name: &str) -> Result<Option<Described>> {
        let answer = self.client.send(Call::get(&format!("/indexes/{name}"))).await?;
        match answer.status() {
            404 => Ok(None),
            _ if answer.is_success() => self.read(&answer).map(Some),
            _ => Err(refused(&answer)),
        }
    }

    /// Every index that an adapter with this prefix made.
    pub(super) async fn own(&self) -> Result<Vec<Described>> {
        #[derive(Deserialize)]
        struct Listed {
            #[serde(default)]
            indexes: Vec<Value>,
        }
        let answer = self.client.send(Call::get("/indexes")).await?;
        if !answer.is_success() {
            return Err(refused(&answer));
        }
        let listed = answer.json::<Listed>()?.indexes;
        // Whole names, so that `a` does not take what belongs to the prefix `a-b`.
        let own = |index: &Described| {
            index.model.as_deref().is_some_and(|model| is_named_by(&self.config.prefix, model, &index.name))
        };
        Ok(listed.iter().filter_map(Described::read).filter(own).collect())
    }

    /// The index for `model`: found or made, and awaited.
    pub(super) async fn open(&self, model: &EmbeddingModel) -> Result<Described> {
        let name = index_name(&self.config.prefix, model);
        let found = match self.describe(&name).await? {
            Some(found) => found,
            None => self.create(&name, model).await?,
        };
        found.check(model)?;
        self.await_ready(found, model).await
    }

    async fn create(&self, name: &str, model: &EmbeddingModel) -> Result<Described> {
        self.config.tell(&format!("making the Pinecone index {name} for {model}"));
        let body = serde_json::to_vec(&self.plan(name, model))
            .map_err(|error| Error::bug("the plan of an index is no JSON").with_source(error))?;
        let answer = self.client.send(Call::post("/indexes", Bytes::from(body))).await?;
        if answer.is_success() {
            return self.read(&answer);
        }
        // Somebody else made it at the same time, or an earlier answer of ours was lost: it is looked at, never remade.
        if answer.status() == 409
            && let Some(found) = self.describe(name).await?
        {
            return Ok(found);
        }
        Err(refused(&answer))
    }

    /// The body that makes an index, in the shape of the API that is spoken.
    fn plan(&self, name: &str, model: &EmbeddingModel) -> Value {
        let config = &self.config;
        let mut plan = Map::from_iter([
            ("name".to_owned(), json!(name)),
            ("tags".to_owned(), json!({ MODEL_TAG: identity(model) })),
            ("deletion_protection".to_owned(), json!(if config.deletion_protection { "enabled" } else { "disabled" })),
        ]);
        let (dimension, metric) = (model.dimension(), model.metric().as_str());
        let rest = match config.api {
            PineconeApi::V2026_07 => json!({
                "schema": {"fields": {"_values": {"type": "dense_vector", "dimension": dimension, "metric": metric}}},
                "deployment": {"deployment_type": "managed", "cloud": config.cloud, "region": config.region},
            }),
            PineconeApi::V2026_04 => json!({
                "dimension": dimension,
                "metric": metric,
                "vector_type": "dense",
                "spec": {"serverless": {"cloud": config.cloud, "region": config.region}},
            }),
        };
        if let Value::Object(rest) = rest {
            plan.extend(rest);
        }
        Value::Object(plan)
    }

    async fn await_ready(&self, found: Described, model: &EmbeddingModel) -> Result<Described> {
        let begin = Instant::now();
        let mut pause = Duration::from_millis(100);
        let (mut found, name) = (found, index_name(&self.config.prefix, model));
        let mut waited = false;
        while !found.ready || found.host.is_none() {
            let state = &found.state;
            if matches!(state.as_str(), "InitializationFailed" | "Failed" | "Disabled" | "Terminating") {
                let message = format!("the Pinecone index {name} is of no use: it is {state}");
                return Err(Error::new(ErrorKind::Unavailable, message));
            }
            if begin.elapsed() >= self.config.ready_within {
                let seconds = begin.elapsed().as_secs();
                let message = format!("the Pinecone index {name} is not ready after {seconds} s: it is {state}");
                return Err(Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Soon));
            }
            let seconds = begin.elapsed().as_secs();
            self.config.tell(&format!("waiting for the Pinecone index {name} to be ready: {state} ({seconds} s)"));
            waited = true;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_LOOK);
            let look = self.describe(&name).await?;
            found = look.ok_or_else(|| super::error::moved(&name, "vanished while it was being made"))?;
            found.check(model)?;
        }
        if waited {
            self.config.tell(&format!("the Pinecone index {name} is ready"));
        }
        Ok(found)
    }

    fn read(&self, answer: &Answer) -> Result<Described> {
        let value: Value = answer.json()?;
        Described::read(&value).ok_or_else(|| unreadable(self.client.service(), "an index without a name"))
    }

    /// A client of an index's vectors. Its host comes without a scheme, but for one on this machine.
    pub(super) fn at(&self, host: &str) -> Result<Client> {
        let url = if host.contains("://") { host.to_owned() } else { format!("https://{host}") };
        let address = Address::new("the host of a Pinecone index", &url)?;
        Ok(self.client.at(address))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use mnemic_core::Metric;

    use super::*;

    fn model(provider: &str, name: &str, dimension: u32) -> EmbeddingModel {
        EmbeddingModel::new(provider, name, dimension, Metric::Cosine).unwrap()
    }

    #[test]
    fn an_index_belongs_to_the_prefix_that_named_it_and_to_no_other() {
        let long = "x".repeat(255);
        for name in ["static-v1", "text-embedding-3-large", "модель", "aмb-c", "a/b@c", long.as_str()] {
            let model = model("provider", name, 512);
            for prefix in ["mnemic", "mnemic-prod", "m", "mnemic-prod-static"] {
                let index = index_name(prefix, &model);
                let owners = ["mnemic", "mnemic-prod", "m", "mnemic-prod-static", "mnemic-p"];
                let owners: Vec<_> =
                    owners.into_iter().filter(|own| is_named_by(own, &identity(&model), &index)).collect();
                assert_eq!(owners, [prefix], "{index}");
            }
        }
    }

    #[test]
    fn every_model_has_an_index_name_and_a_tag_that_pinecone_takes() {
        let long = "Ж".repeat(127);
        let mut names = std::collections::BTreeSet::new();
        for (provider, name) in [
            ("voyage", "voyage-4-large"),
            ("voyage", "voyage-4_large"),
            ("tei", "BAAI/bge-M3"),
            ("x", &long),
            ("y", "-"),
        ] {
            for dimension in [1, 2048, 8192] {
                let model = model(provider, name, dimension);
                let index = index_name("mnemic", &model);
                assert!(index.len() <= 45 && !index.ends_with('-') && !index.contains("--"), "{index}");
                assert!(index.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{index}");
                let tag = identity(&model);
                assert!(tag.len() <= 120 && tag.is_ascii(), "{tag}");
                assert!(names.insert((index, tag)), "two models share a name");
            }
        }
        assert_eq!(
            index_name("mnemic", &model("voyage", "voyage-4-large", 2048)).split_once("-voyage-4-large-").unwrap().0,
            "mnemic"
        );
    }

    #[test]
    fn an_index_is_read_in_both_shapes_and_whatever_is_missing() {
        let old = json!({"name": "n", "dimension": 3, "metric": "cosine", "vector_type": "dense", "host": "h.io",
            "status": {"ready": true, "state": "Ready"}, "tags": null});
        let new = json!({"name": "n", "schema": {"fields": {"_values": {"type": "dense_vector", "dimension": 3,
            "metric": "cosine"}}}, "host": "h.io", "status": {"ready": true, "state": "Ready"}});
        for shape in [old, new] {
            let read = Described::read(&shape).unwrap();
            assert_eq!((read.dimension, read.metric.as_deref(), read.dense), (Some(3), Some("cosine"), true));
            let error = read.check(&model("p", "m", 3)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ModelMismatch, "an index without a tag is somebody else's");
        }
        assert!(Described::read(&json!({})).is_none());
        assert!(!Described::read(&json!({"name": "n"})).unwrap().ready);
    }
}
