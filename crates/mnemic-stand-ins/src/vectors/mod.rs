//! What the stand-ins of embedding services have in common: vectors that mean something, counts of tokens, and wrong answers on demand.
//! Not here: what one vendor accepts and how it says so (its own module).

#[cfg(feature = "spec")]
mod described;
mod meaning;
mod stand_in;
mod wrong;

#[cfg(feature = "spec")]
pub use described::Described;
pub(crate) use meaning::Meaning;
pub(crate) use stand_in::Shared;
pub use stand_in::StandIn;
pub(crate) use wrong::{Entry, number};
pub use wrong::{Wrong, Wrongs};

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// How a stand-in counts tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tokenizer {
    /// About as modern vocabularies do with prose: five letters a token.
    #[default]
    Usual,
    /// One token a byte, as a vocabulary does with a script that it does not know. Nobody's estimate is above it.
    Bytes,
}

impl Tokenizer {
    /// Tokens of a text.
    pub fn count(self, text: &str) -> usize {
        match self {
            Self::Bytes => text.len(),
            Self::Usual => {
                let (mut tokens, mut run) = (0, 0usize);
                for c in text.chars() {
                    if c.is_ascii_alphanumeric() {
                        run += 1;
                        continue;
                    }
                    tokens += run.div_ceil(5) + usize::from(!c.is_whitespace());
                    run = 0;
                }
                tokens + run.div_ceil(5)
            }
        }
    }

    /// The beginning of a text of at most this many tokens.
    pub fn cut(self, text: &str, most: usize) -> &str {
        if self.count(text) <= most {
            return text;
        }
        let ends: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        // Counts grow with the text, so the last end that fits is found by halving.
        let fitting = ends.partition_point(|end| self.count(text.get(..*end).unwrap_or_default()) <= most);
        let fits = fitting.checked_sub(1).and_then(|last| ends.get(last)).copied().unwrap_or_default();
        text.get(..fits).unwrap_or_default()
    }
}

/// A vector as base64 of little-endian 32-bit floats.
pub(crate) fn base64(vector: &[f32]) -> String {
    STANDARD.encode(vector.iter().flat_map(|component| component.to_le_bytes()).collect::<Vec<u8>>())
}

/// A vector of unit length; one without a direction stays as it is.
pub(crate) fn unit(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|component| f64::from(*component).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 {
        for component in &mut vector {
            *component = (f64::from(*component) / length) as f32;
        }
    }
    vector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_where_its_tokens_end() {
        let text = "Remember the filing fee of 405 dollars, клиент живёт в Риге.";
        for tokenizer in [Tokenizer::Usual, Tokenizer::Bytes] {
            for most in 0..80 {
                let cut = tokenizer.cut(text, most);
                assert!(text.starts_with(cut) && tokenizer.count(cut) <= most, "{most}: {cut:?}");
                let rest = text.get(cut.len()..).unwrap_or_default();
                if let Some(next) = rest.chars().next() {
                    let longer = text.get(..cut.len() + next.len_utf8()).unwrap_or_default();
                    assert!(tokenizer.count(longer) > most, "{most}: {cut:?}");
                }
            }
        }
    }
}
