//! What the verbs are asked, from objects. Not here: the nouns within them (the sibling modules), flags of a command line (doors).
//!
//! Keys that several requests share: `filter` (an object), `user_id`, `as_of` (an RFC 3339 time), `limit` with `after` and
//! `order` (`oldest` or `newest`) for one page of a listing.

use std::time::Duration;

use mnemic_core::{
    Cursor, Error, EventId, Filter, Object, Order, PageRequest, Ratio, RecordId, Result, Sequence, ThreadId, UserId,
    ids::quoted,
    limits,
    policy::consolidation::{ConsolidationPolicy, Decay},
    ports::EventRange,
};

use super::{
    fields::{Fields, required},
    record::read_embedding,
};
use crate::{Consolidation, ContextRequest, Mode, Query, Selector, Shown, Trial};

/// Items of one page where no limit is given.
const PAGE: u64 = 100;
/// Tokens of a prompt block where no budget is given.
const BUDGET: u64 = 1000;
/// Salience below which a fading record is removed where no floor is given.
const FLOOR: f64 = 0.05;

fn read_filter(fields: &Fields<'_>) -> Result<Filter> {
    fields.object("filter")?.map_or_else(|| Ok(Filter::all()), Filter::from_object)
}

fn read_size(fields: &Fields<'_>, field: &str) -> Result<Option<usize>> {
    Ok(fields.count(field)?.map(|count| usize::try_from(count).unwrap_or(usize::MAX)))
}

fn read_trial(fields: &Fields<'_>) -> Result<Trial> {
    Ok(if fields.flag("dry_run")?.unwrap_or(false) { Trial::Dry } else { Trial::Real })
}

fn read_mode(name: &str) -> Result<Mode> {
    match name {
        "hybrid" => Ok(Mode::Hybrid),
        "dense" => Ok(Mode::Dense),
        "lexical" => Ok(Mode::Lexical),
        other => Err(Error::invalid("mode", "one of hybrid, dense, lexical", quoted(other))),
    }
}

/// Reads what to retrieve: `query`; `limit`, `user_id`, `filter`, `mode` (`hybrid`, `dense`, `lexical`), `as_of`, `all` (also what
/// does not hold now), `embedding` (of the query, by the memory's model). `query` may be left out where `embedding` is given.
///
/// # Errors
/// `InvalidInput`, naming the field, what was expected and what came.
pub fn query_from_object(object: &Object) -> Result<Query> {
    let known = ["query", "limit", "user_id", "filter", "mode", "as_of", "all", "embedding"];
    let fields = Fields::new(object, &known)?;
    let embedding = read_embedding(&fields)?;
    let text = match (fields.string("query")?, &embedding) {
        (None, Some(_)) => "",
        (text, _) => required("query", "a string", text)?,
    };
    Ok(Query {
        text: text.to_owned(),
        limit: read_size(&fields, "limit")?,
        user_id: fields.parsed("user_id")?,
        filter: read_filter(&fields)?,
        mode: fields.made("mode", read_mode)?.unwrap_or_default(),
        as_of: fields.timestamp("as_of")?,
        shown: if fields.flag("all")?.unwrap_or(false) { Shown::All } else { Shown::Live },
        embedding,
    })
}

/// Reads which prompt block to make: `thread_id`; `query`, `user_id`, `filter`, `limit`, `budget` (tokens, 1000 if absent).
///
/// # Errors
/// `InvalidInput`, naming the field, what was expected and what came.
pub fn context_request_from_object(object: &Object) -> Result<(ThreadId, ContextRequest)> {
    let fields = Fields::new(object, &["thread_id", "query", "user_id", "filter", "limit", "budget"])?;
    let thread = required("thread_id", "a string", fields.parsed("thread_id")?)?;
    let request = ContextRequest {
        query: fields.text("query")?,
        user_id: fields.parsed("user_id")?,
        filter: read_filter(&fields)?,
        limit: read_size(&fields, "limit")?,
        budget: usize::try_from(fields.count("budget")?.unwrap_or(BUDGET)).unwrap_or(usize::MAX),
    };
    Ok((thread, request))
}

