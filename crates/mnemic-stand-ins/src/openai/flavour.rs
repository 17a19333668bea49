//! How `OpenAI`, Ollama and `vLLM` differ behind one protocol. Not here: reading requests (`request`).

use axum::http::StatusCode;

use super::{Options, Refusal, request::Request};

/// Whose limits and words a stand-in has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// `OpenAI`: strict about every member, wants a key, refuses what is too long.
    OpenAi,
    /// Ollama: wants no key, knows no token arrays, cuts what is too long.
    Ollama,
    /// `vLLM`: wants no key, cuts what is too long if it is asked to.
    Vllm,
}

/// A model that is served.
pub(super) struct Model {
    pub(super) name: &'static str,
    pub(super) dimension: usize,
    pub(super) window: usize,
    /// Whether fewer dimensions may be asked for.
    pub(super) flexible: bool,
}

const OPEN_AI: [Model; 3] = [
    Model { name: "text-embedding-3-small", dimension: 1536, window: 8192, flexible: true },
    Model { name: "text-embedding-3-large", dimension: 3072, window: 8192, flexible: true },
    Model { name: "text-embedding-ada-002", dimension: 1536, window: 8192, flexible: false },
];
const OLLAMA: [Model; 2] = [
    Model { name: "nomic-embed-text", dimension: 768, window: 2048, flexible: true },
    Model { name: "all-minilm", dimension: 384, window: 256, flexible: true },
];
const VLLM: [Model; 2] = [
    Model { name: "intfloat/e5-small", dimension: 384, window: 512, flexible: false },
    Model { name: "Qwen/Qwen3-Embedding-0.6B", dimension: 1024, window: 32_768, flexible: true },
];

const MOST_TOKENS: usize = 300_000;

impl Flavour {
    pub(super) fn models(self) -> &'static [Model] {
        match self {
            Self::OpenAi => &OPEN_AI,
            Self::Ollama => &OLLAMA,
            Self::Vllm => &VLLM,
        }
    }

    pub(super) fn owner(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Ollama => "library",
            Self::Vllm => "vllm",
        }
    }

    pub(super) fn known(self, name: &str) -> Result<&'static Model, Refusal> {
        // Ollama's names have a tag, which is `latest` where it is left out.
        let plain = if self == Self::Ollama { name.trim_end_matches(":latest") } else { name };
        if let Some(model) = self.models().iter().find(|model| model.name == plain) {
            return Ok(model);
        }
        let refused = |message: String| Refusal::of(StatusCode::NOT_FOUND, "invalid_request_error", message);
        Err(match self {
            Self::OpenAi => refused(format!("The model `{name}` does not exist or you do not have access to it."))
                .coded("model_not_found"),
            Self::Ollama => refused(format!("model \"{name}\" not found, try pulling it first")),
            Self::Vllm => refused(format!("The model `{name}` does not exist.")).about("model"),
        })
    }

    pub(super) fn dimension(self, model: &Model, asked: Option<usize>) -> Result<usize, Refusal> {
        let Some(asked) = asked else { return Ok(model.dimension) };
        let refused = |message: String| Err(Refusal::bad(message).about("dimensions"));
        match self {
            Self::OpenAi if !model.flexible => refused("This model does not support specifying dimensions.".to_owned()),
            Self::Vllm if !model.flexible => refused(format!(
                "Model \"{}\" does not support matryoshka representation, changing output dimensions will lead to poor results.",
                model.name
            )),
            _ if asked == 0 || asked > model.dimension => refused(format!(
                "Invalid value for 'dimensions' = {asked}. Must be less than or equal to {}.",
                model.dimension
            )),
            _ => Ok(asked),
        }
    }

    /// The texts as the model reads them, and the tokens of all of them.
    pub(super) fn fitted(
        self,
        options: &Options,
        model: &Model,
        request: &Request,
        texts: Vec<String>,
    ) -> Result<(Vec<String>, usize), Refusal> {
        let (tokenizer, window) = (options.tokenizer, model.window);
        let cuts = match self {
            Self::OpenAi => false,
            Self::Ollama => !options.refuses_long,
            Self::Vllm => request.truncates(),
        };
        let mut tokens = 0;
        let mut fitted = Vec::with_capacity(texts.len());
        for text in texts {
            let found = tokenizer.count(&text);
            if found > window && !cuts {
                return Err(Self::too_long(self, window, found));
            }
            let text = if found > window { tokenizer.cut(&text, window).to_owned() } else { text };
            tokens += found.min(window);
            fitted.push(text);
        }
        if self == Self::OpenAi && tokens > MOST_TOKENS {
            let message = format!(
                "Requested {tokens} tokens, max {MOST_TOKENS} tokens per request. Invalid 'input': maximum request size is {MOST_TOKENS} tokens per request."
            );
            return Err(
                Refusal::of(StatusCode::BAD_REQUEST, "max_tokens_per_request", message).coded("max_tokens_per_request")
            );
        }
        Ok((fitted, tokens))
    }

    fn too_long(self, window: usize, found: usize) -> Refusal {
        Refusal::bad(match self {
            Self::OpenAi => format!(
                "This model's maximum context length is {window} tokens, however you requested {found} tokens ({found} in your prompt; 0 for the completion). Please reduce your prompt; or completion length."
            ),
            Self::Ollama => "the input length exceeds the context length".to_owned(),
            Self::Vllm => format!(
                "This model's maximum context length is {window} tokens. However, you requested {found} tokens in the input for embedding generation. Please reduce the length of the input."
            ),
        })
    }
}
