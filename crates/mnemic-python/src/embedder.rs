//! Embeddings that a Python object makes. Not here: reading what the object gives and the loop that it runs on where the caller has
//! none (`mnemic._embedding`).

use async_trait::async_trait;
use mnemic::{
    Embedding, EmbeddingModel, Error, ErrorKind, Result, Retry,
    ports::{Embedder, Purpose},
};
use pyo3::{
    prelude::*,
    types::{PyBytes, PyList},
};
use pyo3_async_runtimes::{TaskLocals, into_future_with_locals};

use crate::process;

/// A Python object with `async def embed(purpose, texts) -> list[bytes | None]`, each entry the components as native `f32`, and
/// `background() -> loop`, a loop that runs on a thread of its own.
#[derive(Debug)]
pub(crate) struct PythonEmbedder {
    model: EmbeddingModel,
    object: Py<PyAny>,
}

impl PythonEmbedder {
    pub(crate) fn new(model: EmbeddingModel, object: Py<PyAny>) -> Self {
        Self { model, object }
    }

    /// Starts the coroutine on the caller's loop, which objects such as HTTP sessions are bound to, else on the background loop.
    fn start(
        &self,
        py: Python<'_>,
        purpose: Purpose,
        texts: &[&str],
    ) -> PyResult<impl Future<Output = PyResult<Py<PyAny>>> + Send + use<>> {
        let object = self.object.bind(py);
        let locals = match process::caller() {
            Some(locals) => locals,
            None => TaskLocals::new(object.call_method0("background")?).copy_context(py)?,
        };
        let purpose = match purpose {
            Purpose::Document => "document",
            Purpose::Query => "query",
        };
        let coroutine = object.call_method1("embed", (purpose, PyList::new(py, texts)?))?;
        into_future_with_locals(&locals, coroutine)
    }

    fn read(&self, py: Python<'_>, answer: &Py<PyAny>, count: usize) -> PyResult<Result<Vec<Option<Embedding>>>> {
        let entries = answer.bind(py).cast::<PyList>()?;
        if entries.len() != count {
            let found = format!("{} entries", entries.len());
            return Ok(Err(Error::invalid("embedder", format!("{count} entries, one for each text"), found)));
        }
        let mut embeddings = Vec::with_capacity(count);
        for entry in entries.iter() {
            if entry.is_none() {
                embeddings.push(None);
                continue;
            }
            let bytes = entry.cast::<PyBytes>()?;
            let (components, _rest) = bytes.as_bytes().as_chunks::<4>();
            let components: Vec<f32> = components.iter().copied().map(f32::from_ne_bytes).collect();
            match Embedding::new(&self.model, components) {
                Ok(embedding) => embeddings.push(Some(embedding)),
                Err(error) => return Ok(Err(error.within("embedder"))),
            }
        }
        Ok(Ok(embeddings))
    }
}

/// What the user's code raised, by its type and message; the exception itself belongs to whoever runs that code.
fn raised(error: &PyErr) -> Error {
    let told = Python::try_attach(|py| {
        let class = error.get_type(py).name().map_or_else(|_| "exception".to_owned(), |name| name.to_string());
        format!("the embedder raised {class}: {}", error.value(py))
    });
    let message = told.unwrap_or_else(|| "the interpreter is ending".to_owned());
    Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Soon)
}

fn ending() -> Error {
    Error::new(ErrorKind::Unavailable, "the interpreter is ending")
}

#[async_trait]
impl Embedder for PythonEmbedder {
    fn model(&self) -> Option<&EmbeddingModel> {
        Some(&self.model)
    }

    async fn embed(&self, purpose: Purpose, texts: &[&str]) -> Result<Vec<Option<Embedding>>> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let started = Python::try_attach(|py| self.start(py, purpose, texts)).ok_or_else(ending)?;
        let answer = started.map_err(|error| raised(&error))?.await.map_err(|error| raised(&error))?;
        let read = Python::try_attach(|py| self.read(py, &answer, texts.len())).ok_or_else(ending)?;
        read.map_err(|error| raised(&error))?
    }
}
