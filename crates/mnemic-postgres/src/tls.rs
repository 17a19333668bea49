//! Encryption of connections by rustls, with the meanings that `sslmode` has everywhere. Not here: reading the DSN (`config`).

use std::{path::PathBuf, sync::Arc};

use mnemic_core::{Error, ErrorKind, Result};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::TlsOptions;

/// Whom a connection trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Whoever answers: `prefer` and `require` encrypt and prove nothing about the server.
    Anybody,
    /// Whoever proves its host name to the authorities of the machine, or to those of a file.
    Authorities(Option<PathBuf>),
}

impl Trust {
    /// What the options mean; `None` for a mode that there is not.
    pub(crate) fn of(options: &TlsOptions) -> Option<(SslMode, Self)> {
        let root = options.root.as_ref().map(PathBuf::from);
        match options.mode.as_deref() {
            None | Some("prefer") => Some((SslMode::Prefer, Self::Anybody)),
            Some("disable") => Some((SslMode::Disable, Self::Anybody)),
            // A named authority is meant to be asked.
            Some("require") if root.is_none() => Some((SslMode::Require, Self::Anybody)),
            Some("verify-full" | "require") => Some((SslMode::Require, Self::Authorities(root))),
            Some(_) => None,
        }
    }

    /// What makes connections encrypted.
    pub(crate) fn connector(&self) -> Result<MakeRustlsConnect> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|source| Error::bug("TLS cannot be set up").with_source(source))?;
        let config = match self {
            Self::Anybody => {
                let verifier = Arc::new(Unproven { provider });
                builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
            }
            Self::Authorities(file) => {
                builder.with_root_certificates(authorities(file.as_ref())?).with_no_client_auth()
            }
        };
        Ok(MakeRustlsConnect::new(config))
    }
}

fn authorities(file: Option<&PathBuf>) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let Some(path) = file else {
        let (found, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if found == 0 {
            let message =
                "sslmode=verify-full: this machine has no certificate authorities; name a file with sslrootcert";
            return Err(Error::new(ErrorKind::InvalidConfig, message).with_field("dsn"));
        }
        return Ok(roots);
    };
    let refused = |source: Box<dyn std::error::Error + Send + Sync>| {
        let message = "sslrootcert: expected a readable PEM file with at least one certificate";
        let error = Error::new(ErrorKind::InvalidConfig, message).with_field("dsn").with_source(source);
        error.with_context("path", path.display().to_string())
    };
    for certificate in CertificateDer::pem_file_iter(path).map_err(|e| refused(e.into()))? {
        roots.add(certificate.map_err(|e| refused(e.into()))?).map_err(|e| refused(e.into()))?;
    }
    if roots.is_empty() { Err(refused("no certificate in the file".into())) } else { Ok(roots) }
}

/// Takes any certificate, but only from who holds its key.
#[derive(Debug)]
struct Unproven {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Unproven {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
