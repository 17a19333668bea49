//! One namespace's index as bytes: what is in them and how they are checked. Not here: files (`files`), numbers and strings (`codec`).
//!
//! ```text
//! "MNEMIX\r\n"  format: u32  crc32 of all that follows: u32  length of what follows the length: u64
//! namespace, fingerprint of the text analysis, position, model?, rows, embeddings, terms with postings
//! ```
//! A snapshot is compact: ordinals have no gaps and every term is held by some row, so nothing of a removed record is in it. Bitmaps and
//! columns are made anew from the rows, which is fast and cannot disagree with them.

use mnemic_core::{
    ChangeSeq, EmbeddingModel, Metric, Namespace, Ratio, RecordId, RecordKind, ThreadId, Timestamp, UserId, Version,
};

use super::{
    codec::{Malformed, Reader, Writer},
    dense::DenseIndex,
    postings::{Postings, TextIndex},
    rows::{Row, Rows},
    state::State,
};
use crate::analyze::fingerprint;

const MAGIC: &[u8; 8] = b"MNEMIX\r\n";
const FORMAT: u32 = 1;

/// Bytes before the part that the header's length counts.
pub(crate) const HEADER: usize = 24;

/// The bytes of a state, which has been compacted.
pub(crate) fn encode(namespace: &Namespace, state: &State) -> Vec<u8> {
    let mut out = Writer(vec![0; HEADER]);
    out.string(namespace.as_str());
    out.u32(fingerprint());
    out.u64(state.position.0);
    out.option(state.dense.model(), |out, model| {
        out.string(model.provider());
        out.string(model.name());
        out.u32(model.dimension());
        out.string(model.metric().as_str());
    });
    out.count(state.rows.len());
    state.rows.iter().for_each(|(_, row)| encode_row(&mut out, row));
    encode_dense(&mut out, &state.dense, state.rows.len());
    encode_text(&mut out, &state.text);
    seal(out.0)
}

/// Fills in the header.
fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    let length = (bytes.len() - HEADER) as u64;
    let mut head = Writer::default();
    head.0.extend_from_slice(MAGIC);
    head.u32(FORMAT);
    let mut crc = crc32fast::Hasher::new();
    crc.update(&length.to_le_bytes());
    crc.update(bytes.get(HEADER..).unwrap_or_default());
    head.u32(crc.finalize());
    head.u64(length);
    if let Some(place) = bytes.get_mut(..HEADER) {
        place.copy_from_slice(&head.0);
    }
    bytes
}

/// How many bytes must follow this header.
pub(crate) fn body_length(header: &[u8]) -> Result<u64, Malformed> {
    let mut header = Reader(header);
    if header.bytes(MAGIC.len())? != MAGIC {
        return Err(Malformed("it is not an index snapshot"));
    }
    if header.u32()? != FORMAT {
        return Err(Malformed("it has another format"));
    }
    header.u32()?;
    header.u64()
}

/// Reads what `encode` wrote for the same namespace.
pub(crate) fn decode(namespace: &Namespace, bytes: &[u8]) -> Result<State, Malformed> {
    let (header, body) = bytes.split_at_checked(HEADER).ok_or(Malformed("it ends too early"))?;
    if body_length(header)? != body.len() as u64 {
        return Err(Malformed("it is longer or shorter than it says"));
    }
    let mut sum = Reader(header.get(12..).unwrap_or_default());
    let expected = sum.u32()?;
    let mut crc = crc32fast::Hasher::new();
    crc.update(sum.0);
    crc.update(body);
    // Nothing is decoded before the checksum holds.
    if crc.finalize() != expected {
        return Err(Malformed("its checksum does not hold"));
    }
    decode_body(namespace, &mut Reader(body))
}

fn decode_body(namespace: &Namespace, from: &mut Reader<'_>) -> Result<State, Malformed> {
    if from.string()? != namespace.as_str() {
        return Err(Malformed("it belongs to another namespace"));
    }
    if from.u32()? != fingerprint() {
        return Err(Malformed("its texts were analyzed differently"));
    }
    let position = ChangeSeq(from.u64()?);
    let model = from.option(decode_model)?;
    let count = from.count(48)?;
    let rows = (0..count).map(|_| decode_row(from)).collect::<Result<_, _>>()?;
    let rows = Rows::from_rows(rows).ok_or(Malformed("a record occurs twice"))?;
    let dense = decode_dense(from, model.as_ref(), count)?;
    let text = decode_text(from, count)?;
    if !from.0.is_empty() {
        return Err(Malformed("something follows its end"));
    }
    Ok(State::from_parts(position, rows, text, dense))
}

fn refused<E>(what: &'static str) -> impl Fn(E) -> Malformed {
    move |_| Malformed(what)
}

fn decode_model(from: &mut Reader<'_>) -> Result<EmbeddingModel, Malformed> {
    let (provider, name, dimension) = (from.string()?, from.string()?, from.u32()?);
    if from.string()? != Metric::Cosine.as_str() {
        return Err(Malformed("its metric is unknown"));
    }
    EmbeddingModel::new(provider, name, dimension, Metric::Cosine).map_err(refused("its model is not one"))
}

