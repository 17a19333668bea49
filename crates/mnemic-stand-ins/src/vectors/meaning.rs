//! Vectors in which similar texts are close, one space for each model. Not a model of any vendor: it is the built-in static model, turned.

use mnemic_core::{
    Result,
    ports::{Embedder, Purpose},
};
use mnemic_embedders::StaticEmbedder;

use super::unit;

/// How far a vector leans towards what it was asked for, so that a query and a document differ.
const LEANING: f32 = 0.05;

/// How much of a vector is the text's own and no meaning.
const OWN: f32 = 0.01;

/// Makes vectors for any model name and dimension.
#[derive(Clone, Debug)]
pub(crate) struct Meaning(StaticEmbedder);

impl Meaning {
    pub(crate) fn new() -> Result<Self> {
        StaticEmbedder::new().map(Self)
    }

    /// The vector of unit length of `text`, in a space of this model alone. `task` is what the text was embedded for, as the vendor
    /// calls it; empty if it was not said.
    pub(crate) async fn vector(&self, model: &str, task: &str, text: &str, dimension: usize) -> Vec<f32> {
        let base = self.base(text).await;
        let mut vector = Vec::with_capacity(dimension);
        let mut block = 0u64;
        while vector.len() < dimension {
            let mut random = Random::of(&[model.as_bytes(), &block.to_le_bytes()]);
            // Each block is the whole vector in another order and with other signs, so angles stay what they are.
            let mut order: Vec<usize> = (0..base.len()).collect();
            for last in (1..order.len()).rev() {
                order.swap(last, random.below(last + 1));
            }
            let turned = order.iter().filter_map(|at| base.get(*at)).map(|component| component * random.sign());
            let missing = dimension - vector.len();
            vector.extend(turned.take(missing));
            block += 1;
        }
        let mut vector = unit(vector);
        if !task.is_empty() {
            let mut random = Random::of(&[model.as_bytes(), task.as_bytes()]);
            let step = LEANING / (dimension as f32).sqrt();
            for component in &mut vector {
                *component += step * random.sign();
            }
        }
        unit(vector)
    }

    /// How close two texts are, -1 to 1.
    pub(crate) async fn closeness(&self, a: &str, b: &str) -> f32 {
        let (a, b) = (self.base(a).await, self.base(b).await);
        a.iter().zip(&b).map(|(a, b)| a * b).sum::<f32>().clamp(-1.0, 1.0)
    }

    /// The static model's vector, or for a text that it cannot represent one made of its characters: vendors answer something for
    /// every text, and something else for every other text.
    async fn base(&self, text: &str) -> Vec<f32> {
        let dimension = self.0.model().map_or(256, |model| model.dimension() as usize);
        let known = self.0.embed(Purpose::Document, &[text]).await;
        if let Some(embedding) = known.ok().and_then(|mut known| known.pop()).flatten() {
            return told_apart(embedding.components().to_vec(), text, OWN);
        }
        let mut vector = vec![0.0; dimension];
        let chars: Vec<char> = format!(" {text} ").chars().collect();
        for three in chars.windows(3) {
            let three: String = three.iter().collect();
            let mut random = Random::of(&[three.as_bytes()]);
            for _ in 0..8 {
                let (at, sign) = (random.below(dimension), random.sign());
                if let Some(component) = vector.get_mut(at) {
                    *component += sign;
                }
            }
        }
        told_apart(vector, text, 1.0)
    }
}

/// A little of the text itself in its vector: a vendor's model reads every byte, and gives no two texts the same vector because it
/// knows only what they share.
fn told_apart(mut vector: Vec<f32>, text: &str, share: f32) -> Vec<f32> {
    let step = share / (vector.len() as f32).sqrt();
    let mut random = Random::of(&[text.as_bytes()]);
    for component in &mut vector {
        *component += step * random.sign();
    }
    unit(vector)
}

/// Numbers that follow from a seed and are the same everywhere.
struct Random(u64);

impl Random {
    fn of(seeds: &[&[u8]]) -> Self {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for seed in seeds {
            for byte in seed.iter().chain(&[0xff]) {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
        Self(hash)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn sign(&mut self) -> f32 {
        if self.next() >> 63 == 0 { 1.0 } else { -1.0 }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    fn cosine(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    #[tokio::test]
    async fn similar_texts_are_close_in_every_dimension_and_models_do_not_share_a_space() {
        let meaning = Meaning::new().unwrap();
        for dimension in [128, 256, 384, 1024, 3072] {
            let of = async |model: &str, text: &str| meaning.vector(model, "", text, dimension).await;
            let dog = of("a", "the dog ran across the park").await;
            assert_eq!(dog.len(), dimension);
            assert!((cosine(&dog, &dog) - 1.0).abs() < 1e-4);
            let near = cosine(&dog, &of("a", "a dog was running in the park").await);
            let far = cosine(&dog, &of("a", "the bank raised interest rates").await);
            assert!(near > far + 0.2, "{dimension}: {near} and {far}");
            let foreign = cosine(&dog, &of("b", "the dog ran across the park").await);
            assert!(foreign.abs() < 0.4, "{dimension}: {foreign}");
        }
    }

    #[tokio::test]
    async fn every_text_has_a_vector_of_its_own_and_every_task_another() {
        let meaning = Meaning::new().unwrap();
        let mut seen: Vec<Vec<f32>> = Vec::new();
        for text in ["\u{e000}\u{e001}", "\u{f8ff}", "\u{10fffd}", "客户住在里加", "", "a", "a \u{f8ff}", "a \u{e000}"]
        {
            let vector = meaning.vector("m", "", text, 256).await;
            assert!(!seen.contains(&vector) && (cosine(&vector, &vector) - 1.0).abs() < 1e-4, "{text:?}");
            seen.push(vector);
        }
        let (query, document) =
            (meaning.vector("m", "query", "a", 256).await, meaning.vector("m", "document", "a", 256).await);
        assert!(query != document && cosine(&query, &document) > 0.98);
        assert_eq!(query, meaning.vector("m", "query", "a", 256).await);
    }
}
