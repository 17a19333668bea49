//! Servers that refuse, lie or vanish, played on loopback: every answer is a typed error and never a panic. Not here: real servers.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::sync::Arc;

use mnemic_core::{Error, ErrorKind, Retry};
use mnemic_postgres::{Pool, PostgresConfig};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Connects to a server that answers each message of a client by the next of `answers`, and then hangs up.
async fn met(options: &str, answers: Vec<Vec<u8>>) -> Error {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answers = Arc::new(answers);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(answer(client, Arc::clone(&answers)));
        }
    });
    let dsn = format!("postgresql://somebody:hunter2@127.0.0.1:{port}/memory?{options}");
    let error = Pool::connect(PostgresConfig::new(dsn)).await.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("hunter2") && !error.to_string().contains("127.0.0.1"), "{shown}");
    error
}

async fn answer(mut client: TcpStream, answers: Arc<Vec<Vec<u8>>>) {
    let mut message = vec![0; 1 << 16];
    for answer in answers.iter() {
        if !matches!(client.read(&mut message).await, Ok(1..)) || client.write_all(answer).await.is_err() {
            return;
        }
    }
}

/// An error as a server tells it.
fn refusal(state: &str, message: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for (kind, value) in [(b'S', "FATAL"), (b'V', "FATAL"), (b'C', state), (b'M', message)] {
        body.push(kind);
        body.extend_from_slice(value.as_bytes());
        body.push(0);
    }
    body.push(0);
    framed(b'E', &body)
}

fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[kind][..], &length, body].concat()
}

/// Lets anybody in.
fn welcome() -> Vec<u8> {
    [framed(b'R', &0u32.to_be_bytes()), framed(b'K', &[0; 8]), framed(b'Z', b"I")].concat()
}

#[tokio::test]
async fn a_refusal_while_connecting_is_typed() {
    for (state, kind, retry, told) in [
        ("28P01", ErrorKind::Denied, Retry::Never, "password"),
        ("28000", ErrorKind::Denied, Retry::Never, "sslmode=require"),
        ("3D000", ErrorKind::InvalidConfig, Retry::Never, "create it"),
        ("53300", ErrorKind::Unavailable, Retry::Soon, "max_connections"),
        ("57P03", ErrorKind::Unavailable, Retry::Soon, "starting up"),
        ("08P01", ErrorKind::Unavailable, Retry::Soon, "password"),
        ("08006", ErrorKind::Unavailable, Retry::Soon, "failed"),
    ] {
        let error = met("sslmode=disable", vec![refusal(state, "whatever it says")]).await;
        assert_eq!((error.kind(), error.retry()), (kind, retry), "{state}: {error}");
        assert!(error.to_string().contains(told), "{state}: {error}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_denied_after_it_was_asked_for() {
    let asks = framed(b'R', &3u32.to_be_bytes());
    let error = met("sslmode=disable", vec![asks, refusal("28P01", "password authentication failed")]).await;
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_required() {
    for mode in ["require", "verify-full"] {
        let error = met(&format!("sslmode={mode}"), vec![b"N".to_vec(), welcome()]).await;
        assert_eq!((error.kind(), error.retry()), (ErrorKind::InvalidConfig, Retry::Never), "{error}");
        assert!(error.to_string().contains("sslmode"), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_only_pretends_tls_is_refused() {
    let error = met("sslmode=require", vec![b"S".to_vec(), b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()]).await;
    assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
}

#[tokio::test]
async fn nonsense_is_an_error_and_never_a_panic() {
    let huge = [&b"T"[..], &0x7fff_ffffu32.to_be_bytes()].concat();
    let negative = [&b"D"[..], &0xffff_ffffu32.to_be_bytes(), &[0; 32]].concat();
    for answers in [
        vec![],
        vec![b"HTTP/1.1 200 OK\r\n\r\n<html>".to_vec()],
        vec![vec![0; 4096]],
        vec![vec![0xff; 4096]],
        vec![framed(b'E', b"")],
        vec![framed(b'R', &99u32.to_be_bytes())],
        vec![welcome(), vec![0xff; 64]],
        vec![welcome(), framed(b'1', b"")],
        vec![welcome(), framed(b'T', &[0xff, 0xff, 1, 2, 3])],
        vec![welcome(), [framed(b'1', b""), framed(b'2', b""), framed(b't', b""), framed(b'T', &[0, 9])].concat()],
        vec![welcome(), negative],
    ] {
        let error = met("sslmode=disable", answers.clone()).await;
        let kinds = [ErrorKind::Unavailable, ErrorKind::Bug, ErrorKind::Corrupted, ErrorKind::Denied];
        assert!(kinds.contains(&error.kind()), "{answers:?}: {error}");
    }
    // A length that is never filled: the connection ends, and with it the wait.
    let error = met("sslmode=disable", vec![welcome(), huge]).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn nobody_at_the_address_is_unavailable() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let error = Pool::connect(PostgresConfig::new(format!("postgresql://u@127.0.0.1:{port}/d"))).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Soon));
    let error = Pool::connect(PostgresConfig::new("postgresql://u@no-such-host.invalid/d")).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::Soon));
    // A pool that was never reached is not spoilt: it tries again at the next call.
    let pool = Pool::new(PostgresConfig::new(format!("postgresql://u@127.0.0.1:{port}/d"))).unwrap();
    for _ in 0..2 {
        assert_eq!(pool.ready().await.unwrap_err().kind(), ErrorKind::Unavailable);
    }
}

#[test]
fn a_pool_without_connections_is_refused() {
    let config = PostgresConfig { max_connections: 0, ..PostgresConfig::new("postgresql://u@h/d") };
    assert_eq!(Pool::new(config).unwrap_err().field(), Some("max_connections"));
}
