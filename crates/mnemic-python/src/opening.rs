//! Which memory to open, from a request. Not here: what settings mean (`mnemic::config`).

use std::{env, path::PathBuf, sync::Arc};

use mnemic::{
    Builder, EmbeddingModel, Error, ErrorKind, MemoryManager, Metric, Namespace, Object, Result, Value,
    config::{self, Flags, Inputs, Settings},
    ids::quoted,
};
use pyo3::prelude::*;

use crate::embedder::PythonEmbedder;

fn text<'a>(object: &'a Object, field: &str) -> Result<Option<&'a str>> {
    match object.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Error::invalid(field, "a string", "something else")),
    }
}

/// Opens what `mode` says: `dev`, `embedded` (in `path`), `production`, or `env` (as the environment says). `namespace` replaces the
/// default one. `embedder` has the `name` and the `dimension` of what the Python object makes.
pub(crate) fn open(request: &Object, embedder: Option<Py<PyAny>>) -> Result<MemoryManager> {
    let chosen = text(request, "namespace")?.map(Namespace::new).transpose()?;
    let (mut builder, usual) = match text(request, "mode")? {
        Some("dev") => (Builder::default(), Namespace::new("default")?),
        Some("embedded") => {
            let path = text(request, "path")?.ok_or_else(|| Error::invalid("path", "a directory", "nothing"))?;
            (Builder::embedded(path)?, Namespace::new("default")?)
        }
        Some("production") => from_settings(Some("production"))?,
        Some("env") => from_settings(None)?,
        other => {
            let found = other.map_or_else(|| "nothing".to_owned(), quoted);
            return Err(Error::invalid("mode", "one of dev, embedded, production, env", found));
        }
    };
    if let Some(object) = embedder {
        builder = builder.embedder(Arc::new(PythonEmbedder::new(model(request)?, object)));
    }
    builder.build(chosen.unwrap_or(usual))
}

fn model(request: &Object) -> Result<EmbeddingModel> {
    let missing = || Error::invalid("embedder", "an object with name and dimension", "something else");
    let Some(Value::Object(embedder)) = request.get("embedder") else { return Err(missing()) };
    let name = text(embedder, "name")?.ok_or_else(missing)?;
    let Some(Value::Number(dimension)) = embedder.get("dimension") else { return Err(missing()) };
    let dimension = dimension.as_u64().and_then(|dimension| u32::try_from(dimension).ok()).unwrap_or(u32::MAX);
    EmbeddingModel::new("python", name, dimension, Metric::Cosine)
}

fn from_settings(profile: Option<&str>) -> Result<(Builder, Namespace)> {
    // Where the environment asks for the same profile, it also says which namespace is meant.
    let settings = match (settings(None), profile) {
        (Ok(asked), Some(profile)) if asked.profile.value.to_string() == profile => asked,
        (asked, None) => asked?,
        (_, profile) => settings(profile)?,
    };
    Ok((Builder::from_settings(&settings)?, settings.namespace.value))
}

fn settings(profile: Option<&str>) -> Result<Settings> {
    let flags = Flags { profile: profile.map(str::to_owned), ..Flags::default() };
    let here: PathBuf = env::current_dir().map_err(|error| {
        Error::new(ErrorKind::InvalidConfig, "the working directory cannot be read").with_source(error)
    })?;
    config::load(&Inputs { flags: &flags, environment: &|name| env::var_os(name), working_directory: &here })
}
