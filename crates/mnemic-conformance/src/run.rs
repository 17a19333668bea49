//! How cases are run: as named tests of one binary, or as a list of outcomes. Not here: the cases.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    process::ExitCode,
    sync::{Arc, mpsc},
    time::Duration,
};

use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::{Builder, Runtime};

/// Longer than any case takes, also on a slow machine over a network; what is not done by then hangs.
const PATIENCE: Duration = Duration::from_mins(3);

/// Names the services that must be there; where one of them is absent its cases fail instead of being ignored.
const REQUIRE: &str = "MNEMIC_REQUIRE";

/// The run of one case.
pub type CaseFuture<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// One demand of a contract. It holds if `run` returns and is broken if it panics.
pub struct Case<H: ?Sized + 'static> {
    /// The clause, for example `L4`.
    pub tag: &'static str,
    /// The demand as a sentence; begins with the clause.
    pub name: &'static str,
    /// Puts the demand to what the harness opens.
    pub run: for<'a> fn(&'a H) -> CaseFuture<'a>,
}

impl<H: ?Sized> fmt::Debug for Case<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case").field("tag", &self.tag).field("name", &self.name).finish_non_exhaustive()
    }
}

/// What became of one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseOutcome {
    /// The clause.
    pub tag: &'static str,
    /// The case.
    pub name: &'static str,
    /// Why it failed; `None` if it passed.
    pub failure: Option<String>,
}

/// Builds a table of cases: the name of a case is the name of its function.
macro_rules! cases {
    ($($tag:literal => $module:ident :: $function:ident,)+) => {
        &[$($crate::Case {
            tag: $tag,
            name: stringify!($function),
            run: |harness| Box::pin($module::$function(harness)),
        },)+]
    };
}
pub(crate) use cases;

/// Runs a table as the tests of this process.
pub(crate) fn as_tests<H: ?Sized + Send + Sync>(harness: &Arc<H>, cases: &'static [Case<H>]) -> ExitCode {
    let runtime = Arc::new(runtime());
    let trials = cases
        .iter()
        .map(|case| {
            let (runtime, harness) = (Arc::clone(&runtime), Arc::clone(harness));
            Trial::test(case.name, move || judge(&runtime, harness, case).map_or(Ok(()), |why| Err(Failed::from(why))))
        })
        .collect();
    let code = libtest_mimic::run(&Arguments::from_args(), trials).exit_code();
    // A case that hangs must not keep the process.
    if let Ok(runtime) = Arc::try_unwrap(runtime) {
        runtime.shutdown_background();
    }
    code
}

/// Shows a table as ignored, or as failed where `MNEMIC_REQUIRE` names the service.
pub(crate) fn as_absent<H: ?Sized>(service: &str, why: &str, cases: &'static [Case<H>]) -> ExitCode {
    let required = std::env::var(REQUIRE).is_ok_and(|list| list.split(',').any(|name| name.trim() == service));
    let message = format!("{service} is absent: {why}");
    let trials = cases
        .iter()
        .map(|case| {
            let message = message.clone();
            Trial::ignorable_test(case.name, move || {
                if required {
                    Err(Failed::from(format!("{message} ({REQUIRE} demands it)")))
                } else {
                    Ok(libtest_mimic::Completion::ignored_with(message))
                }
            })
        })
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Runs the cases that `wanted` picks, one after the other, and tells what became of each.
pub(crate) fn as_outcomes<H: ?Sized + Send + Sync>(
    harness: &Arc<H>,
    cases: &'static [Case<H>],
    wanted: impl Fn(&Case<H>) -> bool,
) -> Vec<CaseOutcome> {
    let runtime = runtime();
    let outcomes = cases
        .iter()
        .filter(|case| wanted(case))
        .map(|case| {
            let failure = judge(&runtime, Arc::clone(harness), case);
            CaseOutcome { tag: case.tag, name: case.name, failure }
        })
        .collect();
    runtime.shutdown_background();
    outcomes
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime can be built")
}

/// Runs one case on a task of its own, so that its panic is told rather than spread. The wait is outside of the runtime, so that a
/// case that keeps every worker busy is ended too.
fn judge<H: ?Sized + Send + Sync>(runtime: &Runtime, harness: Arc<H>, case: &'static Case<H>) -> Option<String> {
    let (send, receive) = mpsc::channel();
    let run = runtime.spawn(async move { (case.run)(&harness).await });
    runtime.spawn(async move {
        let outcome = run.await;
        // Nobody listens any more if the case took too long.
        drop(send.send(outcome));
    });
    match receive.recv_timeout(PATIENCE) {
        Ok(Ok(())) => None,
        Err(_) => Some(format!("not done after {} s", PATIENCE.as_secs())),
        Ok(Err(failed)) => Some(match failed.try_into_panic() {
            Ok(payload) => payload
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| payload.downcast_ref::<&str>().map(|&text| text.to_owned()))
                .unwrap_or_else(|| "panicked".to_owned()),
            Err(cancelled) => cancelled.to_string(),
        }),
    }
}
