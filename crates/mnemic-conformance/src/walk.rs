//! Walks through listings to their end, holding every page to its limit. Not here: what is listed.

use mnemic_core::{Cursor, Order, Page, PageRequest};

/// More pages than any listing of a case has: a walk that does not end is a fault, not a wait.
const MOST_PAGES: usize = 20_000;

/// How to walk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk {
    pub(crate) limit: usize,
    pub(crate) order: Order,
}

impl Walk {
    /// In the fewest pages.
    pub(crate) const LARGEST: Self = Self { limit: mnemic_core::limits::BATCH, order: Order::Oldest };

    pub(crate) const fn oldest(limit: usize) -> Self {
        Self { limit, order: Order::Oldest }
    }

    pub(crate) const fn newest(limit: usize) -> Self {
        Self { limit, order: Order::Newest }
    }

    pub(crate) fn request(self, after: Option<Cursor>) -> PageRequest {
        PageRequest::first(self.limit).unwrap().ordered(self.order).after(after)
    }
}

/// A walk under way.
#[derive(Debug)]
pub(crate) struct Walked<T> {
    walk: Walk,
    after: Option<Cursor>,
    pages: usize,
    pub(crate) items: Vec<T>,
}

impl<T> Walked<T> {
    pub(crate) const fn new(walk: Walk) -> Self {
        Self { walk, after: None, pages: 0, items: Vec::new() }
    }

    /// Asks for the next page.
    pub(crate) fn request(&self) -> PageRequest {
        self.walk.request(self.after.clone())
    }

    /// Takes a page, and tells whether there is another one.
    #[track_caller]
    pub(crate) fn take(&mut self, page: Page<T>) -> bool {
        let limit = self.walk.limit;
        assert!(page.items.len() <= limit, "a page holds {} items, asked for {limit}", page.items.len());
        self.pages += 1;
        assert!(self.pages < MOST_PAGES, "a walk with pages of {limit} does not end");
        self.items.extend(page.items);
        self.after = page.next;
        self.after.is_some()
    }
}

/// Everything that a listing holds: `everything!(walk, |page| index.ids(&ns, page))`.
// A macro, because an async closure that borrows a port cannot be shown to be `Send` in general.
macro_rules! everything {
    ($walk:expr, |$page:ident| $read:expr) => {{
        let mut walked = $crate::walk::Walked::new($walk);
        loop {
            let request = walked.request();
            let $page = &request;
            let page = $read.await.expect("a page can be read");
            if !walked.take(page) {
                break walked.items;
            }
        }
    }};
}
pub(crate) use everything;
