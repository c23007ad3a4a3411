//! HTTP clients and what TLS is spoken with: one for each set of certificates, kept as long as it is used.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Client;
use reqwest::redirect::Policy;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use sha2::{Digest, Sha256};

use super::credentials::{Secret, SecretError};
use super::dns::GuardedDns;

/// So many sets of certificates are kept; certificates that rotate would add one each time.
const KEPT: usize = 64;

/// Makes clients and keeps them.
pub struct Clients {
    dns: GuardedDns,
    kept: Mutex<HashMap<[u8; 32], Kept>>,
}

/// What is made of a set of certificates.
#[derive(Clone)]
struct Kept {
    http: Client,
    tls: Arc<ClientConfig>,
}

impl Clients {
    /// Clients that look names up with `dns`.
    #[must_use]
    pub fn new(dns: GuardedDns) -> Self {
        Self { dns, kept: Mutex::default() }
    }

    /// What names are looked up with.
    pub(super) fn dns(&self) -> &GuardedDns {
        &self.dns
    }

    /// The client for plain HTTP; no certificate at all is trusted.
    ///
    /// # Errors
    /// Why there is none.
    pub fn plain(&self) -> Result<Client, SecretError> {
        let kept = self.kept(Sha256::digest("plain").into(), || tls(&Secret::default(), RootCertStore::empty()));
        kept.map(|kept| kept.http)
    }

    /// The client that trusts `ca.crt` of `secret` and shows its `tls.crt`, where it has one.
    ///
    /// # Errors
    /// Which key is missing or can't be read.
    pub fn with(&self, secret: &Secret) -> Result<Client, SecretError> {
        self.of(secret).map(|kept| kept.http)
    }

    /// The same for whoever speaks TLS without HTTP.
    pub(super) fn tls_with(&self, secret: &Secret) -> Result<Arc<ClientConfig>, SecretError> {
        self.of(secret).map(|kept| kept.tls)
    }

    fn of(&self, secret: &Secret) -> Result<Kept, SecretError> {
        let mut hash = Sha256::new();
        for key in ["ca.crt", "tls.crt", "tls.key"] {
            let value = secret.get(key).unwrap_or_default();
            hash.update(value.len().to_be_bytes());
            hash.update(value);
        }
        self.kept(hash.finalize().into(), || tls(secret, roots(secret)?))
    }

    fn kept(
        &self,
        key: [u8; 32],
        config: impl FnOnce() -> Result<ClientConfig, SecretError>,
    ) -> Result<Kept, SecretError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = kept.get(&key) {
            return Ok(made.clone());
        }
        let tls = config()?;
        let http = build(tls.clone(), self.dns.clone()).map_err(|error| format!("no HTTP client: {error}"))?;
        let made = Kept { http, tls: Arc::new(tls) };
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(key, made.clone());
        Ok(made)
    }
}

fn build(tls: ClientConfig, dns: GuardedDns) -> reqwest::Result<Client> {
    Client::builder()
        .user_agent(concat!("castoff/", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(tls)
        .dns_resolver(dns)
        .http1_only()
        // Both could lead around the guard.
        .no_proxy()
        .redirect(Policy::none())
        // Whoever made a request decides whether it is made again.
        .retry(reqwest::retry::never())
        .referer(false)
        .pool_idle_timeout(Duration::from_secs(5))
        // Each takes memory; a policy seldom has more than two looks under way, where its backend is prompt.
        .pool_max_idle_per_host(2)
        .build()
}

fn tls(secret: &Secret, roots: RootCertStore) -> Result<ClientConfig, SecretError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("no TLS: {error}"))?
        .with_root_certificates(roots);
    match (secret.get("tls.crt"), secret.get("tls.key")) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(_), None) => Err("it has tls.crt but no tls.key".into()),
        (None, Some(_)) => Err("it has tls.key but no tls.crt".into()),
        (Some(chain), Some(key)) => {
            let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| "its tls.key holds no private key in PEM")?;
            let config = builder.with_client_auth_cert(certificates("tls.crt", chain)?, key);
            Ok(config.map_err(|error| format!("its tls.crt and tls.key don't work together: {error}"))?)
        }
    }
}

/// The system's own CAs are never trusted: a backend's CA is a decision of whoever wrote the policy.
fn roots(secret: &Secret) -> Result<RootCertStore, SecretError> {
    let missing = || format!("it has no ca.crt, which TLS needs ({})", secret.found());
    let pem = secret.get("ca.crt").ok_or_else(missing)?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates("ca.crt", pem)? {
        roots.add(certificate).map_err(|error| format!("its ca.crt can't be used: {error}"))?;
    }
    Ok(roots)
}

fn certificates(key: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, SecretError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => Err(format!("its {key} holds no certificates in PEM").into()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::backend::dns::SystemDns;

    /// A Secret with a CA of its own, padded: all of them are equally long.
    fn secret() -> Secret {
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = rcgen::CertificateParams::default().self_signed(&key).unwrap().pem();
        [("ca.crt".to_owned(), format!("{pem:\n<2000}").into_bytes())].into_iter().collect()
    }

    #[test]
    fn keeps_one_client_for_each_content_and_not_without_end() {
        let clients = Clients::new(GuardedDns::new(Arc::new(SystemDns::new()), false));
        let (one, other) = (secret(), secret());
        for secret in [&one, &other, &one] {
            clients.with(secret).unwrap();
        }
        assert_eq!(clients.kept.lock().unwrap().len(), 2);
        for _ in 0..KEPT {
            clients.with(&secret()).unwrap();
        }
        assert!(clients.kept.lock().unwrap().len() <= KEPT);
    }
}
