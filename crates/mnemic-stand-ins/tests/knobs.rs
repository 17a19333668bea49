//! Every knob against the transport that our clients use. Not here: any vendor.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, routing::post};
use bytes::Bytes;
use mnemic_core::ErrorKind;
use mnemic_http::{Address, Answer, Call, Client, ClientConfig};
use mnemic_stand_ins::{Fault, Knobs, Running, Transcript, server, start};

/// A stand-in that answers what it was sent and counts how often it was reached.
fn echo() -> (Running, Client, Arc<AtomicUsize>) {
    let reached = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&reached);
    let answer = move |body: Bytes| {
        count.fetch_add(1, Ordering::SeqCst);
        async move { body }
    };
    let router = Router::new().route("/echo", post(answer));
    let running = start(server::listener(0).unwrap(), router, Knobs::new(), Transcript::keeping(100)).unwrap();
    let address = Address::new("test", &running.url()).unwrap();
    let config = ClientConfig { service: "Echo", address, secret_headers: vec![], headers: vec![] };
    (running, Client::new(config).unwrap(), reached)
}

async fn ask(client: &Client) -> mnemic_core::Result<Answer> {
    client.send(Call::post("/echo", Bytes::from_static(b"{\"a\":\"0123456789\"}"))).await
}

#[tokio::test]
async fn an_answer_is_replaced_with_status_wait_and_body() {
    let (running, client, reached) = echo();
    running.knobs().next([
        Fault::json(503, "{}").waiting("7"),
        Fault::html_bad_gateway(),
        Fault::plain_unauthorized("no"),
    ]);
    let busy = ask(&client).await.unwrap();
    assert_eq!((busy.status(), busy.retry_after()), (503, Some(Duration::from_secs(7))));
    let gateway = ask(&client).await.unwrap();
    assert_eq!((gateway.status(), gateway.header("content-type")), (502, Some("text/html")));
    let refused = ask(&client).await.unwrap();
    assert_eq!((refused.status(), refused.header("content-type")), (401, Some("text/plain")));
    assert_eq!(reached.load(Ordering::SeqCst), 0, "none of them took effect");
    assert_eq!(ask(&client).await.unwrap().status(), 200);
    assert_eq!(running.requests().iter().map(|asked| asked.faulty).collect::<Vec<_>>(), [true, true, true, false]);
}

#[tokio::test]
async fn an_answer_is_cut_lost_or_never_begun_and_the_request_takes_effect_or_not() {
    let (running, client, reached) = echo();
    for (fault, takes_effect) in
        [(Fault::Truncated, 1), (Fault::LostAnswer, 1), (Fault::Reset, 0), (Fault::Repeated, 2)]
    {
        let before = reached.load(Ordering::SeqCst);
        running.knobs().next([fault.clone()]);
        let outcome = tokio::time::timeout(Duration::from_secs(20), ask(&client)).await.unwrap();
        match outcome {
            Ok(answer) => assert_eq!((answer.status(), &fault), (200, &Fault::Repeated)),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{fault:?}: {error:?}");
                assert_ne!(fault, Fault::Repeated, "{error:?}");
            }
        }
        assert_eq!(reached.load(Ordering::SeqCst) - before, takes_effect, "{fault:?}");
        assert_eq!(ask(&client).await.unwrap().status(), 200, "the next request is served after {fault:?}");
    }
}

#[tokio::test]
async fn an_answer_can_be_slow_to_begin_and_slow_to_end() {
    let (running, client, _) = echo();
    running.knobs().delay(Duration::from_millis(60)).next([Fault::Slow(Duration::from_millis(20))]);
    let begin = Instant::now();
    assert_eq!(ask(&client).await.unwrap().body().len(), 18);
    assert!(begin.elapsed() >= Duration::from_millis(60 + 100), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_dropped_stand_in_is_gone_and_its_port_is_free() {
    let (running, client, _) = echo();
    assert_eq!(ask(&client).await.unwrap().status(), 200);
    let port = running.port();
    drop(running);
    assert_eq!(ask(&client).await.unwrap_err().kind(), ErrorKind::Unavailable);
    drop(server::listener(port).unwrap());
}
