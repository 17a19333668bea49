//! Indexes of Mnemic: what can be searched, derived from a ledger and always rebuildable.
