//! Makes authorities and server certificates (ECDSA P-256), and reads what others made.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::{TrustError, at};

const UNREADABLE: &str = "no certificate can be read";

/// When a certificate counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// From when on.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

impl Validity {
    /// What a certificate (PEM; the first of a chain) says of itself.
    ///
    /// # Errors
    /// When there is none in it.
    pub fn of(certificate: &str) -> Result<Self, TrustError> {
        Self::of_der(&der(certificate)?)
    }

    /// What a certificate (DER) says of itself.
    pub(super) fn of_der(certificate: &CertificateDer<'_>) -> Result<Self, TrustError> {
        let (_, read) = x509_parser::parse_x509_certificate(certificate).map_err(at(UNREADABLE))?;
        let time = |seconds| Timestamp::from_second(seconds).map_err(at(UNREADABLE));
        let validity = read.validity();
        Ok(Validity { from: time(validity.not_before.timestamp())?, until: time(validity.not_after.timestamp())? })
    }

    /// Whether a certificate counts at this time.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        self.from <= now && now < self.until
    }
}

/// A server certificate and its private key, both PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// The key.
    pub key: String,
}

impl fmt::Debug for Pair {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pair").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// What signs server certificates.
pub struct Authority {
    certificate: String,
    key: KeyPair,
}

impl fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Authority").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes a CA of this name, for ever where no validity is given. Two that are trusted side by side need two names.
    ///
    /// # Errors
    /// When the machine gives no random numbers.
    pub fn make(name: &str, validity: Option<Validity>) -> Result<Self, TrustError> {
        let unmade = at("a CA can't be made");
        let mut ca = CertificateParams::default();
        ca.distinguished_name.push(DnType::CommonName, name);
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        limit(&mut ca, validity);
        let key = KeyPair::generate().map_err(&unmade)?;
        let certificate = ca.self_signed(&key).map_err(&unmade)?.pem();
        Ok(Authority { certificate, key })
    }

    /// An authority that was made before, from its PEM.
    ///
    /// # Errors
    /// When the key is not this certificate's.
    pub fn read(certificate: &str, key: &str) -> Result<Self, TrustError> {
        let key = KeyPair::from_pem(key).map_err(at("the CA's key can't be read"))?;
        let der = der(certificate)?;
        let (_, read) = x509_parser::parse_x509_certificate(&der).map_err(at(UNREADABLE))?;
        if read.public_key().raw != rcgen::PublicKeyData::subject_public_key_info(&key) {
            return Err(TrustError("the CA's key is not that of its certificate".to_owned()));
        }
        Ok(Authority { certificate: certificate.to_owned(), key })
    }

    /// Its certificate, which callers trust (PEM).
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Its private key (PEM). Not to be shown to anybody.
    #[must_use]
    pub fn key(&self) -> String {
        self.key.serialize_pem()
    }

    /// Makes a server certificate for these names and addresses.
    ///
    /// # Errors
    /// When a name is none.
    pub fn issue(&self, names: &[String], validity: Option<Validity>) -> Result<Pair, TrustError> {
        let unmade = at("a certificate can't be made");
        let issuer = Issuer::from_ca_cert_pem(&self.certificate, &self.key).map_err(&unmade)?;
        let mut server = CertificateParams::new(names).map_err(&unmade)?;
        server.distinguished_name.push(DnType::CommonName, "castoff");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        server.use_authority_key_identifier_extension = true;
        limit(&mut server, validity);
        let key = KeyPair::generate().map_err(&unmade)?;
        let certificate = server.signed_by(&key, &issuer).map_err(&unmade)?;
        Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

/// The certificates of a bundle (PEM), each as PEM again, in their order. What is none is left out.
#[must_use]
pub fn split(bundle: &str) -> Vec<String> {
    const END: &str = "-----END CERTIFICATE-----";
    let whole = bundle.split_inclusive(END).filter_map(|part| part.find("-----BEGIN").map(|at| &part[at..]));
    whole.filter(|part| Validity::of(part).is_ok()).map(|part| format!("{part}\n")).collect()
}

/// Whether a caller that trusts these CAs would accept the first certificate of `chain` (PEM) at this time, under each
/// of these names.
///
/// # Errors
/// Why it would not.
pub fn accepted(trusted: &[String], chain: &str, names: &[String], now: Timestamp) -> Result<(), TrustError> {
    let mut roots = RootCertStore::empty();
    for root in trusted {
        roots.add(der(root)?).map_err(at("no CA"))?;
    }
    let provider = Arc::new(ring::default_provider());
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().map_err(at("no CA"))?;
    let certificate = der(chain)?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.as_second()).unwrap_or(0)));
    for name in names {
        let server = ServerName::try_from(name.as_str()).map_err(at(name))?;
        verifier.verify_server_cert(&certificate, &[], &server, &[], now).map_err(at(name))?;
    }
    Ok(())
}

