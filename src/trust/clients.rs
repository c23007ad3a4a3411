//! Who may send reviews, where callers have to show a certificate.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore, SignatureScheme,
};
use x509_parser::extensions::GeneralName;

use super::{NO_CERTIFICATE, TrustError, at};

/// Callers with a certificate of a CA, in one of some names. The CA can be replaced while handshakes go on.
#[derive(Clone, Debug)]
pub struct Clients {
    names: Arc<[String]>,
    of_ca: Arc<ArcSwap<Arc<dyn ClientCertVerifier>>>,
}

/// A certificate of the right CA, for somebody else.
#[derive(Debug, thiserror::Error)]
#[error("the caller's certificate is for {found:?}, and --client-name allows {allowed:?}")]
struct WrongName {
    found: Vec<String>,
    allowed: Arc<[String]>,
}

impl Clients {
    /// Callers with a certificate that the CA in this file (PEM, one or more) has signed, and that is for one of `names`:
    /// its common name, or a DNS name or URI among its alternative names.
    ///
    /// # Errors
    /// A sentence that names the file and what is wrong with it.
    pub fn load(ca: &Path, names: Vec<String>) -> Result<Self, TrustError> {
        Ok(Clients { names: names.into(), of_ca: Arc::new(ArcSwap::from_pointee(verifier(ca)?)) })
    }

    /// Trusts what the file holds now; connections that are open go on.
    ///
    /// # Errors
    /// As [`Self::load`]; what was trusted before is then trusted on.
    pub fn replace(&self, ca: &Path) -> Result<(), TrustError> {
        self.of_ca.store(Arc::new(verifier(ca)?));
        Ok(())
    }
}

fn verifier(ca: &Path) -> Result<Arc<dyn ClientCertVerifier>, TrustError> {
    let place = ca.display();
    let pem = std::fs::read(ca).map_err(at(&place))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate.map_err(at(&place))?).map_err(at(&place))?;
    }
    if roots.is_empty() {
        return Err(at(&place)(NO_CERTIFICATE));
    }
    let provider = Arc::new(ring::default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().map_err(at(&place))
}

/// For whom a certificate is.
fn names_in(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, read)) = x509_parser::parse_x509_certificate(certificate) else { return Vec::new() };
    let common = read.subject().iter_common_name().filter_map(|name| name.as_str().ok().map(str::to_owned));
    let alternative = read.subject_alternative_name().ok().flatten();
    let alternative = alternative.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) => Some((*name).to_owned()),
        _ => None,
    });
    common.chain(alternative).collect()
}

impl ClientCertVerifier for Clients {
    /// None: who has one certificate sends it, whatever the CA is called, and the CA may change.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.of_ca.load().verify_client_cert(end_entity, intermediates, now)?;
        let found = names_in(end_entity);
        if found.iter().any(|name| self.names.contains(name)) {
            return Ok(verified);
        }
        let wrong = WrongName { found, allowed: Arc::clone(&self.names) };
        Err(Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(wrong)))))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.of_ca.load().verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.of_ca.load().verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.of_ca.load().supported_verify_schemes()
    }
}
