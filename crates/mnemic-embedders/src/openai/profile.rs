//! How servers that speak `OpenAI`'s protocol differ. Not here: the protocol.

use serde_json::{Map, Value};

/// What one server of the protocol accepts, and how it wants to be asked. Begin with one of the constructors and change what differs.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenAiProfile {
    /// The server's name in messages.
    pub service: &'static str,
    /// The provider in the identity of the space. It does not name a host: the same model elsewhere is the same space.
    pub provider: String,
    /// Texts of one request.
    pub batch_texts: usize,
    /// Estimated tokens of one request.
    pub batch_tokens: usize,
    /// Estimated tokens of one text; what is longer is cut.
    pub text_tokens: usize,
    /// Whether the dimension is sent.
    pub dimensions: bool,
    /// Whether vectors are asked for in base64. Both forms are understood whatever was asked for.
    pub base64: bool,
    /// More members of every request. They must not hold a secret, since they are part of `Debug`.
    pub extra: Map<String, Value>,
    /// Put before every query, for models that want it.
    pub query_prefix: String,
    /// Put before every document, for models that want it; it marks the space's name.
    pub document_prefix: String,
}

impl OpenAiProfile {
    /// `OpenAI` itself: at most 2,048 texts, 300,000 tokens a request and 8,192 a text.
    pub fn open_ai() -> Self {
        Self {
            service: "OpenAI",
            provider: "openai".to_owned(),
            batch_texts: 2048,
            batch_tokens: 300_000,
            text_tokens: 8_192,
            dimensions: true,
            base64: true,
            extra: Map::new(),
            query_prefix: String::new(),
            document_prefix: String::new(),
        }
    }

    /// Ollama. Its models embed one text at a time on small machines, so batches are small and an answer comes before a deadline.
    pub fn ollama() -> Self {
        Self {
            service: "Ollama",
            provider: "ollama".to_owned(),
            batch_texts: 64,
            batch_tokens: 32_000,
            text_tokens: 2_048,
            dimensions: false,
            ..Self::open_ai()
        }
    }

    /// `vLLM`, which cuts a text to its model's window if it is asked to.
    pub fn vllm() -> Self {
        let extra = [("truncate_prompt_tokens".to_owned(), Value::from(-1))];
        Self {
            service: "vLLM",
            provider: "vllm".to_owned(),
            batch_texts: 256,
            batch_tokens: 128_000,
            text_tokens: 32_768,
            dimensions: false,
            extra: extra.into_iter().collect(),
            ..Self::open_ai()
        }
    }

    /// Any other server: nothing is sent that the oldest form of the protocol does not have.
    pub fn generic() -> Self {
        Self {
            service: "the embedding server",
            provider: "openai-compatible".to_owned(),
            batch_texts: 32,
            batch_tokens: 16_000,
            text_tokens: 8_192,
            dimensions: false,
            base64: false,
            ..Self::open_ai()
        }
    }

    /// What makes document vectors other than the model's own: the prefix, and extra members that are not known to only cut or
    /// account.
    pub(super) fn document_marks(&self) -> [String; 2] {
        let neutral = ["truncate_prompt_tokens", "truncation_side", "keep_alive", "user"];
        let telling: Map<String, Value> = self
            .extra
            .iter()
            .filter(|(key, _)| !neutral.contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let extra = if telling.is_empty() { String::new() } else { Value::Object(telling).to_string() };
        [self.document_prefix.clone(), extra]
    }
}
