//! No adapter of this crate escapes the conformance suite. Not here: running it (`conformance_*`).

#[test]
fn every_adapter_folder_runs_the_whole_suite() {
    mnemic_conformance::registry::assert_every_folder_is_covered(env!("CARGO_MANIFEST_DIR"));
}
