//! What is taken from an answer: vectors as numbers or base64, by index, finite and as long as the model says; all else is refused.
//! Not here: statuses (`error` of each vendor).

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mnemic_core::{Embedding, EmbeddingModel, Error, ErrorKind, Result, Retry, limits};
use mnemic_http::Answer;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, SeqAccess, Visitor},
};

/// The components of one vector, from an array of numbers or from base64 of little-endian 32-bit floats, whatever was asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Values(pub(crate) Vec<f32>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValuesVisitor).map(Self)
    }
}

struct ValuesVisitor;

impl<'de> Visitor<'de> for ValuesVisitor {
    type Value = Vec<f32>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of numbers, or base64 of 32-bit floats")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element::<f32>()? {
            values.push(value);
        }
        Ok(values)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        let bytes = STANDARD.decode(text).map_err(|_decode| E::custom("no base64"))?;
        let (floats, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(E::custom("base64 of a broken float"));
        }
        Ok(floats.iter().map(|float| f32::from_le_bytes(*float)).collect())
    }
}

/// Reads a body without repeating any of it in the message.
pub(crate) fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T> {
    serde_json::from_slice(answer.body()).map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Data => "JSON of another form",
            _ => "no whole JSON",
        };
        answer.unreadable(&format!("{what}, at line {} column {}", error.line(), error.column()))
    })
}

/// One entry of an answer and the text that it is for.
#[derive(Debug)]
pub(crate) struct Indexed<T> {
    pub(crate) index: Option<u64>,
    pub(crate) entry: T,
}

/// Puts entries into the order of the texts.
///
/// # Errors
/// `Unavailable`, worth retrying, unless there is exactly one entry for each text: a wrong vector would be worse than none.
pub(crate) fn by_index<T>(answer: &Answer, texts: usize, entries: Vec<Indexed<T>>) -> Result<Vec<T>> {
    if entries.len() != texts {
        return Err(answer.unreadable(&format!("{} entries for {texts} texts", entries.len())));
    }
    let mut ordered: Vec<Option<T>> = std::iter::repeat_with(|| None).take(texts).collect();
    for Indexed { index, entry } in entries {
        let index = index.ok_or_else(|| answer.unreadable("an entry without an index"))?;
        let place = usize::try_from(index).ok().and_then(|index| ordered.get_mut(index));
        let place = place.ok_or_else(|| answer.unreadable(&format!("index {index} of {texts} texts")))?;
        if place.replace(entry).is_some() {
            return Err(answer.unreadable(&format!("index {index} twice")));
        }
    }
    Ok(ordered.into_iter().flatten().collect())
}

/// The error for an answer with too few or too many entries.
pub(crate) fn wrong_count(texts: usize, entries: usize) -> Error {
    Error::new(ErrorKind::Unavailable, format!("embedding: expected {texts} entries, found {entries}"))
        .with_retry(Retry::Soon)
}

/// The dimension that a server was found to answer in.
///
/// # Errors
/// `Unavailable` for one that no model can have.
pub(crate) fn discovered(service: &str, components: usize) -> Result<u32> {
    let fits = u32::try_from(components).ok().filter(|dimension| (1..=limits::DIMENSIONS).contains(dimension));
    fits.ok_or_else(|| {
        let most = limits::DIMENSIONS;
        let message = format!("{service}: embedding: expected 1 to {most} dimensions, found {components}");
        Error::new(ErrorKind::Unavailable, message).with_retry(Retry::Never)
    })
}

/// The embedding of unit length.
///
/// # Errors
/// `Unavailable`. A wrong dimension stays wrong, since it is how the server or the model is set; a vector without a direction
/// or with a component that is no number may be a moment's defect and is worth another try.
pub(crate) fn embedding(service: &str, model: &EmbeddingModel, values: &[f32]) -> Result<Embedding> {
    let refused = |what: String, retry: Retry| {
        Error::new(ErrorKind::Unavailable, format!("{service}: {what}"))
            .with_retry(retry)
            .with_context("model", model.to_string())
    };
    if values.len() != model.dimension() as usize {
        let what = format!("embedding: expected {} dimensions of {model}, found {}", model.dimension(), values.len());
        return Err(refused(what, Retry::Never));
    }
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        let what = format!("embedding: expected finite components, found one that is not at {at}");
        return Err(refused(what, Retry::Soon));
    }
    let length = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    let unit: Vec<f32> = values.iter().map(|value| (f64::from(*value) / length) as f32).collect();
    Embedding::new(model, unit).map_err(|error| {
        let what = "embedding: expected a vector with a direction, found a zero vector".to_owned();
        refused(what, Retry::Soon).with_source(error)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use mnemic_core::Metric;
    use proptest::prelude::*;

    use super::*;

    fn model() -> EmbeddingModel {
        EmbeddingModel::new("test", "m", 2, Metric::Cosine).unwrap()
    }

    #[test]
    fn vectors_are_read_from_numbers_and_from_base64() {
        let of = |json: &str| serde_json::from_str::<Values>(json).map(|values| values.0);
        assert_eq!(of("[1, -0.5, 1e-3]").unwrap(), [1.0, -0.5, 0.001]);
        assert_eq!(of("\"AACAPwAAAL8=\"").unwrap(), [1.0, -0.5]);
        assert_eq!(of("[]").unwrap(), [0.0; 0]);
        for bad in ["null", "{}", "[null]", "[\"1\"]", "\"AACA\"", "\"*\"", "[NaN]", "1", "[[1]]", "[1e39]", "[1e400]"]
        {
            let _refused = of(bad).unwrap_err();
        }
    }

    #[test]
    fn an_embedding_has_unit_length_and_the_models_dimension() {
        let made = embedding("Test", &model(), &[3.0, -4.0]).unwrap();
        assert_eq!(made.components(), [0.6, -0.8]);
        // The largest and smallest floats have a direction too.
        assert_eq!(embedding("Test", &model(), &[f32::MAX, 0.0]).unwrap().components(), [1.0, 0.0]);
        assert_eq!(embedding("Test", &model(), &[1e-40, 0.0]).unwrap().components(), [1.0, 0.0]);
    }

    #[test]
    fn a_wrong_vector_is_refused() {
        for (values, retry) in [
            (vec![1.0], Retry::Never),
            (vec![1.0, 2.0, 3.0], Retry::Never),
            (vec![], Retry::Never),
            (vec![0.0, 0.0], Retry::Soon),
            (vec![f32::NAN, 1.0], Retry::Soon),
            (vec![1.0, f32::NEG_INFINITY], Retry::Soon),
        ] {
            let error = embedding("Test", &model(), &values).unwrap_err();
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, retry), "{values:?}");
        }
        let error = embedding("Test", &model(), &[1.0]).unwrap_err().to_string();
        assert!(error.contains("expected 2 dimensions of test/m@2-cosine, found 1"), "{error}");
    }

    proptest! {
        #[test]
        fn base64_gives_the_same_floats_as_numbers(values in prop::collection::vec(-1e30f32..1e30, 0..50)) {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let encoded = serde_json::to_string(&STANDARD.encode(bytes)).unwrap();
            let numbers = serde_json::to_string(&values).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Values>(&encoded).unwrap().0, &values);
            prop_assert_eq!(&serde_json::from_str::<Values>(&numbers).unwrap().0, &values);
        }
    }
}
