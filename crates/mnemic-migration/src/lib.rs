//! Moves memory from one ledger to another, so that the other becomes the same memory: same ids, versions, history, chain and feed.
//! Not here: ledgers (adapters), and which ones to move between (the facade).
//!
//! A ledger's change feed numbers everything that ever happened to a namespace. [`past`] reads it together with what is still known of
//! each change, and `Ledger::repeat` repeats it elsewhere at the same positions. So the target's own head is the journal of a copy:
//! it can be stopped at any point, and goes on from where it is. What is carried may pass a [`Lens`]: [`Reembed`] gives the copy
//! embeddings of another model, and leaves everything else as it is.

mod compare;
mod fields;
mod follow;
mod lens;
mod past;
mod reembed;
mod removed;

pub use compare::{Comparison, Expected, compare, compare_expecting};
pub use follow::{Followed, follow, follow_through};
pub use lens::{AsIs, Lens};
pub use past::past;
pub use reembed::{Reembed, missing};
pub use removed::{Side, removed};
