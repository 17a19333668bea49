//! Duplicates: which texts say the same. Decided by words alone, so that it means the same on every backend and with every embedder.
//! Not here: what becomes of them (`consolidation`).

use std::collections::{BTreeSet, HashMap};

use super::tokens::{each_word, words};

/// Words whose presence on one side only turns a statement around.
const NEGATIONS: [&str; 18] = [
    "not",
    "no",
    "never",
    "none",
    "nothing",
    "without",
    "cannot",
    "t",
    "нет",
    "не",
    "ни",
    "никогда",
    "без",
    "нельзя",
    "ничего",
    "никто",
    "nobody",
    "neither",
];

/// The form in which two texts are exact duplicates: their words, without case, marks and spacing.
pub fn normalized(text: &str) -> String {
    let words = words(text);
    // A text of marks only still has an identity: itself.
    if words.is_empty() { text.trim().to_owned() } else { words.join(" ") }
}

/// How alike two texts are: the Jaccard similarity of their word sets, 0 to 1; 0 if they differ in a number or a negation.
pub fn similarity(a: &str, b: &str) -> f64 {
    jaccard(&words(a).into_iter().collect(), &words(b).into_iter().collect())
}

fn jaccard(a: &BTreeSet<String>, b: &BTreeSet<String>) -> f64 {
    if a.is_empty() || b.is_empty() || a.symmetric_difference(b).any(|word| turns_meaning(word)) {
        return 0.0;
    }
    let shared = a.intersection(b).count();
    shared as f64 / (a.len() + b.len() - shared) as f64
}

fn turns_meaning(word: &str) -> bool {
    let is_digit = |c: char| match c {
        'a'..='z' | 'а'..='я' => false,
        c => c.is_numeric(),
    };
    word.chars().any(is_digit) || NEGATIONS.contains(&word)
}

/// Each text that repeats an earlier one, by position: the first whose similarity is at least `threshold` (above 0) and that repeats
/// none itself, then the repeating one. So likeness does not creep along a chain, and many like texts cost no more than many
/// unlike ones.
///
/// Exact prefix filtering (Chaudhuri et al., 2006; Bayardo et al., 2007): with words ordered from rare to frequent, two sets
/// of Jaccard similarity t share a word among the first `n - ceil(t n) + 1` of each, so only those are compared. Words
/// are numbered in that order first, so that sets are short lists of numbers and are compared by merging.
pub fn repetitions(texts: &[&str], threshold: f64) -> Vec<(usize, usize, f64)> {
    let numbered = Numbered::of(texts);
    let mut holders: Vec<Vec<usize>> = vec![Vec::new(); numbered.turns_meaning.len()];
    let mut pairs = Vec::new();
    for (position, set) in numbered.sets.iter().enumerate() {
        let prefix = set.len() + 1 - (threshold * set.len() as f64).ceil().min(set.len() as f64) as usize;
        let mut compared: Vec<usize> =
            set.iter().take(prefix).filter_map(|word| holders.get(*word)).flatten().copied().collect();
        compared.sort_unstable();
        compared.dedup();
        let alike = |other: usize| {
            (other, position, numbered.sets.get(other).map_or(0.0, |earlier| numbered.jaccard(earlier, set)))
        };
        match compared.into_iter().map(alike).find(|(_, _, alike)| *alike >= threshold) {
            Some(pair) => pairs.push(pair),
            None => {
                for word in set.iter().take(prefix) {
                    if let Some(holders) = holders.get_mut(*word) {
                        holders.push(position);
                    }
                }
            }
        }
    }
    pairs
}

/// Bytes of text for each word that is expected to be another one …
const WORD_BYTES: usize = 10;
/// … and room for how many is made at once.
const MOST_AT_FIRST: usize = 4096;

/// Word sets as ascending numbers, the rarest word first.
struct Numbered {
    sets: Vec<Vec<usize>>,
    /// For each number, whether the presence of its word on one side only turns a statement around.
    turns_meaning: Vec<bool>,
}

