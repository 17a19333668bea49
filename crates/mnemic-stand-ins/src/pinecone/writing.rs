//! Writing, changing and removing vectors: all or nothing, within the limits of the service. Not here: finding them (`reading`).

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    data::{Answer, MOST_VECTORS, Told, filter_of, read, told},
    failure::Rpc,
    metadata::{self, Metadata},
    scope::{Index, named},
    store::{Record, Write},
};

/// Bytes of one request to write.
const MOST_REQUEST_BYTES: usize = 2 * 1024 * 1024;

/// A component below this is as good as zero.
const NOTHING: f32 = 1e-8;

#[derive(Deserialize)]
struct UpsertBody {
    vectors: Vec<Vector>,
    namespace: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vector {
    id: String,
    values: Option<Vec<f32>>,
    sparse_values: Option<Value>,
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UpdateBody {
    id: Option<String>,
    values: Option<Vec<f32>>,
    set_metadata: Option<Metadata>,
    namespace: Option<String>,
    filter: Option<Value>,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeleteBody {
    ids: Option<Vec<String>>,
    #[serde(default)]
    delete_all: bool,
    namespace: Option<String>,
    filter: Option<Value>,
}

pub(super) async fn upsert(State(index): State<Arc<Index>>, headers: HeaderMap, body: Bytes) -> Answer {
    index.admit(&headers)?;
    let habits = index.habits.now();
    if body.len() > MOST_REQUEST_BYTES {
        let megabytes = body.len().div_ceil(1024 * 1024);
        let message = format!("Request size {megabytes}MB exceeds the maximum supported size of 2MB");
        let status = if habits.too_large_is_413 { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST };
        return Err(Rpc::Status(status, 11, message));
    }
    let body: UpsertBody = read(&body)?;
    if body.vectors.is_empty() || body.vectors.len() > MOST_VECTORS {
        return Err(Rpc::invalid(format!("vectors must number 1 to {MOST_VECTORS}, found {}", body.vectors.len())));
    }
    let count = body.vectors.len();
    let mut writes = Vec::with_capacity(count);
    for vector in body.vectors {
        check_id(&vector.id)?;
        if vector.sparse_values.is_some_and(|sparse| !sparse.is_null()) {
            return Err(Rpc::invalid("Index configuration does not support sparse values"));
        }
        let values = vector.values.unwrap_or_default();
        index.check_vector(&values)?;
        let metadata = vector.metadata.map(|metadata| metadata::checked(metadata, habits.nulls)).transpose()?;
        writes.push(Write::Put(vector.id, Arc::new(Record { values, metadata })));
    }
    let name = named(body.namespace.as_deref())?;
    let lsn = index.spaces().entry(name).or_default().write(writes, &habits);
    Ok(told(json!({ "upsertedCount": count }), &habits, Told::Written(lsn)))
}

pub(super) async fn update(State(index): State<Arc<Index>>, headers: HeaderMap, body: Bytes) -> Answer {
    index.admit(&headers)?;
    let habits = index.habits.now();
    let body: UpdateBody = read(&body)?;
    let filter = filter_of(body.filter.as_ref())?;
    if body.filter.is_some() && filter.is_none() {
        return Err(Rpc::invalid("Update with empty metadata filter is not allowed"));
    }
    let name = named(body.namespace.as_deref())?;
    let mut spaces = index.spaces();
    let Some(space) = spaces.get_mut(&name).filter(|space| space.exists) else {
        return Err(Rpc::missing_namespace());
    };
    let chosen: Vec<(String, Arc<Record>)> = match (&body.id, &filter) {
        (Some(_), Some(_)) | (None, None) => {
            return Err(Rpc::invalid("Exactly one of 'id' and 'filter' must be given"));
        }
        // A vector that is not there is passed over in silence.
        (Some(id), None) => space.written().get_key_value(id).into_iter().map(owned).collect(),
        (None, Some(filter)) => {
            let passes = |record: &Record| filter.passes(record.metadata.as_ref(), habits.missing_is_other);
            space.written().iter().filter(|(_, record)| passes(record)).map(owned).collect()
        }
    };
    if let Some(values) = &body.values {
        index.check_vector(values)?;
    }
    let count = chosen.len();
    let mut writes = Vec::with_capacity(count);
    for (id, record) in chosen {
        let mut record = (*record).clone();
        if let Some(values) = &body.values {
            record.values.clone_from(values);
        }
        if let Some(set) = &body.set_metadata {
            let mut metadata = record.metadata.unwrap_or_default();
            metadata.extend(set.clone());
            record.metadata = Some(metadata::checked(metadata, habits.nulls)?);
        }
        writes.push(Write::Put(id, Arc::new(record)));
    }
    let answer = if filter.is_some() { json!({ "matchedRecords": count }) } else { json!({}) };
    if body.dry_run {
        return Ok(Json(answer).into_response());
    }
    let lsn = space.write(writes, &habits);
    Ok(told(answer, &habits, Told::Written(lsn)))
}

pub(super) async fn delete(State(index): State<Arc<Index>>, headers: HeaderMap, body: Bytes) -> Answer {
    index.admit(&headers)?;
    let habits = index.habits.now();
    let body: DeleteBody = read(&body)?;
    let filter = filter_of(body.filter.as_ref())?;
    if body.filter.is_some() && filter.is_none() {
        return Err(Rpc::invalid("Delete with empty metadata filter is not allowed"));
    }
    let name = named(body.namespace.as_deref())?;
    let mut spaces = index.spaces();
    let Some(space) = spaces.get_mut(&name).filter(|space| space.exists) else {
        return Err(Rpc::missing_namespace());
    };
    let writes = if body.delete_all {
        vec![Write::Clear]
    } else if let Some(filter) = filter {
        // The trap: ids beside a filter are ignored.
        let passes = |record: &Record| filter.passes(record.metadata.as_ref(), habits.missing_is_other);
        space.written().iter().filter(|(_, record)| passes(record)).map(|(id, _)| Write::Remove(id.clone())).collect()
    } else {
        let ids = body.ids.filter(|ids| !ids.is_empty());
        let ids = ids.ok_or_else(|| Rpc::invalid("One of 'ids', 'filter' and 'deleteAll' must be given"))?;
        if ids.len() > MOST_VECTORS {
            return Err(Rpc::invalid(format!("ids must number at most {MOST_VECTORS}, found {}", ids.len())));
        }
        ids.into_iter().map(Write::Remove).collect()
    };
    let lsn = space.write(writes, &habits);
    Ok(told(json!({}), &habits, Told::Written(lsn)))
}

impl Index {
    pub(super) fn check_dimension(&self, values: &[f32]) -> Result<(), Rpc> {
        let (found, wanted) = (values.len(), self.dimension);
        if found == wanted {
            return Ok(());
        }
        Err(Rpc::invalid(format!("Vector dimension {found} does not match the dimension of the index {wanted}")))
    }

    fn check_vector(&self, values: &[f32]) -> Result<(), Rpc> {
        self.check_dimension(values)?;
        if values.iter().all(|value| value.abs() < NOTHING) {
            return Err(Rpc::invalid("Dense vectors must contain at least one non-zero value"));
        }
        Ok(())
    }
}

fn owned((id, record): (&String, &Arc<Record>)) -> (String, Arc<Record>) {
    (id.clone(), Arc::clone(record))
}

fn check_id(id: &str) -> Result<(), Rpc> {
    if (1..=512).contains(&id.len()) && id.is_ascii() && !id.contains('\0') {
        return Ok(());
    }
    Err(Rpc::invalid("Vector ID must be ASCII of 1 to 512 characters"))
}
