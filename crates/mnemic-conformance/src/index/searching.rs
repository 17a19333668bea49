//! Cases on searching whatever the words: `[I5]` to `[I8]`, `[I14]`. Not here: what words mean (`lexical`).

use std::collections::BTreeSet;

use mnemic_core::{ChangeSeq, Embedding, EmbeddingModel, ErrorKind, Field, Filter, MemoryRecord, ports::IndexHit};

use super::{
    IndexHarness,
    shelf::{Shelf, ids},
};
use crate::{
    fixtures::{Rng, embedding, every_operator, model, other_model, random_filter, random_record, record, wide_model},
    walk::Walk,
};

const ALL: Filter = Filter::all();

/// A component-wise multiple.
fn scaled(embedding: &Embedding, by: f32) -> Embedding {
    let components: Vec<f32> = embedding.components().iter().map(|x| x * by).collect();
    Embedding::new(embedding.model(), components).unwrap()
}

pub(super) async fn i05_hits_are_ordered_by_score_and_are_at_most_the_limit(h: &dyn IndexHarness) {
    let shelf = Shelf::new(h).await;
    let mut rng = Rng::new(205);
    let records = (0..40usize).map(|n| {
        let text = format!("{}{}", "cello ".repeat(1 + n % 7), "harbor music evening ".repeat(n % 5));
        (record(&format!("r{}", (n * 37) % 101), &text), embedding(&mut rng, &model()))
    });
    let records: Vec<_> = records.collect();
    shelf.put_embedded(records).await;
    let query = embedding(&mut rng, &model());
    // That hits are ordered, at most `limit`, and of the version that is held is asserted with every search.
    if let Some(all) = shelf.text("cello", &ALL, 1000).await {
        assert_eq!(all.len(), 40);
        assert!(all.iter().all(|hit| hit.score > 0.0), "above zero: {all:?}");
        assert!(all[0].score > all[39].score, "texts with more of the word score higher: {all:?}");
        for limit in [0, 1, 5, 39, 40, 41] {
            let some = shelf.text("cello", &ALL, limit).await.unwrap();
            assert_best(&some, &all, limit);
        }
    }
    if let Some(all) = shelf.vector(&query, &ALL, 1000).await {
        assert_eq!(all.len(), 40);
        for limit in [0, 1, 5, 39, 40, 41] {
            assert_best(&shelf.vector(&query, &ALL, limit).await.unwrap(), &all, limit);
        }
    }
}

#[track_caller]
fn assert_best(some: &[IndexHit], all: &[IndexHit], limit: usize) {
    let best: Vec<f32> = all.iter().take(limit).map(|hit| hit.score).collect();
    let found: Vec<f32> = some.iter().map(|hit| hit.score).collect();
    assert_eq!(found.len(), best.len(), "of {} with limit {limit}", all.len());
    let close = found.iter().zip(&best).all(|(a, b)| (a - b).abs() <= 1e-5);
    assert!(close, "the best {limit} of {best:?} are not {found:?}");
}

pub(super) async fn i05_equal_scores_are_ordered_by_id(h: &dyn IndexHarness) {
    let shelf = Shelf::new(h).await;
    let same = embedding(&mut Rng::new(206), &model());
    let names: Vec<String> = (0..30).map(|n| format!("r{:03}", (n * 37) % 101)).collect();
    shelf.put_embedded(names.iter().map(|id| (record(id, "the same cello"), same.clone()))).await;
    let mut expected = names;
    expected.sort();
    for limit in [1, 7, 30] {
        let found = [shelf.text("cello", &ALL, limit).await, shelf.vector(&same, &ALL, limit).await];
        for hits in found.into_iter().flatten() {
            assert_eq!(hits.len(), limit);
            // Which of equals a remote index leaves out at its limit is not ours to say; their order is asserted with every search.
            if shelf.immediate() || limit == expected.len() {
                assert_eq!(ids(&hits), expected[..limit], "limit {limit}");
            }
        }
    }
}

