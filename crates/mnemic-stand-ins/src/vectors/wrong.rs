//! Answers that are well formed and wrong, on demand. Not here: answers that are not well formed (`Fault`).

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

/// One way for an answer to be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The last entry is missing.
    TooFew,
    /// There is one entry more.
    TooMany,
    /// Entries stand in another order with their indices, which is allowed. Answers without indices stay as they are.
    Reordered,
    /// The first index stands twice. Answers without indices stay as they are.
    IndexTwice,
    /// An index is beyond the texts. Answers without indices stay as they are.
    IndexBeyond,
    /// One entry has no index. Answers without indices stay as they are.
    NoIndex,
    /// Vectors are one component short.
    Shorter,
    /// Vectors are one component long.
    Longer,
    /// Vectors are empty.
    Empty,
    /// A component of the last vector is no number: NaN in base64, `null` as JSON, as servers print it.
    NotANumber,
    /// A component of the last vector is infinite in base64 and above every 32-bit float as JSON.
    Infinite,
    /// The last vector is zero.
    Zero,
}

/// The wrong answers that a stand-in is to give. Clones are the same list.
#[derive(Clone, Debug, Default)]
pub struct Wrongs(Arc<Mutex<VecDeque<Wrong>>>);

impl Wrongs {
    /// The next answers are wrong like this, one each, after those already waiting.
    pub fn next(&self, wrongs: impl IntoIterator<Item = Wrong>) -> &Self {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(wrongs);
        self
    }

    fn draw(&self) -> Option<Wrong> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Makes one answer wrong, if one is waiting for that.
    pub(crate) fn spoil(&self, entries: &mut Vec<Entry>) {
        if let Some(wrong) = self.draw() {
            spoil(wrong, entries);
        }
    }
}

/// One vector of an answer, or one score as a vector of one component.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) index: Option<usize>,
    pub(crate) vector: Vec<f32>,
}

impl Entry {
    /// Entries with the indices of their places.
    pub(crate) fn all(vectors: Vec<Vec<f32>>) -> Vec<Self> {
        vectors.into_iter().enumerate().map(|(n, vector)| Self { index: Some(n), vector }).collect()
    }
}

fn spoil(wrong: Wrong, entries: &mut Vec<Entry>) {
    let count = entries.len();
    match wrong {
        Wrong::TooFew => drop(entries.pop()),
        Wrong::TooMany => entries.extend(entries.last().cloned().map(|last| Entry { index: Some(count), ..last })),
        Wrong::Reordered => entries.reverse(),
        Wrong::IndexTwice | Wrong::IndexBeyond | Wrong::NoIndex => {
            if let Some(last) = entries.last_mut() {
                last.index = match wrong {
                    Wrong::IndexTwice if count > 1 => Some(0),
                    Wrong::NoIndex => None,
                    _ => Some(count),
                };
            }
        }
        Wrong::Shorter => {
            for entry in entries.iter_mut() {
                entry.vector.pop();
            }
        }
        Wrong::Longer => {
            for entry in entries.iter_mut() {
                entry.vector.push(0.5);
            }
        }
        Wrong::Empty => {
            for entry in entries.iter_mut() {
                entry.vector.clear();
            }
        }
        Wrong::NotANumber | Wrong::Infinite | Wrong::Zero => {
            let Some(last) = entries.last_mut() else { return };
            if wrong == Wrong::Zero {
                last.vector.fill(0.0);
            } else if let Some(component) = last.vector.first_mut() {
                *component = if wrong == Wrong::Infinite { f32::INFINITY } else { f32::NAN };
            }
        }
    }
}

/// Whether order tells nothing without indices.
pub(crate) fn needs_indices(wrong: Wrong) -> bool {
    matches!(wrong, Wrong::Reordered | Wrong::IndexTwice | Wrong::IndexBeyond | Wrong::NoIndex)
}

impl Wrongs {
    /// Makes one answer without indices wrong, if one is waiting for that.
    pub(crate) fn spoil_ordered(&self, vectors: Vec<Vec<f32>>) -> Vec<Vec<f32>> {
        let mut entries = Entry::all(vectors);
        if let Some(wrong) = self.draw().filter(|wrong| !needs_indices(*wrong)) {
            spoil(wrong, &mut entries);
        }
        entries.into_iter().map(|entry| entry.vector).collect()
    }
}

/// A component as JSON. What is not finite prints as servers in other languages print it and still parses.
pub(crate) fn number(component: f32) -> serde_json::Value {
    if component.is_infinite() { serde_json::json!(1e39) } else { serde_json::json!(component) }
}
