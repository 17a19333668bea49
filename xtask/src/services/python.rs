//! Python environments for tools that come from `PyPI`: made once below `target/services`, pinned by hash, and reused.
//! Not here: what is done with them.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Outcome, run, suite::Network};

/// A copy of the requirements in an environment that was finished, by which it is known again.
const FINISHED: &str = "requirements.txt";

/// What a list of requirements says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listed {
    /// Every package, each with its version and hash: nothing is resolved, built or run while installing.
    Whole,
    /// The packages that are meant, each with its version; pip finds what those need.
    Direct,
}

/// One virtual environment.
#[derive(Debug)]
pub(crate) struct Environment {
    place: PathBuf,
}

impl Environment {
    /// The environment called `name` that holds what the file `requirements` lists.
    ///
    /// # Errors
    /// What could not be made, in one sentence for people.
    pub(crate) fn provide(
        root: &Path,
        name: &str,
        requirements: (&Path, Listed),
        network: Network,
    ) -> Result<Self, String> {
        Self::provide_in(&target(root).join("services"), name, requirements, network)
    }

    fn provide_in(above: &Path, name: &str, listed: (&Path, Listed), network: Network) -> Result<Self, String> {
        let (requirements, listed) = listed;
        fs::create_dir_all(above).map_err(|e| format!("{} cannot be made: {e}", above.display()))?;
        // Two tasks at once make it once.
        let lock = above.join(format!("{name}.lock"));
        let lock = File::create(&lock).and_then(|file| file.lock().map(|()| file));
        let _held = lock.map_err(|e| format!("{} cannot be locked: {e}", above.display()))?;
        let wanted =
            fs::read_to_string(requirements).map_err(|e| format!("{} cannot be read: {e}", requirements.display()))?;
        let environment = Self { place: above.join(name) };
        if !environment.holds(&wanted) {
            if network == Network::Never {
                return Err(format!("the Python environment `{name}` is not there, and --offline forbids to make it"));
            }
            environment.make(name, &wanted, requirements, listed)?;
        }
        Ok(environment)
    }

    /// Where its packages lie.
    ///
    /// # Errors
    /// It has none.
    pub(crate) fn packages(&self) -> Result<PathBuf, String> {
        let lib = self.place.join("lib");
        let versions = fs::read_dir(&lib).map_err(|e| format!("{} cannot be read: {e}", lib.display()))?;
        let mut found = versions.flatten().map(|version| version.path().join("site-packages"));
        found.find(|packages| packages.is_dir()).ok_or_else(|| format!("{} holds no packages", lib.display()))
    }

    /// A program of it, for example `python`.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.place.join("bin").join(name)
    }

    fn holds(&self, wanted: &str) -> bool {
        fs::read_to_string(self.place.join(FINISHED)).is_ok_and(|held| held == wanted)
    }

    fn make(&self, name: &str, wanted: &str, requirements: &Path, listed: Listed) -> Outcome {
        run::say(&format!("making the Python environment `{name}`"));
        let place = &self.place;
        if place.exists() {
            fs::remove_dir_all(place).map_err(|e| format!("{} cannot be removed: {e}", place.display()))?;
        }
        run::finish(Command::new("python3").args(["-m", "venv"]).arg(place))
            .map_err(|why| format!("{why}; Python 3.11 with its `venv` is needed"))?;
        let mut pip = Command::new(place.join("bin").join("python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]);
        if listed == Listed::Whole {
            pip.args(["--no-deps", "--only-binary", ":all:", "--require-hashes"]);
        }
        pip.arg("-r").arg(requirements);
        run::finish(&mut pip)?;
        fs::write(place.join(FINISHED), wanted).map_err(|e| format!("{} cannot be finished: {e}", place.display()))
    }
}

/// Where this workspace's builds lie.
pub(crate) fn target(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |set| root.join(set))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a finished environment in it.
    fn finished(test: &str) -> (PathBuf, PathBuf) {
        let root = env::temp_dir().join(format!("mnemic-python-{test}-{}", std::process::id()));
        let place = root.join("tool");
        fs::create_dir_all(place.join("lib").join("python3.11").join("site-packages")).unwrap();
        fs::write(root.join("wanted.txt"), "tool==1").unwrap();
        fs::write(place.join(FINISHED), "tool==1").unwrap();
        let requirements = root.join("wanted.txt");
        (root, requirements)
    }

    #[test]
    fn a_finished_environment_is_used_again_and_an_outdated_one_is_not() {
        let (root, requirements) = finished("reuse");
        let found = Environment::provide_in(&root, "tool", (&requirements, Listed::Whole), Network::Never).unwrap();
        assert!(found.packages().unwrap().ends_with("lib/python3.11/site-packages"));
        assert!(found.program("python").ends_with("tool/bin/python"));
        fs::write(&requirements, "tool==2").unwrap();
        let why = Environment::provide_in(&root, "tool", (&requirements, Listed::Whole), Network::Never).unwrap_err();
        assert!(why.contains("tool") && why.contains("--offline"), "{why}");
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn requirements_that_are_not_there_are_an_error_that_names_them() {
        let (root, _) = finished("absent");
        let why = Environment::provide_in(&root, "tool", (Path::new("/no/such/list"), Listed::Whole), Network::Never)
            .unwrap_err();
        assert!(why.contains("/no/such/list"), "{why}");
        fs::remove_dir_all(root).unwrap();
    }
}
