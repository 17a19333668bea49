//! The published descriptions of embedding services, with corrections where they contradict the service. For tests.
//! Not here: judging (`spec`).

use serde_json::{Value, json};

use crate::spec::{Spec, SpecError, directory};

/// A service that has a description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Described {
    /// `POST /embeddings` of Voyage AI.
    VoyageEmbeddings,
    /// `POST /rerank` of Voyage AI.
    VoyageRerank,
    /// `POST /embeddings` and `GET /models` of `OpenAI`.
    OpenAi,
    /// Text Embeddings Inference.
    Tei,
}

impl Described {
    /// Its description, which refuses what it does not name; `None` where the descriptions are not there.
    ///
    /// # Errors
    /// For a description that cannot be read.
    pub fn spec(self) -> Option<Result<Spec, SpecError>> {
        let file = directory()?.join(match self {
            Self::VoyageEmbeddings => "voyage-embeddings-openapi-1.1.json",
            Self::VoyageRerank => "voyage-rerank-openapi-1.1.json",
            Self::OpenAi => "openai-embeddings-extract.yaml",
            Self::Tei => "tei-openapi-1.9.3.json",
        });
        Some(Spec::load_corrected(&file, |document| self.correct(document)))
    }

    /// What each description says that cannot be, and what its service does instead.
    fn correct(self, document: &mut Value) {
        match self {
            Self::VoyageEmbeddings => {
                let post = "/paths/~1embeddings/post";
                // "An object that is a string or an array": the alternatives are what is meant.
                let input = format!("{post}/requestBody/content/application~1json/schema/properties/input");
                if let Some(input) = document.pointer_mut(&input).and_then(Value::as_object_mut) {
                    input.remove("type");
                }
                let data = "responses/200/content/application~1json/schema/properties/data/items/properties/embedding";
                base64_too(document, &format!("{post}/{data}"));
            }
            // The array of numbers only, though `encoding_format` offers base64.
            Self::OpenAi => {
                base64_too(document, "/components/schemas/Embedding/properties/embedding");
                // Errors are described by a schema that no operation but for 429 refers to.
                let refusal = json!({ "description": "a refusal", "content": { "application/json": {
                    "schema": { "$ref": "#/components/schemas/ErrorResponse" } } } });
                if let Some(responses) = document.pointer_mut("/paths/~1embeddings/post/responses") {
                    responses["4XX"] = refusal;
                }
            }
            Self::VoyageRerank | Self::Tei => {}
        }
    }
}

fn base64_too(document: &mut Value, embedding: &str) {
    if let Some(embedding) = document.pointer_mut(embedding) {
        *embedding = json!({ "anyOf": [embedding.clone(), { "type": "string" }] });
    }
}
