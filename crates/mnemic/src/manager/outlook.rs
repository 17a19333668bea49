//! What two places can and cannot do, in words for whoever plans to move. Not here: what is asked of the ledgers (`plan`).

use mnemic_core::{
    limits::{DIMENSIONS, ID_BYTES, METADATA_BYTES, TEXT_BYTES},
    ports::{Index, Offer, Visibility},
};
use mnemic_indexes::pgvector::GRAPH_DIMENSIONS;

use super::{MemoryManager, PlaceReport};

/// How an index that is part of Mnemic searches by embedding; one of a caller's own is described by its capabilities only.
const DENSE: [(&str, &str); 4] = [
    ("local", "exact, in the memory of each process"),
    ("pgvector", "exact with few records, by a graph in half precision with many; scores are of the whole embeddings"),
    ("qdrant", "exact up to 20,000 records, by a graph with more; scores are of the whole embeddings"),
    ("pinecone", "approximate, as Pinecone decides"),
];

/// What bounds the data in the target.
pub(super) fn limits(source: &PlaceReport, target: &MemoryManager) -> Vec<String> {
    let mut limits = vec![format!(
        "texts of {} KB, metadata of {} KB, ids of {ID_BYTES} bytes and embeddings of {DIMENSIONS} dimensions are the most on every \
         backend: whatever the source took, the target takes",
        TEXT_BYTES >> 10,
        METADATA_BYTES >> 10
    )];
    for name in target.engine.indexes.iter().map(|placed| placed.index.name()) {
        match name {
            "pinecone" => {
                limits.push(
                    "Pinecone's 40 KB of metadata a record are no limit: texts stay in the ledger, and what of the fields for filters \
                     does not fit is decided by the ledger"
                        .to_owned(),
                );
                limits.push("Pinecone's ids of 512 ASCII characters are none either: ids are written in ASCII there".to_owned());
            }
            "pgvector" => limits.extend(source.holds.models.iter().filter(|model| model.dimension() > GRAPH_DIMENSIONS).map(
                |model| {
                    format!(
                        "{model} has more than the {GRAPH_DIMENSIONS} dimensions of pgvector's graph: every search reads all embeddings \
                         of the namespace, exact and slow where there are many"
                    )
                },
            )),
            _ => {}
        }
    }
    limits
}

/// What will be different for whoever uses the memory.
pub(super) fn differences(
    source: &MemoryManager,
    target: &MemoryManager,
    from: &PlaceReport,
    to: &PlaceReport,
) -> Vec<String> {
    let mut told = Vec::new();
    let (here, there) = (dense(source), dense(target));
    if here != there {
        told.push(format!("search by embedding is {there}; in the source it is {here}"));
    }
    match (&from.model, &to.model) {
        (Some(_), None) => told.push(
            "the target has no embedder: what is written there gets no embedding, and questions are answered by words only".to_owned(),
        ),
        (None, Some(model)) if from.holds.models.is_empty() => {
            told.push(format!("the target's embedder is {model}: what is written there gets embeddings, what moves has none"));
        }
        _ => {}
    }
    match (lexical(source), lexical(target)) {
        (Some(_), None) => told.push("the target has no search by words".to_owned()),
        (None, Some(_)) => told.push("the target searches by words too".to_owned()),
        _ => {}
    }
    if late(target) && !late(source) {
        told.push(
            "the target's index shows writes some seconds later; until then they are found beside it, by reading the ledger".to_owned(),
        );
    }
    match (source.engine.reranker.is_some(), target.engine.reranker.is_some()) {
        (true, false) => told.push("the target has no reranker".to_owned()),
        (false, true) => told.push("the target asks a reranker about the best candidates".to_owned()),
        _ => {}
    }
    match (source.engine.spool.is_some(), target.engine.spool.is_some()) {
        (true, false) => told.push("the target keeps no writes while its ledger cannot be reached".to_owned()),
        (false, true) => {
            told.push(
                "the target keeps writes on this machine while its ledger cannot be reached, and answers them spooled"
                    .to_owned(),
            );
        }
        _ => {}
    }
    if to.ledger == "process memory" {
        told.push("the target keeps nothing when its process ends".to_owned());
    }
    told
}

fn offering(memory: &MemoryManager, offers: impl Fn(&dyn Index) -> Offer) -> Option<&dyn Index> {
    let found = memory.engine.index_for(offers)?;
    memory.engine.indexes.get(found).map(|placed| placed.index.as_ref())
}

fn dense(memory: &MemoryManager) -> String {
    let Some(index) = offering(memory, |index| index.capabilities().dense) else { return "not offered".to_owned() };
    let name = index.name();
    match DENSE.into_iter().find(|(known, _)| *known == name) {
        Some((_, how)) => format!("by {name} ({how})"),
        None => format!("by {name}"),
    }
}

fn lexical(memory: &MemoryManager) -> Option<&'static str> {
    offering(memory, |index| index.capabilities().lexical).map(Index::name)
}

fn late(memory: &MemoryManager) -> bool {
    memory.engine.indexes.iter().any(|placed| placed.index.capabilities().visibility == Visibility::Eventual)
}
