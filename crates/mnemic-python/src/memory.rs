//! A memory as Python holds it: a handle bound to one namespace, usable in the process that opened it.
//! Not here: opening (`opening`) and the verbs (`verbs`).

use std::{future::Future, sync::Arc};

use mnemic::{Error, ErrorKind, MemoryManager, Namespace, Result, wire::json};
use pyo3::{prelude::*, pybacked::PyBackedBytes};

use crate::{
    error::exception,
    gate, opening,
    process::{self, Host},
    turn::Experience,
    vectors::Vectors,
    verbs::{self, Verb},
};

/// A handle bound to one namespace. Calls take and answer the bytes of JSON objects.
#[pyclass(frozen, module = "mnemic._mnemic")]
pub(crate) struct Memory {
    manager: MemoryManager,
    /// The process that opened it: its files, connections and threads are not a forked child's.
    process: u32,
    /// How calls went on the loop's thread; absent where they may call Python, which has to know its caller.
    experience: Option<Experience>,
}

impl Drop for Memory {
    fn drop(&mut self) {
        // A forked child has none of the threads that the end of a memory waits for, so there it has no end.
        if self.process != std::process::id() {
            std::mem::forget(self.manager.clone());
        }
    }
}

impl Memory {
    /// The handle and what runs its verbs, in the process that opened the memory.
    fn here(&self) -> Result<(MemoryManager, Arc<Host>)> {
        if self.process != std::process::id() {
            let message = "this memory was opened before the process forked: open one in the child \
                           (with multiprocessing, in the worker's initializer or with the spawn method)";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        Ok((self.manager.clone(), process::host()?))
    }

    /// What runs verbs, and what it is to run: also reading the request, which may be long, goes without the interpreter.
    fn start(
        &self,
        verb: Verb,
        request: PyBackedBytes,
        vectors: Vectors,
    ) -> Result<(Arc<Host>, impl Future<Output = Result<gate::Answer>> + Send + use<>)> {
        let (manager, host) = self.here()?;
        let run = async move { verbs::run(manager, verb, json::parse_object(&request[..])?, vectors).await };
        Ok((host, run))
    }
}

#[pymethods]
impl Memory {
    /// Opens a memory as the request says; `embedder` makes embeddings in Python.
    #[staticmethod]
    #[pyo3(signature = (request, embedder=None))]
    fn open(py: Python<'_>, request: &[u8], embedder: Option<Py<PyAny>>) -> PyResult<Self> {
        let experience = embedder.is_none().then(Experience::default);
        let open = || {
            let host = process::host()?;
            let request = json::parse_object(request)?;
            py.detach(|| {
                // A memory with servers does its work in the background here.
                let _entered = host.runtime.enter();
                opening::open(&request, embedder)
            })
        };
        let manager = open().map_err(|error| exception(py, &error))?;
        Ok(Self { manager, process: std::process::id(), experience })
    }

    #[getter]
    fn namespace(&self) -> &str {
        self.manager.namespace().as_str()
    }

    /// A handle for another namespace of the same memory.
    fn in_namespace(&self, py: Python<'_>, namespace: &str) -> PyResult<Self> {
        let namespace = Namespace::new(namespace).map_err(|error| exception(py, &error))?;
        let experience = self.experience.as_ref().map(|_| Experience::default());
        Ok(Self { manager: self.manager.in_namespace(namespace), process: self.process, experience })
    }

    /// Runs a verb and waits for it. `vectors` are the embeddings that the request's records or its query bring.
    #[pyo3(signature = (verb, request, vectors=Vectors::new()), text_signature = "($self, verb, request, vectors=())")]
    fn call(&self, py: Python<'_>, verb: &str, request: PyBackedBytes, vectors: Vectors) -> PyResult<gate::Answer> {
        let begin = || self.start(verb.parse()?, request, vectors);
        let (host, run) = begin().map_err(|error| exception(py, &error))?;
        gate::wait(py, &host, run)
    }

    /// Runs a verb and answers an awaitable. `vectors` are the embeddings that the request's records or its query bring.
    #[pyo3(signature = (verb, request, vectors=Vectors::new()), text_signature = "($self, verb, request, vectors=())")]
    fn acall<'py>(
        &self,
        py: Python<'py>,
        verb: &str,
        request: PyBackedBytes,
        vectors: Vectors,
    ) -> PyResult<Bound<'py, PyAny>> {
        let begin = || {
            let verb: Verb = verb.parse()?;
            let experience = self.experience.as_ref().filter(|_| verb.is_short());
            Ok((self.start(verb, request, vectors)?, experience))
        };
        let ((host, run), experience) = begin().map_err(|error| exception(py, &error))?;
        gate::promise(py, &host, run, experience)
    }
}
