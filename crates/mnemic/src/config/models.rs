//! What is known of the models of hosted embedders: which dimensions each offers and which is asked for where none is set.
//! Not here: their limits per request (the adapters' profiles).

use std::ops::RangeInclusive;

use super::{EmbedderChoice, OpenAiProfile};

/// Dimensions that a model offers.
#[derive(Debug)]
pub(super) enum Dimensions {
    /// One of these.
    Any(&'static [u32]),
    /// Every one from the first to the last.
    Range(RangeInclusive<u32>),
}

impl Dimensions {
    pub(super) fn offers(&self, dimension: u32) -> bool {
        match self {
            Self::Any(some) => some.contains(&dimension),
            Self::Range(range) => range.contains(&dimension),
        }
    }
}

impl std::fmt::Display for Dimensions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any(some) => f.write_str(&some.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")),
            Self::Range(range) => write!(f, "{} to {}", range.start(), range.end()),
        }
    }
}

/// One model of a vendor.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) name: &'static str,
    pub(super) dimensions: Dimensions,
    /// Asked for where no dimension is set.
    pub(super) default: u32,
}

const fn model(name: &'static str, dimensions: Dimensions, default: u32) -> Model {
    Model { name, dimensions, default }
}

const VOYAGE_SIZES: Dimensions = Dimensions::Any(&[256, 512, 1024, 2048]);
const VOYAGE_OLD: Dimensions = Dimensions::Any(&[1024]);

/// The first of each vendor is its default.
const VOYAGE: [Model; 11] = [
    model("voyage-3-large", VOYAGE_SIZES, 2048),
    model("voyage-4-large", VOYAGE_SIZES, 2048),
    model("voyage-4", VOYAGE_SIZES, 2048),
    model("voyage-4-lite", VOYAGE_SIZES, 2048),
    model("voyage-3.5", VOYAGE_SIZES, 2048),
    model("voyage-3.5-lite", VOYAGE_SIZES, 2048),
    model("voyage-code-3", VOYAGE_SIZES, 2048),
    model("voyage-code-4", VOYAGE_SIZES, 2048),
    model("voyage-finance-2", VOYAGE_OLD, 1024),
    model("voyage-law-2", VOYAGE_OLD, 1024),
    model("voyage-2", VOYAGE_OLD, 1024),
];
const GEMINI: [Model; 2] = [
    model("gemini-embedding-001", Dimensions::Range(128..=3072), 2048),
    model("gemini-embedding-2", Dimensions::Range(128..=3072), 2048),
];
const OPENAI: [Model; 3] = [
    model("text-embedding-3-large", Dimensions::Range(1..=3072), 2048),
    model("text-embedding-3-small", Dimensions::Range(1..=1536), 1536),
    model("text-embedding-ada-002", Dimensions::Any(&[1536]), 1536),
];

/// What the vendor is known to offer; nothing for servers that serve any model.
pub(super) fn of(embedder: EmbedderChoice, profile: OpenAiProfile) -> &'static [Model] {
    match (embedder, profile) {
        (EmbedderChoice::Voyage, _) => &VOYAGE,
        (EmbedderChoice::Gemini, _) => &GEMINI,
        (EmbedderChoice::OpenAi, OpenAiProfile::OpenAi) => &OPENAI,
        (EmbedderChoice::OpenAi | EmbedderChoice::Tei | EmbedderChoice::None | EmbedderChoice::Static, _) => &[],
    }
}

/// The vendor whose model this is known to be.
pub(super) fn vendor_of(name: &str) -> Option<EmbedderChoice> {
    let within = |models: &[Model]| models.iter().any(|model| model.name == name);
    [(EmbedderChoice::Voyage, &VOYAGE[..]), (EmbedderChoice::Gemini, &GEMINI), (EmbedderChoice::OpenAi, &OPENAI)]
        .into_iter()
        .find(|(_, models)| within(models))
        .map(|(vendor, _)| vendor)
}
