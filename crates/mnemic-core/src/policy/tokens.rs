//! Words and tokens of a text without a model: what duplicate detection compares and what budgets are counted in.
//! Not here: linguistic analysis (the lexical indexes) and models' own tokenizers.

use std::fmt::Debug;

/// Counts what a text costs in a model's context.
pub trait TokenCounter: Debug + Send + Sync + 'static {
    /// Tokens of `text`.
    fn count(&self, text: &str) -> usize;
}

/// An estimate from the shape of the text: a token for every four letters of a Latin word, for every two of another
/// alphabet, for every character of a script without spaces, and for every mark. It errs on the high side for prose.
#[derive(Clone, Copy, Debug, Default)]
pub struct EstimatedTokens;

impl TokenCounter for EstimatedTokens {
    fn count(&self, text: &str) -> usize {
        let (mut tokens, mut ascii_run, mut other_run) = (0, 0usize, 0usize);
        for c in text.chars() {
            let kind = if c.is_ascii_alphanumeric() {
                ascii_run += 1;
                continue;
            } else if c.is_alphanumeric() && !is_spaceless(c) {
                other_run += 1;
                continue;
            } else {
                usize::from(!c.is_whitespace())
            };
            tokens += ascii_run.div_ceil(4) + other_run.div_ceil(2) + kind;
            (ascii_run, other_run) = (0, 0);
        }
        tokens + ascii_run.div_ceil(4) + other_run.div_ceil(2)
    }
}

/// Whether the character belongs to a script that is written without spaces between words.
pub fn is_spaceless(c: char) -> bool {
    matches!(u32::from(c),
        0x0E00..=0x0EFF | 0x1000..=0x109F | 0x1780..=0x17FF | 0x3040..=0x30FF | 0x3400..=0x4DBF | 0x4E00..=0x9FFF
        | 0xAC00..=0xD7AF | 0xF900..=0xFAFF | 0x2_0000..=0x3_FFFF)
}

/// The words of a text in lower case, `ё` as `е`, in order. A character of a script without spaces is a word of its own.
pub fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    each_word(text, |word| words.push(word.to_owned()));
    words
}

/// Takes each of [`words`] in turn without keeping it.
pub(super) fn each_word(text: &str, mut take: impl FnMut(&str)) {
    let mut word = String::new();
    let mut end = |word: &mut String| {
        if !word.is_empty() {
            take(word);
            word.clear();
        }
    };
    for c in text.chars() {
        // The letters of most texts; asking Unicode's tables about each takes longer than all else here.
        match c {
            'a'..='z' | '0'..='9' | 'а'..='я' => word.push(c),
            'A'..='Z' => word.push(c.to_ascii_lowercase()),
            'А'..='Я' => word.extend(char::from_u32(u32::from(c) + CYRILLIC_CASE)),
            c if c.is_ascii() => end(&mut word),
            c => {
                for c in c.to_lowercase() {
                    let c = if c == 'ё' { 'е' } else { c };
                    if is_spaceless(c) {
                        end(&mut word);
                        word.push(c);
                        end(&mut word);
                    } else if c.is_alphanumeric() {
                        word.push(c);
                    } else {
                        end(&mut word);
                    }
                }
            }
        }
    }
    end(&mut word);
}

/// How far a small letter is from its capital in the Russian alphabet, `ё` aside.
const CYRILLIC_CASE: u32 = 'а' as u32 - 'А' as u32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_fold_case_and_yo_and_split_scripts_without_spaces() {
        assert_eq!(words("Ёлка, I-485 東京!"), ["елка", "i", "485", "東", "京"]);
        assert!(words("?! … 😀").is_empty());
    }

    #[test]
    fn every_character_is_folded_as_unicode_folds_it() {
        for c in '\0'..=char::MAX {
            let text = format!("{c}");
            let folded: String = c.to_lowercase().map(|c| if c == 'ё' { 'е' } else { c }).collect();
            let kept: String = folded.chars().filter(|c| c.is_alphanumeric() || is_spaceless(*c)).collect();
            assert_eq!(words(&text).concat(), kept, "{}", c.escape_unicode());
        }
    }

    #[test]
    fn the_estimate_grows_with_text_and_counts_every_script() {
        let count = |text| EstimatedTokens.count(text);
        assert_eq!(count(""), 0);
        assert_eq!(count("the filing fee"), 1 + 2 + 1);
        assert_eq!(count("東京都"), 3);
        assert!(count("Пошлина за подачу") >= 6);
        assert!(count("a b c") <= count("a b c d"));
    }
}
