//! The files that `import` reads and `export` writes: which formats there are, how one is recognized, what a line says.
//! Not here: opening a source of any of them (`open`), writing what was read into a memory (`load`).

mod chat;
mod chroma;
mod conversations;
pub(crate) mod counts;
mod csv;
pub(crate) mod dates;
mod fields;
mod guarded;
mod langgraph;
pub(crate) mod lines;
pub(crate) mod load;
mod mcp_memory;
mod mem0;
mod mem0_history;
pub(crate) mod open;
pub(crate) mod own;
mod parquet;
pub(crate) mod rows;
mod sqlite;
mod table;
mod text;

use std::{collections::BTreeMap, fmt};

use mnemic::{Error, NewEvent, NewRecord, Object, Result, ThreadId, wire::json};

pub(crate) use chat::ChatDefaults;

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Mnemic's own export, or its records one a line
    Mnemic,
    /// Turns of conversations or titled paragraphs (`conv`, `id`, `session`, `date`, `speaker`, `text`, `caption`, `title`)
    Conversations,
    /// A chat transcript (`role`, `content`)
    Chat,
    /// Plain text, a record for each paragraph
    Text,
    /// The file of the official MCP memory server: entities and relations, one a line
    McpMemory,
    /// What mem0 answers to `get_all`, or exports: one JSON document
    Mem0,
    /// mem0's history database
    Mem0History,
    /// A `LangGraph` store (`SqliteStore`; `PostgresStore` by its connection string), as `MnemicStore` keeps it
    Langgraph,
    /// A directory of Chroma (`PersistentClient`); each collection gets a namespace of its own
    Chroma,
    /// A table as text with a header: CSV, with commas, semicolons or tabs
    Csv,
    /// A table in a Parquet file
    Parquet,
}

