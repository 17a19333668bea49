//! Recall and NDCG of one question, and their means by category. Not here: computing them (`policy::ranking`), making lists (`run`).

use std::collections::{BTreeMap, BTreeSet};

use mnemic::policy::ranking::{ndcg, recall};

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
