//! Pure policies: `(inputs, now) -> decision`. Not here: performing decisions (the manager does).

pub mod audit;
pub mod consolidation;
pub mod duplicates;
pub mod fusion;
pub mod priors;
pub mod prompt;
pub mod ranking;
pub mod reflection;
pub mod tokens;
