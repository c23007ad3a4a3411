//! The server's certificate: read and checked before anything listens, served from memory.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerConfig};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

/// The certificate that is served, for as long as no other is put in its place. A handshake never touches the disk.
#[derive(Clone, Debug)]
pub struct Certificates(Arc<ArcSwap<CertifiedKey>>);

impl Certificates {
    /// Reads a certificate with its chain, and its private key, and checks that they belong together.
    ///
    /// # Errors
    /// A sentence that names the file and what to do.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, String> {
        read_pair(certificate, key).map(|pair| Certificates(Arc::new(ArcSwap::from_pointee(pair))))
    }

    /// Serves what these files hold now; connections that are open go on.
    ///
    /// # Errors
    /// As [`Self::load`]; what was served before is then served on.
    pub fn replace(&self, certificate: &Path, key: &Path) -> Result<(), String> {
        self.0.store(Arc::new(read_pair(certificate, key)?));
        Ok(())
    }

    /// Answers handshakes: HTTP/1.1 only, as API servers speak to webhooks, and without session tickets, which they
    /// don't use.
    pub(super) fn acceptor(&self) -> Result<TlsAcceptor, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(rustls::ALL_VERSIONS)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

fn read_pair(certificate: &Path, key: &Path) -> Result<CertifiedKey, String> {
    let said = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| said(certificate, &error))?;
    if chain.is_empty() {
        return Err(said(certificate, &"there is no certificate in it (PEM, -----BEGIN CERTIFICATE-----)"));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| said(key, &error))?;
    CertifiedKey::from_der(chain, private, &ring::default_provider()).map_err(|error| {
        let (certificate, key) = (certificate.display(), key.display());
        format!("{key} is not the private key of the certificate in {certificate}: {error}")
    })
}
