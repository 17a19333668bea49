//! The collection of one embedding model: its name, what it is made with, and whether one that is there is it. Not here: points.

use mnemic_core::{EmbeddingModel, Result};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    api::{Api, Info},
    config::{QdrantIndexConfig, Quantization},
    error::other_space,
    point::{VECTOR, key},
};

/// What tells collections apart whose models have similar names.
const MODELS: Uuid = Uuid::from_u128(0x6d6e_656d_6963_5f63_8f6c_6c65_6374_7631);
/// Characters of the model's name in the collection's.
const READABLE: usize = 80;

/// The name of a model's collection: readable first, then what makes it unique.
pub(super) fn name(prefix: &str, model: &EmbeddingModel) -> String {
    let identity = model.to_string();
    let readable: String = identity
        .chars()
        .take(READABLE)
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    let unique = Uuid::new_v5(&MODELS, identity.as_bytes()).simple().to_string();
    format!("{prefix}_{readable}_{}", unique.get(..12).unwrap_or(&unique))
}

/// Whether a collection may be of this prefix.
pub(super) fn is_ours(prefix: &str, name: &str) -> bool {
    // The readable part holds no `_`, so that `a` does not take what belongs to the prefix `a_b`.
    let rest = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_'));
    rest.is_some_and(|rest| rest.split('_').count() == 2)
}

/// Makes the model's collection if it is not there, and refuses one that is and is another.
pub(super) async fn ensure(api: &Api, config: &QdrantIndexConfig, model: &EmbeddingModel) -> Result<String> {
    let name = name(&config.prefix, model);
    let mut info = api.info(&name).await?;
    if info.is_none() {
        api.create(&name, &settings(config, model)).await?;
        // Another process may have made it at the same time, and differently.
        info = api.info(&name).await?;
    }
    let info = info.ok_or_else(|| mnemic_http::unreadable("Qdrant", "a collection that is made and is not there"))?;
    check(&info, model)?;
    for (field, schema) in indexes() {
        if !info.payload_schema.contains_key(field) {
            api.create_index(&name, field, &schema).await?;
        }
    }
    Ok(name)
}

/// What a collection is made with: no graph over everything and one per tenant, since every search names its tenant.
fn settings(config: &QdrantIndexConfig, model: &EmbeddingModel) -> Value {
    let quantization = match config.quantization {
        Quantization::Off => Value::Null,
        Quantization::Int8 => json!({ "scalar": { "type": "int8", "quantile": 0.99, "always_ram": true } }),
    };
    let mut settings = json!({
        "vectors": { VECTOR: { "size": model.dimension(), "distance": "Cosine" } },
        "hnsw_config": { "m": 0, "payload_m": 16 },
        "quantization_config": quantization,
        "metadata": { "mnemic": { "format": 1, "model": model.to_string() } },
    });
    let counts = [("shard_number", config.shards), ("replication_factor", config.replicas)];
    if let Some(settings) = settings.as_object_mut() {
        settings.extend(counts.into_iter().filter_map(|(name, count)| Some((name.to_owned(), count?.into()))));
        // One copy that is not written yet would be a stale answer of a majority that includes it.
        settings
            .extend(config.replicas.map(|replicas| ("write_consistency_factor".to_owned(), (replicas / 2 + 1).into())));
    }
    settings
}

/// The payload indexes: one a field that conditions name.
fn indexes() -> Vec<(&'static str, Value)> {
    // Only the tenant's own graph is worth its memory.
    let plain = |sort: &str| json!({ "type": sort, "enable_hnsw": false });
    let mut indexes = vec![(key::NAMESPACE, json!({ "type": "keyword", "is_tenant": true }))];
    let keywords =
        [key::USER_ID, key::THREAD_ID, key::KIND, key::SOURCE, key::SUPERSEDED_BY, key::PATH, key::TAGS, key::META];
    let times = [key::CREATED_AT, key::UPDATED_AT, key::VALID_FROM, key::VALID_TO, key::EXPIRES_AT];
    indexes.extend(keywords.map(|field| (field, plain("keyword"))));
    let whole = || json!({ "type": "integer", "lookup": true, "range": true, "enable_hnsw": false });
    indexes.extend(times.into_iter().chain([key::VERSION, key::SEQ]).map(|field| (field, whole())));
    indexes.extend([key::SALIENCE, key::CONFIDENCE].map(|field| (field, plain("float"))));
    indexes
}

/// The model that a collection says it is of.
pub(super) fn identity(info: &Info) -> Option<&str> {
    info.config.pointer("/metadata/mnemic/model").and_then(Value::as_str)
}

fn check(info: &Info, model: &EmbeddingModel) -> Result<()> {
    let held = identity(info).unwrap_or("an unknown model");
    if held != model.to_string() {
        return Err(other_space(held, model));
    }
    let vector = info.config.pointer(&format!("/params/vectors/{VECTOR}"));
    let size = vector.and_then(|vector| vector.get("size")).and_then(Value::as_u64);
    let distance = vector.and_then(|vector| vector.get("distance")).and_then(Value::as_str).unwrap_or("no");
    if size != Some(u64::from(model.dimension())) || distance != "Cosine" {
        let size = size.map_or_else(|| "no".to_owned(), |size| size.to_string());
        let distance: String = distance.chars().filter(char::is_ascii_alphanumeric).take(16).collect();
        return Err(other_space(&format!("another model ({size} dimensions, {distance} distance)"), model));
    }
    Ok(())
}

/// What is wrong with a collection, in words.
pub(super) fn faults(info: &Info) -> Vec<String> {
    let mut faults = Vec::new();
    if info.status == "red" {
        faults.push("Qdrant reports the collection red: some changes failed and were not recovered".to_owned());
    }
    if info.optimizer_status.get("error").is_some() {
        faults.push("Qdrant's optimizer of the collection has failed".to_owned());
    }
    let missing: Vec<&str> = indexes()
        .into_iter()
        .map(|(field, _)| field)
        .filter(|field| !info.payload_schema.contains_key(*field))
        .collect();
    if !missing.is_empty() {
        faults.push(format!("the collection lacks payload indexes: {}", missing.join(", ")));
    }
    faults
}

#[cfg(test)]
mod tests {
    use mnemic_core::Metric;

    use super::*;

    fn model(name: &str, dimension: u32) -> EmbeddingModel {
        EmbeddingModel::new("p", name, dimension, Metric::Cosine).unwrap()
    }

    #[test]
    fn every_model_has_a_name_of_its_own_that_a_server_takes() {
        let models = [model("a/b", 8), model("a_b", 8), model("A/b", 8), model("a/b", 9), model(&"ё".repeat(100), 8)];
        let names: Vec<String> = models.iter().map(|model| name("mnemic", model)).collect();
        for (n, name) in names.iter().enumerate() {
            assert!(
                name.len() < 200 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'),
                "{name}"
            );
            assert!(is_ours("mnemic", name) && !is_ours("mnem", name) && !names[..n].contains(name), "{name}");
        }
        assert!(!is_ours("a", &name("a_b", &models[0])) && is_ours("a_b", &name("a_b", &models[0])));
    }
}
