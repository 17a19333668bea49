//! The transport against a server on loopback that behaves badly. Not here: any vendor.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
    routing::{get, post},
};
use bytes::Bytes;
use mnemic_core::{ErrorKind, Retry};
use mnemic_http::{Address, Call, Client, ClientConfig, from_status};

async fn serve(router: Router) -> Client {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = Address::new("test", &format!("http://{}", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    client(address)
}

fn client(address: Address) -> Client {
    let secret_headers = vec![("api-key", "hush".to_owned().into())];
    let headers = vec![("x-version", "1".to_owned())];
    Client::new(ClientConfig { service: "Test", address, secret_headers, headers }).unwrap()
}

#[tokio::test]
async fn a_body_and_its_headers_arrive_and_the_answer_comes_back() {
    let echo = async |headers: HeaderMap, body: Bytes| {
        let key = headers.get("api-key").unwrap().to_str().unwrap().to_owned();
        let kind = headers.get("content-type").unwrap().to_str().unwrap().to_owned();
        ([("x-seen", format!("{key} {kind}"))], body)
    };
    let client = serve(Router::new().route("/echo", post(echo))).await;
    let answer = client.send(Call::post("/echo", Bytes::from_static(b"[1,2]"))).await.unwrap();
    assert!(answer.is_success());
    assert_eq!(answer.header("x-seen"), Some("hush application/json"));
    assert_eq!(answer.json::<Vec<u8>>().unwrap(), [1, 2]);
    assert!(!format!("{client:?}").contains("hush"));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let away = async || (StatusCode::FOUND, [("location", "http://169.254.169.254/latest/meta-data")], "");
    let client = serve(Router::new().route("/", get(away))).await;
    let answer = client.send(Call::get("/")).await.unwrap();
    assert_eq!(answer.status(), 302);
    let error = from_status(&answer, "");
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Never));
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let endless = async || {
        let piece = Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 1024 * 1024]));
        Body::from_stream(futures_stream(piece)).into_response()
    };
    let client = serve(Router::new().route("/", get(endless))).await;
    let asked = tokio::time::timeout(Duration::from_mins(1), client.send(Call::get("/")));
    let error = asked.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(error.to_string().contains("32 MiB"), "{error}");
}

/// A stream that never ends.
fn futures_stream(piece: Result<Bytes, std::io::Error>) -> impl futures::Stream<Item = Result<Bytes, std::io::Error>> {
    let piece = piece.unwrap();
    futures::stream::repeat_with(move || Ok(piece.clone()))
}

#[tokio::test]
async fn a_host_that_is_not_there_is_unavailable_and_no_message_shows_its_address() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = client(Address::new("test", &format!("http://{free}/secret-path")).unwrap()).send(Call::get("/")).await;
    let error = error.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Soon));
    assert!(!error.to_string().contains("127.0.0.1") && !format!("{error:?}").contains("secret-path"), "{error:?}");
}

#[tokio::test]
async fn every_status_has_a_kind_and_a_verdict() {
    let status = async |axum::extract::Path(code): axum::extract::Path<u16>| {
        (StatusCode::from_u16(code).unwrap(), [("retry-after", "2")], "no")
    };
    let client = serve(Router::new().route("/{code}", get(status))).await;
    let after = Retry::After(Duration::from_secs(2));
    for (code, kind, retry) in [
        (400, ErrorKind::InvalidInput, Retry::Never),
        (401, ErrorKind::Denied, Retry::Never),
        (402, ErrorKind::Denied, Retry::Never),
        (404, ErrorKind::NotFound, Retry::Never),
        (409, ErrorKind::Conflict, Retry::Never),
        (413, ErrorKind::InvalidInput, Retry::Never),
        (429, ErrorKind::RateLimited, after),
        (500, ErrorKind::Unavailable, after),
        (503, ErrorKind::Unavailable, after),
    ] {
        let answer = client.send(Call::get(&format!("/{code}"))).await.unwrap();
        let error = from_status(&answer, &answer.excerpt());
        assert_eq!((error.kind(), error.retry()), (kind, retry), "{code}");
    }
}
