//! What the index is told at its start. Not here: where settings come from (the facade).

use mnemic_core::{Error, ErrorKind, Result};
use mnemic_http::{Address, SecretString};

/// Whether vectors are also kept smaller, for searching; scores are of the whole vectors in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quantization {
    /// No.
    Off,
    /// As bytes, in memory: a quarter of the room, and faster.
    #[default]
    Int8,
}

/// What a [`super::QdrantIndex`] is made of.
#[derive(Debug)]
pub struct QdrantIndexConfig {
    /// Where the server is (its REST port).
    pub address: Address,
    /// The key, where the server wants one.
    pub api_key: Option<SecretString>,
    /// What the names of collections begin with, 1 to 64 characters of `A-Z`, `a-z`, `0-9`, `_` and `-`. Deployments with different
    /// prefixes share nothing.
    pub prefix: String,
    /// For collections that are made from now on.
    pub quantization: Quantization,
    /// Namespaces of at most this many points are searched whole instead of by graph; 0 for none.
    pub exact_below: u64,
    /// Shards of new collections; the server's choice if `None`.
    pub shards: Option<u32>,
    /// Replicas of new collections; the server's choice if `None`.
    pub replicas: Option<u32>,
}

impl QdrantIndexConfig {
    /// The usual settings for a server at `address`.
    pub fn new(address: Address) -> Self {
        Self {
            address,
            api_key: None,
            prefix: "mnemic".to_owned(),
            quantization: Quantization::default(),
            exact_below: 20_000,
            shards: None,
            replicas: None,
        }
    }

    /// # Errors
    /// `InvalidConfig`, naming the setting.
    pub(super) fn check(&self) -> Result<()> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !(1..=64).contains(&self.prefix.len()) || !self.prefix.bytes().all(good) {
            let message = "qdrant_collection: expected 1 to 64 characters of A-Z, a-z, 0-9, _ and -";
            return Err(Error::new(ErrorKind::InvalidConfig, message).with_field("qdrant_collection"));
        }
        for (name, count) in [("shards", self.shards), ("replicas", self.replicas)] {
            if count == Some(0) {
                return Err(Error::new(ErrorKind::InvalidConfig, format!("{name}: expected at least 1, found 0")));
            }
        }
        Ok(())
    }
}
