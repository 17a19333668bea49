//! One entry as bytes. Not here: files full of them (`walk`).
//!
//! ```text
//! 0   4  "Mnsp"            8   8  sequence, little-endian      24  2  bytes of the lane     28  4  checksum of 0..28
//! 4   4  bytes of payload  16  8  time in microseconds         26  2  zero                  32 ..  lane, payload, checksum of both
//! ```
//!
//! Checksums begin with the stream's random number, which is only in the name of its directory. A payload therefore cannot hold bytes
//! that pass for an entry when a damaged file is searched for the next one.

use mnemic_core::Timestamp;

const MAGIC: [u8; 4] = *b"Mnsp";
/// Bytes before the lane.
pub(crate) const HEAD_BYTES: usize = 32;
const TAIL_BYTES: usize = 4;

/// What stands before an entry's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) sequence: u64,
    pub(crate) at: Timestamp,
    pub(crate) lane_bytes: u16,
    pub(crate) payload_bytes: u32,
}

impl Head {
    /// Bytes of lane, payload and their checksum.
    pub(crate) fn body_bytes(&self) -> u64 {
        u64::from(self.lane_bytes) + u64::from(self.payload_bytes) + TAIL_BYTES as u64
    }

    /// Bytes of the whole entry.
    pub(crate) fn bytes(&self) -> u64 {
        HEAD_BYTES as u64 + self.body_bytes()
    }

    /// Reads the head of an entry of a stream, if these bytes are one.
    pub(crate) fn read(stream: u64, bytes: &[u8]) -> Option<Self> {
        let (head, sum) = bytes.get(..HEAD_BYTES)?.split_last_chunk::<4>()?;
        if !head.starts_with(&MAGIC) || head_sum(stream, head) != u32::from_le_bytes(*sum) {
            return None;
        }
        Some(Self {
            payload_bytes: u32::from_le_bytes(part(head, 4)?),
            sequence: u64::from_le_bytes(part(head, 8)?),
            at: Timestamp::from_micros(i64::from_le_bytes(part(head, 16)?)).ok()?,
            lane_bytes: u16::from_le_bytes(part(head, 24)?),
        })
    }

    /// Where in `bytes` the next head of an entry may begin: there is its mark.
    pub(crate) fn find_mark(bytes: &[u8]) -> Option<usize> {
        bytes.windows(MAGIC.len()).position(|window| window == MAGIC)
    }
}

fn part<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

fn head_sum(stream: u64, head: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&stream.to_le_bytes());
    sum.update(head);
    sum.finalize()
}

/// The checksum of a body, begun; lane and payload follow.
pub(crate) fn body_sum(stream: u64, sequence: u64) -> crc32fast::Hasher {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&stream.to_le_bytes());
    sum.update(&sequence.to_le_bytes());
    sum
}

/// How long an entry is as bytes, before it is written.
pub(crate) fn length(lane: &str, payload: &[u8]) -> u64 {
    (HEAD_BYTES + lane.len() + payload.len() + TAIL_BYTES) as u64
}

/// Appends an entry. The lane is at most 255 bytes and the payload less than 4 GiB; the caller has checked both.
pub(crate) fn write(into: &mut Vec<u8>, stream: u64, sequence: u64, at: Timestamp, lane: &str, payload: &[u8]) {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    head.extend(MAGIC);
    head.extend((payload.len() as u32).to_le_bytes());
    head.extend(sequence.to_le_bytes());
    head.extend(at.as_micros().to_le_bytes());
    head.extend((lane.len() as u16).to_le_bytes());
    head.extend([0; 2]);
    let sum = head_sum(stream, &head);
    into.extend(head);
    into.extend(sum.to_le_bytes());
    let mut sum = body_sum(stream, sequence);
    for part in [lane.as_bytes(), payload] {
        sum.update(part);
        into.extend(part);
    }
    into.extend(sum.finalize().to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_reads_back_in_its_own_stream_only_and_not_after_any_flip() {
        let at = Timestamp::from_micros(-5).unwrap();
        let mut bytes = Vec::new();
        write(&mut bytes, 7, 9, at, "lane", b"payload");
        assert_eq!(bytes.len() as u64, length("lane", b"payload"));
        let head = Head::read(7, &bytes).unwrap();
        assert_eq!(head, Head { sequence: 9, at, lane_bytes: 4, payload_bytes: 7 });
        assert_eq!(head.bytes(), bytes.len() as u64);
        assert_eq!(Head::read(8, &bytes), None);
        for bit in 0..HEAD_BYTES * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Head::read(7, &flipped), None, "bit {bit}");
        }
        for short in 0..HEAD_BYTES {
            assert_eq!(Head::read(7, &bytes[..short]), None);
        }
    }
}
