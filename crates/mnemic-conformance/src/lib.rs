//! The suite that every ledger, index and embedder of Mnemic must pass whole.
