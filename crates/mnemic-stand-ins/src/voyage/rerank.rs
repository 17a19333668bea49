//! `POST /v1/rerank`. Not here: what is asked around every request (`mod`).

use serde::Deserialize;
use serde_json::{Value, json};

use crate::vectors::{Entry, number};

use super::{Refusal, Server};

const MOST_DOCUMENTS: usize = 1000;

/// By name: tokens of a query, of a query with one document, and of all pairs of a request.
const MODELS: [(&str, [usize; 3]); 4] = [
    ("rerank-2.5", [8_000, 32_000, 600_000]),
    ("rerank-2.5-lite", [8_000, 32_000, 600_000]),
    ("rerank-2", [4_000, 16_000, 600_000]),
    ("rerank-2-lite", [2_000, 8_000, 600_000]),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    query: String,
    documents: Vec<String>,
    model: String,
    #[serde(default)]
    top_k: Option<usize>,
    #[serde(default)]
    return_documents: bool,
    #[serde(default)]
    truncation: Option<bool>,
}

pub(super) async fn answer(server: &Server, request: Request) -> Result<Value, Refusal> {
    let tokens = within_limits(server, &request)?;
    let mut scores = Vec::with_capacity(request.documents.len());
    for document in &request.documents {
        let closeness = server.shared.meaning.closeness(&request.query, document).await;
        scores.push(vec![f32::midpoint(closeness, 1.0)]);
    }
    let mut entries = Entry::all(scores);
    let score = |entry: &Entry| entry.vector.first().copied().unwrap_or_default();
    entries.sort_by(|a, b| score(b).total_cmp(&score(a)));
    entries.truncate(request.top_k.unwrap_or(usize::MAX));
    server.shared.wrongs.spoil(&mut entries);
    let rendered = |entry: &Entry| {
        let mut data = json!({ "relevance_score": number(score(entry)) });
        if let (Some(data), Some(index)) = (data.as_object_mut(), entry.index) {
            data.insert("index".to_owned(), json!(index));
            if request.return_documents {
                data.insert("document".to_owned(), json!(request.documents.get(index)));
            }
        }
        data
    };
    let data: Vec<Value> = entries.iter().map(rendered).collect();
    Ok(json!({ "object": "list", "data": data, "model": request.model, "usage": { "total_tokens": tokens } }))
}

/// The tokens of all pairs.
fn within_limits(server: &Server, request: &Request) -> Result<usize, Refusal> {
    if request.query.is_empty() || request.documents.is_empty() || request.documents.iter().any(String::is_empty) {
        return Err(Refusal::bad("The query and the documents cannot be empty."));
    }
    let found = request.documents.len();
    if found > MOST_DOCUMENTS {
        return Err(Refusal::bad(format!(
            "The number of documents cannot exceed {MOST_DOCUMENTS}. Your request has {found} documents, which exceeds the number of documents allowed."
        )));
    }
    let Some((name, [query_most, pair_most, most])) = MODELS.iter().find(|(name, _)| *name == request.model) else {
        let names: Vec<String> = MODELS.iter().map(|(name, _)| format!("'{name}'")).collect();
        let names = names.join(", ");
        return Err(Refusal::bad(format!("Model {} is not supported. Supported models are [{names}].", request.model)));
    };
    let tokenizer = server.options.tokenizer;
    let counts: Vec<usize> = request.documents.iter().map(|document| tokenizer.count(document)).collect();
    let query = tokenizer.count(&request.query);
    if request.truncation == Some(false) && (query > *query_most || counts.iter().any(|n| query + n > *pair_most)) {
        return Err(Refusal::bad("The query or a document has too many tokens for the model's context length."));
    }
    let query = query.min(*query_most);
    let tokens: usize = counts.iter().map(|n| query + (*n).min(pair_most - query)).sum();
    if tokens > *most {
        return Err(Refusal::bad(format!(
            "Request to model '{name}' failed. The max allowed tokens per submitted batch is {most}. Your batch has {tokens} tokens after truncation."
        )));
    }
    Ok(tokens)
}
