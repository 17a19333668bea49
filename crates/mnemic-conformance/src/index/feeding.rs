//! Cases on what an index holds: `[I1]` to `[I4]`, `[I11]` to `[I13]`, `[I15]`, `[I16]`. Not here: how it is searched.

use std::{collections::BTreeMap, sync::Arc};

use mnemic_core::{
    ChangeSeq, Embedding, Filter, MemoryRecord,
    ports::{IndexHit, Offer},
};

use super::{
    IndexHarness,
    shelf::{Feed, Shelf, ids},
};
use crate::{
    fixtures::{Rng, embedding, model, namespace, other_model, record},
    walk::{Walk, everything},
};

const ALL: Filter = Filter::all();

fn vector(seed: u64) -> Embedding {
    embedding(&mut Rng::new(seed), &model())
}

/// The scores by id.
fn scores(hits: &[IndexHit]) -> BTreeMap<String, f32> {
    hits.iter().map(|hit| (hit.id.to_string(), hit.score)).collect()
}

#[track_caller]
fn assert_close(found: &BTreeMap<String, f32>, expected: &BTreeMap<String, f32>, what: &str) {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{what}");
    for (id, score) in found {
        let other = expected[id];
        assert!((score - other).abs() <= 1e-6 * score.abs().max(1.0), "{what}: {id} scores {score} and {other}");
    }
}

pub(super) async fn i01_changes_at_or_below_the_position_are_ignored(h: &dyn IndexHarness) {
    let shelf = Shelf::new(h).await;
    let position = async || shelf.index.position(&shelf.ns).await.unwrap();
    assert_eq!(position().await, ChangeSeq(0));
    let changes = shelf.writes(vec![
        (record("a", "cello"), Some(vector(1))),
        (record("b", "violin"), Some(vector(2))),
        (record("c", "oboe"), None),
    ]);
    shelf.apply(&changes).await;
    assert_eq!(position().await, ChangeSeq(3));
    // The same positions with other contents, and a removal, are of the past.
    let mut altered = changes.clone();
    altered[0].record.as_mut().unwrap().record.text.replace_range(.., "trumpet");
    altered[1].record = None;
    for again in [&changes, &altered] {
        shelf.index.apply(&shelf.ns, again, ChangeSeq(3)).await.unwrap();
        shelf.index.apply(&shelf.ns, &again[..2], ChangeSeq(2)).await.unwrap();
        assert_eq!(position().await, ChangeSeq(3), "the position never moves back");
        assert_eq!(shelf.listed(Walk::LARGEST).await, shelf.expected());
        for (word, found) in [("cello", vec!["a"]), ("violin", vec!["b"]), ("trumpet", vec![])] {
            assert_eq!(
                shelf.words(word).await.unwrap_or_else(|| found.iter().map(ToString::to_string).collect()),
                found
            );
        }
    }
    // Of changes that overlap with the past only the new ones count.
    let new = shelf.writes(vec![(record("d", "flute"), None)]);
    altered.extend(new);
    shelf.apply(&altered).await;
    assert_eq!(position().await, ChangeSeq(4));
    assert_eq!(shelf.listed(Walk::LARGEST).await, shelf.expected());
}

pub(super) async fn i01_the_position_moves_beyond_the_last_change(h: &dyn IndexHarness) {
    let shelf = Shelf::new(h).await;
    let changes = shelf.writes(vec![(record("a", "cello"), None)]);
    shelf.index.apply(&shelf.ns, &changes, ChangeSeq(9)).await.unwrap();
    assert_eq!(shelf.index.position(&shelf.ns).await.unwrap(), ChangeSeq(9));
    // What the feed tells at a position that was already passed is of the past.
    let mut late = shelf.writes(vec![(record("late", "violin"), None)]);
    late[0].seq = ChangeSeq(9);
    shelf.index.apply(&shelf.ns, &late, ChangeSeq(9)).await.unwrap();
    shelf.feed().held.remove(&late[0].id);
    shelf.shows().await;
    assert_eq!(shelf.listed(Walk::LARGEST).await, shelf.expected());
    shelf.index.apply(&shelf.ns, &[], ChangeSeq(12)).await.unwrap();
    assert_eq!(shelf.index.position(&shelf.ns).await.unwrap(), ChangeSeq(12));
    assert_eq!(shelf.listed(Walk::LARGEST).await, shelf.expected());
}

