//! Asks the story's questions and compares the hits with what a right answer contains. Not here: retrieval (the memory).

use std::fmt::Write as _;

use mnemic::{Hit, MemoryManager, Object, Query, Result, Timestamp, Value, wire};

use super::{story::Question, title};
use crate::{
    output::Output,
    show::{self, Explained},
};

/// A question and what came of it.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    question: Question,
    hits: usize,
    /// The best hit that holds the right answer, with its position from 1.
    right: Option<(usize, Hit)>,
    /// Texts that must not come up and did.
    unwanted: Vec<String>,
    millis: f64,
}

impl Asked {
    /// Whether the answer is there and nothing that must not be.
    pub(super) fn passed(&self) -> bool {
        self.unwanted.is_empty() && (self.right.is_some() || self.question.expected.is_empty())
    }

    pub(super) fn object(&self) -> Object {
        let mut object = show::object([
            ("namespace", Value::from(self.question.namespace.as_str())),
            ("question", Value::from(self.question.text.as_str())),
            ("why", Value::from(self.question.why.as_str())),
            ("passed", Value::from(self.passed())),
            ("hits", show::number(self.hits)),
            ("unwanted", show::strings(&self.unwanted)),
            ("took_ms", show::double(self.millis)),
        ]);
        if let Some(as_of) = self.question.as_of {
            object.insert("as_of".to_owned(), Value::from(as_of.to_string()));
        }
        if let Some((rank, hit)) = &self.right {
            object.insert("rank".to_owned(), show::number(*rank));
            object.insert("answer".to_owned(), Value::Object(wire::hit_object(hit)));
        }
        object
    }

    fn text(&self, output: &Output) -> String {
        let paint = output.paint;
        let mark = if self.passed() { paint.good("✓") } else { paint.bad("✗") };
        let as_of = self.question.as_of.map(|at| format!(" (as of {})", show::day(at))).unwrap_or_default();
        let asked = show::wrapped(&format!("{}{as_of}", self.question.text), output.width, 2);
        let mut text = format!("{mark} {}\n", paint.bold(&asked));
        match &self.right {
            Some((rank, hit)) => text.push_str(&show::hit_block(output, *rank, hit, Explained::Yes)),
            None if self.question.expected.is_empty() => {
                let _infallible =
                    writeln!(text, "    nothing of it among {}, as it must be", show::plural(self.hits, "hit"));
            }
            None => {
                let _infallible =
                    writeln!(text, "    {}", paint.bad(&format!("not found among {}", show::plural(self.hits, "hit"))));
            }
        }
        if !self.unwanted.is_empty() {
            let _infallible =
                writeln!(text, "    {}", paint.bad(&format!("must not come up: {}", self.unwanted.join(", "))));
        }
        let why = show::wrapped(&format!("shows: {}", self.question.why), output.width, 4);
        let _infallible = writeln!(text, "    {}", paint.dim(&why));
        text
    }
}

/// Asks every question.
pub(super) async fn ask_all(memory: &MemoryManager, questions: &[Question]) -> Result<Vec<Asked>> {
    let mut asked = Vec::with_capacity(questions.len());
    for question in questions {
        let query = Query {
            text: question.text.clone(),
            user_id: question.user_id.clone(),
            filter: question.filter.clone(),
            as_of: question.as_of,
            ..Query::default()
        };
        let found = memory.in_namespace(question.namespace.clone()).retrieve(&query).await?;
        let holds = |hit: &Hit| question.expected.iter().any(|text| hit.record.text.contains(text));
        let unwanted = question
            .unwanted
            .iter()
            .filter(|text| found.hits.iter().any(|hit| hit.record.text.contains(text.as_str())))
            .cloned()
            .collect();
        let (hits, millis) = (found.hits.len(), found.took.as_secs_f64() * 1000.0);
        let right = found.hits.into_iter().enumerate().find(|(_, hit)| holds(hit)).map(|(i, hit)| (i + 1, hit));
        asked.push(Asked { question: question.clone(), hits, right, unwanted, millis });
    }
    Ok(asked)
}

/// Questions and answers for people.
pub(super) fn text(output: &Output, asked: &[Asked], now: Timestamp) -> String {
    let mut text = title(output, &format!("Questions, memory as of {}", show::day(now)));
    let mut namespace = "";
    for asked in asked {
        if asked.question.namespace.as_str() != namespace {
            namespace = asked.question.namespace.as_str();
            let _infallible = writeln!(text, "{}", output.paint.accent(namespace));
        }
        text.push_str(&asked.text(output));
    }
    let passed = asked.iter().filter(|asked| asked.passed()).count();
    let first = asked.iter().filter(|asked| asked.right.as_ref().is_some_and(|(rank, _)| *rank == 1)).count();
    let sought = asked.iter().filter(|asked| !asked.question.expected.is_empty()).count();
    let _infallible = writeln!(
        text,
        "{passed} of {} as expected; the right answer is the first hit in {first} of {sought}",
        asked.len()
    );
    text
}
