//! The memory record: one durable statement. Not here: its wire form (`mnemic::wire`) and its stored forms (adapters).

use std::{collections::BTreeSet, fmt, str::FromStr};

use crate::{
    Embedding, Error, EventId, Object, RecordId, Result, ThreadId, Timestamp, UserId,
    ids::{check_label, check_text, quoted},
    limits,
    suggest::nearest,
    value::check_object,
};

/// What sort of statement a record is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordKind {
    /// A fact that holds until something replaces it.
    #[default]
    Semantic,
    /// Something that happened.
    Episodic,
    /// How somebody is, or wants to be treated.
    Persona,
    /// Something that is still to be done or answered.
    OpenLoop,
}

impl RecordKind {
    /// Every kind, in declaration order.
    pub const ALL: [Self; 4] = [Self::Semantic, Self::Episodic, Self::Persona, Self::OpenLoop];

    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Semantic => "semantic",
            Self::Episodic => "episodic",
            Self::Persona => "persona",
            Self::OpenLoop => "open_loop",
        }
    }
}

impl fmt::Display for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for RecordKind {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str);
            let hint = nearest(name, &names).map(|n| format!(" (did you mean {n}?)")).unwrap_or_default();
            Error::invalid("kind", "one of semantic, episodic, persona, open_loop", format!("{}{hint}", quoted(name)))
        })
    }
}

/// A finite number from 0 to 1: salience (how much it matters) or confidence (how sure we are).
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Ratio(f64);

impl Ratio {
    /// The middle, which priors take where no salience is stored.
    pub const HALF: Self = Self(0.5);
    /// Everything.
    pub const ONE: Self = Self(1.0);

    /// Accepts 0 to 1.
    ///
    /// # Errors
    /// `InvalidInput`, naming `field`.
    pub fn new(field: &str, value: f64) -> Result<Self> {
        if (0.0..=1.0).contains(&value) {
            // Adding zero turns -0.0 into 0.0, so that equal ratios have equal bytes.
            Ok(Self(value + 0.0))
        } else {
            Err(Error::invalid(field, "a number from 0 to 1", value))
        }
    }

    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// The larger of two.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self(self.0.max(other.0))
    }
}

/// Counts the revisions of one record (or of a thread's slots), from 1. Zero means: not there yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(pub u64);

impl Version {
    /// The version before the first.
    pub const NONE: Self = Self(0);

    /// The version after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which events and records a record came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// The events that were reflected into it.
    pub events: BTreeSet<EventId>,
    /// The records that it was merged or derived from.
    pub records: BTreeSet<RecordId>,
}

impl Provenance {
    /// Whether nothing is known about the origin.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.records.is_empty()
    }
}

/// One durable statement.
#[derive(Clone, Debug, PartialEq)]
pub struct MemoryRecord {
    /// Identity inside the namespace.
    pub id: RecordId,
    /// Whom it is about.
    pub user_id: Option<UserId>,
    /// The conversation or run that it belongs to.
    pub thread_id: Option<ThreadId>,
    /// What sort of statement it is.
    pub kind: RecordKind,
    /// The statement, kept byte for byte as given.
    pub text: String,
    /// Label segments, outermost first, for example `case/o1a`.
    pub path: Vec<String>,
    /// Labels without order.
    pub tags: BTreeSet<String>,
    /// Anything else, as a JSON object.
    pub metadata: Object,
    /// Who or what said it.
    pub source: String,
    /// How much it matters, where somebody said so.
    pub salience: Option<Ratio>,
    /// How sure we are, where somebody said so.
    pub confidence: Option<Ratio>,
    /// When the first revision was made. A replacing write never moves it forward.
    pub created_at: Timestamp,
    /// When this revision was made.
    pub updated_at: Timestamp,
    /// From when on the statement holds in the world.
    pub valid_from: Timestamp,
    /// Until when it holds; exclusive.
    pub valid_to: Option<Timestamp>,
    /// When it stops being memory (the seed's `decay_at`): hidden from that instant on, removed by consolidation.
    pub expires_at: Option<Timestamp>,
    /// The newer record that replaces it.
    pub superseded_by: Option<RecordId>,
    /// Where it came from.
    pub provenance: Provenance,
    /// Which revision this is. The ledger sets it; what a caller puts here is ignored.
    pub version: Version,
}

impl MemoryRecord {
    /// A semantic record with `text`, made at `now`, everything else empty.
    pub fn new(id: RecordId, text: impl Into<String>, now: Timestamp) -> Self {
        Self {
            id,
            user_id: None,
            thread_id: None,
            kind: RecordKind::Semantic,
            text: text.into(),
            path: Vec::new(),
            tags: BTreeSet::new(),
            metadata: Object::new(),
            source: "user".to_owned(),
            salience: None,
            confidence: None,
            created_at: now,
            updated_at: now,
            valid_from: now,
            valid_to: None,
            expires_at: None,
            superseded_by: None,
            provenance: Provenance::default(),
            version: Version::NONE,
        }
    }

