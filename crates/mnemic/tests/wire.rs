//! The wire form on chosen inputs: committed fixtures, and what is refused in which words. Not here: random nouns (`wire_round_trip`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use mnemic::{
    AuditEvent, ChainedEvent, Digest, Embedding, EmbeddingModel, Error, ErrorKind, EventId, Explanation, Filter, Hit,
    Leg, LegScore, MemoryRecord, Metric, NewRecord, Object, Precondition, PriorFactor, Provenance, Ratio, RecordId,
    RecordKind, Retry, Revision, RevisionKind, Salt, Sequence, SlotMode, ThreadId, ThreadSummary, Timestamp, UserId,
    Value, Version, VersionedSlots, limits, wire,
};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn object(text: &str) -> Object {
    wire::json::parse_object(text).unwrap()
}

fn full_record() -> MemoryRecord {
    let mut record = MemoryRecord::new(
        RecordId::new("r-1").unwrap(),
        "The O-1A filing fee is \"paid\".\nЧек у Анны — ёлка ✓",
        at("2026-01-31T09:30:00.123456Z"),
    );
    record.user_id = Some(UserId::new("anna").unwrap());
    record.thread_id = Some(ThreadId::new("case-7").unwrap());
    record.kind = RecordKind::OpenLoop;
    record.path = vec!["case".into(), "o1a".into()];
    record.tags = ["fee".to_owned(), "дело".to_owned()].into();
    record.metadata = object(
        r#"{"big":9223372036854775808,"minus_zero":-0,"sum":0.30000000000000004,"nested":{"list":[null,true,-1.5]}}"#,
    );
    record.source = "agent".into();
    record.salience = Some(Ratio::new("salience", 0.1).unwrap());
    record.confidence = Some(Ratio::ONE);
    record.updated_at = at("2026-02-01T00:00:00Z");
    record.valid_to = Some(at("2027-01-01T00:00:00Z"));
    record.expires_at = Some(at("2028-01-01T00:00:00Z"));
    record.superseded_by = Some(RecordId::new("r-2").unwrap());
    record.provenance =
        Provenance { events: [EventId::new("e-1").unwrap()].into(), records: [RecordId::new("r-0").unwrap()].into() };
    record.version = Version(3);
    record
}

