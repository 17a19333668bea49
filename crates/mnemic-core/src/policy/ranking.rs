//! How good a ranked list is: recall and NDCG where the answer is known, overlap with another list where it is not.
//! Not here: making lists.

use std::collections::BTreeSet;

/// The share of `gold` among the first `k` of `ranked`. Nothing to find counts as found.
pub fn recall(ranked: &[&str], gold: &BTreeSet<&str>, k: usize) -> f64 {
    if gold.is_empty() {
        return 1.0;
    }
    let found = distinct(ranked).take(k).filter(|id| gold.contains(id)).count();
    found as f64 / gold.len() as f64
}

/// Normalized discounted cumulative gain of the first `k` of `ranked`, where a record is either gold or not.
pub fn ndcg(ranked: &[&str], gold: &BTreeSet<&str>, k: usize) -> f64 {
    if gold.is_empty() {
        return 1.0;
    }
    let discount = |position: usize| 1.0 / (position as f64 + 2.0).log2();
    let gained: f64 =
        distinct(ranked).take(k).enumerate().filter(|(_, id)| gold.contains(id)).map(|(i, _)| discount(i)).sum();
    let best: f64 = (0..gold.len().min(k)).map(discount).sum();
    gained / best
}

/// The share of the first `k` of `one` that are among the first `k` of `other`. Where `one` is empty, everything of it is there.
pub fn overlap(one: &[&str], other: &[&str], k: usize) -> f64 {
    let other: BTreeSet<&str> = distinct(other).take(k).collect();
    let one: Vec<&str> = distinct(one).take(k).collect();
    if one.is_empty() {
        return 1.0;
    }
    one.iter().filter(|id| other.contains(*id)).count() as f64 / one.len() as f64
}

/// The first occurrence of each entry.
fn distinct<'a>(ranked: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    let mut seen = BTreeSet::new();
    ranked.iter().copied().filter(move |id| seen.insert(*id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gold(ids: &[&'static str]) -> BTreeSet<&'static str> {
        ids.iter().copied().collect()
    }

    #[test]
    fn recall_is_the_share_of_the_gold_in_the_top() {
        let ranked = ["a", "x", "b", "y", "z", "c"];
        assert_eq!(recall(&ranked, &gold(&["a", "b", "c"]), 5), 2.0 / 3.0);
        assert_eq!(recall(&ranked, &gold(&["a", "b", "c"]), 6), 1.0);
        assert_eq!(recall(&ranked, &gold(&["q"]), 6), 0.0);
        assert_eq!(recall(&[], &gold(&["q"]), 5), 0.0);
    }

    #[test]
    fn a_repeated_entry_counts_once_and_takes_no_second_place() {
        assert_eq!(recall(&["a", "a", "b"], &gold(&["a", "b"]), 2), 1.0);
    }

    #[test]
    fn ndcg_rewards_early_places_and_is_one_for_a_perfect_list() {
        assert_eq!(ndcg(&["a", "b", "x"], &gold(&["a", "b"]), 10), 1.0);
        // One of two at the second place: (1 / log2 3) / (1 + 1 / log2 3).
        let expected = (1.0 / 3f64.log2()) / (1.0 + 1.0 / 3f64.log2());
        assert!((ndcg(&["x", "a"], &gold(&["a", "b"]), 10) - expected).abs() < 1e-12);
        // More gold than places: the best list still scores one.
        assert_eq!(ndcg(&["a", "b"], &gold(&["a", "b", "c"]), 2), 1.0);
        assert_eq!(ndcg(&["x", "y"], &gold(&["a"]), 2), 0.0);
    }

    #[test]
    fn overlap_is_the_share_of_one_top_in_the_other_whatever_the_order() {
        assert_eq!(overlap(&["a", "b"], &["b", "a"], 2), 1.0);
        assert_eq!(overlap(&["a", "b", "c", "d"], &["a", "x", "c", "b"], 3), 2.0 / 3.0);
        assert_eq!(overlap(&["a"], &[], 10), 0.0);
        assert_eq!(overlap(&[], &["a"], 10), 1.0);
    }
}
