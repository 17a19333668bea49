//! `WordPiece` over BERT's uncased normalization: text to token numbers, in one pass.
//! Not a general tokenizer: no added tokens, no offsets, no special tokens; nothing in a text can address `[CLS]`.
//!
//! Written by hand because the `tokenizers` crate keeps an alignment of every character through every step: on a text of 200
//! characters it takes 35 to 50 us for the split alone, where this takes 4 to 6 us for the whole embedding (English, one core;
//! `examples/throughput.rs` prints both). `tests` proves that the two split alike, for every character of Unicode.

use rustc_hash::FxHashMap;
use unicode_normalization::UnicodeNormalization;

use super::unicode::{self, Class};

/// Words of more characters are unknown, as in BERT.
const MAX_WORD_CHARS: usize = 100;

/// Token strings by number, split by whether they start or continue a word.
pub(crate) struct Vocabulary<'a> {
    starts: Pieces<'a>,
    /// Without their `##`.
    continuations: Pieces<'a>,
}

#[derive(Default)]
struct Pieces<'a> {
    numbers: FxHashMap<&'a [u8], u32>,
    longest: usize,
}

impl<'a> Pieces<'a> {
    fn insert(&mut self, piece: &'a [u8], number: u32) {
        self.longest = self.longest.max(piece.len());
        self.numbers.insert(piece, number);
    }

    /// The longest piece that `word` starts with, and its length.
    fn longest_prefix(&self, word: &[u8]) -> Option<(u32, usize)> {
        let mut end = word.len().min(self.longest);
        while end > 0 {
            // A cut within a character finds nothing, because every piece is UTF-8; skipping it saves the look-up.
            let is_boundary = word.get(end).is_none_or(|byte| byte & 0xC0 != 0x80);
            if is_boundary && let Some(&number) = word.get(..end).and_then(|prefix| self.numbers.get(prefix)) {
                return Some((number, end));
            }
            end -= 1;
        }
        None
    }
}

impl<'a> Vocabulary<'a> {
    /// Numbers the tokens in the order given.
    pub(crate) fn new(tokens: Vec<&'a [u8]>) -> Self {
        let (mut starts, mut continuations) = (Pieces::default(), Pieces::default());
        // Growing step by step would rehash every token several times, and opening is part of every command's start.
        starts.numbers.reserve(tokens.len());
        continuations.numbers.reserve(tokens.len() / 2);
        for (token, number) in tokens.into_iter().zip(0u32..) {
            match token.strip_prefix(b"##") {
                Some(piece) if !piece.is_empty() => continuations.insert(piece, number),
                _ => starts.insert(token, number),
            }
        }
        Self { starts, continuations }
    }

    /// Calls `emit` with the token numbers of `text` in order, and with `None` for each unknown word.
    pub(crate) fn split(&self, text: &str, emit: impl FnMut(Option<u32>)) {
        let mut words = Words { vocabulary: self, word: Vec::with_capacity(64), chars: 0, found: Vec::new(), emit };
        words.split(text);
    }

    /// Fills `found` with the pieces of `word`, longest first, or returns false.
    fn pieces(&self, word: &[u8], found: &mut Vec<u32>) -> bool {
        found.clear();
        let Some((number, mut end)) = self.starts.longest_prefix(word) else { return false };
        found.push(number);
        while let Some(rest) = word.get(end..).filter(|rest| !rest.is_empty()) {
            let Some((number, length)) = self.continuations.longest_prefix(rest) else { return false };
            found.push(number);
            end += length;
        }
        true
    }
}

/// What the normalization does with an ASCII character.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ascii {
    Letter,
    Space,
    Punctuation,
    Removed,
}

fn ascii_class(byte: u8) -> Ascii {
    match byte {
        b'\t' | b'\n' | b'\r' | b' ' => Ascii::Space,
        byte if byte.is_ascii_control() => Ascii::Removed,
        byte if byte.is_ascii_punctuation() => Ascii::Punctuation,
        _ => Ascii::Letter,
    }
}

struct Words<'v, 'a, F> {
    vocabulary: &'v Vocabulary<'a>,
    /// The word read so far, lower-cased, without accents; not grown beyond `MAX_WORD_CHARS`.
    word: Vec<u8>,
    chars: usize,
    found: Vec<u32>,
    emit: F,
}

impl<F: FnMut(Option<u32>)> Words<'_, '_, F> {
    fn split(&mut self, text: &str) {
        let mut rest = text;
        while let Some(&byte) = rest.as_bytes().first() {
            let length = if byte.is_ascii() {
                self.ascii(byte);
                1
            } else {
                let run = run_length(rest);
                if let Some(run) = rest.get(..run) {
                    self.run(run);
                }
                run
            };
            rest = rest.get(length..).unwrap_or_default();
        }
        self.end_word();
    }

    fn ascii(&mut self, byte: u8) {
        match ascii_class(byte) {
            Ascii::Letter => self.extend(&[byte.to_ascii_lowercase()]),
            Ascii::Space => self.end_word(),
            Ascii::Punctuation => self.lone(&[byte]),
            Ascii::Removed => {}
        }
    }

    /// A run beyond ASCII. Canonical decomposition never reorders across an ASCII character, so each run stands alone.
    fn run(&mut self, run: &str) {
        let cleaned = run.chars().filter(|&c| is_kept(c)).flat_map(|c| {
            let space = unicode::is_ideograph(c).then_some(' ');
            [space, Some(if c.is_whitespace() { ' ' } else { c }), space].into_iter().flatten()
        });
        for c in cleaned.nfd().filter(|&c| c.is_ascii() || unicode::class(c) != Class::Mark) {
            for lower in c.to_lowercase() {
                self.character(lower);
            }
        }
    }

    fn character(&mut self, c: char) {
        let mut bytes = [0; 4];
        let encoded = c.encode_utf8(&mut bytes).as_bytes();
        if c.is_whitespace() {
            self.end_word();
        } else if c.is_ascii_punctuation() || (!c.is_ascii() && unicode::class(c) == Class::Punctuation) {
            self.lone(encoded);
        } else {
            self.extend(encoded);
        }
    }

    fn extend(&mut self, character: &[u8]) {
        self.chars += 1;
        if self.chars <= MAX_WORD_CHARS {
            self.word.extend_from_slice(character);
        }
    }

    fn lone(&mut self, character: &[u8]) {
        self.end_word();
        self.extend(character);
        self.end_word();
    }

    fn end_word(&mut self) {
        if self.chars == 0 {
            return;
        }
        if self.chars <= MAX_WORD_CHARS && self.vocabulary.pieces(&self.word, &mut self.found) {
            for &number in &self.found {
                (self.emit)(Some(number));
            }
        } else {
            (self.emit)(None);
        }
        self.word.clear();
        self.chars = 0;
    }
}

/// Length of the leading part without ASCII characters other than those that are removed.
fn run_length(text: &str) -> usize {
    let ends = |byte: &u8| byte.is_ascii() && ascii_class(*byte) != Ascii::Removed;
    text.as_bytes().iter().position(ends).unwrap_or(text.len())
}

fn is_kept(c: char) -> bool {
    if c.is_ascii() { ascii_class(c as u8) != Ascii::Removed } else { unicode::class(c) != Class::Control }
}
