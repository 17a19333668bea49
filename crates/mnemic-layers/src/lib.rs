//! Layers: what every backend needs around it, written once. Not here: any backend, and what a verb does when a part is down.
//!
//! [`Guarded`] wraps an adapter of any port and is that port again; [`Cached`] remembers embeddings. What surrounds a call is chosen by
//! a [`Profile`]; a [`Backend`] holds what all calls to one server share. Concerns apply in this order, outermost first:
//!
//! 1. **Figures** ([`observe`]): every call is counted and timed with all that the others add, also a refused or abandoned one.
//! 2. **Deadline** ([`deadline`]): bounds everything below, so that no queue, sleep or try outlasts it.
//! 3. **Retry** ([`retry`]) within a **budget** ([`budget`]): a loop around what follows, so that each try is admitted like a first one.
//! 4. **Breaker** ([`breaker`]): before the rate limit, so that a call to a backend that is down is refused at once and uses up nothing.
//!    Each try is evidence; a loop of retries ends when any call opens the breaker.
//! 5. **Rate limit** ([`rate`]): inside of the retries, because a vendor counts requests and not intentions.
//! 6. **Timeout** ([`attempt`]): the try itself. Innermost, so that waiting for admission is not held against the backend.
//!
//! Only adapters decide whether an error is worth another try; a layer reads that verdict and never a message.

pub mod attempt;
mod backend;
pub mod breaker;
pub mod budget;
mod cached;
pub mod deadline;
pub mod observe;
mod once;
mod port;
mod profile;
pub mod rate;
pub mod retry;
#[cfg(test)]
mod testing;

pub use backend::{Backend, Status};
pub use breaker::{BreakerConfig, BreakerState, BreakerStatus};
pub use cached::{CacheConfig, CacheFigures, Cached};
pub use deadline::within;
pub use port::Guarded;
pub use profile::{Profile, Times};
pub use rate::RateConfig;
pub use retry::RetryConfig;