impl Format {
    /// The stable name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Mnemic => "mnemic",
            Self::Conversations => "conversations",
            Self::Chat => "chat",
            Self::Text => "text",
            Self::McpMemory => "mcp-memory",
            Self::Mem0 => "mem0",
            Self::Mem0History => "mem0-history",
            Self::Langgraph => "langgraph",
            Self::Chroma => "chroma",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }

    /// What the numbers of its faults count.
    pub(crate) const fn unit(self) -> &'static str {
        match self {
            Self::Mnemic | Self::Conversations | Self::Chat | Self::Text | Self::McpMemory => "line",
            Self::Mem0 | Self::Mem0History | Self::Langgraph | Self::Chroma | Self::Csv | Self::Parquet => "row",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that a file says.
#[derive(Debug)]
pub(crate) struct Item {
    /// Which conversation or namespace the file puts it into, if it says so.
    pub place: Option<String>,
    /// The thing.
    pub what: What,
}

/// What a file says.
#[derive(Debug)]
pub(crate) enum What {
    /// A record, with the embedding that the file brings along.
    Record {
        /// The record. It has an id.
        draft: Box<NewRecord>,
        /// Its embedding, if the file has one.
        embedding: Option<own::FileEmbedding>,
        /// What becomes of the record that has its id already.
        onto: load::Onto,
    },
    /// A record that holds data and says nothing: it gets a fixed embedding, so that the embedder is never asked for one.
    Data(Box<NewRecord>),
    /// An event to append.
    Event(Box<NewEvent>),
    /// The slots that a thread has.
    Slots(ThreadId, BTreeMap<String, String>),
    /// Something that only the memory it came from can hold: its own journal, or what remains of an erased event.
    Passed,
}

impl What {
    /// A record without an embedding.
    pub(crate) fn record(draft: NewRecord) -> Self {
        Self::Record { draft: Box::new(draft), embedding: None, onto: load::Onto::Replace }
    }
}

/// Why a line cannot be read.
#[derive(Debug)]
pub(crate) enum Fault {
    /// This line is wrong; the next may be right.
    Line(Error),
    /// This is not a file that can be imported.
    File(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Line(error)
    }
}

/// Reads lines of one file.
#[derive(Debug)]
pub(crate) struct Interpreter {
    format: Option<Format>,
    chat: ChatDefaults,
    paragraphs: text::Paragraphs,
    own: own::Reader,
    defaults: rows::Defaults,
}

impl Interpreter {
    /// Reads files of `format`, or recognizes it by the first line that can be read.
    pub(crate) fn new(format: Option<Format>, defaults: rows::Defaults) -> Self {
        let (thread, user) = (defaults.thread.clone(), defaults.user.clone());
        Self {
            format,
            paragraphs: text::Paragraphs::new(thread.clone(), user.clone()),
            chat: ChatDefaults { thread, user },
            own: own::Reader::default(),
            defaults,
        }
    }

    /// The format, once it is known.
    pub(crate) fn format(&self) -> Option<Format> {
        self.format
    }

    /// Gives chat messages without a thread this one, where the command line named none.
    pub(crate) fn default_chat_thread(&mut self, thread: Option<ThreadId>) {
        if self.chat.thread.is_none() {
            self.chat.thread = thread;
        }
    }

    /// Reads a line.
    pub(crate) fn line(&mut self, number: u64, text: &str) -> Result<Vec<Item>, Fault> {
        let blank = text.trim().is_empty();
        if self.format.is_none() && !blank {
            self.format = Some(recognize(text)?);
        }
        match self.format {
            Some(Format::Text) => Ok(self.paragraphs.line(text)?.into_iter().collect()),
            _ if blank => Ok(Vec::new()),
            Some(Format::Mnemic) => Ok(self.own.line(&object(text)?, text)?),
            Some(Format::Conversations) => Ok(vec![conversations::read(&object(text)?)?]),
            Some(Format::Chat) => Ok(chat::read(&object(text)?, number, &self.chat)?.into_iter().collect()),
            Some(Format::McpMemory) => Ok(mcp_memory::read(&object(text)?, &self.defaults)?.into_iter().collect()),
            // These are no lines; they are opened by readers of their own.
            Some(
                Format::Mem0 | Format::Mem0History | Format::Langgraph | Format::Chroma | Format::Csv | Format::Parquet,
            )
            | None => Ok(Vec::new()),
        }
    }

    /// Reads what the end of the file completes.
    pub(crate) fn end(&mut self) -> Result<Vec<Item>> {
        match self.format {
            Some(Format::Text) => Ok(self.paragraphs.end()?.into_iter().collect()),
            Some(Format::Mnemic) => self.own.end(),
            _ => Ok(Vec::new()),
        }
    }
}

/// The object of a line. A question is no memory, whatever the format.
fn object(text: &str) -> Result<Object, Fault> {
    let object = json::parse_object(text)?;
    if object.contains_key("question") {
        let expected = "something to remember";
        let found = "a file of questions; measure with it: mnemic eval --corpus CORPUS --queries FILE";
        return Err(Fault::File(Error::invalid("file", expected, found)));
    }
    Ok(object)
}

fn recognize(text: &str) -> Result<Format, Fault> {
    let start = text.trim_start();
    if start.starts_with('[') && (start.trim_end() == "[" || json::parse(text).is_ok()) {
        let found = "a JSON list (jq -c '.[]' FILE makes lines of it)";
        return Err(Fault::File(Error::invalid("file", "JSON Lines, one object a line, or plain text", found)));
    }
    if !start.starts_with('{') {
        return Ok(Format::Text);
    }
    let object = object(text)?;
    let has = |key: &str| object.contains_key(key);
    if has(own::HEADER) || has("record") {
        Ok(Format::Mnemic)
    } else if mcp_memory::is_one(&object) {
        Ok(Format::McpMemory)
    } else if has("role") {
        Ok(Format::Chat)
    } else if has("conv") || has("speaker") || has("title") {
        Ok(Format::Conversations)
    } else if has("text") {
        Ok(Format::Mnemic)
    } else {
        let keys: Vec<&str> = object.keys().map(String::as_str).take(8).collect();
        let found =
            format!("an object with the keys {}; name the format with --format", mnemic::ids::quoted(&keys.join(", ")));
        Err(Fault::File(Error::invalid("file", "a known format (see mnemic import --help)", found)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_is_recognized_by_its_first_line() {
        for (format, line) in [
            (Format::Mnemic, r#"{"mnemic":{"namespace":"a","wire":1}}"#),
            (Format::Mnemic, r#"{"text":"a plain record"}"#),
            (Format::Conversations, r#"{"conv":"c","id":"1","text":"x"}"#),
            (Format::Conversations, r#"{"id":"p0","title":"t","text":"x"}"#),
            (Format::Chat, r#"{"role":"user","content":"x"}"#),
            (Format::McpMemory, r#"{"type":"entity","name":"Ann","entityType":"person","observations":[]}"#),
            (Format::McpMemory, r#"{"type":"relation","from":"Ann","to":"Bob","relationType":"knows"}"#),
            (Format::Text, "Dear diary"),
            (Format::Text, "[note] a line in brackets"),
        ] {
            let mut interpreter = Interpreter::new(None, rows::Defaults::default());
            interpreter.line(1, "").unwrap();
            interpreter.line(2, line).unwrap();
            assert_eq!(interpreter.format(), Some(format), "{line}");
        }
    }

    #[test]
    fn questions_lists_and_unknown_objects_are_refused_with_advice() {
        for (line, advice) in [
            (r#"{"qid":"1","question":"who?","evidence":["a"]}"#, "mnemic eval"),
            (r#"[{"role":"user"}]"#, "jq -c"),
            (r#"{"foo":1}"#, "--format"),
        ] {
            let fault = Interpreter::new(None, rows::Defaults::default()).line(1, line).unwrap_err();
            let Fault::File(error) = fault else { panic!("expected the file to be refused, found {fault:?}") };
            assert!(error.message().contains(advice), "{error}");
        }
    }

    #[test]
    fn a_broken_first_line_does_not_decide_the_format() {
        let mut interpreter = Interpreter::new(None, rows::Defaults::default());
        assert!(matches!(interpreter.line(1, r#"{"role":"#), Err(Fault::Line(_))));
        interpreter.line(2, r#"{"role":"user","content":"x"}"#).unwrap();
        assert_eq!(interpreter.format(), Some(Format::Chat));
    }
}
