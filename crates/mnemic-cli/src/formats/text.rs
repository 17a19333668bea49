//! Plain text: every paragraph becomes one record. Not here: splitting paragraphs further, or reading other kinds of files.

use mnemic::{Error, NewRecord, RecordId, Result, ThreadId, UserId, limits, policy::audit};

use super::{Item, What};

/// Gathers lines into paragraphs, which blank lines separate.
#[derive(Debug, Default)]
pub(crate) struct Paragraphs {
    thread: Option<ThreadId>,
    user: Option<UserId>,
    /// The paragraph so far.
    lines: String,
    /// Set once the paragraph is too long; the rest of it is dropped as it comes.
    overlong: bool,
}

impl Paragraphs {
    pub(super) fn new(thread: Option<ThreadId>, user: Option<UserId>) -> Self {
        Self { thread, user, ..Self::default() }
    }

    /// Takes a line; a blank one ends the paragraph.
    pub(super) fn line(&mut self, line: &str) -> Result<Option<Item>> {
        if line.trim().is_empty() {
            return self.end();
        }
        if self.lines.len() + line.len() > limits::TEXT_BYTES {
            self.overlong = true;
        }
        if !self.overlong {
            if !self.lines.is_empty() {
                self.lines.push('\n');
            }
            self.lines.push_str(line);
        }
        Ok(None)
    }

    /// Ends the paragraph.
    pub(super) fn end(&mut self) -> Result<Option<Item>> {
        let text = std::mem::take(&mut self.lines);
        if std::mem::take(&mut self.overlong) {
            let expected =
                format!("a paragraph of at most {} bytes (blank lines separate paragraphs)", limits::TEXT_BYTES);
            return Err(Error::invalid("text", expected, "a longer one"));
        }
        if text.is_empty() {
            return Ok(None);
        }
        let mut draft = NewRecord::new(text.clone()).with_id(self.paragraph_id(&text)?);
        draft.thread_id.clone_from(&self.thread);
        draft.user_id.clone_from(&self.user);
        Ok(Some(Item { place: None, what: What::record(draft) }))
    }

    /// The same paragraph has the same id wherever it stands, so that importing an edited file adds only what changed.
    fn paragraph_id(&self, text: &str) -> Result<RecordId> {
        let thread = self.thread.as_ref().map_or("", |thread| thread.as_str());
        let user = self.user.as_ref().map_or("", |user| user.as_str());
        let mark = audit::digest(format!("mnemic.text.v1\0{thread}\0{user}\0{text}").as_bytes()).to_string();
        RecordId::new(format!("text-{}", mark.get(..32).unwrap_or(&mark)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lines: &[&str]) -> Vec<String> {
        let mut paragraphs = Paragraphs::default();
        let mut items: Vec<Item> = lines.iter().filter_map(|line| paragraphs.line(line).unwrap()).collect();
        items.extend(paragraphs.end().unwrap());
        let text = |item: Item| match item.what {
            What::Record { draft, .. } => draft.text,
            other => panic!("expected a record, found {other:?}"),
        };
        items.into_iter().map(text).collect()
    }

    #[test]
    fn blank_lines_separate_paragraphs() {
        assert_eq!(texts(&["", "one", "goes on", " ", "", "two"]), ["one\ngoes on", "two"]);
        assert!(texts(&["", " "]).is_empty());
    }

    #[test]
    fn a_paragraph_beyond_the_limit_is_refused_and_the_next_is_read() {
        let mut paragraphs = Paragraphs::default();
        let line = "x".repeat(limits::TEXT_BYTES / 2 + 1);
        assert!(paragraphs.line(&line).unwrap().is_none());
        assert!(paragraphs.line(&line).unwrap().is_none());
        assert_eq!(paragraphs.line("").unwrap_err().field(), Some("text"));
        assert!(paragraphs.line("next").unwrap().is_none());
        assert!(paragraphs.end().unwrap().is_some());
    }
}
