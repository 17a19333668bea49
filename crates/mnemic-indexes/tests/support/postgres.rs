//! Harnesses for the indexes in PostgreSQL: one database for all cases, and a handle of its own for each. Not here: any test.
#![allow(dead_code, unused_imports, unused_macros, reason = "each test binary uses its own part")]

use std::{pin::Pin, process::ExitCode, sync::Arc};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use mnemic_conformance::index::IndexHarness;
use mnemic_core::ports::Index;
use mnemic_indexes::{PgvectorConfig, PgvectorIndex, PostgresTextConfig, PostgresTextIndex};
use mnemic_postgres::{
    Pool,
    testing::{TestDatabase, TestServer},
};
use tokio::sync::OnceCell;

/// A database that is made when it is first asked for.
#[derive(Debug)]
pub(crate) struct Shared {
    server: TestServer,
    made: OnceCell<(Pool, TestDatabase)>,
}

impl Shared {
    /// On the server of a service, or why there is none.
    pub(crate) fn on(service: &str) -> Result<Self, String> {
        Ok(Self { server: TestServer::of(service)?, made: OnceCell::new() })
    }

    pub(crate) async fn pool(&self) -> Pool {
        let make = async || {
            let database = self.server.database().await;
            (Pool::connect(database.config()).await.unwrap(), database)
        };
        self.made.get_or_init(make).await.0.clone()
    }
}

/// Opens `PgvectorIndex`.
pub(crate) struct Pgvector {
    pub(crate) shared: Shared,
    pub(crate) config: PgvectorConfig,
}

#[async_trait::async_trait]
impl IndexHarness for Pgvector {
    async fn open(&self) -> Arc<dyn Index> {
        Arc::new(PgvectorIndex::new(self.shared.pool().await, self.config).unwrap())
    }
}

/// Opens `PostgresTextIndex`.
pub(crate) struct PostgresText(pub(crate) Shared);

#[async_trait::async_trait]
impl IndexHarness for PostgresText {
    async fn open(&self) -> Arc<dyn Index> {
        Arc::new(PostgresTextIndex::new(self.0.pool().await, PostgresTextConfig::default()).unwrap())
    }
}

/// One test against a server of its own database.
pub(crate) type Test = fn(TestServer) -> Pin<Box<dyn Future<Output = ()>>>;

/// Runs tests as those of this process, or shows them as ignored because the service is absent, or as failed where `MNEMIC_REQUIRE`
/// names it.
pub(crate) fn main_of(service: &'static str, tests: &[(&'static str, Test)]) -> ExitCode {
    main_without(service, tests, &[])
}

/// The same beside tests that lack something else, each with what it lacks.
pub(crate) fn main_without(
    service: &'static str,
    tests: &[(&'static str, Test)],
    lacking: &[(&'static str, &'static str)],
) -> ExitCode {
    let required = std::env::var("MNEMIC_REQUIRE").is_ok_and(|list| list.split(',').any(|name| name.trim() == service));
    let trial = |(name, test): &(&'static str, Test)| {
        let test = *test;
        Trial::ignorable_test(*name, move || match TestServer::of(service) {
            Ok(server) => {
                let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
                runtime.unwrap().block_on(test(server));
                Ok(Completion::Completed)
            }
            Err(why) if required => Err(Failed::from(format!("{service} is absent: {why}"))),
            Err(why) => Ok(Completion::ignored_with(format!("{service} is absent: {why}"))),
        })
    };
    let ignored = |(name, why): &(&'static str, &'static str)| {
        let why = *why;
        Trial::ignorable_test(*name, move || Ok(Completion::ignored_with(why)))
    };
    let trials = tests.iter().map(trial).chain(lacking.iter().map(ignored)).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Makes a table of tests out of asynchronous functions.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        &[$((stringify!($name), (|server| Box::pin($name(server))) as support::Test)),*]
    };
}
pub(crate) use tests;
