//! Where a service is, checked once. Not here: connecting.

use std::{fmt, net::IpAddr};

use mnemic_core::{Error, ErrorKind, Result};
use url::{Host, Url};

/// The base address of a service: `https://`, or `http://` on this machine or where the operator allows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(Url);

impl Address {
    /// Accepts a base address. Addresses come from the operator, never from a request.
    ///
    /// # Errors
    /// `InvalidConfig` naming `field` for what is no URL, has a user or password in it, a query, a scheme other than `https` (or
    /// `http` on a loopback host), or an address of a cloud's metadata service.
    pub fn new(field: &str, text: &str) -> Result<Self> {
        Self::checked(field, text, false)
    }

    /// The same, also accepting `http://` to other machines, for a server inside a private network.
    ///
    /// # Errors
    /// Those of [`Self::new`] but for the scheme.
    pub fn private(field: &str, text: &str) -> Result<Self> {
        Self::checked(field, text, true)
    }

    fn checked(field: &str, text: &str, plain_anywhere: bool) -> Result<Self> {
        let refused = |found: &str| {
            let message = format!("{field}: expected an address such as https://host:port, found {found}");
            Error::new(ErrorKind::InvalidConfig, message).with_field(field)
        };
        let url = Url::parse(text).map_err(|error| refused(&format!("no URL ({error})")))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("one with a user or a password in it"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refused("one with a query or a fragment"));
        }
        let host = url.host().ok_or_else(|| refused("one without a host"))?;
        if is_metadata_service(&host) {
            return Err(refused("the address of a cloud's metadata service"));
        }
        match url.scheme() {
            "https" => {}
            "http" if plain_anywhere || is_loopback(&host) => {}
            "http" => {
                return Err(refused(
                    "http:// to another machine, which would show the key and the texts to the network",
                ));
            }
            _ => return Err(refused("another scheme")),
        }
        Ok(Self(url))
    }

    /// The address of a path below this one; `path` begins with `/`.
    pub(crate) fn below(&self, path: &str, query: &[(&str, &str)]) -> Url {
        let mut url = self.0.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}{path}"));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// The host, for explanations to the operator.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(ip) => ip.is_loopback(),
        Host::Ipv6(ip) => ip.is_loopback(),
    }
}

fn is_metadata_service(host: &Host<&str>) -> bool {
    let ip = match host {
        // The dot of a name that is complete changes nothing of where it leads.
        Host::Domain(name) => return name.trim_end_matches('.') == "metadata.google.internal",
        Host::Ipv4(ip) => IpAddr::V4(*ip),
        Host::Ipv6(ip) => ip.to_ipv4_mapped().map_or(IpAddr::V6(*ip), IpAddr::V4),
    };
    match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.octets() == [100, 100, 100, 200],
        IpAddr::V6(ip) => ip.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254],
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    #[test]
    fn addresses_that_would_show_a_secret_or_reach_a_metadata_service_are_refused() {
        for bad in [
            "no url",
            "ftp://host",
            "http://example.org",
            "https://user:secret@host",
            "https://host?key=secret",
            "http://169.254.169.254/",
            "https://[::ffff:169.254.169.254]",
            "https://100.100.100.200",
            "https://[fd00:ec2::254]",
            "https://metadata.google.internal",
            "https://Metadata.Google.Internal./x",
        ] {
            let error = Address::new("qdrant_url", bad).unwrap_err();
            assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidConfig, Some("qdrant_url")), "{bad}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn paths_go_below_the_base() {
        let address = Address::new("base", "http://127.0.0.1:8080/v1/").unwrap();
        assert_eq!(address.below("/embeddings", &[("a", "b c")]).as_str(), "http://127.0.0.1:8080/v1/embeddings?a=b+c");
        assert!(Address::private("base", "http://10.0.0.7:8080").is_ok());
    }
}
