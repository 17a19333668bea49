//! Listing everything by record id, which Qdrant cannot order by: the points are listed once, sorted here, and kept for the pages that
//! follow. Not here: searching.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use mnemic_core::{Cursor, Filter, Namespace, Order, Page, PageRequest, Result, ports::IndexedId};

use super::{
    api::Api,
    filter::Scope,
    point::{IDENTITY, Seen},
};

/// Listings that are kept at once.
const KEPT: usize = 8;

/// Listings of namespaces that somebody walks through.
#[derive(Debug, Default)]
pub(super) struct Listings(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    lists: HashMap<Namespace, Arc<[IndexedId]>>,
    oldest_first: VecDeque<Namespace>,
}

impl Listings {
    /// One page. The first page of a walk lists anew, the others go on in the same listing while nothing is applied.
    pub(super) async fn page(
        &self,
        api: &Api,
        collection: &str,
        namespace: &Namespace,
        page: &PageRequest,
        dropped: &AtomicU64,
    ) -> Result<Page<IndexedId>> {
        let kept = page.after.as_ref().and_then(|_| self.kept().lists.get(namespace).cloned());
        let list = if let Some(list) = kept {
            list
        } else {
            let list: Arc<[IndexedId]> = everything(api, collection, namespace, dropped).await?.into();
            self.keep(namespace, &list);
            list
        };
        let page = cut(&list, page);
        if page.next.is_none() {
            self.forget(namespace);
        }
        Ok(page)
    }

    /// Lists anew the next time.
    pub(super) fn forget(&self, namespace: &Namespace) {
        let mut kept = self.kept();
        if kept.lists.remove(namespace).is_some() {
            kept.oldest_first.retain(|other| other != namespace);
        }
    }

    fn keep(&self, namespace: &Namespace, list: &Arc<[IndexedId]>) {
        self.forget(namespace);
        let mut kept = self.kept();
        kept.lists.insert(namespace.clone(), Arc::clone(list));
        kept.oldest_first.push_back(namespace.clone());
        if kept.oldest_first.len() > KEPT
            && let Some(oldest) = kept.oldest_first.pop_front()
        {
            kept.lists.remove(&oldest);
        }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn everything(api: &Api, collection: &str, namespace: &Namespace, dropped: &AtomicU64) -> Result<Vec<IndexedId>> {
    let filter = Scope::new(namespace, &Filter::all()).to_json();
    let (mut list, mut offset) = (Vec::new(), None::<String>);
    loop {
        let (points, next) = api.scroll(collection, &filter, &IDENTITY, offset.as_deref()).await?;
        for found in points {
            match Seen::of(namespace, &found.id, found.payload.unwrap_or_default()) {
                Some(seen) => list.push(IndexedId { id: seen.id, version: seen.version, embedded: true }),
                None => drop(dropped.fetch_add(1, Ordering::Relaxed)),
            }
        }
        match next {
            Some(next) => offset = Some(next),
            None => break,
        }
    }
    list.sort_by(|a, b| a.id.cmp(&b.id));
    list.dedup_by(|a, b| a.id == b.id);
    Ok(list)
}

fn cut(list: &[IndexedId], page: &PageRequest) -> Page<IndexedId> {
    let after = page.after.as_ref().map(|cursor| cursor.0.as_str());
    let limit = page.limit();
    let (items, more): (Vec<IndexedId>, bool) = match page.order {
        Order::Oldest => {
            let from = after.map_or(0, |after| list.partition_point(|item| item.id.as_str() <= after));
            let rest = list.get(from..).unwrap_or_default();
            (rest.iter().take(limit).cloned().collect(), rest.len() > limit)
        }
        Order::Newest => {
            let to = after.map_or(list.len(), |after| list.partition_point(|item| item.id.as_str() < after));
            let rest = list.get(..to).unwrap_or_default();
            (rest.iter().rev().take(limit).cloned().collect(), rest.len() > limit)
        }
    };
    let next = items.last().filter(|_| more).map(|last| Cursor(last.id.as_str().to_owned()));
    Page { items, next }
}
