//! Callers that have to show a certificate.

use std::path::{Path, PathBuf};

use castoff::trust::Clients;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use rustls::ClientConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{PATIENCE, Running, post_head, shake_hands, start_with};

/// A CA whose certificate is in a file.
struct Ca {
    file: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key.
struct Shown(rcgen::Certificate, KeyPair);

impl Ca {
    fn new(directory: &Path, name: &str) -> Ca {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let file = directory.join(format!("{name}.crt"));
        std::fs::write(&file, parameters.self_signed(&key).unwrap().pem()).unwrap();
        Ca { file, issuer: Issuer::new(parameters, key) }
    }

    fn sign(&self, common: &str, alternative: &[&str], usage: ExtendedKeyUsagePurpose) -> Shown {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, common);
        parameters.subject_alt_names =
            alternative.iter().map(|name| SanType::DnsName((*name).try_into().unwrap())).collect();
        parameters.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        Shown(parameters.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// A certificate of a client.
    fn client(&self, common: &str, alternative: &[&str]) -> Shown {
        self.sign(common, alternative, ExtendedKeyUsagePurpose::ClientAuth)
    }
}

async fn start(ca: &Ca, names: &[&str]) -> Running {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    let clients = Clients::load(&ca.file, names).unwrap();
    start_with(|config| config.clients = Some(clients)).await
}

/// Sends a review with this certificate, or with none; what comes back: nothing for who is not let in.
async fn ask(server: &Running, shown: Option<&Shown>) -> String {
    let config: ClientConfig = match shown {
        Some(Shown(certificate, key)) => {
            let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
            server.trusting().with_client_auth_cert(vec![certificate.der().clone()], key).unwrap()
        }
        None => server.trusting().with_no_client_auth(),
    };
    let stream = TcpStream::connect(server.address).await.unwrap();
    let Ok(mut stream) = shake_hands(config, stream).await else { return String::new() };
    // A client of TLS 1.3 hears only after its own handshake that it is refused: nothing of this is its failure.
    let head = post_head("", 2).replace("host: x", "host: x\r\nconnection: close");
    let _ = stream.write_all((head + "{}").as_bytes()).await;
    let _ = stream.flush().await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an end");
    String::from_utf8(answer).unwrap()
}

async fn lets_in(server: &Running, shown: Option<&Shown>) -> bool {
    let answer = ask(server, shown).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 200"), "{answer}");
    !answer.is_empty()
}

#[tokio::test]
async fn only_callers_with_a_certificate_of_the_ca_in_one_of_the_names_are_let_in() {
    let directory = tempfile::tempdir().unwrap();
    let (ours, other) = (Ca::new(directory.path(), "ours"), Ca::new(directory.path(), "other"));
    let server = start(&ours, &["system:auth-proxy", "api.example"]).await;
    for (shown, welcome) in [
        (ours.client("system:auth-proxy", &[]), true),
        (ours.client("any", &["else.example", "api.example"]), true),
        (ours.client("kubelet", &["api.example.com", "sub.api.example", "*.example"]), false),
        (ours.client("system:auth-proxy2", &[]), false),
        (ours.client("", &[]), false),
        (other.client("system:auth-proxy", &["api.example"]), false),
        // What a server shows is not for clients.
        (ours.sign("system:auth-proxy", &[], ExtendedKeyUsagePurpose::ServerAuth), false),
    ] {
        assert_eq!(lets_in(&server, Some(&shown)).await, welcome, "{:?}", shown.0);
    }
    assert!(!lets_in(&server, None).await);
}

#[tokio::test]
async fn probes_need_no_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&Ca::new(directory.path(), "ours"), &["x"]).await;
    assert_eq!(server.admin("/readyz").await.status, 200);
    assert_eq!(server.admin("/livez").await.status, 200);
}

#[tokio::test]
async fn the_ca_can_be_replaced_and_one_that_can_not_be_read_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (Ca::new(directory.path(), "old"), Ca::new(directory.path(), "new"));
    let clients = Clients::load(&old.file, vec!["api".to_owned()]).unwrap();
    let server = start_with(|config| config.clients = Some(clients.clone())).await;
    let (of_old, of_new) = (old.client("api", &[]), new.client("api", &[]));
    assert!(lets_in(&server, Some(&of_old)).await && !lets_in(&server, Some(&of_new)).await);

    let broken = directory.path().join("broken.crt");
    std::fs::write(&broken, "nothing").unwrap();
    assert!(clients.replace(&broken).unwrap_err().to_string().contains("broken.crt"));
    assert!(lets_in(&server, Some(&of_old)).await);

    clients.replace(&new.file).unwrap();
    assert!(!lets_in(&server, Some(&of_old)).await && lets_in(&server, Some(&of_new)).await);
}