fn der(pem: &str) -> Result<CertificateDer<'static>, TrustError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(at(UNREADABLE))
}

fn limit(certificate: &mut CertificateParams, validity: Option<Validity>) {
    let Some(Validity { from, until }) = validity else { return };
    let since_1970 = |time: Timestamp| Duration::from_secs(u64::try_from(time.as_second()).unwrap_or(0));
    certificate.not_before = rcgen::date_time_ymd(1970, 1, 1) + since_1970(from);
    certificate.not_after = rcgen::date_time_ymd(1970, 1, 1) + since_1970(until);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn span(from: &str, until: &str) -> Validity {
        Validity { from: from.parse().unwrap(), until: until.parse().unwrap() }
    }

    #[test]
    fn a_certificate_counts_under_its_names_in_its_time_for_those_who_trust_its_issuer() {
        let year = span("2030-01-01T00:00:00Z", "2031-01-01T00:00:00Z");
        let (ours, other) =
            (Authority::make("ours", Some(year)).unwrap(), Authority::make("other", Some(year)).unwrap());
        let names = ["guard.ns.svc".to_owned(), "10.0.0.1".to_owned()];
        let month = span("2030-02-01T00:00:00Z", "2030-03-01T00:00:00Z");
        // Read again, as after a restart.
        let ours = Authority::read(ours.certificate(), &ours.key()).unwrap();
        let pair = ours.issue(&names, Some(month)).unwrap();
        assert_eq!(Validity::of(&pair.certificate).unwrap(), month);

        let bundle = format!("# ours\n{}\nnoise\n{}", other.certificate(), ours.certificate());
        let trusted = split(&bundle);
        assert_eq!(trusted, [other.certificate(), ours.certificate()].map(|pem| pem.trim_end().to_owned() + "\n"));
        let at = |time: &str| time.parse::<Timestamp>().unwrap();
        accepted(&trusted, &pair.certificate, &names, at("2030-02-15T00:00:00Z")).unwrap();
        for (trusted, names, time) in [
            (&trusted[..1], &names[..], "2030-02-15T00:00:00Z"),
            (&trusted[..], &["else.ns.svc".to_owned()][..], "2030-02-15T00:00:00Z"),
            (&trusted[..], &names[..], "2030-01-31T00:00:00Z"),
            (&trusted[..], &names[..], "2030-03-01T00:00:01Z"),
            (&[], &names[..], "2030-02-15T00:00:00Z"),
        ] {
            accepted(trusted, &pair.certificate, names, at(time)).unwrap_err();
        }
    }

    #[test]
    fn a_key_of_another_authority_is_refused() {
        let (one, other) = (Authority::make("one", None).unwrap(), Authority::make("other", None).unwrap());
        assert!(Authority::read(one.certificate(), &other.key()).unwrap_err().to_string().contains("is not that of"));
    }

    #[test]
    fn no_key_is_shown_by_debug() {
        let authority = Authority::make("one", None).unwrap();
        let pair = authority.issue(&["a".to_owned()], None).unwrap();
        for shown in [format!("{authority:?}"), format!("{pair:?}")] {
            assert!(shown.contains("CERTIFICATE") && !shown.contains("PRIVATE"), "{shown}");
        }
    }
}
