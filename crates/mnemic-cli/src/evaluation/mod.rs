//! Measuring retrieval against questions whose answers are known: questions, figures, tables, the run.
//! Not here: how retrieval works, nor which data is good to measure with.

pub(crate) mod metrics;
pub(crate) mod questions;
pub(crate) mod run;
pub(crate) mod table;
