//! The story as it lies in `examples/legal-case`, read into drafts and questions. Not here: playing it (`play`).

use mnemic::{Error, Filter, Namespace, NewEvent, NewRecord, Object, Result, ThreadId, Timestamp, UserId, Value, wire};

pub(super) const PETROVA: &str = "client-petrova";
pub(super) const OKAFOR: &str = "client-okafor";

const FILES: [(&str, &str); 2] = [
    (PETROVA, include_str!("../../../../../examples/legal-case/client-petrova.jsonl")),
    (OKAFOR, include_str!("../../../../../examples/legal-case/client-okafor.jsonl")),
];
const QUESTIONS: &str = include_str!("../../../../../examples/legal-case/questions.jsonl");

/// One client's story.
#[derive(Clone, Debug)]
pub(super) struct Story {
    pub(super) namespace: Namespace,
    pub(super) moments: Vec<Moment>,
}

/// One line of a story: what happens, and when.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    pub(super) at: Timestamp,
    pub(super) what: What,
}

/// What happens.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// An event for the log alone.
    Logged(NewEvent),
    /// An event that is also reflected into a record.
    Reflected(NewEvent),
    /// A record is written.
    Written(Box<NewRecord>),
    /// Slots of a thread are set.
    Set(ThreadId, Vec<(String, String)>),
}

/// A question with its right answer.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) namespace: Namespace,
    pub(super) text: String,
    pub(super) user_id: Option<UserId>,
    pub(super) filter: Filter,
    pub(super) as_of: Option<Timestamp>,
    /// Some hit contains one of these; empty: nothing is expected.
    pub(super) expected: Vec<String>,
    /// No hit contains any of these.
    pub(super) unwanted: Vec<String>,
    pub(super) why: String,
}

/// Every story.
pub(super) fn stories() -> Result<Vec<Story>> {
    FILES
        .iter()
        .map(|(name, lines)| {
            let mut moments: Vec<Moment> = Vec::new();
            for (i, line) in lines.lines().enumerate() {
                let above = moments.last().map(|moment| moment.at);
                let moment = moment(&wire::json::parse_object(line)?, above);
                moments.push(moment.map_err(|error| error.within(format!("{name}:{}", i + 1)))?);
            }
            Ok(Story { namespace: Namespace::new(name)?, moments })
        })
        .collect()
}

fn moment(line: &Object, above: Option<Timestamp>) -> Result<Moment> {
    let dateless = || Error::invalid("line", "a time", "none");
    if let Some(Value::Object(event)) = line.get("event") {
        let event = wire::event_from_object(event)?;
        let at = event.timestamp.ok_or_else(dateless)?;
        let what =
            if line.get("reflect") == Some(&Value::Bool(true)) { What::Reflected(event) } else { What::Logged(event) };
        return Ok(Moment { at, what });
    }
    if let Some(Value::Object(record)) = line.get("record") {
        let record = wire::new_record_from_object(record)?;
        let at = record.updated_at.or(record.created_at).ok_or_else(dateless)?;
        return Ok(Moment { at, what: What::Written(Box::new(record)) });
    }
    let slots = object_in(line, "slots")?;
    let texts = object_in(slots, "set")?.iter();
    let set = texts.filter_map(|(name, text)| Some((name.clone(), text.as_str()?.to_owned()))).collect();
    Ok(Moment { at: above.ok_or_else(dateless)?, what: What::Set(ThreadId::new(text_in(slots, "thread_id")?)?, set) })
}

/// Every question.
pub(super) fn questions() -> Result<Vec<Question>> {
    QUESTIONS.lines().map(|line| question(&wire::json::parse_object(line)?)).collect()
}

fn question(line: &Object) -> Result<Question> {
    let filter = match line.get("filters") {
        Some(Value::Object(filter)) => Filter::from_object(filter)?,
        _ => Filter::all(),
    };
    Ok(Question {
        namespace: Namespace::new(text_in(line, "namespace")?)?,
        text: text_in(line, "question")?.to_owned(),
        user_id: line.get("user_id").and_then(Value::as_str).map(UserId::new).transpose()?,
        filter,
        as_of: line.get("as_of").and_then(Value::as_str).map(|text| Timestamp::parse("as_of", text)).transpose()?,
        expected: texts_in(line, "expect_any_text"),
        unwanted: texts_in(line, "must_not_contain"),
        why: text_in(line, "why")?.to_owned(),
    })
}

fn object_in<'a>(object: &'a Object, key: &str) -> Result<&'a Object> {
    object.get(key).and_then(Value::as_object).ok_or_else(|| Error::invalid(key, "an object", "nothing"))
}

fn text_in<'a>(object: &'a Object, key: &str) -> Result<&'a str> {
    object.get(key).and_then(Value::as_str).ok_or_else(|| Error::invalid(key, "a string", "nothing"))
}

fn texts_in(object: &Object, key: &str) -> Vec<String> {
    match object.get(key) {
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// When the first story begins.
pub(super) fn beginning(stories: &[Story]) -> Timestamp {
    let first = stories.iter().filter_map(|story| story.moments.first()).map(|moment| moment.at).min();
    first.unwrap_or_else(|| jiff::Timestamp::UNIX_EPOCH.into())
}

/// When the last story ends: the present of the demo's questions.
pub(super) fn end(stories: &[Story]) -> Timestamp {
    let last = stories.iter().filter_map(|story| story.moments.last()).map(|moment| moment.at).max();
    last.unwrap_or_else(|| jiff::Timestamp::UNIX_EPOCH.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_story_is_read_and_happens_in_order() {
        let stories = stories().unwrap();
        for (story, (_, lines)) in stories.iter().zip(FILES) {
            assert_eq!(story.moments.len(), lines.lines().count());
            assert!(story.moments.windows(2).all(|pair| pair[0].at <= pair[1].at), "{}", story.namespace);
        }
        assert!(
            stories
                .iter()
                .flat_map(|story| &story.moments)
                .any(|m| matches!(&m.what, What::Set(_, set) if set.len() > 1))
        );
        assert_eq!(questions().unwrap().len(), QUESTIONS.lines().count());
    }
}
