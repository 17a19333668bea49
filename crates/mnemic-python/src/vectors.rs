//! Embeddings that callers bring: they travel beside a request's JSON as native single-precision numbers, since as text they would
//! cost more than the rest of a call. Not here: their length and direction, which the memory's model decides (`mnemic`).

use mnemic::{Error, NewRecord, Query, Result};
use pyo3::pybacked::PyBackedBytes;

/// The components of one embedding for each record of a write (`None` where it has none), or of the only one, a query's.
pub(crate) type Vectors = Vec<Option<PyBackedBytes>>;

/// Gives records their embeddings.
pub(crate) fn bring(vectors: &Vectors, records: &mut [NewRecord]) -> Result<()> {
    if !vectors.is_empty() && vectors.len() != records.len() {
        let expected = format!("{} entries, one for each record", records.len());
        return Err(Error::invalid("vectors", expected, format!("{} entries", vectors.len())));
    }
    for (i, (vector, record)) in vectors.iter().zip(records).enumerate() {
        if let Some(bytes) = vector {
            record.embedding = Some(read(bytes).map_err(|error| error.within(format!("records[{i}]")))?);
        }
    }
    Ok(())
}

/// Gives a query its embedding.
pub(crate) fn ask(vectors: &Vectors, query: &mut Query) -> Result<()> {
    if let Some(Some(bytes)) = vectors.first() {
        query.embedding = Some(read(bytes)?);
    }
    Ok(())
}

fn read(bytes: &[u8]) -> Result<Vec<f32>> {
    let (components, _rest) = bytes.as_chunks::<4>();
    if components.is_empty() {
        return Err(Error::invalid("embedding", "numbers", "none"));
    }
    let component = |(i, bytes): (usize, &[u8; 4])| {
        let component = f32::from_ne_bytes(*bytes);
        if component.is_finite() {
            Ok(component)
        } else {
            let expected = "a number that is finite in single precision";
            Err(Error::invalid(format!("embedding[{i}]"), expected, component))
        }
    };
    components.iter().enumerate().map(component).collect()
}
