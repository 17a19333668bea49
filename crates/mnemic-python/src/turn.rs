//! Answering a call where it was made: what the engine knows at once would take longer to hand to another thread and back.
//!
//! An event loop does nothing else meanwhile, so there are bounds. At most one call in each of its turns is begun so; only while no
//! other call is under way, whose locks this one could wait for; and ever more rarely where the calls before took longer.
//! Not here: the other threads (`process`), how answers come from them (`inbox`).

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use pyo3::{exceptions::PyStopIteration, prelude::*};

use crate::gate::Answer;

/// How long a call may keep a loop: about what handing it over costs in the worst case.
const MOST: Duration = Duration::from_millis(1);
/// How many calls are handed over after one that took longer; twice as many after each such call that follows.
const PATIENCE: u32 = 64;
/// The most that are.
const MOST_PATIENCE: u32 = 1 << 16;

/// The calls that are under way in this process.
#[derive(Debug, Default)]
pub(crate) struct UnderWay(AtomicUsize);

/// One of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct Call {
    under_way: Arc<UnderWay>,
    /// Whether no other was under way when it began.
    pub(crate) alone: bool,
}

impl UnderWay {
    pub(crate) fn begin(self: &Arc<Self>) -> Call {
        let others = self.0.fetch_add(1, Ordering::AcqRel);
        Call { under_way: Arc::clone(self), alone: others == 0 }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.under_way.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What calls of one memory have shown.
#[derive(Debug, Default)]
pub(crate) struct Experience {
    /// How many calls are still to be handed over.
    left: AtomicU32,
    /// How many were after the last that took long; 0 if the last was quick.
    patience: AtomicU32,
}

impl Experience {
    /// Whether the next call may be tried on the loop's thread.
    pub(crate) fn encourages(&self) -> bool {
        let one_less = |left: u32| left.checked_sub(1);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_err()
    }

    /// Notes how long a try took. One that had to wait is no worse: what it began in its time need not be begun by another thread.
    pub(crate) fn note(&self, took: Duration) {
        let patience = match (took <= MOST, self.patience.load(Ordering::Relaxed)) {
            (true, _) => 0,
            (false, 0) => PATIENCE,
            (false, before) => before.saturating_mul(2).min(MOST_PATIENCE),
        };
        self.patience.store(patience, Ordering::Relaxed);
        self.left.store(patience, Ordering::Relaxed);
    }
}

/// An answer that is there already. Awaiting it lets the loop turn once, so that a row of such calls keeps nobody else waiting.
#[pyclass(module = "mnemic._mnemic")]
pub(crate) struct Ready {
    answer: Option<PyResult<Answer>>,
    turned: bool,
    /// Under way until the loop has turned, so that there is none other in this turn.
    call: Option<Call>,
}

impl Ready {
    pub(crate) fn new(answer: PyResult<Answer>, call: Call) -> Self {
        Self { answer: Some(answer), turned: false, call: Some(call) }
    }
}

#[pymethods]
impl Ready {
    const fn __await__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    const fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    /// `None` asks the loop for a turn, as `asyncio.sleep(0)` does; then comes the answer.
    fn __next__(&mut self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        if !std::mem::replace(&mut self.turned, true) {
            return Ok(Some(py.None()));
        }
        self.call = None;
        match self.answer.take() {
            Some(answer) => Err(PyStopIteration::new_err((answer?.into_pyobject(py)?.unbind(),))),
            None => Err(pyo3::exceptions::PyRuntimeError::new_err("this answer was awaited already")),
        }
    }
}
