//! Whether a copy with other embeddings finds as well as the memory that it was made of: both are asked the same.
//! Not here: making the copy (`reembed`), and what the figures mean (`policy::ranking`).

use std::collections::BTreeSet;

use mnemic_core::{
    ErrorKind, Filter, PageRequest, RecordId, Result,
    policy::ranking::{ndcg, overlap, recall},
    ports::Read,
};

use super::{LegOutcome, MemoryManager, Mode, Query, Retrieval};

/// Hits that are compared.
const TOP: usize = 10;
/// Bytes of a record's text that are asked for in a sampled retrieval.
const ASKED_BYTES: usize = 200;

/// A question to ask of both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GateQuestion {
    /// Its text.
    pub text: String,
    /// The records that answer it; empty where nobody knows.
    pub expected: Vec<RecordId>,
}

/// What a copy must reach before it may take the memory's place.
#[derive(Clone, Debug, PartialEq)]
pub struct QualityGate {
    /// What to ask, such as past queries. If empty, the beginnings of stored texts are asked, each to find its record.
    pub questions: Vec<GateQuestion>,
    /// How many stored texts to ask for.
    pub samples: usize,
    /// The least share of the memory's first ten hits that are among the copy's, 0 to 1, on average.
    pub min_overlap: f64,
    /// The least recall of the copy where the answer is known, as a share of the memory's own.
    pub min_recall: f64,
}

impl Default for QualityGate {
    fn default() -> Self {
        Self { questions: Vec::new(), samples: 100, min_overlap: 0.5, min_recall: 0.95 }
    }
}

/// How good the first ten hits are where the answer is known, on average.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Found {
    /// The share of the answer that is found.
    pub recall: f64,
    /// The same with early places counting more.
    pub ndcg: f64,
}

/// Memory and copy, asked alike.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Alike {
    /// The share of the memory's first ten hits that are among the copy's.
    pub overlap: f64,
    /// What the memory finds.
    pub memory: Found,
    /// What the copy finds.
    pub copy: Found,
}

/// What the quality gate saw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QualityReport {
    /// Questions asked of both.
    pub asked: usize,
    /// Of those, how many have a known answer.
    pub known: usize,
    /// By words and embedding, as a retrieval searches.
    pub hybrid: Alike,
    /// By embedding alone, where both can.
    pub dense: Option<Alike>,
    /// Answers of the copy that were less than they could be, since a way of searching failed.
    pub degraded: usize,
    /// What the gate does not let pass, in words; empty if it does.
    pub faults: Vec<String>,
}

