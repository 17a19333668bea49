//! The hosted embedders and their stand-ins side by side, for tests that ask the same of each. Not a test.
#![allow(dead_code, reason = "every test binary uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    unreachable_pub,
    reason = "tests fail by panicking, and each includes this file as a module"
)]

use std::sync::Arc;

use mnemic_core::ports::Embedder;
use mnemic_embedders::{
    GeminiConfig, GeminiEmbedder, OpenAiConfig, OpenAiEmbedder, OpenAiProfile, TeiConfig, TeiEmbedder, TeiRoute,
    VoyageConfig, VoyageEmbedder,
};
use mnemic_http::Address;
use mnemic_stand_ins::{gemini, openai, tei, vectors::StandIn, voyage};

/// A key that no message may show.
pub const KEY: &str = "pa-hush-hush";

/// One adapter in one manner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    Voyage,
    Gemini,
    Gemini2,
    OpenAi,
    Ollama,
    Vllm,
    Tei,
    TeiOpenAi,
}

pub const VENDORS: [Vendor; 8] = [
    Vendor::Voyage,
    Vendor::Gemini,
    Vendor::Gemini2,
    Vendor::OpenAi,
    Vendor::Ollama,
    Vendor::Vllm,
    Vendor::Tei,
    Vendor::TeiOpenAi,
];

impl Vendor {
    pub fn stand_in(self) -> StandIn {
        match self {
            Self::Voyage => voyage::start(voyage::Options::default()),
            Self::Gemini | Self::Gemini2 => gemini::start(gemini::Options::default()),
            Self::OpenAi => openai::start(openai::Options::of(openai::Flavour::OpenAi)),
            Self::Ollama => openai::start(openai::Options::of(openai::Flavour::Ollama)),
            Self::Vllm => openai::start(openai::Options::of(openai::Flavour::Vllm)),
            Self::Tei | Self::TeiOpenAi => tei::start(tei::Options::default()),
        }
        .unwrap()
    }

    /// The adapter, which asks nothing before it embeds.
    pub fn at(self, url: &str) -> Arc<dyn Embedder> {
        let address = Address::new("test", url).unwrap();
        let below = Address::new("test", &format!("{url}/v1")).unwrap();
        let own = |model: &str, dimension, profile| {
            let config = OpenAiConfig::at(below.clone(), model, profile);
            Arc::new(OpenAiEmbedder::new(OpenAiConfig { dimension: Some(dimension), ..config }).unwrap())
        };
        let tei = |route| {
            let config = TeiConfig::new(address.clone());
            let (key, model) = (Some(KEY.to_owned().into()), Some("intfloat/multilingual-e5-small".to_owned()));
            Arc::new(TeiEmbedder::new(TeiConfig { key, model, dimension: Some(384), route, ..config }).unwrap())
        };
        match self {
            Self::Voyage => {
                let config = VoyageConfig::new(KEY.to_owned().into());
                Arc::new(VoyageEmbedder::new(VoyageConfig { address: Some(below), ..config }).unwrap())
            }
            Self::Gemini | Self::Gemini2 => {
                let config = GeminiConfig::new(KEY.to_owned().into());
                let model = if self == Self::Gemini { config.model } else { "gemini-embedding-2".to_owned() };
                Arc::new(GeminiEmbedder::new(GeminiConfig { model, address: Some(address), ..config }).unwrap())
            }
            Self::OpenAi => {
                let config = OpenAiConfig::new(KEY.to_owned().into());
                Arc::new(OpenAiEmbedder::new(OpenAiConfig { address: Some(below), ..config }).unwrap())
            }
            Self::Ollama => own("nomic-embed-text", 768, OpenAiProfile::ollama()),
            Self::Vllm => own("intfloat/e5-small", 384, OpenAiProfile::vllm()),
            Self::Tei => tei(TeiRoute::Native),
            Self::TeiOpenAi => tei(TeiRoute::OpenAi),
        }
    }

    /// Whether its answers say by an index which text a vector is for.
    pub fn has_indices(self) -> bool {
        !matches!(self, Self::Gemini | Self::Gemini2 | Self::Tei)
    }
}
