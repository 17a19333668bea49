//! The audit chain: how an event is committed to, how entries are linked, how a chain is verified.
//! Not here: where salts are kept and destroyed (ledgers).
//!
//! An entry's hash covers its position, its time of commit, the hash before it, and a *commitment* to the event: an
//! HMAC-SHA-256 of the event's canonical JSON under a salt that belongs to the event's subject. Destroying the salt and the
//! event leaves a digest that nobody can guess the event from, while the chain still verifies.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256};

use crate::{
    AuditEvent, ChainedEvent, Digest, Error, ErrorKind, Object, Result, Salt, Sequence, Timestamp, Value,
    value::write_canonical_object,
};

/// Separates these hashes from every other use of SHA-256.
const DOMAIN: &[u8] = b"mnemic.chain.v1\0";

/// The canonical JSON object of an event; also its wire form. Absent fields are left out.
pub fn event_object(event: &AuditEvent) -> Object {
    let mut object = Object::from([
        ("event_id".to_owned(), Value::from(event.event_id.as_str())),
        ("timestamp".to_owned(), Value::from(event.timestamp.to_string())),
        ("thread_id".to_owned(), Value::from(event.thread_id.as_str())),
        ("source".to_owned(), Value::from(event.source.as_str())),
        ("action".to_owned(), Value::from(event.action.as_str())),
        ("payload".to_owned(), Value::Object(event.payload.clone())),
        ("tags".to_owned(), Value::Array(event.tags.iter().map(|tag| Value::from(tag.as_str())).collect())),
    ]);
    if let Some(user_id) = &event.user_id {
        object.insert("user_id".to_owned(), Value::from(user_id.as_str()));
    }
    object
}

/// The keyed digest that stands for an event in the chain.
pub fn commitment(salt: &Salt, event: &AuditEvent) -> Digest {
    let mut canonical = String::with_capacity(256);
    write_canonical_object(&event_object(event), &mut canonical);
    // HMAC takes keys of any length, so the error case cannot occur; an all-zero digest would fail verification.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&salt.0) else { return Digest::default() };
    mac.update(canonical.as_bytes());
    Digest(mac.finalize().into_bytes().into())
}

/// The hash of an entry. All inputs have fixed lengths, so none can run into the next.
pub fn link(previous: &Digest, sequence: Sequence, recorded_at: Timestamp, commitment: &Digest) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update(DOMAIN);
    hasher.update(sequence.0.to_be_bytes());
    hasher.update(recorded_at.as_micros().to_be_bytes());
    hasher.update(previous.0);
    hasher.update(commitment.0);
    Digest(hasher.finalize().into())
}

/// SHA-256 of some bytes, for fingerprints of requests and exports.
pub fn digest(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

/// How long a chain was and where it ended: what to keep elsewhere, so that a cut tail or a rewritten chain is detected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// The last entry; zero for an empty chain.
    pub sequence: Sequence,
    /// Its hash; zero for an empty chain.
    pub hash: Digest,
}

/// Verifies a chain entry by entry.
#[derive(Clone, Debug, Default)]
pub struct ChainVerifier {
    reached: Checkpoint,
    anchor: Option<Checkpoint>,
    erased: u64,
}

impl ChainVerifier {
    /// Verifies from the first entry, and that the chain still holds `anchor` if one is given.
    pub fn new(anchor: Option<Checkpoint>) -> Self {
        Self { anchor, ..Self::default() }
    }

    /// Takes the next entry.
    ///
    /// # Errors
    /// `Corrupted`, naming the sequence and what does not hold.
    pub fn push(&mut self, entry: &ChainedEvent) -> Result<()> {
        let broken = |what: &str| {
            Err(Error::new(
                ErrorKind::Corrupted,
                format!("audit chain is broken at sequence {}: {what}", entry.sequence),
            ))
        };
        if entry.sequence.0 != self.reached.sequence.0 + 1 {
            return broken(&format!("it follows sequence {}", self.reached.sequence));
        }
        if entry.previous != self.reached.hash {
            return broken("it does not continue the entry before it");
        }
        match (&entry.event, &entry.salt) {
            (Some(event), Some(salt)) if commitment(salt, event) != entry.commitment => {
                return broken("the event is not the one that was committed to");
            }
            (Some(_), None) => return broken("the event has no salt"),
            (Some(_), Some(_)) => {}
            (None, _) => self.erased += 1,
        }
        if link(&entry.previous, entry.sequence, entry.recorded_at, &entry.commitment) != entry.hash {
            return broken("its hash does not cover its contents");
        }
        self.reached = Checkpoint { sequence: entry.sequence, hash: entry.hash };
        if self.anchor.is_some_and(|anchor| anchor.sequence == entry.sequence && anchor.hash != entry.hash) {
            return broken("its hash is not the one of the checkpoint; the chain was rewritten");
        }
        Ok(())
    }

