//! Record ids as vector ids: printable ASCII, reversible, in the same order. Not here: what a vector holds.

use mnemic_core::RecordId;

/// Bytes from here on (and those above ASCII) are written in two characters; everything below stands for itself.
const FIRST_ESCAPED: u8 = b'}';
/// Characters that follow a lead.
const SECONDS: u8 = 65;
const FIRST_SECOND: u8 = b'0';

/// The vector id of a record: at most 510 of the 512 characters that Pinecone takes, ordered as record ids are.
pub(super) fn encode(id: &str) -> String {
    let mut out = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte < FIRST_ESCAPED {
            out.push(char::from(byte));
            continue;
        }
        // `}` is 0, `~` is 1, DEL cannot occur in ids, and 0x80 follows at 3.
        let place = byte - FIRST_ESCAPED;
        out.push(if place < SECONDS { '}' } else { '~' });
        // Two leads with 65 seconds each, and one more after them.
        let second = if place < SECONDS { place } else { place - SECONDS };
        out.push(char::from(FIRST_SECOND + second));
    }
    out
}

/// The record id of a vector id; `None` for an id that this adapter never wrote.
pub(super) fn decode(id: &str) -> Option<RecordId> {
    let mut bytes = Vec::with_capacity(id.len());
    let mut rest = id.bytes();
    while let Some(byte) = rest.next() {
        if byte < FIRST_ESCAPED {
            bytes.push(byte);
            continue;
        }
        let base = match byte {
            b'}' => 0,
            b'~' => SECONDS,
            _ => return None,
        };
        let place = rest.next()?.checked_sub(FIRST_SECOND)?.checked_add(base)?;
        bytes.push(place.checked_add(FIRST_ESCAPED)?);
    }
    let text = String::from_utf8(bytes).ok()?;
    let decoded = RecordId::new(&text).ok()?;
    // One record has one vector id; another spelling of it is foreign.
    (encode(&text) == id).then_some(decoded)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_id_comes_back_fits_and_keeps_its_order(a in "\\PC{1,80}", b in "\\PC{1,80}") {
            for id in [&a, &b] {
                if let Ok(id) = RecordId::new(id) {
                    let coded = encode(id.as_str());
                    prop_assert!(coded.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{coded:?}");
                    prop_assert!(coded.len() <= 512);
                    prop_assert_eq!(decode(&coded), Some(id));
                }
            }
            prop_assert_eq!(encode(&a).cmp(&encode(&b)), a.cmp(&b));
        }

        #[test]
        fn no_vector_id_is_read_wrongly(id in "[ -~]{0,40}") {
            if let Some(record) = decode(&id) {
                prop_assert_eq!(encode(record.as_str()), id);
            }
        }
    }

    #[test]
    fn the_longest_id_fits_and_foreign_ids_are_told() {
        let longest = RecordId::new("я".repeat(127)).unwrap();
        assert_eq!(encode(longest.as_str()).len(), 508);
        assert_eq!(decode(&encode(longest.as_str())), Some(longest));
        assert_eq!(decode(&encode("}~z")), Some(RecordId::new("}~z").unwrap()));
        for foreign in ["", "}", "~!", "}\u{7f}", "}a}a", "é", "~~"] {
            assert_eq!(decode(foreign), None, "{foreign:?}");
        }
    }
}
