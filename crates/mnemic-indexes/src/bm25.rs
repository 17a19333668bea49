//! The arithmetic of BM25, the same for every index that weighs words, so that their scores agree bit for bit. Not here: which texts
//! hold which words (the indexes).

use mnemic_core::{Error, ErrorKind, Result};

/// The two constants of BM25.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bm25Config {
    /// How soon further occurrences of a word stop to matter; 0 ignores them.
    pub k1: f32,
    /// How much long texts are discounted, from 0 (not) to 1 (fully).
    pub b: f32,
}

impl Default for Bm25Config {
    /// Conversation turns are short and of even length: less saturation and less length discount than the textbook's 1.2 and 0.75
    /// gave better recall on all measured sets.
    fn default() -> Self {
        Self { k1: 0.9, b: 0.4 }
    }
}

impl Bm25Config {
    /// Refuses constants that are no numbers or out of range.
    ///
    /// # Errors
    /// `InvalidConfig`, naming the setting.
    pub fn check(&self) -> Result<()> {
        let refused = |field: &str, expected: &str, found: f32| {
            Err(Error::new(ErrorKind::InvalidConfig, format!("{field}: expected {expected}, found {found}"))
                .with_field(field))
        };
        if !(0.0..=100.0).contains(&self.k1) {
            return refused("bm25.k1", "a number from 0 to 100", self.k1);
        }
        if !(0.0..=1.0).contains(&self.b) {
            return refused("bm25.b", "a number from 0 to 1", self.b);
        }
        Ok(())
    }
}

/// The constants for the texts of one namespace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bm25 {
    config: Bm25Config,
    texts: f64,
    pub(crate) base: f32,
    pub(crate) slope: f32,
}

impl Bm25 {
    /// For `texts` texts of `total_length` words together.
    pub(crate) fn new(config: Bm25Config, texts: f64, total_length: u64) -> Self {
        let mean = total_length as f64 / texts;
        let base = config.k1 * (1.0 - config.b);
        let slope = (f64::from(config.k1) * f64::from(config.b) / mean) as f32;
        Self { config, texts, base, slope }
    }

    /// What a word is worth that `holding` texts hold and a query says `times` times. No text gains more by it.
    pub(crate) fn weight(&self, holding: f64, times: u16) -> f32 {
        let rarity = (1.0 + (self.texts - holding + 0.5) / (holding + 0.5)).ln();
        (rarity * f64::from(times) * (f64::from(self.config.k1) + 1.0)) as f32
    }

    /// What a text of `length` words gains by holding a word `count` times.
    #[inline]
    pub(crate) fn gain(&self, weight: f32, count: u16, length: u32) -> f32 {
        let count = f32::from(count);
        weight * count / (count + self.base + self.slope * length as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_out_of_range_is_refused_by_name() {
        let with = |k1, b| Bm25Config { k1, b };
        assert_eq!(with(f32::NAN, 0.4).check().unwrap_err().field(), Some("bm25.k1"));
        assert_eq!(with(0.9, 1.5).check().unwrap_err().field(), Some("bm25.b"));
        assert!(with(0.0, 1.0).check().is_ok());
    }

    #[test]
    fn a_rarer_word_a_shorter_text_and_more_occurrences_are_worth_more() {
        let bm25 = Bm25::new(Bm25Config::default(), 100.0, 1000);
        assert!(bm25.weight(1.0, 1) > bm25.weight(50.0, 1) && bm25.weight(100.0, 1) > 0.0);
        let weight = bm25.weight(5.0, 1);
        assert!(bm25.gain(weight, 1, 5) > bm25.gain(weight, 1, 50));
        assert!(bm25.gain(weight, 2, 5) > bm25.gain(weight, 1, 5));
        assert!(bm25.gain(weight, u16::MAX, 0) <= weight, "the weight bounds the gain");
    }
}
