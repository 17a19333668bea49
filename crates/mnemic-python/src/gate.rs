//! The one way from Python to a verb: gives the interpreter up while the verb runs, hears Ctrl-C, turns errors into exceptions.
//! Not here: the verbs (`verbs`).

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use futures::FutureExt;
use mnemic::{Error, MemoryRecord, Page, Result, Retrieval};
use pyo3::{intern, prelude::*, types::PyBytes};
use pyo3_async_runtimes::TaskLocals;
use tokio::{task::AbortHandle, time};

use crate::{
    error::exception,
    inbox::Inbox,
    models,
    process::{self, Host},
    turn::{Call, Experience, Ready},
};

/// How often a blocking call looks up for Ctrl-C.
const LOOK_UP: Duration = Duration::from_millis(50);

/// What a verb answers.
pub(crate) enum Answer {
    /// The bytes of one JSON object.
    Json(String),
    /// What a retrieval found.
    Retrieval(Box<Retrieval>),
    /// Records, and where the next page starts.
    Page(Page<MemoryRecord>),
    /// Records, and nothing where there is none.
    Records(Vec<Option<MemoryRecord>>),
}

impl<'py> IntoPyObject<'py> for Answer {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        match self {
            Self::Json(answer) => Ok(PyBytes::new(py, answer.as_bytes()).into_any()),
            Self::Retrieval(found) => models::retrieval(py, &found),
            Self::Page(page) => models::page(py, &page),
            Self::Records(records) => models::records(py, &records),
        }
    }
}

/// Runs a verb on this thread and waits for it.
///
/// # Errors
/// The verb's, as exceptions, or what a signal handler raised, such as `KeyboardInterrupt`. The verb then ends whole or undone.
pub(crate) fn wait<F>(py: Python<'_>, host: &Host, verb: F) -> PyResult<Answer>
where
    F: Future<Output = Result<Answer>> + Send,
{
    let _call = host.under_way.begin();
    let mut verb = pin!(whole(verb));
    loop {
        let done = py.detach(|| host.runtime.block_on(async { time::timeout(LOOK_UP, verb.as_mut()).await }));
        match done {
            Ok(answer) => return answer.map_err(|error| exception(py, &error)),
            Err(_elapsed) => py.check_signals()?,
        }
    }
}

/// A verb that was begun.
type Begun = Pin<Box<dyn Future<Output = Result<Answer>> + Send>>;

/// Runs a verb and answers an awaitable of the running loop. If it is cancelled, the verb ends whole or undone. With `experience` the
/// verb is tried on this thread, and never calls Python.
///
/// # Errors
/// `RuntimeError` where no loop is running.
pub(crate) fn promise<'py, F>(
    py: Python<'py>,
    host: &Arc<Host>,
    verb: F,
    experience: Option<&Experience>,
) -> PyResult<Bound<'py, PyAny>>
where
    F: Future<Output = Result<Answer>> + Send + 'static,
{
    let call = host.under_way.begin();
    let mut verb: Begun = Box::pin(whole(verb));
    let Some(experience) = experience else {
        let locals = TaskLocals::with_running_loop(py)?.copy_context(py)?;
        let event_loop = locals.event_loop(py);
        return spawn(&event_loop, host, call, Box::pin(process::within(locals, verb)));
    };
    let event_loop = pyo3_async_runtimes::get_running_loop(py)?;
    if call.alone && experience.encourages() {
        let polled = py.detach(|| {
            let _entered = host.runtime.enter();
            let begun = Instant::now();
            let polled = verb.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            // Without the wait for the interpreter, which is another's doing.
            experience.note(begun.elapsed());
            polled
        });
        if let Poll::Ready(answer) = polled {
            let answer = answer.map_err(|error| exception(py, &error));
            return Ok(Bound::new(py, Ready::new(answer, call))?.into_any());
        }
    }
    spawn(&event_loop, host, call, verb)
}

/// Hands a verb to the runtime; the answer comes to the loop's inbox.
fn spawn<'py>(event_loop: &Bound<'py, PyAny>, host: &Host, call: Call, verb: Begun) -> PyResult<Bound<'py, PyAny>> {
    let py = event_loop.py();
    let inbox = Inbox::of(event_loop)?;
    let future = event_loop.call_method0(intern!(py, "create_future"))?;
    let promised = future.clone().unbind();
    let task = host.runtime.spawn(async move {
        let answer = verb.await;
        drop(call);
        inbox.get().put(promised, answer);
    });
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
