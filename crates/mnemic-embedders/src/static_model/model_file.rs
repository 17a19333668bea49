//! The static model file: checks it once and lends out its parts without copying them.
//! Not here: its layout in prose and its writer (`scripts/static-model/model_file.py`), nor splitting texts (`tokenize`).

use std::fmt;

use super::{tokenize::Vocabulary, unicode::Scripts};

const MAGIC: &[u8] = b"MNEMSTAT";
const FORMAT: u32 = 1;
const WORDPIECE_UNCASED: u32 = 1;
/// Bytes before the checksum; the body starts after it.
const HEADER: usize = 48;

/// Why a model file cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    /// It ends before the part that is named.
    Truncated(&'static str),
    /// It is not a model file, or one of another version or tokenizer.
    Foreign,
    /// The checksum differs.
    Checksum { expected: u32, found: u32 },
    /// The parts do not add up, although the checksum is right.
    Inconsistent(&'static str),
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated(part) => write!(f, "the static model ends within its {part}"),
            Self::Foreign => write!(f, "the static model is not a WordPiece model file of format {FORMAT}"),
            Self::Checksum { expected, found } => {
                write!(f, "the static model has checksum {found:08x}, expected {expected:08x}")
            }
            Self::Inconsistent(part) => write!(f, "the static model's {part} contradict each other"),
        }
    }
}

/// A checked model file. The vector of token `i` is `scales[i]` times row `i` of `rows`.
pub(crate) struct ModelFile<'a> {
    pub(crate) name: &'a str,
    pub(crate) dimension: usize,
    pub(crate) scripts: Scripts,
    pub(crate) vocabulary: Vocabulary<'a>,
    scales: Vec<f32>,
    /// Rows of `dimension` two's-complement bytes.
    rows: &'a [u8],
}

impl fmt::Debug for ModelFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelFile")
            .field("name", &self.name)
            .field("dimension", &self.dimension)
            .field("tokens", &self.scales.len())
            .finish_non_exhaustive()
    }
}

impl<'a> ModelFile<'a> {
    /// Checks `bytes` and indexes the vocabulary.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Defect> {
        let (header, rest) = bytes.split_at_checked(HEADER).ok_or(Defect::Truncated("header"))?;
        let mut body = Reader(rest);
        let expected = body.number("header")?;
        let mut fields = Reader(header);
        if fields.take(MAGIC.len(), "header")? != MAGIC
            || fields.number("header")? != FORMAT
            || fields.number("header")? != WORDPIECE_UNCASED
        {
            return Err(Defect::Foreign);
        }
        let found = checksum(header, body.0);
        if found != expected {
            return Err(Defect::Checksum { expected, found });
        }
        let scripts = Scripts::from_bits(fields.number("header")?).ok_or(Defect::Inconsistent("scripts"))?;
        let dimension = fields.number("header")? as usize;
        let count = fields.number("header")? as usize;
        let length = fields.number("header")? as usize;
        let name = std::str::from_utf8(fields.0).ok().ok_or(Defect::Inconsistent("name"))?.trim_end_matches('\0');
        let offsets = body.take(count.saturating_add(1).saturating_mul(4), "offsets")?;
        let strings = body.take(length, "strings")?;
        let scales = body.take(count.saturating_mul(4), "scales")?;
        let rows = body.take(count.saturating_mul(dimension), "rows")?;
        if dimension == 0 || !body.0.is_empty() {
            return Err(Defect::Inconsistent("sizes"));
        }
        let scales = numbers(scales).map(f32::from_bits).collect();
        Ok(Self { name, dimension, scripts, vocabulary: vocabulary(offsets, strings)?, scales, rows })
    }

    /// Adds the vector of `token` to `sum`, which has `dimension` components. A token outside the file adds nothing.
    pub(crate) fn add(&self, token: u32, sum: &mut [f32]) {
        let token = token as usize;
        let start = token * self.dimension;
        if let (Some(&scale), Some(row)) = (self.scales.get(token), self.rows.get(start..start + self.dimension)) {
            // Multiplication and addition stay apart (no fused operation), so every machine gets the same bits.
            for (total, &component) in sum.iter_mut().zip(row) {
                *total += scale * f32::from(component.cast_signed());
            }
        }
    }
}

