//! The contract of indexes as cases, and the harness that an adapter brings. Not here: any index.

mod feeding;
mod lexical;
mod searching;
mod shelf;

use std::{process::ExitCode, sync::Arc};

use async_trait::async_trait;
use mnemic_core::ports::Index;

use crate::run::{self, Case, CaseOutcome, cases};

/// Opens the index under test. What it offers is what `capabilities` of the opened index declares.
#[async_trait]
pub trait IndexHarness: Send + Sync + 'static {
    /// Opens it: a fresh one, or another handle on a shared one (each case works in namespaces of its own).
    async fn open(&self) -> Arc<dyn Index>;
}

/// One demand on indexes.
pub type IndexCase = Case<dyn IndexHarness>;

/// Every demand on indexes. Where a way of searching is not offered, the same case demands that it is refused.
pub const INDEX_CASES: &[IndexCase] = cases![
    "I1" => feeding::i01_changes_at_or_below_the_position_are_ignored,
    "I1" => feeding::i01_the_position_moves_beyond_the_last_change,
    "I1" => feeding::i01_changes_beyond_where_the_position_moves_to_are_applied,
    "I2" => feeding::i02_what_was_applied_is_found_and_what_is_gone_is_not,
    "I3" => feeding::i03_a_replaced_record_is_found_by_its_new_revision_only,
    "I3" => feeding::i03_an_embedding_that_arrives_later_or_goes_away_is_followed,
    "I4" => feeding::i04_nothing_depends_on_another_namespace,
    "I5" => searching::i05_hits_are_ordered_by_score_and_are_at_most_the_limit,
    "I5" => searching::i05_equal_scores_are_ordered_by_id,
    "I6" => searching::i06_what_is_found_passes_the_filter_as_the_reference_evaluator_decides,
    "I6" => searching::i06_the_limit_counts_what_passes_the_filter,
    "I7" => searching::i07_dense_search_agrees_with_brute_force,
    "I7" => searching::i07_the_length_of_a_vector_does_not_matter,
    "I7" => searching::i07_a_record_without_an_embedding_is_never_found_by_vector,
    "I8" => searching::i08_a_vector_of_another_model_is_a_mismatch_that_names_both,
    "I9" => lexical::i09_a_query_is_literal_text_whatever_it_looks_like,
    "I9" => lexical::i09_a_query_without_words_finds_nothing,
    "I9" => lexical::i09_no_query_is_too_long_or_too_odd,
    "I10" => lexical::i10_inflected_english_words_find_each_other,
    "I10" => lexical::i10_inflected_russian_words_find_each_other_and_yo_equals_ye,
    "I10" => lexical::i10_text_without_spaces_is_found_by_its_parts,
    "I11" => feeding::i11_ids_lists_exactly_what_is_held,
    "I12" => feeding::i12_a_dropped_namespace_is_empty_and_can_be_fed_anew,
    "I13" => feeding::i13_fed_change_by_change_it_answers_as_fed_at_once,
    "I14" => searching::i14_a_way_of_searching_that_is_not_offered_is_unsupported,
    "I15" => feeding::i15_what_is_visible_never_lies_beyond_the_position_and_reaches_it,
    "I16" => feeding::i16_another_handle_starts_at_a_position_that_it_has,
];

/// Runs every case as a test of this process.
pub fn main(harness: impl IndexHarness) -> ExitCode {
    run::as_tests(&(Arc::new(harness) as Arc<dyn IndexHarness>), INDEX_CASES)
}

/// Runs every case, or shows every case as ignored because `service` is absent. Where the environment's `MNEMIC_REQUIRE` lists
/// the service, absence is failure.
pub fn main_or_ignore(service: &str, harness: Result<impl IndexHarness, String>) -> ExitCode {
    match harness {
        Ok(harness) => main(harness),
        Err(why) => run::as_absent(service, &why, INDEX_CASES),
    }
}

/// Runs every case and tells what became of each.
pub fn run_all(harness: impl IndexHarness) -> Vec<CaseOutcome> {
    run_where(harness, |_| true)
}

/// Runs the cases that `wanted` picks and tells what became of each.
pub fn run_where(harness: impl IndexHarness, wanted: impl Fn(&IndexCase) -> bool) -> Vec<CaseOutcome> {
    run::as_outcomes(&(Arc::new(harness) as Arc<dyn IndexHarness>), INDEX_CASES, wanted)
}
