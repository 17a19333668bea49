//! `POST /v1/embeddings`. Not here: what is asked around every request (`mod`).

use serde::Deserialize;
use serde_json::{Value, json};

use crate::vectors::{Entry, base64, number};

use super::{Refusal, Server};

const MOST_TEXTS: usize = 1000;

/// A model: tokens of a request, tokens of a text, and the dimensions to choose from, the default first.
struct Model {
    name: &'static str,
    batch: usize,
    window: usize,
    dimensions: &'static [usize],
}

const FLEXIBLE: &[usize] = &[1024, 256, 512, 2048];
const FIXED: &[usize] = &[1024];

const MODELS: [Model; 9] = [
    Model { name: "voyage-4-large", batch: 120_000, window: 32_000, dimensions: FLEXIBLE },
    Model { name: "voyage-4", batch: 320_000, window: 32_000, dimensions: FLEXIBLE },
    Model { name: "voyage-4-lite", batch: 1_000_000, window: 32_000, dimensions: FLEXIBLE },
    Model { name: "voyage-3-large", batch: 120_000, window: 32_000, dimensions: FLEXIBLE },
    Model { name: "voyage-3.5", batch: 320_000, window: 32_000, dimensions: FLEXIBLE },
    Model { name: "voyage-3.5-lite", batch: 1_000_000, window: 32_000, dimensions: FLEXIBLE },
    Model { name: "voyage-code-3", batch: 120_000, window: 32_000, dimensions: FLEXIBLE },
    Model { name: "voyage-finance-2", batch: 120_000, window: 32_000, dimensions: FIXED },
    Model { name: "voyage-law-2", batch: 120_000, window: 16_000, dimensions: FIXED },
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    input: Value,
    model: String,
    #[serde(default)]
    input_type: Option<String>,
    #[serde(default = "yes")]
    truncation: Option<bool>,
    #[serde(default)]
    output_dimension: Option<usize>,
    #[serde(default)]
    output_dtype: Option<String>,
    #[serde(default)]
    encoding_format: Option<String>,
}

#[expect(clippy::unnecessary_wraps, reason = "a default must have its field's type")]
fn yes() -> Option<bool> {
    Some(true)
}

pub(super) async fn answer(server: &Server, request: Request) -> Result<Value, Refusal> {
    let texts = texts(&request.input)?;
    let model = known(&request.model)?;
    let dimension = dimension(&request, model)?;
    let prompt = match request.input_type.as_deref() {
        None => "",
        Some("query") => "Represent the query for retrieving supporting documents: ",
        Some("document") => "Represent the document for retrieval: ",
        Some(other) => return Err(Refusal::bad(format!("Input type '{other}' is not supported."))),
    };
    let base64_asked = match request.encoding_format.as_deref() {
        None => false,
        Some("base64") => true,
        Some(other) => return Err(Refusal::bad(format!("Encoding format '{other}' is not supported."))),
    };
    if !matches!(request.output_dtype.as_deref(), None | Some("float")) {
        return Err(Refusal::bad("This stand-in makes only output_dtype 'float'."));
    }
    let (texts, tokens) = fitted(server, &request, model, prompt, &texts)?;
    let mut vectors = Vec::with_capacity(texts.len());
    let task = request.input_type.as_deref().unwrap_or_default();
    for text in texts {
        vectors.push(server.shared.meaning.vector(model.name, task, text, dimension).await);
    }
    let mut entries = Entry::all(vectors);
    server.shared.wrongs.spoil(&mut entries);
    let rendered = |entry: &Entry| {
        let embedding = if base64_asked && !server.options.never_base64 {
            json!(base64(&entry.vector))
        } else {
            entry.vector.iter().map(|component| number(*component)).collect()
        };
        let mut data = json!({ "object": "embedding", "embedding": embedding });
        if let (Some(data), Some(index)) = (data.as_object_mut(), entry.index) {
            data.insert("index".to_owned(), json!(index));
        }
        data
    };
    let data: Vec<Value> = entries.iter().map(rendered).collect();
    Ok(json!({ "object": "list", "data": data, "model": model.name, "usage": { "total_tokens": tokens } }))
}

fn texts(input: &Value) -> Result<Vec<&str>, Refusal> {
    let of = |value: &'_ Value| -> Option<()> { value.as_str().map(drop) };
    let texts: Vec<&str> = match input {
        Value::String(text) => vec![text.as_str()],
        Value::Array(texts) if texts.iter().all(|text| of(text).is_some()) => {
            texts.iter().filter_map(Value::as_str).collect()
        }
        _ => return Err(Refusal::bad("The input must be a string or a list of strings.")),
    };
    if texts.is_empty() || texts.iter().any(|text| text.is_empty()) {
        return Err(Refusal::bad("Input cannot contain empty strings or empty lists"));
    }
    if texts.len() > MOST_TEXTS {
        let found = texts.len();
        return Err(Refusal::bad(format!("The batch size limit is {MOST_TEXTS}. Your batch size is {found}.")));
    }
    Ok(texts)
}

fn known(name: &str) -> Result<&'static Model, Refusal> {
    MODELS.iter().find(|model| model.name == name).ok_or_else(|| {
        let names: Vec<String> = MODELS.iter().map(|model| format!("'{}'", model.name)).collect();
        Refusal::bad(format!("Model {name} is not supported. Supported models are [{}].", names.join(", ")))
    })
}

fn dimension(request: &Request, model: &Model) -> Result<usize, Refusal> {
    let default = model.dimensions.first().copied().unwrap_or(1024);
    let wanted = request.output_dimension.unwrap_or(default);
    if model.dimensions.contains(&wanted) {
        return Ok(wanted);
    }
    let (name, offered) = (model.name, model.dimensions);
    Err(Refusal::bad(format!("Model {name} does not support output_dimension {wanted}. Supported are {offered:?}.")))
}

/// The texts as the model reads them, and the tokens of all of them.
fn fitted<'a>(
    server: &Server,
    request: &Request,
    model: &Model,
    prompt: &str,
    texts: &[&'a str],
) -> Result<(Vec<&'a str>, usize), Refusal> {
    let tokenizer = server.options.tokenizer;
    let prompt = tokenizer.count(prompt);
    let window = model.window.saturating_sub(prompt);
    let mut cut = Vec::with_capacity(texts.len());
    let mut tokens = 0;
    for (n, text) in texts.iter().enumerate() {
        if request.truncation == Some(false) && tokenizer.count(text) > window {
            let detail = format!(
                "The example at index {n} in your batch has too many tokens and does not fit into the model's context window of {} tokens.",
                model.window
            );
            return Err(Refusal::bad(detail));
        }
        let text = tokenizer.cut(text, window);
        tokens += prompt + tokenizer.count(text);
        cut.push(text);
    }
    if tokens > model.batch {
        let (name, most) = (model.name, model.batch);
        return Err(Refusal::bad(format!(
            "Request to model '{name}' failed. The max allowed tokens per submitted batch is {most}. Your batch has {tokens} tokens after truncation. Please lower the number of tokens in the batch."
        )));
    }
    Ok((cut, tokens))
}
