//! Records and queries to measure with: 200-character sentences in English and Russian, tags, metadata; the same in every run.
//! Not here: real conversations (`mnemic eval`).

use mnemic::{NewRecord, RecordId, RecordKind, Result, ThreadId, UserId, Value, wire::json};

/// Where the words come from: the example memory of the legal-case assistant, in both languages.
const SOURCES: [&str; 2] = [
    include_str!("../../examples/legal-case/client-petrova.jsonl"),
    include_str!("../../examples/legal-case/client-okafor.jsonl"),
];

/// Characters of one record's text.
const TEXT_CHARS: usize = 200;
/// One in this many words is a rare one, such as a name or a number, as in real memories.
const RARE_EVERY: u64 = 12;

/// Makes records and queries.
#[derive(Debug)]
pub(crate) struct Corpus {
    english: Vec<String>,
    russian: Vec<String>,
    dice: Dice,
}

impl Corpus {
    /// Starts from `seed`.
    pub(crate) fn new(seed: u64) -> Result<Self> {
        let (mut english, mut russian) = (Vec::new(), Vec::new());
        for line in SOURCES.iter().flat_map(|source| source.lines()) {
            let object = json::parse_object(line)?;
            let text = object.values().filter_map(Value::as_object).find_map(text_of);
            for word in text.into_iter().flat_map(str::split_whitespace) {
                let word = word.trim_matches(|c: char| !c.is_alphanumeric());
                if word.is_empty() {
                    continue;
                }
                let of_language =
                    if word.chars().any(|c| ('а'..='я').contains(&c)) { &mut russian } else { &mut english };
                of_language.push(word.to_owned());
            }
        }
        Ok(Self { english, russian, dice: Dice::new(seed) })
    }

    /// A record: two of three in English, one in Russian.
    pub(crate) fn record(&mut self, number: usize) -> Result<NewRecord> {
        let text = self.sentence(number % 3 == 2, TEXT_CHARS);
        let user = format!("user-{:03}", (self.next() % 100) * (self.next() % 100) / 100);
        let (first, second) = (self.next() % 50, self.next() % 50);
        Ok(NewRecord::new(text)
            .with_id(RecordId::new(format!("record-{number:07}"))?)
            .with_kind(if number.is_multiple_of(4) { RecordKind::Episodic } else { RecordKind::Semantic })
            .with_user_id(UserId::new(user)?)
            .with_thread_id(ThreadId::new(format!("thread-{}", number / 40))?)
            .with_tags([format!("tag-{first}"), format!("tag-{second}")])
            .with_metadata("form", format!("I-{}", 100 + self.next() % 400))
            .with_metadata("page", self.next() % 1000))
    }

    /// `count` records.
    pub(crate) fn records(&mut self, from: usize, count: usize) -> Result<Vec<NewRecord>> {
        (from..from + count).map(|number| self.record(number)).collect()
    }

    /// A question of about six words.
    pub(crate) fn query(&mut self, number: usize) -> String {
        self.sentence(number % 3 == 2, 40)
    }

    fn sentence(&mut self, russian: bool, chars: usize) -> String {
        let mut text = String::with_capacity(2 * chars);
        let mut length = 0;
        while length < chars {
            let word = self.word(russian);
            if !text.is_empty() {
                text.push(' ');
            }
            length += word.chars().count() + 1;
            text.push_str(&word);
        }
        text
    }

    /// A word as often as the example uses it, since the list holds every use of it.
    fn word(&mut self, russian: bool) -> String {
        let draw = self.next();
        if draw.is_multiple_of(RARE_EVERY) {
            return format!(
                "{}{}",
                ["Rivo", "Kamen", "Teslo", "WAC", "Ostro", "Belin"].get((draw / 16 % 6) as usize).unwrap_or(&"x"),
                self.next() % 20_000
            );
        }
        let words = if russian { &self.russian } else { &self.english };
        words.get((draw / RARE_EVERY) as usize % words.len().max(1)).cloned().unwrap_or_default()
    }

    fn next(&mut self) -> u64 {
        self.dice.next()
    }
}

/// Splitmix64: short, and good enough for choosing words.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// Starts from `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.max(1))
    }

    /// The next number, below 2^63.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) >> 1
    }
}

fn text_of(object: &mnemic::Object) -> Option<&str> {
    let direct = object.get("text").and_then(Value::as_str);
    direct.or_else(|| object.get("payload")?.as_object()?.get("text")?.as_str())
}
