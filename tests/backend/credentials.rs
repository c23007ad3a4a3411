//! Who is trusted, and what a backend gets to see.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get as route;
use castoff::backend::Scope;
use castoff::plan::Observation;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::support::{Bench, act, failure, get, observe_one, scope, serve};

/// A CA, made for one test.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate in PEM with its key.
pub struct Certificate {
    pub chain: String,
    pub key: KeyPair,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn certificate(&self, names: &[&str]) -> Certificate {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let chain = CertificateParams::new(names).unwrap().signed_by(&key, &self.0).unwrap().pem();
        Certificate { chain, key }
    }

    /// Serves over TLS under `names`; asks for a client certificate of `clients`, where given.
    pub async fn serve(&self, names: &[&str], clients: Option<&Self>, router: Router) -> SocketAddr {
        let config = self.server_config(names, clients);
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let listener = TlsListener { tcp, tls: TlsAcceptor::from(Arc::new(config)) };
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    /// A server's side of TLS under `names`; it asks for a client certificate of `clients`, where given.
    pub fn server_config(&self, names: &[&str], clients: Option<&Self>) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.0).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
        let config = match clients {
            None => config.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(clients.0.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
                config.with_client_cert_verifier(verifier)
            }
        };
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        config.with_single_cert(vec![certificate.der().clone()], key).unwrap()
    }
}

