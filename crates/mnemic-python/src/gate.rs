//! The one way from Python to a verb: gives the interpreter up while the verb runs, hears Ctrl-C, turns errors into exceptions.
//! Not here: the verbs (`verbs`).

use std::{future::Future, sync::Arc, time::Duration};

use mnemic::Result;
use pyo3::{prelude::*, types::PyBytes};
use pyo3_async_runtimes::{TaskLocals, generic};
use tokio::runtime::Runtime;

use crate::{error::exception, process::Tokio};

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

/// Runs a verb and waits for it on this thread.
///
/// # Errors
/// The verb's, as exceptions, or what a signal handler raised, such as `KeyboardInterrupt`. The verb then ends whole or undone.
pub(crate) fn wait<F>(py: Python<'_>, runtime: &Arc<Runtime>, verb: F) -> PyResult<Answer>
where
    F: Future<Output = Result<Answer>> + Send + 'static,
{
    let mut task = runtime.spawn(verb);
    loop {
        let done = py.detach(|| runtime.block_on(async { tokio::time::timeout(LOOK_UP, &mut task).await }));
        match done {
            Ok(Ok(answer)) => return answer.map_err(|error| exception(py, &error)),
            Ok(Err(ended)) => return Err(exception(py, &crate::verbs::ended(&ended))),
            Err(_elapsed) => {
                if let Err(raised) = py.check_signals() {
                    task.abort();
                    return Err(raised);
                }
            }
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
    let _entered = runtime.enter();
    generic::future_into_py_with_locals::<Tokio, _, _>(py, locals, async move {
        verb.await.map_err(|error| Python::attach(|py| exception(py, &error)))
    })
}
