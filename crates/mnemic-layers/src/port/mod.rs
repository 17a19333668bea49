//! A guarded adapter is the port again. Not here: what guards it (`backend`).

mod embedder;
mod index;
mod ledger;
mod reranker;

use std::{fmt, sync::Arc};

use crate::backend::Backend;

/// An adapter of any port with everything around it that its backend's profile says; it implements the same port.
pub struct Guarded<P: ?Sized> {
    inner: Arc<P>,
    backend: Backend,
}

impl<P: ?Sized> Guarded<P> {
    /// Guards an adapter. Clones of one `backend` share its breaker, rate limit and retry budget.
    pub fn new(inner: Arc<P>, backend: Backend) -> Self {
        Self { inner, backend }
    }

    /// What guards it, with its state for health checks.
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// The adapter itself.
    pub fn inner(&self) -> &Arc<P> {
        &self.inner
    }
}

impl<P: ?Sized + fmt::Debug> fmt::Debug for Guarded<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").field("backend", &self.backend).field("inner", &&*self.inner).finish()
    }
}

/// Makes one call of a method that may be repeated: `guard!(self, "ledger", Read, fetch(namespace, ids, read))`.
macro_rules! guard {
    ($self:ident, $port:literal, $size:ident, $method:ident($($argument:expr),*)) => {
        guard!($self, $port, $size, Always, 0, $method($($argument),*))
    };
    ($self:ident, $port:literal, $size:ident, $repeat:ident, $tokens:expr, $method:ident($($argument:expr),*)) => {{
        let call = $crate::backend::Call {
            port: $port,
            method: stringify!($method),
            size: $crate::profile::Size::$size,
            repeat: $crate::retry::Repeat::$repeat,
            tokens: $tokens,
        };
        $self.backend.call(call, || $self.inner.$method($($argument),*)).await
    }};
}
use guard;
