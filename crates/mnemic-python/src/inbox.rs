//! Answers on their way to an event loop. A thread that has one puts it into the loop's inbox and rings a bell that the loop listens to
//! as to any socket: it needs no interpreter for that, so it neither waits for a busy one nor enters one that is ending.
//! Not here: what runs verbs (`gate`).

use std::{
    io::{Read, Write},
    os::{fd::AsRawFd, unix::net::UnixStream},
    sync::{Mutex, MutexGuard, PoisonError},
};

use mnemic::Result;
use pyo3::{intern, prelude::*, sync::PyOnceLock};

use crate::{error::exception, gate::Answer};

/// What waits for the loop.
#[derive(Default)]
struct Waiting(Vec<(Py<PyAny>, Result<Answer>)>);

/// The answers for the futures of one event loop.
#[pyclass(frozen)]
pub(crate) struct Inbox {
    waiting: Mutex<Waiting>,
    /// The loop listens to the first; whoever puts an answer into an empty inbox writes to the second.
    bell: [UnixStream; 2],
}

impl Inbox {
    /// The inbox of a loop, made when it is asked for the first time. It lives as long as the loop.
    ///
    /// # Errors
    /// If the loop cannot listen to sockets, or the process can open none.
    pub(crate) fn of(event_loop: &Bound<'_, PyAny>) -> PyResult<Py<Self>> {
        static INBOXES: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let py = event_loop.py();
        let inboxes = INBOXES
            .get_or_try_init(py, || Ok::<_, PyErr>(py.import("weakref")?.call_method0("WeakKeyDictionary")?.unbind()))?
            .bind(py);
        let known = inboxes.call_method1(intern!(py, "get"), (event_loop,))?;
        if !known.is_none() {
            return Ok(known.cast_into::<Self>()?.unbind());
        }
        let bell = UnixStream::pair()?;
        bell.0.set_nonblocking(true)?;
        bell.1.set_nonblocking(true)?;
        let heard = bell.0.as_raw_fd();
        let inbox = Py::new(py, Self { waiting: Mutex::default(), bell: [bell.0, bell.1] })?;
        event_loop.call_method1("add_reader", (heard, &inbox))?;
        inboxes.set_item(event_loop, &inbox)?;
        Ok(inbox)
    }

    /// Puts an answer in, from any thread.
    pub(crate) fn put(&self, future: Py<PyAny>, answer: Result<Answer>) {
        let mut waiting = self.waiting();
        waiting.0.push((future, answer));
        if waiting.0.len() == 1 {
            let [_, mut bell] = self.bell.each_ref();
            // A bell that is full rings already, and there is none that is gone while this lives.
            drop(bell.write(&[1]));
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Inbox {
    /// Gives out what is there; the loop calls it when the bell rings.
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        let [mut heard, _] = self.bell.each_ref();
        // Silence before looking: what comes in later rings again.
        drop(heard.read(&mut [0; 64]));
        let answers = std::mem::take(&mut *self.waiting());
        for (future, answer) in answers.0 {
            give(future.bind(py), answer)?;
        }
        Ok(())
    }
}

/// Gives an answer to who waits for it; a future that was cancelled wants none.
fn give(future: &Bound<'_, PyAny>, answer: Result<Answer>) -> PyResult<()> {
    let py = future.py();
    if future.call_method0(intern!(py, "done"))?.is_truthy()? {
        return Ok(());
    }
    let answer = answer.map_err(|error| exception(py, &error)).and_then(|answer| answer.into_pyobject(py));
    match answer {
        Ok(answer) => future.call_method1(intern!(py, "set_result"), (answer,))?,
        Err(error) => future.call_method1(intern!(py, "set_exception"), (error,))?,
    };
    Ok(())
}