pub(super) async fn i06_what_is_found_passes_the_filter_as_the_reference_evaluator_decides(h: &dyn IndexHarness) {
    let shelf = Shelf::new(h).await;
    let mut rng = Rng::new(207);
    let make = |rng: &mut Rng, n: usize| {
        let mut record = random_record(rng, &format!("r{n}"));
        record.text = format!("common {}", record.text);
        (record, embedding(rng, &model()))
    };
    let records: Vec<(MemoryRecord, Embedding)> = (0..48).map(|n| make(&mut rng, n)).collect();
    shelf.put_embedded(records.clone()).await;
    shelf.put_embedded(records.iter().step_by(4).cloned()).await;
    let held: Vec<MemoryRecord> = shelf.feed().held.values().map(|stored| stored.record.clone()).collect();
    let mut filters: Vec<Filter> = (0..300).map(|_| random_filter(&mut rng, &held, 4)).collect();
    filters.extend(every_operator(&held));
    // Each search of a remote index takes its time; there a sample must do.
    let step = if shelf.immediate() { 1 } else { 20 };
    let query = embedding(&mut rng, &model());
    for filter in filters.iter().step_by(step) {
        let passing = held.iter().filter(|record| filter.matches(*record));
        let expected: BTreeSet<String> = passing.map(|record| record.id.to_string()).collect();
        let found = [shelf.text("common", filter, 1000).await, shelf.vector(&query, filter, 1000).await];
        for (hits, how) in found.into_iter().zip(["by words", "by vector"]) {
            if let Some(mut hits) = hits {
                if !shelf.exact() {
                    let feed = shelf.feed();
                    hits.retain(|hit| filter.matches(&feed.held[&hit.id].record));
                }
                assert_eq!(BTreeSet::from_iter(ids(&hits)), expected, "{how}: {filter:?}");
            }
        }
    }
}

pub(super) async fn i06_the_limit_counts_what_passes_the_filter(h: &dyn IndexHarness) {
    let shelf = Shelf::new(h).await;
    let near = embedding(&mut Rng::new(208), &model());
    let far = scaled(&near, -1.0);
    let make = |n: usize| {
        let rare = n % 50 == 7;
        let text = if rare { format!("cello {}", "harbor ".repeat(30)) } else { "cello cello cello".to_owned() };
        let mut record = record(&format!("r{n:03}"), &text);
        record.tags = if rare { ["rare".to_owned()].into() } else { ["usual".to_owned()].into() };
        (record, if rare { far.clone() } else { near.clone() })
    };
    shelf.put_embedded((0..200).map(make)).await;
    // What passes the filter is the worst match of all, and must be found nevertheless.
    let rare = Filter::equals(Field::Tags, "rare");
    for limit in [1, 3, 4, 10] {
        let found = [shelf.text("cello", &rare, limit).await, shelf.vector(&near, &rare, limit).await];
        for hits in found.into_iter().flatten() {
            assert_eq!(hits.len(), limit.min(4), "{hits:?}");
        }
    }
}

pub(super) async fn i07_dense_search_agrees_with_brute_force(h: &dyn IndexHarness) {
    const TOP: usize = 10;
    for space in [model(), wide_model()] {
        let shelf = Shelf::of(h.open().await, &space).await;
        let mut rng = Rng::new(209);
        let records: Vec<(MemoryRecord, Embedding)> =
            (0..400).map(|n| (record(&format!("r{n:03}"), "x"), embedding(&mut rng, &space))).collect();
        shelf.put_embedded(records.clone()).await;
        let (mut right, mut asked) = (0, 0);
        for _ in 0..25 {
            let query = embedding(&mut rng, &space);
            let Some(hits) = shelf.vector(&query, &ALL, TOP).await else { return };
            let mut truth: Vec<(f32, &str)> =
                records.iter().map(|(record, held)| (query.cosine(held).unwrap(), record.id.as_str())).collect();
            truth.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
            for hit in &hits {
                let exact = truth.iter().find(|(_, id)| *id == hit.id.as_str()).unwrap().0;
                assert!((hit.score - exact).abs() <= 1e-4, "{} scores {}, its cosine is {exact}", hit.id, hit.score);
            }
            let best: BTreeSet<&str> = truth[..TOP].iter().map(|(_, id)| *id).collect();
            right += hits.iter().filter(|hit| best.contains(hit.id.as_str())).count();
            asked += TOP;
        }
        assert!(right * 100 >= asked * 99, "{right} of the {asked} closest were found in {space}");
    }
}

pub(super) async fn i07_the_length_of_a_vector_does_not_matter(h: &dyn IndexHarness) {
    let shelf = Shelf::new(h).await;
    let mut rng = Rng::new(210);
    let [one, two, query] = [(); 3].map(|()| embedding(&mut rng, &model()));
    let lengths = [1e-6, 1e-3, 1.0, 1e3, 1e6];
    let records = lengths.iter().enumerate().flat_map(|(n, by)| {
        [("one", &one), ("two", &two)].map(|(name, vector)| (record(&format!("{name}-{n}"), "x"), scaled(vector, *by)))
    });
    shelf.put_embedded(records).await;
    for by in lengths {
        let Some(hits) = shelf.vector(&scaled(&query, by), &ALL, 100).await else { return };
        assert_eq!(hits.len(), 2 * lengths.len());
        for hit in &hits {
            let exact = query.cosine(if hit.id.as_str().starts_with("one") { &one } else { &two }).unwrap();
            assert!((hit.score - exact).abs() <= 1e-4, "{}: {} instead of {exact}", hit.id, hit.score);
        }
    }
    // Opposite and equal directions are the ends of the scale.
    let ends =
        [shelf.vector(&scaled(&one, -1.0), &ALL, 100).await.unwrap(), shelf.vector(&one, &ALL, 100).await.unwrap()];
    assert!((ends[0].last().unwrap().score + 1.0).abs() < 1e-4 && (ends[1][0].score - 1.0).abs() < 1e-4, "{ends:?}");
    assert!(ends.iter().flatten().all(|hit| (-1.0..=1.0).contains(&hit.score)), "within [-1, 1]: {ends:?}");
}

