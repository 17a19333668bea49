//! The one way from Python to a verb: gives the interpreter up while the verb runs, hears Ctrl-C, turns errors into exceptions.
//! Not here: the verbs (`verbs`).

use std::{future::Future, panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use futures::FutureExt;
use mnemic::{Error, Result};
use pyo3::{intern, prelude::*, types::PyBytes};
use pyo3_async_runtimes::TaskLocals;
use tokio::{runtime::Runtime, task::AbortHandle, time};

use crate::{error::exception, inbox::Inbox, process};

/// How often a blocking call looks up for Ctrl-C.
const LOOK_UP: Duration = Duration::from_millis(50);

/// What a verb answers: the bytes of one JSON object.
pub(crate) struct Answer(pub(crate) String);

impl<'py> IntoPyObject<'py> for Answer {
    type Target = PyBytes;
    type Output = Bound<'py, PyBytes>;
    type Error = std::convert::Infallible;

    fn into_pyobject(self, py: Python<'py>) -> std::result::Result<Self::Output, Self::Error> {
        Ok(PyBytes::new(py, self.0.as_bytes()))
    }
}

/// Runs a verb on this thread and waits for it.
///
/// # Errors
/// The verb's, as exceptions, or what a signal handler raised, such as `KeyboardInterrupt`. The verb then ends whole or undone.
pub(crate) fn wait<F>(py: Python<'_>, runtime: &Arc<Runtime>, verb: F) -> PyResult<Answer>
where
    F: Future<Output = Result<Answer>> + Send,
{
    let mut verb = pin!(whole(verb));
    loop {
        let done = py.detach(|| runtime.block_on(async { time::timeout(LOOK_UP, verb.as_mut()).await }));
        match done {
            Ok(answer) => return answer.map_err(|error| exception(py, &error)),
            Err(_elapsed) => py.check_signals()?,
        }
    }
}

/// Runs a verb and answers an awaitable of the running loop. If it is cancelled, the verb ends whole or undone.
///
/// # Errors
/// `RuntimeError` where no loop is running.
pub(crate) fn promise<'py, F>(py: Python<'py>, runtime: &Arc<Runtime>, verb: F) -> PyResult<Bound<'py, PyAny>>
where
    F: Future<Output = Result<Answer>> + Send + 'static,
{
    let locals = TaskLocals::with_running_loop(py)?.copy_context(py)?;
    let event_loop = locals.event_loop(py);
    let inbox = Inbox::of(&event_loop)?;
    let future = event_loop.call_method0(intern!(py, "create_future"))?;
    let promised = future.clone().unbind();
    let task = runtime.spawn(process::within(locals, async move {
        let answer = whole(verb).await;
        inbox.get().put(promised, answer);
    }));
    future.call_method1(intern!(py, "add_done_callback"), (Withdrawal(task.abort_handle()),))?;
    Ok(future)
}

/// A verb that answers also where it panics.
async fn whole(verb: impl Future<Output = Result<Answer>>) -> Result<Answer> {
    let ended = AssertUnwindSafe(verb).catch_unwind().await;
    ended.unwrap_or_else(|_| Err(Error::bug("a call ended by a fault of ours")))
}

/// Ends the verb when its future is done, which changes nothing unless the future was cancelled.
#[pyclass(frozen)]
struct Withdrawal(AbortHandle);

#[pymethods]
impl Withdrawal {
    fn __call__(&self, _future: &Bound<'_, PyAny>) {
        self.0.abort();
    }
}
