//! Reads the little of Python's pickle that Chroma writes beside its indexes: dictionaries of texts and whole numbers. No object is
//! ever made of it. Not here: what stands in it (`vectors`).

use std::collections::BTreeMap;

use mnemic::{Error, Result};

/// A value of a pickle.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Pickled {
    /// Nothing, a truth value, a class: nothing that is looked for.
    Other,
    /// A whole number.
    Number(i64),
    /// A text.
    Text(String),
    /// A dictionary, or the attributes of an object. Keys that are neither numbers nor texts are left out.
    Entries(BTreeMap<Key, Pickled>),
    /// Where the arguments of a later operation begin.
    Mark,
}

/// A key of a dictionary.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Number(i64),
    Text(String),
}

/// Reads a pickle.
pub(super) fn read(bytes: &[u8]) -> Result<Pickled> {
    let mut machine = Machine { bytes, at: 0, stack: Vec::new(), memo: Vec::new() };
    loop {
        if let Some(result) = machine.step()? {
            return Ok(result);
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Pickled>,
    memo: Vec<Pickled>,
}

impl Machine<'_> {
    /// Performs one operation; answers the result after the last.
    fn step(&mut self) -> Result<Option<Pickled>> {
        let operation = self.byte()?;
        match operation {
            b'.' => return self.pop().map(Some),
            // The version, and frames, which say only how long they are.
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            b'(' => self.stack.push(Pickled::Mark),
            b'}' => self.stack.push(Pickled::Entries(BTreeMap::new())),
            // Nothing, truth values, and no arguments.
            b'N' | 0x88 | 0x89 | b')' => self.stack.push(Pickled::Other),
            b'J' | b'K' | b'M' | 0x8a => self.number(operation)?,
            b'X' => {
                let length = u32::from_le_bytes(self.array()?) as usize;
                self.text(length)?;
            }
            0x8c => {
                let length = usize::from(self.byte()?);
                self.text(length)?;
            }
            // A class by its name, and an object of it without its attributes.
            b'c' => {
                self.line()?;
                self.line()?;
                self.stack.push(Pickled::Other);
            }
            0x93 => self.replace(2, Pickled::Other)?,
            0x81 => self.replace(2, Pickled::Entries(BTreeMap::new()))?,
            b'b' => self.build()?,
            0x94 => self.memo.push(self.stack.last().cloned().unwrap_or(Pickled::Other)),
            b'q' => {
                let place = usize::from(self.byte()?);
                self.remember(place)?;
            }
            b'r' => {
                let place = u32::from_le_bytes(self.array()?) as usize;
                self.remember(place)?;
            }
            b'h' => {
                let place = usize::from(self.byte()?);
                self.recall(place)?;
            }
            b'j' => {
                let place = u32::from_le_bytes(self.array()?) as usize;
                self.recall(place)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.insert(vec![key, value])?;
            }
            b'u' => self.insert_all()?,
            other => return Err(refused(&format!("the operation {other:#04x}"))),
        }
        Ok(None)
    }

    fn number(&mut self, operation: u8) -> Result<()> {
        let number = match operation {
            b'K' => i64::from(self.byte()?),
            b'M' => i64::from(u16::from_le_bytes(self.array()?)),
            b'J' => i64::from(i32::from_le_bytes(self.array()?)),
            _ => return self.long(),
        };
        self.stack.push(Pickled::Number(number));
        Ok(())
    }

    fn take(&mut self, length: usize) -> Result<&[u8]> {
        let end = self.at.checked_add(length).ok_or_else(|| refused("a length beyond it"))?;
        let taken = self.bytes.get(self.at..end).ok_or_else(|| refused("its end too early"))?;
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_length| refused("its end too early"))
    }

    fn line(&mut self) -> Result<()> {
        while self.byte()? != b'\n' {}
        Ok(())
    }

    fn text(&mut self, length: usize) -> Result<()> {
        let text = std::str::from_utf8(self.take(length)?).map_err(|_source| refused("a text that is not UTF-8"))?;
        let text = Pickled::Text(text.to_owned());
        self.stack.push(text);
        Ok(())
    }

    /// A number of any length, of which those of 64 bits are taken.
    fn long(&mut self) -> Result<()> {
        let length = usize::from(self.byte()?);
        let bytes = self.take(length)?;
        let fill = if bytes.last().is_some_and(|last| last & 0x80 != 0) { 0xff } else { 0 };
        let mut whole = [fill; 8];
        let fits = bytes.len() <= whole.len();
        whole.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        self.stack.push(if fits { Pickled::Number(i64::from_le_bytes(whole)) } else { Pickled::Other });
        Ok(())
    }

    fn pop(&mut self) -> Result<Pickled> {
        self.stack.pop().ok_or_else(|| refused("an operation without its operands"))
    }

    fn replace(&mut self, count: usize, by: Pickled) -> Result<()> {
        for _ in 0..count {
            self.pop()?;
        }
        self.stack.push(by);
        Ok(())
    }

    /// Gives an object its attributes.
    fn build(&mut self) -> Result<()> {
        let state = self.pop()?;
        self.replace(1, state)
    }

    fn remember(&mut self, place: usize) -> Result<()> {
        // Places are given out one after the other, so that nothing needs more memory than the pickle is long.
        if place > self.bytes.len() {
            return Err(refused("a place beyond it"));
        }
        if self.memo.len() <= place {
            self.memo.resize(place + 1, Pickled::Other);
        }
        if let (Some(slot), Some(top)) = (self.memo.get_mut(place), self.stack.last()) {
            slot.clone_from(top);
        }
        Ok(())
    }

    fn recall(&mut self, place: usize) -> Result<()> {
        let held = self.memo.get(place).cloned().ok_or_else(|| refused("a place that holds nothing"))?;
        self.stack.push(held);
        Ok(())
    }

    fn insert_all(&mut self) -> Result<()> {
        let mark = self.stack.iter().rposition(|held| *held == Pickled::Mark);
        let items = self.stack.split_off(mark.ok_or_else(|| refused("no mark"))?);
        self.insert(items.into_iter().skip(1).collect())
    }

    fn insert(&mut self, items: Vec<Pickled>) -> Result<()> {
        let Some(Pickled::Entries(entries)) = self.stack.last_mut() else { return Err(refused("no dictionary")) };
        let mut items = items.into_iter();
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            let key = match key {
                Pickled::Number(number) => Key::Number(number),
                Pickled::Text(text) => Key::Text(text),
                Pickled::Other | Pickled::Entries(_) | Pickled::Mark => continue,
            };
            entries.insert(key, value);
        }
        Ok(())
    }
}

