//! Demands that every adapter's folder runs the suite. Not here: the rule itself (`mnemic_conformance::registry`).

use std::path::Path;

use mnemic_conformance::registry::assert_every_folder_is_covered;

#[test]
fn every_ledger_runs_the_suite() {
    assert_every_folder_is_covered(Path::new(env!("CARGO_MANIFEST_DIR")).join("../mnemic-ledgers"));
}
