//! Embeddings and the identity of the space they live in. Not here: making them (the `Embedder` port).

use std::{fmt, sync::Arc};

use crate::{Error, ErrorKind, Result, ids::check_label, limits};

/// How closeness is measured in a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Metric {
    /// Cosine similarity, -1 to 1.
    Cosine,
}

impl Metric {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
        }
    }
}

/// The identity of a vector space. Two embeddings are comparable only if these are equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EmbeddingModel(Arc<ModelParts>);

#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct ModelParts {
    provider: String,
    name: String,
    dimension: u32,
    metric: Metric,
}

impl EmbeddingModel {
    /// Accepts provider and name of 1 to 255 bytes without `/` in the provider, and 1 to 8192 dimensions.
    ///
    /// # Errors
    /// `InvalidInput`, naming the field.
    pub fn new(provider: impl Into<String>, name: impl Into<String>, dimension: u32, metric: Metric) -> Result<Self> {
        let (provider, name) = (provider.into(), name.into());
        check_label("model.provider", &provider, limits::LABEL_BYTES)?;
        check_label("model.name", &name, limits::LABEL_BYTES)?;
        if provider.contains('/') {
            return Err(Error::invalid("model.provider", "a name without /", crate::ids::quoted(&provider)));
        }
        if !(1..=limits::DIMENSIONS).contains(&dimension) {
            return Err(Error::invalid("model.dimension", format!("1 to {}", limits::DIMENSIONS), dimension));
        }
        Ok(Self(Arc::new(ModelParts { provider, name, dimension, metric })))
    }

    /// Who makes the embeddings.
    pub fn provider(&self) -> &str {
        &self.0.provider
    }

    /// The provider's name of the model.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Components of one embedding.
    pub fn dimension(&self) -> u32 {
        self.0.dimension
    }

    /// How closeness is measured.
    pub fn metric(&self) -> Metric {
        self.0.metric
    }

    /// Refuses an embedding of another space.
    ///
    /// # Errors
    /// `ModelMismatch`, naming both.
    pub fn check_same(&self, found: &Self) -> Result<()> {
        if self == found {
            return Ok(());
        }
        Err(Error::new(ErrorKind::ModelMismatch, format!("the data was embedded with {self}, not with {found}")))
    }
}

impl fmt::Display for EmbeddingModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}-{}", self.provider(), self.name(), self.dimension(), self.metric().as_str())
    }
}

/// One vector of one model: as long as the model says, finite, and not zero.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    model: EmbeddingModel,
    components: Arc<[f32]>,
}

impl Embedding {
    /// Checks and keeps `components` as given (not normalized).
    ///
    /// # Errors
    /// `InvalidInput` for a wrong length, a component that is not finite, or a zero vector.
    pub fn new(model: &EmbeddingModel, components: impl Into<Arc<[f32]>>) -> Result<Self> {
        let components = components.into();
        if components.len() != model.dimension() as usize {
            let expected = format!("{} dimensions (model {model})", model.dimension());
            return Err(Error::invalid("embedding", expected, format!("{} dimensions", components.len())));
        }
        if let Some(position) = components.iter().position(|component| !component.is_finite()) {
            return Err(Error::invalid("embedding", "finite components", format!("a non-finite one at {position}")));
        }
        // Subnormal components square to zero; a vector of nothing else has no direction either.
        let norm: f32 = components.iter().map(|component| component * component).sum();
        if norm == 0.0 || !norm.is_finite() {
            return Err(Error::invalid("embedding", "a vector whose length is neither zero nor infinite", norm));
        }
        Ok(Self { model: model.clone(), components })
    }

    /// The space that it lives in.
    pub fn model(&self) -> &EmbeddingModel {
        &self.model
    }

    /// The components.
    pub fn components(&self) -> &[f32] {
        &self.components
    }

    /// Cosine similarity to another embedding of the same space.
    ///
    /// # Errors
    /// `ModelMismatch` if the spaces differ.
    pub fn cosine(&self, other: &Self) -> Result<f32> {
        self.model.check_same(&other.model)?;
        let (a, b) = (&self.components, &other.components);
        let lengths = inner_product(a, a).sqrt() * inner_product(b, b).sqrt();
        Ok((inner_product(a, b) / lengths).clamp(-1.0, 1.0) as f32)
    }
}

/// The inner product of two vectors of one length in double precision. It is summed in a fixed order, so it is the same on every machine.
pub fn inner_product(a: &[f32], b: &[f32]) -> f64 {
    // Side by side, since each addition has to wait for the one before.
    let mut sums = [0.0f64; 8];
    let ((a_chunks, a_rest), (b_chunks, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += f64::from(*a) * f64::from(*b);
        }
    }
    for ((sum, a), b) in sums.iter_mut().zip(a_rest).zip(b_rest) {
        *sum += f64::from(*a) * f64::from(*b);
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_without_direction_is_refused() {
        let model = EmbeddingModel::new("test", "m", 2, Metric::Cosine).unwrap();
        for bad in [
            vec![0.0, 0.0],
            vec![f32::NAN, 1.0],
            vec![f32::INFINITY, 0.0],
            vec![1.0],
            vec![1e-40, 0.0],
            vec![f32::MAX, 1.0],
        ] {
            assert_eq!(Embedding::new(&model, bad.clone()).unwrap_err().field(), Some("embedding"), "{bad:?}");
        }
        let x = Embedding::new(&model, vec![3.0, 0.0]).unwrap();
        let y = Embedding::new(&model, vec![1.0, 1.0]).unwrap();
        assert!((x.cosine(&y).unwrap() - std::f32::consts::FRAC_1_SQRT_2).abs() < 1e-6);
    }

    #[test]
    fn an_inner_product_counts_every_component_once() {
        for length in 0..40 {
            let a: Vec<f32> = (1..=length).map(|i| i as f32).collect();
            let b: Vec<f32> = (1..=length).map(|i| 1.0 / i as f32).collect();
            assert!((inner_product(&a, &b) - f64::from(length)).abs() < 1e-5, "{length}");
        }
    }

    #[test]
    fn two_spaces_never_mix_and_the_error_names_both() {
        let one = EmbeddingModel::new("mnemic", "a", 2, Metric::Cosine).unwrap();
        let two = EmbeddingModel::new("mnemic", "b", 2, Metric::Cosine).unwrap();
        let error = one.check_same(&two).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ModelMismatch);
        assert!(error.to_string().contains("mnemic/a@2-cosine") && error.to_string().contains("mnemic/b@2-cosine"));
    }
}
