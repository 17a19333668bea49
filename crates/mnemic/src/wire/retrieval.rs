//! Hits and their explanations as objects. Output only: a hit is an answer, nobody sends one.

use mnemic_core::{Explanation, Hit, LegScore, Object, PriorFactor, RecordId, Value};

use super::{double, put, put_some, record_object, single};

/// A hit as an object: the record, its score, and why it is where it is.
pub fn hit_object(hit: &Hit) -> Object {
    let mut object = Object::new();
    put(&mut object, "record", record_object(&hit.record));
    put_some(&mut object, "score", double(hit.score));
    put(&mut object, "explanation", explanation_object(&hit.explanation));
    object
}

/// An explanation as an object.
pub fn explanation_object(explanation: &Explanation) -> Object {
    let mut object = Object::new();
    put(&mut object, "legs", explanation.legs.iter().map(leg_value).collect::<Vec<_>>());
    put_some(&mut object, "fused", double(explanation.fused));
    put(&mut object, "priors", explanation.priors.iter().map(prior_value).collect::<Vec<_>>());
    put_some(&mut object, "rerank", explanation.rerank.and_then(single));
    put_some(&mut object, "repeats", explanation.repeats.as_ref().map(RecordId::as_str));
    object
}

fn leg_value(score: &LegScore) -> Value {
    let mut object = Object::new();
    put(&mut object, "leg", score.leg.as_str());
    put(&mut object, "rank", u64::from(score.rank));
    put_some(&mut object, "raw", single(score.raw));
    put_some(&mut object, "contribution", double(score.contribution));
    object.into()
}

fn prior_value(prior: &PriorFactor) -> Value {
    let mut object = Object::new();
    put(&mut object, "name", prior.name);
    put_some(&mut object, "factor", double(prior.factor));
    object.into()
}
