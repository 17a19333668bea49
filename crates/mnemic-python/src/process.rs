//! The Tokio runtime of this process. A process made by `fork` has none of its parent's threads, so it gets a runtime of its own.
//! Not here: what runs on it (`gate`).

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use mnemic::{Error, ErrorKind, Result};
use pyo3::prelude::*;
use pyo3_async_runtimes::{
    TaskLocals,
    generic::{ContextExt, JoinError, Runtime as Bridge},
};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    task,
};

/// Threads that verbs run on; heavy work goes to threads of its own.
const WORKERS: usize = 4;
/// How long what is under way may take at the end of the process.
const GRACE: Duration = Duration::from_secs(5);

/// The runtime, and the process that its threads live in.
struct Owned {
    process: u32,
    runtime: Arc<Runtime>,
}

static RUNTIME: Mutex<Option<Owned>> = Mutex::new(None);

/// The runtime of this process, made on first use.
///
/// Only called by threads that are attached to the interpreter, as is whoever forks: so the lock is free in a forked child.
pub(crate) fn runtime() -> Result<Arc<Runtime>> {
    let mut owned = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    match owned.take() {
        Some(mine) if mine.process == process => {
            let runtime = Arc::clone(&mine.runtime);
            *owned = Some(mine);
            return Ok(runtime);
        }
        // Its threads are in the parent; dropping it would wait for them for ever.
        Some(parents) => std::mem::forget(parents),
        None => {}
    }
    let made = Builder::new_multi_thread().worker_threads(WORKERS).thread_name("mnemic").enable_all().build();
    let made = made.map_err(|error| {
        Error::new(ErrorKind::Unavailable, "threads cannot be started in this process").with_source(error)
    })?;
    let runtime = Arc::new(made);
    *owned = Some(Owned { process, runtime: Arc::clone(&runtime) });
    Ok(runtime)
}

/// Ends what runs in this process. Called at the interpreter's exit, since no thread may enter it later.
#[pyfunction]
pub(crate) fn shut_down(py: Python<'_>) {
    let owned = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(Owned { process, runtime }) = owned else { return };
    if process != std::process::id() {
        std::mem::forget(runtime);
        return;
    }
    py.detach(|| {
        if let Some(runtime) = Arc::into_inner(runtime) {
            runtime.shutdown_timeout(GRACE);
        }
    });
}

/// This process's runtime as the bridge to asyncio asks for one.
pub(crate) struct Tokio;

/// Why a task ended without an answer.
pub(crate) struct Ended(task::JoinError);

impl JoinError for Ended {
    fn is_panic(&self) -> bool {
        self.0.is_panic()
    }

    fn into_panic(self) -> Box<dyn std::any::Any + Send + 'static> {
        self.0.into_panic()
    }
}

/// A task that is waited for.
pub(crate) struct Joined(task::JoinHandle<()>);

impl Future for Joined {
    type Output = std::result::Result<(), Ended>;

    fn poll(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map_err(Ended)
    }
}

tokio::task_local! {
    static LOCALS: TaskLocals;
}

impl Bridge for Tokio {
    type JoinError = Ended;
    type JoinHandle = Joined;

    /// Within the runtime, where every caller of it is.
    fn spawn<F: Future<Output = ()> + Send + 'static>(future: F) -> Joined {
        Joined(Handle::current().spawn(future))
    }

    fn spawn_blocking<F: FnOnce() + Send + 'static>(work: F) -> Joined {
        Joined(Handle::current().spawn_blocking(work))
    }
}

impl ContextExt for Tokio {
    fn scope<F, R>(locals: TaskLocals, future: F) -> Pin<Box<dyn Future<Output = R> + Send>>
    where
        F: Future<Output = R> + Send + 'static,
    {
        Box::pin(LOCALS.scope(locals, future))
    }

    fn get_task_locals() -> Option<TaskLocals> {
        LOCALS.try_with(Clone::clone).ok()
    }
}
