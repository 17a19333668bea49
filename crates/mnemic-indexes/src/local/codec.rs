//! Bytes of a snapshot: little-endian numbers, counted strings, JSON values. Not here: what a snapshot consists of (`snapshot`).
//!
//! The reader trusts nothing: it never reads beyond the end and never allocates more than the bytes that are left could fill.

use mnemic_core::{Number, Object, Value};

/// Why bytes cannot be read. One word for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// Deeper metadata than any ledger accepts.
const DEPTH: usize = 32;

/// Collects bytes.
#[derive(Debug, Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A count. Everything that is counted here fits 32 bits, because ordinals do.
    pub(crate) fn count(&mut self, count: usize) {
        self.u32(count as u32);
    }

    pub(crate) fn string(&mut self, value: &str) {
        self.count(value.len());
        self.0.extend_from_slice(value.as_bytes());
    }

    pub(crate) fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.u8(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    pub(crate) fn u32s(&mut self, values: &[u32]) {
        for value in values {
            self.u32(*value);
        }
    }

    pub(crate) fn u16s(&mut self, values: &[u16]) {
        for value in values {
            self.0.extend_from_slice(&value.to_le_bytes());
        }
    }

    /// Embeddings are most of a snapshot, so they are written in one sweep.
    pub(crate) fn f32s(&mut self, values: &[f32]) {
        let start = self.0.len();
        self.0.resize(start + values.len() * 4, 0);
        let (places, _) = self.0.get_mut(start..).unwrap_or_default().as_chunks_mut::<4>();
        for (place, value) in places.iter_mut().zip(values) {
            *place = value.to_le_bytes();
        }
    }

    pub(crate) fn object(&mut self, object: &Object) {
        self.count(object.len());
        for (key, value) in object {
            self.string(key);
            self.value(value);
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.u8(0),
            Value::Bool(value) => self.u8(1 + u8::from(*value)),
            Value::Number(number) => {
                if let Some(value) = number.as_i64() {
                    self.u8(3);
                    self.i64(value);
                } else if let Some(value) = number.as_u64() {
                    self.u8(4);
                    self.u64(value);
                } else {
                    self.u8(5);
                    self.u64(number.as_f64().to_bits());
                }
            }
            Value::String(text) => {
                self.u8(6);
                self.string(text);
            }
            Value::Array(items) => {
                self.u8(7);
                self.count(items.len());
                for item in items {
                    self.value(item);
                }
            }
            Value::Object(object) => {
                self.u8(8);
                self.object(object);
            }
        }
    }
}

/// Takes bytes apart.
#[derive(Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed("it ends too early"))?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_le_bytes)
    }

    /// A count of things that take at least `least` bytes each.
    pub(crate) fn count(&mut self, least: usize) -> Result<usize, Malformed> {
        let count = self.u32()? as usize;
        if count.saturating_mul(least) > self.0.len() {
            Err(Malformed("it counts more than it holds"))
        } else {
            Ok(count)
        }
    }

    pub(crate) fn string(&mut self) -> Result<&'a str, Malformed> {
        let length = self.count(1)?;
        std::str::from_utf8(self.bytes(length)?).map_err(|_not_utf8| Malformed("a text is not UTF-8"))
    }

    pub(crate) fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        match self.u8()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(Malformed("a mark of presence is neither 0 nor 1")),
        }
    }

    pub(crate) fn u32s(&mut self, count: usize) -> Result<Vec<u32>, Malformed> {
        let (numbers, _) = self.bytes(count.saturating_mul(4))?.as_chunks();
        Ok(numbers.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect())
    }

    pub(crate) fn u16s(&mut self, count: usize) -> Result<Vec<u16>, Malformed> {
        let (numbers, _) = self.bytes(count.saturating_mul(2))?.as_chunks();
        Ok(numbers.iter().map(|bytes| u16::from_le_bytes(*bytes)).collect())
    }

    pub(crate) fn f32s(&mut self, count: usize) -> Result<Vec<f32>, Malformed> {
        let (numbers, _) = self.bytes(count.saturating_mul(4))?.as_chunks();
        Ok(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    pub(crate) fn object(&mut self) -> Result<Object, Malformed> {
        self.object_at(0)
    }

    fn object_at(&mut self, depth: usize) -> Result<Object, Malformed> {
        let count = self.count(5)?;
        (0..count).map(|_| Ok((self.string()?.to_owned(), self.value(depth + 1)?))).collect()
    }

    fn value(&mut self, depth: usize) -> Result<Value, Malformed> {
        if depth > DEPTH {
            return Err(Malformed("metadata is nested too deeply"));
        }
        Ok(match self.u8()? {
            0 => Value::Null,
            1 => Value::Bool(false),
            2 => Value::Bool(true),
            3 => Value::from(self.i64()?),
            4 => Value::from(self.u64()?),
            5 => {
                Value::Number(Number::from_f64(f64::from_bits(self.u64()?)).ok_or(Malformed("a number is not finite"))?)
            }
            6 => Value::from(self.string()?),
            7 => {
                let count = self.count(1)?;
                Value::Array((0..count).map(|_| self.value(depth + 1)).collect::<Result<_, _>>()?)
            }
            8 => Value::Object(self.object_at(depth)?),
            _ => return Err(Malformed("a metadata value has an unknown type")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_back_as_they_were() {
        let object = Object::from([
            (
                "a".to_owned(),
                Value::Array(vec![Value::Null, true.into(), false.into(), (-1i64).into(), u64::MAX.into()]),
            ),
            (
                "ё".to_owned(),
                Value::Object(Object::from([(
                    "x".to_owned(),
                    Number::from_f64(0.1).map_or(Value::Null, Value::Number),
                )])),
            ),
        ]);
        let mut writer = Writer::default();
        writer.object(&object);
        assert_eq!(Reader(&writer.0).object(), Ok(object));
    }

    #[test]
    fn counts_beyond_the_bytes_that_are_left_are_refused_before_allocating() {
        let huge = [0xFF; 12];
        assert!(Reader(&huge).object().is_err());
        assert!(Reader(&huge).string().is_err());
        assert!(Reader(&huge).u32s(usize::MAX).is_err());
        let mut nested = Writer::default();
        nested.count(1);
        nested.string("k");
        (0..100_000).for_each(|_| {
            nested.u8(7);
            nested.count(1);
        });
        assert_eq!(Reader(&nested.0).object(), Err(Malformed("metadata is nested too deeply")));
    }
}
