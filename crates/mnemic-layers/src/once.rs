//! Makes a commit repeatable: without a key of the caller it gets one of its own, before the first try. Not here: when it is repeated.

use mnemic_core::{Batch, Digest, Idempotency, Receipt};
use uuid::Uuid;

/// What keys made here begin with.
pub(crate) const PREFIX: &str = "mnemic.once.";

/// Gives the batch a key if it has none, and says whether it did. All tries must be made with the same batch.
pub(crate) fn key(batch: &mut Batch) -> bool {
    if batch.idempotency.is_some() {
        return false;
    }
    // The fingerprint is as random as the key: nothing but a repetition of this very batch may ever meet it.
    let mut fingerprint = [0; 32];
    for (to, from) in
        fingerprint.iter_mut().zip(Uuid::new_v4().into_bytes().into_iter().chain(Uuid::new_v4().into_bytes()))
    {
        *to = from;
    }
    let key = format!("{PREFIX}{}", Uuid::new_v4());
    batch.idempotency = Some(Idempotency { key, fingerprint: Digest(fingerprint) });
    true
}

/// The receipt of a batch whose key was made here: that it is an earlier try's answer is no news to a caller who asked once.
pub(crate) fn answer(receipt: Receipt) -> Receipt {
    Receipt { replayed: false, ..receipt }
}

#[cfg(test)]
mod tests {
    use mnemic_core::Timestamp;

    use super::*;

    fn batch() -> Batch {
        Batch::new(Timestamp::from_micros(0).unwrap())
    }

    #[test]
    fn a_batch_gets_a_valid_key_of_its_own_once() {
        let (mut one, mut two) = (batch(), batch());
        assert!(key(&mut one) && key(&mut two));
        let (first, second) = (one.idempotency.clone().unwrap(), two.idempotency.unwrap());
        assert_ne!(first.key, second.key);
        assert_ne!(first.fingerprint, second.fingerprint);
        assert!(Idempotency::new(first.key.clone(), first.fingerprint).is_ok());
        assert!(!key(&mut one), "a key is kept");
        assert_eq!(one.idempotency, Some(first));
    }
}
