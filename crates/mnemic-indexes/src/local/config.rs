//! How a local index is set up. Not here: where values come from (the facade reads flags, environment and files).

use std::path::PathBuf;

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

/// How a [`LocalIndex`](super::LocalIndex) is set up.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalIndexConfig {
    /// Where snapshots lie: `<directory>/namespaces/<namespace>/index.local`. `None` keeps everything in memory only.
    pub directory: Option<PathBuf>,
    /// Lexical scoring.
    pub bm25: Bm25Config,
    /// Namespaces held in memory at once; the least recently used are written to their snapshots first. Without a directory none that
    /// holds anything is ever let go.
    pub max_open_namespaces: usize,
}

impl Default for LocalIndexConfig {
    fn default() -> Self {
        Self { directory: None, bm25: Bm25Config::default(), max_open_namespaces: 256 }
    }
}

impl LocalIndexConfig {
    /// Refuses constants that are no numbers or out of range.
    ///
    /// # Errors
    /// `InvalidConfig`, naming the setting.
    pub fn check(&self) -> Result<()> {
        let refused = |field: &str, expected: &str, found: String| {
            Err(Error::new(ErrorKind::InvalidConfig, format!("{field}: expected {expected}, found {found}"))
                .with_field(field))
        };
        if !(0.0..=100.0).contains(&self.bm25.k1) {
            return refused("bm25.k1", "a number from 0 to 100", self.bm25.k1.to_string());
        }
        if !(0.0..=1.0).contains(&self.bm25.b) {
            return refused("bm25.b", "a number from 0 to 1", self.bm25.b.to_string());
        }
        if self.max_open_namespaces == 0 {
            return refused("max_open_namespaces", "1 or more", "0".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_out_of_range_is_refused_by_name() {
        let with = |k1, b| LocalIndexConfig { bm25: Bm25Config { k1, b }, ..LocalIndexConfig::default() };
        assert_eq!(with(f32::NAN, 0.4).check().unwrap_err().field(), Some("bm25.k1"));
        assert_eq!(with(0.9, 1.5).check().unwrap_err().field(), Some("bm25.b"));
        let none_open = LocalIndexConfig { max_open_namespaces: 0, ..LocalIndexConfig::default() };
        assert_eq!(none_open.check().unwrap_err().kind(), ErrorKind::InvalidConfig);
        assert!(with(0.0, 1.0).check().is_ok());
    }
}
