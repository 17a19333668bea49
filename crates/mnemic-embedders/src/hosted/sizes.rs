//! How large a text is to a vendor: tokens by an estimate on the high side, bytes as JSON exactly; and cutting to a size.
//! Not here: the vendors' tokenizers, which differ by model and are not public for all of them.

/// What kind of run the last characters are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Run {
    Nothing,
    Space,
    Lower,
    Upper,
    Cyrillic,
}

/// Tokens of the text read so far. It never falls when a character is added, so a cut can be found in one pass.
#[derive(Clone, Copy, Debug)]
struct Estimate {
    settled: usize,
    run: Run,
    length: usize,
}

impl Estimate {
    const fn new() -> Self {
        Self { settled: 0, run: Run::Nothing, length: 0 }
    }

    /// Words of prose are a token for every four letters; what is longer than a word (identifiers, encoded data) and what is
    /// shouted falls into smaller pieces. Cyrillic has fewer merges than Latin in every public vocabulary.
    const fn run_tokens(self) -> usize {
        match self.run {
            Run::Nothing | Run::Space => 0,
            Run::Lower if self.length <= 16 => self.length.div_ceil(4),
            Run::Lower => 4 + (self.length - 16).div_ceil(2),
            Run::Upper => self.length.div_ceil(2),
            Run::Cyrillic => (self.length * 2).div_ceil(3),
        }
    }

    const fn tokens(self) -> usize {
        self.settled + self.run_tokens()
    }

    fn extend(&mut self, run: Run) {
        if self.run == run {
            self.length += 1;
            return;
        }
        // A capital begins a word as much as a small letter does.
        let capitalized = self.run == Run::Upper && self.length == 1 && run == Run::Lower;
        if capitalized {
            (self.run, self.length) = (Run::Lower, 2);
            return;
        }
        self.settle(0);
        (self.run, self.length) = (run, 1);
    }

    fn settle(&mut self, tokens: usize) {
        self.settled = self.tokens() + tokens;
        (self.run, self.length) = (Run::Nothing, 0);
    }

    fn push(&mut self, c: char) {
        match c {
            // One space is part of the word after it.
            ' ' if self.run != Run::Space => {
                self.settle(0);
                self.run = Run::Space;
            }
            'a'..='z' => self.extend(Run::Lower),
            'A'..='Z' => self.extend(Run::Upper),
            '\u{400}'..='\u{4ff}' => self.extend(Run::Cyrillic),
            // Numbers do not take the space before them.
            '0'..='9' => self.settle(1 + usize::from(self.run == Run::Space)),
            _ => self.settle(alone(c)),
        }
    }
}

/// Tokens of a character that joins no run: never more than its bytes, which is what a byte-level vocabulary falls back to.
fn alone(c: char) -> usize {
    match u32::from(c) {
        // ASCII, and letters with diacritics.
        ..=0x7f | 0xc0..=0x24f => 1,
        // What has two bytes; and dashes and quotation marks, kana, common ideographs, Hangul.
        0x80..=0x7ff | 0x2010..=0x2027 | 0x3000..=0x30ff | 0x4e00..=0x9fff | 0xac00..=0xd7af => 2,
        0x800..=0xffff => 3,
        _ => 4,
    }
}

/// Tokens of a text, estimated high: about 1.4 times the truth for English prose, more for other scripts.
pub(crate) fn tokens(text: &str) -> usize {
    let mut estimate = Estimate::new();
    text.chars().for_each(|c| estimate.push(c));
    estimate.tokens()
}

/// Bytes of a text inside a JSON string.
pub(crate) fn json_bytes(text: &str) -> usize {
    text.bytes().map(json_byte).sum()
}

fn json_byte(byte: u8) -> usize {
    match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 2,
        ..=0x1f => 6,
        _ => 1,
    }
}

/// The longest beginning of `text` with at most this many estimated tokens and this many bytes inside JSON.
pub(crate) fn cut(text: &str, most_tokens: usize, most_bytes: usize) -> &str {
    let (mut estimate, mut bytes) = (Estimate::new(), 0);
    for (at, c) in text.char_indices() {
        estimate.push(c);
        bytes += c.encode_utf8(&mut [0; 4]).bytes().map(json_byte).sum::<usize>();
        if estimate.tokens() > most_tokens || bytes > most_bytes {
            return text.get(..at).unwrap_or_default();
        }
    }
    text
}

/// Half of a text, cut between characters; nothing where there is no half.
pub(crate) fn half(text: &str) -> &str {
    text.get(..text.floor_char_boundary(text.len() / 2)).unwrap_or_default()
}

/// Whether there is nothing in a text that anybody could see: vendors refuse it or answer junk.
pub(crate) fn is_blank(text: &str) -> bool {
    text.chars().all(|c| {
        c.is_whitespace()
            || c.is_control()
            || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_estimate_is_above_what_public_tokenizers_count() {
        // Counts of cl100k_base, which text-embedding-3 uses; its successors count less.
        for (text, counted) in [
            ("The food was delicious and the waiter was friendly.", 10),
            ("tiktoken is great!", 6),
            ("antidisestablishmentarianism", 6),
            ("2 + 2 = 4", 7),
            ("お誕生日おめでとう", 9),
            ("hello world", 2),
        ] {
            let estimated = tokens(text);
            assert!((counted..=counted * 3).contains(&estimated), "{text:?}: {estimated}, counted {counted}");
        }
    }

    #[test]
    fn nothing_visible_is_blank() {
        for blank in ["", " ", "\t\r\n ", "\u{feff}\u{202e}\u{200b}\u{200d}", "\u{1}\u{7f}", "\u{3000}"] {
            assert!(is_blank(blank), "{blank:?}");
        }
        for visible in ["a", "\u{1b}[31m", ".", "\u{e000}", "🎻"] {
            assert!(!is_blank(visible), "{visible:?}");
        }
    }

    proptest! {
        #[test]
        fn a_cut_is_the_longest_beginning_that_fits(text in "\\PC{0,60}|[a-zA-Z ]{0,60}", most in 0usize..40, bytes in 0usize..80) {
            let short = cut(&text, most, bytes);
            prop_assert!(text.starts_with(short));
            prop_assert!(tokens(short) <= most && json_bytes(short) <= bytes);
            if let Some(next) = text[short.len()..].chars().next() {
                let longer = &text[..short.len() + next.len_utf8()];
                prop_assert!(tokens(longer) > most || json_bytes(longer) > bytes);
            }
        }

        #[test]
        fn the_estimate_never_falls_and_is_never_above_the_bytes(text in "\\PC{0,60}|[a-zA-Zа-я ]{0,60}") {
            let mut before = 0;
            for (at, c) in text.char_indices() {
                let now = tokens(&text[..at + c.len_utf8()]);
                prop_assert!(now >= before);
                before = now;
            }
            prop_assert!(before <= text.len());
        }

        #[test]
        fn the_bytes_are_those_of_the_serializer(text in any::<String>()) {
            prop_assert_eq!(json_bytes(&text) + 2, serde_json::to_string(&text).unwrap().len());
        }

        #[test]
        fn halving_ends(text in any::<String>()) {
            prop_assert!(half(&text).len() <= text.len() / 2);
        }
    }
}
