//! Recall and NDCG of ranked lists, and their means by category. Not here: making the lists (`run`).

use std::collections::{BTreeMap, BTreeSet};

/// The share of `gold` among the first `k` of `ranked`. Nothing to find counts as found.
pub(crate) fn recall(ranked: &[&str], gold: &BTreeSet<&str>, k: usize) -> f64 {
    if gold.is_empty() {
        return 1.0;
    }
    let found = distinct(ranked).take(k).filter(|id| gold.contains(id)).count();
    found as f64 / gold.len() as f64
}

/// Normalized discounted cumulative gain of the first `k` of `ranked`, where a record is either gold or not.
pub(crate) fn ndcg(ranked: &[&str], gold: &BTreeSet<&str>, k: usize) -> f64 {
    if gold.is_empty() {
        return 1.0;
    }
    let discount = |position: usize| 1.0 / (position as f64 + 2.0).log2();
    let gained: f64 =
        distinct(ranked).take(k).enumerate().filter(|(_, id)| gold.contains(id)).map(|(i, _)| discount(i)).sum();
    let best: f64 = (0..gold.len().min(k)).map(discount).sum();
    gained / best
}

/// The first occurrence of each entry.
fn distinct<'a>(ranked: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    let mut seen = BTreeSet::new();
    ranked.iter().copied().filter(move |id| seen.insert(*id))
}

/// The figures of one question, or their means.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Figures {
    pub recall_5: f64,
    pub recall_10: f64,
    pub recall_50: f64,
    pub ndcg_10: f64,
}

impl Figures {
    /// Measures one list.
    pub(crate) fn of(ranked: &[&str], gold: &BTreeSet<&str>) -> Self {
        Self {
            recall_5: recall(ranked, gold, 5),
            recall_10: recall(ranked, gold, 10),
            recall_50: recall(ranked, gold, 50),
            ndcg_10: ndcg(ranked, gold, 10),
        }
    }
}

/// Means by category and over all questions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Means {
    by_category: BTreeMap<String, (usize, Figures)>,
}

/// The name of the row over all questions.
pub(crate) const ALL: &str = "all";

impl Means {
    /// Counts one question.
    pub(crate) fn add(&mut self, category: &str, figures: Figures) {
        for name in [category, ALL] {
            let (count, sum) = self.by_category.entry(name.to_owned()).or_default();
            *count += 1;
            sum.recall_5 += figures.recall_5;
            sum.recall_10 += figures.recall_10;
            sum.recall_50 += figures.recall_50;
            sum.ndcg_10 += figures.ndcg_10;
        }
    }

    /// For each category, the row over all questions first: how many questions, and the means.
    pub(crate) fn rows(&self) -> Vec<(&str, usize, Figures)> {
        fn mean<'a>((name, (count, sum)): (&'a String, &'a (usize, Figures))) -> (&'a str, usize, Figures) {
            let n = *count as f64;
            let means = Figures {
                recall_5: sum.recall_5 / n,
                recall_10: sum.recall_10 / n,
                recall_50: sum.recall_50 / n,
                ndcg_10: sum.ndcg_10 / n,
            };
            (name.as_str(), *count, means)
        }
        let mut rows: Vec<(&str, usize, Figures)> = self.by_category.iter().map(mean).collect();
        rows.sort_by_key(|(name, ..)| *name != ALL);
        rows
    }
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
    fn means_are_over_questions_and_the_row_over_all_stands_first() {
        let mut means = Means::default();
        let figures = |recall_5| Figures { recall_5, ..Figures::default() };
        means.add("easy", figures(1.0));
        means.add("easy", figures(0.5));
        means.add("a hard one", figures(0.0));
        let rows = means.rows();
        let shown: Vec<_> = rows.iter().map(|(name, count, figures)| (*name, *count, figures.recall_5)).collect();
        assert_eq!(shown, [("all", 3, 0.5), ("a hard one", 1, 0.0), ("easy", 2, 0.75)]);
    }
}
