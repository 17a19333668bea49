//! The transport: connections, headers, bounded bodies, no redirects. Not here: reading an answer (`answer`).

use std::{fmt, time::Duration};

use bytes::{Bytes, BytesMut};
use mnemic_core::{Error, ErrorKind, Result};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    Address, Answer,
    verdict::{SILENCE, unreachable, unreadable},
};

/// The largest answer that is read.
const ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// What a client is made of.
#[derive(Debug)]
pub struct ClientConfig {
    /// The service's name in messages, for example `Pinecone`.
    pub service: &'static str,
    /// Where it is.
    pub address: Address,
    /// Headers of every request; their values are secret.
    pub secret_headers: Vec<(&'static str, SecretString)>,
    /// Headers of every request that anybody may see.
    pub headers: Vec<(&'static str, String)>,
}

/// How a request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Read.
    Get,
    /// Ask or change.
    Post,
    /// Make or replace.
    Put,
    /// Change in part.
    Patch,
    /// Remove.
    Delete,
}

/// One request.
#[derive(Debug)]
pub struct Call<'a> {
    /// How.
    pub method: Method,
    /// Below the address; begins with `/`.
    pub path: &'a str,
    /// The query, not yet escaped.
    pub query: &'a [(&'a str, &'a str)],
    /// A JSON body.
    pub json: Option<Bytes>,
}

impl<'a> Call<'a> {
    /// Reads `path`.
    pub const fn get(path: &'a str) -> Self {
        Self { method: Method::Get, path, query: &[], json: None }
    }

    /// Sends a JSON body to `path`.
    pub const fn post(path: &'a str, json: Bytes) -> Self {
        Self { method: Method::Post, path, query: &[], json: Some(json) }
    }
}

/// A client of one service. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Client {
    service: &'static str,
    address: Address,
    inner: reqwest::Client,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("service", &self.service).field("address", &self.address).finish_non_exhaustive()
    }
}

impl Client {
    /// Makes a client. Nothing is connected yet.
    ///
    /// # Errors
    /// `InvalidConfig` for a header that HTTP cannot carry, without showing it.
    pub fn new(config: ClientConfig) -> Result<Self> {
        // Whoever links this crate may have chosen a provider already, which is as good.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let refused = |name: &str| {
            Error::new(
                ErrorKind::InvalidConfig,
                format!("{}: the value of {name} cannot be sent as a header", config.service),
            )
        };
        let mut headers = HeaderMap::new();
        for (name, value) in &config.secret_headers {
            let mut value =
                HeaderValue::from_str(value.expose_secret()).map_err(|error| refused(name).with_source(error))?;
            value.set_sensitive(true);
            headers.insert(HeaderName::from_static(name), value);
        }
        for (name, value) in &config.headers {
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::from_str(value).map_err(|error| refused(name).with_source(error))?,
            );
        }
        let inner = reqwest::Client::builder()
            .user_agent(concat!("mnemic/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            // A redirect could carry texts and keys to a host that nobody configured.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(Duration::from_secs(10))
            .read_timeout(SILENCE)
            .pool_idle_timeout(Duration::from_mins(1))
            .tcp_nodelay(true)
            .build()
            .map_err(|error| {
                Error::new(ErrorKind::InvalidConfig, format!("{}: no HTTP client can be made", config.service))
                    .with_source(error)
            })?;
        Ok(Self { service: config.service, address: config.address, inner })
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The service's name in messages.
    pub fn service(&self) -> &'static str {
        self.service
    }

    /// The same service with the same headers at another address, sharing connections.
    #[must_use]
    pub fn at(&self, address: Address) -> Self {
        Self { address, ..self.clone() }
    }

    /// Makes one request and reads the whole answer, whatever its status.
    ///
    /// # Errors
    /// `Unavailable`, worth retrying, if the service cannot be reached, breaks off, or answers more than 32 MiB.
    pub async fn send(&self, call: Call<'_>) -> Result<Answer> {
        let method = match call.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Patch => reqwest::Method::PATCH,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut request = self.inner.request(method, self.address.below(call.path, call.query));
        if let Some(body) = call.json {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let mut response = request.send().await.map_err(|error| unreachable(self.service, error))?;
        let (status, headers) = (response.status().as_u16(), std::mem::take(response.headers_mut()));
        let mut body = BytesMut::new();
        while let Some(piece) = response.chunk().await.map_err(|error| unreachable(self.service, error))? {
            if body.len() + piece.len() > ANSWER_BYTES {
                return Err(unreadable(self.service, "more than 32 MiB"));
            }
            body.extend_from_slice(&piece);
        }
        Ok(Answer { service: self.service, status, headers, body: body.freeze() })
    }
}