impl Numbered {
    fn of(texts: &[&str]) -> Self {
        let bytes: usize = texts.iter().map(|text| text.len()).sum();
        let mut seen: HashMap<String, usize> = HashMap::with_capacity(MOST_AT_FIRST.min(bytes / WORD_BYTES));
        // By the order in which words were first seen.
        let mut frequency: Vec<usize> = Vec::new();
        let mut turns: Vec<bool> = Vec::new();
        let mut sets: Vec<Vec<usize>> = Vec::with_capacity(texts.len());
        for text in texts {
            let mut set: Vec<usize> = Vec::new();
            each_word(text, |word| {
                let number = seen.get(word).copied().unwrap_or_else(|| {
                    let next = seen.len();
                    seen.insert(word.to_owned(), next);
                    turns.push(turns_meaning(word));
                    next
                });
                set.push(number);
            });
            set.sort_unstable();
            set.dedup();
            frequency.resize(seen.len(), 0);
            for word in &set {
                if let Some(times) = frequency.get_mut(*word) {
                    *times += 1;
                }
            }
            sets.push(set);
        }
        let mut rare_first: Vec<(usize, usize)> = frequency.into_iter().zip(0..).collect();
        rare_first.sort_unstable();
        let mut number = vec![0; rare_first.len()];
        for (position, (_, word)) in rare_first.iter().enumerate() {
            if let Some(slot) = number.get_mut(*word) {
                *slot = position;
            }
        }
        let numbered = |word: usize| number.get(word).copied().unwrap_or_default();
        for set in &mut sets {
            for word in &mut *set {
                *word = numbered(*word);
            }
            set.sort_unstable();
        }
        let mut turning = vec![false; number.len()];
        for (first_seen, turns) in turns.into_iter().enumerate() {
            if let Some(slot) = turning.get_mut(numbered(first_seen)) {
                *slot = turns;
            }
        }
        Self { sets, turns_meaning: turning }
    }

    /// The Jaccard similarity; 0 as soon as a word that turns the meaning stands on one side only.
    fn jaccard(&self, a: &[usize], b: &[usize]) -> f64 {
        let (mut left, mut right, mut shared) = (a.iter().peekable(), b.iter().peekable(), 0usize);
        loop {
            let alone = match (left.peek(), right.peek()) {
                (None, None) => break,
                (Some(x), Some(y)) if x == y => {
                    shared += 1;
                    left.next();
                    right.next();
                    continue;
                }
                (Some(x), Some(y)) if x < y => left.next(),
                (Some(_), None) => left.next(),
                (_, Some(_)) => right.next(),
            };
            if alone.is_some_and(|word| self.turns_meaning.get(*word).copied().unwrap_or(false)) {
                return 0.0;
            }
        }
        if shared == 0 { 0.0 } else { shared as f64 / (a.len() + b.len() - shared) as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_duplicates_differ_in_case_marks_and_spacing_only() {
        assert_eq!(normalized("The fee is  $1,055."), normalized("the FEE is 1 055"));
        assert_ne!(normalized("The fee is 1055"), normalized("The fee is 1056"));
        assert_ne!(normalized("!"), normalized("?"));
    }

    #[test]
    fn another_number_or_a_negation_is_never_alike() {
        assert_eq!(similarity("the filing fee for this form is 1055", "the filing fee for this form is 1056"), 0.0);
        assert_eq!(similarity("Anna did travel to Spain in May", "Anna did not travel to Spain in May"), 0.0);
        assert_eq!(similarity("Анна едет в Москву летом", "Анна не едет в Москву летом"), 0.0);
        assert!(similarity("Anna lives in the city of Boston", "Anna lives in city of Boston") > 0.8);
    }

    #[test]
    fn thousands_of_texts_that_are_all_alike_are_compared_once_each() {
        let said =
            "good morning my dear friend i hope that you slept well and that the weather is nice over there today";
        let texts: Vec<String> = (0..5000).map(|i| format!("{said} {}", "x".repeat(i + 1))).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let found = repetitions(&texts, 0.85);
        assert_eq!(found.len(), 4999, "and not one for each of twelve million pairs");
        assert!(found.iter().all(|(first, ..)| *first == 0));
    }

    #[test]
    fn prefix_filtering_finds_exactly_what_brute_force_finds() {
        let vocabulary = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"];
        let mut state = 7u64;
        let mut next = |bound: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % bound
        };
        let texts: Vec<String> = (0..120)
            .map(|_| (0..=next(7)).map(|_| vocabulary[next(vocabulary.len())]).collect::<Vec<_>>().join(" "))
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        for threshold in [0.3, 0.5, 0.8, 1.0] {
            let mut expected: Vec<(usize, usize)> = Vec::new();
            for b in 0..texts.len() {
                let leads = |a: &usize| expected.iter().all(|(_, repeating)| repeating != a);
                let first = (0..b).filter(leads).find(|a| similarity(texts[*a], texts[b]) >= threshold);
                expected.extend(first.map(|a| (a, b)));
            }
            let found: Vec<_> = repetitions(&texts, threshold).into_iter().map(|(a, b, _)| (a, b)).collect();
            assert_eq!(found, expected, "threshold {threshold}");
        }
    }
}
