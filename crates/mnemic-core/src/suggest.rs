//! The nearest valid name for a misspelt one. Not here: deciding what is valid.

/// The name within a third of its length in edits, nearest first, or nothing.
pub fn nearest<'a>(name: &str, valid: &[&'a str]) -> Option<&'a str> {
    // Names are short; a longer input is no misspelling of any and is not worth a quadratic walk.
    if name.len() > 64 {
        return None;
    }
    let lower = name.to_lowercase();
    valid
        .iter()
        .map(|candidate| (distance(&lower, candidate), *candidate))
        .filter(|(edits, candidate)| *edits <= candidate.len().div_ceil(3))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edit distance in characters (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, cb) in row.iter_mut().skip(1).zip(&b) {
            let best = (diagonal + usize::from(ca != *cb)).min(left + 1).min(*cell + 1);
            diagonal = *cell;
            *cell = best;
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        assert_eq!(nearest("metdata", &["metadata", "text"]), Some("metadata"));
        assert_eq!(nearest("user", &["user_id", "thread_id"]), Some("user_id"));
        assert_eq!(nearest("$where", &["metadata", "text"]), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
