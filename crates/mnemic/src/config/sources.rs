//! Reading every source into one shape. Not here: which one wins and what the values must be (`resolve`).

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use super::{Inputs, Origin, env_file, faults::Faults, toml_file};

/// The settings that are no secrets, by their names in files.
pub(super) const SETTINGS: [&str; 27] = [
    "profile",
    "dir",
    "namespace",
    "index",
    "embedder",
    "embedding_model",
    "embedding_dimension",
    "embedder_url",
    "openai_profile",
    "reranker",
    "reranker_model",
    "reranker_url",
    "pinecone_index",
    "pinecone_cloud",
    "pinecone_region",
    "pinecone_api_version",
    "pinecone_url",
    "qdrant_url",
    "qdrant_collection",
    "postgres_connections",
    "spool",
    "spool_dir",
    "spool_bytes",
    "spool_age",
    "deadline",
    "allow_private_http",
    "log",
];
/// The settings that a file may give as a number or as a truth value, beside text.
pub(super) const BARE_SETTINGS: [&str; 3] = ["embedding_dimension", "postgres_connections", "allow_private_http"];
/// The secrets, by their variables.
pub(super) const SECRETS: [&str; 7] = [
    "POSTGRES_DSN",
    "MNEMIC_POSTGRES_ADMIN_DSN",
    "PINECONE_API_KEY",
    "QDRANT_API_KEY",
    "VOYAGE_API_KEY",
    "GEMINI_API_KEY",
    "OPENAI_API_KEY",
];
/// The secrets that are addresses of `PostgreSQL` servers.
pub(super) const POSTGRES_SECRETS: [&str; 2] = ["POSTGRES_DSN", "MNEMIC_POSTGRES_ADMIN_DSN"];

/// The variable of a setting.
pub(super) fn variable(setting: &str) -> String {
    format!("MNEMIC_{}", setting.to_uppercase())
}

/// One value as its source gives it.
#[derive(Clone)]
pub(super) struct Raw {
    /// The value.
    pub(super) value: OsString,
    /// For the settings.
    pub(super) origin: Origin,
    /// For messages: the flag, the variable, or the file with line and key.
    pub(super) place: String,
    /// Where a relative path starts.
    pub(super) base: PathBuf,
}

/// The values of one source, by the setting's name or the variable's.
pub(super) type Layer = BTreeMap<String, Raw>;

/// Every source.
pub(super) struct Sources {
    pub(super) flags: Layer,
    pub(super) environment: Layer,
    pub(super) env_file: Layer,
    pub(super) project_file: Layer,
    pub(super) user_file: Layer,
    /// The home directory, if there is one.
    pub(super) home: Option<PathBuf>,
    /// Where programs keep data of this user, if that is known.
    pub(super) data_home: Option<PathBuf>,
    /// Where the working directory is.
    pub(super) working_directory: PathBuf,
}

impl Sources {
    /// Reads them.
    pub(super) fn read(inputs: &Inputs<'_>, faults: &mut Faults) -> Self {
        let here = inputs.working_directory;
        let directory = |name: &str| (inputs.environment)(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        // The XDG rules say that a relative path is to be ignored.
        let absolute = |name: &str| directory(name).filter(|path| path.is_absolute());
        let home = directory("HOME");
        let under_home = |below: &str| home.as_ref().map(|home| home.join(below));
        let config_home = absolute("XDG_CONFIG_HOME").or_else(|| under_home(".config"));
        let data_home = absolute("XDG_DATA_HOME").or_else(|| under_home(".local/share"));

        let named = inputs.flags.env_file.as_ref();
        let env_path = named.map_or_else(|| here.join(".env"), |path| here.join(path));
        if named.is_some() && !env_path.is_file() {
            faults.push("--env-file", format!("expected a file of variables, found none at {}", env_path.display()));
        }
        let variables = env_file::read(&env_path, faults);
        let env_file = layer(
            &|name| variables.get(name).map(OsString::from),
            &|_| Origin::EnvFile(env_path.clone()),
            &|name| format!("{}: {name}", env_path.display()),
            here,
        );
        let environment = layer(inputs.environment, &|name| Origin::Environment(name.to_owned()), &str::to_owned, here);

        let project = here.ancestors().map(|directory| directory.join("mnemic.toml")).find(|path| path.is_file());
        let user = config_home.map(|directory| directory.join("mnemic/config.toml")).filter(|path| path.exists());
        let mut file = |path: Option<PathBuf>, origin: fn(PathBuf) -> Origin| {
            path.map_or_else(Layer::new, |path| toml_file::read(&path, &origin(path.clone()), faults))
        };
        let project_file = file(project, Origin::ProjectFile);
        let user_file = file(user, Origin::UserFile);
        Self {
            flags: flags(inputs),
            environment,
            env_file,
            project_file,
            user_file,
            home,
            data_home,
            working_directory: here.to_owned(),
        }
    }

    /// The strongest value of a setting.
    pub(super) fn find(&self, setting: &str) -> Option<&Raw> {
        [&self.flags, &self.environment, &self.env_file, &self.project_file, &self.user_file]
            .into_iter()
            .find_map(|layer| layer.get(setting))
    }

    /// A secret and its file, as the strongest source that has either gives them.
    pub(super) fn secret(&self, name: &str) -> Option<(Option<&Raw>, Option<&Raw>)> {
        let file = format!("{name}_FILE");
        [&self.environment, &self.env_file]
            .into_iter()
            .map(|layer| (layer.get(name), layer.get(&file)))
            .find(|(value, file)| value.is_some() || file.is_some())
    }
}

fn flags(inputs: &Inputs<'_>) -> Layer {
    let text = |value: &Option<String>| value.as_ref().map(OsString::from);
    let flags = inputs.flags;
    let given = [
        ("profile", text(&flags.profile)),
        ("dir", flags.dir.as_ref().map(OsString::from)),
        ("namespace", text(&flags.namespace)),
        ("embedder", text(&flags.embedder)),
        ("log", text(&flags.log)),
    ];
    let raw = |setting: &str, value| Raw {
        value,
        origin: Origin::Flag,
        place: format!("--{setting}"),
        base: inputs.working_directory.to_owned(),
    };
    given.into_iter().filter_map(|(setting, value)| Some((setting.to_owned(), raw(setting, value?)))).collect()
}

/// The variables that mean something here, out of `lookup`.
fn layer(
    lookup: &dyn Fn(&str) -> Option<OsString>,
    origin: &dyn Fn(&str) -> Origin,
    place: &dyn Fn(&str) -> String,
    base: &Path,
) -> Layer {
    let settings = SETTINGS.iter().map(|setting| ((*setting).to_owned(), variable(setting)));
    let secrets = SECRETS.iter().flat_map(|name| [(*name).to_owned(), format!("{name}_FILE")]);
    let others = std::iter::once("ENV".to_owned()).chain(secrets).map(|name| (name.clone(), name));
    settings
        .chain(others)
        .filter_map(|(key, name)| {
            let value = lookup(&name)?;
            Some((key, Raw { value, origin: origin(&name), place: place(&name), base: base.to_owned() }))
        })
        .collect()
}

/// Whether a value of `ENV` is a POSIX shell's start-up file and not a deployment.
pub(super) fn is_shell_file(value: &OsStr) -> bool {
    value.is_empty() || value.as_encoded_bytes().iter().any(|byte| matches!(byte, b'/' | b'$' | b'~'))
}
