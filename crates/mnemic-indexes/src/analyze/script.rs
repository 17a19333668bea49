//! Which writing system a character belongs to, as far as searching cares. Not here: which language a text is in (`language`).

/// A writing system, grouped by how its words are found and stemmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    Latin,
    Cyrillic,
    Greek,
    Arabic,
    Armenian,
    Devanagari,
    Tamil,
    /// Written without spaces between words (or, as Korean, with endings glued on): indexed as character bigrams.
    Unspaced,
    /// Digits and other numbers.
    Number,
    /// Every other alphabet: whole words, not stemmed.
    Other,
}

impl Script {
    /// The script of a lower-cased letter or number. The caller knows already that it is one.
    pub(crate) fn of(c: char) -> Self {
        if c.is_ascii() {
            return if c.is_ascii_digit() { Self::Number } else { Self::Latin };
        }
        match u32::from(c) {
            0x00AA | 0x00BA | 0x00C0..=0x02AF | 0x1E00..=0x1EFF | 0x2C60..=0x2C7F | 0xA720..=0xA7FF => Self::Latin,
            0x0370..=0x03FF | 0x1F00..=0x1FFF => Self::Greek,
            0x0400..=0x052F | 0x1C80..=0x1C8F | 0x2DE0..=0x2DFF | 0xA640..=0xA69F => Self::Cyrillic,
            0x0530..=0x058F => Self::Armenian,
            0x0600..=0x06FF | 0x0750..=0x077F | 0x08A0..=0x08FF => digit_or(c, Self::Arabic),
            0x0900..=0x097F => digit_or(c, Self::Devanagari),
            0x0B80..=0x0BFF => digit_or(c, Self::Tamil),
            0x0E00..=0x0FFF | 0x1000..=0x109F | 0x1780..=0x17FF => digit_or(c, Self::Unspaced),
            0x1100..=0x11FF
            | 0x3005..=0x3007
            | 0x3021..=0x312F
            | 0x3131..=0x318F
            | 0x31A0..=0x31FF
            | 0x3400..=0x4DBF
            | 0x4E00..=0xA4CF
            | 0xA960..=0xA97F
            | 0xAC00..=0xD7FF
            | 0xF900..=0xFAFF
            | 0x1_AFF0..=0x1_B16F
            | 0x2_0000..=0x3_FFFF => Self::Unspaced,
            _ => digit_or(c, Self::Other),
        }
    }

    /// Whether accents left over after composition are ornaments (stress marks, Zalgo) rather than part of the spelling.
    pub(crate) fn drops_loose_marks(self) -> bool {
        matches!(self, Self::Latin | Self::Cyrillic | Self::Greek | Self::Arabic | Self::Armenian | Self::Number)
    }
}

fn digit_or(c: char, letter: Script) -> Script {
    if c.is_numeric() { Script::Number } else { letter }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_script_that_is_treated_apart_is_recognized() {
        for (text, script) in [
            ("azßéłıəếʒ", Script::Latin),
            ("aя".get(1..).unwrap(), Script::Cyrillic),
            ("іїєґђљўқ", Script::Cyrillic),
            ("αώἄς", Script::Greek),
            ("سلامپ", Script::Arabic),
            ("հայ", Script::Armenian),
            ("हिन".get(..3).unwrap(), Script::Devanagari),
            ("த", Script::Tamil),
            ("猫ねコ고ไ々𠮷", Script::Unspaced),
            ("7٣५½", Script::Number),
            ("שלᎠ", Script::Other),
        ] {
            for c in text.chars() {
                assert_eq!(Script::of(c), script, "{c} U+{:04X}", u32::from(c));
            }
        }
    }
}
