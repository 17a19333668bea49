//! What to do about a part that does not serve: one line for each part and kind of fault. Not here: finding faults (`doctor`).

use mnemic::{
    ErrorKind,
    config::{EmbedderChoice, OpenAiProfile, Profile, RerankerChoice, Settings, SpoolChoice},
};

const AGAIN: &str = "run mnemic doctor again; with -vv it says more on standard error";

/// One line for an operator. It repeats no value of a setting, only names.
pub(super) fn remedy(part: &str, kind: Option<ErrorKind>, settings: &Settings) -> String {
    if let Some(index) = part.strip_prefix("index:") {
        return of_index(index, kind);
    }
    match part {
        "ledger" | "outbox" if settings.profile.value == Profile::Production => of_database(kind, settings),
        "embedder" => of_embedder(kind, settings),
        "reranker" => of_reranker(kind, settings),
        "spool" => of_spool(kind).to_owned(),
        _ => "see the checks below, or restore a backup (mnemic restore)".to_owned(),
    }
}

fn of_spool(kind: Option<ErrorKind>) -> &'static str {
    match kind {
        Some(_) => {
            "make room on the disk and give access to MNEMIC_SPOOL_DIR, or raise MNEMIC_SPOOL_BYTES or MNEMIC_SPOOL_AGE; what it holds \
             is replayed in order once the database is back"
        }
        None => {
            "look at quarantine and damaged in the spool's directory: what lies there is kept and not replayed; write it again, or \
             remove it once it is not needed"
        }
    }
}

fn of_database(kind: Option<ErrorKind>, settings: &Settings) -> String {
    let meanwhile = match settings.spool.choice.value {
        SpoolChoice::On => "writes wait in the spool meanwhile",
        SpoolChoice::Off => "writes are refused meanwhile",
    };
    match kind {
        Some(ErrorKind::Unavailable | ErrorKind::RateLimited) => format!(
            "check that the server runs and that no firewall is between: pg_isready -h <host> -p <port>, as in POSTGRES_DSN; \
             {meanwhile}"
        ),
        Some(ErrorKind::Denied) => format!(
            "correct the user or the password in POSTGRES_DSN (postgresql://user:password@host:5432/database), or the rights that \
             the message names; {meanwhile}"
        ),
        Some(ErrorKind::InvalidConfig) => {
            "do what the message says; the form is POSTGRES_DSN=postgresql://user:password@host:5432/database, and \
             MNEMIC_POSTGRES_ADMIN_DSN names a role that may create the schema"
                .to_owned()
        }
        Some(ErrorKind::Unsupported) => "use PostgreSQL 15 or newer".to_owned(),
        Some(ErrorKind::Corrupted) => "restore a backup of the database".to_owned(),
        // Such as a wall between namespaces that is down: each fault ends with the statement that repairs it.
        None => "do what the message says, then run mnemic doctor again".to_owned(),
        Some(_) => AGAIN.to_owned(),
    }
}

fn of_index(index: &str, kind: Option<ErrorKind>) -> String {
    // Every index is derived from the ledger, so no state of it loses anything.
    const SAFE: &str = "nothing is lost: the index catches up from the ledger, and words find meanwhile";
    let (server, key, name) = match index {
        "pinecone" => ("status.pinecone.io", "PINECONE_API_KEY", "MNEMIC_PINECONE_INDEX"),
        "qdrant" => ("the server at MNEMIC_QDRANT_URL", "QDRANT_API_KEY", "MNEMIC_QDRANT_COLLECTION"),
        "pgvector" => ("the database", "POSTGRES_DSN", "MNEMIC_INDEX"),
        _ => return "mnemic doctor --repair rebuilds the index from the ledger".to_owned(),
    };
    match kind {
        Some(ErrorKind::Unavailable | ErrorKind::NotFound) if index == "pinecone" => {
            format!(
                "an index that was just made needs about a minute: wait and run mnemic doctor again, else look at {server}; {SAFE}"
            )
        }
        Some(ErrorKind::Unavailable | ErrorKind::NotFound) => {
            format!("check {server}, its port and the firewall between; {SAFE}")
        }
        Some(ErrorKind::RateLimited) => {
            format!("wait, and write more slowly or raise the limit of the account; {SAFE}")
        }
        Some(ErrorKind::Denied) => format!("correct {key}, or give it the right to read and write; {SAFE}"),
        Some(ErrorKind::Unsupported | ErrorKind::InvalidConfig) if index == "pgvector" => {
            format!(
                "as a superuser of the database: CREATE EXTENSION vector (0.8 or newer), or set {name}=local; {SAFE}"
            )
        }
        Some(ErrorKind::InvalidConfig | ErrorKind::ModelMismatch | ErrorKind::Conflict) => {
            format!(
                "the index was made for other embeddings: choose the embedder that it was made with, or another {name}; {SAFE}"
            )
        }
        Some(_) | None => "mnemic doctor --repair rebuilds the index from the ledger".to_owned(),
    }
}

