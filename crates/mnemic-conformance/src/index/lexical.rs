//! Cases on searching by words: `[I9]` and `[I10]`. Not here: how words are weighed.

use mnemic_core::{Filter, limits};

use super::{IndexHarness, shelf::Shelf};
use crate::fixtures::record;

/// Two texts that share no word.
async fn cello_and_harbor(h: &dyn IndexHarness) -> Shelf {
    let shelf = Shelf::new(h).await;
    shelf
        .put([
            record("cello", "she plays the cello in an orchestra"),
            record("harbor", "ships wait outside their harbor"),
        ])
        .await;
    shelf
}

pub(super) async fn i09_a_query_is_literal_text_whatever_it_looks_like(h: &dyn IndexHarness) {
    let shelf = cello_and_harbor(h).await;
    for query in [
        "cello",
        "\"cello orchestra\"",
        "\"orchestra cello\"",
        "\"cello",
        "cello\"",
        "'cello'",
        "cello*",
        "*cello",
        "-cello",
        "+cello",
        "!cello",
        "NOT cello",
        "cello AND orchestra",
        "cello OR zzz",
        "cello NEAR/2 orchestra",
        "cello NEAR zzz",
        "text:cello",
        "text : cello",
        "id:zzz cello",
        "(cello",
        "cello)",
        "{cello}",
        "[cello TO zzz]",
        "cello~2",
        "cello^0",
        "cello & zzz",
        "cello | zzz",
        "cello <-> zzz",
        "cello:*",
        "\\cello",
        "cello\\",
        "cello; DROP TABLE records; --",
        "' OR '1'='1 cello",
        "$cello {\"$ne\": null}",
        "<b>cello</b>",
        "cello\u{0}",
        "cello\n\tzzz",
        "/cello/",
        "%cello%",
        "@cello #zzz",
    ] {
        if let Some(found) = shelf.words(query).await {
            assert_eq!(found, ["cello"], "{query:?}");
        }
    }
    // None of these is a pattern.
    for query in ["cell*", "c?llo", "ce%lo", "ce_lo", "c.*", ".*", "cel+o", "[a-z]+", "cell~1", "id:zzz", "user_id:*"] {
        if let Some(found) = shelf.words(query).await {
            assert_eq!(found, [""; 0], "{query:?}");
        }
    }
}

pub(super) async fn i09_a_query_without_words_finds_nothing(h: &dyn IndexHarness) {
    let shelf = cello_and_harbor(h).await;
    let blanks = [
        "",
        " ",
        "\t\r\n",
        "!",
        "???",
        "*",
        "\"",
        "\"\"",
        "''",
        "()",
        "-",
        "--",
        "%",
        "_",
        "\\",
        "&|!",
        ":*",
        "\u{0}",
        "\u{200b}",
        "«»",
        "。、",
        "+-&&||!(){}[]^\"~*?:\\/",
    ];
    for query in blanks {
        if let Some(found) = shelf.words(query).await {
            assert_eq!(found, [""; 0], "{query:?}");
        }
    }
}

pub(super) async fn i09_no_query_is_too_long_or_too_odd(h: &dyn IndexHarness) {
    let shelf = cello_and_harbor(h).await;
    let again_and_again = "cello ".repeat(limits::QUERY_BYTES / 6);
    let many_words = (0..6000).map(|n| format!("word{n}")).collect::<Vec<_>>().join(" ") + " cello";
    let one_word = "x".repeat(limits::QUERY_BYTES);
    let open = "(\"".repeat(2000) + " cello";
    for (query, found) in [(&again_and_again, 1), (&many_words, 1), (&one_word, 0), (&open, 1)] {
        assert_eq!(shelf.words(query).await.map_or(found, |hits| hits.len()), found, "{}…", &query[..20]);
    }
    for odd in [
        "👩‍⚖️🎻",
        "\u{202e}olleс\u{202c}",
        "\u{fffd}\u{ffff}",
        "e\u{301}\u{301}\u{301}",
        "ﷺ",
        "ß",
        "İ",
        "the of and",
        "и в на",
    ] {
        // Whether such a query finds anything depends on the text; that it is answered does not.
        shelf.text(odd, &Filter::all(), 10).await;
    }
}

/// Texts by id, and which of them a query finds.
async fn finds(h: &dyn IndexHarness, texts: &[(&str, &str)], queries: &[(&str, &[&str])]) {
    let shelf = Shelf::new(h).await;
    shelf.put(texts.iter().map(|(id, text)| record(id, text))).await;
    for (query, expected) in queries {
        if let Some(mut found) = shelf.words(query).await {
            found.sort();
            assert_eq!(found, *expected, "{query:?}");
        }
    }
}

pub(super) async fn i10_inflected_english_words_find_each_other(h: &dyn IndexHarness) {
    let texts = [
        ("filed", "The attorney filed both petitions with the immigration office yesterday."),
        ("hearing", "Her hearings were scheduled for the first week of March."),
        ("running", "He was running along the river while the children played."),
    ];
    let queries: [(&str, &[&str]); 12] = [
        ("filing", &["filed"]),
        ("files", &["filed"]),
        ("file", &["filed"]),
        ("petition", &["filed"]),
        ("attorneys", &["filed"]),
        ("hearing", &["hearing"]),
        ("schedule", &["hearing"]),
        ("scheduling", &["hearing"]),
        ("runs", &["running"]),
        ("rivers", &["running"]),
        ("playing", &["running"]),
        ("cello", &[]),
    ];
    finds(h, &texts, &queries).await;
}

pub(super) async fn i10_inflected_russian_words_find_each_other_and_yo_equals_ye(h: &dyn IndexHarness) {
    let texts = [
        ("visa", "Адвокат подал заявление о выдаче рабочей визы в консульство."),
        ("fee", "Пошлина за рассмотрение петиции выросла до тысячи долларов."),
        ("yo", "Самолёт вылетел поздно, и ребёнок уснул ещё до взлёта."),
        ("ye", "Счет оплачен полностью, партнеры получили отчет."),
        ("both", "Клиент спросил, когда USCIS ответит на форму I-129."),
    ];
    let queries: [(&str, &[&str]); 18] = [
        ("виза", &["visa"]),
        ("визу", &["visa"]),
        ("визой", &["visa"]),
        ("заявления", &["visa"]),
        ("заявлением", &["visa"]),
        ("адвокаты", &["visa"]),
        ("адвокату", &["visa"]),
        ("пошлину", &["fee"]),
        ("пошлины", &["fee"]),
        ("петиция", &["fee"]),
        ("самолет", &["yo"]),
        ("самолёты", &["yo"]),
        ("ребенок", &["yo"]),
        ("счёт", &["ye"]),
        ("отчёта", &["ye"]),
        ("партнёр", &["ye"]),
        ("uscis", &["both"]),
        ("виолончель", &[]),
    ];
    finds(h, &texts, &queries).await;
}

pub(super) async fn i10_text_without_spaces_is_found_by_its_parts(h: &dyn IndexHarness) {
    let texts = [
        ("zh", "客户住在里加,是一名大提琴手"),
        ("ja", "依頼人はリガに住んでいます"),
        ("mixed", "The client (客户) signed 委托书 in May"),
    ];
    let queries: [(&str, &[&str]); 9] = [
        ("里加", &["zh"]),
        ("大提琴", &["zh"]),
        ("大提琴手", &["zh"]),
        ("客户", &["mixed", "zh"]),
        ("委托书", &["mixed"]),
        ("依頼人", &["ja"]),
        ("リガ", &["ja"]),
        ("律师", &[]),
        ("会計士", &[]),
    ];
    finds(h, &texts, &queries).await;
}
