//! Lies about records, their revisions and their embeddings. Not here: events, slots, work, the feed and what was erased (`others`).

use std::collections::BTreeSet;

use mnemic_core::{Embedding, EmbeddingModel, EventId, Metric, PastChange, Ratio, ThreadId, UserId, Value};

use super::{
    Counts::{Equal, Other},
    Lie,
    lived::{at, changes, embedding, id, metadata, number, of_components, place, revision, written},
};

/// What each lie is about, what the comparison must say, whether counts tell, and the lie.
pub(crate) const LIES: &[Lie] = &[
    ("a character of the text", "\"a\" differs in text", Equal, |c| {
        "The fee is 2806.".clone_into(&mut revision(c, "a", 2).text);
    }),
    ("a space at the end", "\"b\" differs in text", Equal, |c| revision(c, "b", 1).text.push(' ')),
    ("an accent in another form", "\"b\" differs in text", Equal, |c| {
        let text = &mut revision(c, "b", 1).text;
        *text = text.replace('é', "e\u{301}");
    }),
    ("a superseded text", "revision 2 of record \"a\"", Equal, |c| revision(c, "a", 1).text.push('!')),
    ("two revisions changed places", "revision 2 of record \"a\"", Equal, |c| {
        let (old, new) = (revision(c, "a", 1).text.clone(), revision(c, "a", 2).text.clone());
        revision(c, "a", 1).text = new;
        revision(c, "a", 2).text = old;
    }),
    ("the text of a deleted record", "record \"gone\"", Equal, |c| "x".clone_into(&mut revision(c, "gone", 1).text)),
    ("texts of two records changed places", "\"b\" differs in text", Equal, |c| {
        let (first, second) = (revision(c, "a", 2).text.clone(), revision(c, "b", 1).text.clone());
        revision(c, "a", 2).text = second;
        revision(c, "b", 1).text = first;
    }),
    ("a rounded float", "\"b\" differs in metadata", Equal, |c| metadata(c, "ratio", number(0.3))),
    ("a zero below zero", "\"b\" differs in metadata", Equal, |c| metadata(c, "zero", number(-0.0))),
    ("a whole number as a double", "\"b\" differs in metadata", Equal, |c| metadata(c, "page", number(3.0))),
    ("a whole number through a double", "\"b\" differs in metadata", Equal, |c| {
        metadata(c, "long", Value::from(9_007_199_254_740_992_u64));
    }),
    ("a number as text", "\"b\" differs in metadata", Equal, |c| metadata(c, "page", Value::from("3"))),
    ("a truth as text", "\"b\" differs in metadata", Equal, |c| metadata(c, "sure", Value::from("true"))),
    ("a turned list", "\"b\" differs in metadata", Equal, |c| {
        metadata(c, "list", Value::from(vec![Value::from(2_u64), Value::from(1_u64)]));
    }),
    ("a lost key", "\"b\" differs in metadata", Equal, |c| drop(revision(c, "b", 1).metadata.remove("page"))),
    ("a lost key that held nothing", "\"b\" differs in metadata", Equal, |c| {
        drop(revision(c, "b", 1).metadata.remove("nothing"));
    }),
    ("a lost tag", "\"b\" differs in tags", Equal, |c| revision(c, "b", 1).tags.clear()),
    ("a tag in capitals", "\"b\" differs in tags", Equal, |c| {
        revision(c, "b", 1).tags = BTreeSet::from(["Fee".to_owned()]);
    }),
    ("a turned path", "\"b\" differs in path", Equal, |c| revision(c, "b", 1).path.reverse()),
    ("a joined path", "\"b\" differs in path", Equal, |c| revision(c, "b", 1).path = vec!["a/b".to_owned()]),
    ("another user", "\"b\" differs in user_id", Equal, |c| revision(c, "b", 1).user_id = UserId::new("carl").ok()),
    ("a lost user", "\"b\" differs in user_id", Equal, |c| revision(c, "b", 1).user_id = None),
    ("another thread", "\"b\" differs in thread_id", Equal, |c| {
        revision(c, "b", 1).thread_id = ThreadId::new("phone").ok();
    }),
    ("another kind", "\"b\" differs in kind", Equal, |c| revision(c, "b", 1).kind = "persona".parse().unwrap()),
    ("another source", "\"b\" differs in source", Equal, |c| revision(c, "b", 1).source.push('x')),
    ("a salience off by one bit", "\"b\" differs in salience", Equal, |c| {
        revision(c, "b", 1).salience = Ratio::new("salience", f64::from_bits(0.3f64.to_bits() + 1)).ok();
    }),
    ("no salience for none at all", "\"b\" differs in salience", Equal, |c| {
        revision(c, "b", 1).salience = Ratio::new("salience", 0.0).ok();
    }),
    ("a lost confidence", "\"b\" differs in confidence", Equal, |c| revision(c, "b", 1).confidence = None),
    ("a creation a microsecond off", "\"b\" differs in created_at", Equal, |c| revision(c, "b", 1).created_at = at(1)),
    ("another time of update", "\"b\" differs in updated_at", Equal, |c| revision(c, "b", 1).updated_at = at(9)),
    ("another beginning", "\"b\" differs in valid_from", Equal, |c| revision(c, "b", 1).valid_from = at(9)),
    ("a lost end", "\"b\" differs in valid_to", Equal, |c| revision(c, "b", 1).valid_to = None),
    ("a lost expiry", "\"b\" differs in expires_at", Equal, |c| revision(c, "b", 1).expires_at = None),
    ("a lost successor", "\"b\" differs in superseded_by", Equal, |c| revision(c, "b", 1).superseded_by = None),
    ("another successor", "\"b\" differs in superseded_by", Equal, |c| {
        revision(c, "b", 1).superseded_by = Some(id("a"));
    }),
    ("a lost origin", "\"b\" differs in provenance", Equal, |c| revision(c, "b", 1).provenance.events.clear()),
    ("another origin", "\"b\" differs in provenance", Equal, |c| {
        revision(c, "b", 1).provenance.events = [EventId::new("e1").unwrap()].into();
    }),
    ("a record's origin as an event's", "\"b\" differs in provenance", Equal, |c| {
        let provenance = &mut revision(c, "b", 1).provenance;
        provenance.records.clear();
        provenance.events.insert(EventId::new("r0").unwrap());
    }),
    ("a missing embedding", "embedding of record \"b\"", Other, |c| written(c, "b", 1).embedding = None),
    ("an embedding off by one bit", "embedding of record \"b\"", Equal, |c| {
        written(c, "b", 1).embedding = Some(embedding(f32::from_bits(2.0f32.to_bits() + 1)));
    }),
    ("an embedding with a zero below zero", "embedding of record \"b\"", Equal, |c| {
        written(c, "b", 1).embedding = Some(of_components(vec![2.0, 0.5, -0.25, -0.0]));
    }),
    ("an embedding's smallest number lost", "embedding of record \"b\"", Equal, |c| {
        written(c, "b", 1).embedding = Some(of_components(vec![2.0, 0.5, -0.25, f32::from_bits(1)]));
    }),
    ("an embedding's components changed places", "embedding of record \"b\"", Equal, |c| {
        written(c, "b", 1).embedding = Some(of_components(vec![0.5, 2.0, -0.25, 0.0]));
    }),
    ("an embedding in half precision", "embedding of record \"b\"", Equal, |c| {
        written(c, "b", 1).embedding = Some(of_components(vec![2.001, 0.5, -0.25, 0.0]));
    }),
    ("an embedding of another model", "embedding of record \"b\"", Equal, |c| {
        let other = EmbeddingModel::new("test", "another", 4, Metric::Cosine).unwrap();
        written(c, "b", 1).embedding = Embedding::new(&other, vec![2.0, 0.5, -0.25, 0.0]).ok();
    }),
    ("an embedding that was none", "embedding of record \"waits\"", Other, |c| {
        written(c, "waits", 1).embedding = Some(embedding(1.0));
    }),
    ("embeddings of two records changed places", "embedding of record \"a\"", Equal, |c| {
        let (first, second) = (written(c, "a", 2).embedding.take(), written(c, "b", 1).embedding.take());
        written(c, "a", 2).embedding = second;
        written(c, "b", 1).embedding = first;
    }),
    ("a revision that is gone", "record \"a\" has 2 revisions", Other, |c| written(c, "a", 1).record = None),
    ("an equal count with another record", "record \"c\" is only in the target", Equal, |c| {
        for change in changes(c) {
            if let PastChange::Written(write) = change
                && write.id.as_str() == "b"
            {
                write.id = id("c");
                write.record.as_mut().unwrap().id = id("c");
            }
        }
    }),
    ("records first written in another order", "the list of records differs: record \"a\"", Equal, |c| {
        // The first write of each takes the other's place.
        let (first, second) = (written(c, "a", 1).clone(), written(c, "b", 1).clone());
        *written(c, "a", 1) = second;
        *written(c, "b", 1) = first;
    }),
    ("a deletion that did not happen", "record \"gone\" is only in the target", Other, |c| {
        let deleted = place(c, |change| matches!(change, PastChange::Deleted { .. }));
        let PastChange::Deleted { id, version } = c[deleted].changes[0].clone() else { return };
        c[deleted].changes[0] = PastChange::Embedded { id, version, embedding: Some(embedding(1.0)) };
    }),
    ("a deletion of another record", "record \"b\" is not in the target", Other, |c| {
        let deleted = place(c, |change| matches!(change, PastChange::Deleted { .. }));
        c[deleted].changes[0] = PastChange::Deleted { id: id("b"), version: mnemic_core::Version(1) };
    }),
];
