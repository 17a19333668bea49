//! Bodies of requests as the protocol's JSON: names in either case, and none that the protocol does not have.
//! Not here: what is answered.

use serde::{Deserialize, de::DeserializeOwned};

use super::{NATIVE, Refusal};

const TASKS: [&str; 9] = [
    "TASK_TYPE_UNSPECIFIED",
    "RETRIEVAL_QUERY",
    "RETRIEVAL_DOCUMENT",
    "SEMANTIC_SIMILARITY",
    "CLASSIFICATION",
    "CLUSTERING",
    "QUESTION_ANSWERING",
    "FACT_VERIFICATION",
    "CODE_RETRIEVAL_QUERY",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Batch {
    #[serde(default)]
    pub(super) requests: Vec<EmbedContent>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct EmbedContent {
    #[serde(default)]
    pub(super) model: Option<String>,
    #[serde(default)]
    content: Option<Content>,
    #[serde(default, alias = "task_type")]
    pub(super) task_type: Option<String>,
    #[serde(default)]
    title: Option<String>,
    #[serde(default, alias = "output_dimensionality")]
    output_dimensionality: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    #[serde(default)]
    parts: Vec<Part>,
    #[serde(default, rename = "role")]
    _role: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    #[serde(default)]
    text: Option<String>,
}

pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        let text = error.to_string();
        match text.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`')) {
            Some((name, _)) => {
                Refusal::invalid(format!("Invalid JSON payload received. Unknown name \"{name}\": Cannot find field."))
            }
            None => Refusal::invalid(format!("Invalid JSON payload received. {text}")),
        }
    })
}

impl EmbedContent {
    /// The dimension that was asked for.
    pub(super) fn checked(&self) -> Result<Option<usize>, Refusal> {
        if let Some(task) = self.task_type.as_deref().filter(|task| !TASKS.contains(task)) {
            return Err(Refusal::invalid(format!(
                "Invalid value at 'task_type' (type.googleapis.com/google.ai.generativelanguage.v1beta.TaskType), \"{task}\""
            )));
        }
        if self.title.is_some() && self.task_type.as_deref() != Some("RETRIEVAL_DOCUMENT") {
            let message =
                "* EmbedContentRequest.title: title is only applicable when task_type is RETRIEVAL_DOCUMENT\n";
            return Err(Refusal::invalid(message));
        }
        match self.output_dimensionality {
            None => Ok(None),
            Some(wanted) => match usize::try_from(wanted) {
                Ok(dimension) if (128..=NATIVE).contains(&dimension) => Ok(Some(dimension)),
                _ => Err(Refusal::invalid(format!(
                    "* EmbedContentRequest.output_dimensionality: must be between 128 and {NATIVE}, found {wanted}\n"
                ))),
            },
        }
    }

    pub(super) fn text(&self) -> Result<String, Refusal> {
        let parts = self.content.as_ref().map(|content| content.parts.as_slice()).unwrap_or_default();
        let texts: Vec<&str> = parts.iter().filter_map(|part| part.text.as_deref()).collect();
        if texts.is_empty() || texts.iter().any(|text| text.is_empty()) {
            return Err(Refusal::invalid("* EmbedContentRequest.content: contents is not specified\n"));
        }
        Ok(texts.join("\n"))
    }
}