pub(super) async fn i01_changes_beyond_where_the_position_moves_to_are_applied(h: &dyn IndexHarness) {
    let shelf = Shelf::new(h).await;
    let mut rng = Rng::new(117);
    // As an index is made anew: page by page, and only the last page moves the position.
    let make = |rng: &mut Rng, n: usize| (record(&format!("r{n}"), "cello"), Some(embedding(rng, &model())));
    let pages: Vec<_> = (0..3).map(|page| (0..4).map(|n| make(&mut rng, page * 4 + n)).collect()).collect();
    let pages: Vec<_> = pages.into_iter().map(|records: Vec<_>| shelf.writes(records)).collect();
    let head = ChangeSeq(shelf.feed().seq);
    for (n, page) in pages.iter().enumerate() {
        let through = if n + 1 == pages.len() { head } else { ChangeSeq(0) };
        let page: Vec<_> =
            page.iter().map(|change| mnemic_core::ports::IndexChange { seq: head, ..change.clone() }).collect();
        shelf.index.apply(&shelf.ns, &page, through).await.unwrap();
        assert_eq!(shelf.index.position(&shelf.ns).await.unwrap(), through, "page {n}");
    }
    shelf.shows().await;
    assert_eq!(shelf.listed(Walk::LARGEST).await, shelf.expected());
}

pub(super) async fn i02_what_was_applied_is_found_and_what_is_gone_is_not(h: &dyn IndexHarness) {
    let shelf = Shelf::new(h).await;
    let names = ["a", "b", "c"];
    shelf.put_embedded(names.map(|id| (record(id, &format!("a cello called {id}{id}{id}")), vector(1)))).await;
    let found = async || (shelf.words("cello").await, shelf.vector(&vector(1), &ALL, 10).await.map(|hits| ids(&hits)));
    let as_offered = |wanted: &[&str]| {
        let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
        (shelf.lexical().then(|| wanted.clone()), shelf.dense().then_some(wanted))
    };
    assert_eq!(found().await, as_offered(&names));
    assert_eq!(shelf.words("bbb").await, as_offered(&["b"]).0);
    // Removing what was never there is no error.
    shelf.apply(&shelf.removals(&["b", "never"])).await;
    assert_eq!(found().await, as_offered(&["a", "c"]));
    assert_eq!(shelf.words("bbb").await, as_offered(&[]).0);
    shelf.put_embedded([(record("b", "a cello is back"), vector(1))]).await;
    assert_eq!(found().await, as_offered(&names));
    shelf.apply(&shelf.removals(&names)).await;
    assert_eq!(found().await, as_offered(&[]));
}

pub(super) async fn i03_a_replaced_record_is_found_by_its_new_revision_only(h: &dyn IndexHarness) {
    let shelf = Shelf::new(h).await;
    let (old, new) = (vector(1), vector(2));
    shelf
        .put_embedded([(record("r", "she plays the cello"), old.clone()), (record("other", "a harbor"), vector(3))])
        .await;
    // Both revisions in one call, and then again in a call of its own.
    let mut changes = shelf.writes(vec![(record("r", "she plays the violin"), Some(old.clone()))]);
    changes.extend(shelf.writes(vec![(record("r", "she plays the oboe"), Some(new.clone()))]));
    shelf.apply(&changes).await;
    for (word, found) in [("cello", 0), ("violin", 0), ("oboe", 1), ("harbor", 1)] {
        assert_eq!(shelf.words(word).await.map_or(found, |hits| hits.len()), found, "{word}");
    }
    if let Some(hits) = shelf.vector(&new, &ALL, 10).await {
        assert_eq!(ids(&hits), ["r", "other"]);
        assert!(hits[0].score > 0.9999, "{hits:?}");
        let by_old = scores(&shelf.vector(&old, &ALL, 10).await.unwrap());
        assert!((by_old["r"] - old.cosine(&new).unwrap()).abs() < 1e-4, "the old vector is gone: {by_old:?}");
    }
    let listed = shelf.listed(Walk::LARGEST).await;
    assert_eq!(listed.iter().map(|held| held.version.0).collect::<Vec<_>>(), [1, 3]);
}

