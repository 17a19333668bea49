//! The settings of embedders: model, dimension, address, and whether they fit together. Not here: the other parts (`production`).

use mnemic_core::{ids::quoted, limits};

use super::{
    Address, EmbedderChoice, EmbeddingSettings, OpenAiProfile, Origin, Profile, Sourced, models,
    production::{require, require_secret},
    read::Reader,
    values,
};

/// Reads them, and tells what the chosen embedder lacks.
pub(super) fn read(
    reader: &mut Reader<'_>,
    profile: Option<&Sourced<Profile>>,
    embedder: &Sourced<EmbedderChoice>,
    plain_anywhere: bool,
) -> EmbeddingSettings {
    let openai = Sourced { value: OpenAiProfile::OpenAi, origin: Origin::Default };
    let openai_profile = reader.named("openai_profile", openai);
    let model = reader.optional("embedding_model", values::model);
    let dimension = reader.optional("embedding_dimension", |text| values::count(text, &(1..=limits::DIMENSIONS)));
    let url = reader.address("embedder_url", plain_anywhere);
    if matches!(embedder.value, EmbedderChoice::None | EmbedderChoice::Static) {
        if profile.is_some_and(|profile| profile.value == Profile::Production) {
            refuse_unused(reader, embedder);
        }
        return EmbeddingSettings { model: None, dimension: None, url, openai_profile };
    }
    let url = url.or_else(|| own_address(embedder.value, openai_profile.value));
    // With a profile that is a fault itself, the embedder may be another one.
    if profile.is_some() {
        require_server(reader, embedder, &openai_profile);
    }
    let known = models::of(embedder.value, openai_profile.value);
    let default = known.first().map(|model| Sourced { value: model.name.to_owned(), origin: Origin::Default });
    let model = model.or(default);
    if model.is_none() {
        require(reader, "embedding_model", "the name of the model that the server serves", "embedder", embedder);
    }
    let dimension = model.as_ref().and_then(|model| {
        let vendor = models::vendor_of(&model.value).filter(|vendor| !known.is_empty() && *vendor != embedder.value);
        if let Some(vendor) = vendor {
            let found =
                format!("expected a model of {}, found {}, a model of {vendor}", embedder.value, quoted(&model.value));
            tell(reader, "embedding_model", &found);
            return None;
        }
        fitting(reader, embedder, known.iter().find(|known| known.name == model.value), dimension)
    });
    EmbeddingSettings { model, dimension, url, openai_profile }
}

/// The dimension, if the model offers it.
fn fitting(
    reader: &mut Reader<'_>,
    embedder: &Sourced<EmbedderChoice>,
    model: Option<&models::Model>,
    dimension: Option<Sourced<u32>>,
) -> Option<Sourced<u32>> {
    match (model, dimension) {
        (Some(model), Some(dimension)) if !model.dimensions.offers(dimension.value) => {
            let expected = format!("expected {}, which {} offers", model.dimensions, model.name);
            tell(reader, "embedding_dimension", &format!("{expected}, found {}", dimension.value));
            None
        }
        (Some(model), None) => Some(Sourced { value: model.default, origin: Origin::Default }),
        (None, None) => {
            let form = "the number of components of the model's vectors";
            require(reader, "embedding_dimension", form, "embedder", embedder);
            None
        }
        (_, given) => given,
    }
}

/// Where a server of one's own listens unless it is told otherwise.
fn own_address(embedder: EmbedderChoice, profile: OpenAiProfile) -> Option<Sourced<Address>> {
    let address = match (embedder, profile) {
        (EmbedderChoice::OpenAi, OpenAiProfile::Ollama) => "http://127.0.0.1:11434/v1",
        (EmbedderChoice::OpenAi, OpenAiProfile::Vllm) => "http://127.0.0.1:8000/v1",
        _ => return None,
    };
    Address::new("embedder_url", address).ok().map(|value| Sourced { value, origin: Origin::Default })
}

fn require_server(reader: &mut Reader<'_>, embedder: &Sourced<EmbedderChoice>, openai: &Sourced<OpenAiProfile>) {
    match (embedder.value, openai.value) {
        (EmbedderChoice::Voyage, _) => require_secret(reader, "VOYAGE_API_KEY", "a key", "embedder", embedder),
        (EmbedderChoice::Gemini, _) => require_secret(reader, "GEMINI_API_KEY", "a key", "embedder", embedder),
        (EmbedderChoice::OpenAi, OpenAiProfile::OpenAi) => {
            require_secret(reader, "OPENAI_API_KEY", "a key", "embedder", embedder);
        }
        (EmbedderChoice::OpenAi, OpenAiProfile::Generic) => {
            require(reader, "embedder_url", "an address such as https://host:port/v1", "openai_profile", openai);
        }
        (EmbedderChoice::Tei, _) => {
            require(reader, "embedder_url", "an address such as https://host:8080", "embedder", embedder);
        }
        // Both listen on this machine at a known port, and need no key.
        (EmbedderChoice::OpenAi, OpenAiProfile::Ollama | OpenAiProfile::Vllm)
        | (EmbedderChoice::None | EmbedderChoice::Static, _) => {}
    }
}

/// What is set for a hosted embedder while none is chosen: most likely its key is missing, and the built-in model would be used
/// without anybody noticing. A stronger source may choose another embedder in passing.
fn refuse_unused(reader: &mut Reader<'_>, embedder: &Sourced<EmbedderChoice>) {
    for setting in ["embedding_model", "embedding_dimension", "embedder_url", "openai_profile"] {
        let Some(raw) = reader.sources.find(setting) else { continue };
        let same_source = std::mem::discriminant(&raw.origin) == std::mem::discriminant(&embedder.origin);
        if embedder.origin == Origin::Default || same_source {
            let why = format!("since the embedder is {} ({})", embedder.value, embedder.origin);
            reader.faults.push(&raw.place, format!("expected none, {why}, found one; MNEMIC_EMBEDDER chooses another"));
        }
    }
}

fn tell(reader: &mut Reader<'_>, setting: &str, fault: &str) {
    match reader.sources.find(setting) {
        Some(raw) => reader.faults.push(&raw.place, fault),
        None => reader.faults.push(super::sources::variable(setting), fault),
    }
}