fn event() -> AuditEvent {
    AuditEvent {
        event_id: EventId::new("e-1").unwrap(),
        timestamp: at("2026-01-31T09:30:00Z"),
        user_id: Some(UserId::new("anna").unwrap()),
        thread_id: ThreadId::new("case-7").unwrap(),
        source: "agent".into(),
        action: "message".into(),
        payload: object(r#"{"text":"Привет","n":1}"#),
        tags: ["intake".to_owned()].into(),
    }
}

fn entry() -> ChainedEvent {
    ChainedEvent {
        sequence: Sequence(7),
        recorded_at: at("2026-01-31T09:30:01Z"),
        event: Some(event()),
        salt: Some(Salt([0x5a; 32])),
        commitment: Digest([0x01; 32]),
        previous: Digest([0x02; 32]),
        hash: Digest([0xff; 32]),
    }
}

/// Checks that the noun is written as the fixture says, byte for byte, and that the fixture is canonical.
#[track_caller]
fn golden(fixture: &str, written: &Object) {
    let line = fixture.strip_suffix('\n').expect("a fixture is one line");
    assert_eq!(wire::to_line(written), line);
    assert_eq!(wire::to_line(&object(line)), line, "the fixture is not canonical");
}

#[test]
fn a_record_is_written_as_its_fixture_and_read_back_whole() {
    golden(include_str!("golden/record.json"), &wire::record_object(&full_record()));
    assert_eq!(wire::record_from_object(&object(include_str!("golden/record.json"))).unwrap(), full_record());
    let small = MemoryRecord::new(RecordId::new("r").unwrap(), "x", at("2026-01-01T00:00:00Z"));
    golden(include_str!("golden/record-minimal.json"), &wire::record_object(&small));
    assert_eq!(wire::record_from_object(&object(include_str!("golden/record-minimal.json"))).unwrap(), small);
}

#[test]
fn an_event_and_its_place_in_the_chain_are_written_as_their_fixtures() {
    golden(include_str!("golden/event.json"), &wire::event_object(&event()));
    assert_eq!(wire::audit_event_from_object(&object(include_str!("golden/event.json"))).unwrap(), event());
    golden(include_str!("golden/chained-event.json"), &wire::chained_event_object(&entry()));
    assert_eq!(wire::chained_event_from_object(&object(include_str!("golden/chained-event.json"))).unwrap(), entry());
    let erased = ChainedEvent { event: None, salt: None, ..entry() };
    golden(include_str!("golden/chained-event-erased.json"), &wire::chained_event_object(&erased));
    let read = wire::chained_event_from_object(&object(include_str!("golden/chained-event-erased.json"))).unwrap();
    assert_eq!(read, erased);
}

#[test]
fn a_hit_is_written_with_the_scores_of_each_leg_as_short_as_they_are() {
    let explanation = Explanation {
        legs: vec![
            LegScore { leg: Leg::Dense, rank: 1, raw: 0.1, contribution: 0.4 },
            LegScore { leg: Leg::Lexical, rank: 12, raw: 7.25, contribution: 0.1 },
        ],
        fused: 0.5,
        priors: vec![PriorFactor { name: "recency", factor: 0.99 }],
        rerank: Some(-1.5e-7),
        repeats: Some(RecordId::new("r-9").unwrap()),
    };
    let record = MemoryRecord::new(RecordId::new("r").unwrap(), "x", at("2026-01-01T00:00:00Z"));
    let hit = Hit { record, score: 0.495, explanation };
    golden(include_str!("golden/hit.json"), &wire::hit_object(&hit));
}

#[test]
fn slots_threads_and_revisions_are_written_as_their_fixtures() {
    let slots = VersionedSlots {
        slots: [("persona".to_owned(), "кратко".to_owned()), ("open_loops".to_owned(), String::new())].into(),
        version: Version(2),
        updated_at: Some(at("2026-01-01T00:00:00Z")),
    };
    golden(include_str!("golden/slots.json"), &wire::slots_object(&slots));
    assert_eq!(wire::slots_from_object(&object(include_str!("golden/slots.json"))).unwrap(), slots);
    let thread = ThreadSummary {
        thread_id: ThreadId::new("case-7").unwrap(),
        events: 3,
        first: Sequence(2),
        last: Sequence(9),
        last_at: at("2026-01-01T00:00:00Z"),
    };
    golden(include_str!("golden/thread.json"), &wire::thread_summary_object(&thread));
    assert_eq!(wire::thread_summary_from_object(&object(include_str!("golden/thread.json"))).unwrap(), thread);
    let at = at("2026-03-01T00:00:00Z");
    let deleted = Revision { at, what: RevisionKind::Deleted(Version(4)) };
    golden(include_str!("golden/revision-deleted.json"), &wire::revision_object(&deleted));
    for revision in [deleted, Revision { at, what: RevisionKind::Written(Box::new(full_record())) }] {
        assert_eq!(wire::revision_from_object(&wire::revision_object(&revision)).unwrap(), revision);
    }
}

#[test]
fn an_error_is_written_without_its_cause_and_context() {
    let error = Error::new(ErrorKind::RateLimited, "the embedder asks to wait")
        .with_retry(Retry::After(std::time::Duration::from_millis(1500)))
        .with_context("host", "secret.example")
        .with_source(std::io::Error::other("secret"));
    golden(include_str!("golden/error.json"), &wire::error_object(&error));
    let error = Error::invalid("limit", "1 to 1000", 0);
    let line = wire::to_line(&wire::error_object(&error));
    let expected =
        r#"{"field":"limit","kind":"invalid_input","message":"limit: expected 1 to 1000, found 0","retry":"never"}"#;
    assert_eq!(line, expected);
}

#[test]
fn text_that_is_not_one_json_value_is_refused_with_its_place() {
    let deep = "[".repeat(100_000);
    let cases: [(&[u8], &str, &str); 18] = [
        (b"", "end too early", "line 1, byte 0"),
        (b"{\"a\": 1", "end too early", "line 1, byte "),
        (b"{\"a\":\n \"b", "end too early", "line 2, byte "),
        (b"{\"a\": 1} x", "trailing", "line 1, byte 9"),
        (b"{}\n{}", "trailing", "line 2, byte 3"),
        (b"{}\0", "trailing", "line 1, byte 2"),
        (b"\0", "fault", "line 1, byte 0"),
        (b"\xef\xbb\xbf{}", "byte order mark", "line 1, byte 0"),
        (b"{\"a\": \"\x00\"}", "control character", "line 1, byte "),
        (b"{\"a\":\n\"\xff\"}", "UTF-8", "line 2, byte 7"),
        (br#"{"a": "\ud800"}"#, "surrogate", "line 1, byte "),
        (br#"{"a": "\udc00x"}"#, "surrogate", "line 1, byte "),
        (br#"{"namespace": "a", "namespace": "b"}"#, "\"namespace\" twice", "line 1, byte "),
        (br#"{"a": {"b": 1, "b": 1}}"#, "\"b\" twice", "line 1, byte "),
        (br#"{"a": 1e400}"#, "range of a double", "line 1, byte "),
        (br#"{"a": 18446744073709551616}"#, "write larger ones as a string", "line 1, byte "),
        (b"[NaN]", "fault", "line 1, byte 1"),
        (deep.as_bytes(), "at most 32 levels", "line 1, byte "),
    ];
    for (input, fault, place) in cases {
        let shown = String::from_utf8_lossy(&input[..input.len().min(40)]).into_owned();
        let error = wire::json::parse(input).expect_err(&shown);
        assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some("json")), "{shown}");
        assert!(error.to_string().contains(fault), "{shown}: {error}");
        assert!(error.to_string().contains(place), "{shown}: {error}");
    }
}

#[test]
fn nesting_up_to_the_limit_is_read() {
    let at_limit = format!("{}{}", "[".repeat(wire::json::DEPTH), "]".repeat(wire::json::DEPTH));
    wire::json::parse(&at_limit).unwrap();
    wire::json::parse(format!("[{at_limit}]")).unwrap_err();
    let empty_inside = "{\"a\":".repeat(31) + "{}" + &"}".repeat(31);
    wire::json::parse(empty_inside).unwrap();
}

#[test]
fn another_value_than_an_object_is_refused_where_an_object_is_needed() {
    let error = wire::json::parse_object("[1]").unwrap_err();
    assert_eq!(error.to_string(), "json: expected an object, found a list of 1");
}

#[test]
fn a_number_comes_back_as_it_was() {
    for literal in
        ["9223372036854775808", "18446744073709551615", "-9223372036854775808", "0.30000000000000004", "5e-324"]
    {
        assert_eq!(wire::json::parse(literal).unwrap().to_canonical(), literal);
    }
    assert_eq!(wire::json::parse("-0").unwrap().to_canonical(), "-0.0");
    assert_eq!(wire::json::parse("-0.0").unwrap().to_canonical(), "-0.0");
    // The name by which the JSON library marks numbers is an ordinary key in a text.
    let forged = r#"{"$serde_json::private::Number":"5"}"#;
    assert_eq!(wire::json::parse(forged).unwrap().to_canonical(), forged);
}

#[track_caller]
fn refused(text: &str, field: &str, said: &str) {
    let error = wire::new_record_from_object(&object(text)).expect_err(text);
    assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some(field)), "{text}: {error}");
    assert!(error.to_string().contains(said), "{text}: {error}");
}

#[test]
fn an_unknown_key_is_named_with_the_nearest_known_one() {
    refused(r#"{"text":"x","metdata":{}}"#, "metdata", r#"found "metdata" (did you mean metadata?)"#);
    refused(r#"{"text":"x","usr_id":"u","zzzzzzzzzz":1}"#, "usr_id", r#"(did you mean user_id?), "zzzzzzzzzz""#);
    refused("{\"text\":\"x\",\"a\\u0007\":1}", "keys", r#""a\u{7}""#);
    refused(r#"{"text":"x","provenance":{"event":[]}}"#, "provenance.event", "did you mean events?");
    let many: Object = (0..1000).map(|i| (format!("k{i}"), Value::Null)).collect();
    let error = wire::new_record_from_object(&many).unwrap_err();
    assert!(error.to_string().len() < 600 && error.to_string().ends_with("and more"), "{error}");
}

#[test]
fn the_older_names_are_read_and_never_written() {
    let text = r#"{"text":"x","type":"persona","decay_at":"2027-01-01T00:00:00Z"}"#;
    let draft = wire::new_record_from_object(&object(text)).unwrap();
    assert_eq!((draft.kind, draft.expires_at), (Some(RecordKind::Persona), Some(at("2027-01-01T00:00:00Z"))));
    let record = draft.into_record(RecordId::new("r").unwrap(), at("2026-01-01T00:00:00Z"));
    let written = wire::record_object(&record);
    assert!(!written.contains_key("type") && !written.contains_key("decay_at"));
    refused(r#"{"text":"x","type":"persona","kind":"semantic"}"#, "kind", "kind and type, its older name");
    // An event has neither field, so the older names are unknown there.
    let text = r#"{"thread_id":"t","source":"s","action":"a","type":"x"}"#;
    assert_eq!(wire::event_from_object(&object(text)).unwrap_err().field(), Some("type"));
}

#[test]
fn a_wrong_value_is_refused_by_field() {
    let long_id = format!(r#"{{"text":"x","id":"{}"}}"#, "x".repeat(1 << 20));
    let long_text = format!(r#"{{"text":"{}"}}"#, "x".repeat(limits::TEXT_BYTES + 1));
    let cases = [
        ("{}", "text", "found nothing"),
        (r#"{"text":null}"#, "text", "found nothing"),
        (r#"{"text":7}"#, "text", "expected a string, found 7"),
        (r#"{"text":" \n"}"#, "text", "only white space"),
        (r#"{"text":"a\u0000b"}"#, "text", "NUL at byte 1"),
        (&long_text, "text", "262145 bytes"),
        (r#"{"text":"x","id":""}"#, "id", "an empty string"),
        (&long_id, "id", "1048576 bytes"),
        (r#"{"text":"x","id":"a\u0000"}"#, "id", "control characters"),
        (r#"{"text":"x","tags":"a"}"#, "tags", "a list"),
        (r#"{"text":"x","tags":["a",1]}"#, "tags[1]", "a string"),
        (r#"{"text":"x","path":["a","b\u0000"]}"#, "path[1]", "control characters"),
        (r#"{"text":"x","metadata":[]}"#, "metadata", "an object"),
        (r#"{"text":"x","metadata":{"a":"b\u0000"}}"#, "metadata", "NUL"),
        (r#"{"text":"x","salience":1.5}"#, "salience", "from 0 to 1"),
        (r#"{"text":"x","salience":"high"}"#, "salience", "a number"),
        (r#"{"text":"x","kind":"semantik"}"#, "kind", "did you mean semantic?"),
        (r#"{"text":"x","created_at":"2026-01-31T09:30:00"}"#, "created_at", "RFC 3339"),
        (r#"{"text":"x","created_at":"10000-01-01T00:00:00Z"}"#, "created_at", "RFC 3339"),
        (r#"{"text":"x","valid_to":"-271821-04-20T00:00:00Z"}"#, "valid_to", "RFC 3339"),
        (r#"{"text":"x","decay_at":1767225600}"#, "expires_at", "as a string"),
        (r#"{"text":"x","superseded_by":""}"#, "superseded_by.id", "an empty string"),
        (r#"{"text":"x","provenance":{"events":["a",""]}}"#, "provenance.events[1].event_id", "empty"),
        (r#"{"text":"x","expect_version":-1}"#, "expect_version", "whole number"),
        (r#"{"text":"x","version":1.5}"#, "version", "whole number"),
    ];
    for (text, field, said) in cases {
        refused(text, field, said);
    }
}

#[test]
fn an_embedding_that_single_precision_cannot_hold_is_refused_by_position() {
    refused(r#"{"text":"x","embedding":[1,1.79e308]}"#, "embedding[1]", "finite in single precision");
    refused(r#"{"text":"x","embedding":[0.5,"NaN"]}"#, "embedding[1]", "a number");
    refused(r#"{"text":"x","embedding":[]}"#, "embedding", "found 0 numbers");
    refused(r#"{"text":"x","embedding":[0,-0,1e-60]}"#, "embedding", "only zeros");
    refused(r#"{"text":"x","embedding":"AAAA"}"#, "embedding", "a list");
    let wide = format!(r#"{{"text":"x","embedding":[{}1]}}"#, "1,".repeat(limits::DIMENSIONS as usize));
    refused(&wide, "embedding", "found 8193 numbers");
    let draft = wire::new_record_from_object(&object(r#"{"text":"x","embedding":[1,-0,1e-45]}"#)).unwrap();
    let model = EmbeddingModel::new("test", "m", 3, Metric::Cosine).unwrap();
    assert!(Embedding::new(&model, draft.embedding.unwrap()).is_ok());
}

#[test]
fn a_leap_second_and_an_offset_are_normalized() {
    let text = r#"{"text":"x","created_at":"2016-12-31T23:59:60Z","valid_from":"2026-01-31T12:30:00+03:00"}"#;
    let draft = wire::new_record_from_object(&object(text)).unwrap();
    assert_eq!(draft.created_at.unwrap().to_string(), "2016-12-31T23:59:59Z");
    assert_eq!(draft.valid_from.unwrap().to_string(), "2026-01-31T09:30:00Z");
}

#[test]
fn a_draft_takes_what_it_is_not_told_from_the_call() {
    let now = at("2026-06-01T00:00:00Z");
    let id = || RecordId::new("minted").unwrap();
    let draft = wire::new_record_from_object(&object(r#"{"text":"x","user_id":null,"expect_version":0}"#)).unwrap();
    assert_eq!(draft, NewRecord::new("x").with_expect(Precondition::Version(Version::NONE)));
    assert_eq!(draft.into_record(id(), now), MemoryRecord::new(id(), "x", now));
    let past = at("2020-01-01T00:00:00Z");
    let record = NewRecord::new("x").with_created_at(past).into_record(id(), now);
    assert_eq!((record.created_at, record.valid_from, record.updated_at), (past, past, now));
    // A record that was read can be written back as it is.
    let again = wire::new_record_from_object(&wire::record_object(&full_record())).unwrap();
    assert_eq!(again, NewRecord::from(full_record()));
    assert_eq!(again.into_record(id(), now), MemoryRecord { version: Version::NONE, ..full_record() });
}

#[test]
fn a_whole_record_must_be_whole_and_hold_together() {
    for field in ["id", "text", "kind", "source", "created_at", "updated_at", "valid_from", "version"] {
        let mut cut = wire::record_object(&full_record());
        cut.remove(field);
        assert_eq!(wire::record_from_object(&cut).unwrap_err().field(), Some(field));
    }
    let mut broken = wire::record_object(&full_record());
    broken.insert("valid_to".into(), "2020-01-01T00:00:00Z".into());
    assert_eq!(wire::record_from_object(&broken).unwrap_err().field(), Some("valid_to"));
    let mut with_vector = wire::record_object(&full_record());
    with_vector.insert("embedding".into(), Value::Array(vec![1i64.into()]));
    assert_eq!(wire::record_from_object(&with_vector).unwrap_err().field(), Some("embedding"));
}

#[test]
fn an_event_needs_thread_source_and_action_and_nothing_else() {
    let text = r#"{"thread_id":"t","source":"s","action":"a"}"#;
    let draft = wire::event_from_object(&object(text)).unwrap();
    assert_eq!((draft.event_id.as_ref(), draft.timestamp), (None, None));
    for field in ["thread_id", "source", "action"] {
        let mut cut = object(text);
        cut.remove(field);
        assert_eq!(wire::event_from_object(&cut).unwrap_err().field(), Some(field));
    }
    assert_eq!(wire::audit_event_from_object(&object(text)).unwrap_err().field(), Some("timestamp"));
}

#[test]
fn an_entry_of_the_chain_is_erased_or_has_its_event() {
    let mut neither = wire::chained_event_object(&entry());
    neither.remove("event");
    assert_eq!(wire::chained_event_from_object(&neither).unwrap_err().field(), Some("event"));
    let mut both = wire::chained_event_object(&entry());
    both.insert("erased".into(), true.into());
    assert_eq!(wire::chained_event_from_object(&both).unwrap_err().field(), Some("event"));
    for hash in ["", "FF", &"F".repeat(64), &"0".repeat(63), &"ё".repeat(32)] {
        let mut wrong = wire::chained_event_object(&entry());
        wrong.insert("hash".into(), hash.into());
        assert_eq!(wire::chained_event_from_object(&wrong).unwrap_err().field(), Some("hash"), "{hash}");
    }
}

#[test]
fn a_change_of_slots_sets_removes_and_is_refused_by_slot() {
    let text = r#"{"thread_id":"t","slots":{"a":"1","b":null},"mode":"replace","expect_version":2}"#;
    let write = wire::slot_write_from_object(&object(text)).unwrap();
    assert_eq!(write.changes, [("a".to_owned(), Some("1".to_owned())), ("b".to_owned(), None)].into());
    assert_eq!((write.mode, write.expect), (SlotMode::Replace, Precondition::Version(Version(2))));
    let refused = |text: &str| wire::slot_write_from_object(&object(text)).unwrap_err();
    assert_eq!(refused(r#"{"thread_id":"t","slots":{"a":1}}"#).field(), Some("slots.a"));
    assert_eq!(refused(r#"{"thread_id":"t","slots":{"a":"\u0000"}}"#).field(), Some("slots.a"));
    assert_eq!(refused(r#"{"thread_id":"t"}"#).field(), Some("slots"));
    let error = refused(r#"{"thread_id":"t","slots":{},"mode":"replac"}"#);
    assert!(error.to_string().contains("did you mean replace?"), "{error}");
}

#[test]
fn a_filter_is_read_from_an_object_of_the_wire() {
    let filter = Filter::from_object(&object(r#"{"metadata.big":{"gte":9223372036854775808}}"#)).unwrap();
    assert!(filter.matches(&full_record()));
    assert!(wire::json::parse_object(r#"{"text":"a","text":"b"}"#).is_err());
}