fn refused(found: &str) -> Error {
    Error::invalid("index_metadata.pickle", "a pickle as Chroma writes it", found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `pickle.dumps({"id_to_label": {"a": 1, "b": 70000}, "max_seq_id": None, "n": 300}, protocol=4)`
    const PLAIN: &[u8] = b"\x80\x04\x95=\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x0bid_to_label\x94}\x94(\x8c\x01a\x94K\x01\x8c\x01b\x94Jp\x11\x01\x00u\x8c\nmax_seq_id\x94N\x8c\x01n\x94M,\x01u.";

    fn labels(pickled: Pickled) -> Vec<(Key, Pickled)> {
        let Pickled::Entries(mut entries) = pickled else { panic!("expected a dictionary, found {pickled:?}") };
        match entries.remove(&Key::Text("id_to_label".to_owned())) {
            Some(Pickled::Entries(labels)) => labels.into_iter().collect(),
            other => panic!("expected labels, found {other:?}"),
        }
    }

    #[test]
    fn dictionaries_of_texts_and_numbers_are_read() {
        let expected = [("a", 1), ("b", 70_000)];
        let expected = expected.map(|(id, label)| (Key::Text(id.to_owned()), Pickled::Number(label)));
        assert_eq!(labels(read(PLAIN).unwrap()), expected);
    }

    #[test]
    fn a_pickle_that_is_cut_or_does_something_else_is_refused() {
        for length in 0..PLAIN.len() {
            assert!(read(&PLAIN[..length]).is_err(), "{length}");
        }
        // `os.system("true")` is an operation that there is no way to perform.
        assert!(read(b"cos\nsystem\n(S'true'\ntR.").is_err());
        assert!(read(b"\x80\x04h\xff.").is_err());
    }
}
