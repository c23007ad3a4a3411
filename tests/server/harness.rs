//! A server on free ports, and clients for it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use castoff::admission::Malformed;
use castoff::runtime::shutdown::Shutdown;
use castoff::runtime::{Liveness, Readiness};
use castoff::server::{Config, Gate, Server};
use castoff::trust::{Certificates, self_signed};
use prometheus::Registry;
use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Longer than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Where callers are.
pub const HERE: [u8; 4] = [127, 0, 0, 1];

/// Where other callers are.
pub const ELSEWHERE: [u8; 4] = [127, 0, 0, 2];

/// A gate that does what the body says.
#[derive(Default)]
pub struct TestGate {
    /// A request with the body `wait` has come in.
    pub waiting: Notify,
    /// Lets it be answered.
    pub go_on: Notify,
}

#[async_trait]
impl Gate for TestGate {
    async fn answer(&self, body: Bytes, deadline: Instant) -> Result<Bytes, Malformed> {
        match &body[..] {
            b"malformed" => Err(Malformed { message: "line 1 column 1: no review".to_owned() }),
            b"panic" => panic!("on purpose"),
            b"hang" => std::future::pending().await,
            b"wait" => {
                self.waiting.notify_one();
                self.go_on.notified().await;
                Ok(Bytes::from_static(b"{}"))
            }
            b"time" => Ok(deadline.duration_since(Instant::now()).as_millis().to_string().into()),
            _ => Ok(body.len().to_string().into()),
        }
    }
}

pub struct Running {
    pub gate: Arc<TestGate>,
    pub address: SocketAddr,
    pub admin: SocketAddr,
    pub certificates: Certificates,
    pub files: self_signed::Files,
    pub shutdown: Shutdown,
    pub liveness: Liveness,
    pub serving: JoinHandle<std::io::Result<()>>,
    _directory: TempDir,
}

/// A server with short waits.
pub async fn start() -> Running {
    start_with(|_| {}).await
}

pub async fn start_with(change: impl FnOnce(&mut Config)) -> Running {
    let directory = tempfile::tempdir().unwrap();
    let files = self_signed::make(directory.path(), &[]).unwrap();
    let certificates = Certificates::load(&files.certificate, &files.key).unwrap();
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut config = Config {
        listen: any_port,
        admin_listen: any_port,
        shutdown_delay: Duration::from_millis(300),
        body_timeout: Duration::from_millis(400),
        ..Config::new(certificates.clone())
    };
    (config.webhook.first_request, config.webhook.idle) =
        (Duration::from_millis(300), Some(Duration::from_millis(600)));
    change(&mut config);
    let server = Server::bind(config).await.unwrap();
    let (address, admin) = (server.local_addr(), server.admin_addr());
    let (gate, shutdown, liveness) = (Arc::new(TestGate::default()), Shutdown::new(), Liveness::new());
    let (told, for_gate) = (shutdown.clone(), Arc::clone(&gate));
    let serving = tokio::spawn(server.run(for_gate, Readiness::new(), liveness.clone(), Registry::new(), told));
    Running { gate, address, admin, certificates, files, shutdown, liveness, serving, _directory: directory }
}

/// A status, the head, and the body of an answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Running {
    /// Opens a connection from this address; `alpn` is what the client offers.
    pub async fn connect_with(&self, from: [u8; 4], alpn: &[&str]) -> TlsStream<TcpStream> {
        let mut config = self.trusting().with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = self.connect_from(from).await;
        shake_hands(config, stream).await.unwrap()
    }

    /// A client that trusts the server.
    pub fn trusting(&self) -> ConfigBuilder<ClientConfig, WantsClientCert> {
        let mut roots = RootCertStore::empty();
        let ca: PathBuf = self.files.ca.clone();
        roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        builder.unwrap().with_root_certificates(roots)
    }

    pub async fn connect(&self) -> TlsStream<TcpStream> {
        self.connect_with(HERE, &["http/1.1"]).await
    }

    /// Opens a connection from this address, and shakes no hands.
    pub async fn connect_from(&self, from: [u8; 4]) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from((from, 0))).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    /// Sends a request on a connection of its own.
    pub async fn send(&self, head: &str, body: &[u8]) -> Answer {
        let mut stream = self.connect().await;
        exchange(&mut stream, head, body).await
    }

    /// POSTs a review on a connection of its own.
    pub async fn post(&self, query: &str, body: &str) -> Answer {
        self.send(&post_head(query, body.len()), body.as_bytes()).await
    }

    /// What an admin route says.
    pub async fn admin(&self, path: &str) -> Answer {
        get(self.admin, path).await
    }
}

/// What is answered at an address.
pub async fn get(address: SocketAddr, path: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    read_answer(&mut stream).await
}

/// Shakes hands with the server at the other end.
pub async fn shake_hands(config: ClientConfig, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

pub fn post_head(query: &str, length: usize) -> String {
    head("/validate", query, length)
}

/// As [`post_head`], to another path.
pub fn head(path: &str, query: &str, length: usize) -> String {
    format!(
        "POST {path}{query} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
}

/// Sends a request and reads the answer.
pub async fn exchange(stream: &mut TlsStream<TcpStream>, head: &str, body: &[u8]) -> Answer {
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server may have answered and closed before it read all of a body that it does not take.
    let _ = stream.write_all(body).await;
    let _ = stream.flush().await;
    read_answer(stream).await
}

/// Reads one answer.
pub async fn read_answer(stream: &mut (impl AsyncReadExt + Unpin)) -> Answer {
    let read = async {
        let mut bytes = Vec::new();
        loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_ascii_lowercase();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                let length: usize = length.map_or(0, |length| length.parse().unwrap());
                while bytes.len() < end + 4 + length {
                    read_more(stream, &mut bytes).await;
                }
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                let body = String::from_utf8(bytes[end + 4..end + 4 + length].to_vec()).unwrap();
                return Answer { status, head, body };
            }
            read_more(stream, &mut bytes).await;
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("an answer")
}

async fn read_more(stream: &mut (impl AsyncReadExt + Unpin), bytes: &mut Vec<u8>) {
    let read = stream.read_buf(bytes).await.unwrap();
    assert!(read > 0, "the connection was closed in the midst of an answer: {}", String::from_utf8_lossy(bytes));
}

/// Waits for the other side to close the connection.
pub async fn closed(stream: &mut (impl AsyncReadExt + Unpin)) {
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    // Closed in good order or not: closed.
    let _ = closed.expect("the connection is closed");
}