    /// Checks everything that types do not.
    ///
    /// # Errors
    /// `InvalidInput`, naming the field, the limit and what came.
    pub fn check(&self) -> Result<()> {
        check_text("text", &self.text, limits::TEXT_BYTES)?;
        if self.text.trim().is_empty() {
            return Err(Error::invalid("text", "something to remember", "only white space"));
        }
        check_label("source", &self.source, limits::LABEL_BYTES)?;
        check_labels("tags", self.tags.iter(), limits::TAGS)?;
        check_labels("path", self.path.iter(), limits::PATH_SEGMENTS)?;
        check_object("metadata", &self.metadata)?;
        let links = self.provenance.events.len() + self.provenance.records.len();
        if links > limits::PROVENANCE_LINKS {
            let expected = format!("at most {} links", limits::PROVENANCE_LINKS);
            return Err(Error::invalid("provenance", expected, format!("{links} links")));
        }
        if self.valid_to.is_some_and(|end| end <= self.valid_from) {
            let found = self.valid_to.map_or_else(String::new, |end| end.to_string());
            return Err(Error::invalid("valid_to", format!("an instant after valid_from {}", self.valid_from), found));
        }
        if self.superseded_by.as_ref() == Some(&self.id) {
            return Err(Error::invalid("superseded_by", "another record's id", "the record's own id"));
        }
        Ok(())
    }

    /// Whether retrieval at `now` may show it: not expired, not superseded, valid at that instant. What was valid when it was written
    /// has begun, whatever `now` says: the clock that it was written by may be ahead of this one, or this one was set back.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
            && self.superseded_by.is_none()
            && self.valid_from <= now.max(self.updated_at)
            && self.valid_to.is_none_or(|end| now < end)
    }
}

/// Checks a list of labels: how many, and each one.
///
/// # Errors
/// `InvalidInput`, naming `field` and the position.
pub(crate) fn check_labels<'a>(
    field: &str,
    labels: impl ExactSizeIterator<Item = &'a String>,
    most: usize,
) -> Result<()> {
    if labels.len() > most {
        return Err(Error::invalid(field, format!("at most {most} entries"), format!("{} entries", labels.len())));
    }
    for (i, label) in labels.enumerate() {
        check_label(&format!("{field}[{i}]"), label, limits::LABEL_BYTES)?;
    }
    Ok(())
}

/// A record with its embedding, as ledgers hold it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRecord {
    /// The record.
    pub record: MemoryRecord,
    /// Its embedding; `None` while it is pending, when the embedder makes none, or when the reader asked for none.
    pub embedding: Option<Embedding>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> MemoryRecord {
        MemoryRecord::new(RecordId::new("r").unwrap(), "text", Timestamp::from_micros(1_000_000).unwrap())
    }

    #[test]
    fn a_wrong_record_is_refused_by_field() {
        type Break = fn(&mut MemoryRecord);
        let cases: [(&str, Break); 8] = [
            ("text", |r| r.text = " \n".into()),
            ("text", |r| r.text = "a\0b".into()),
            ("text", |r| r.text = "x".repeat(limits::TEXT_BYTES + 1)),
            ("tags[0]", |r| r.tags = [String::new()].into()),
            ("path", |r| r.path = vec!["p".into(); limits::PATH_SEGMENTS + 1]),
            ("valid_to", |r| r.valid_to = Some(r.valid_from)),
            ("superseded_by", |r| r.superseded_by = Some(r.id.clone())),
            ("source", |r| r.source = "a\u{7}".into()),
        ];
        for (field, break_it) in cases {
            let mut broken = record();
            break_it(&mut broken);
            assert_eq!(broken.check().unwrap_err().field(), Some(field));
        }
        let mut full = record();
        full.text = "x".repeat(limits::TEXT_BYTES);
        full.check().unwrap();
    }

    #[test]
    fn a_record_is_hidden_from_the_instant_it_expires_and_while_it_is_not_valid() {
        let at = |micros| Timestamp::from_micros(micros).unwrap();
        let mut expiring = record();
        expiring.expires_at = Some(at(2_000_000));
        assert!(expiring.is_live(at(1_999_999)) && !expiring.is_live(at(2_000_000)));
        let mut bounded = record();
        (bounded.valid_from, bounded.valid_to) = (at(2_000_000), Some(at(3_000_000)));
        assert!(!bounded.is_live(at(1_999_999)) && bounded.is_live(at(2_000_000)) && !bounded.is_live(at(3_000_000)));
        // Written as valid, at 1 s by the writer's clock.
        assert!(record().is_live(at(999_999)));
        let mut replaced = record();
        replaced.superseded_by = Some(RecordId::new("newer").unwrap());
        assert!(!replaced.is_live(at(1_500_000)));
    }

    #[test]
    fn a_ratio_lies_between_zero_and_one() {
        for bad in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Ratio::new("salience", bad).unwrap_err().field(), Some("salience"));
        }
        assert_eq!(Ratio::new("salience", -0.0).unwrap().get().to_bits(), 0.0f64.to_bits());
    }

    #[test]
    fn a_misspelt_kind_names_the_nearest() {
        assert!("semantik".parse::<RecordKind>().unwrap_err().to_string().contains("did you mean semantic"));
    }
}
