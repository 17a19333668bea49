//! The contract of ledgers as cases, and the harness that an adapter brings. Not here: any ledger.

mod atomic;
mod erasure;
mod events;
mod feed;
mod model;
mod past;
mod records;
mod repeat;
mod repeat_past;
mod roles;
mod room;
mod scans;
mod slots;
mod snapshot;
mod walls;
mod whole;

use std::{any::Any, fmt, process::ExitCode, sync::Arc};

use async_trait::async_trait;
use mnemic_core::ports::Ledger;

use crate::run::{self, Case, CaseOutcome, cases};

/// Whether what was acknowledged outlives the handle that acknowledged it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It does.
    Durable,
    /// It ends with the handle.
    Volatile,
}

/// An open ledger, and whatever must stay for it to be opened again (a directory, a connection string).
pub struct Opened {
    /// The ledger.
    pub ledger: Arc<dyn Ledger>,
    place: Arc<dyn Any + Send + Sync>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

impl Opened {
    /// A ledger that needs nothing beside itself.
    pub fn new(ledger: Arc<dyn Ledger>) -> Self {
        Self { ledger, place: Arc::new(()) }
    }

    /// Keeps `place` until the ledger was closed for the last time.
    #[must_use]
    pub fn kept(mut self, place: Arc<impl Any + Send + Sync>) -> Self {
        self.place = place;
        self
    }

    /// Drops the ledger and gives back its place, which was kept as a `T`.
    pub fn close<T: Any + Send + Sync>(self) -> Arc<T> {
        let Self { ledger, place } = self;
        assert_eq!(Arc::strong_count(&ledger), 1, "somebody still holds the ledger that is to be closed");
        drop(ledger);
        place.downcast::<T>().unwrap_or_else(|_| panic!("the place is no {}", std::any::type_name::<T>()))
    }
}

/// Opens the ledger under test.
#[async_trait]
pub trait LedgerHarness: Send + Sync + 'static {
    /// Whether what was acknowledged survives reopening. Either answer is asserted.
    fn durability(&self) -> Durability;

    /// Opens a store: a fresh one, or a shared one (each case works in namespaces of its own).
    async fn open(&self) -> Opened;

    /// Closes the store and opens the same one again; where it is volatile, a fresh one.
    async fn reopen(&self, opened: Opened) -> Opened;
}

/// One demand on ledgers.
pub type LedgerCase = Case<dyn LedgerHarness>;

