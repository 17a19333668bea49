//! The wire form on random nouns and random bytes: what is written reads back the same, and nothing panics.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use mnemic::{
    AuditEvent, ChainedEvent, Digest, EventId, MemoryRecord, NewEvent, NewRecord, Number, Object, Precondition,
    Provenance, Ratio, RecordId, RecordKind, Salt, Sequence, SlotWrite, Slots, ThreadId, Timestamp, UserId, Value,
    Version, VersionedSlots, wire,
};
use proptest::{collection, option, prelude::*};

fn label() -> impl Strategy<Value = String> {
    "[^\\p{C}]{1,12}"
}

fn id<T>(make: impl Fn(String) -> mnemic::Result<T>) -> impl Strategy<Value = T>
where
    T: std::fmt::Debug,
{
    label().prop_map(move |text| make(text).unwrap())
}

fn timestamp() -> impl Strategy<Value = Timestamp> {
    // From year -9999 to year 9999.
    (-377_705_023_201_000_000i64..=253_402_207_200_999_999).prop_map(|micros| Timestamp::from_micros(micros).unwrap())
}

fn number() -> impl Strategy<Value = Number> {
    prop_oneof![
        any::<i64>().prop_map(Number::from),
        any::<u64>().prop_map(Number::from),
        any::<f64>().prop_filter_map("finite", Number::from_f64),
        Just(Number::parse("-0").unwrap()),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        number().prop_map(Value::Number),
        "[^\\x00]{0,16}".prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            collection::btree_map("[^\\x00]{0,8}", inner, 0..4).prop_map(Value::Object),
        ]
    })
}

fn free_object() -> impl Strategy<Value = Object> {
    collection::btree_map("[^\\x00]{0,8}", value(), 0..4)
}

fn ratio() -> impl Strategy<Value = Ratio> {
    (0.0..=1.0f64).prop_map(|value| Ratio::new("ratio", value).unwrap())
}

prop_compose! {
    fn record()(
        names in (id(RecordId::new), option::of(id(UserId::new)), option::of(id(ThreadId::new)), label()),
        kind in proptest::sample::select(RecordKind::ALL.to_vec()),
        text in "[^\\x00]{0,40}",
        labels in (collection::vec(label(), 0..3), collection::btree_set(label(), 0..3)),
        metadata in free_object(),
        ratios in (option::of(ratio()), option::of(ratio())),
        times in (timestamp(), timestamp(), timestamp(), option::of(timestamp()), option::of(timestamp())),
        superseded_by in option::of(id(RecordId::new)),
        events in collection::btree_set(id(EventId::new), 0..3),
        records in collection::btree_set(id(RecordId::new), 0..3),
        version in any::<u64>(),
    ) -> MemoryRecord {
        let (id, user_id, thread_id, source) = names;
        let (created_at, updated_at, valid_from, valid_to, expires_at) = times;
        MemoryRecord {
            superseded_by: superseded_by.filter(|other| *other != id),
            id, user_id, thread_id, source, kind,
            text: format!("x{text}"),
            path: labels.0,
            tags: labels.1,
            metadata,
            salience: ratios.0,
            confidence: ratios.1,
            created_at, updated_at, valid_from, expires_at,
            valid_to: valid_to.filter(|end| *end > valid_from),
            provenance: Provenance { events, records },
            version: Version(version),
        }
    }
}

prop_compose! {
    fn event()(
        ids in (id(EventId::new), option::of(id(UserId::new)), id(ThreadId::new)),
        timestamp in timestamp(),
        source in label(),
        action in label(),
        payload in free_object(),
        tags in collection::btree_set(label(), 0..3),
    ) -> AuditEvent {
        let (event_id, user_id, thread_id) = ids;
        AuditEvent { event_id, timestamp, user_id, thread_id, source, action, payload, tags }
    }
}

