//! What searching the local index finds. Not here: filters and statistics against their definitions (`properties`), files (`snapshots`).
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod support;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use mnemic_core::{
    ChangeSeq, Embedding, EmbeddingModel, ErrorKind, Field, Filter, Metric, Namespace, Order, PageRequest, Version,
    ports::Index,
};
use mnemic_indexes::LocalIndex;
use support::{
    DIMENSION, Random, embedded, exact, fed, gone, ids, in_memory, model, namespace, record, words, written,
};

#[tokio::test]
async fn inflected_forms_of_russian_words_find_each_other_and_yo_equals_ye() {
    let index = fed(&[
        "Поданы все документы",
        "Не хватает документов",
        "Один документ",
        "Ёлка у дома",
        "елку убрали",
        "другое",
    ])
    .await;
    for query in ["документ", "документы", "документами", "ДОКУМЕНТОВ"] {
        let mut found = words(&index, query).await;
        found.sort();
        assert_eq!(found, ["0", "1", "2"], "{query}");
    }
    for query in ["елка", "ёлка", "Ёлки", "ёлку"] {
        let mut found = words(&index, query).await;
        found.sort();
        assert_eq!(found, ["3", "4"], "{query}");
    }
}

#[tokio::test]
async fn inflected_forms_of_english_words_find_each_other() {
    let index = fed(&["She filed the petitions", "A petition is pending", "nothing here"]).await;
    for query in ["petition", "petitions", "Petition's"] {
        let mut found = words(&index, query).await;
        found.sort();
        assert_eq!(found, ["0", "1"], "{query}");
    }
    assert_eq!(words(&index, "filing").await, ["0"]);
}

#[tokio::test]
async fn text_without_spaces_is_found_by_its_parts() {
    let index = fed(&["東京都に住んでいます", "大阪へ行きました", "고양이가 좋아요", "ผมชอบกินข้าว", "猫"]).await;
    assert_eq!(words(&index, "東京").await, ["0"]);
    assert_eq!(words(&index, "大阪").await, ["1"]);
    assert_eq!(words(&index, "京").await, ["0"], "a single character");
    assert_eq!(words(&index, "고양이").await, ["2"]);
    assert_eq!(words(&index, "กินข้าว").await, ["3"]);
    assert_eq!(words(&index, "猫").await, ["4"]);
}

#[tokio::test]
async fn a_word_is_found_by_itself_whatever_language_its_text_was_taken_for() {
    let texts = [
        "Die Anwältin hat gestern alle Häuser und Unterlagen bei der zuständigen Behörde eingereicht",
        "Los abogados presentaron ayer todas las solicitudes necesarias ante los tribunales de la ciudad",
        "Les avocats ont déposé hier toutes les demandes nécessaires auprès des tribunaux de la ville",
        "Adwokaci złożyli wczoraj wszystkie potrzebne wnioski do sądów w naszym mieście bez opóźnienia",
        "Avukatlar dün gerekli bütün başvuruları şehrimizdeki mahkemelere gecikmeden teslim ettiler",
        "The lawyers filed all the necessary requests with the courts of our city without any delay",
        "Адвокаты подали вчера все необходимые ходатайства в суды нашего города без задержки",
        "Адвокати подали вчора всі необхідні клопотання до судів нашого міста без затримки",
        "Οι δικηγόροι υπέβαλαν χθες όλες τις απαραίτητες αιτήσεις στα δικαστήρια της πόλης",
        "قدم المحامون أمس جميع الطلبات اللازمة إلى محاكم المدينة دون تأخير",
        "वकीलों ने कल सभी आवश्यक आवेदन शहर की अदालतों में जमा किए",
        "עורכי הדין הגישו אתמול את כל הבקשות",
        "Häuser",
        "solicitudes",
    ];
    let index = fed(&texts).await;
    for (id, text) in texts.iter().enumerate() {
        for word in text.split_whitespace() {
            let found = words(&index, word).await;
            assert!(found.contains(&id.to_string()), "{word:?} of {text:?} is not found");
        }
    }
    // Inflections are found within the language that a text was taken for.
    assert!(words(&index, "Haus").await.contains(&"0".to_owned()));
    assert!(words(&index, "solicitud").await.contains(&"1".to_owned()));
    assert!(words(&index, "клопотань").await.contains(&"7".to_owned()));
}

#[tokio::test]
async fn accents_may_be_left_out() {
    let index = fed(&["We met at the café with Zoë", "The naïve résumé"]).await;
    assert_eq!(words(&index, "cafe zoe").await, ["0"]);
    assert_eq!(words(&index, "resume").await, ["1"]);
    assert_eq!(words(&index, "CAFÉ").await, ["0"]);
}