impl QualityReport {
    /// Whether the copy is good enough.
    pub fn passes(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Sums over questions.
#[derive(Default)]
struct Sums {
    asked: usize,
    known: usize,
    sum: Alike,
}

impl Sums {
    fn add(&mut self, gold: &BTreeSet<&str>, memory: &[&str], copy: &[&str]) {
        self.asked += 1;
        self.sum.overlap += overlap(memory, copy, TOP);
        if gold.is_empty() {
            return;
        }
        self.known += 1;
        for (found, ranked) in [(&mut self.sum.memory, memory), (&mut self.sum.copy, copy)] {
            found.recall += recall(ranked, gold, TOP);
            found.ndcg += ndcg(ranked, gold, TOP);
        }
    }

    fn means(&self) -> Alike {
        let (asked, known) = (self.asked.max(1) as f64, self.known.max(1) as f64);
        let of = |found: Found| Found { recall: found.recall / known, ndcg: found.ndcg / known };
        let overlap = if self.asked == 0 { 1.0 } else { self.sum.overlap / asked };
        Alike { overlap, memory: of(self.sum.memory), copy: of(self.sum.copy) }
    }
}

impl MemoryManager {
    /// Asks this memory and its copy the same, and tells whether the copy passes the gate.
    ///
    /// # Errors
    /// What either side gives.
    pub async fn ask_both(&self, copy: &Self, gate: &QualityGate) -> Result<QualityReport> {
        let sampled;
        let questions = if gate.questions.is_empty() {
            sampled = self.sampled(gate.samples).await?;
            &sampled
        } else {
            &gate.questions
        };
        let modes: &[Mode] =
            if self.both_search_densely(copy).await? { &[Mode::Hybrid, Mode::Dense] } else { &[Mode::Hybrid] };
        let mut report = QualityReport { asked: questions.len(), ..QualityReport::default() };
        report.known = questions.iter().filter(|question| !question.expected.is_empty()).count();
        for mode in modes {
            let mut sums = Sums::default();
            for question in questions {
                let query = Query { mode: *mode, limit: Some(TOP), ..Query::new(question.text.as_str()) };
                let (theirs, ours) = (self.retrieve_here(&query).await?, copy.retrieve_here(&query).await?);
                report.degraded += usize::from(degraded(&ours));
                let late = self.not_yet_in(copy, &question.expected, &theirs).await?;
                let theirs: Vec<&str> = ids(&theirs).into_iter().filter(|id| !late.contains(*id)).collect();
                let expected = question.expected.iter().map(RecordId::as_str).filter(|id| !late.contains(*id));
                sums.add(&expected.collect(), &theirs, &ids(&ours));
            }
            match mode {
                Mode::Dense => report.dense = Some(sums.means()),
                Mode::Hybrid | Mode::Lexical => report.hybrid = sums.means(),
            }
        }
        report.faults = gate.faults(&report);
        Ok(report)
    }

    /// What this memory holds and the copy does not yet: written since the copy was brought up to date, which says nothing of its model.
    async fn not_yet_in(&self, copy: &Self, expected: &[RecordId], found: &Retrieval) -> Result<BTreeSet<String>> {
        let named: BTreeSet<&RecordId> = expected.iter().chain(found.hits.iter().map(|hit| &hit.record.id)).collect();
        let named: Vec<RecordId> = named.into_iter().cloned().collect();
        let theirs = self.engine.ledger.fetch(&self.namespace, &named, Read::default()).await?;
        let ours = copy.engine.ledger.fetch(&copy.namespace, &named, Read::default()).await?;
        let late = named.iter().zip(theirs).zip(ours).filter(|((_, theirs), ours)| theirs.is_some() && ours.is_none());
        Ok(late.map(|((id, _), _)| id.as_str().to_owned()).collect())
    }

    /// Whether the embeddings of both can be searched alone.
    async fn both_search_densely(&self, copy: &Self) -> Result<bool> {
        for side in [self, copy] {
            let (Some(_), held) = (side.engine.embedder.model(), side.engine.check_model(&side.namespace).await) else {
                return Ok(false);
            };
            match held {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::ModelMismatch => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// The beginnings of the texts of records that lie evenly apart, each of which is the answer to its own.
    pub(super) async fn sampled(&self, samples: usize) -> Result<Vec<GateQuestion>> {
        let held = self.engine.ledger.report(&self.namespace).await?.records;
        let step = usize::try_from(held).unwrap_or(usize::MAX).div_ceil(samples.max(1)).max(1);
        let (mut page, mut seen, mut questions) = (PageRequest::largest(), 0usize, Vec::new());
        while questions.len() < samples {
            let listed = self.list_here(&Filter::all(), None, &page).await?;
            for record in listed.items {
                seen += 1;
                if (seen - 1).is_multiple_of(step) && questions.len() < samples && !record.text.trim().is_empty() {
                    let text = beginning(&record.text).to_owned();
                    questions.push(GateQuestion { text, expected: vec![record.id] });
                }
            }
            if listed.next.is_none() {
                break;
            }
            page = page.after(listed.next);
        }
        Ok(questions)
    }
}

impl QualityGate {
    fn faults(&self, report: &QualityReport) -> Vec<String> {
        let mut faults = Vec::new();
        if report.degraded > 0 {
            faults.push(format!("{} answers of the copy were degraded", report.degraded));
        }
        if report.hybrid.overlap < self.min_overlap {
            let (found, least) = (report.hybrid.overlap, self.min_overlap);
            faults.push(format!("overlap: expected at least {least:.3} of the memory's hits, found {found:.3}"));
        }
        let ways = [("recall", Some(report.hybrid)), ("recall by embedding alone", report.dense)];
        for (name, alike) in ways {
            let Some(Alike { memory, copy, .. }) = alike.filter(|_| report.known > 0) else { continue };
            let least = self.min_recall * memory.recall;
            // A mean of thirds is not what it is compared with to the last bit.
            if copy.recall + 1e-9 < least {
                let (found, own) = (copy.recall, memory.recall);
                faults
                    .push(format!("{name}: expected at least {least:.3} (the memory has {own:.3}), found {found:.3}"));
            }
        }
        faults
    }
}

fn degraded(found: &Retrieval) -> bool {
    found.legs.iter().any(|leg| matches!(leg.outcome, LegOutcome::Failed(_)))
}

fn ids(found: &Retrieval) -> Vec<&str> {
    found.hits.iter().map(|hit| hit.record.id.as_str()).collect()
}

/// The beginning of a text, cut between characters.
fn beginning(text: &str) -> &str {
    let end = (0..=ASKED_BYTES.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_names_what_is_below_it_with_the_figures() {
        let gate = QualityGate::default();
        let alike = |overlap, memory, copy| Alike {
            overlap,
            memory: Found { recall: memory, ndcg: memory },
            copy: Found { recall: copy, ndcg: copy },
        };
        let report = |hybrid, dense| QualityReport { asked: 10, known: 10, hybrid, dense, ..QualityReport::default() };
        assert_eq!(gate.faults(&report(alike(0.5, 0.8, 0.8), Some(alike(0.1, 0.4, 0.39)))), [""; 0]);
        let faults = gate.faults(&report(alike(0.4, 0.8, 0.7), Some(alike(0.1, 0.6, 0.3))));
        assert_eq!(
            faults,
            [
                "overlap: expected at least 0.500 of the memory's hits, found 0.400",
                "recall: expected at least 0.760 (the memory has 0.800), found 0.700",
                "recall by embedding alone: expected at least 0.570 (the memory has 0.600), found 0.300",
            ]
        );
        let unknown = QualityReport { known: 0, ..report(alike(0.9, 0.0, 0.0), None) };
        assert_eq!(gate.faults(&unknown), [""; 0], "nothing is held to an answer that nobody knows");
        let degraded = QualityReport { degraded: 2, ..report(alike(1.0, 1.0, 1.0), None) };
        assert_eq!(gate.faults(&degraded), ["2 answers of the copy were degraded"]);
    }

    #[test]
    fn figures_are_means_over_the_questions_that_they_are_about() {
        let mut sums = Sums::default();
        sums.add(&BTreeSet::from(["a"]), &["a", "b"], &["b", "c"]);
        sums.add(&BTreeSet::new(), &["x"], &["x"]);
        let means = sums.means();
        assert_eq!(means.overlap, 0.75);
        assert_eq!((means.memory.recall, means.copy.recall), (1.0, 0.0));
    }
}
