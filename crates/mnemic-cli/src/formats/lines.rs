//! Reads a file line by line with bounded memory and a digest of everything read. Not here: what a line means (the formats).

use std::io::{self, BufRead, BufReader, Read};

use mnemic::{Digest, Error, Result};
use sha2::{Digest as _, Sha256};

/// Bytes of one line. The largest record that memory holds stays below this even if every character of its text is escaped.
pub(crate) const LINE_BYTES: usize = 2 * 1024 * 1024;

/// One line: its number from 1, its text without the line end, and what is wrong with it if it cannot be text.
#[derive(Debug)]
pub(crate) struct Line {
    /// Counted from 1.
    pub number: u64,
    /// The text, or why there is none.
    pub text: Result<String>,
}

/// Counts and digests what passes through.
#[derive(Debug)]
pub(super) struct Counted<R> {
    inner: R,
    bytes: u64,
    hasher: Sha256,
}

impl<R> Counted<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, bytes: 0, hasher: Sha256::new() }
    }

    /// Bytes read so far.
    pub(super) fn count(&self) -> u64 {
        self.bytes
    }

    /// The digest of everything that was read so far.
    pub(super) fn digest(&self) -> Digest {
        Digest(self.hasher.clone().finalize().into())
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes += read as u64;
        self.hasher.update(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// The lines of a file. A line that is too long is skipped without being held.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    inner: BufReader<Counted<R>>,
    number: u64,
}

impl<R: Read> Lines<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner: BufReader::with_capacity(64 * 1024, Counted::new(inner)), number: 0 }
    }

    /// Bytes read so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.inner.get_ref().count()
    }

    /// The digest of everything that was read so far.
    pub(crate) fn digest(&self) -> Digest {
        self.inner.get_ref().digest()
    }

    /// The next line; `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line>> {
        let mut bytes = Vec::new();
        let room = LINE_BYTES as u64 + 2;
        if self.inner.by_ref().take(room).read_until(b'\n', &mut bytes)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        let ended = bytes.last() == Some(&b'\n');
        if ended {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        }
        let text = if bytes.len() > LINE_BYTES {
            let skipped = if ended { 0 } else { self.inner.skip_until(b'\n')? };
            let found = format!("{} bytes", bytes.len() + skipped);
            Err(Error::invalid("line", format!("at most {LINE_BYTES} bytes"), found))
        } else {
            text(bytes, self.number)
        };
        Ok(Some(Line { number: self.number, text }))
    }
}

fn text(bytes: Vec<u8>, number: u64) -> Result<String> {
    let text = String::from_utf8(bytes).map_err(|source| {
        let found = format!("other bytes at byte {}", source.utf8_error().valid_up_to());
        Error::invalid("line", "UTF-8", found).with_source(source)
    })?;
    // A byte order mark is no part of what a file says.
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) if number == 1 => rest.to_owned(),
        _ => text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Vec<Line> {
        let mut lines = Lines::new(bytes);
        std::iter::from_fn(|| lines.next().unwrap()).collect()
    }

    #[test]
    fn line_ends_of_every_kind_and_a_byte_order_mark_are_no_part_of_a_line() {
        let lines = read("\u{feff}one\r\ntwo\n\nlast".as_bytes());
        let texts: Vec<&str> = lines.iter().map(|line| line.text.as_deref().unwrap()).collect();
        assert_eq!(texts, ["one", "two", "", "last"]);
        assert_eq!(lines.last().unwrap().number, 4);
    }

    #[test]
    fn a_line_at_the_limit_is_read_and_a_longer_one_is_refused_and_skipped() {
        let mut bytes = vec![b'a'; LINE_BYTES];
        bytes.push(b'\n');
        bytes.extend(vec![b'b'; LINE_BYTES + 1]);
        bytes.extend(b"\nafter\n");
        bytes.extend(vec![b'c'; 5 * LINE_BYTES]);
        bytes.extend(b"\nend");
        let lines = read(&bytes);
        assert_eq!(lines.len(), 5);
        assert_eq!(lines[0].text.as_ref().unwrap().len(), LINE_BYTES);
        for refused in [&lines[1], &lines[3]] {
            assert!(refused.text.as_ref().unwrap_err().message().contains("at most 2097152 bytes"), "{refused:?}");
        }
        assert_eq!(lines[2].text.as_deref().unwrap(), "after");
        assert_eq!(lines[4].text.as_deref().unwrap(), "end");
    }

    #[test]
    fn a_line_that_is_not_utf_8_is_refused_with_its_place_and_the_next_is_read() {
        let lines = read(b"ab\xffc\nnext");
        assert!(lines[0].text.as_ref().unwrap_err().message().contains("byte 2"));
        assert_eq!(lines[1].text.as_deref().unwrap(), "next");
    }

    #[test]
    fn the_digest_covers_every_byte() {
        let mut lines = Lines::new(&b"abc"[..]);
        while lines.next().unwrap().is_some() {}
        assert_eq!(lines.bytes(), 3);
        assert_eq!(lines.digest(), mnemic::policy::audit::digest(b"abc"));
    }
}
