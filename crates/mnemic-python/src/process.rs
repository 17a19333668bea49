//! The Tokio runtime of this process. A process made by `fork` has none of its parent's threads, so it gets a runtime of its own.
//! Not here: what runs on it (`gate`).

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    thread::available_parallelism,
    time::Duration,
};

use mnemic::{Error, ErrorKind, Result};
use pyo3::prelude::*;
use pyo3_async_runtimes::TaskLocals;
use tokio::runtime::{Builder, Runtime};

use crate::turn::UnderWay;

/// Most threads that verbs run on; heavy work goes to threads of its own.
const WORKERS: usize = 4;
/// How long what is under way may take at the end of the process.
const GRACE: Duration = Duration::from_secs(5);

/// What runs verbs.
pub(crate) struct Host {
    pub(crate) runtime: Runtime,
    pub(crate) under_way: Arc<UnderWay>,
}

/// The host, and the process that its threads live in.
struct Owned {
    process: u32,
    host: Arc<Host>,
}

static HOST: Mutex<Option<Owned>> = Mutex::new(None);

/// The host of this process, made on first use.
///
/// Only called by threads that are attached to the interpreter, as is whoever forks: so the lock is free in a forked child.
pub(crate) fn host() -> Result<Arc<Host>> {
    let mut owned = HOST.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    match owned.take() {
        Some(mine) if mine.process == process => {
            let host = Arc::clone(&mine.host);
            *owned = Some(mine);
            return Ok(host);
        }
        // Its threads are in the parent; dropping it would wait for them for ever.
        Some(parents) => std::mem::forget(parents),
        None => {}
    }
    // More threads than processors make calls one after the other run on cold ones.
    let workers = available_parallelism().map_or(WORKERS, |processors| processors.get().clamp(2, WORKERS));
    let made = Builder::new_multi_thread().worker_threads(workers).thread_name("mnemic").enable_all().build();
    let made = made.map_err(|error| {
        Error::new(ErrorKind::Unavailable, "threads cannot be started in this process").with_source(error)
    })?;
    let host = Arc::new(Host { runtime: made, under_way: Arc::default() });
    *owned = Some(Owned { process, host: Arc::clone(&host) });
    Ok(host)
}

/// Ends what runs in this process. Called at the interpreter's exit, since no thread may enter it later.
#[pyfunction]
pub(crate) fn shut_down(py: Python<'_>) {
    let owned = HOST.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(Owned { process, host }) = owned else { return };
    if process != std::process::id() {
        std::mem::forget(host);
        return;
    }
    py.detach(|| {
        if let Some(host) = Arc::into_inner(host) {
            host.runtime.shutdown_timeout(GRACE);
        }
    });
}

tokio::task_local! {
    static LOCALS: TaskLocals;
}

/// A verb that knows the loop and the context of its caller.
pub(crate) fn within<F: Future>(locals: TaskLocals, verb: F) -> impl Future<Output = F::Output> {
    LOCALS.scope(locals, verb)
}

/// The loop and the context of who called the verb that runs here, if it was called from a loop.
pub(crate) fn caller() -> Option<TaskLocals> {
    LOCALS.try_with(Clone::clone).ok()
}
