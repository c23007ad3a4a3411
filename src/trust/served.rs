//! The server's certificate: read and checked before anything listens, served from memory.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerConfig, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

use super::authority::Validity;
use super::clients::Clients;
use super::{NO_CERTIFICATE, TrustError, at};

/// The certificate that is served, for as long as no other is put in its place. A handshake never touches the disk.
#[derive(Clone, Debug, Default)]
pub struct Certificates(Arc<ArcSwapOption<CertifiedKey>>);

impl Certificates {
    /// No certificate yet: handshakes fail until [`Self::serve`] gives one.
    #[must_use]
    pub fn none_yet() -> Self {
        Certificates::default()
    }

    /// Reads a certificate with its chain, and its private key, and checks that they belong together.
    ///
    /// # Errors
    /// A sentence that names the file and what to do.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TrustError> {
        let certificates = Certificates::none_yet();
        certificates.replace(certificate, key).map(|()| certificates)
    }

    /// Serves what these files hold now; connections that are open go on.
    ///
    /// # Errors
    /// As [`Self::load`]; what was served before is then served on.
    pub fn replace(&self, certificate: &Path, key: &Path) -> Result<(), TrustError> {
        let read = |path: &Path| fs::read(path).map_err(at(path.display()));
        let pem = Pem { certificate: &read(certificate)?, key: &read(key)? };
        let names = (certificate.display().to_string(), key.display().to_string());
        self.0.store(Some(Arc::new(pem.pair((&names.0, &names.1))?)));
        Ok(())
    }

    /// Serves this certificate with its chain from now on (PEM); connections that are open go on.
    ///
    /// # Errors
    /// A sentence that calls the two `tls.crt` and `tls.key`; what was served before is then served on.
    pub fn serve(&self, certificate: &[u8], key: &[u8]) -> Result<(), TrustError> {
        self.0.store(Some(Arc::new(Pem { certificate, key }.pair(("tls.crt", "tls.key"))?)));
        Ok(())
    }

    /// When the certificate that is served counts, where one is.
    pub(super) fn validity(&self) -> Option<Validity> {
        Validity::of_der(self.0.load().as_ref()?.cert.first()?).ok()
    }

    /// Answers handshakes, of these clients alone where they are given: HTTP/1.1 only, as API servers speak to webhooks,
    /// and without session tickets, which they don't use.
    pub(crate) fn acceptor(&self, clients: Option<Clients>) -> Result<TlsAcceptor, rustls::Error> {
        let clients: Arc<dyn ClientCertVerifier> = match clients {
            Some(clients) => Arc::new(clients),
            None => WebPkiClientVerifier::no_client_auth(),
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(rustls::ALL_VERSIONS)?
            .with_client_cert_verifier(clients)
            .with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}

/// A certificate with its chain, and its private key. Has no `Debug`: the key is in it.
struct Pem<'a> {
    certificate: &'a [u8],
    key: &'a [u8],
}

impl Pem<'_> {
    /// What can be served; `names` is what to call the two in errors.
    fn pair(&self, (certificate, key): (&str, &str)) -> Result<CertifiedKey, TrustError> {
        let chain =
            CertificateDer::pem_slice_iter(self.certificate).collect::<Result<Vec<_>, _>>().map_err(at(certificate))?;
        if chain.is_empty() {
            return Err(at(certificate)(NO_CERTIFICATE));
        }
        let private = PrivateKeyDer::from_pem_slice(self.key).map_err(at(key))?;
        CertifiedKey::from_der(chain, private, &ring::default_provider())
            .map_err(at(format!("{key} is not the private key of the certificate in {certificate}")))
    }
}
