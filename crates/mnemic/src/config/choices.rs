//! The settings that are one of a few names. Not here: what each name builds (`Builder`).

use std::{fmt, str::FromStr};

use mnemic_core::{Error, ids::quoted, suggest::nearest};

/// One setting with its names.
macro_rules! choice {
    ($(#[$about:meta])* $setting:literal $name:ident { $($(#[$one:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$one])* $variant,)+
        }

        impl $name {
            /// Every choice, in declaration order.
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$variant),+];

            /// The stable name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(name: &str) -> Result<Self, Error> {
                Self::ALL
                    .into_iter()
                    .find(|choice| choice.as_str() == name)
                    .ok_or_else(|| unknown($setting, name, &Self::ALL.map(Self::as_str)))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

choice! {
    /// Which combination of parts a memory is made of.
    #[derive(Default)]
    "profile" Profile {
        /// Everything in process memory; nothing is kept.
        Dev = "dev",
        /// One directory on disk, no server, no key.
        #[default]
        Embedded = "embedded",
        /// `PostgreSQL`, and whatever index and embedder the settings name.
        Production = "production",
    }
}

choice! {
    /// Where a production memory searches by embedding.
    "index" IndexChoice {
        /// In this process.
        Local = "local",
        /// The ledger's `PostgreSQL`, with the extension `vector`.
        Pgvector = "pgvector",
        /// Pinecone.
        Pinecone = "pinecone",
        /// Qdrant.
        Qdrant = "qdrant",
    }
}

choice! {
    /// What makes embeddings.
    "embedder" EmbedderChoice {
        /// Nothing; retrieval is by words alone.
        None = "none",
        /// The model inside the binary.
        Static = "static",
        /// Voyage AI.
        Voyage = "voyage",
        /// Google Gemini.
        Gemini = "gemini",
        /// `OpenAI`, or a server that speaks like it.
        OpenAi = "openai",
        /// Hugging Face's Text Embeddings Inference.
        Tei = "tei",
    }
}

choice! {
    /// Which server answers in `OpenAI`'s language, since each has limits and habits of its own.
    "openai_profile" OpenAiProfile {
        /// `OpenAI` itself.
        OpenAi = "openai",
        /// Ollama.
        Ollama = "ollama",
        /// vLLM.
        Vllm = "vllm",
        /// Any other server: only what all of them understand is sent.
        Generic = "generic",
    }
}

choice! {
    /// What gives a second opinion on the best candidates.
    "reranker" RerankerChoice {
        /// Nothing.
        None = "none",
        /// Voyage AI.
        Voyage = "voyage",
        /// Hugging Face's Text Embeddings Inference.
        Tei = "tei",
    }
}

choice! {
    /// Whose data centres a new Pinecone index lies in.
    "pinecone_cloud" PineconeCloud {
        /// Amazon.
        Aws = "aws",
        /// Google.
        Gcp = "gcp",
        /// Microsoft.
        Azure = "azure",
    }
}

choice! {
    /// Which version of Pinecone's interface is spoken.
    "pinecone_api_version" PineconeApiVersion {
        /// The newest stable one.
        V2026_07 = "2026-07",
        /// The one before it.
        V2026_04 = "2026-04",
    }
}

choice! {
    /// What happens to writes while the ledger cannot be reached.
    "spool" SpoolChoice {
        /// They are kept on this machine's disk, answered as spooled, and replayed in order.
        On = "on",
        /// They are refused.
        Off = "off",
    }
}

/// The error for a name that is none of a setting's names.
pub(super) fn unknown(field: &str, name: &str, valid: &[&str]) -> Error {
    // A name that begins like a valid one is an abbreviation of it.
    let begins = valid.iter().copied().find(|valid| name.len() >= 2 && valid.starts_with(&name.to_lowercase()));
    let hint = begins.or_else(|| nearest(name, valid)).map(|near| format!(" (did you mean {near}?)"));
    Error::invalid(
        field,
        format!("one of {}", valid.join(", ")),
        format!("{}{}", quoted(name), hint.unwrap_or_default()),
    )
}
