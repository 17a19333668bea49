//! How a pgvector index is set up. Not here: where the database is (`mnemic_postgres::PostgresConfig`).

use mnemic_core::{Error, ErrorKind, Result};

/// How a [`PgvectorIndex`](super::PgvectorIndex) is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PgvectorConfig {
    /// Its name. Two indexes of different names keep embeddings of two models side by side in one database.
    pub name: &'static str,
    /// Up to so many records that pass the filter, every one of them is compared. Beyond, the graph is asked, which finds nearly all of
    /// the closest in a fraction of the time. (With 2048 dimensions a comparison
    /// takes about 20 µs per record, and on vectors without any structure the graph misses one in eight of ten thousand.)
    pub exact_records: u64,
    /// How many of the closest the graph keeps in view, 1 to 1000 (`hnsw.ef_search`).
    pub ef_search: u16,
    /// How many entries of the graph, which all namespaces share, one search may look at (`hnsw.max_scan_tuples`), at least 1. If
    /// they do not hold enough that passes, everything that passes is compared.
    pub max_scan_tuples: u32,
}

impl Default for PgvectorConfig {
    fn default() -> Self {
        Self { name: "pgvector", exact_records: 10_000, ef_search: 400, max_scan_tuples: 50_000 }
    }
}

impl PgvectorConfig {
    /// Refuses what is out of range.
    ///
    /// # Errors
    /// `InvalidConfig`, naming the setting.
    pub fn check(&self) -> Result<()> {
        let refused = |field: &str, expected: &str, found: String| {
            Err(Error::new(ErrorKind::InvalidConfig, format!("{field}: expected {expected}, found {found}"))
                .with_field(field))
        };
        if self.name.is_empty() || self.name.contains('\0') {
            return refused("pgvector.name", "a name", format!("{:?}", self.name));
        }
        if !(1..=1000).contains(&self.ef_search) {
            return refused("pgvector.ef_search", "1 to 1000", self.ef_search.to_string());
        }
        if !(1..=i32::MAX.cast_unsigned()).contains(&self.max_scan_tuples) {
            return refused("pgvector.max_scan_tuples", "1 to 2147483647", self.max_scan_tuples.to_string());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_out_of_range_is_refused_by_name() {
        let good = PgvectorConfig::default();
        assert!(good.check().is_ok());
        for (config, field) in [
            (PgvectorConfig { name: "", ..good }, "pgvector.name"),
            (PgvectorConfig { ef_search: 0, ..good }, "pgvector.ef_search"),
            (PgvectorConfig { ef_search: 1001, ..good }, "pgvector.ef_search"),
            (PgvectorConfig { max_scan_tuples: 0, ..good }, "pgvector.max_scan_tuples"),
        ] {
            let error = config.check().unwrap_err();
            assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidConfig, Some(field)));
        }
    }
}