/// Every demand on ledgers.
pub const LEDGER_CASES: &[LedgerCase] = cases![
    "L1" => records::l01_a_committed_record_is_read_back_with_every_field_and_its_embedding_bit_for_bit,
    "L1" => records::l01_random_records_are_read_back_equal,
    "L1" => records::l01_a_full_batch_is_read_back_whole,
    "L2" => records::l02_a_replacing_write_bumps_the_version_and_keeps_the_earliest_creation,
    "L2" => records::l02_a_write_after_a_delete_continues_the_version_and_is_created_anew,
    "L2" => records::l02_a_replacing_write_leaves_nothing_of_the_revision_before,
    "L3" => atomic::l03_a_batch_with_one_refused_part_changes_nothing,
    "L3" => atomic::l03_a_reader_never_sees_part_of_a_batch,
    "L4" => records::l04_a_precondition_on_another_version_is_a_conflict_that_names_both,
    "L5" => walls::l05_nothing_of_one_namespace_is_seen_through_another,
    "L5" => walls::l05_nothing_of_one_namespace_is_changed_through_another,
    "L5" => walls::l05_an_error_in_one_namespace_shows_nothing_of_another,
    "L5" => walls::l05_a_report_counts_what_its_namespace_holds,
    "L6" => records::l06_fetch_answers_position_by_position,
    "L7" => scans::l07_a_scan_visits_every_record_once_in_either_order_for_any_page_size,
    "L7" => scans::l07_a_walk_between_whose_pages_others_write_misses_and_repeats_nothing,
    "L7" => scans::l07_walks_while_another_task_writes_miss_and_repeat_nothing,
    "L7" => scans::l07_a_scan_passes_what_the_reference_evaluator_passes,
    "L8" => records::l08_deleting_removes_a_record_and_keeps_its_history,
    "L8" => records::l08_deleting_an_absent_record_succeeds_and_says_so,
    "L9" => records::l09_history_lists_every_revision_newest_first,
    "L10" => past::l10_as_of_shows_what_was_there_after_each_commit_of_a_random_history,
    "L10" => past::l10_of_commits_at_one_instant_the_last_is_shown,
    "L10" => past::l10_a_clock_that_steps_back_does_not_reorder_the_commits,
    "L11" => records::l11_a_late_embedding_is_stored_only_for_the_current_revision,
    "L12" => atomic::l12_an_id_that_occurs_twice_in_a_batch_is_refused,
    "L13" => events::l13_events_are_numbered_from_one_and_chained,
    "L13" => events::l13_writers_at_once_leave_no_gap_and_break_no_link,
    "L14" => events::l14_the_same_event_again_is_a_duplicate,
    "L14" => events::l14_another_event_with_the_same_id_is_a_conflict,
    "L15" => events::l15_events_are_read_by_every_combination_of_conditions,
    "L15" => events::l15_threads_are_listed_by_their_first_event_without_reserved_ones,
    "L16" => slots::l16_each_write_of_slots_adds_one_to_the_version,
    "L16" => slots::l16_a_stale_precondition_is_a_conflict_and_changes_nothing,
    "L16" => slots::l16_an_unknown_thread_is_empty_at_version_zero,
    "L16" => slots::l16_of_writers_at_once_with_one_precondition_one_wins,
    "L17" => slots::l17_slots_history_lists_every_version_newest_first,
    "L17" => slots::l17_slots_are_read_as_of_an_instant,
    "L18" => feed::l18_every_commit_adds_its_changes_once_and_in_order,
    "L18" => feed::l18_the_feed_is_read_in_pages_of_any_size,
    "L18" => feed::l18_a_reader_that_follows_the_feed_while_others_write_misses_nothing,
    "L19" => feed::l19_tasks_wait_oldest_first_until_they_are_settled,
    "L19" => feed::l19_the_tasks_of_a_revision_that_is_gone_are_gone,
    "L20" => repeat::l20_the_same_request_again_answers_the_first_receipt_and_changes_nothing,
    "L20" => repeat::l20_another_request_with_the_same_key_is_a_conflict,
    "L20" => repeat::l20_a_refused_request_keeps_no_key,
    "L20" => repeat::l20_of_sixteen_racers_one_commits_and_all_get_its_receipt,
    "L21" => erasure::l21_nothing_reads_an_erased_record,
    "L21" => erasure::l21_the_events_of_an_erased_record_hold_no_payload_and_the_chain_verifies,
    "L21" => erasure::l21_erasing_what_is_absent_only_leaves_its_event,
    "L22" => erasure::l22_nothing_reads_an_erased_subject,
    "L22" => erasure::l22_other_subjects_are_unchanged,
    "L23" => erasure::l23_an_erased_id_starts_anew,
    "L24" => walls::l24_namespaces_lists_what_holds_anything_ordered_by_name,
    "L25" => whole::l25_what_was_acknowledged_survives_reopening,
    "L26" => whole::l26_many_tasks_writing_at_once_lose_nothing,
    "L26" => whole::l26_a_record_written_by_all_holds_one_write_whole,
    "L26" => model::l26_any_history_leaves_what_the_model_says,
    "L27" => model::l27_a_copy_that_follows_any_history_reads_as_its_source,
    "L27" => repeat_past::l27_single_revisions_that_an_erasure_takes_go_from_the_copy_too,
    "L28" => repeat_past::l28_the_same_commits_again_change_nothing,
    "L28" => repeat_past::l28_commits_that_do_not_continue_change_nothing,
    "L28" => repeat_past::l28_an_event_that_does_not_verify_is_refused,
    "L29" => roles::l29_a_role_is_kept_and_changed_only_by_who_saw_the_last_change,
    "L29" => roles::l29_of_racers_one_changes_the_role,
    "L29" => roles::l29_a_role_survives_reopening,
    "L30" => roles::l30_what_does_not_serve_refuses_changes_and_answers_reads,
    "L30" => roles::l30_what_does_not_serve_goes_on_repeating_and_settling,
    "L31" => roles::l31_a_cleared_copy_is_as_if_it_had_never_been_written,
    "L31" => roles::l31_what_was_left_behind_is_cleared_and_stays_a_pointer,
    "L31" => roles::l31_a_memory_itself_is_never_cleared,
];

/// Runs every case as a test of this process.
pub fn main(harness: impl LedgerHarness) -> ExitCode {
    run::as_tests(&(Arc::new(harness) as Arc<dyn LedgerHarness>), LEDGER_CASES)
}

/// Runs every case, or shows every case as ignored because `service` is absent. Where the environment's `MNEMIC_REQUIRE` lists
/// the service, absence is failure.
pub fn main_or_ignore(service: &str, harness: Result<impl LedgerHarness, String>) -> ExitCode {
    match harness {
        Ok(harness) => main(harness),
        Err(why) => run::as_absent(service, &why, LEDGER_CASES),
    }
}

/// Runs every case and tells what became of each.
pub fn run_all(harness: impl LedgerHarness) -> Vec<CaseOutcome> {
    run_where(harness, |_| true)
}

/// Runs the cases that `wanted` picks and tells what became of each.
pub fn run_where(harness: impl LedgerHarness, wanted: impl Fn(&LedgerCase) -> bool) -> Vec<CaseOutcome> {
    run::as_outcomes(&(Arc::new(harness) as Arc<dyn LedgerHarness>), LEDGER_CASES, wanted)
}