#[tokio::test]
async fn identifiers_are_found_whole_and_by_their_parts() {
    let index = fed(&["The I-485 was filed", "Receipt IOE0912345678", "john.smith@example.com", "fee 1,055.00"]).await;
    for (query, id) in [
        ("I-485", "0"),
        ("I485", "0"),
        ("485", "0"),
        ("IOE0912345678", "1"),
        ("0912345678", "1"),
        ("smith", "2"),
        ("example.com", "2"),
        ("1055", "3"),
        ("1,055", "3"),
    ] {
        let found = words(&index, query).await;
        if query == "1055" {
            assert!(found.is_empty(), "the whole amount is one number: {found:?}");
        } else {
            assert_eq!(found.first().map(String::as_str), Some(id), "{query}");
        }
    }
}

#[tokio::test]
async fn any_query_is_literal_text() {
    let index = fed(&["a b column near text", "nasa col x", "plain"]).await;
    for query in [
        "\"",
        "*",
        "NEAR(",
        "(((",
        "col:x",
        "@nasa",
        "a-b",
        "x OR y",
        "text\"",
        "(a+)+$",
        "' OR 1=1 --",
        "NOT plain",
        "\\",
        "%",
        "\u{0}",
    ] {
        index.search_text(&namespace(), query, &Filter::all(), 10).await.unwrap();
    }
    assert!(words(&index, "\"").await.is_empty());
    assert!(words(&index, "NEAR(").await.contains(&"0".to_owned()));
    assert_eq!(words(&index, "@nasa").await, ["1"]);
    assert_eq!(words(&index, "pla*").await, Vec::<String>::new());
    assert_eq!(words(&index, "NOT plain").await, ["2"]);
}

#[tokio::test]
async fn a_megabyte_of_anything_is_read_quickly() {
    let index = fed(&["a b", "猫", "1"]).await;
    let many_words: String = (0..150_000).map(|n: u32| n.to_string() + "w ").collect();
    for query in [
        "(".repeat(1 << 20),
        "a ".repeat(1 << 19),
        "猫".repeat(1 << 18),
        "1,".repeat(1 << 19),
        "\u{301}".repeat(1 << 18),
        many_words,
    ] {
        let start = Instant::now();
        index.search_text(&namespace(), &query, &Filter::all(), 10).await.unwrap();
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}… took {:?}", query.chars().next(), start.elapsed());
    }
}

#[tokio::test]
async fn a_query_without_words_finds_nothing_and_is_no_error() {
    let index = fed(&["text", "🙂"]).await;
    for query in ["", "  ", "🙂", "!?"] {
        assert!(words(&index, query).await.is_empty(), "{query:?}");
    }
}

#[tokio::test]
async fn stop_words_count_only_where_there_is_nothing_else() {
    let index = fed(&["to be or not to be", "what is the matter", "the hearing", "что это", "дело"]).await;
    assert_eq!(words(&index, "what is the hearing").await, ["2"]);
    assert_eq!(words(&index, "to be").await, ["0"]);
    assert_eq!(words(&index, "что это за дело").await, ["4"]);
    assert_eq!(words(&index, "что это").await, ["3"]);
}