fn of_embedder(kind: Option<ErrorKind>, settings: &Settings) -> String {
    const SAFE: &str = "records are kept, found by words, and embedded later";
    let (key, server) = match (settings.embedder.value, settings.embedding.openai_profile.value) {
        (EmbedderChoice::Voyage, _) => ("VOYAGE_API_KEY", "status.voyageai.com"),
        (EmbedderChoice::Gemini, _) => ("GEMINI_API_KEY", "status.cloud.google.com"),
        (EmbedderChoice::OpenAi, OpenAiProfile::OpenAi) => ("OPENAI_API_KEY", "status.openai.com"),
        (EmbedderChoice::OpenAi, OpenAiProfile::Ollama) => ("OPENAI_API_KEY", "ollama list and MNEMIC_EMBEDDER_URL"),
        (EmbedderChoice::OpenAi | EmbedderChoice::Tei, _) => ("the key", "the server at MNEMIC_EMBEDDER_URL"),
        (EmbedderChoice::None | EmbedderChoice::Static, _) => ("MNEMIC_EMBEDDER", "MNEMIC_EMBEDDER"),
    };
    match kind {
        Some(ErrorKind::ModelMismatch) => "choose the embedder that the data was written with (MNEMIC_EMBEDDER, \
                                           MNEMIC_EMBEDDING_MODEL, MNEMIC_EMBEDDING_DIMENSION)"
            .to_owned(),
        Some(ErrorKind::Denied) => format!("correct {key}; {SAFE}"),
        Some(ErrorKind::RateLimited) => format!(
            "wait, write in larger batches with fewer calls, or raise the limit of the account (free accounts are slowed down until a \
             payment method is added); {SAFE}"
        ),
        Some(ErrorKind::InvalidConfig | ErrorKind::InvalidInput | ErrorKind::NotFound | ErrorKind::Unsupported) => {
            format!("correct MNEMIC_EMBEDDING_MODEL, MNEMIC_EMBEDDING_DIMENSION or MNEMIC_EMBEDDER_URL; {SAFE}")
        }
        Some(ErrorKind::Unavailable) => format!("check {server} and the way to it; {SAFE}"),
        Some(_) | None => format!("{AGAIN}; {SAFE}"),
    }
}

fn of_reranker(kind: Option<ErrorKind>, settings: &Settings) -> String {
    const SAFE: &str = "answers come without its opinion meanwhile, and say so";
    let voyage = settings.reranker.value == RerankerChoice::Voyage;
    match kind {
        Some(ErrorKind::Denied) if voyage => format!("correct VOYAGE_API_KEY; {SAFE}"),
        Some(ErrorKind::RateLimited) => format!("wait, ask more slowly, or raise the limit of the account; {SAFE}"),
        Some(ErrorKind::InvalidConfig | ErrorKind::InvalidInput | ErrorKind::NotFound) => {
            format!("correct MNEMIC_RERANKER_MODEL or MNEMIC_RERANKER_URL; {SAFE}")
        }
        Some(_) | None if voyage => format!("look at status.voyageai.com; {SAFE}"),
        Some(_) | None => format!("check the server at MNEMIC_RERANKER_URL; {SAFE}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use std::{collections::BTreeMap, ffi::OsString, path::Path};

    use mnemic::config::{self, Flags, Inputs};

    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        let variables: BTreeMap<_, _> = variables.iter().copied().collect();
        let environment = |name: &str| variables.get(name).map(OsString::from);
        let flags = Flags::default();
        let inputs =
            Inputs { flags: &flags, environment: &environment, working_directory: Path::new("/nonexistent/mnemic") };
        config::load(&inputs).unwrap()
    }

    fn production(more: &[(&str, &str)]) -> Settings {
        let dsn = ("POSTGRES_DSN", "postgresql://app:hidden-word@secret-host:5433/memory");
        settings(&[&[("ENV", "production"), dsn], more].concat())
    }

    #[test]
    fn a_part_of_every_kind_has_one_line_that_names_what_to_do_and_no_value_of_a_setting() {
        let keys =
            [("VOYAGE_API_KEY", "hidden-word"), ("PINECONE_API_KEY", "hidden-word"), ("MNEMIC_RERANKER", "voyage")];
        let settings = production(&keys);
        let kinds = ErrorKind::ALL.into_iter().map(Some).chain([None]);
        let parts = [
            "ledger",
            "index:pinecone",
            "index:qdrant",
            "index:pgvector",
            "index:local",
            "embedder",
            "reranker",
            "outbox",
            "spool",
        ];
        for kind in kinds {
            for part in parts {
                let line = remedy(part, kind, &settings);
                assert!(!line.is_empty() && !line.contains('\n') && !line.contains("  "), "{part} {kind:?}: {line}");
                assert!(!line.contains("hidden-word") && !line.contains("secret-host"), "{part} {kind:?}: {line}");
            }
        }
    }

    #[test]
    fn the_guides_troubles_have_the_guides_answers() {
        let settings = production(&[("VOYAGE_API_KEY", "k"), ("PINECONE_API_KEY", "k")]);
        let said = |part, kind| remedy(part, Some(kind), &settings);
        assert!(said("index:pinecone", ErrorKind::Unavailable).contains("about a minute"));
        assert!(
            said("embedder", ErrorKind::RateLimited).ends_with("records are kept, found by words, and embedded later")
        );
        assert!(said("embedder", ErrorKind::Denied).contains("VOYAGE_API_KEY"));
        assert!(said("ledger", ErrorKind::Denied).contains("postgresql://user:password@host:5432/database"));
        assert!(said("ledger", ErrorKind::Unavailable).contains("pg_isready"));
    }

    #[test]
    fn the_line_depends_on_what_is_set() {
        let refusing = production(&[("MNEMIC_SPOOL", "off")]);
        assert!(remedy("ledger", Some(ErrorKind::Unavailable), &refusing).contains("writes are refused meanwhile"));
        let spooling = production(&[]);
        assert!(
            remedy("ledger", Some(ErrorKind::Unavailable), &spooling).contains("writes wait in the spool meanwhile")
        );
        let embedded = settings(&[]);
        assert!(remedy("ledger", Some(ErrorKind::Corrupted), &embedded).contains("mnemic restore"));
        let gemini = production(&[("GEMINI_API_KEY", "k")]);
        assert!(remedy("embedder", Some(ErrorKind::Denied), &gemini).contains("GEMINI_API_KEY"));
    }
}
