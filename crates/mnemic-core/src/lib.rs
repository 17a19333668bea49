//! The nouns, the five ports and the pure policies of Mnemic: no I/O, no runtime, no serialization framework.
//! Not here: any backend, any wire form, any door.

mod batch;
mod embedding;
mod error;
mod event;
pub mod filter;
pub mod ids;
pub mod limits;
mod page;
mod past;
pub mod policy;
pub mod ports;
mod record;
mod retrieval;
mod role;
mod slots;
pub mod suggest;
mod time;
pub mod value;

pub use batch::{
    AppendOutcome, Appended, Batch, Change, ChangeSeq, Changed, EmbeddingWrite, EraseReceipt, EraseTarget, Erasure,
    Idempotency, OutboxId, OutboxItem, Receipt, RecordDelete, RecordWrite, Revision, RevisionKind, Task, Written,
};
pub use embedding::{Embedding, EmbeddingModel, Metric, inner_product};
pub use error::{Error, ErrorKind, Result, Retry};
pub use event::{AuditEvent, ChainedEvent, Digest, Salt, Sequence, ThreadSummary};
pub use filter::{Comparison, Field, Filter, Operand};
pub use ids::{EventId, Namespace, RecordId, ThreadId, UserId};
pub use page::{Cursor, Order, Page, PageRequest};
pub use past::{PastChange, PastCommit, PastWrite, Removed};
pub use record::{MemoryRecord, Provenance, Ratio, RecordKind, StoredRecord, Version};
pub use retrieval::{Explanation, Hit, Leg, LegScore, PriorFactor};
pub use role::{ADDRESS_BYTES, Address, Assignment, Mirror, Role};
pub use slots::{Precondition, SlotMode, SlotWrite, Slots, VersionedSlots};
pub use time::Timestamp;
pub use value::{Number, Object, Value};
