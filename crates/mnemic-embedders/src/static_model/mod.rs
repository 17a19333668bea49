//! The default embedder: a static model in the binary, one vector per token, added up. No download, no network, microseconds a text.
//! Not here: how the model is made (`scripts/static-model`) and how good it is (`docs/static-model.md`).

mod model_file;
mod tokenize;
mod unicode;

use std::{sync::OnceLock, thread};

use async_trait::async_trait;
use mnemic_core::{
    Embedding, EmbeddingModel, Error, ErrorKind, Metric, Result,
    ports::{Embedder, Purpose},
};

use model_file::{Defect, ModelFile};

static ASSET: &[u8] = include_bytes!("../../assets/static-v1.bin");
static MODEL: OnceLock<Result<ModelFile<'static>, Defect>> = OnceLock::new();

/// Smaller batches cost less than starting a thread.
const PARALLEL_TEXTS: usize = 64;

/// Embeds English and Russian text in one space, with the model that Mnemic carries.
///
/// A document and a query are embedded alike. An entry is `None` for a text without a known word, and for one whose letters
/// are at least half in scripts other than Latin and Cyrillic: what the model knows of such a text is noise, which ranks
/// worse than lexical retrieval alone.
#[derive(Clone, Debug)]
pub struct StaticEmbedder {
    model: EmbeddingModel,
    file: &'static ModelFile<'static>,
    threads: usize,
}

impl StaticEmbedder {
    /// Checks the model on first use in this process; later calls cost nothing.
    ///
    /// # Errors
    /// `Corrupted` if the program file was damaged.
    pub fn new() -> Result<Self> {
        let file = MODEL.get_or_init(|| ModelFile::read(ASSET)).as_ref().map_err(|defect| corrupted(*defect))?;
        let dimension = u32::try_from(file.dimension)
            .map_err(|error| corrupted(Defect::Inconsistent("sizes")).with_source(error))?;
        let model = EmbeddingModel::new("mnemic", file.name, dimension, Metric::Cosine)?;
        Ok(Self { model, file, threads: thread::available_parallelism().map_or(1, usize::from) })
    }

    fn embed_all(&self, texts: &[&str]) -> Result<Vec<Option<Embedding>>> {
        let threads = self.threads.min(texts.len() / (PARALLEL_TEXTS / 2));
        if texts.len() < PARALLEL_TEXTS || threads < 2 {
            return self.embed_some(texts);
        }
        thread::scope(|scope| {
            let mut parts = texts.chunks(texts.len().div_ceil(threads));
            let own = parts.next().unwrap_or_default();
            let begin = |part| (part, thread::Builder::new().spawn_scoped(scope, move || self.embed_some(part)).ok());
            let others: Vec<_> = parts.map(begin).collect();
            let mut all = self.embed_some(own)?;
            for (part, other) in others {
                // Where there is no thread to be had, this one does it.
                let embedded = other.map_or_else(|| Ok(self.embed_some(part)), thread::ScopedJoinHandle::join);
                all.extend(embedded.unwrap_or_else(|_| Err(Error::bug("a thread of the static embedder panicked")))?);
            }
            Ok(all)
        })
    }

    fn embed_some(&self, texts: &[&str]) -> Result<Vec<Option<Embedding>>> {
        let mut sum = vec![0.0; self.file.dimension];
        texts.iter().map(|text| self.embed_one(text, &mut sum)).collect()
    }

    fn embed_one(&self, text: &str, sum: &mut [f32]) -> Result<Option<Embedding>> {
        if !vector(self.file, text, sum) {
            return Ok(None);
        }
        Embedding::new(&self.model, &*sum).map(Some)
    }
}

#[async_trait]
impl Embedder for StaticEmbedder {
    fn model(&self) -> Option<&EmbeddingModel> {
        Some(&self.model)
    }

    async fn embed(&self, _purpose: Purpose, texts: &[&str]) -> Result<Vec<Option<Embedding>>> {
        self.embed_all(texts)
    }
}

/// Sets `sum` to the unit vector of `text`, or returns false if the model cannot represent it.
fn vector(file: &ModelFile<'_>, text: &str, sum: &mut [f32]) -> bool {
    if file.scripts.are_foreign_to(text) {
        return false;
    }
    sum.fill(0.0);
    file.vocabulary.split(text, |token| {
        if let Some(token) = token {
            file.add(token, sum);
        }
    });
    let norm = sum.iter().map(|component| f64::from(*component).powi(2)).sum::<f64>().sqrt();
    if norm == 0.0 {
        return false;
    }
    for component in sum {
        *component = (f64::from(*component) / norm) as f32;
    }
    true
}

fn corrupted(defect: Defect) -> Error {
    Error::new(ErrorKind::Corrupted, defect.to_string())
}

#[cfg(test)]
mod tests;