    /// Ends the walk: where the chain ends now and how many entries are erased.
    ///
    /// # Errors
    /// `Corrupted` if the chain ends before the anchor.
    pub fn finish(self) -> Result<(Checkpoint, u64)> {
        match self.anchor {
            Some(anchor) if anchor.sequence > self.reached.sequence => Err(Error::new(
                ErrorKind::Corrupted,
                format!(
                    "audit chain ends at sequence {} but the checkpoint holds sequence {}; its tail was removed",
                    self.reached.sequence, anchor.sequence
                ),
            )),
            _ => Ok((self.reached, self.erased)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EventId, ThreadId};

    fn event(n: u64) -> AuditEvent {
        AuditEvent {
            event_id: EventId::new(format!("e{n}")).unwrap(),
            timestamp: Timestamp::from_micros(n as i64).unwrap(),
            user_id: None,
            thread_id: ThreadId::new("t").unwrap(),
            source: "test".into(),
            action: "happened".into(),
            payload: Object::from([("n".to_owned(), Value::from(n))]),
            tags: ["x".to_owned()].into(),
        }
    }

    fn chain(length: u64) -> Vec<ChainedEvent> {
        let mut previous = Digest::default();
        (1..=length)
            .map(|n| {
                let (salt, sequence, recorded_at) =
                    (Salt([n as u8; 32]), Sequence(n), Timestamp::from_micros(n as i64).unwrap());
                let commitment = commitment(&salt, &event(n));
                let hash = link(&previous, sequence, recorded_at, &commitment);
                let entry = ChainedEvent {
                    sequence,
                    recorded_at,
                    event: Some(event(n)),
                    salt: Some(salt),
                    commitment,
                    previous,
                    hash,
                };
                previous = hash;
                entry
            })
            .collect()
    }

    fn verify(entries: &[ChainedEvent], anchor: Option<Checkpoint>) -> Result<(Checkpoint, u64)> {
        let mut verifier = ChainVerifier::new(anchor);
        entries.iter().try_for_each(|entry| verifier.push(entry))?;
        verifier.finish()
    }

    #[test]
    fn a_whole_chain_verifies_also_after_an_erasure() {
        let mut entries = chain(5);
        assert_eq!(verify(&entries, None).unwrap().0.sequence, Sequence(5));
        entries[2].event = None;
        entries[2].salt = None;
        assert_eq!(verify(&entries, None).unwrap().1, 1);
    }

    #[test]
    fn every_change_inside_the_chain_is_found_and_its_position_named() {
        let changes: [fn(&mut Vec<ChainedEvent>); 9] = [
            |e| e[2].event.as_mut().unwrap().action.push('x'),
            |e| e[2].event.as_mut().unwrap().tags.clear(),
            |e| e[2].salt.as_mut().unwrap().0[31] ^= 1,
            |e| e[2].commitment.0[0] ^= 1,
            |e| e[2].previous.0[0] ^= 1,
            |e| e[2].hash.0[0] ^= 1,
            |e| e[2].recorded_at = Timestamp::from_micros(99).unwrap(),
            |e| drop(e.remove(2)),
            |e| e.swap(2, 3),
        ];
        for (i, change) in changes.iter().enumerate() {
            let mut entries = chain(5);
            change(&mut entries);
            let error = verify(&entries, None).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupted, "change {i}");
            assert!(error.to_string().contains("sequence 3") || error.to_string().contains("sequence 4"), "{error}");
        }
    }

    #[test]
    fn a_cut_tail_and_a_rewritten_chain_are_found_by_a_checkpoint_only() {
        let entries = chain(5);
        let anchor = verify(&entries, None).unwrap().0;
        assert!(verify(&entries[..4], None).is_ok());
        assert!(verify(&entries[..4], Some(anchor)).unwrap_err().to_string().contains("tail was removed"));
        let mut rewritten = chain(6);
        rewritten.remove(0);
        let other = Checkpoint { hash: Digest([1; 32]), ..anchor };
        assert!(verify(&entries, Some(other)).unwrap_err().to_string().contains("rewritten"));
    }

    #[test]
    fn the_commitment_cannot_be_guessed_without_the_salt() {
        assert_ne!(commitment(&Salt([1; 32]), &event(1)), commitment(&Salt([2; 32]), &event(1)));
        assert_eq!(format!("{:?}", Salt([7; 32])), "Salt(..)");
    }
}
