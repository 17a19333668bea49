//! Ledgers of Mnemic: the adapters that hold what is true.
