//! Cuts a text into tokens: words, the parts of identifiers and their joined form, bigrams of scripts without spaces.
//! Not here: stems and term ids (`postings`), which need the text's language.
//!
//! Every character is literal; there is no query syntax. Words are not those of UAX 29, which keeps `john.smith` whole and cuts
//! Japanese into single characters; a search wants the opposite of both.

use unicode_normalization::char::is_combining_mark;

use super::{
    language::{Evidence, Languages},
    normal::normalize,
    script::Script,
};

/// Bytes of one word after which the rest of it is ignored.
const WORD_BYTES: usize = 96;
/// Parts of one identifier beyond which its joined form is of no use.
const JOINED_PARTS: usize = 8;
const JOINED_BYTES: usize = 64;

/// Whether a record is being indexed or a query read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Record,
    /// Like `Record`, without the single characters that stand beside bigrams: in a query they would only add noise.
    Query,
}

/// One token, as a range of bytes in [`Scan::word`]'s buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    start: u32,
    end: u32,
    pub(crate) script: Script,
    /// A second reading of characters that another token covers already; it does not add to the length of the text.
    pub(crate) extra: bool,
}

#[derive(Clone, Copy, Debug)]
struct Part {
    start: usize,
    end: usize,
    script: Script,
    /// What stands between the part before and this one, inside one compound.
    joint: Joint,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Joint {
    /// Nothing: letters meet digits, or one script another.
    Touching,
    By(char),
}

/// The tokens of one text, with buffers that are used again for the next.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    normal: String,
    words: String,
    compound: Vec<Part>,
    tokens: Vec<Token>,
    evidence: Evidence,
}

impl Scan {
    /// Cuts `text` into tokens, forgetting the text before.
    pub(crate) fn read(&mut self, text: &str, mode: Mode) {
        self.words.clear();
        self.tokens.clear();
        self.compound.clear();
        self.evidence =
            Evidence { latin_sample: std::mem::take(&mut self.evidence.latin_sample), ..Evidence::default() };
        self.evidence.latin_sample.clear();
        let mut normal = std::mem::take(&mut self.normal);
        normalize(text, &mut normal);
        self.cut(&normal, mode);
        self.normal = normal;
    }

    /// The tokens, in text order.
    pub(crate) fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// The characters of a token.
    pub(crate) fn word(&self, token: Token) -> &str {
        self.words.get(token.start as usize..token.end as usize).unwrap_or_default()
    }

    /// The language of each script in the text.
    pub(crate) fn languages(&self) -> Languages {
        self.evidence.languages()
    }

    fn cut(&mut self, normal: &str, mode: Mode) {
        let mut gap = Gap::Open;
        for c in normal.chars() {
            if is_of_word(c) {
                self.letter(c, gap, mode);
                gap = Gap::None;
            } else if !c.is_ascii() && is_combining_mark(c) {
                self.mark(c, gap);
            } else if gap == Gap::None && self.connects(c) {
                gap = Gap::Joint(c);
            } else {
                self.flush(mode);
                gap = Gap::Open;
            }
        }
        self.flush(mode);
    }

    fn letter(&mut self, c: char, gap: Gap, mode: Mode) {
        let script = Script::of(c);
        if !c.is_ascii() {
            self.evidence.letter(c);
        }
        if gap == Gap::None
            && let Some(part) = self.compound.last_mut()
            && part.script == script
        {
            if script == Script::Unspaced || part.end - part.start < WORD_BYTES {
                self.words.push(c);
                part.end = self.words.len();
            }
            return;
        }
        let joint = match gap {
            Gap::Joint(',') if script != Script::Number => {
                self.flush(mode);
                Joint::Touching
            }
            Gap::Joint(by) => Joint::By(by),
            Gap::None | Gap::Open => Joint::Touching,
        };
        let start = self.words.len();
        self.words.push(c);
        self.compound.push(Part { start, end: self.words.len(), script, joint });
    }

    /// A combining mark continues the word that it stands in; where it is only an ornament, it is left out.
    fn mark(&mut self, c: char, gap: Gap) {
        if gap == Gap::None
            && let Some(part) = self.compound.last_mut()
            && !part.script.drops_loose_marks()
            && part.end - part.start < WORD_BYTES
        {
            self.words.push(c);
            part.end = self.words.len();
        }
    }

    /// Whether one `c` between two words makes them parts of one compound.
    fn connects(&self, c: char) -> bool {
        match c {
            '-' | '_' | '.' | '/' | '\'' | '&' | '+' | ':' | '#' => true,
            ',' => self.compound.last().is_some_and(|part| part.script == Script::Number),
            _ => false,
        }
    }