/// Reads what to consolidate: `filter`, `user_id`; `near` (how alike near duplicates are, above 0 to 1), `exact` (merge exact
/// duplicates only); `half_life` in seconds and `floor` let salience fade; `dry_run`.
///
/// # Errors
/// `InvalidInput`, naming the field, what was expected and what came.
pub fn consolidation_from_object(object: &Object) -> Result<Consolidation> {
    let known = ["filter", "user_id", "near", "exact", "half_life", "floor", "dry_run"];
    let fields = Fields::new(object, &known)?;
    let ratio = |field: &str| fields.number(field)?.map(|number| Ratio::new(field, number.as_f64())).transpose();
    let near = match (fields.flag("exact")?.unwrap_or(false), ratio("near")?) {
        (true, Some(near)) => return Err(Error::invalid("near", "nothing beside exact", near.get())),
        (true, None) => None,
        (false, None) => ConsolidationPolicy::default().near,
        (false, given) => given,
    };
    let seconds = |number: mnemic_core::Number| {
        let length = Duration::try_from_secs_f64(number.as_f64()).ok().filter(|length| !length.is_zero());
        length.ok_or_else(|| Error::invalid("half_life", "a number of seconds above 0", number))
    };
    let decay = match (fields.number("half_life")?.map(seconds).transpose()?, ratio("floor")?) {
        (None, None) => None,
        (None, Some(_)) => return Err(Error::invalid("half_life", "a number of seconds beside floor", "nothing")),
        (Some(half_life), floor) => {
            let floor = floor.map_or_else(|| Ratio::new("floor", FLOOR), Ok)?;
            Some(Decay { half_life, floor })
        }
    };
    let mut filter = read_filter(&fields)?;
    if let Some(user_id) = fields.parsed::<UserId>("user_id")? {
        filter = filter.and(Filter::equals(mnemic_core::Field::UserId, user_id.as_str()));
    }
    Ok(Consolidation { filter, policy: ConsolidationPolicy { near, decay }, trial: read_trial(&fields)? })
}

/// Reads what to forget: exactly one of `ids`, `filter` and `user_id` (everything of that user); `dry_run`.
///
/// # Errors
/// `InvalidInput`, naming the field, what was expected and what came.
pub fn selector_from_object(object: &Object) -> Result<(Selector, Trial)> {
    let fields = Fields::new(object, &["ids", "filter", "user_id", "dry_run"])?;
    let given: Vec<&str> = ["ids", "filter", "user_id"].into_iter().filter(|key| fields.get(key).is_some()).collect();
    let selector = match given.as_slice() {
        ["ids"] => Selector::Ids(
            fields.made_list("ids", limits::BATCH, |at, id| RecordId::new(id).map_err(|error| error.within(at)))?,
        ),
        ["filter"] => Selector::Filter(read_filter(&fields)?),
        ["user_id"] => Selector::Subject(required("user_id", "a string", fields.parsed("user_id")?)?),
        [] => {
            return Err(Error::invalid("selector", "one of ids, filter, user_id", "nothing that says what to forget"));
        }
        several => return Err(Error::invalid("selector", "one of ids, filter, user_id", several.join(" and "))),
    };
    Ok((selector, read_trial(&fields)?))
}

const PAGE_KEYS: [&str; 3] = ["limit", "after", "order"];

fn read_page(fields: &Fields<'_>) -> Result<PageRequest> {
    let limit = usize::try_from(fields.count("limit")?.unwrap_or(PAGE)).unwrap_or(usize::MAX);
    let order = fields.made("order", |name| match name {
        "oldest" => Ok(Order::Oldest),
        "newest" => Ok(Order::Newest),
        other => Err(Error::invalid("order", "oldest or newest", quoted(other))),
    })?;
    let after = fields.string("after")?.map(|cursor| Cursor(cursor.to_owned()));
    Ok(PageRequest::first(limit)?.ordered(order.unwrap_or_default()).after(after))
}

/// Reads which page of a listing: `limit` (1 to 1000, 100 if absent), `after` (the `next` of the page before), `order`. A listing of
/// records also has `filter`, `user_id` and `as_of`.
///
/// # Errors
/// `InvalidInput`, naming the field, what was expected and what came.
pub fn page_from_object(object: &Object) -> Result<(Filter, Option<mnemic_core::Timestamp>, PageRequest)> {
    let known = [&["filter", "user_id", "as_of"][..], &PAGE_KEYS].concat();
    let fields = Fields::new(object, &known)?;
    let mut filter = read_filter(&fields)?;
    if let Some(user_id) = fields.parsed::<UserId>("user_id")? {
        filter = filter.and(Filter::equals(mnemic_core::Field::UserId, user_id.as_str()));
    }
    Ok((filter, fields.timestamp("as_of")?, read_page(&fields)?))
}

