//! What the tests of the local index share: records, changes, random memories. Not here: any test.
#![allow(dead_code, reason = "each test binary uses its own part")]

use mnemic_core::{
    ChangeSeq, Embedding, EmbeddingModel, Filter, MemoryRecord, Metric, Namespace, Object, Ratio, RecordId, RecordKind,
    StoredRecord, ThreadId, Timestamp, UserId, Value, Version,
    ports::{Index, IndexChange, IndexHit},
};
use mnemic_indexes::{LocalIndex, LocalIndexConfig};

pub(crate) const DIMENSION: u32 = 12;

pub(crate) fn namespace() -> Namespace {
    Namespace::new("case").unwrap()
}

pub(crate) fn model() -> EmbeddingModel {
    EmbeddingModel::new("test", "random", DIMENSION, Metric::Cosine).unwrap()
}

pub(crate) fn in_memory() -> LocalIndex {
    LocalIndex::new(LocalIndexConfig::default()).unwrap()
}

pub(crate) fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).unwrap()
}

pub(crate) fn record(id: &str, text: &str) -> MemoryRecord {
    let mut record = MemoryRecord::new(RecordId::new(id).unwrap(), text, at(1_000_000));
    record.version = Version(1);
    record
}

pub(crate) fn written(seq: u64, record: MemoryRecord) -> IndexChange {
    IndexChange { seq: ChangeSeq(seq), id: record.id.clone(), record: Some(StoredRecord { record, embedding: None }) }
}

pub(crate) fn embedded(seq: u64, record: MemoryRecord, components: Vec<f32>) -> IndexChange {
    let embedding = Some(Embedding::new(&model(), components).unwrap());
    IndexChange { seq: ChangeSeq(seq), id: record.id.clone(), record: Some(StoredRecord { record, embedding }) }
}

pub(crate) fn gone(seq: u64, id: &str) -> IndexChange {
    IndexChange { seq: ChangeSeq(seq), id: RecordId::new(id).unwrap(), record: None }
}

/// Feeds texts named `0`, `1`, … to a new index.
pub(crate) async fn fed(texts: &[&str]) -> LocalIndex {
    let index = in_memory();
    let changes: Vec<IndexChange> =
        (1..).zip(texts).map(|(seq, text)| written(seq, record(&(seq - 1).to_string(), text))).collect();
    index.apply(&namespace(), &changes, ChangeSeq(texts.len() as u64)).await.unwrap();
    index
}

pub(crate) async fn words(index: &LocalIndex, query: &str) -> Vec<String> {
    ids(&index.search_text(&namespace(), query, &Filter::all(), 100).await.unwrap())
}

pub(crate) fn ids(hits: &[IndexHit]) -> Vec<String> {
    hits.iter().map(|hit| hit.id.to_string()).collect()
}

/// Hits with their scores' exact bits.
pub(crate) fn exact(hits: &[IndexHit]) -> Vec<(String, u64, u32)> {
    hits.iter().map(|hit| (hit.id.to_string(), hit.version.0, hit.score.to_bits())).collect()
}

/// A small generator, so that a failure repeats.
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    pub(crate) fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    pub(crate) fn vector(&mut self) -> Vec<f32> {
        // Few distinct values, so that equal scores are frequent.
        let mut vector: Vec<f32> = (0..DIMENSION).map(|_| self.below(5) as f32 - 2.0).collect();
        vector[0] += 0.5;
        vector
    }

    pub(crate) fn text(&mut self) -> String {
        const WORDS: [&str; 24] = [
            "documents",
            "document",
            "hearing",
            "hearings",
            "visa",
            "I-485",
            "the",
            "and",
            "is",
            "fee",
            "1055",
            "документы",
            "документов",
            "слушание",
            "и",
            "ёлка",
            "елки",
            "東京都",
            "京都",
            "die",
            "Häuser",
            "user_id",
            "don't",
            "🙂",
        ];
        let count = self.below(12);
        (0..count).map(|_| self.pick(&WORDS)).collect::<Vec<_>>().join(" ")
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(3) > 0).then(|| make(self))
    }

    pub(crate) fn record(&mut self, id: &str, version: u64) -> MemoryRecord {
        let mut record = record(id, &self.text());
        record.version = Version(version);
        record.user_id = self.maybe(|r| UserId::new(r.pick(&USERS)).unwrap());
        record.thread_id = self.maybe(|r| ThreadId::new(r.pick(&USERS)).unwrap());
        record.kind = RecordKind::ALL[self.below(4)];
        record.path = (0..self.below(3)).map(|_| self.pick(&LABELS).to_owned()).collect();
        record.tags = (0..self.below(3)).map(|_| self.pick(&LABELS).to_owned()).collect();
        self.pick(&["user", "agent", "web"]).clone_into(&mut record.source);
        record.salience = self.maybe(|r| Ratio::new("salience", r.below(5) as f64 / 4.0).unwrap());
        record.confidence = self.maybe(|r| Ratio::new("confidence", r.below(5) as f64 / 4.0).unwrap());
        record.created_at = at(self.below(20) as i64);
        record.updated_at = at(self.below(20) as i64);
        record.valid_from = at(self.below(20) as i64 - 10);
        record.valid_to = self.maybe(|r| at(30 + r.below(20) as i64));
        record.expires_at = self.maybe(|r| at(r.below(20) as i64));
        record.superseded_by = self.maybe(|r| RecordId::new(r.pick(&LABELS)).unwrap());
        record.metadata = self.metadata();
        record
    }

    fn metadata(&mut self) -> Object {
        let mut object = Object::new();
        for key in ["a", "b"] {
            let value = match self.below(7) {
                0 => continue,
                1 => Value::Null,
                2 => Value::from(self.below(3) as i64),
                3 => Value::from(self.pick(&LABELS)),
                4 => Value::from(self.below(2) == 0),
                5 => Value::Array(vec![Value::from(self.below(3) as i64), Value::from(self.pick(&LABELS))]),
                _ => Value::Object(Object::from([("c".to_owned(), Value::from(self.below(3) as i64))])),
            };
            object.insert(key.to_owned(), value);
        }
        object
    }
}

pub(crate) const USERS: [&str; 3] = ["anna", "boris", "chen"];
pub(crate) const LABELS: [&str; 4] = ["fee", "visa", "home", "visa fee"];