    /// Emits the tokens of the compound that has ended.
    fn flush(&mut self, mode: Mode) {
        if self.compound.is_empty() {
            return;
        }
        let mut compound = std::mem::take(&mut self.compound);
        if let [only] = compound.as_slice() {
            self.emit_part(*only, mode);
        } else {
            self.settle_apostrophes(&mut compound);
            let mut rest = compound.as_slice();
            while !rest.is_empty() {
                let touching = rest.iter().skip(1).take_while(|part| part.joint == Joint::Touching).count();
                let (group, tail) = rest.split_at(1 + touching);
                self.emit_group(group, mode);
                rest = tail;
            }
            if compound.iter().skip(1).any(|part| part.joint != Joint::Touching) {
                self.emit_joined(&compound);
            }
        }
        compound.clear();
        self.compound = compound;
    }

    /// `caroline's` is `caroline`, `don't` is `dont`; `l'avion` and `o'brien` stay two parts.
    fn settle_apostrophes(&self, compound: &mut Vec<Part>) {
        let words = self.words.as_str();
        compound.dedup_by(|right, left| {
            if right.joint != Joint::By('\'') || left.script != Script::Latin || right.script != Script::Latin {
                return false;
            }
            match words.get(right.start..right.end).unwrap_or_default() {
                "s" => true,
                "t" | "re" | "ve" | "ll" | "d" | "m" => {
                    left.end = right.end;
                    true
                }
                _ => false,
            }
        });
    }

    /// Emits parts that touch, such as the `i` and `485` of `i485`, each and joined.
    fn emit_group(&mut self, group: &[Part], mode: Mode) {
        let [first, .., last] = group else {
            for part in group {
                self.emit_part(*part, mode);
            }
            return;
        };
        let identifier = group.iter().all(|part| matches!(part.script, Script::Latin | Script::Number));
        let end = last.end.min(first.start + JOINED_BYTES);
        if identifier && group.len() > 3 {
            // A hash or a code: its many short parts would be noise.
            self.push(first.start, end, Script::Number, false);
            return;
        }
        for part in group {
            self.emit_part(*part, mode);
        }
        if identifier {
            self.push(first.start, end, Script::Number, true);
        }
    }

    fn emit_part(&mut self, part: Part, mode: Mode) {
        if part.script == Script::Unspaced {
            self.emit_bigrams(part, mode);
            return;
        }
        if part.script == Script::Latin
            && let Some(word) = self.words.get(part.start..part.end)
        {
            self.evidence.latin_word(word);
        }
        self.push(part.start, part.end, part.script, false);
    }

    fn emit_bigrams(&mut self, part: Part, mode: Mode) {
        let mut starts: Vec<usize> = Vec::with_capacity((part.end - part.start) / 2);
        if let Some(run) = self.words.get(part.start..part.end) {
            starts.extend(run.char_indices().map(|(at, _)| part.start + at));
        }
        starts.push(part.end);
        if let [start, end] = starts.as_slice() {
            self.push(*start, *end, Script::Unspaced, false);
            return;
        }
        for window in starts.windows(3) {
            if let [start, _, end] = window {
                self.push(*start, *end, Script::Unspaced, false);
            }
        }
        if mode == Mode::Record {
            for window in starts.windows(2) {
                if let [start, end] = window {
                    self.push(*start, *end, Script::Unspaced, true);
                }
            }
        }
    }

    /// Emits `i485` for `I-485`, `email` for `e-mail`, `userid` for `user_id`; not `wellknown` for `well-known`.
    fn emit_joined(&mut self, compound: &[Part]) {
        let [first, .., last] = compound else { return };
        let identifier = compound
            .iter()
            .any(|part| part.script == Script::Number || part.end - part.start == 1 || part.joint == Joint::By('_'));
        let whole = compound.windows(2).all(|pair| matches!(pair, [left, right] if left.end == right.start));
        let plain =
            compound.iter().all(|part| matches!(part.script, Script::Latin | Script::Number | Script::Cyrillic));
        let short = compound.len() <= JOINED_PARTS && last.end - first.start <= JOINED_BYTES;
        if identifier && whole && plain && short {
            let one_script = compound.iter().all(|part| part.script == first.script);
            self.push(first.start, last.end, if one_script { first.script } else { Script::Number }, true);
        }
    }

    fn push(&mut self, start: usize, mut end: usize, script: Script, extra: bool) {
        while !self.words.is_char_boundary(end) {
            end -= 1;
        }
        self.tokens.push(Token { start: start as u32, end: end as u32, script, extra });
    }
}

/// Letters and numbers of any script; the frequent ones without a look into the tables.
fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, 'а'..='я') || (!c.is_ascii() && c.is_alphanumeric())
}

/// What lies between the last letter and the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gap {
    /// Nothing.
    None,
    /// One character that may join two parts.
    Joint(char),
    /// Anything that ends a compound.
    Open,
}
