//! Everything that goes wrong between an embedder and its vendor, the same for every vendor: typed, with a verdict, and never a wrong
//! vector. Not here: what vendors say in words of their own (`hosted_refusals`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking"
)]

mod hosted_common;

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

use hosted_common::{KEY, VENDORS, Vendor};
use mnemic_core::{
    Error, ErrorKind, Retry,
    ports::{Embedder, Purpose},
};
use mnemic_stand_ins::{Fault, vectors::Wrong};

const TEXTS: [&str; 3] = [
    "the petition was filed in Riga on the third of April",
    "clients pay the filing fee of 405 dollars",
    "call the doctor about the blood test",
];
const HOUR: Duration = Duration::from_hours(1);

/// What a fault must become.
type Verdict = (ErrorKind, Retry);

fn faults() -> Vec<(&'static str, Fault, Verdict)> {
    let after = |seconds| Retry::After(Duration::from_secs(seconds));
    let page = |status| Fault::Answer {
        status,
        retry_after: None,
        content_type: "text/html",
        body: "<html><body>Please sign in to the Wi-Fi</body></html>".to_owned(),
    };
    let (unavailable, limited) = (ErrorKind::Unavailable, ErrorKind::RateLimited);
    vec![
        ("401", Fault::json(401, r#"{"detail":"bad key"}"#), (ErrorKind::Denied, Retry::Never)),
        ("401 in text", Fault::plain_unauthorized("no"), (ErrorKind::Denied, Retry::Never)),
        ("403", Fault::status(403), (ErrorKind::Denied, Retry::Never)),
        ("402", Fault::status(402), (ErrorKind::Denied, Retry::Never)),
        ("429", Fault::status(429), (limited, Retry::Soon)),
        ("429, wait 0", Fault::slow_down("0"), (limited, after(0))),
        ("429, wait 7", Fault::slow_down("7"), (limited, after(7))),
        ("429, wait -1", Fault::slow_down("-1"), (limited, Retry::Soon)),
        ("429, wait 1e9", Fault::slow_down("1e9"), (limited, Retry::After(HOUR))),
        ("429, a date gone by", Fault::slow_down("Sun, 06 Nov 1994 08:49:37 GMT"), (limited, after(0))),
        ("429, no sense", Fault::slow_down("soon"), (limited, Retry::Soon)),
        ("500", Fault::status(500), (unavailable, Retry::Soon)),
        ("502 with a page", Fault::html_bad_gateway(), (unavailable, Retry::Soon)),
        ("503, wait 2", Fault::status(503).waiting("2"), (unavailable, after(2))),
        ("504", Fault::status(504), (unavailable, Retry::Soon)),
        ("200 with a page", page(200), (unavailable, Retry::Soon)),
        ("200 with nothing", Fault::status(200), (unavailable, Retry::Soon)),
        ("200 with {}", Fault::json(200, "{}"), (unavailable, Retry::Soon)),
        ("200 with null", Fault::json(200, "null"), (unavailable, Retry::Soon)),
        ("200 too deep", Fault::json(200, "[".repeat(100_000)), (unavailable, Retry::Soon)),
        ("200 with NaN", Fault::json(200, "[[NaN]]"), (unavailable, Retry::Soon)),
        ("204", Fault::status(204), (unavailable, Retry::Soon)),
        ("302 to a metadata service", page(302), (unavailable, Retry::Never)),
        ("cut in the middle", Fault::Truncated, (unavailable, Retry::Soon)),
        ("reset before", Fault::Reset, (unavailable, Retry::Soon)),
        ("reset after", Fault::LostAnswer, (unavailable, Retry::Soon)),
    ]
}

async fn embed(embedder: &dyn Embedder) -> Result<Vec<Vec<f32>>, Error> {
    let found = embedder.embed(Purpose::Document, &TEXTS).await?;
    Ok(found.into_iter().map(|embedding| embedding.unwrap().components().to_vec()).collect())
}

fn check(vendor: Vendor, what: &str, outcome: Result<Vec<Vec<f32>>, Error>, (kind, retry): Verdict) {
    let error = outcome.expect_err(what);
    assert_eq!((error.kind(), error.retry()), (kind, retry), "{vendor:?}, {what}: {error:?}");
    let whole = format!("{error} {error:?}");
    assert!(!whole.contains(KEY), "{vendor:?}, {what}: {whole}");
    assert!(TEXTS.iter().all(|text| !whole.contains(text)), "{vendor:?}, {what}: {whole}");
    assert!(!error.to_string().contains("127.0.0.1"), "{vendor:?}, {what}: {error}");
}

#[tokio::test]
async fn every_fault_of_every_vendor_is_typed_and_the_next_request_is_answered() {
    for vendor in VENDORS {
        let stand_in = vendor.stand_in();
        let embedder = vendor.at(&stand_in.url());
        let right = embed(&*embedder).await.unwrap();
        for (what, fault, verdict) in faults() {
            stand_in.knobs().next([fault]);
            check(vendor, what, embed(&*embedder).await, verdict);
            assert_eq!(stand_in.knobs().waiting(), 0, "{vendor:?}, {what}: an adapter asks once");
            assert_eq!(embed(&*embedder).await.unwrap(), right, "{vendor:?}, after {what}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_slow_is_waited_for() {
    for vendor in VENDORS {
        let stand_in = vendor.stand_in();
        let embedder = vendor.at(&stand_in.url());
        let right = embed(&*embedder).await.unwrap();
        stand_in.knobs().next([Fault::Slow(Duration::from_millis(5))]);
        assert_eq!(embed(&*embedder).await.unwrap(), right, "{vendor:?}");
    }
}

#[tokio::test]
async fn a_wrong_answer_of_any_vendor_is_refused_and_never_becomes_a_vector() {
    for vendor in VENDORS {
        let stand_in = vendor.stand_in();
        let embedder = vendor.at(&stand_in.url());
        let right = embed(&*embedder).await.unwrap();
        for (wrong, retry) in [
            (Wrong::TooFew, Retry::Soon),
            (Wrong::TooMany, Retry::Soon),
            (Wrong::IndexTwice, Retry::Soon),
            (Wrong::IndexBeyond, Retry::Soon),
            (Wrong::NoIndex, Retry::Soon),
            (Wrong::Shorter, Retry::Never),
            (Wrong::Longer, Retry::Never),
            (Wrong::Empty, Retry::Never),
            (Wrong::NotANumber, Retry::Soon),
            (Wrong::Infinite, Retry::Soon),
            (Wrong::Zero, Retry::Soon),
        ] {
            if !vendor.has_indices() && matches!(wrong, Wrong::IndexTwice | Wrong::IndexBeyond | Wrong::NoIndex) {
                continue;
            }
            stand_in.wrongs().next([wrong]);
            check(vendor, &format!("{wrong:?}"), embed(&*embedder).await, (ErrorKind::Unavailable, retry));
        }
        stand_in.wrongs().next([Wrong::Reordered]);
        assert_eq!(embed(&*embedder).await.unwrap(), right, "{vendor:?}: indices tell the order");
    }
}

/// A server that answers every request by `answer`, on a thread that ends with the connection.
fn raw(answer: fn(&mut TcpStream) -> std::io::Result<()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut head = vec![0; 64 * 1024];
            // The requests here fit into one read or two; what is left unread does no harm.
            let _read = stream.read(&mut head);
            // The client may be gone already, which is what the test wants.
            let _answered = answer(&mut stream);
        }
    });
    url
}

#[tokio::test]
async fn an_answer_of_a_gigabyte_is_not_read_to_its_end() {
    let url = raw(|stream| {
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1073741824\r\n\r\n")?;
        let piece = vec![b'['; 1024 * 1024];
        (0..1024).try_for_each(|_| stream.write_all(&piece))
    });
    for vendor in VENDORS {
        let outcome = embed(&*vendor.at(&url)).await;
        check(vendor, "1 GiB", outcome, (ErrorKind::Unavailable, Retry::Soon));
    }
}

#[tokio::test]
async fn an_answer_byte_by_byte_that_breaks_off_is_no_answer() {
    let url = raw(|stream| {
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n")?;
        for byte in b"{\"data\":[{\"index\":0" {
            stream.write_all(&[*byte])?;
            stream.flush()?;
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    });
    for vendor in VENDORS {
        let outcome = embed(&*vendor.at(&url)).await;
        check(vendor, "broken off", outcome, (ErrorKind::Unavailable, Retry::Soon));
    }
}

#[tokio::test]
async fn a_vendor_that_is_not_there_is_unavailable() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for vendor in VENDORS {
        let outcome = embed(&*vendor.at(&format!("http://{free}"))).await;
        check(vendor, "nobody there", outcome, (ErrorKind::Unavailable, Retry::Soon));
    }
}

/// Numbers that follow from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound.max(1)
    }
}