/// Reads which events of the audit chain: `thread_id`, `user_id`, `event_id`, `after_sequence`, `as_of`, and the page.
///
/// # Errors
/// `InvalidInput`, naming the field, what was expected and what came.
pub fn event_range_from_object(object: &Object) -> Result<(EventRange, PageRequest)> {
    let known = [&["thread_id", "user_id", "event_id", "after_sequence", "as_of"][..], &PAGE_KEYS].concat();
    let fields = Fields::new(object, &known)?;
    let range = EventRange {
        thread_id: fields.parsed::<ThreadId>("thread_id")?,
        user_id: fields.parsed::<UserId>("user_id")?,
        event_id: fields.parsed::<EventId>("event_id")?,
        after: fields.count("after_sequence")?.map(Sequence).unwrap_or_default(),
        as_of: fields.timestamp("as_of")?,
    };
    Ok((range, read_page(&fields)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::parse_object;

    fn object(text: &str) -> Object {
        parse_object(text).unwrap()
    }

    #[test]
    fn a_query_needs_a_text_or_an_embedding() {
        let query = query_from_object(&object(r#"{"query":"fee","limit":3,"mode":"dense","all":true}"#)).unwrap();
        assert_eq!(
            (query.text.as_str(), query.limit, query.mode, query.shown),
            ("fee", Some(3), Mode::Dense, Shown::All)
        );
        assert_eq!(query_from_object(&object(r#"{"embedding":[1,0]}"#)).unwrap().embedding, Some(vec![1.0, 0.0]));
        assert_eq!(query_from_object(&object("{}")).unwrap_err().field(), Some("query"));
        assert_eq!(query_from_object(&object(r#"{"query":"a","mode":"both"}"#)).unwrap_err().field(), Some("mode"));
    }

    #[test]
    fn forgetting_names_one_selector() {
        let (selector, trial) = selector_from_object(&object(r#"{"ids":["a"],"dry_run":true}"#)).unwrap();
        assert_eq!((selector, trial), (Selector::Ids(vec![RecordId::new("a").unwrap()]), Trial::Dry));
        for wrong in ["{}", r#"{"ids":["a"],"user_id":"u"}"#] {
            assert_eq!(selector_from_object(&object(wrong)).unwrap_err().field(), Some("selector"), "{wrong}");
        }
    }

    #[test]
    fn fading_needs_a_length_of_time() {
        let faded = consolidation_from_object(&object(r#"{"half_life":3600}"#)).unwrap();
        assert_eq!(faded.policy.decay.unwrap().half_life, Duration::from_hours(1));
        for wrong in [r#"{"half_life":0}"#, r#"{"half_life":-1}"#, r#"{"floor":0.1}"#] {
            assert_eq!(consolidation_from_object(&object(wrong)).unwrap_err().field(), Some("half_life"), "{wrong}");
        }
        assert!(consolidation_from_object(&object(r#"{"exact":true}"#)).unwrap().policy.near.is_none());
        assert_eq!(
            consolidation_from_object(&object(r#"{"exact":true,"near":0.5}"#)).unwrap_err().field(),
            Some("near")
        );
    }

    #[test]
    fn a_page_is_bounded() {
        let (range, page) =
            event_range_from_object(&object(r#"{"thread_id":"t","limit":5,"order":"newest"}"#)).unwrap();
        assert_eq!(range.thread_id.unwrap().as_str(), "t");
        assert_eq!((page.limit(), page.order), (5, Order::Newest));
        for wrong in [r#"{"limit":0}"#, r#"{"limit":1001}"#] {
            assert_eq!(page_from_object(&object(wrong)).unwrap_err().field(), Some("limit"), "{wrong}");
        }
        assert_eq!(page_from_object(&object(r#"{"order":"up"}"#)).unwrap_err().field(), Some("order"));
    }
}