fn checksum(header: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(body);
    hasher.finalize()
}

fn vocabulary<'a>(offsets: &[u8], strings: &'a [u8]) -> Result<Vocabulary<'a>, Defect> {
    let count = (offsets.len() / 4).saturating_sub(1);
    let mut tokens = Vec::with_capacity(count);
    for (start, end) in numbers(offsets).zip(numbers(offsets).skip(1)) {
        tokens.push(strings.get(start as usize..end as usize).ok_or(Defect::Inconsistent("offsets"))?);
    }
    Ok(Vocabulary::new(tokens))
}

/// Little-endian numbers; a remainder of fewer than four bytes is left out.
fn numbers(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.as_chunks::<4>().0.iter().map(|chunk| u32::from_le_bytes(*chunk))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize, part: &'static str) -> Result<&'a [u8], Defect> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Defect::Truncated(part))?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self, part: &'static str) -> Result<u32, Defect> {
        numbers(self.take(4, part)?).next().ok_or(Defect::Truncated(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A model of two dimensions and the tokens `a` = (1, -2) and `##b` = (1.5, 0).
    fn tiny() -> Vec<u8> {
        let mut header = MAGIC.to_vec();
        for number in [FORMAT, WORDPIECE_UNCASED, 3, 2, 2, 4] {
            header.extend_from_slice(&number.to_le_bytes());
        }
        header.extend_from_slice(b"tiny\0\0\0\0\0\0\0\0\0\0\0\0");
        let mut body = Vec::new();
        for offset in [0u32, 1, 4] {
            body.extend_from_slice(&offset.to_le_bytes());
        }
        body.extend_from_slice(b"a##b");
        for scale in [0.5f32, 0.25] {
            body.extend_from_slice(&scale.to_le_bytes());
        }
        body.extend_from_slice(&[2, 0xFC, 6, 0]);
        let sum = checksum(&header, &body);
        [header, sum.to_le_bytes().to_vec(), body].concat()
    }

    #[test]
    fn a_row_times_its_scale_is_added() {
        let bytes = tiny();
        let model = ModelFile::read(&bytes).unwrap();
        assert_eq!((model.name, model.dimension), ("tiny", 2));
        let mut sum = [10.0, 10.0];
        model.add(0, &mut sum);
        model.add(1, &mut sum);
        model.add(2, &mut sum);
        assert_eq!(sum, [12.5, 8.0]);
    }

    #[test]
    fn every_changed_byte_is_refused() {
        let whole = tiny();
        for position in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[position] ^= 0x10;
            assert!(ModelFile::read(&bytes).is_err(), "byte {position}");
        }
    }

    #[test]
    fn every_shorter_or_longer_file_is_refused() {
        let mut bytes = tiny();
        for length in 0..bytes.len() {
            assert!(ModelFile::read(&bytes[..length]).is_err(), "length {length}");
        }
        bytes.push(0);
        assert!(ModelFile::read(&bytes).is_err());
    }

    #[test]
    fn sizes_that_contradict_a_right_checksum_are_refused() {
        for (position, number) in [(16, 4u32), (20, 3), (20, 0), (24, u32::MAX), (24, 1), (28, 3), (28, u32::MAX)] {
            let mut bytes = tiny();
            bytes[position..position + 4].copy_from_slice(&number.to_le_bytes());
            let sum = checksum(&bytes[..HEADER], &bytes[HEADER + 4..]);
            bytes[HEADER..HEADER + 4].copy_from_slice(&sum.to_le_bytes());
            let defect = ModelFile::read(&bytes).unwrap_err();
            assert!(matches!(defect, Defect::Truncated(_) | Defect::Inconsistent(_)), "{position}: {defect}");
        }
    }
}