pub(super) async fn i07_a_record_without_an_embedding_is_never_found_by_vector(h: &dyn IndexHarness) {
    let shelf = Shelf::new(h).await;
    let mut rng = Rng::new(215);
    let records = (0..30).map(|n| {
        let vector = (n % 3 == 0).then(|| embedding(&mut rng, &model()));
        (record(&format!("r{n:02}"), "cello"), vector)
    });
    let records: Vec<_> = records.collect();
    shelf.apply(&shelf.writes(records)).await;
    let query = embedding(&mut Rng::new(216), &model());
    if let Some(hits) = shelf.vector(&query, &ALL, 100).await {
        let mut found = ids(&hits);
        found.sort();
        let embedded: Vec<String> = (0..30).step_by(3).map(|n| format!("r{n:02}")).collect();
        assert_eq!(found, embedded);
    }
    assert_eq!(shelf.words("cello").await.map_or(30, |found| found.len()), 30, "by words all are found");
}

pub(super) async fn i08_a_vector_of_another_model_is_a_mismatch_that_names_both(h: &dyn IndexHarness) {
    let shelf = Shelf::new(h).await;
    let mut rng = Rng::new(217);
    shelf.put_embedded([(record("r", "cello"), embedding(&mut rng, &model()))]).await;
    let names_both = |error: &mnemic_core::Error, other: &EmbeddingModel| {
        assert_eq!(error.kind(), ErrorKind::ModelMismatch, "{error:?}");
        let shown = error.to_string();
        assert!(shown.contains(&model().to_string()) && shown.contains(&other.to_string()), "{shown}");
    };
    for other in [other_model(), wide_model()] {
        let stranger = embedding(&mut rng, &other);
        let outcome = shelf.index.search_dense(&shelf.ns, &stranger, &ALL, 10).await;
        if !shelf.dense() {
            assert_eq!(outcome.expect_err("not offered").kind(), ErrorKind::Unsupported);
            continue;
        }
        names_both(&outcome.expect_err("a query of another model"), &other);
        let (before, position) = (shelf.expected(), shelf.feed().seq);
        let good = embedding(&mut rng, &model());
        let changes = shelf.writes(vec![(record("good", "x"), Some(good)), (record("bad", "x"), Some(stranger))]);
        let through = ChangeSeq(shelf.feed().seq);
        let error = shelf.index.apply(&shelf.ns, &changes, through).await.expect_err("a vector of another model");
        names_both(&error, &other);
        assert_eq!(shelf.index.position(&shelf.ns).await.unwrap(), ChangeSeq(position), "nothing was applied");
        assert_eq!(shelf.listed(Walk::LARGEST).await, before);
        let mut feed = shelf.feed();
        feed.seq = position;
        feed.held.retain(|id, _| id.as_str() == "r");
    }
}

pub(super) async fn i14_a_way_of_searching_that_is_not_offered_is_unsupported(h: &dyn IndexHarness) {
    let shelf = Shelf::new(h).await;
    assert!(shelf.dense() || shelf.lexical(), "an index offers something");
    assert!(!shelf.index.name().is_empty());
    let vector = embedding(&mut Rng::new(218), &model());
    for round in 0..2 {
        // Both searches judge the answer by what is declared.
        let text = shelf.text("cello", &ALL, 10).await;
        let dense = shelf.vector(&vector, &ALL, 10).await;
        assert_eq!((text.is_some(), dense.is_some()), (shelf.lexical(), shelf.dense()));
        assert!([text, dense].into_iter().flatten().all(|hits| hits.len() == round));
        shelf.put_embedded([(record("r", "cello"), vector.clone())]).await;
    }
    // An index that is to hold no embeddings still serves what it offers by words.
    let index = h.open().await;
    let ns = crate::fixtures::namespace();
    index.prepare(&ns, None).await.unwrap();
    index.prepare(&ns, None).await.unwrap();
}