prop_compose! {
    fn entry()(
        sequence in any::<u64>(),
        recorded_at in timestamp(),
        event in option::of(event()),
        digests in any::<[[u8; 32]; 4]>(),
    ) -> ChainedEvent {
        let [salt, commitment, previous, hash] = digests;
        ChainedEvent {
            sequence: Sequence(sequence),
            recorded_at,
            salt: event.as_ref().map(|_| Salt(salt)),
            event,
            commitment: Digest(commitment),
            previous: Digest(previous),
            hash: Digest(hash),
        }
    }
}

/// What a receiver makes of what a sender wrote.
fn sent(object: &Object) -> Object {
    let line = wire::to_line(object);
    assert!(!line.contains(['\n', '\r']), "not one line: {line}");
    let read = wire::json::parse_object(&line).unwrap();
    assert_eq!(wire::to_line(&read), line, "canonical text is a fixed point");
    read
}

proptest! {
    #[test]
    fn a_record_reads_back_the_same(record in record()) {
        record.check().unwrap();
        let object = sent(&wire::record_object(&record));
        prop_assert_eq!(&wire::record_from_object(&object).unwrap(), &record);
        prop_assert_eq!(wire::new_record_from_object(&object).unwrap(), NewRecord::from(record));
    }

    #[test]
    fn an_event_reads_back_the_same(event in event()) {
        event.check().unwrap();
        let object = sent(&wire::event_object(&event));
        prop_assert_eq!(&wire::audit_event_from_object(&object).unwrap(), &event);
        prop_assert_eq!(wire::event_from_object(&object).unwrap(), NewEvent::from(event));
    }

    #[test]
    fn an_entry_of_the_chain_reads_back_the_same(entry in entry()) {
        prop_assert_eq!(wire::chained_event_from_object(&sent(&wire::chained_event_object(&entry))).unwrap(), entry);
    }

    #[test]
    fn slots_read_back_the_same_and_make_the_same_write(
        slots in collection::btree_map(label(), "[^\\x00]{0,16}", 0..4),
        version in any::<u64>(),
        updated_at in option::of(timestamp()),
    ) {
        let slots: Slots = slots;
        let versioned = VersionedSlots { slots: slots.clone(), version: Version(version), updated_at };
        let object = sent(&wire::slots_object(&versioned));
        prop_assert_eq!(wire::slots_from_object(&object).unwrap(), versioned);
        let request = Object::from([
            ("thread_id".to_owned(), Value::from("t")),
            ("slots".to_owned(), object["slots"].clone()),
            ("expect_version".to_owned(), Value::from(version)),
        ]);
        let write: SlotWrite = wire::slot_write_from_object(&request).unwrap();
        prop_assert_eq!(write.applied_to(&Slots::new()).unwrap(), slots);
        prop_assert_eq!(write.expect, Precondition::Version(Version(version)));
    }

    #[test]
    fn any_value_reads_back_as_the_same_text(value in value()) {
        let text = value.to_canonical();
        let read = wire::json::parse(&text).unwrap();
        prop_assert_eq!(read.to_canonical(), text);
        prop_assert_eq!(read, value);
    }

    #[test]
    fn any_bytes_are_read_or_refused_and_never_panic(bytes in collection::vec(any::<u8>(), 0..64)) {
        if let Err(error) = wire::json::parse(&bytes) {
            prop_assert_eq!(error.field(), Some("json"));
        }
    }

    #[test]
    fn a_damaged_record_is_read_or_refused_and_never_panics(
        record in record(), field in any::<proptest::sample::Index>(), value in value(),
    ) {
        let mut object = wire::record_object(&record);
        let key = field.get(&object.keys().cloned().collect::<Vec<_>>()).clone();
        object.insert(key, value);
        if let Ok(read) = wire::record_from_object(&object) {
            // What was accepted is a whole record again.
            read.check().unwrap();
            prop_assert_eq!(wire::record_from_object(&wire::record_object(&read)).unwrap(), read);
        }
        let _draft = wire::new_record_from_object(&object);
    }
}
