//! The one spelling in which texts are compared: NFKC, lower case, ё as е, invisible characters gone. Not here: words (`scan`).

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

/// Replaces `out` by the normal form of `text`.
pub(crate) fn normalize(text: &str, out: &mut String) {
    out.clear();
    if text.is_ascii() {
        out.push_str(text);
        out.make_ascii_lowercase();
        return;
    }
    out.reserve(text.len());
    if is_nfkc_quick(text.chars()) == IsNormalized::Yes {
        text.chars().for_each(|c| push(c, out));
    } else {
        text.nfkc().for_each(|c| push(c, out));
    }
}

fn push(c: char, out: &mut String) {
    match c {
        'ё' | 'Ё' => out.push('е'),
        'ς' => out.push('σ'),
        'а'..='я' => out.push(c),
        // Apostrophes as people and keyboards write them.
        '\u{2018}' | '\u{2019}' | '\u{02BC}' | '\u{FF07}' | '`' => out.push('\''),
        '\u{2010}' | '\u{2011}' => out.push('-'),
        _ if is_invisible(c) => {}
        _ => out.extend(c.to_lowercase()),
    }
}

/// Characters that change neither sound nor meaning: joiners, soft hyphens, direction marks, variation selectors, tags.
fn is_invisible(c: char) -> bool {
    matches!(
        u32::from(c),
        0x00AD | 0x061C | 0x180E | 0x200B..=0x200F | 0x202A..=0x202E | 0x2060..=0x206F | 0xFE00..=0xFE0F | 0xFEFF
            | 0xE_0000..=0xE_0FFF
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(text: &str) -> String {
        let mut out = String::new();
        normalize(text, &mut out);
        out
    }

    #[test]
    fn spellings_of_one_word_become_one() {
        for (given, expected) in [
            ("Hello", "hello"),
            ("Ёлка ёж Е\u{308}лка", "елка еж елка"),
            ("ＡＢＣ１２３", "abc123"),
            ("ﬁne", "fine"),
            ("e\u{301}", "é"),
            ("don’t", "don't"),
            ("zero\u{200B}width\u{AD}", "zerowidth"),
            ("ΛΌΓΟΣ λόγος", "λόγοσ λόγοσ"),
            ("ｶﾞ", "ガ"),
        ] {
            assert_eq!(normal(given), expected, "{given:?}");
        }
    }
}
