//! Handshakes and certificates.

use castoff::trust::{Certificates, self_signed};

use crate::harness::{HERE, exchange, post_head, start};

#[tokio::test]
async fn a_client_that_offers_h2_gets_http_1() {
    let server = start().await;
    let stream = server.connect_with(HERE, &["h2", "http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[tokio::test]
async fn a_client_that_offers_nothing_is_served() {
    let server = start().await;
    let mut stream = server.connect_with(HERE, &[]).await;
    assert_eq!(exchange(&mut stream, &post_head("", 2), b"{}").await.status, 200);
}

#[tokio::test]
async fn a_new_certificate_is_served_at_once_and_open_connections_go_on() {
    let server = start().await;
    let mut open = server.connect().await;
    let before = open.get_ref().1.peer_certificates().unwrap()[0].to_vec();

    let directory = tempfile::tempdir().unwrap();
    let other = self_signed::make(directory.path(), &[]).unwrap();
    assert!(server.certificates.replace(&other.certificate, &server.files.key).is_err());
    let still = server.connect().await.get_ref().1.peer_certificates().unwrap()[0].to_vec();
    assert_eq!(still, before, "a pair that does not fit leaves the old one in force");

    server.certificates.replace(&other.certificate, &other.key).unwrap();
    assert_eq!(exchange(&mut open, &post_head("", 2), b"{}").await.status, 200);
    // The client trusts the old CA alone.
    let refused = tokio::spawn(async move { server.connect().await }).await;
    assert!(refused.is_err(), "the new certificate is of another CA");
}

#[test]
fn files_that_can_not_be_served_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let files = self_signed::make(directory.path(), &[]).unwrap();
    let empty = directory.path().join("empty.crt");
    std::fs::write(&empty, "nothing").unwrap();
    let missing = directory.path().join("missing.crt");
    for (certificate, key, named) in [
        (&missing, &files.key, "missing.crt"),
        (&empty, &files.key, "empty.crt"),
        (&files.certificate, &empty, "empty.crt"),
    ] {
        let error = Certificates::load(certificate, key).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
}
