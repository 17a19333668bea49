//! Pages of long listings. Not here: what is listed.

use crate::{Error, Result, limits};

/// Where a listing goes on. Opaque to callers; only the backend that made it reads it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cursor(pub String);

/// The direction of a listing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// First made first.
    #[default]
    Oldest,
    /// Last made first.
    Newest,
}

/// Asks for one page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    limit: usize,
    /// The direction; the same for every page of one walk.
    pub order: Order,
    /// Where the page before ended.
    pub after: Option<Cursor>,
}

impl PageRequest {
    /// The first page of at most `limit` items, 1 to 1000.
    ///
    /// # Errors
    /// `InvalidInput`, naming `limit`.
    pub fn first(limit: usize) -> Result<Self> {
        if (1..=limits::BATCH).contains(&limit) {
            Ok(Self { limit, order: Order::Oldest, after: None })
        } else {
            Err(Error::invalid("limit", format!("1 to {}", limits::BATCH), limit))
        }
    }

    /// The first page of the largest size, oldest first.
    pub const fn largest() -> Self {
        Self { limit: limits::BATCH, order: Order::Oldest, after: None }
    }

    /// The same walk, going on after `cursor`.
    #[must_use]
    pub fn after(mut self, cursor: Option<Cursor>) -> Self {
        self.after = cursor;
        self
    }

    /// The same walk in another direction.
    #[must_use]
    pub fn ordered(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Most items of the page.
    pub const fn limit(&self) -> usize {
        self.limit
    }
}

/// One page.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page starts; `None` at the end.
    pub next: Option<Cursor>,
}
