//! A production memory from the outside: a database of its own, vendors' stand-ins, and the environment that names them.
//! Not here: what is done with it.
#![allow(dead_code, reason = "each test program uses a part")]

use std::{collections::HashMap, ffi::OsString};

use mnemic::{
    Builder, MemoryManager, Namespace,
    config::{self, Flags, Inputs},
};
use mnemic_postgres::testing::{TestDatabase, TestServer};
use mnemic_stand_ins::{Knobs, Running, vendors};
use tempfile::TempDir;

/// Everything that a memory needs, from the outside.
pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) directory: TempDir,
    pub(crate) vendors: Vec<(&'static str, Running)>,
    pub(crate) environment: HashMap<String, String>,
}

impl World {
    pub(crate) async fn new(server: &TestServer, names: &[&str]) -> Self {
        let (database, directory) = (server.database().await, tempfile::tempdir().unwrap());
        // The form that the guide shows.
        let dsn = database.dsn().replacen("postgresql://", "postgresql+asyncpg://", 1);
        let mut environment = HashMap::from([
            ("ENV".to_owned(), "production".to_owned()),
            ("POSTGRES_DSN".to_owned(), dsn),
            ("MNEMIC_POSTGRES_ADMIN_DSN".to_owned(), database.admin_dsn()),
            ("MNEMIC_SPOOL_DIR".to_owned(), directory.path().join("spool").display().to_string()),
            ("HOME".to_owned(), directory.path().display().to_string()),
        ]);
        let mut running = Vec::new();
        for vendor in vendors().iter().filter(|vendor| names.contains(&vendor.name)) {
            let stand_in = (vendor.serve)(0, Knobs::new()).unwrap();
            let named = (vendor.environment)(&stand_in.url()).into_iter();
            environment.extend(named.map(|(name, value)| (name.to_owned(), value)));
            running.push((vendor.name, stand_in));
        }
        assert_eq!(running.len(), names.len(), "every vendor has a stand-in");
        Self { database, directory, vendors: running, environment }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn open(&self) -> MemoryManager {
        self.open_in(None)
    }

    pub(crate) fn open_in(&self, namespace: Option<&str>) -> MemoryManager {
        let settings = config::load(&Inputs {
            flags: &Flags::default(),
            environment: &|name| self.environment.get(name).map(OsString::from),
            working_directory: self.directory.path(),
        });
        let settings = settings.unwrap();
        let namespace =
            namespace.map_or_else(|| settings.namespace.value.clone(), |name| Namespace::new(name).unwrap());
        Builder::from_settings(&settings).unwrap().build(namespace).unwrap()
    }

    pub(crate) fn vendor(&self, name: &str) -> &Running {
        &self.vendors.iter().find(|(vendor, _)| *vendor == name).unwrap().1
    }
}