/// Passes over connections whose handshake fails.
struct TlsListener {
    tcp: TcpListener,
    tls: TlsAcceptor,
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.tcp.accept().await.unwrap();
            if let Ok(stream) = self.tls.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

/// Answers with the header `Authorization` that it got.
fn echo() -> Router {
    Router::new().route(
        "/",
        route(async |headers: HeaderMap| {
            let seen = headers.get("authorization").map(|value| value.to_str().unwrap());
            json!(seen).to_string()
        }),
    )
}

pub fn scope_with(secret: &str) -> Scope {
    Scope { credentials: Some(secret.to_owned()), ..scope() }
}

fn answer(body: serde_json::Value) -> Observation {
    Observation::Answer { code: 200, body }
}

#[tokio::test]
async fn trusts_the_ca_of_the_secret() {
    let authority = Authority::new("ca");
    let address = authority.serve(&["127.0.0.1", "pd.tidb.svc"], None, echo()).await;
    let bench = Bench::new().secret("pd-client", &[("ca.crt", &authority.pem())]).name("pd.tidb.svc", &["127.0.0.1"]);
    let backend = bench.backend();
    for host in ["127.0.0.1", "pd", "pd.tidb", "pd.tidb.svc"] {
        let mut request = get(format!("https://{host}:{}/", address.port()));
        assert_eq!(
            observe_one(&backend, &scope_with("pd-client"), request.clone()).await,
            answer(json!(null)),
            "{host}"
        );
        request.tls_secret = "pd-client".to_owned();
        assert_eq!(observe_one(&backend, &scope(), request).await, answer(json!(null)), "{host}");
    }
}

#[tokio::test]
async fn trusts_no_other_ca_and_no_other_name() {
    let (authority, other) = (Authority::new("ca"), Authority::new("other"));
    let address = authority.serve(&["127.0.0.1"], None, echo()).await;
    let bench =
        Bench::new().secret("right", &[("ca.crt", &authority.pem())]).secret("wrong", &[("ca.crt", &other.pem())]);
    let backend = bench.backend();

    let url = format!("https://{address}/");
    let (message, detail) = failure(observe_one(&backend, &scope_with("wrong"), get(&url)).await);
    assert_eq!(message, format!("{url} shows a certificate that is not trusted"));
    assert!(detail.contains("UnknownIssuer") && detail.contains("Secret tidb/wrong"), "{detail}");

    let url = format!("https://localhost:{}/", address.port());
    let (message, detail) = failure(observe_one(&backend, &scope_with("right"), get(&url)).await);
    assert_eq!(message, format!("{url} shows a certificate that is not trusted"));
    assert!(detail.contains("not valid for name \"localhost\""), "{detail}");
}

#[tokio::test]
async fn shows_its_certificate_where_one_is_asked_for() {
    let (authority, clients) = (Authority::new("ca"), Authority::new("clients"));
    let address = authority.serve(&["127.0.0.1"], Some(&clients), echo()).await;
    let own = clients.certificate(&["castoff"]);
    let ca = authority.pem();
    let bench = Bench::new()
        .secret("full", &[("ca.crt", &ca), ("tls.crt", &own.chain), ("tls.key", &own.key.serialize_pem())])
        .secret("ca-only", &[("ca.crt", &ca)]);
    let backend = bench.backend();
    let url = format!("https://{address}/");
    failure(observe_one(&backend, &scope_with("ca-only"), get(&url)).await);
    assert_eq!(observe_one(&backend, &scope_with("full"), get(&url)).await, answer(json!(null)));
    // A connection that was opened with a certificate serves nobody without one.
    failure(observe_one(&backend, &scope_with("ca-only"), get(&url)).await);
}

#[tokio::test]
async fn sends_the_token_or_the_password_of_the_secret() {
    let url = format!("http://{}/", serve(echo()).await);
    let backend = Bench::new()
        .secret("token", &[("token", "abc\n")])
        .secret("basic", &[("username", "Aladdin"), ("password", "open sesame")])
        .backend();
    assert_eq!(observe_one(&backend, &scope_with("token"), get(&url)).await, answer(json!("Bearer abc")));
    // The example of RFC 7617, section 2.
    let basic = answer(json!("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
    assert_eq!(observe_one(&backend, &scope_with("basic"), get(&url)).await, basic);
    // What a request names counts before the step's.
    let mut request = get(&url);
    request.auth_secret = "basic".to_owned();
    assert_eq!(observe_one(&backend, &scope_with("token"), request).await, basic);
    assert_eq!(observe_one(&backend, &scope(), get(&url)).await, answer(json!(null)));
}

#[tokio::test]
async fn says_which_secret_or_key_is_missing() {
    let ca = Authority::new("ca").pem();
    let backend = Bench::new()
        .secret("no-ca", &[("tls.crt", "x")])
        .secret("no-key", &[("ca.crt", &ca), ("tls.crt", &ca)])
        .secret("no-pem", &[("ca.crt", "s3cret")])
        .secret("no-password", &[("username", "me")])
        .backend();
    let https = [
        ("", "https needs a Secret with ca.crt, and the step names none"),
        ("unknown", "Secret tidb/unknown: not found"),
        ("no-ca", "Secret tidb/no-ca: it has no ca.crt, which TLS needs (it has tls.crt)"),
        ("no-key", "Secret tidb/no-key: it has tls.crt but no tls.key"),
        ("no-pem", "Secret tidb/no-pem: its ca.crt holds no certificates in PEM"),
        ("../x", "Secret tidb/../x: that is no name of a Secret"),
    ];
    for (name, expected) in https {
        let mut request = get("https://127.0.0.1:1/x");
        request.tls_secret = name.to_owned();
        let (message, _) = failure(observe_one(&backend, &scope(), request).await);
        assert_eq!(message, format!("https://127.0.0.1:1/x can't be asked: {expected}"));
    }
    let http = [
        ("no-password", "it has username but no password"),
        ("no-ca", "it has no token, nor username and password (it has tls.crt)"),
    ];
    for (name, expected) in http {
        let mut request = get("http://127.0.0.1:1/x");
        request.auth_secret = name.to_owned();
        let (message, _) = failure(observe_one(&backend, &scope(), request).await);
        assert_eq!(message, format!("http://127.0.0.1:1/x can't be asked: Secret tidb/{name}: {expected}"));
    }
}

#[tokio::test]
async fn tells_whoever_is_not_let_in_which_keys_were_found_and_which_are_wanted() {
    let router = Router::new().fallback(axum::routing::any(async || StatusCode::UNAUTHORIZED));
    let url = format!("http://{}/x", serve(router).await);
    let backend =
        Bench::new().secret("mistyped", &[("Token", "t"), ("ca.crt", "x")]).secret("right", &[("token", "t")]);
    let backend = backend.backend();
    let told = async |scope: Scope| failure(observe_one(&backend, &scope, get(&url)).await).0;
    assert_eq!(
        told(scope_with("mistyped")).await,
        format!(
            "{url} answers 401 to a request without credentials: of Secret tidb/mistyped token, or username and \
             password, are wanted; it has Token, ca.crt"
        )
    );
    assert_eq!(told(scope_with("right")).await, format!("{url} answers 401"));
    let none = format!("{url} answers 401 to a request without credentials: the step names none");
    assert_eq!(told(scope()).await, none);
}

#[tokio::test]
async fn tells_no_secret_even_when_the_backend_repeats_it() {
    let repeat = |status: StatusCode| {
        route(move |headers: HeaderMap| async move {
            (status, format!("you said {0}; {{\"message\": \"{0}\"}}", headers["authorization"].to_str().unwrap()))
        })
    };
    let router =
        Router::new().route("/denied", repeat(StatusCode::FORBIDDEN)).route("/garbage", repeat(StatusCode::OK));
    // As some write JSON: with a backslash before each slash.
    let escaped = route(async |headers: HeaderMap| {
        let said = headers["authorization"].to_str().unwrap().replace('/', "\\/");
        (StatusCode::FORBIDDEN, format!("{{\"message\": \"you said {said}\"}}"))
    });
    let router = router.route("/escaped", escaped);
    let base = format!("http://{}", serve(router).await);
    let backend = Bench::new()
        .secret("token", &[("token", "t0ps3cret")])
        .secret("slash", &[("token", "t0p/s3cret")])
        .secret("basic", &[("username", "Aladdin"), ("password", "open sesame")])
        .backend();
    for name in ["token", "slash", "basic"] {
        let scope = scope_with(name);
        let mut told = format!("{scope:?} {backend:?}");
        for path in ["denied", "garbage"] {
            let (message, detail) = failure(observe_one(&backend, &scope, get(format!("{base}/{path}"))).await);
            assert!(detail.contains("you said") && detail.contains("(hidden)"), "{detail}");
            let sent = backend.send(&scope, &act(get(format!("{base}/{path}")))).await;
            told = format!("{told} {message} {detail} {sent:?}");
        }
        let sent = backend.send(&scope, &act(get(format!("{base}/escaped")))).await;
        told = format!("{told} {}", sent.refused.unwrap());
        for secret in ["t0ps3cret", "s3cret", "open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ"] {
            assert!(!told.contains(secret), "{told}");
        }
    }
}