pub(super) async fn i03_an_embedding_that_arrives_later_or_goes_away_is_followed(h: &dyn IndexHarness) {
    let shelf = Shelf::new(h).await;
    shelf.put([record("r", "cello"), record("other", "harbor")]).await;
    let by_vector = async || shelf.vector(&vector(1), &ALL, 10).await.map(|hits| ids(&hits));
    let offered = |wanted: &[&str]| shelf.dense().then(|| wanted.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(by_vector().await, offered(&[]));
    shelf.apply(&[shelf.embeds("r", Some(vector(1)))]).await;
    assert_eq!(by_vector().await, offered(&["r"]));
    assert_eq!(shelf.words("cello").await.unwrap_or_else(|| vec!["r".to_owned()]), ["r"], "found once by words");
    // The next revision has no embedding yet.
    shelf.put([record("r", "cello")]).await;
    assert_eq!(by_vector().await, offered(&[]));
    assert_eq!(shelf.listed(Walk::LARGEST).await, shelf.expected());
}

pub(super) async fn i04_nothing_depends_on_another_namespace(h: &dyn IndexHarness) {
    let mine = Shelf::new(h).await;
    let texts = ["she plays the cello in an orchestra", "the orchestra tours in May", "a cello and another cello"];
    let records = || texts.iter().enumerate().map(|(n, text)| (record(&format!("r{n}"), text), vector(n as u64)));
    mine.put_embedded(records()).await;
    let look = async |shelf: &Shelf| {
        let text = shelf.text("cello orchestra", &ALL, 10).await.map(|hits| scores(&hits));
        let dense = shelf.vector(&vector(0), &ALL, 10).await.map(|hits| scores(&hits));
        (text, dense, shelf.listed(Walk::LARGEST).await, shelf.index.position(&shelf.ns).await.unwrap())
    };
    let before = look(&mine).await;
    let other = Shelf::of(Arc::clone(&mine.index), &model()).await;
    assert_eq!(other.listed(Walk::LARGEST).await, []);
    assert_eq!(other.index.position(&other.ns).await.unwrap(), ChangeSeq(0));
    assert!(other.words("cello").await.is_none_or(|hits| hits.is_empty()));
    assert!(other.vector(&vector(0), &ALL, 10).await.is_none_or(|hits| hits.is_empty()));
    // The same ids, and many more texts with the same words, which would change every score.
    let others = (0..60).map(|n| (record(&format!("r{n}"), "orchestra orchestra"), vector(0)));
    other.put_embedded(others).await;
    assert_eq!(look(&mine).await, before, "after another namespace was fed");
    let report = mine.index.check(&mine.ns).await.unwrap();
    assert_eq!((report.records, report.faults), (3, vec![]));
    mine.apply(&mine.removals(&["r0"])).await;
    assert_eq!(other.listed(Walk::LARGEST).await.len(), 60);
    let before = look(&mine).await;
    other.index.drop_namespace(&other.ns).await.unwrap();
    assert_eq!(look(&mine).await, before, "after another namespace was dropped");
}

pub(super) async fn i11_ids_lists_exactly_what_is_held(h: &dyn IndexHarness) {
    let shelf = Shelf::new(h).await;
    let mut rng = Rng::new(211);
    let records = (0..41).map(|n| {
        let id = ["r", "ид", "🎻", "A"][n % 4].to_owned() + &((n * 37) % 101).to_string();
        (record(&id, "cello"), rng.chance(60).then(|| vector(n as u64)))
    });
    let records: Vec<(MemoryRecord, Option<Embedding>)> = records.collect();
    let some: Vec<_> = records.iter().step_by(3).cloned().collect();
    shelf.apply(&shelf.writes(records.clone())).await;
    shelf.apply(&shelf.writes(some)).await;
    let gone: Vec<&str> = records.iter().skip(1).step_by(5).map(|(record, _)| record.id.as_str()).collect();
    shelf.apply(&shelf.removals(&gone)).await;
    let expected = shelf.expected();
    let some_without = !shelf.dense() || shelf.feed().held.values().any(|stored| stored.embedding.is_none());
    assert!(expected.len() > if shelf.lexical() { 30 } else { 10 } && some_without);
    for limit in [1, 7, expected.len() - 1, expected.len(), expected.len() + 1, 1000] {
        assert_eq!(shelf.listed(Walk::oldest(limit)).await, expected, "pages of {limit}");
    }
    let report = shelf.index.check(&shelf.ns).await.unwrap();
    let embedded = expected.iter().filter(|held| held.embedded).count() as u64;
    assert_eq!((report.records, report.embeddings, report.faults), (expected.len() as u64, embedded, vec![]));
}

pub(super) async fn i12_a_dropped_namespace_is_empty_and_can_be_fed_anew(h: &dyn IndexHarness) {
    let shelf = Shelf::new(h).await;
    shelf.put_embedded((0..20).map(|n| (record(&format!("r{n}"), "cello"), vector(n)))).await;
    shelf.index.drop_namespace(&shelf.ns).await.unwrap();
    // The feed starts anew too, now with embeddings of another model.
    *shelf.feed() = Feed::default();
    shelf.index.prepare(&shelf.ns, shelf.dense().then_some(&other_model())).await.unwrap();
    shelf.shows().await;
    assert_eq!(shelf.listed(Walk::LARGEST).await, []);
    assert_eq!(shelf.index.position(&shelf.ns).await.unwrap(), ChangeSeq(0));
    assert!(shelf.words("cello").await.is_none_or(|hits| hits.is_empty()));
    let mut rng = Rng::new(212);
    let new = embedding(&mut rng, &other_model());
    assert!(shelf.vector(&new, &ALL, 10).await.is_none_or(|hits| hits.is_empty()));
    shelf.put_embedded([(record("r7", "violin"), new.clone())]).await;
    assert_eq!(shelf.listed(Walk::LARGEST).await, shelf.expected());
    assert_eq!(shelf.words("violin").await.unwrap_or_else(|| vec!["r7".to_owned()]), ["r7"]);
    assert_eq!(shelf.vector(&new, &ALL, 10).await.map_or(vec!["r7".to_owned()], |hits| ids(&hits)), ["r7"]);
    // Dropping what is not there is no error.
    shelf.index.drop_namespace(&namespace()).await.unwrap();
}

pub(super) async fn i13_fed_change_by_change_it_answers_as_fed_at_once(h: &dyn IndexHarness) {
    const WORDS: [&str; 12] = [
        "cello",
        "orchestra",
        "filing",
        "petition",
        "клиент",
        "виза",
        "пошлина",
        "harbor",
        "里加",
        "fee",
        "May",
        "судья",
    ];
    let slowly = Shelf::new(h).await;
    let mut rng = Rng::new(213);
    for _ in 0..120 {
        let id = format!("r{}", rng.below(25));
        let there = slowly.feed().held.contains_key(&crate::fixtures::record_id(&id));
        let changes = match rng.below(6) {
            0 => slowly.removals(&[&id]),
            1 if there => vec![slowly.embeds(&id, Some(embedding(&mut rng, &model())))],
            _ => {
                let text: Vec<&str> = (0..=rng.below(12)).map(|_| *rng.pick(&WORDS)).collect();
                let vector = rng.chance(60).then(|| embedding(&mut rng, &model()));
                slowly.writes(vec![(record(&id, &text.join(" ")), vector)])
            }
        };
        let through = ChangeSeq(slowly.feed().seq);
        slowly.index.apply(&slowly.ns, &changes, through).await.unwrap();
    }
    slowly.shows().await;
    let at_once = Shelf::of(h.open().await, &model()).await;
    let final_state: Vec<_> = slowly.feed().held.values().cloned().collect();
    let changes = final_state.into_iter().enumerate().map(|(n, stored)| mnemic_core::ports::IndexChange {
        seq: ChangeSeq(n as u64 + 1),
        id: stored.record.id.clone(),
        record: Some(stored),
    });
    let changes: Vec<_> = changes.collect();
    {
        let (mut new, old) = (at_once.feed(), slowly.feed());
        (new.seq, new.held) = (old.seq, old.held.clone());
    }
    at_once.apply(&changes).await;
    assert_eq!(slowly.index.position(&slowly.ns).await.unwrap(), at_once.index.position(&at_once.ns).await.unwrap());
    assert_eq!(slowly.listed(Walk::LARGEST).await, at_once.listed(Walk::LARGEST).await);
    for query in WORDS.into_iter().chain(["cello orchestra filing", "виза клиент fee", "里加 May"]) {
        let Some(found) = slowly.text(query, &ALL, 100).await else { break };
        let expected = at_once.text(query, &ALL, 100).await.unwrap();
        assert_close(&scores(&found), &scores(&expected), query);
    }
    for _ in 0..20 {
        let query = embedding(&mut rng, &model());
        let Some(found) = slowly.vector(&query, &ALL, 100).await else { break };
        assert_close(&scores(&found), &scores(&at_once.vector(&query, &ALL, 100).await.unwrap()), "dense");
    }
}

pub(super) async fn i15_what_is_visible_never_lies_beyond_the_position_and_reaches_it(h: &dyn IndexHarness) {
    let shelf = Shelf::new(h).await;
    let mut rng = Rng::new(115);
    for round in 0..4 {
        let records = (0..5).map(|n| (record(&format!("r{round}-{n}"), "cello"), embedding(&mut rng, &model())));
        let changes = shelf.writes(records.map(|(record, embedding)| (record, Some(embedding))).collect());
        let through = ChangeSeq(shelf.feed().seq);
        shelf.index.apply(&shelf.ns, &changes, through).await.unwrap();
        let (visible, position) = (shelf.index.visible(&shelf.ns).await.unwrap(), through);
        assert!(visible <= position, "{visible:?} shows, {position:?} was applied");
        assert_eq!(shelf.index.position(&shelf.ns).await.unwrap(), position);
        if shelf.immediate() {
            assert_eq!(visible, position, "an immediate index shows at once what was applied");
        }
        if visible == position {
            assert_eq!(shelf.listed(Walk::LARGEST).await, shelf.expected());
        }
    }
    shelf.shows().await;
    let position = ChangeSeq(shelf.feed().seq);
    assert_eq!(shelf.index.visible(&shelf.ns).await.unwrap(), position, "what is left alone becomes visible whole");
}

pub(super) async fn i16_another_handle_starts_at_a_position_that_it_has(h: &dyn IndexHarness) {
    let shelf = Shelf::new(h).await;
    let mut rng = Rng::new(116);
    let make = |rng: &mut Rng, n: usize| (record(&format!("r{n}"), "cello"), embedding(rng, &model()));
    shelf.put_embedded((0..8).map(|n| make(&mut rng, n)).collect::<Vec<_>>()).await;
    let position = shelf.index.position(&shelf.ns).await.unwrap();
    let other = h.open().await;
    let dense = other.capabilities().dense == Offer::Yes;
    other.prepare(&shelf.ns, dense.then_some(&model())).await.unwrap();
    let theirs = other.position(&shelf.ns).await.unwrap();
    assert!(theirs <= position, "another handle claims {theirs:?} of {position:?}");
    let listed = everything!(Walk::LARGEST, |page| other.ids(&shelf.ns, page));
    if theirs == position {
        assert_eq!(listed, shelf.expected(), "it holds what its position claims");
    }
}
