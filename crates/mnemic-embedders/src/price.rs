//! What embedding costs by the vendors' lists, and how many tokens a text is taken for. Not here: what an account really pays
//! (discounts, free tokens, batch rates).

use mnemic_core::EmbeddingModel;

/// What a model's embeddings cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Price {
    /// They are made in this process.
    Nothing,
    /// They are made by a server that its operator pays for.
    OwnServer,
    /// US dollars for a million tokens.
    PerMillionTokens(f64),
    /// Nobody here knows.
    Unknown,
}

/// US dollars for a million tokens of input, standard tier.
///
/// Voyage: docs.voyageai.com/docs/pricing as of mid-2026. `OpenAI`: developers.openai.com/api/docs/models as quoted in July 2026.
/// Gemini: ai.google.dev/gemini-api/docs/pricing as quoted in April 2026, `gemini-embedding-2` at its preview's price.
const LIST: [(&str, &str, f64); 11] = [
    ("voyage", "voyage-4-large", 0.12),
    ("voyage", "voyage-4", 0.06),
    ("voyage", "voyage-4-lite", 0.02),
    ("voyage", "voyage-3-large", 0.18),
    ("voyage", "voyage-3.5", 0.06),
    ("voyage", "voyage-3.5-lite", 0.02),
    ("gemini", "gemini-embedding-001", 0.15),
    ("gemini", "gemini-embedding-2", 0.20),
    ("openai", "text-embedding-3-large", 0.13),
    ("openai", "text-embedding-3-small", 0.02),
    ("openai", "text-embedding-ada-002", 0.10),
];

/// What the vendor's list says of a model. It changes without notice: a figure to plan with, not to pay by.
pub fn list_price(model: &EmbeddingModel) -> Price {
    // A prefix of the operator's is marked in the name and changes no price.
    let name = model.name().split_once('#').map_or(model.name(), |(name, _mark)| name);
    match model.provider() {
        "mnemic" => Price::Nothing,
        "tei" | "ollama" | "vllm" => Price::OwnServer,
        provider => LIST
            .into_iter()
            .find(|(vendor, listed, _)| *vendor == provider && *listed == name)
            .map_or(Price::Unknown, |(.., dollars)| Price::PerMillionTokens(dollars)),
    }
}

/// Tokens of a text by an estimate on the high side: about 1.4 times the truth for English prose, more for other scripts.
pub fn estimated_tokens(text: &str) -> usize {
    crate::hosted::tokens(text)
}

#[cfg(test)]
mod tests {
    use mnemic_core::Metric;

    use super::*;

    #[test]
    fn a_price_belongs_to_vendor_and_model_and_is_unknown_where_nobody_listed_it() {
        let price =
            |provider: &str, name: &str| list_price(&EmbeddingModel::new(provider, name, 256, Metric::Cosine).unwrap());
        assert_eq!(price("voyage", "voyage-3.5"), Price::PerMillionTokens(0.06));
        assert_eq!(price("openai", "text-embedding-3-small#0a1b2c3d"), Price::PerMillionTokens(0.02));
        assert_eq!(price("openai", "text-embedding-9"), Price::Unknown);
        // The same name behind another door is another bill.
        assert_eq!(price("openai-compatible", "text-embedding-3-small"), Price::Unknown);
        assert_eq!(price("mnemic", "static"), Price::Nothing);
        assert_eq!(price("tei", "bge-m3"), Price::OwnServer);
    }
}
