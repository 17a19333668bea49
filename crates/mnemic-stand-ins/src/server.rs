//! Starting and stopping a stand-in, and what happens around every request: recording, delays, faults.
//! Not here: what a vendor answers (its own module).

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd,
    sync::Arc,
    thread,
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{ConnectInfo, Request, State, connect_info::Connected},
    http::{HeaderMap, HeaderValue, StatusCode, header, request, response},
    middleware::{self, Next},
    response::Response,
    serve::IncomingStream,
};
use bytes::Bytes;
use tokio::{net::TcpSocket, sync::oneshot};

use crate::{Exchange, Fault, Knobs, Transcript};

/// The largest request body that is read; vendors have their own, smaller limits.
const BODY_BYTES: usize = 128 * 1024 * 1024;
/// Pieces of a slow answer.
const PIECES: usize = 8;

/// A stand-in that runs; it stops when this is dropped, and its port is free again then.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    knobs: Knobs,
    transcript: Transcript,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Running {
    /// Where it is, for example `http://127.0.0.1:41234`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What makes it behave badly.
    pub fn knobs(&self) -> &Knobs {
        &self.knobs
    }

    /// Every request so far with its answer, oldest first.
    pub fn requests(&self) -> Vec<Exchange> {
        self.transcript.all()
    }

    /// The requests so far, which can be forgotten with [`Transcript::take`].
    pub fn transcript(&self) -> &Transcript {
        &self.transcript
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a stand-in ended badly");
        }
    }
}

/// A listener on this port of 127.0.0.1; 0 takes a free one. For stand-ins that must know their own address before they start.
pub fn listener(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

/// Serves `router` on `listener` from a thread of its own, until the answer is dropped.
pub fn start(listener: TcpListener, router: Router, knobs: Knobs, transcript: Transcript) -> io::Result<Running> {
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let around = Around { knobs: knobs.clone(), transcript: transcript.clone() };
    let router = router.layer(middleware::from_fn_with_state(Arc::new(around), exchange));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let run = move || {
        let served = runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let service = router.into_make_service_with_connect_info::<Peer>();
            tokio::select! {
                served = async { axum::serve(listener, service).await } => served,
                _ = stopped => Ok(()),
            }
        });
        if let Err(error) = served {
            tracing::error!(%error, "a stand-in stopped serving");
        }
        // Connections that are still open end with the runtime, as they would with a process that dies.
        runtime.shutdown_background();
    };
    let thread = thread::Builder::new().name("stand-in".to_owned()).spawn(run)?;
    Ok(Running { address, knobs, transcript, stop: Some(stop), thread: Some(thread) })
}

/// A second handle on the connection of a request, to break it.
#[derive(Clone)]
struct Peer(Option<Arc<TcpStream>>);

impl Connected<IncomingStream<'_, tokio::net::TcpListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, tokio::net::TcpListener>) -> Self {
        let handle = stream.io().as_fd().try_clone_to_owned().ok();
        Self(handle.map(|handle| Arc::new(TcpStream::from(handle))))
    }
}

impl Peer {
    /// Resets the connection; what is not sent yet is lost.
    async fn reset(self) -> Response {
        let reset = || -> io::Result<()> {
            let Some(stream) = &self.0 else { return Ok(()) };
            TcpSocket::from_std_stream(stream.try_clone()?).set_zero_linger()?;
            stream.shutdown(Shutdown::Read)
        };
        if let Err(error) = reset() {
            tracing::error!(%error, "a connection could not be reset");
        }
        drop(self);
        // The server gives this request up when it sees the end of the connection.
        std::future::pending().await
    }
}

#[derive(Debug)]
struct Around {
    knobs: Knobs,
    transcript: Transcript,
}

async fn exchange(
    State(around): State<Arc<Around>>,
    peer: ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    // The only other handle would keep the connection open after it was reset.
    parts.extensions.remove::<ConnectInfo<Peer>>();
    let Ok(body) = to_bytes(body, BODY_BYTES).await else {
        return plain(StatusCode::PAYLOAD_TOO_LARGE, "the body cannot be read or is too large");
    };
    let (delay, fault) = around.knobs.draw(parts.uri.path());
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let faulty = fault.is_some();
    let record = |answer: &response::Parts, bytes: &Bytes| {
        if around.transcript.records() {
            around.transcript.push(exchanged(&parts, &body, answer, bytes, faulty));
        }
    };
    let answered = async |next: Next| {
        let (head, content) = next.run(again(&parts, &body)).await.into_parts();
        (head, to_bytes(content, usize::MAX).await.unwrap_or_default())
    };
    match fault {
        None => {
            let (head, content) = answered(next).await;
            record(&head, &content);
            Response::from_parts(head, Body::from(content))
        }
        Some(Fault::Answer { status, retry_after, content_type, body: content }) => {
            let (head, content) = instead(status, retry_after, content_type, content);
            record(&head, &content);
            Response::from_parts(head, Body::from(content))
        }
        Some(Fault::Reset) => {
            let (head, content) = instead(0, None, "", String::new());
            record(&head, &content);
            peer.0.reset().await
        }
        Some(fault) => {
            if fault == Fault::Repeated {
                let _first = next.clone().run(again(&parts, &body)).await;
            }
            let (mut head, content) = answered(next).await;
            record(&head, &content);
            head.headers.remove(header::CONTENT_LENGTH);
            match fault {
                Fault::Truncated => Response::from_parts(head, cut(&content)),
                Fault::Slow(gap) => Response::from_parts(head, slowly(&content, gap)),
                Fault::LostAnswer => peer.0.reset().await,
                _ => Response::from_parts(head, Body::from(content)),
            }
        }
    }
}

/// The same request once more.
fn again(parts: &request::Parts, body: &Bytes) -> Request {
    Request::from_parts(parts.clone(), Body::from(body.clone()))
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
}

fn instead(status: u16, retry_after: Option<String>, content_type: &str, body: String) -> (response::Parts, Bytes) {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let named = [(header::CONTENT_TYPE, Some(content_type.to_owned())), (header::RETRY_AFTER, retry_after)];
    for (name, value) in named {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            response.headers_mut().insert(name, value);
        }
    }
    (response.into_parts().0, Bytes::from(body))
}

/// The first half, and then the end of the connection where more was promised.
fn cut(content: &Bytes) -> Body {
    let half = content.slice(..content.len() / 2);
    let pieces = [Ok(half), Err(io::Error::other("cut on purpose"))];
    Body::from_stream(futures::stream::iter(pieces))
}

fn slowly(content: &Bytes, gap: Duration) -> Body {
    let size = content.len().div_ceil(PIECES).max(1);
    let pieces: Vec<Bytes> = content.chunks(size).map(Bytes::copy_from_slice).collect();
    Body::from_stream(futures::stream::unfold(pieces.into_iter(), move |mut pieces| async move {
        let piece = pieces.next()?;
        tokio::time::sleep(gap).await;
        Some((Ok::<_, io::Error>(piece), pieces))
    }))
}

fn exchanged(
    parts: &request::Parts,
    body: &Bytes,
    answer: &response::Parts,
    content: &Bytes,
    faulty: bool,
) -> Exchange {
    Exchange {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: texts(&parts.headers),
        body: body.clone(),
        status: answer.status.as_u16(),
        answer_headers: texts(&answer.headers),
        answer: content.clone(),
        faulty,
    }
}

fn texts(headers: &HeaderMap) -> BTreeMap<String, String> {
    let text = |(name, value): (&header::HeaderName, &HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    headers.iter().filter_map(text).collect()
}
