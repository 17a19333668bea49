//! A world for the configuration tests: a user, a project, an environment. Not here: what is expected of it.

use std::{collections::BTreeMap, ffi::OsString, fs, path::PathBuf};

use mnemic::{
    ErrorKind,
    config::{self, Flags, Inputs, Settings},
};
use tempfile::TempDir;

/// What no message may show.
pub(crate) const KEY: &str = "pa55-word-never-shown";

/// A user with a home, a project with a subdirectory where the program runs, and an environment.
pub(crate) struct World {
    pub(crate) root: TempDir,
    pub(crate) environment: BTreeMap<&'static str, OsString>,
    pub(crate) flags: Flags,
}

impl World {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("project/sub")).unwrap();
        fs::create_dir_all(root.path().join("home")).unwrap();
        let mut world = Self { root, environment: BTreeMap::new(), flags: Flags::default() };
        let home = world.path("home").into_os_string();
        world.environment.insert("HOME", home);
        world
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root.path().join(below)
    }

    pub(crate) fn set(&mut self, name: &'static str, value: impl Into<OsString>) -> &mut Self {
        self.environment.insert(name, value.into());
        self
    }

    pub(crate) fn file(&self, below: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn load(&self) -> mnemic::Result<Settings> {
        let lookup = |name: &str| self.environment.get(name).cloned();
        let here = self.path("project/sub");
        config::load(&Inputs { flags: &self.flags, environment: &lookup, working_directory: &here })
    }

    #[track_caller]
    pub(crate) fn settings(&self) -> Settings {
        self.load().unwrap()
    }

    /// The lines of the error, with the world's directory cut out.
    #[track_caller]
    pub(crate) fn faults(&self) -> Vec<String> {
        let error = self.load().expect_err("there is a fault");
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        let root = format!("{}/", self.root.path().display());
        error.message().replace(&root, "").lines().map(str::to_owned).collect()
    }

    /// The only fault.
    #[track_caller]
    pub(crate) fn fault(&self) -> String {
        let faults = self.faults();
        assert_eq!(faults.len(), 1, "{faults:#?}");
        faults.into_iter().next().unwrap()
    }
}
