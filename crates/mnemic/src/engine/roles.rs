//! The roles of namespaces as this process last saw them, and finding the memory that an address names. Not here: what a role means
//! for a call (`manager/home`).

use std::{
    collections::{BTreeMap, HashMap},
    env,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use mnemic_core::{Address, Assignment, Error, ErrorKind, Namespace, Result, Role, policy::audit};
use mnemic_postgres::PostgresConfig;

use super::{Engine, is_away};
use crate::{
    Builder, MemoryManager,
    config::{self, EmbedderChoice, Flags, Inputs, Origin, Profile, Settings},
};

/// How long a server's answer about a role is believed. A switch waits for as long before anybody takes writes at the new place, so that
/// nobody reads the old place after something was written to the new one.
pub(crate) const ROLE_LIFE: Duration = Duration::from_secs(1);
/// How long a call waits for a server to tell the role, before it goes on with what was seen last.
const ROLE_PATIENCE: Duration = Duration::from_millis(500);

/// How many pointers are followed. Every move leaves one, for whoever still uses the first name.
pub(crate) const HOPS: usize = 64;

const DIRECTORY: &str = "dir:";
const ENV_FILE: &str = "env:";

/// The engines of this process, by their origin, so that a pointer to one of them leads to it.
static ENGINES: LazyLock<Mutex<BTreeMap<String, Weak<Engine>>>> = LazyLock::new(Mutex::default);

fn engines() -> std::sync::MutexGuard<'static, BTreeMap<String, Weak<Engine>>> {
    ENGINES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where an engine comes from, in the words of an address: how another process opens the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place(String);

impl Place {
    /// A directory with the parts of the embedded mode.
    pub(crate) fn directory(path: &Path) -> Self {
        Self(format!("{DIRECTORY}{}", absolute(path).display()))
    }

    /// What settings name: their file of variables if that decides, else their directory, else only a name for people.
    pub(crate) fn of_settings(settings: &Settings) -> Self {
        let decides = match (settings.profile.value, &settings.postgres_dsn) {
            (Profile::Embedded, _) => Some(&settings.directory.origin),
            (Profile::Production, Some(dsn)) => Some(&dsn.origin),
            _ => None,
        };
        // A file that leaves the embedder to somebody else leads others to another one.
        let whole = matches!(settings.embedder.origin, Origin::EnvFile(_) | Origin::Implied(_) | Origin::Default);
        match (decides, &settings.postgres_dsn) {
            (Some(Origin::EnvFile(path)), _) if whole => Self(format!("{ENV_FILE}{}", absolute(path).display())),
            (Some(_), _) if settings.profile.value == Profile::Embedded => Self::of_directory(settings),
            (Some(_), Some(dsn)) => Self::of_database(settings, dsn.value.expose()),
            _ => Self::of_process(),
        }
    }

    /// A directory, which whoever follows it opens with the built-in model. With another one it is a place that no other process can
    /// follow: two models would meet in it.
    fn of_directory(settings: &Settings) -> Self {
        let directory = &settings.directory.value;
        match settings.embedder.value {
            EmbedderChoice::Static | EmbedderChoice::None => Self::directory(directory),
            _ => Self::digested("directory", &format!("{} {}", absolute(directory).display(), embedder(settings))),
        }
    }

    /// A database and what is used with it. No other process can follow it, and it tells nobody where the database is.
    fn of_database(settings: &Settings, dsn: &str) -> Self {
        let Ok(place) = PostgresConfig::new(dsn).place() else { return Self::of_process() };
        Self::digested("postgresql", &format!("{place} {} {}", settings.index.value, embedder(settings)))
    }

    fn digested(kind: &str, parts: &str) -> Self {
        let digest = audit::digest(parts.as_bytes()).to_string();
        Self(format!("{kind}:{}", digest.get(..16).unwrap_or_default()))
    }

    /// A memory that only this process can find.
    pub(crate) fn of_process() -> Self {
        Self(format!("process:{}", uuid::Uuid::new_v4()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What makes embeddings, as far as it decides their space.
fn embedder(settings: &Settings) -> String {
    let model = settings.embedding.model.as_ref().map_or("", |model| model.value.as_str());
    let dimension = settings.embedding.dimension.as_ref().map(|dimension| dimension.value).unwrap_or_default();
    format!("{} {model} {dimension}", settings.embedder.value)
}

/// The one name of what a path leads to, however it was written.
fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().or_else(|_absent| std::path::absolute(path)).unwrap_or_else(|_unknown| path.to_owned())
}

/// A role, and when it was read.
pub(super) struct Seen {
    assignment: Assignment,
    at: Instant,
}

/// What is remembered of roles.
#[derive(Default)]
pub(super) struct Roles {
    seen: Mutex<HashMap<Namespace, Seen>>,
    /// Held while a server is asked, so that a thousand calls at once ask once.
    asking: Mutex<HashMap<Namespace, Arc<tokio::sync::Mutex<()>>>>,
    /// Memories that addresses led to.
    opened: Mutex<HashMap<String, Arc<Engine>>>,
    /// Second places of writes that a caller asked for.
    mirrors: Mutex<HashMap<Namespace, MemoryManager>>,
}

impl Engine {
    /// Makes the engine known to whoever in this process follows a pointer to it.
    pub(crate) fn register(self: &Arc<Self>) {
        let mut engines = engines();
        engines.retain(|_, engine| engine.strong_count() > 0);
        engines.insert(self.origin.as_str().to_owned(), Arc::downgrade(self));
    }

    /// Where a namespace of this engine can be found.
    pub(crate) fn address(&self, namespace: &Namespace) -> Result<Address> {
        Address::new(self.origin.as_str(), namespace.clone())
    }

    /// The role of a namespace. While the ledger is away, the one that was seen last: writes wait in the spool and reads tell.
    pub(crate) async fn role(&self, namespace: &Namespace) -> Result<Role> {
        if self.role_life.is_zero() {
            return self.ask_role(namespace).await;
        }
        if let Some(role) = self.believed_role(namespace) {
            return Ok(role);
        }
        let asking = {
            let mut asking = self.roles.asking.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(asking.entry(namespace.clone()).or_default())
        };
        let _one = asking.lock().await;
        match self.believed_role(namespace) {
            Some(role) => Ok(role),
            None => self.ask_role(namespace).await,
        }
    }

    /// The role that was seen so lately that it still holds.
    fn believed_role(&self, namespace: &Namespace) -> Option<Role> {
        self.seen_role(namespace).filter(|(_, age)| *age < self.role_life).map(|(role, _)| role)
    }

    /// Asks a server, and waits for as long as a call can bear. The question is not taken back then: one that is cut off would count
    /// as a failure of the server.
    async fn ask_far(&self, namespace: &Namespace) -> Result<Assignment> {
        let (ledger, name) = (Arc::clone(&self.ledger), namespace.clone());
        let asked = tokio::spawn(async move { ledger.assignment(&name).await });
        match tokio::time::timeout(ROLE_PATIENCE, asked).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(failed)) => Err(Error::bug("asking for a role ended early").with_source(failed)),
            Err(_late) => {
                Err(Error::new(ErrorKind::Unavailable, "the ledger did not tell the role of the namespace in time"))
            }
        }
    }

    async fn ask_role(&self, namespace: &Namespace) -> Result<Role> {
        let known = self.seen_role(namespace);
        // What is answered was true when it was asked for, at the least.
        let at = Instant::now();
        let near = self.role_life.is_zero();
        let asked = if near { self.ledger.assignment(namespace).await } else { self.ask_far(namespace).await };
        let assignment = match asked {
            Ok(assignment) => assignment,
            Err(error) if is_away(&error) => {
                let role = known.map(|(role, _)| role).unwrap_or_default();
                Assignment { epoch: self.seen_epoch(namespace), role }
            }
            Err(error) => return Err(error),
        };
        Ok(self.note_role_at(namespace, assignment, at))
    }

    pub(crate) fn set_mirror(&self, namespace: &Namespace, mirror: Option<MemoryManager>) {
        let mut mirrors = self.roles.mirrors.lock().unwrap_or_else(PoisonError::into_inner);
        match mirror {
            Some(mirror) => drop(mirrors.insert(namespace.clone(), mirror)),
            None => drop(mirrors.remove(namespace)),
        }
    }

    pub(crate) fn own_mirror(&self, namespace: &Namespace) -> Option<MemoryManager> {
        self.roles.mirrors.lock().unwrap_or_else(PoisonError::into_inner).get(namespace).cloned()
    }

    fn seen_role(&self, namespace: &Namespace) -> Option<(Role, Duration)> {
        let seen = self.roles.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(namespace).map(|seen| (seen.assignment.role.clone(), seen.at.elapsed()))
    }

    fn seen_epoch(&self, namespace: &Namespace) -> u64 {
        let seen = self.roles.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(namespace).map_or(0, |seen| seen.assignment.epoch)
    }

    /// Remembers a role. What is known of indexes belongs to one life of a namespace, so it is let go when the role changed.
    pub(crate) fn note_role(&self, namespace: &Namespace, assignment: Assignment) -> Role {
        self.note_role_at(namespace, assignment, Instant::now())
    }

    fn note_role_at(&self, namespace: &Namespace, assignment: Assignment, at: Instant) -> Role {
        let role = assignment.role.clone();
        let epoch = assignment.epoch;
        let mut seen = self.roles.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let before = seen.insert(namespace.clone(), Seen { assignment, at });
        drop(seen);
        if before.is_some_and(|before| before.assignment.epoch != epoch) {
            // Whoever serves anew may hold something else than what was seen here before: the copy was taken away, and others wrote.
            let from_the_beginning = matches!(role, Role::Serving { .. });
            self.begin_anew(namespace, from_the_beginning);
        }
        role
    }

    /// Lets the next call ask again.
    pub(crate) fn forget_role(&self, namespace: &Namespace) {
        let mut seen = self.roles.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = seen.get_mut(namespace) {
            seen.at = Instant::now().checked_sub(ROLE_LIFE * 2).unwrap_or(seen.at);
        }
    }

    /// The memory that an address names.
    ///
    /// # Errors
    /// `Unavailable` if it cannot be found from here, saying where it is.
    pub(crate) fn elsewhere(&self, address: &Address) -> Result<MemoryManager> {
        let namespace = address.namespace().clone();
        let mut opened = self.roles.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = opened.get(address.ledger()) {
            return Ok(MemoryManager::new(Arc::clone(engine), namespace));
        }
        let memory = open(address).map_err(|error| {
            let message = format!("the memory is in {address}, which cannot be opened from here: {}", error.message());
            Error::new(ErrorKind::Unavailable, message).with_source(error)
        })?;
        opened.insert(address.ledger().to_owned(), memory.shared_engine());
        Ok(memory)
    }
}

/// Opens what an address names: an engine of this process, a directory, or what a file of variables says.
///
/// # Errors
/// `NotFound` for what is not there, `Unsupported` for an address that no other process can follow, and what opening gives.
pub(crate) fn open(address: &Address) -> Result<MemoryManager> {
    let namespace = address.namespace().clone();
    if let Some(engine) = engines().get(address.ledger()).and_then(Weak::upgrade) {
        return Ok(MemoryManager::new(engine, namespace));
    }
    if let Some(path) = address.ledger().strip_prefix(DIRECTORY) {
        if !Path::new(path).is_dir() {
            return Err(Error::not_found(format_args!("directory {path}")));
        }
        return Builder::embedded(path)?.build(namespace);
    }
    if let Some(path) = address.ledger().strip_prefix(ENV_FILE) {
        return of_env_file(Path::new(path))?.build(namespace);
    }
    let message = "only the process or the settings that it was opened by lead to it; start with those settings";
    Err(Error::new(ErrorKind::Unsupported, message))
}

/// The parts that a file of variables asks for. Nothing of this process's environment reaches them but where homes are: a variable that
/// was meant for one memory must not lead to another. Relative paths start where the file is.
pub(crate) fn of_env_file(path: &Path) -> Result<Builder> {
    let path = absolute(path);
    let here = path.parent().unwrap_or(Path::new("/")).to_owned();
    let flags = Flags { env_file: Some(path), ..Flags::default() };
    let homes = |name: &str| ["HOME", "XDG_DATA_HOME"].contains(&name).then(|| env::var_os(name)).flatten();
    let settings = config::load(&Inputs { flags: &flags, environment: &homes, working_directory: &here })?;
    Builder::from_settings(&settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The address of what a file of variables, variables of the process, and the flag of an embedder name together.
    fn address(file: &[&str], variables: &[(&str, &str)], flag: Option<&str>) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("memory.env");
        std::fs::write(&path, file.join("\n")).unwrap();
        let flags = Flags { env_file: Some(path), embedder: flag.map(str::to_owned), ..Flags::default() };
        let environment =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        let inputs = Inputs { flags: &flags, environment: &environment, working_directory: directory.path() };
        Place::of_settings(&config::load(&inputs).unwrap()).0
    }

    #[test]
    fn an_address_leads_others_to_the_same_embedder_or_nowhere() {
        let home = ("MNEMIC_DIR", "/memory");
        assert_eq!(address(&[], &[home], None), "dir:/memory");
        assert!(address(&["MNEMIC_DIR=/memory", "MNEMIC_EMBEDDER=static"], &[], None).starts_with("env:"));
        // A model that only this process's settings name.
        let tei = [
            home,
            ("MNEMIC_EMBEDDER", "tei"),
            ("MNEMIC_EMBEDDER_URL", "http://127.0.0.1:8080"),
            ("MNEMIC_EMBEDDING_MODEL", "m"),
        ];
        let of = |dimension| address(&[], &[&tei[..], &[("MNEMIC_EMBEDDING_DIMENSION", dimension)]].concat(), None);
        assert!(of("256").starts_with("directory:"), "{}", of("256"));
        assert_eq!(of("256"), of("256"), "the same for every process with these settings");
        assert_ne!(of("256"), of("512"), "another space is another place");
        let overruled = address(&["MNEMIC_DIR=/memory", "MNEMIC_EMBEDDER=none"], &[], Some("static"));
        assert_eq!(overruled, "dir:/memory", "the file alone leads to another embedder");
    }
}