#[tokio::test]
async fn a_replaced_record_is_found_by_its_new_text_and_embedding_only() {
    let (index, namespace) = (in_memory(), namespace());
    let axis = |n: usize| (0..DIMENSION as usize).map(|i| f32::from(u8::from(i == n))).collect::<Vec<f32>>();
    index.apply(&namespace, &[embedded(1, record("r", "old words"), axis(0))], ChangeSeq(1)).await.unwrap();
    let mut newer = record("r", "new phrase");
    newer.version = Version(2);
    index.apply(&namespace, &[embedded(2, newer, axis(1))], ChangeSeq(2)).await.unwrap();
    assert!(words(&index, "old").await.is_empty());
    let hits = index.search_text(&namespace, "phrase", &Filter::all(), 10).await.unwrap();
    assert_eq!((ids(&hits), hits[0].version), (vec!["r".to_owned()], Version(2)));
    let toward = |vector| Embedding::new(&model(), vector).unwrap();
    let hits = index.search_dense(&namespace, &toward(axis(1)), &Filter::all(), 10).await.unwrap();
    assert!((hits[0].score - 1.0).abs() < 1e-6 && hits.len() == 1);
    index.apply(&namespace, &[gone(3, "r")], ChangeSeq(3)).await.unwrap();
    assert!(words(&index, "phrase").await.is_empty());
    assert!(index.search_dense(&namespace, &toward(axis(1)), &Filter::all(), 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_embedding_that_arrives_later_makes_the_record_findable_by_vector() {
    let (index, namespace, mut random) = (in_memory(), namespace(), Random(1));
    let vector = random.vector();
    let query = Embedding::new(&model(), vector.clone()).unwrap();
    index.prepare(&namespace, Some(&model())).await.unwrap();
    index.apply(&namespace, &[written(1, record("r", "text"))], ChangeSeq(1)).await.unwrap();
    assert!(index.search_dense(&namespace, &query, &Filter::all(), 10).await.unwrap().is_empty());
    index.apply(&namespace, &[embedded(2, record("r", "text"), vector)], ChangeSeq(2)).await.unwrap();
    assert_eq!(ids(&index.search_dense(&namespace, &query, &Filter::all(), 10).await.unwrap()), ["r"]);
    let report = index.check(&namespace).await.unwrap();
    assert_eq!((report.records, report.embeddings, report.faults.len()), (1, 1, 0));
}

#[tokio::test]
async fn changes_at_or_below_the_position_are_ignored() {
    let (index, namespace) = (in_memory(), namespace());
    index.apply(&namespace, &[written(5, record("r", "first"))], ChangeSeq(7)).await.unwrap();
    assert_eq!(index.position(&namespace).await.unwrap(), ChangeSeq(7));
    index.apply(&namespace, &[gone(5, "r"), written(7, record("s", "late"))], ChangeSeq(6)).await.unwrap();
    assert_eq!(words(&index, "first late").await, ["r"]);
    assert_eq!(index.position(&namespace).await.unwrap(), ChangeSeq(7));
    index.apply(&namespace, &[], ChangeSeq(9)).await.unwrap();
    assert_eq!(index.position(&namespace).await.unwrap(), ChangeSeq(9));
}

#[tokio::test]
async fn namespaces_share_nothing_not_even_statistics() {
    let (alone, both) = (in_memory(), in_memory());
    let (one, other) = (namespace(), Namespace::new("other").unwrap());
    let changes: Vec<_> =
        (1..=20).map(|n| written(n, record(&n.to_string(), if n < 3 { "visa fee" } else { "other text" }))).collect();
    alone.apply(&one, &changes, ChangeSeq(20)).await.unwrap();
    both.apply(&one, &changes, ChangeSeq(20)).await.unwrap();
    let crowd: Vec<_> = (1..=300).map(|n| written(n, record(&n.to_string(), "visa visa visa"))).collect();
    both.apply(&other, &crowd, ChangeSeq(300)).await.unwrap();
    let all = Filter::all();
    let scores = exact(&alone.search_text(&one, "visa fee", &all, 50).await.unwrap());
    assert_eq!(exact(&both.search_text(&one, "visa fee", &all, 50).await.unwrap()), scores);
    both.drop_namespace(&other).await.unwrap();
    assert_eq!(exact(&both.search_text(&one, "visa fee", &all, 50).await.unwrap()), scores);
    assert!(both.search_text(&other, "visa", &all, 50).await.unwrap().is_empty());
    assert_eq!(both.position(&other).await.unwrap(), ChangeSeq(0));
    both.apply(&other, &crowd[..1], ChangeSeq(1)).await.unwrap();
    assert_eq!(both.search_text(&other, "visa", &all, 50).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_embedding_of_another_model_is_refused_whole_and_by_name() {
    let (index, namespace, mut random) = (in_memory(), namespace(), Random(3));
    let other = EmbeddingModel::new("test", "another", DIMENSION, Metric::Cosine).unwrap();
    let foreign = Embedding::new(&other, random.vector()).unwrap();
    index.prepare(&namespace, Some(&model())).await.unwrap();
    let mut wrong = embedded(2, record("b", "second"), random.vector());
    wrong.record.as_mut().unwrap().embedding = Some(foreign.clone());
    let batch = [embedded(1, record("a", "first"), random.vector()), wrong];
    let error = index.apply(&namespace, &batch, ChangeSeq(2)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ModelMismatch);
    assert!(error.to_string().contains("test/random") && error.to_string().contains("test/another"), "{error}");
    assert_eq!(index.check(&namespace).await.unwrap().records, 0, "nothing of the batch was applied");

    index.apply(&namespace, &batch[..1], ChangeSeq(1)).await.unwrap();
    let error = index.search_dense(&namespace, &foreign, &Filter::all(), 5).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ModelMismatch);
    let error = index.prepare(&namespace, Some(&other)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ModelMismatch);
    index.drop_namespace(&namespace).await.unwrap();
    index.prepare(&namespace, Some(&other)).await.unwrap();
    assert!(index.search_dense(&namespace, &foreign, &Filter::all(), 5).await.unwrap().is_empty());
}

#[tokio::test]
async fn ids_lists_what_is_held_page_by_page_in_both_directions() {
    let (index, namespace, mut random) = (in_memory(), namespace(), Random(5));
    let names = ["d", "a", "ё", "b", "c"];
    let mut changes: Vec<_> = (1..).zip(names).map(|(n, id)| written(n, record(id, "x"))).collect();
    changes.push(gone(6, "c"));
    changes.push(embedded(7, record("b", "x"), random.vector()));
    index.apply(&namespace, &changes, ChangeSeq(7)).await.unwrap();
    for (order, expected) in [(Order::Oldest, ["a", "b", "d", "ё"]), (Order::Newest, ["ё", "d", "b", "a"])] {
        let mut page = PageRequest::first(3).unwrap().ordered(order);
        let mut seen = Vec::new();
        loop {
            let found = index.ids(&namespace, &page).await.unwrap();
            seen.extend(found.items.iter().map(|item| (item.id.to_string(), item.embedded)));
            if found.next.is_none() {
                break;
            }
            page = page.after(found.next);
        }
        assert_eq!(seen, expected.map(|id| (id.to_owned(), id == "b")));
    }
}

#[tokio::test]
async fn limits_are_kept_and_equal_scores_are_ordered_by_id() {
    let (index, namespace) = (in_memory(), namespace());
    let changes: Vec<_> = (1..=500u64)
        .map(|n| embedded(n, record(&format!("{:03}", (n * 7919) % 500), "same text"), vec![1.0; DIMENSION as usize]))
        .collect();
    index.apply(&namespace, &changes, ChangeSeq(500)).await.unwrap();
    let expected: Vec<String> = (0..20).map(|n| format!("{n:03}")).collect();
    let all = Filter::all();
    let query = Embedding::new(&model(), vec![2.0; DIMENSION as usize]).unwrap();
    assert_eq!(ids(&index.search_text(&namespace, "same", &all, 20).await.unwrap()), expected);
    assert_eq!(ids(&index.search_dense(&namespace, &query, &all, 20).await.unwrap()), expected);
    assert!(index.search_text(&namespace, "same", &all, 0).await.unwrap().is_empty());
    assert!(index.search_dense(&namespace, &query, &all, 0).await.unwrap().is_empty());
    assert_eq!(index.search_text(&namespace, "same", &all, usize::MAX).await.unwrap().len(), 500);
    assert_eq!(index.search_dense(&namespace, &query, &all, usize::MAX).await.unwrap().len(), 500);
}

#[tokio::test]
async fn a_filter_beyond_its_limits_is_refused_before_work() {
    let (index, namespace) = (in_memory(), namespace());
    let mut deep = Filter::Exists(Field::Text);
    for _ in 0..1000 {
        deep = Filter::Not(Box::new(deep));
    }
    let error = index.search_text(&namespace, "x", &deep, 5).await.unwrap_err();
    assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some("filter")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn searching_while_changes_arrive_sees_whole_records_only() {
    let (index, namespace) = (std::sync::Arc::new(in_memory()), namespace());
    let writer = {
        let (index, namespace) = (index.clone(), namespace.clone());
        tokio::spawn(async move {
            for round in 1..=300u64 {
                let mut newer = record("r", &format!("{round} always"));
                newer.version = Version(round);
                index.apply(&namespace, &[written(round, newer)], ChangeSeq(round)).await.unwrap();
            }
        })
    };
    let mut last = 0;
    while !writer.is_finished() {
        let hits = index.search_text(&namespace, "always", &Filter::all(), 10).await.unwrap();
        assert!(hits.len() <= 1);
        if let Some(hit) = hits.first() {
            assert!(hit.version.0 >= last);
            last = hit.version.0;
        }
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
    assert_eq!(words(&index, "300").await, ["r"]);
    assert!(words(&index, "299").await.is_empty());
}

/// How many records were found by each of two words, until it is told to stop.
async fn seen_until(index: Arc<LocalIndex>, stop: Arc<AtomicBool>) -> BTreeSet<(&'static str, usize)> {
    let mut seen = BTreeSet::new();
    for word in ["first", "second"].into_iter().cycle() {
        let hits = index.search_text(&namespace(), word, &Filter::all(), 1000).await.unwrap();
        seen.insert((word, hits.len()));
        if stop.load(Ordering::Relaxed) {
            break;
        }
        tokio::task::yield_now().await;
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_finds_all_of_a_batch_or_nothing_of_it() {
    let index = Arc::new(in_memory());
    let batch = |text: &'static str, seq| (0..900).map(move |n| written(seq, record(&format!("r{n}"), text)));
    let stop = Arc::new(AtomicBool::new(false));
    let searching = tokio::spawn(seen_until(Arc::clone(&index), Arc::clone(&stop)));
    for round in 0..10 {
        let text = ["the first text of many words", "a second one, which is not the same"][round % 2];
        let seq = round as u64 + 1;
        index.apply(&namespace(), &batch(text, seq).collect::<Vec<_>>(), ChangeSeq(seq)).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    let seen = searching.await.unwrap();
    assert!(seen.iter().all(|(_, found)| [0, 900].contains(found)), "{seen:?}");
    assert!(seen.len() == 4, "both were seen there and gone: {seen:?}");
}