/// The answer with something of it changed, doubled, cut or replaced by what parsers stumble over.
fn spoiled(answer: &str, random: &mut Random) -> String {
    const PIECES: [&str; 12] =
        ["null", "[]", "{}", "-1", "1e400", "\"\"", "\u{0}", "[[[[", "NaN", ",", "\u{fffd}", "0.5,0.5"];
    let mut chars: Vec<char> = answer.chars().collect();
    for _ in 0..=random.below(3) {
        let at = random.below(chars.len());
        let until = (at + random.below(40)).min(chars.len());
        match random.below(4) {
            0 => drop(chars.drain(at..until)),
            1 => chars.truncate(until),
            2 => drop(chars.splice(at..until, PIECES[random.below(PIECES.len())].chars())),
            _ => {
                let again: Vec<char> = chars[at..until].to_vec();
                drop(chars.splice(at..at, again));
            }
        }
        if chars.is_empty() {
            break;
        }
    }
    chars.into_iter().collect()
}

fn is_unit(vector: &[f32], dimension: usize) -> bool {
    let length: f32 = vector.iter().map(|component| component * component).sum();
    vector.len() == dimension && (length - 1.0).abs() < 1e-3
}

#[tokio::test]
async fn a_hostile_answer_of_any_vendor_is_an_error_or_vectors_of_the_model_and_never_a_panic() {
    for (seed, vendor) in (1..).zip(VENDORS) {
        let stand_in = vendor.stand_in();
        let embedder = vendor.at(&stand_in.url());
        let dimension = embedder.model().unwrap().dimension() as usize;
        embed(&*embedder).await.unwrap();
        let answer = String::from_utf8(stand_in.transcript().take()[0].answer.to_vec()).unwrap();
        let mut random = Random(seed);
        let mut refused = 0;
        for round in 0..150 {
            let body = spoiled(&answer, &mut random);
            stand_in.knobs().next([Fault::json(200, body)]);
            match embed(&*embedder).await {
                Ok(vectors) => {
                    assert_eq!(vectors.len(), TEXTS.len());
                    assert!(vectors.iter().all(|vector| is_unit(vector, dimension)), "{vendor:?}, round {round}");
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Unavailable, "{vendor:?}, round {round}: {error:?}");
                    refused += 1;
                }
            }
        }
        assert!(refused > 75, "{vendor:?}: only {refused} were refused");
    }
}
