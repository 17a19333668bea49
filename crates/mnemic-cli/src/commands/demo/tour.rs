//! What else a memory does, shown on the story's: walls between namespaces, a thread, slots, a prompt block, consolidation, health.

use std::fmt::Write as _;

use mnemic::{
    Consolidation, ConsolidationReport, ContextRequest, MemoryManager, Object, Query, Result as CoreResult, Shown,
    ThreadId, Trial, Value, wire,
};

use super::{okafor, petrova, title};
use crate::{
    commands::{consolidate, health},
    exit::Result,
    output::Output,
    show,
};

/// The thread that is shown.
const THREAD: &str = "rfe-2026-03";
/// Lines of it that are shown.
const THREAD_LINES: usize = 4;
/// The thread that a prompt block is composed for, what it is about, and its budget in tokens.
const TALK: &str = "biometrics-2026";
const TALK_ABOUT: &str = "May Anna travel while her application is pending?";
const BUDGET: usize = 400;

/// One look from one namespace for something of the other.
#[derive(Clone, Debug)]
pub(super) struct Wall {
    namespace: String,
    looked_for: &'static str,
    hits: usize,
    leaked: usize,
}

impl Wall {
    /// Whether nothing came through.
    pub(super) fn holds(&self) -> bool {
        self.leaked == 0
    }

    pub(super) fn object(&self) -> Object {
        show::object([
            ("namespace", Value::from(self.namespace.as_str())),
            ("looked_for", Value::from(self.looked_for)),
            ("hits", show::number(self.hits)),
            ("leaked", show::number(self.leaked)),
        ])
    }
}

/// Looks for each client's name in the other client's memory, in everything that it holds.
pub(super) async fn walls(memory: &MemoryManager) -> Result<Vec<Wall>> {
    let looks = [
        (okafor(memory)?, "Anna Petrova", ["Petrova", "Петров"]),
        (petrova(memory)?, "Tobenna Okafor", ["Okafor", "Tobenna"]),
    ];
    let mut walls = Vec::new();
    for (memory, looked_for, marks) in looks {
        walls.push(look(&memory, looked_for, marks).await?);
    }
    Ok(walls)
}

async fn look(memory: &MemoryManager, looked_for: &'static str, marks: [&str; 2]) -> CoreResult<Wall> {
    let query = Query { text: looked_for.to_owned(), limit: Some(1000), shown: Shown::All, ..Query::default() };
    let hits = memory.retrieve(&query).await?.hits;
    let leaked = hits.iter().filter(|hit| marks.iter().any(|mark| hit.record.text.contains(mark))).count();
    Ok(Wall { namespace: memory.namespace().to_string(), looked_for, hits: hits.len(), leaked })
}

/// The walls for people.
pub(super) fn walls_text(output: &Output, walls: &[Wall]) -> String {
    let mut text = title(output, "Namespaces are walls");
    for wall in walls {
        let (mark, found) = if wall.holds() {
            (output.paint.good("✓"), "nothing".to_owned())
        } else {
            (output.paint.bad("✗"), show::plural(wall.leaked, "record"))
        };
        let line = format!(
            "\"{}\" in {}: {found} of the other client among {}",
            wall.looked_for,
            wall.namespace,
            show::plural(wall.hits, "hit")
        );
        let _infallible = writeln!(text, "{mark} {line}");
    }
    text
}

/// What the tour shows.
#[derive(Clone, Debug, Default)]
pub(super) struct Tour {
    pub(super) text: String,
    pub(super) data: Object,
}

/// Looks at the first client's memory from every side.
pub(super) async fn tour(memory: &MemoryManager, output: &Output) -> Result<Tour> {
    let memory = petrova(memory)?;
    let mut tour = Tour::default();
    tour.thread(&memory, output).await?;
    tour.slots(&memory, output).await?;
    tour.context(&memory, output).await?;
    tour.consolidation(&memory, output).await?;
    let health = memory.health_check().await;
    tour.text.push_str(&title(output, "Health"));
    tour.text.push_str(&health::health_text(output, &health));
    tour.data.insert("health".to_owned(), Value::Object(wire::health_object(&health)));
    Ok(tour)
}

impl Tour {
    async fn thread(&mut self, memory: &MemoryManager, output: &Output) -> CoreResult<()> {
        let snapshot = memory.snapshot_thread(&ThreadId::new(THREAD)?).await?;
        let lines: Vec<&str> = snapshot.lines().collect();
        let shown = lines.len().min(THREAD_LINES);
        self.text.push_str(&title(output, &format!("A thread as a log: {THREAD}, {shown} of {} events", lines.len())));
        for line in lines.iter().take(shown) {
            let _infallible = writeln!(self.text, "{}", show::cut(line, output.width));
        }
        let data = show::object([("thread_id", Value::from(THREAD)), ("events", show::number(lines.len()))]);
        self.data.insert("thread".to_owned(), Value::Object(data));
        Ok(())
    }

    async fn slots(&mut self, memory: &MemoryManager, output: &Output) -> CoreResult<()> {
        let slots = memory.slots(&ThreadId::new(TALK)?, None).await?;
        self.text
            .push_str(&title(output, &format!("Its small current state: slots of {TALK}, version {}", slots.version)));
        for (name, text) in &slots.slots {
            self.text.push_str(&show::slot_line(output, name, text));
        }
        self.data.insert("slots".to_owned(), Value::Object(mnemic::wire::slots_object(&slots)));
        Ok(())
    }

    async fn context(&mut self, memory: &MemoryManager, output: &Output) -> CoreResult<()> {
        let request =
            ContextRequest { query: Some(TALK_ABOUT.to_owned()), budget: BUDGET, ..ContextRequest::default() };
        let block = memory.context(&ThreadId::new(TALK)?, &request).await?;
        let head = format!("A prompt block of at most {BUDGET} tokens ({} used)", block.tokens);
        self.text.push_str(&title(output, &head));
        let _infallible = writeln!(self.text, "{}", output.paint.dim(&format!("about: {TALK_ABOUT}")));
        for line in block.text.lines() {
            let _infallible = writeln!(self.text, "{}{}", output.paint.dim("| "), show::wrapped(line, output.width, 2));
        }
        let data = show::object([("tokens", show::number(block.tokens)), ("text", Value::from(block.text))]);
        self.data.insert("context".to_owned(), Value::Object(data));
        Ok(())
    }

    async fn consolidation(&mut self, memory: &MemoryManager, output: &Output) -> CoreResult<()> {
        let how = Consolidation { trial: Trial::Dry, ..Consolidation::default() };
        let report: ConsolidationReport = memory.consolidate(&how).await?;
        self.text.push_str(&title(output, "What consolidation would do (dry run; doing it can be undone)"));
        self.text.push_str(&consolidate::report_text(output, &report, Trial::Dry));
        self.data.insert("consolidation".to_owned(), Value::Object(wire::consolidation_object(&report)));
        Ok(())
    }
}