fn encode_row(out: &mut Writer, row: &Row) {
    out.string(row.id.as_str());
    out.u64(row.version.0);
    out.option(row.user_id.as_ref(), |out, id| out.string(id.as_str()));
    out.option(row.thread_id.as_ref(), |out, id| out.string(id.as_str()));
    out.u8(RecordKind::ALL.iter().position(|kind| *kind == row.kind).unwrap_or(0) as u8);
    out.string(&row.text);
    for labels in [&row.path, &row.tags] {
        out.count(labels.len());
        labels.iter().for_each(|label| out.string(label));
    }
    out.object(&row.metadata);
    out.string(&row.source);
    for ratio in [row.salience, row.confidence] {
        out.option(ratio, |out, ratio| out.u64(ratio.get().to_bits()));
    }
    for time in [row.created_at, row.updated_at, row.valid_from] {
        out.i64(time.as_micros());
    }
    for time in [row.valid_to, row.expires_at] {
        out.option(time, |out, time| out.i64(time.as_micros()));
    }
    out.option(row.superseded_by.as_ref(), |out, id| out.string(id.as_str()));
}

fn decode_row(from: &mut Reader<'_>) -> Result<Row, Malformed> {
    Ok(Row {
        id: decode_id(from)?,
        version: Version(from.u64()?),
        user_id: from.option(|from| UserId::new(from.string()?).map_err(refused("a user id is not one")))?,
        thread_id: from.option(|from| ThreadId::new(from.string()?).map_err(refused("a thread id is not one")))?,
        kind: *RecordKind::ALL.get(usize::from(from.u8()?)).ok_or(Malformed("a kind is unknown"))?,
        text: from.string()?.into(),
        path: decode_labels(from)?,
        tags: decode_labels(from)?,
        metadata: from.object()?,
        source: from.string()?.into(),
        salience: from.option(decode_ratio)?,
        confidence: from.option(decode_ratio)?,
        created_at: decode_time(from)?,
        updated_at: decode_time(from)?,
        valid_from: decode_time(from)?,
        valid_to: from.option(decode_time)?,
        expires_at: from.option(decode_time)?,
        superseded_by: from.option(decode_id)?,
    })
}

fn decode_id(from: &mut Reader<'_>) -> Result<RecordId, Malformed> {
    RecordId::new(from.string()?).map_err(refused("a record id is not one"))
}

fn decode_labels(from: &mut Reader<'_>) -> Result<Box<[Box<str>]>, Malformed> {
    let count = from.count(4)?;
    (0..count).map(|_| from.string().map(Into::into)).collect()
}

fn decode_ratio(from: &mut Reader<'_>) -> Result<Ratio, Malformed> {
    Ratio::new("ratio", f64::from_bits(from.u64()?)).map_err(refused("a ratio is not one"))
}

fn decode_time(from: &mut Reader<'_>) -> Result<Timestamp, Malformed> {
    Timestamp::from_micros(from.i64()?).map_err(refused("a time is not one"))
}

/// One mark per row, whether it has an embedding; then the embeddings.
fn encode_dense(out: &mut Writer, dense: &DenseIndex, rows: usize) {
    let vectors: Vec<Option<&[f32]>> = (0..rows as u32).map(|row| dense.vector(row)).collect();
    out.0.extend(vectors.iter().map(|vector| u8::from(vector.is_some())));
    vectors.into_iter().flatten().for_each(|vector| out.f32s(vector));
}

fn decode_dense(from: &mut Reader<'_>, model: Option<&EmbeddingModel>, rows: usize) -> Result<DenseIndex, Malformed> {
    let mut dense = DenseIndex::default();
    if let Some(model) = model {
        dense.adopt(model).map_err(refused("its model is not one"))?;
    }
    let marks = from.bytes(rows)?;
    if marks.iter().all(|mark| *mark == 1) {
        dense.reserve(rows);
    }
    for (row, mark) in (0..).zip(marks) {
        if *mark == 1 && !dense.set(row, &from.f32s(dense.dimension())?) {
            return Err(Malformed("an embedding has no direction"));
        } else if *mark > 1 {
            return Err(Malformed("a mark of presence is neither 0 nor 1"));
        }
    }
    Ok(dense)
}

fn encode_text(out: &mut Writer, text: &TextIndex) {
    out.u32s(&text.lengths);
    let held = text.postings.iter().filter(|postings| postings.live > 0).count();
    out.count(held);
    for (term, postings) in text.lexicon.by_number().into_iter().zip(&text.postings) {
        if postings.live > 0 {
            out.string(term);
            out.count(postings.rows.len());
            out.u32s(&postings.rows);
            out.u16s(&postings.counts);
        }
    }
}

fn decode_text(from: &mut Reader<'_>, rows: usize) -> Result<TextIndex, Malformed> {
    let lengths = from.u32s(rows)?;
    let count = from.count(14)?;
    let mut terms = Vec::with_capacity(count);
    let mut lists = Vec::with_capacity(count);
    for _ in 0..count {
        terms.push(from.string()?.into());
        let live = from.count(6)?;
        let postings = Postings { rows: from.u32s(live)?, counts: from.u16s(live)?, live: live as u32 };
        let ascending = postings.rows.is_sorted_by(|a, b| a < b);
        let within = postings.rows.last().is_some_and(|last| (*last as usize) < rows);
        if !ascending || !within || postings.counts.contains(&0) {
            return Err(Malformed("a term's records are out of order"));
        }
        lists.push(postings);
    }
    TextIndex::from_parts(terms, lists, lengths).ok_or(Malformed("a term occurs twice"))
}
