//! Questions with known answers (`conv`, `qid`, `question`, `category`, `evidence`, `evidence_sessions`), one a line.
//! Not here: asking them (`run`).

use std::{fs::File, path::Path};

use mnemic::{Error, Object, Result as Parsed, Value, wire::json};

use crate::{
    exit::{Failure, Result},
    formats::lines::Lines,
};

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// The conversation that it is about, if the corpus has several.
    pub conv: Option<String>,
    pub text: String,
    pub category: String,
    /// The records that answer it.
    pub evidence: Vec<String>,
    /// The sessions that answer it.
    pub sessions: Vec<String>,
}

/// The questions of a file that can be scored, and how many cannot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Questions {
    pub scored: Vec<Question>,
    /// Questions whose right answer is that there is none, and those without evidence.
    pub left_out: usize,
}

/// Reads a file of questions. One that cannot be read ends it: a measurement over the rest would mean something else.
pub(crate) fn read(path: &Path) -> Result<Questions> {
    let mut questions = Questions::default();
    each(path, |object| {
        match question(object)? {
            Some(question) => questions.scored.push(question),
            None => questions.left_out += 1,
        }
        Ok(())
    })?;
    if questions.scored.is_empty() {
        let message = format!("queries: expected questions with evidence in {}, found none", path.display());
        return Err(Failure::usage(message));
    }
    Ok(questions)
}

/// Reads the same file to ask every question that it holds, such as past queries whose answers nobody wrote down.
pub(crate) fn read_to_ask(path: &Path) -> Result<Vec<Question>> {
    let mut questions = Vec::new();
    each(path, |object| {
        questions.push(asked(object)?);
        Ok(())
    })?;
    if questions.is_empty() {
        let message = format!("queries: expected questions in {}, found none", path.display());
        return Err(Failure::usage(message));
    }
    Ok(questions)
}

fn each(path: &Path, mut take: impl FnMut(&Object) -> Parsed<()>) -> Result<()> {
    let file = File::open(path).map_err(|error| Failure::io("read", path, &error))?;
    let mut lines = Lines::new(file);
    while let Some(line) = lines.next().map_err(|error| Failure::io("read", path, &error))? {
        let text = line.text.map_err(|error| error.within(format!("line {}", line.number)))?;
        if text.trim().is_empty() {
            continue;
        }
        let taken = json::parse_object(&text).and_then(|object| take(&object));
        taken.map_err(|error| error.within(format!("line {}", line.number)))?;
    }
    Ok(())
}

/// One question; `None` if it cannot be scored.
fn question(object: &Object) -> Parsed<Option<Question>> {
    let question = asked(object)?;
    let unanswerable = matches!(question.category.as_str(), "adversarial" | "abstention")
        || string(object, "qid")?.is_some_and(|id| id.ends_with("_abs"))
        || question.evidence.is_empty();
    Ok((!unanswerable).then_some(question))
}

fn asked(object: &Object) -> Parsed<Question> {
    let text = string(object, "question")?.ok_or_else(|| Error::invalid("question", "a string", "nothing"))?;
    let category = string(object, "category")?.unwrap_or_else(|| "questions".to_owned());
    let (evidence, sessions) = (list(object, "evidence")?, list(object, "evidence_sessions")?);
    Ok(Question { conv: string(object, "conv")?, text, category, evidence, sessions })
}

fn string(object: &Object, key: &str) -> Parsed<Option<String>> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Error::invalid(key, "a string", "something else")),
    }
}

fn list(object: &Object, key: &str) -> Parsed<Vec<String>> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| {
                item.as_str().map(str::to_owned).ok_or_else(|| Error::invalid(key, "a list of ids", "something else"))
            })
            .collect(),
        Some(_) => Err(Error::invalid(key, "a list of ids", "something else")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Parsed<Option<Question>> {
        question(&json::parse_object(line).unwrap())
    }

    #[test]
    fn a_question_without_an_answer_is_left_out() {
        for line in [
            r#"{"qid":"1","question":"q","category":"adversarial","evidence":["a"]}"#,
            r#"{"qid":"1","question":"q","category":"abstention","evidence":["a"]}"#,
            r#"{"qid":"1_abs","question":"q","category":"temporal","evidence":["a"]}"#,
            r#"{"qid":"1","question":"q","category":"temporal","evidence":[]}"#,
        ] {
            assert_eq!(parse(line).unwrap(), None, "{line}");
        }
        let line = r#"{"conv":"c","qid":"1","question":"q","answer":"x","category":"temporal","evidence":["a"],"evidence_sessions":["s"]}"#;
        let question = parse(line).unwrap().unwrap();
        assert_eq!((question.conv.as_deref(), question.sessions.len()), (Some("c"), 1));
    }

    #[test]
    fn a_broken_question_is_refused_by_field() {
        for (field, line) in [
            ("question", r#"{"qid":"1","evidence":["a"]}"#),
            ("evidence", r#"{"question":"q","evidence":"a"}"#),
            ("category", r#"{"question":"q","category":1,"evidence":["a"]}"#),
        ] {
            assert_eq!(parse(line).unwrap_err().field(), Some(field), "{line}");
        }
    }
}
