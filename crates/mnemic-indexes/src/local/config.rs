//! How a local index is set up. Not here: where values come from (the facade reads flags, environment and files).

use std::path::PathBuf;

use mnemic_core::{Error, ErrorKind, Result};

use crate::Bm25Config;

/// How a [`LocalIndex`](super::LocalIndex) is set up.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalIndexConfig {
    /// Where snapshots lie: `<directory>/namespaces/<namespace>/index.local`. `None` keeps everything in memory only.
    pub directory: Option<PathBuf>,
    /// Lexical scoring.
    pub bm25: Bm25Config,
    /// Namespaces held in memory at once, beyond which the least recently used is let go. Only one that is saved is: see
    /// `LocalIndex::crowding`. Without a directory none that holds anything ever is.
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
        self.bm25.check()?;
        if self.max_open_namespaces == 0 {
            let message = "max_open_namespaces: expected 1 or more, found 0";
            return Err(Error::new(ErrorKind::InvalidConfig, message).with_field("max_open_namespaces"));
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
